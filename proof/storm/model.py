"""What a store promises of its documents, as a function from a state and a call to the next state.

A document's value is a tuple of *tokens*: texts that no other call writes.  So whatever is lost,
doubled, brought back or put in another order makes a value that no order of calls explains.

Documents that are moved to each other's place make one *family*, and have one state; every other
document is a family of its own, since linearizability is a property of each object alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias

from msgspec import Struct

from plainstate.limits import RECENT_TX_IDS
from plainstate.types import ABSENT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = [
    "NOTHING",
    "TRASH",
    "UPKEEP",
    "Action",
    "Call",
    "Operation",
    "Outcome",
    "State",
    "family_of",
    "foreseeing",
    "step",
]

Tokens: TypeAlias = tuple[str, ...]

Action = Literal[
    "append",  # tokens at the end; creates
    "patch",  # the same, but not of an absent document
    "transact",  # the same, in a block that sees the value before
    "turn",  # a session is loaded, added to and saved
    "save",  # the tokens are all there is
    "delete",
    "move",
    "read",
    "prune",
    "checkpoint",
    "check",
    "repair",
    "list",
    "reopen",
]

UPKEEP: Final = frozenset({"checkpoint", "check", "repair", "list", "reopen"})
"""What changes no document."""

TRASH: Final = "trash"
"""The places `trash/<run>/<session>` are where a run of pruning puts sessions."""


class Call(Struct, frozen=True, omit_defaults=True):
    """One call of the store.

    Attributes:
        action: what is called.
        place: `category/name`.
        tokens: what is written.
        expected: the version that it must have.
        target: where it is moved; of a prune, the name of the run.
        tx_id: makes a retry safe.
    """

    action: Action
    place: str = ""
    tokens: Tokens = ()
    expected: str | None = None
    target: str = ""
    tx_id: str | None = None


class Outcome(Struct, frozen=True, omit_defaults=True):
    """What the store said.

    Attributes:
        error: why nothing was done, "" if it was.  "busy": somebody else held the lock.
        version: after a commit, the one that it made; of a read and a conflict, the current one;
            `None` where the document is absent, and where the call does not tell.
        duplicate: it was done before, and not again.
        gone: a delete found something to delete.
        loaded: a turn found a session to load.
        value: what was read, or seen in a transaction; `None` if absent.
        moved: the sessions that a prune moved.
        counts: messages of each session in a list.
        worse: findings of a check that are worse than a note, and what a repair left of them.
    """

    error: Literal["", "conflict", "absent", "exists", "busy"] = ""
    version: str | None = None
    duplicate: bool = False
    gone: bool = False
    loaded: bool = False
    value: Tokens | None = None
    moved: tuple[str, ...] = ()
    counts: dict[str, int] = {}
    worse: tuple[str, ...] = ()


class Operation(Struct, frozen=True):
    """A call, who made it, when, and what came out.

    Attributes:
        who: process and number of the call.
        call: what was called.
        begin, end: nanoseconds of CLOCK_MONOTONIC, which all processes share; of a call that a
            kill cut off, `end` is when its process was known to be dead.
        outcome: `None` if nobody was told.
    """

    who: str
    call: Call
    begin: int
    end: int
    outcome: Outcome | None

    @property
    def optional(self) -> bool:
        """Whether it may never have happened."""
        return self.outcome is None


class Slot(NamedTuple):
    """What is in one place.

    Attributes:
        seq: number of the last transaction; where documents are moved, not less than this.
        version: `None` if it is not known.
        value: `None` if it is absent.
        ids: transaction ids that are tried again, each with the number it got first.
    """

    seq: int = 0
    version: str | None = None
    value: Tokens | None = None
    ids: tuple[tuple[str, int], ...] = ()


State: TypeAlias = tuple[tuple[str, Slot], ...]
"""The places of a family that were ever used, sorted."""

NOTHING: Final[State] = ()


def family_of(place: str) -> str:
    """Names the object that a place belongs to."""
    category, _, name = place.rpartition("/")
    if category.startswith(TRASH) or name.startswith("old"):
        return f"{name} and the trash"
    return "boxes" if category in ("boxes", "attic") else place


def foreseeing(history: Sequence[Operation]) -> Callable[[State, Operation], Iterator[State]]:
    """A `step` that leaves out at once what the rest of a history will refuse.

    It spares a search from trying every order of many cut-off calls at once: a number that was
    acknowledged belongs to that call alone, and a version that was read has the value that was
    read.  Where nothing is ever removed, each value is the beginning of the longest one.
    This only holds where nothing is moved; elsewhere it is `step`.
    """
    if any(family_of(one.call.place) != one.call.place for one in history):
        return step
    told = [(one.call, one.outcome) for one in history if one.outcome and one.outcome.version]
    reads = [outcome for call, outcome in told if call.action == "read"]
    values = {_seq(one.version): one.value for one in reads}
    taken = {
        _seq(outcome.version)
        for call, outcome in told
        if call.action != "read" and not outcome.duplicate and not outcome.error
    }
    grows = all(one.call.action in ("append", "read") for one in history)
    longest = max((one.value or () for one in reads), key=len, default=()) if grows else ()

    def known_step(state: State, operation: Operation) -> Iterator[State]:
        for after in step(state, operation):
            slot = _slot(after, operation.call.place)
            if operation.optional and after != state and slot.seq in taken:
                continue
            if any(a != b for a, b in zip(slot.value or (), longest, strict=False)):
                continue
            if values.get(slot.seq, slot.value) == slot.value:
                yield after

    return known_step


def step(state: State, operation: Operation) -> Iterator[State]:
    """The states that an operation can lead to; none, if its outcome is not possible."""
    told, call = operation.outcome, operation.call
    if told is not None and told.error == "busy":
        yield state
        return
    if call.action == "move":
        yield from _move(state, call, told)
        return
    slot = _slot(state, call.place)
    strict = family_of(call.place) == call.place
    for after in _slots(slot, call, told, strict=strict):
        yield _put(state, call.place, after)


def _slots(slot: Slot, call: Call, told: Outcome | None, *, strict: bool) -> Iterator[Slot]:
    """What a call can make of one document."""
    if call.action == "read":
        if told is not None and told.value == slot.value:
            yield from _seen(slot, told.version, strict=strict)
        return
    first = dict(slot.ids).get(call.tx_id or "")
    if first is not None:
        if told is None or _repeats(call, told, first):
            yield slot
        if slot.seq - first < RECENT_TX_IDS:
            return  # it is remembered for so long at least
    if told is not None and told.duplicate:
        return
    refusal = _refusal(slot, call, told)
    if told is not None and told.error != refusal:
        return
    if refusal == "conflict" and told is not None:
        yield from _seen(slot, told.version, strict=strict)
    elif refusal:
        yield slot
    else:
        yield from _written(slot, call, told, strict=strict)


def _repeats(call: Call, told: Outcome, first: int) -> bool:
    if call.action == "delete":
        return told.gone
    return told.duplicate and _seq(told.version) == first


def _refusal(slot: Slot, call: Call, told: Outcome | None) -> str:
    """Why a call does nothing in this state, "" if it does something."""
    if call.expected == ABSENT and slot.value is not None:
        return "conflict"
    if call.expected not in (None, ABSENT) and not _is(slot, call.expected):
        return "conflict"
    if slot.value is None:
        if call.action == "patch":
            return "absent"
        if call.action == "turn" and told is not None and told.loaded:
            return "conflict"
    return ""


def _written(slot: Slot, call: Call, told: Outcome | None, *, strict: bool) -> Iterator[Slot]:
    """The document after a write that was done."""
    before = slot.value
    if told is None and before is None and call.action in ("save", "transact"):
        # announced, but the file did not come: it counts as created and removed by hand
        yield slot._replace(seq=slot.seq + 2)
    if call.action == "delete":
        if told is not None and told.gone != (before is not None):
            return
        if before is None:
            yield slot
            return
        after = None
    else:
        after = call.tokens if call.action == "save" else (before or ()) + call.tokens
    if call.action == "transact" and told is not None and told.value != before:
        return
    version = None if told is None else told.version
    seq = slot.seq + 1
    if version is not None and after is not None:
        if _seq(version) < seq or (strict and _seq(version) > seq):
            return
        seq = _seq(version)
    ids = slot.ids if call.tx_id is None else (*slot.ids, (call.tx_id, seq))
    yield Slot(seq, version if after is not None else None, after, ids)


def _seen(slot: Slot, version: str | None, *, strict: bool) -> Iterator[Slot]:
    """The document, if this can be its version; who reads it makes it known."""
    if slot.value is None or version is None:
        if slot.value is None and version is None:
            yield slot
    elif slot.version is not None:
        if slot.version == version:
            yield slot
    elif _seq(version) == slot.seq or (not strict and _seq(version) > slot.seq):
        yield slot._replace(seq=_seq(version), version=version)


def _is(slot: Slot, version: str | None) -> bool:
    """Whether this can be the document's version."""
    if slot.value is None or version is None:
        return False
    return slot.version == version if slot.version else _seq(version) == slot.seq


def _move(state: State, call: Call, told: Outcome | None) -> Iterator[State]:
    source, target = _slot(state, call.place), _slot(state, call.target)
    refusal = "absent" if source.value is None else "exists" if target.value is not None else ""
    if told is not None and told.error != refusal:
        return
    if refusal:
        yield state
        return
    version = None if told is None else told.version
    seq = max(source.seq, target.seq) + 1
    if version is not None:
        if _seq(version) < seq:
            return
        seq = _seq(version)
    moved = _put(state, call.place, Slot(source.seq + 1))
    yield _put(moved, call.target, Slot(seq, version, source.value))


def _slot(state: State, place: str) -> Slot:
    return next((slot for name, slot in state if name == place), Slot())


def _put(state: State, place: str, slot: Slot) -> State:
    return tuple(sorted([*(one for one in state if one[0] != place), (place, slot)]))


def _seq(version: str | None) -> int:
    return int((version or "0").partition("-")[0])
