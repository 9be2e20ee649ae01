"""What is kept of a document's past: lines, and the states they tell.

    history = base *( base / step )

A base is a whole state, a step is one transaction on top of the line right before it.  The
grammar stands in `docs/format/history.md`.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeAlias

import msgspec
from msgspec import UNSET, Struct, UnsetType

from plainstate.core import patch
from plainstate.core.codec import is_too_deep
from plainstate.core.decoding import Seq, Version, reader
from plainstate.core.record import (
    DELETION,
    FORMAT,
    HeadRecord,
    Journal,
    TransactionRecord,
    known_members,
    lines_of,
    parse_lines,
    seal,
    unsealed,
)
from plainstate.errors import DamagedError, InvalidPatchError, PatchFailedError
from plainstate.limits import MAX_NESTING
from plainstate.types import Action, Json, Kind, State, Transaction, action_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from plainstate.core.record import Record
    from plainstate.core.replay import Basis, Snapshot
    from plainstate.types import DocumentId, Patch

__all__ = [
    "MOVE",
    "Base",
    "Line",
    "Point",
    "Step",
    "arrival",
    "encode",
    "moved",
    "newest_lines",
    "parse",
    "point_of",
    "state_after",
    "step_of",
    "steps_behind",
    "transactions",
    "unkept",
    "whole",
]

MOVE: Final[Patch] = []
"""The patch of a rename: the value stays, only the name is another one."""

_BASE_PREFIX: Final = b'{"plainstate":'


class Base(Struct, frozen=True, forbid_unknown_fields=True):
    """A whole state.

    Attributes:
        plainstate: format version.
        document: `category/name`.
        kind: of the document.
        seq: the transaction after which it was so.
        version: `None` where the document was absent.
        tx: id of that transaction; "" of an edit by hand, and where it is not known.
        time: when.
        value: the state, `None` where absent.
        action: what that transaction did; not set where only the state is known.
    """

    plainstate: Literal[1]
    document: str
    kind: Kind
    seq: Seq
    version: Version | None
    tx: str
    time: str
    value: Json
    action: Action | UnsetType = UNSET


class Step(Struct, frozen=True, forbid_unknown_fields=True):
    """One transaction on top of the line before it; `version` is `None` if it deletes."""

    seq: Seq
    version: Version | None
    tx: str
    time: str
    patch: list[dict[str, Any]]
    synced: int | UnsetType = UNSET


Line: TypeAlias = Base | Step


class Point(NamedTuple):
    """A moment in a document's life; numbers alone may come again after a loss of heads."""

    seq: int
    version: str | None


_encode = msgspec.json.Encoder().encode
_decode_base = reader(msgspec.json.Decoder(Base).decode)
_decode_step = reader(msgspec.json.Decoder(Step).decode)


def point_of(line: Line | Record | Basis) -> Point:
    """The moment right after a line."""
    if isinstance(line, TransactionRecord) and line.deletes:
        return Point(line.seq, None)
    return Point(line.seq, line.version)


def whole(document: DocumentId, point: Point, value: Json, *, tx: str = "", time: str = "") -> Base:
    """The base for a state of which nothing else is known."""
    return Base(FORMAT, str(document), document.kind, point.seq, point.version, tx, time, value)


def encode(lines: Iterable[Line], *, previous: int, synced: int | None = None) -> tuple[bytes, int]:
    """Makes lines of a history file.

    Args:
        lines: in order.
        previous: `sum` of the line before them, 0 at the beginning.
        synced: the last number that is durable while these are written; `None` if they come to
            the disk all together.

    Returns:
        The lines with their newlines, and the last `sum`.
    """
    data, check = [], previous
    for line in lines:
        said = line
        if isinstance(said, Step):
            known = synced is None or synced == said.seq - 1
            said = msgspec.structs.replace(said, synced=UNSET if known else synced)
        text, check = seal(_encode(said), check)
        data.append(text)
    return b"".join(data), check


def parse(
    data: bytes, *, path: str, previous: int = 0, line_number: int = 1, ends: bool = False
) -> Journal[Line]:
    """Reads the lines of a history file; result and errors as of `record.parse`.

    Args:
        data: as there, and the others, too.
        path: for messages.
        previous: `sum` of the line before.
        line_number: of the first line.
        ends: decode the first and the last line only; a writer needs no more.
    """

    def decode(intact: bytes) -> list[Line]:
        numbered = list(enumerate(lines_of(intact), line_number))
        wanted = [*numbered[:1], *numbered[1:][-1:]] if ends else numbered
        return [_decode(line, path, at) for at, line in wanted]

    return parse_lines(
        data,
        decode,
        _synced,
        path=path,
        previous=previous,
        line_number=line_number,
        remedy="`plainstate repair` sets aside what is not intact.",
    )


