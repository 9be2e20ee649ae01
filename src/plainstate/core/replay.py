"""Snapshot + journal = state: which transactions count, and their replay.

The rules, numbered as in `docs/format/journal.md`, section "Which state a
reader sees".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, Protocol

from msgspec import Struct

from plainstate.core import carry, codec, patch
from plainstate.core.record import HeadRecord, TransactionRecord
from plainstate.errors import (
    DamagedError,
    EditConflictError,
    InvalidPatchError,
    PatchFailedError,
)
from plainstate.limits import MAX_NESTING

if TYPE_CHECKING:
    from plainstate.core.record import Record, SnapshotRef
    from plainstate.types import Json

__all__ = ["Basis", "Snapshot", "edit_conflict", "find_basis", "overrule", "replay"]


class Snapshot(Protocol):
    """The snapshot file as it is on disk now; reads and hashes only if asked."""

    @property
    def stamp(self) -> tuple[int, int, int]:
        """Size, inode and modification time in ns."""

    def digest(self) -> str:
        """BLAKE2b-128 of its bytes, in hex."""

    def value(self) -> Json:
        """Its decoded content, the caller's own copy."""


class Basis(Struct, frozen=True):
    """Where a document's state comes from.

    Attributes:
        kind: `clean`, `cut off` (a fold or replacement must be done again before the
            next line) or `edited` (by hand).
        head: the head that the state continues from.
        waiting: the transactions that are not in the snapshot.
        seq: number of the last transaction, an edit by hand included.
        version: version of the state, `None` if the document is absent.
        provable: `False` where a replacement that may have been cut off was edited.
    """

    kind: Literal["clean", "cut off", "edited"]
    head: HeadRecord
    waiting: Sequence[TransactionRecord]
    seq: int
    version: str | None
    provable: bool = True


def find_basis(records: Sequence[Record], snapshot: Snapshot | None) -> Basis:
    """Decides which transactions the snapshot lacks (rules 1 to 5).

    Args:
        records: the journal's, or the resting head alone; the first is a head.
        snapshot: the file, `None` if there is none.
    """
    last = len(records) - 1
    while not isinstance(records[last], HeadRecord):  # the first one is
        last -= 1
    head = _head(records[last])
    behind = _transactions(records[last:])
    if _matches(head.snapshot, snapshot):
        return _continue("clean", head, behind)  # rule 1, and rule 4 with the old file still there
    if behind and behind[-1].deletes and snapshot is None:
        return _continue("clean", head, behind)  # rule 4
    earlier = _earlier_match(records, last, snapshot)
    if earlier is not None:
        since = records[earlier + 1 :]
        waiting = _transactions(since)
        replaced = any(isinstance(record, HeadRecord) and record.tx for record in since)
        if waiting and not replaced:
            return _continue("cut off", _head(records[earlier]), waiting)  # rule 2
        if waiting and not behind:
            return _continue("cut off", _head(records[earlier]), waiting)  # rule 2, replacement
        if len(since) == 1 and _same_file(_head(records[earlier]).snapshot, snapshot):
            return _continue("cut off", _head(records[earlier]), waiting)  # rule 3
    return _edited(records, last, behind, snapshot)


def _edited(
    records: Sequence[Record],
    last: int,
    behind: Sequence[TransactionRecord],
    snapshot: Snapshot | None,
) -> Basis:
    """Rule 5, and the new document of rule 4."""
    base, waiting = last, behind
    provable = True
    if not behind:
        # heads that were announced may or may not have been reached before the edit
        while base > 0 and isinstance(records[base - 1], HeadRecord):
            base -= 1
        provable = not any(_head(record).tx for record in records[base : last + 1])
        while base > 0 and isinstance(records[base - 1], TransactionRecord):
            base -= 1
        waiting = _transactions(records[base:last])
        base = max(base - 1, 0) if waiting else last
    if waiting and waiting[-1].deletes:
        waiting = []
    seq = records[-1].seq + 1
    announced = _head(records[last])
    if not behind and snapshot is not None and announced.version is not None:
        number, _, tag = announced.version.partition("-")
        if number == str(announced.seq) and announced.tx is None and tag == snapshot.digest()[:8]:
            seq = announced.seq  # the fold of this very edit was cut off
    version = None if snapshot is None else f"{seq}-{snapshot.digest()[:8]}"
    return Basis("edited", _head(records[base]), waiting, seq, version, provable or not waiting)


