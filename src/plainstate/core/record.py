"""Journal lines: making them, and reading them back.

    journal     = head *( head / transaction )
    head        = {"plainstate":1, "document", "kind", "seq", "version", "snapshot",
                   "time", ["tx"], ["recent"], ["summary"],
                   ["moving_to"], ["moving_from"], "sum"} LF
    transaction = {"seq", "tx", "time", ["synced"], "patch", "sum"} LF

`sum` is the CRC-32 of everything before it in the line, started with the
predecessor's: it ties each line to the one before.  The grammar, and what a
torn tail is, stand in `docs/format/journal.md`.
"""

from __future__ import annotations

import re
from contextlib import suppress
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, Protocol, TypeAlias, TypeVar
from zlib import crc32

import msgspec
from msgspec import UNSET, Struct, UnsetType, field

from plainstate.core.decoding import Seq, Version, reader
from plainstate.errors import DamagedError, FormatVersionError
from plainstate.types import Json, Kind, Patch

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "BLANK",
    "DELETION",
    "FORMAT",
    "HeadRecord",
    "Journal",
    "Numbered",
    "Record",
    "SnapshotRef",
    "TransactionRecord",
    "encode_head",
    "encode_transaction",
    "end_of_line",
    "known_members",
    "lines_of",
    "number_in",
    "parse",
    "parse_lines",
    "seal",
    "unsealed",
]


class Numbered(Protocol):
    """What a sealed line is decoded to."""

    @property
    def seq(self) -> int:
        """Its number."""


L = TypeVar("L", bound=Numbered)

FORMAT: Final = 1
"""Version of the journal format written, and the newest one read."""

BLANK: Final = b" "
"""May follow the last line, any number of times: the next line is written over them."""

DELETION: Final[Patch] = [{"op": "remove", "path": ""}]
"""The patch that deletes the whole document."""

_SUM_LENGTH: Final = len(',"sum":"00000000"}')
_SUM: Final = re.compile(rb',"sum":"[0-9a-f]{8}"}\n')
_HEAD_PREFIX: Final = b'{"plainstate":'
_MAX_NUMBER_DIGITS: Final = 18
_HOLE: Final = BLANK * 512
"""A sector that was not written over."""


class SnapshotRef(Struct, frozen=True):
    """Identifies a snapshot: `digest` decides, an equal `stamp` saves hashing."""

    digest: str
    stamp: tuple[int, int, int]


