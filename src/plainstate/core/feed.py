"""Lines of the change feed, and cursors into it; grammar in `docs/format/feed.md`."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Final, NamedTuple, TypeAlias
from zlib import crc32

import msgspec
from msgspec import Struct

from plainstate.core import names
from plainstate.core.decoding import Seq, Version, reader
from plainstate.core.record import seal
from plainstate.errors import InvalidCursorError, InvalidNameError
from plainstate.types import ABSENT, Action, Change, DocumentId, Json, Kind

__all__ = [
    "MARK_LENGTH",
    "Cursor",
    "Found",
    "Lines",
    "bad_lines",
    "decode",
    "encode",
    "follower_cursor",
    "gather",
    "last_version",
    "mark",
    "parse",
]

_SUM_LENGTH: Final = len(',"sum":"00000000"}')
_BEGINNING: Final = b'{"document":'
_ACTION: Final = b'","action":"'
"""Behind the document and its kind; not in a text, where a backslash is before each quote."""

_SUM: Final = re.compile(rb'[0-9a-f]{8}"}\n')
MARK_LENGTH: Final = 11
"""Bytes at the end of a line that tell it from another one."""

_CURSOR: Final = re.compile(r"(\d{1,15})-(\d{1,15})-([0-9a-f]{8})", re.ASCII)


class _Line(Struct, omit_defaults=True):
    """The members of a line in the order in which they are written."""

    document: str
    kind: Kind
    action: Action
    seq: Seq
    version: Version | None
    tx: str
    time: str
    summary: dict[str, Json] | None = None
    moved: str | None = None


_encode = msgspec.json.Encoder().encode
_decode = reader(msgspec.json.Decoder(_Line).decode)
_decode_lines = reader(msgspec.json.Decoder(_Line).decode_lines)


class Cursor(NamedTuple):
    """A place in the feed: right behind a line, or at the beginning of a segment.

    Attributes:
        segment: number of the segment.
        offset: bytes of it that are behind.
        sum: of the last line before it, 8 hex digits.
    """

    segment: int
    offset: int = 0
    sum: str = "00000000"

    def __str__(self) -> str:
        return f"{self.segment}-{self.offset}-{self.sum}"

    @classmethod
    def parse(cls, text: str) -> Cursor:
        """Reads a cursor.

        Raises:
            InvalidCursorError: it is none.

        Example:
            >>> Cursor.parse("3-120-abf21345")
            Cursor(segment=3, offset=120, sum='abf21345')
        """
        match = _CURSOR.fullmatch(text)
        if match is None:
            raise InvalidCursorError(
                f"{text!r} is not a cursor of this store",
                hint="Pass one exactly as a change or page had it, or none.",
                cursor=text,
            )
        return cls(int(match[1]), int(match[2]), match[3])


def follower_cursor(file: bytes) -> Cursor | None:
    """How far a named follower has come, by its file; `None` if that is no follower's.

    Example:
        >>> follower_cursor(b'{"cursor":"3-120-abf21345","time":"2026-11-22T12:00:00Z"}')
        Cursor(segment=3, offset=120, sum='abf21345')
    """
    try:
        return Cursor.parse(msgspec.json.decode(file)["cursor"])
    except (ValueError, msgspec.MsgspecError, RecursionError, TypeError, KeyError):
        return None
    except InvalidCursorError:
        return None


Found: TypeAlias = dict[object, tuple[bytes, int, int]]
"""Intact lines, each with its segment and the offset behind it."""


class Lines(NamedTuple):
    """What a part of a segment tells.

    Attributes:
        changes: with their cursors.
        end: the cursor behind the part.
        gap: a bad line, or a part of one, was skipped.
    """

    changes: list[Change]
    end: Cursor
    gap: bool


def encode(
    document: DocumentId,
    action: Action,
    seq: int,
    version: str | None,
    tx_id: str,
    time: str,
    summary: dict[str, Json] | None = None,
    moved: DocumentId | None = None,
) -> bytes:
    r"""Makes a line; arguments as the attributes of `Change`.

    Example:
        >>> encode(DocumentId("notes", "plan", "markdown"), "create", 1, "1-ab", "t", "now")
        b'{"document":"notes/plan","kind":"markdown","action":"create","seq":1,"version":"1-ab","tx":"t","time":"now","sum":"da51f670"}\n'
    """
    line = _Line(
        f"{document.category}/{document.name}",
        document.kind,
        action,
        seq,
        version,
        tx_id,
        time,
        summary,
        None if moved is None else str(moved),
    )
    return seal(_encode(line), 0)[0]


def parse(data: bytes, start: Cursor, limit: int) -> Lines:
    """Reads whole lines.

    Args:
        data: bytes of the segment behind `start`, up to the end of a line.
        start: where they begin.
        limit: read at most so many changes.

    Cost: one CRC and one decode a line.
    """
    found: Found = {}
    end, gap = gather(data, start, found, limit)
    changes, foreign = decode(found)
    return Lines(changes, end, gap or foreign)


def gather(
    data: bytes, start: Cursor, found: Found, limit: int, *, newest_only: bool = False
) -> tuple[Cursor, bool]:
    """Adds whole lines to those that were found, without decoding them.

    Args:
        data: bytes of the segment behind `start`, up to the end of a line.
        start: where they begin.
        found: lines, each under what it must be the newest of; in the order of the feed.
        limit: of `found`; a line that would exceed it ends the part.
        newest_only: of each document, keep only the newest line.

    Returns:
        The cursor behind the part, and whether a bad line, or a part of one, was skipped.

    Cost: one CRC a line.
    """
    offset, last, gap = start.offset, b"", False
    for line in data.split(b"\n")[:-1]:
        intact = line if _is_intact(line) else _behind_a_part(line)
        end = offset + len(line) + 1
        if intact is not None:
            subject = intact[: intact.find(_ACTION)] if newest_only else (start.segment, end)
            if found.pop(subject, None) is None and len(found) >= limit:
                break
            found[subject] = intact, start.segment, end
        gap = gap or intact is not line
        offset, last = end, line
    at_sum = start.sum if offset == start.offset else mark(last[-10:] + b"\n")
    return Cursor(start.segment, offset, at_sum), gap


def decode(found: Found) -> tuple[list[Change], bool]:
    """The changes that lines tell, and whether some of these were passed over: a newer writer's."""
    try:
        lines = _decode_lines(b"\n".join(line for line, _, _ in found.values())) if found else []
        changes = [_change(one, *at) for one, at in zip(lines, found.values(), strict=True)]
    except (msgspec.ValidationError, msgspec.DecodeError):
        return _one_by_one(found)
    return changes, False


