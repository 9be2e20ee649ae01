"""Judges a store that a power cut has left.

    python -m proof.powercut.checker BASE CASE

Exit status 0: every promise is kept.  1: one is broken, the first line says which.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from plainstate import Commit, PlainstateError, check_store
from proof.powercut.derived import (
    BrokenError,
    check_feed,
    check_lists,
    check_past,
    check_search,
)
from proof.powercut.history import Case
from proof.powercut.model import World, allowed, stages
from proof.powercut.operations import observe, open_store, perform, write_probes
from proof.powercut.programs import filler_of
from proof.powercut.sabotage import SABOTAGES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from plainstate import StateStore
    from proof.powercut.history import Operation, Step
    from proof.powercut.model import State

_RETRIES: Final = 3
_REMEMBERED: Final = 40
"""Well below the 64 transactions of a document that are promised."""

_EQUAL_WITHIN: Final = 6
"""Steps between states that are equal and may both be meant: the cut was not far from the first."""

_RENAMES: Final = ("move", "prune", "restore")


class _Match(NamedTuple):
    """What a store may be, going by its state.

    Attributes:
        held: how many steps it holds for certain.
        last: how many it may hold: an undo or a way back makes states equal.
        worlds: the allowed ones with this state.
    """

    held: int
    last: int
    worlds: list[World]


def check(base: str, case: Case) -> None:
    """Checks every promise.

    Raises:
        BrokenError: says which one is broken.
    """
    expected: list[str] = []
    found: list[str] = []
    _check_files(base, "after the cut")
    with open_store(base, keep=case.keep) as store:
        match = _match(observe(store), case)
        with suppress(FileNotFoundError):
            os.unlink(filler_of(base))  # what was read could be read on a full disk
        _check_derived(store, match, case)
        state = match.worlds[0].state
        if case.is_certain:
            state = _check_retries(store, case, match)
        observe(store, expected)
        expected += write_probes(store)
    _check_plain_files(base)
    _check_files(base, "after a clean close")
    with open_store(base, keep=case.keep) as store:
        _expect(observe(store, found), state, "after a clean close and reopen")
    if Counter(found) != Counter(expected):
        raise BrokenError("what was written after the cut is not there after a clean close")


def _check_files(base: str, when: str) -> None:
    """`plainstate check` finds nothing that a power cut does not explain."""
    for one in check_store(base).findings:
        if one.severity != "note":
            raise BrokenError(f"{when}: {one.severity} {one.code}: {one.message}")


def _check_derived(store: StateStore, match: _Match, case: Case) -> None:
    check_feed(store, case)  # waits until the scan has found what the cut took from the feed
    check_lists(store)
    check_search(store, match.worlds[0].state, case, match.held)
    if case.keep:
        check_past(store, match.worlds, certain=case.is_certain)


def _match(observed: State, case: Case) -> _Match:
    """The allowed states that this is."""
    nearest: State | None = None
    found: list[tuple[int, World]] = []
    for held, world in allowed(case.steps, case.settled):
        if found and held > found[0][0] + _EQUAL_WITHIN:
            break
        if observed == world.state:
            found.append((held, world))
        nearest = world.state if nearest is None else nearest
    if found:
        return _Match(found[0][0], found[-1][0], [world for _, world in found])
    if nearest is None:
        raise AssertionError("some state is always allowed")
    raise BrokenError(_difference(observed, nearest))


def _check_retries(store: StateStore, case: Case, match: _Match) -> State:
    """What is there is not done again, what is not there is not taken for done."""
    steps, world = case.steps, match.worlds[0]
    moving = _moved(step.operation for step in steps[case.settled : match.last + 1])
    for step in _retried(steps[: match.held], moving):
        result = perform(store, step.operation)
        if not (result.duplicate if isinstance(result, Commit) else result):
            raise BrokenError(f"the retry of a transaction is not seen: {step.operation.action}")
    _expect(observe(store), world.state, "after retries")
    if match.held < match.last or match.held == len(steps):
        return world.state
    operation = steps[match.held].operation
    # an undo that was cut off on the way back to life leaves what looks like a removal by hand,
    # and the state before that is not kept: it is refused, not taken for done
    if steps[match.held].ending == "ack" and operation.tx_id and operation.action != "undo":
        result = perform(store, operation)
        if isinstance(result, Commit) and result.duplicate:
            raise BrokenError(f"a transaction counts as done and is not: {operation.action}")
        world = stages(world, operation)[-1]
        _expect(observe(store), world.state, "after the next operation")
    return world.state


def _moved(operations: Iterator[Operation]) -> set[str]:
    """Documents that the power cut may have met in a rename: its last step brings the ids."""
    found = set()
    for one in operations:
        if one.action in _RENAMES:
            found |= {one.place, one.target, *(f"sessions/{name}" for name in one.names)}
    return found


def _retried(steps: list[Step], but: set[str]) -> Iterator[Step]:
    """The last operations of each document that have an id."""
    seen: Counter[str] = Counter()
    retried: Counter[str] = Counter()
    for step in reversed(steps):
        place = step.operation.place
        seen[place] += 1
        applied = step.ending == "ack" and step.operation.tx_id and place not in but
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
                raise BrokenError(f"left after a clean close: {name}")
            with open(os.path.join(folder, name), encoding="utf-8") as file:
                if name.endswith(".json"):
                    json.load(file)
                else:
                    file.read()


def _expect(observed: State, expected: State, when: str) -> None:
    if observed != expected:
        raise BrokenError(f"{when}: {_difference(observed, expected)}")


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
    if isinstance(value, list):  # in the trash
        return [part for one in value for part in _parts(one)]
    if isinstance(value, str):
        return [line.split(" ")[0] for line in value.splitlines()]
    if "texts" in value:
        texts = [text.split(" ")[0] for text in value["texts"]]
        return [*texts, f"topic {value['topic']}", f"from {value['from']}"]
    return [f"value {value.get('number')}", *map(str, value.get("log", []))]


def _main() -> int:
    base, path = sys.argv[1:]
    case = Case.load(path)
    if case.sabotage:
        SABOTAGES[case.sabotage].apply()
    try:
        check(base, case)
    except BrokenError as broken:
        print(broken)
        return 1
    except PlainstateError as error:
        print(f"{type(error).__name__}: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(_main())
