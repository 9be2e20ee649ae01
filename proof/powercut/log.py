"""The log of a disk: every write, zeroed range and flush, in the order in which they came.

A record is a fixed head and, for a write, its bytes.
"""

from __future__ import annotations

import bisect
import errno
import os
import struct
from enum import IntEnum
from typing import Final, NamedTuple

from proof.powercut import kernel

__all__ = ["Kind", "Log", "LogWriter", "Record"]

_HEAD: Final = struct.Struct("<B7xQQ")  # kind, offset, length


class Kind(IntEnum):
    """What the disk was asked to do."""

    WRITE = 1
    FLUSH = 2
    ZERO = 3


class Record(NamedTuple):
    """One request.

    Attributes:
        kind: what was asked.
        offset: where on the disk.
        length: bytes.
        place: where in the log the bytes of a write lie.
    """

    kind: Kind
    offset: int
    length: int
    place: int


class LogWriter:
    """Appends records."""

    def __init__(self, path: str) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)

    def append(
        self, kind: Kind, offset: int = 0, length: int = 0, data: bytes | memoryview = b""
    ) -> None:
        """Appends one record, which is complete or an error."""
        written = os.writev(self._fd, [_HEAD.pack(kind, offset, length), data])
        if written != _HEAD.size + len(data):
            raise OSError(errno.ENOSPC, "the log could not be written")


class Log:
    """A complete log.

    Attributes:
        records: what was asked, in order.
    """

    def __init__(self, path: str) -> None:
        self._fd = os.open(path, os.O_RDONLY)
        self.records = list(self._read())
        self._flushes = [n for n, record in enumerate(self.records) if record.kind == Kind.FLUSH]

    def close(self) -> None:
        """Closes the file."""
        os.close(self._fd)

    def flushes_between(self, begin: int, end: int) -> int:
        """How many flushes there are among the records `begin` to `end`."""
        return bisect.bisect_left(self._flushes, end) - bisect.bisect_left(self._flushes, begin)

    def durable_before(self, point: int) -> int:
        """How many records are certainly durable when the power fails before record `point`."""
        earlier = bisect.bisect_left(self._flushes, point)
        return self._flushes[earlier - 1] if earlier else 0

    def apply(self, number: int, image: int, part: slice | None = None) -> None:
        """Does to an image what a record says.

        Args:
            number: which record.
            image: descriptor of the image.
            part: only these bytes of a write.
        """
        record = self.records[number]
        if record.kind == Kind.WRITE:
            first, last, _ = (part or slice(None)).indices(record.length)
            data = os.pread(self._fd, last - first, record.place + first)
            os.pwrite(image, data, record.offset + first)
        elif record.kind == Kind.ZERO:
            kernel.zero_range(image, record.offset, record.length)

    def _read(self) -> list[Record]:
        records = []
        place = 0
        while len(head := os.pread(self._fd, _HEAD.size, place)) == _HEAD.size:
            kind, offset, length = _HEAD.unpack(head)
            place += _HEAD.size
            records.append(Record(Kind(kind), offset, length, place))
            if kind == Kind.WRITE:
                place += length
        return records
