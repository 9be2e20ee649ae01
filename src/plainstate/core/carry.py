"""Carrying transactions over onto a file that a person edited.

When somebody edits, pulls or restores `<name>.json` while transactions wait in
the journal, each of them is judged against the new text: is it *contained*
already, is it *missing* (and fits), is it *neutral* (makes no difference), or
is it *unclear*?  Only contained ones followed by missing ones are provably
right.  The table of verdicts stands in `docs/format/journal.md`.
"""

from __future__ import annotations

import copy
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

from plainstate.core import patch, pointer
from plainstate.core.times import parse as parse_time
from plainstate.errors import InvalidValueError, PatchFailedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from plainstate.core.record import TransactionRecord
    from plainstate.types import Json, Patch

__all__ = ["UnclearError", "carry_over", "contained_prefix"]

CLOCK: Final = "/updated_at"
"""A time that only moves forward: of two values the later one stays."""

_SURE_TEXT: Final = 16
"""Characters from which on an equal text is taken for the same text."""

_MISSING: Final = object()


class UnclearError(Exception):
    """It cannot be proved which of the transactions the edited text contains."""


class _Verdict(Enum):
    CONTAINED = "contained"
    MISSING = "missing"
    NEUTRAL = "neutral"
    UNCLEAR = "unclear"


def carry_over(edited: Json, waiting: Sequence[TransactionRecord]) -> Json:
    """Applies what is missing of `waiting` to the edited value.

    Args:
        edited: the new value; modified.
        waiting: transactions that are not known to be inside, in order.

    Returns:
        The value with all of them inside exactly once.

    Raises:
        UnclearError: that cannot be proved.

    Cost: one comparison per operation and per array element it may equal.
    """
    value = edited
    carrying = False
    for transaction in waiting:
        verdict = _judge(value, transaction.patch)
        if verdict is _Verdict.UNCLEAR or (verdict is _Verdict.CONTAINED and carrying):
            raise UnclearError
        if verdict is _Verdict.MISSING:
            carrying = True
        if verdict in (_Verdict.MISSING, _Verdict.NEUTRAL):
            value = _apply(value, transaction.patch)
    return value


def contained_prefix(edited: Json, waiting: Sequence[TransactionRecord]) -> int | None:
    """How many of `waiting`, counted from a document's creation, `edited` contains.

    Returns:
        The number, or `None` if `edited` equals none of the states they made.
    """
    value: Json = None
    found = None
    for count, transaction in enumerate(waiting, 1):
        if transaction.deletes:
            return None
        value = patch.apply(value, copy.deepcopy(transaction.patch))
        if patch.json_equal(value, edited):
            found = count
    return found


def _judge(value: Json, operations: Patch) -> _Verdict:
    verdicts = {_judge_operation(value, operation) for operation in operations}
    verdicts.discard(_Verdict.NEUTRAL)
    if not verdicts:
        return _Verdict.NEUTRAL
    return verdicts.pop() if len(verdicts) == 1 else _Verdict.UNCLEAR


def _judge_operation(value: Json, operation: dict[str, Any]) -> _Verdict:
    name, path = operation["op"], operation["path"]
    if name == "add" and path.endswith("/-"):
        return _judge_append(value, path[:-2], operation["value"])
    stored = _find(value, path)
    if name in ("add", "replace"):
        if path == CLOCK and isinstance(stored, str):
            return _Verdict.NEUTRAL
        if stored is _MISSING:
            parent = _find(value, path.rpartition("/")[0])
            fits = name == "add" and isinstance(parent, dict)
            return _Verdict.MISSING if fits else _Verdict.UNCLEAR
        same = patch.json_equal(stored, operation["value"])
        in_list = isinstance(_find(value, path.rpartition("/")[0]), list)
        return _Verdict.NEUTRAL if same and not in_list else _Verdict.UNCLEAR
    if name == "remove" and stored is _MISSING:
        return _Verdict.NEUTRAL
    if name == "test" and stored is not _MISSING and patch.json_equal(stored, operation["value"]):
        return _Verdict.NEUTRAL
    return _Verdict.UNCLEAR


def _judge_append(value: Json, path: str, added: Json) -> _Verdict:
    target = _find(value, path)
    if isinstance(target, str) and isinstance(added, str):
        if added not in target:
            return _Verdict.MISSING
        return _Verdict.CONTAINED if len(added) >= _SURE_TEXT else _Verdict.UNCLEAR
    if not isinstance(target, list):
        return _Verdict.UNCLEAR
    if not any(patch.json_equal(added, element) for element in target):
        return _Verdict.MISSING
    stamped = isinstance(added, dict) and "timestamp" in added
    return _Verdict.CONTAINED if stamped else _Verdict.UNCLEAR


def _apply(value: Json, operations: Patch) -> Json:
    useful = [operation for operation in operations if not _makes_no_difference(value, operation)]
    try:
        return patch.apply(value, useful)
    except PatchFailedError as error:
        raise UnclearError from error


def _makes_no_difference(value: Json, operation: dict[str, Any]) -> bool:
    if operation["path"] == CLOCK and "value" in operation:
        try:
            return parse_time(operation["value"]) <= parse_time(_find(value, CLOCK))
        except InvalidValueError:
            return True
    return _judge_operation(value, operation) is _Verdict.NEUTRAL


def _find(value: Json, path: str) -> Json:
    try:
        return pointer.resolve(value, path)
    except LookupError:
        return _MISSING