def unkept(
    kept: Point | None,
    document: DocumentId,
    records: Sequence[Record],
    basis: Basis,
    snapshot: Snapshot | None,
    value: Json,
) -> list[Line]:
    """What the history lacks of what the document's own files tell.

    Args:
        kept: where the history ends, `None` if there is none.
        document: which.
        records: the lines of its journal, or the resting head alone, as they are on disk: a
            replay changes patches.
        basis: what they mean.
        snapshot: the plain file.
        value: the state that they make; needed only where an edit was combined with
            waiting transactions.

    Returns:
        Lines to append; a base first where they do not continue what is kept.
    """
    lines: list[Line] = [*steps_behind(kept, records)]
    end = Point(basis.seq, basis.version)
    if end == (point_of(lines[-1]) if lines else kept):
        return lines
    if basis.kind == "edited":
        if snapshot is not None and not basis.waiting:
            value = snapshot.value()
        base = whole(document, end, None if end.version is None else value)
        return [*lines, msgspec.structs.replace(base, action="edit")]
    return [*lines, *_afresh(document, records, basis, snapshot)]


def steps_behind(kept: Point | None, records: Sequence[Record]) -> list[Step]:
    """The transactions of the journal that continue what is kept."""
    steps = []
    for before, record in pairwise(records):
        if isinstance(record, TransactionRecord) and point_of(before) == kept:
            steps.append(step_of(record))
            kept = point_of(record)
    return steps


def newest_lines(lines: Sequence[Line], limit: int) -> list[Line]:
    """The end of a history that fits into a limit; at least its last state.

    Args:
        lines: all of it.
        limit: bytes that the lines may take, a base at the beginning not counted.
    """
    first, size = len(lines) - 1, 0
    while first > 0:
        size += len(_encode(lines[first]))
        if size > limit:
            break
        first -= 1
    start = lines[first]
    if isinstance(start, Step):
        origin = next(line for line in lines if isinstance(line, Base))
        state = _replay(lines[: first + 1])
        base = msgspec.structs.replace(origin, value=state, action=UNSET)
        start = msgspec.structs.replace(
            base, seq=start.seq, version=start.version, tx=start.tx, time=start.time
        )
    return [start, *lines[first + 1 :]]


def moved(lines: Sequence[Line], document: DocumentId, tx_id: str, time: str) -> list[Line]:
    """The lines as they stand under another name: an absence first, which takes back what that
    name had before.

    Args:
        lines: all of them.
        document: the new name.
        tx_id: the rename.
        time: of the new name's head, by which `arrival` finds them.
    """
    absence = msgspec.structs.replace(whole(document, Point(0, None), None), tx=tx_id, time=time)
    start = max((index + 1 for index, line in enumerate(lines) if not line.seq), default=0)
    return [absence, *(_renamed(line, document) for line in lines[start:])]


def arrival(lines: Sequence[Line], time: str) -> int | None:
    """Where the lines begin that a rename brought, `None` if there are none; see `moved`."""
    found = (index for index, line in enumerate(lines) if not line.seq and line.time == time)
    return max(found, default=None)


def state_after(lines: Sequence[Line], seq: int) -> State | Literal["unkept"] | None:
    """The state after a transaction; `None` if the document was absent then.

    It is made of parts of the lines: use them no more.

    Raises:
        DamagedError: a step does not fit.

    Cost: decoding a base, and applying the steps behind it.
    """
    counting = _counting(lines)
    at = next((index for index in reversed(counting) if lines[index].seq == seq), None)
    if at is None:
        return "unkept"
    version = lines[at].version
    return None if version is None else State(_replay(lines[: at + 1]), seq, version)