def bad_lines(data: bytes) -> list[int]:
    r"""The numbers of the lines of a segment that tell nothing, from 1; a part of a line at the
    end, without a newline, counts.

    Example:
        >>> bad_lines(b"rubbish\n")
        [1]
    """
    lines = data.split(b"\n")
    if not lines[-1]:
        lines.pop()
    return [number for number, line in enumerate(lines, 1) if not _tells(line)]


def _tells(line: bytes) -> bool:
    intact = line if _is_intact(line) else _behind_a_part(line)
    if intact is None:
        return False
    try:
        _change(_decode(intact), intact, 0, 0)
    except (msgspec.ValidationError, msgspec.DecodeError):
        return False
    return True


def mark(end: bytes) -> str:
    r"""What a cursor says about the line before it.

    Args:
        end: the last 11 bytes of that line, newline included, or all there are.

    Returns:
        Its `sum`; of a bad line, a CRC-32 of its end.

    Example:
        >>> mark(b'abf21345"}\n')
        'abf21345'
    """
    last = end[end.rfind(b"\n", 0, -1) + 1 :]
    if len(last) == MARK_LENGTH and _SUM.match(last):
        return last[:8].decode("ascii")
    return f"{crc32(last):08x}"


def last_version(data: bytes, document: DocumentId) -> str | None:
    """The version that the last intact line about a document in `data` tells; "absent" of a
    deletion, `None` if there is no such line."""
    beginning = _encode(_Line(str(document), document.kind, "edit", 0, None, "", ""))
    beginning = beginning[: beginning.index(b'"action"')]
    at = len(data)
    while (at := data.rfind(beginning, 0, at)) >= 0:
        end = data.find(b"\n", at)
        if end >= 0 and _is_intact(line := data[at:end]):
            with suppress(msgspec.DecodeError):  # a newer writer's
                version = _decode(line).version
                return ABSENT if version is None else version
    return None


def _is_intact(line: bytes) -> bool:
    return line[-_SUM_LENGTH:] == b',"sum":"%08x"}' % crc32(line[:-_SUM_LENGTH])


def _behind_a_part(line: bytes) -> bytes | None:
    """A whole line that was written behind a part of another one (F-3)."""
    at = line.rfind(_BEGINNING)
    return line[at:] if at > 0 and _is_intact(line[at:]) else None


def _one_by_one(found: Found) -> tuple[list[Change], bool]:
    changes, foreign = [], False
    for at in found.values():
        try:
            changes.append(_change(_decode(at[0]), *at))
        except (msgspec.ValidationError, msgspec.DecodeError):
            foreign = True
    return changes, foreign


def _change(line: _Line, source: bytes, segment: int, end: int) -> Change:
    return Change(
        cursor=f"{segment}-{end}-{source[-10:-2].decode()}",
        document=_document(line.document, line.kind),
        action=line.action,
        seq=line.seq,
        version=line.version,
        tx_id=line.tx,
        time=line.time,
        summary=line.summary,
        moved=None if line.moved is None else _document(line.moved, line.kind),
    )


def _document(text: str, kind: Kind) -> DocumentId:
    """The document of a line; whoever follows may use its name as a path.

    Raises:
        msgspec.ValidationError: it cannot be one.
    """
    category, _, name = text.rpartition("/")
    try:
        return DocumentId(names.check_plain_category(category), names.check_name(name), kind)
    except InvalidNameError as error:
        raise msgspec.ValidationError(error.message) from error
