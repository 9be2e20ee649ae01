"""JSON, patches, differences, sessions: trees that come from files and from callers."""

from __future__ import annotations

import copy
import json
import math
from typing import Any, Final

from plainstate.core import codec, patch
from plainstate.core.diff import diff
from plainstate.core.summary import advance, summarize
from plainstate.errors import (
    DamagedError,
    InvalidPatchError,
    InvalidValueError,
    PatchFailedError,
    ValueTooLargeError,
)
from plainstate.limits import MAX_INTEGER_DIGITS, MAX_NESTING
from plainstate.session import Session
from proof.fuzz.oracle import documented, same

__all__ = ["change", "difference", "session", "value"]

_REFUSALS: Final = (DamagedError, InvalidValueError)
_MAX_COPIED: Final = 100_000


def value(data: bytes) -> None:
    """JSON that is read is written and read as exactly the same.

    Python's own reader agrees with every value; where that one accepts what is refused here, it
    is one of the documented strictnesses.
    """
    try:
        tree = codec.decode(data)
    except InvalidValueError as error:
        str(error).encode()
        assert _is_strict(data)
        return
    assert same(tree, json.loads(data))
    for written in (codec.encode(tree), codec.encode_pretty(tree)):
        again = codec.decode(written)
        assert repr(again) == repr(tree)
        assert codec.encode(again) == codec.encode(tree)
    assert repr(codec.check(tree)) == repr(tree)


def change(data: bytes) -> None:
    """A patch is applied whole or not at all: after an error, not a byte of the value differs.

    The input is `[value, patch]`.  What was applied once is applied again with the same result,
    as a replay does; and the difference of both values is a patch from one to the other.
    """
    pair = _pair(data)
    if pair is None:
        return
    before, operations = pair
    written = codec.encode(before)
    try:
        after = patch.apply(copy.deepcopy(before), copy.deepcopy(operations))
    except (InvalidPatchError, PatchFailedError):
        _leaves_no_trace(before, operations, written)
        return
    except RecursionError:
        raise AssertionError("a value within the limits is too deep for a patch") from None
    patch.validate(operations)
    codec.decode(codec.encode(after))
    again = patch.apply_trusted(copy.deepcopy(before), copy.deepcopy(operations))
    assert codec.encode(again) == codec.encode(after)
    if after is not None and before is not None:
        _leads_there(before, after)


def _leaves_no_trace(before: Any, operations: Any, written: bytes) -> None:
    tree = copy.deepcopy(before)
    with documented():
        patch.apply(tree, copy.deepcopy(operations), check_copied=_refuse_much)
    assert codec.encode(tree) == written, "a failed patch left a trace"


def _refuse_much(copied: int) -> None:
    if copied > _MAX_COPIED:
        raise ValueTooLargeError(
            "too much is copied", pointer="", size_bytes=copied, limit_bytes=_MAX_COPIED
        )


def difference(data: bytes) -> None:
    """The difference of two values is a patch that makes one of the other, in every digit.

    The input is `[old, new]`.
    """
    pair = _pair(data)
    if pair is not None:
        _leads_there(*pair)
        _leads_there(*reversed(pair))


def _leads_there(old: Any, new: Any) -> None:
    written = codec.encode(old)
    operations = diff(old, new)
    assert codec.encode(old) == written, "comparing changed a value"
    made = patch.apply(copy.deepcopy(old), copy.deepcopy(operations))
    assert same(made, new), operations
    assert bool(operations) != same(old, new)


def session(data: bytes) -> None:
    """Any JSON is a session with every method, or says by a documented error that it is none.

    Nothing unknown in it is lost, and the summary that is carried along with an appended message
    is the one that a look at the whole session gives.
    """
    try:
        tree = codec.decode(data)
    except InvalidValueError:
        return
    given = copy.deepcopy(tree)
    with documented(*_REFUSALS):
        one = Session(tree)
        one.turns()  # a message whose time is none is found out here, not by a summary
        _is_carried_along(given)
    with documented(*_REFUSALS):
        one = Session(copy.deepcopy(given))
        kept = one.to_tree()
        assert all(same(kept[key], given[key]) for key in given)
        _use(one)


def _is_carried_along(tree: Any) -> None:
    summary = summarize(tree)
    known: dict[str, Any] = {"content": "one more", "timestamp": "2026-11-22T12:00:00Z"}
    for array in ("user_messages", "agent_responses"):
        add = [{"op": "add", "path": f"/{array}/-", "value": known}]
        carried = None if summary is None else advance(summary, add)
        if carried is not None:
            grown = patch.apply(copy.deepcopy(tree), copy.deepcopy(add))
            assert summarize(grown) == carried


def _use(one: Session) -> None:
    for look in (
        lambda: (one.id, one.user_id, one.active_seed_id, one.active_persona_id, repr(one)),
        lambda: (one.created_at, one.updated_at),
        lambda: (one.user_messages, one.agent_responses),
        one.turns,
        one.exchange_count,
        lambda: one.changed_fields(one.held()),
    ):
        with documented(*_REFUSALS):
            look()
    with documented(*_REFUSALS):
        turns = one.turns()
        one.add_user_message("one more")
        assert [turn.content for turn in one.turns()] == [*(t.content for t in turns), "one more"]
        one.remove_last_turn()
        assert [turn.content for turn in one.turns()] == [turn.content for turn in turns]
        one.remove_last_turn()
    with documented(*_REFUSALS):
        one.set_metadata("key", ["value"])
        codec.check(one.to_tree())


def _pair(data: bytes) -> tuple[Any, Any] | None:
    try:
        tree = codec.decode(data)
    except InvalidValueError:
        return None
    pair = isinstance(tree, list) and len(tree) == 2  # noqa: PLR2004 - a pair
    return (tree[0], tree[1]) if pair else None


def _is_strict(data: bytes) -> bool:
    """Whether Python refuses it as well, or it breaks a rule that Python has not."""
    strict: list[str] = []
    try:
        tree = json.loads(
            data.decode(), parse_constant=strict.append, object_pairs_hook=_every_pair
        )
    except (ValueError, RecursionError):
        return True
    return bool(strict) or _breaks_a_rule(tree, 0)


def _every_pair(pairs: list[tuple[str, Any]]) -> list[Any]:
    """The members of an object, also those whose key comes again."""
    return [part for pair in pairs for part in pair]


def _breaks_a_rule(tree: Any, depth: int) -> bool:
    """A lone surrogate, an infinity, too many digits, too many levels."""
    if isinstance(tree, list):
        return depth >= MAX_NESTING or any(_breaks_a_rule(item, depth + 1) for item in tree)
    if isinstance(tree, str):
        return any("\ud800" <= character <= "\udfff" for character in tree)
    if isinstance(tree, float):
        return math.isinf(tree)
    return isinstance(tree, int) and len(str(tree)) > MAX_INTEGER_DIGITS