def transactions(lines: Sequence[Line]) -> list[Transaction]:
    """The transactions that are kept, oldest first.

    Where only the state behind one is kept, its patch is the whole value, and its `action` `None`
    unless it was a whole save or an edit.

    Raises:
        DamagedError: a patch is none.
    """
    found = []
    for index in _counting(lines):
        line = lines[index]
        if not line.seq:
            continue  # the absence before the first transaction
        if isinstance(line, Step):
            existed = lines[index - 1].version is not None
            action: Action | None = action_of(existed=existed, exists=line.version is not None)
            operations = line.patch
            try:
                patch.validate(operations)
            except InvalidPatchError as error:
                raise _misfit(f"transaction {line.seq} is malformed: {error}") from error
        else:
            action = None if line.action is UNSET else line.action
            add = [{"op": "add", "path": "", "value": line.value}]
            operations = DELETION if line.version is None else add
        found.append(Transaction(line.seq, line.tx, line.time, operations, line.version, action))
    return found


def step_of(record: TransactionRecord) -> Step:
    """A transaction of the journal as it is kept."""
    return Step(*point_of(record), record.tx, record.time, record.patch)


def _afresh(
    document: DocumentId, records: Sequence[Record], basis: Basis, snapshot: Snapshot | None
) -> list[Line]:
    """A base and the transactions behind it, where nothing that is kept leads there."""
    head = basis.head
    absence = whole(document, Point(basis.seq, None), None)
    if snapshot is None and head.version is not None:
        return [absence]  # a deletion took the file away
    try:
        value = None if snapshot is None else snapshot.value()
    except DamagedError:
        if basis.version is not None:
            raise
        return [absence]  # a damaged document can be deleted, though not kept
    base = whole(document, Point(head.seq, head.version), value, tx=_tx_of(head), time=head.time)
    if head.tx:
        base = msgspec.structs.replace(base, action="update")
    numbers = {record.seq for record in basis.waiting}
    waiting = (one for one in records if isinstance(one, TransactionRecord) and one.seq in numbers)
    return [base, *map(step_of, waiting)]


def _tx_of(head: HeadRecord) -> str:
    """The transaction that made the state at a head, if its ids tell."""
    known = (tx for tx, version in head.recent.items() if version == head.version)
    return head.tx or next(known, "")


def _counting(lines: Sequence[Line]) -> list[int]:
    """Indexes of the lines that count: a line takes back those before it with its number or a
    higher one."""
    found: list[int] = []
    for index, line in enumerate(lines):
        while found and lines[found[-1]].seq >= line.seq:
            found.pop()
        found.append(index)
    return found


def _renamed(line: Line, document: DocumentId) -> Line:
    return line if isinstance(line, Step) else msgspec.structs.replace(line, document=str(document))


def _replay(lines: Sequence[Line]) -> Json:
    """The value after the last of some lines; it takes their parts over."""
    start = max(index for index, line in enumerate(lines) if isinstance(line, Base))
    base = lines[start]
    value = base.value if isinstance(base, Base) else None
    for line in lines[start + 1 :]:
        if not isinstance(line, Step) or line.patch == MOVE:
            continue
        if line.version is None:
            value = None
            continue
        try:
            value = patch.apply_trusted(value, line.patch)
        except (InvalidPatchError, PatchFailedError, RecursionError) as error:
            raise _misfit(
                f"transaction {line.seq} does not fit what is before it: {error}"
            ) from error
    if is_too_deep(value):
        raise _misfit(f"a state is nested deeper than {MAX_NESTING} levels")
    return value


def _misfit(reason: str) -> DamagedError:
    return DamagedError(
        f"history: {reason}",
        hint="It was not written by plainstate; `plainstate check` names the file.",
        path="",
        line=0,
    )


def _decode(line: bytes, path: str, number: int) -> Line:
    is_base = line.startswith(_BASE_PREFIX)
    try:
        body = unsealed(line)
        return _decode_base(body) if is_base else _decode_step(body)
    except (msgspec.ValidationError, msgspec.DecodeError):
        kind: type[Line] = Base if is_base else Step
        try:
            return msgspec.convert(known_members(line, kind, path)[0], kind)
        except (msgspec.ValidationError, msgspec.DecodeError) as error:
            raise DamagedError(
                f"{path}, line {number}: the checksum is right but the line is not: {error}",
                hint="It was not written by plainstate; restore the file from a copy.",
                path=path,
                line=number,
            ) from error


def _synced(line: bytes) -> tuple[int, int] | None:
    """What a step behind damage says was durable.  A base does not say it."""
    try:
        step = _decode_step(unsealed(line))
    except (msgspec.ValidationError, msgspec.DecodeError):
        return None
    return step.seq, step.seq - 1 if step.synced is UNSET else step.synced