class HeadRecord(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What a journal continues from: `snapshot` is the document at `seq`."""

    plainstate: Literal[1]
    document: str
    kind: Kind
    seq: Seq
    version: Version | None
    snapshot: SnapshotRef | None
    time: str
    tx: str | None = None
    recent: dict[str, Version | None] = {}
    summary: dict[str, Json] | None = None
    moving_to: str | None = None
    moving_from: str | None = None
    extra: dict[str, Json] = field(name="x-", default_factory=dict)
    """The optional keys (`x-…`) of another writer, kept by a fold."""

    def __post_init__(self) -> None:
        if self.version is not None and self.snapshot is None:
            raise ValueError("a version without a file is nobody's")

    @property
    def moving(self) -> str | None:
        """The other name of a rename that has not come to its end."""
        return self.moving_to or self.moving_from


class TransactionRecord(Struct, frozen=True, forbid_unknown_fields=True):
    """One transaction as its line holds it."""

    seq: Seq
    tx: str
    time: str
    patch: list[dict[str, Any]]
    sum: str
    synced: int | UnsetType = UNSET

    @property
    def version(self) -> str:
        """The document's version after this transaction."""
        return f"{self.seq}-{self.sum}"

    @property
    def synced_seq(self) -> int:
        """The last transaction known durable when this line was written."""
        return self.seq - 1 if self.synced is UNSET else self.synced

    @property
    def deletes(self) -> bool:
        """Whether this transaction deletes the document."""
        return self.patch == DELETION


Record: TypeAlias = HeadRecord | TransactionRecord


class _TransactionLine(Struct):
    """The members of a transaction line in the order in which they are written."""

    seq: int
    tx: str
    time: str
    synced: int | UnsetType
    patch: Patch


_encode = msgspec.json.Encoder().encode
_decode_head = reader(msgspec.json.Decoder(HeadRecord).decode)
_decode_heads = reader(msgspec.json.Decoder(HeadRecord).decode_lines)
_decode_transaction = reader(msgspec.json.Decoder(TransactionRecord).decode)
_decode_transactions = reader(msgspec.json.Decoder(TransactionRecord).decode_lines)
_decode_object = reader(msgspec.json.Decoder(dict[str, Any]).decode)


def number_in(version: str) -> int:
    """The number of the transaction that made a version; 0 of what a foreign hand wrote there.

    Example:
        >>> number_in("7-6cde7722"), number_in("seven")
        (7, 0)
    """
    number = version.partition("-")[0]
    known = number.isascii() and number.isdecimal() and len(number) <= _MAX_NUMBER_DIGITS
    return int(number) if known else 0


def seal(body: bytes, previous: int) -> tuple[bytes, int]:
    """Closes a line: `body` is the JSON object with its closing brace."""
    open_body = body[:-1]
    check = crc32(open_body, previous)
    return open_body + end_of_line(check), check


def end_of_line(check: int) -> bytes:
    r"""How a line with this `sum` ends.

    Example:
        >>> end_of_line(0xABF21345)
        b',"sum":"abf21345"}\n'
    """
    return b',"sum":"%08x"}\n' % check


def encode_transaction(
    seq: int, tx_id: str, time: str, patch: Patch, *, previous: int, synced: int
) -> tuple[bytes, int]:
    r"""Makes a transaction line.

    Args:
        seq: its number.
        tx_id: its id.
        time: RFC 3339 in UTC.
        patch: already checked operations.
        previous: `sum` of the line before, as a number.
        synced: last transaction known durable.

    Returns:
        The line with its newline, and its own `sum`.

    Example:
        >>> line, check = encode_transaction(1, "t", "now", [], previous=0, synced=0)
        >>> line
        b'{"seq":1,"tx":"t","time":"now","patch":[],"sum":"abf21345"}\n'
    """
    known = UNSET if synced == seq - 1 else synced
    return seal(_encode(_TransactionLine(seq, tx_id, time, known, patch)), previous)


def encode_head(head: HeadRecord, *, previous: int) -> tuple[bytes, int]:
    """Makes a head line; returns it and its `sum`."""
    if not head.extra:
        return seal(_encode(head), previous)
    known = _encode(msgspec.structs.replace(head, extra={}))
    return seal(b"%b,%b" % (known[:-1], _encode(head.extra)[1:]), previous)


class Journal(Struct, Generic[L]):
    """The intact lines of a journal, or of its newly read part.

    Attributes:
        records: what they say, in order.
        size: bytes of the intact lines.
        check: `sum` of the last one, as a number; 0 if there is none.
        torn: the bytes behind them that were never acknowledged.
        damage: set if the lines end at one that is damaged, not torn.
    """

    records: list[L]
    size: int
    check: int
    torn: bytes = b""
    damage: DamagedError | None = None


def parse(data: bytes, *, path: str, previous: int = 0, line_number: int = 1) -> Journal[Record]:
    """Reads journal lines as far as they are intact.

    Args:
        data: the bytes of a journal, or those added since the last look.
        path: for messages.
        previous: `sum` of the line before `data`, 0 at the start.
        line_number: number of the first line in `data`, for messages.

    Returns:
        The intact lines.  Whether the rest is torn or damaged is told, not raised.

    Raises:
        FormatVersionError: a line needs a newer plainstate.

    Cost: one CRC and one decode per line.
    """
    return parse_lines(
        data,
        lambda lines: _decode_lines(lines, path, line_number),
        _synced,
        path=path,
        previous=previous,
        line_number=line_number,
        remedy="The lines before it are intact (salvage reads them); "
        "restore the file from a copy, or cut it back to them: `plainstate repair --cut`.",
    )


def parse_lines(
    data: bytes,
    decode: Callable[[bytes], list[L]],
    synced: Callable[[bytes], tuple[int, int] | None],
    *,
    path: str,
    previous: int,
    line_number: int,
    remedy: str,
) -> Journal[L]:
    """Reads sealed lines of any grammar; result and errors as in `parse`.

    Args:
        data: the bytes.
        decode: makes records, which have a `seq`, of intact lines, one or more.
        synced: of an intact line behind a bad one: its number, and the last number that was
            durable when it was written; `None` if it does not say.
        path: for messages.
        previous: `sum` of the line before `data`.
        line_number: number of the first line in `data`.
        remedy: what to do about a damaged line.
    """
    size, good, check = _intact(data, previous)
    journal = Journal(decode(data[:size]) if size else [], size, check)
    rest = data[size:].rstrip(BLANK)
    if rest:
        number = line_number + good
        first_bad = journal.records[-1].seq + 1 if journal.records else None
        moved, *_ = _intact(rest.lstrip(b" \n"), check)  # whole, as no power cut leaves it
        if not moved and _is_torn(rest, first_bad, synced):
            journal.torn = rest
        else:
            journal.damage = DamagedError(
                f"{path}, line {number}: the checksum does not match",
                hint=remedy,
                path=path,
                line=number,
            )
    return journal


def _intact(data: bytes, check: int) -> tuple[int, int, int]:
    """How far lines continue each other: bytes, lines, and the `sum` of the last one."""
    view = memoryview(data)
    start = 0
    while (end := data.find(b"\n", start)) >= 0:
        body = end - _SUM_LENGTH
        expected = crc32(view[start:body], check)
        if data[body:end] != b',"sum":"%08x"}' % expected:
            break
        check = expected
        start = end + 1
    return start, data.count(b"\n", 0, start), check


def _decode_lines(data: bytes, path: str, line_number: int) -> list[Record]:
    """Records of whole, intact lines."""
    end = 0
    while data.startswith(_HEAD_PREFIX, end):
        end = data.index(b"\n", end) + 1
    wrong = msgspec.ValidationError, msgspec.DecodeError
    with suppress(*wrong):  # the usual journal: heads at its beginning only
        records: list[Record] = list(_decode_heads(_SUM.sub(b"}\n", data[:end])))
        return records + _decode_transactions(memoryview(data)[end:])
    lines = lines_of(data)
    try:
        return [
            _head(line) if line.startswith(_HEAD_PREFIX) else _decode_transaction(line)
            for line in lines
        ]
    except wrong:
        return [_decode_unusual(line, path, at) for at, line in enumerate(lines, line_number)]


def lines_of(data: bytes) -> list[bytes]:
    """Whole lines without their newlines."""
    return data[:-1].split(b"\n")


def _head(line: bytes) -> HeadRecord:
    return _decode_head(unsealed(line))


def unsealed(line: bytes) -> bytes:
    """A line without the `sum` that closes it."""
    return line[:-_SUM_LENGTH] + b"}"


def _decode_unusual(line: bytes, path: str, number: int) -> Record:
    """Decodes a line with optional keys, or says what this version lacks."""
    is_head = line.startswith(_HEAD_PREFIX)
    try:
        members, extra = known_members(line, HeadRecord if is_head else TransactionRecord, path)
        if is_head:
            return msgspec.structs.replace(msgspec.convert(members, HeadRecord), extra=extra)
        return msgspec.convert(members, TransactionRecord)
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise DamagedError(
            f"{path}, line {number}: the checksum is right but the line is not: {error}",
            hint="It was not written by plainstate; restore the file from a copy.",
            path=path,
            line=number,
        ) from error


def known_members(
    line: bytes, kind: type[Struct], path: str
) -> tuple[dict[str, Json], dict[str, Json]]:
    """The members of a line that `kind` knows, and the optional ones (`x-…`).

    Raises:
        FormatVersionError: it has others, or is of a newer format.
    """
    members = _decode_object(line)
    version = members.get("plainstate", FORMAT)
    if version != FORMAT:
        raise _too_new(path, f"format {version}")
    extra = {key: value for key, value in members.items() if key.startswith("x-")}
    known = {key: value for key, value in members.items() if key not in extra}
    names = {*kind.__struct_fields__, "sum"} - {"extra"}
    for key in known:
        if key not in names:
            raise _too_new(path, f"the key {key!r}")
    if "sum" not in kind.__struct_fields__:
        del known["sum"]
    return known, extra


def _too_new(path: str, needed: str) -> FormatVersionError:
    return FormatVersionError(
        f"{path} was written by a newer plainstate: it needs {needed}",
        hint="Upgrade plainstate (pip install --upgrade plainstate) and try again.",
        path=path,
        needed=needed,
    )


def _is_torn(
    rest: bytes, seq: int | None, synced: Callable[[bytes], tuple[int, int] | None]
) -> bool:
    """Whether bad bytes can be the trace of a write that was never acknowledged.

    A write that a crash cut off leaves a missing end or unwritten sectors, which
    read as NUL or blanks; and nothing behind it can know it to be durable.  Editors
    leave empty lines.
    """
    unwritten = b"\0" in rest or rest.startswith(BLANK) or _HOLE in rest or not rest.strip(b" \n")
    if rest.endswith(b"\n") and not unwritten:
        return False
    lines = rest.split(b"\n")[:-1]
    for before, line in pairwise(lines):
        later = synced(line) if _continues(before, line) else None
        if later is None:
            continue
        number, durable = later
        first_bad = number - 1 if seq is None else min(seq, number - 1)
        if durable >= first_bad:
            return False
    return True


def _continues(before: bytes, line: bytes) -> bool:
    """Whether a line behind damage is intact."""
    try:
        previous = int(before[-10:-2], 16)
    except ValueError:
        return False
    return line[-_SUM_LENGTH:] + b"\n" == end_of_line(crc32(line[:-_SUM_LENGTH], previous))


def _synced(line: bytes) -> tuple[int, int] | None:
    """What a transaction behind damage says.  A head does not say what was durable."""
    if line.startswith(_HEAD_PREFIX):
        return None
    try:
        transaction = _decode_transaction(line)
    except (msgspec.ValidationError, msgspec.DecodeError):
        return None
    return transaction.seq, transaction.synced_seq
