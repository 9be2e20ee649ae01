"""Judges a store that a power cut has left.

    python -m proof.powercut.checker BASE CASE

Exit status 0: every promise is kept.  1: one is broken, the first line says which.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

from plainstate import Commit, PlainstateError
from proof.powercut.history import Case, State, Step, after, allowed
from proof.powercut.operations import observe, open_store, perform, write_probes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from plainstate import StateStore

_RETRIES = 3
_REMEMBERED = 40  # well below the 64 transactions of a document that are promised


class _BrokenError(Exception):
    """A promise is broken."""


def check(base: str, case: Case) -> None:
    """Checks every promise.

    Raises:
        _BrokenError: says which one is broken.
    """
    expected: list[str] = []
    found: list[str] = []
    with open_store(base) as store:
        held, state = _match(observe(store), case)
        if not any(step.ending == "unknown" for step in case.steps):
            state = _check_retries(store, case.steps, held, state)
        observe(store, expected)
        expected += write_probes(store)
    _check_plain_files(base)
    with open_store(base) as store:
        _expect(observe(store, found), state, "after a clean close and reopen")
    if Counter(found) != Counter(expected):
        raise _BrokenError("what was written after the cut is not there after a clean close")


def _match(observed: State, case: Case) -> tuple[int, State]:
    """The allowed state that this is, and how many steps it holds."""
    nearest: State | None = None
    for held, state in allowed(case.steps, case.settled):
        if observed == state:
            return held, state
        nearest = state if nearest is None else nearest
    if nearest is None:
        raise AssertionError("some state is always allowed")
    raise _BrokenError(_difference(observed, nearest))


def _check_retries(store: StateStore, steps: list[Step], held: int, state: State) -> State:
    """What is there is not done again, what is not there is not taken for done."""
    for step in _retried(steps[:held]):
        result = perform(store, step.operation)
        if not (result.duplicate if isinstance(result, Commit) else result):
            raise _BrokenError(f"the retry of a transaction is not seen: {step.operation.action}")
    _expect(observe(store), state, "after retries")
    if held < len(steps) and steps[held].ending == "ack" and steps[held].operation.tx_id:
        operation = steps[held].operation
        result = perform(store, operation)
        if isinstance(result, Commit) and result.duplicate:
            raise _BrokenError(f"a transaction counts as done and is not: {operation.action}")
        state = after(state, operation)
        _expect(observe(store), state, "after the next operation")
    return state


def _retried(steps: list[Step]) -> Iterator[Step]:
    """The last operations of each document that have an id."""
    seen: Counter[str] = Counter()
    retried: Counter[str] = Counter()
    for step in reversed(steps):
        place = step.operation.place
        seen[place] += 1
        applied = step.ending == "ack" and step.operation.tx_id
        if applied and seen[place] <= _REMEMBERED and retried[place] < _RETRIES:
            retried[place] += 1
            yield step


def _check_plain_files(base: str) -> None:
    """After a clean close there are only plain files, and they hold everything."""
    for folder, folders, names in os.walk(base):
        if ".plainstate" in folders:
            folders.remove(".plainstate")
        for name in names:
            if not name.endswith((".json", ".md")) or name.startswith("."):
                raise _BrokenError(f"left after a clean close: {name}")
            with open(os.path.join(folder, name), encoding="utf-8") as file:
                if name.endswith(".json"):
                    json.load(file)
                else:
                    file.read()


def _expect(observed: State, expected: State, when: str) -> None:
    if observed != expected:
        raise _BrokenError(f"{when}: {_difference(observed, expected)}")


def _difference(observed: State, expected: State) -> str:
    """The first difference, in words; numbers are left out of the campaign's counts."""
    for place in sorted(observed | expected):
        is_there, should_be = observed.get(place), expected.get(place)
        if is_there == should_be:
            continue
        if is_there is None:
            return f"{place} is gone"
        if should_be is None:
            return f"{place} is there again, or too early"
        return f"{place}: {_compare(is_there, should_be)}"
    raise AssertionError("there is no difference")


def _compare(observed: Any, expected: Any) -> str:
    left, right = _parts(observed), _parts(expected)
    doubled = sorted(part for part, count in Counter(left).items() if count > 1)
    for word, parts in (
        ("has twice", doubled),
        ("lacks", [part for part in right if part not in left]),
        ("has besides", [part for part in left if part not in right]),
    ):
        if parts:
            return f"{word} {', '.join(parts[:3])}"
    return "is in another order"


def _parts(value: Any) -> list[str]:
    """The numbers of the operations that made a value."""
    if isinstance(value, str):
        return [line.split(" ")[0] for line in value.splitlines()]
    if "texts" in value:
        return [*(text.split(" ")[0] for text in value["texts"]), f"topic {value['topic']}"]
    return [f"value {value.get('number')}", *map(str, value.get("log", []))]


def _main() -> int:
    base, case = sys.argv[1:]
    try:
        check(base, Case.load(case))
    except _BrokenError as broken:
        print(broken)
        return 1
    except PlainstateError as error:
        print(f"{type(error).__name__}: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(_main())