def replay(basis: Basis, snapshot: Snapshot | None, *, document: str, path: str) -> Json:
    """Makes the value that `basis` describes; `None` where it is absent.

    Raises:
        EditConflictError: rule 5 cannot prove what belongs where.
        DamagedError: the snapshot is not readable, or a transaction does not fit.

    Cost: decoding the snapshot and each waiting transaction.
    """
    if basis.version is None and (basis.kind != "edited" or not basis.waiting):
        return None  # a deletion cut off may have removed what its lines build on
    value = None if snapshot is None else snapshot.value()
    if basis.kind != "edited":
        value = _replay_all(value, basis.waiting, path + "l")
        if basis.waiting and codec.is_too_deep(value):
            raise DamagedError(
                f"{path}l: transactions nest the document deeper than {MAX_NESTING} levels",
                hint="They were not written by plainstate; restore the file from a copy.",
                path=path + "l",
                line=0,
            )
        return value
    waiting = basis.waiting
    _check_form(waiting, path + "l")
    try:
        if basis.head.version is None and waiting and snapshot is not None:
            contained = carry.contained_prefix(value, waiting)
            waiting = waiting[contained or 0 :]
        if not basis.provable or (snapshot is None and waiting):
            raise carry.UnclearError
        carried = carry.carry_over(value, waiting)
        if codec.is_too_deep(carried):
            raise carry.UnclearError
    except (carry.UnclearError, PatchFailedError, RecursionError):
        raise edit_conflict(basis, snapshot, document=document, path=path) from None
    return carried


def _replay_all(value: Json, waiting: Sequence[TransactionRecord], path: str) -> Json:
    shapes: dict[str, tuple[str, bool] | None] = {}
    for one in waiting:
        try:
            value = None if one.deletes else patch.apply_trusted(value, one.patch, shapes)
        except (InvalidPatchError, PatchFailedError, RecursionError) as error:
            raise _misfit(one, error, path) from error
    return value


def _check_form(waiting: Sequence[TransactionRecord], path: str) -> None:
    """Whether they are patches at all, before they are judged."""
    for transaction in waiting:
        try:
            patch.validate(transaction.patch)
        except InvalidPatchError as error:
            raise _misfit(transaction, error, path) from error


def _misfit(transaction: TransactionRecord, error: Exception, path: str) -> DamagedError:
    return DamagedError(
        f"{path}: transaction {transaction.seq} does not fit the document: {error}",
        hint="It was not written by plainstate; restore the file from a copy.",
        path=path,
        line=0,
    )


def edit_conflict(
    basis: Basis, snapshot: Snapshot | None, *, document: str, path: str
) -> EditConflictError:
    """The error for an edit by hand that waiting transactions do not provably fit."""
    what, choice, sides = "was changed", "choose", "take='file' or take='journal'"
    if snapshot is None:  # what waits has nothing to apply to
        what, choice, sides = "was removed", "accept that it is gone", "take='file'"
    return EditConflictError(
        f"{path} {what} by hand while transactions waited in its journal, "
        "and they do not provably fit together",
        hint=f"Restore the file, or {choice} with `plainstate resolve` or StateStore.resolve: "
        f"{sides}. Until then both sides are kept.",
        document=document,
        expected=basis.head.version,
        current=basis.version,
        path=path,
        journal=path + "l",
        transactions=len(basis.waiting),
    )


def overrule(basis: Basis, snapshot: Snapshot | None) -> Json:
    """Applies waiting transactions to an edited file although they conflict with it.

    Each operation that fits is applied; it overrules what the edit says.  One that does not
    fit any more has lost its place in the new text.

    Raises:
        UnclearError: the file is gone that the transactions continue from, or what they make
            of it is nothing that can be stored.
    """
    if snapshot is None and basis.head.version is not None:
        raise carry.UnclearError
    value = None if snapshot is None else snapshot.value()
    for transaction in basis.waiting:
        for operation in transaction.patch:
            try:
                value = patch.apply(value, [operation])
            except (PatchFailedError, InvalidPatchError):
                continue  # the edit took its place away; the journal is set aside whole
    if codec.is_too_deep(value):
        raise carry.UnclearError
    return value


def _continue(
    kind: Literal["clean", "cut off"], head: HeadRecord, waiting: Sequence[TransactionRecord]
) -> Basis:
    if not waiting:
        return Basis(kind, head, waiting, head.seq, head.version)
    last = waiting[-1]
    return Basis(kind, head, waiting, last.seq, None if last.deletes else last.version)


def _earlier_match(records: Sequence[Record], last: int, snapshot: Snapshot | None) -> int | None:
    for index in range(last - 1, -1, -1):
        record = records[index]
        if isinstance(record, HeadRecord) and _matches(record.snapshot, snapshot):
            return index
    return None


def _matches(reference: SnapshotRef | None, snapshot: Snapshot | None) -> bool:
    if reference is None or snapshot is None:
        return reference is None and snapshot is None
    return reference.stamp == snapshot.stamp or reference.digest == snapshot.digest()


def _same_file(reference: SnapshotRef | None, snapshot: Snapshot | None) -> bool:
    return reference is not None and snapshot is not None and reference.stamp == snapshot.stamp


def _head(record: Record) -> HeadRecord:
    if not isinstance(record, HeadRecord):
        raise TypeError("a journal begins with a head")
    return record


def _transactions(records: Sequence[Record]) -> list[TransactionRecord]:
    return [record for record in records if isinstance(record, TransactionRecord)]
