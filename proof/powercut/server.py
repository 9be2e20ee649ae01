"""The process behind the disk: serves one image file through FUSE and logs what is asked.

Only as much of the protocol as one file needs; names and layouts are those of linux/fuse.h.
The campaign starts it, see `disk.py`.
"""

from __future__ import annotations

import ctypes
import errno
import json
import mmap
import os
import signal
import stat
import struct
import sys
from enum import IntEnum
from typing import Final, NamedTuple

from proof.powercut import kernel
from proof.powercut.log import Kind, LogWriter

__all__ = ["DISK_NAME", "MAX_WRITE_BYTES", "NO_FAULTS", "Counters", "Faults"]

DISK_NAME: Final = "disk"
MAX_WRITE_BYTES: Final = 1 << 20

_HEADER: Final = struct.Struct("<IIQQIIIHH")  # length, opcode, unique, node, …
_WRITE_BODY: Final = 40
_ROOT: Final = 1
_FILE: Final = 2
_FOREVER_S: Final = 3600
_PUNCH_HOLE_OR_ZERO_RANGE: Final = 0x02 | 0x10
_FOPEN_DIRECT_IO: Final = 1
_WANTED_FLAGS: Final = 1 | 1 << 5 | 1 << 22  # ASYNC_READ, BIG_WRITES, MAX_PAGES


class _Op(IntEnum):
    LOOKUP = 1
    FORGET = 2
    GETATTR = 3
    SETATTR = 4
    OPEN = 14
    READ = 15
    WRITE = 16
    STATFS = 17
    RELEASE = 18
    FSYNC = 20
    FLUSH = 25
    INIT = 26
    OPENDIR = 27
    READDIR = 28
    RELEASEDIR = 29
    FSYNCDIR = 30
    ACCESS = 34
    INTERRUPT = 36
    DESTROY = 38
    BATCH_FORGET = 42
    FALLOCATE = 43


_UNANSWERED: Final = {_Op.FORGET, _Op.BATCH_FORGET, _Op.INTERRUPT}
_SIMPLY_DONE: Final = {
    _Op.RELEASE,
    _Op.FLUSH,
    _Op.READDIR,
    _Op.RELEASEDIR,
    _Op.ACCESS,
    _Op.DESTROY,
}


class Counters:
    """Numbers that the server and the campaign share.

    Aligned 64-bit fields are stored by one instruction.  `struct.pack_into` stores byte by
    byte, and another process can read 256 while 255 becomes 256, or 0.

    Attributes:
        records: how many the log has.
        refused: how many writes and flushes were failed on purpose.
        armed: whether to fail them now.
    """

    BYTES: Final = mmap.PAGESIZE

    def __init__(self, fd: int) -> None:
        shared = mmap.mmap(fd, self.BYTES)
        self.records = ctypes.c_uint64.from_buffer(shared, 0)
        self.refused = ctypes.c_uint64.from_buffer(shared, 8)
        self.armed = ctypes.c_uint64.from_buffer(shared, 16)


class Faults(NamedTuple):
    """Disk writes and flushes to fail with EIO.

    Attributes:
        text: what a write must contain; so data is hit and the file system's own is not.
        writes: how many such writes pass first, and how many fail then.
        flushes: the same of flushes.
    """

    text: str
    writes: tuple[int, int]
    flushes: tuple[int, int]


NO_FAULTS: Final = Faults("", (0, 0), (0, 0))


class _RefusedError(Exception):
    """A request is answered with an error number."""


class _Server:
    def __init__(
        self, fuse: int, image: str, log: LogWriter, counters: Counters, faults: Faults
    ) -> None:
        self._fuse = fuse
        self._image = os.open(image, os.O_RDWR)
        self._size = os.path.getsize(image)
        self._log = log
        self._counters = counters
        self._text = faults.text.encode()
        self._faulty_writes = list(faults.writes)
        self._faulty_flushes = list(faults.flushes)

    def serve(self) -> None:
        """Answers until the file is unmounted."""
        buffer = bytearray(MAX_WRITE_BYTES + mmap.PAGESIZE)
        view = memoryview(buffer)
        while True:
            try:
                size = os.readv(self._fuse, [buffer])
            except OSError as error:
                if error.errno == errno.ENODEV:
                    return
                if error.errno in (errno.EINTR, errno.ENOENT, errno.EAGAIN):
                    continue
                raise
            _, code, unique, node, *_ = _HEADER.unpack_from(buffer)
            if code in _UNANSWERED:
                continue
            try:
                self._reply(unique, self._answer(code, node, view[_HEADER.size : size]))
            except _RefusedError as refusal:
                self._reply(unique, b"", refusal.args[0])

    def _reply(self, unique: int, payload: bytes, error: int = 0) -> None:
        head = struct.pack("<IiQ", 16 + len(payload), -error, unique)
        try:
            os.writev(self._fuse, [head, payload])
        except OSError as failure:
            if failure.errno not in (errno.ENOENT, errno.EINTR):  # nobody waits any more
                raise

    def _answer(self, code: int, node: int, body: memoryview) -> bytes:  # noqa: C901 - one case per request
        match code:
            case _Op.WRITE:
                return self._write(body)
            case _Op.READ:
                _, offset, size = struct.unpack_from("<QQI", body)
                return os.pread(self._image, size, offset)
            case _Op.FSYNC | _Op.FSYNCDIR:
                self._fail_if_due(self._faulty_flushes)
                self._note(Kind.FLUSH)
            case _Op.FALLOCATE:
                self._zero(body)
            case _Op.INIT:
                return _init(body)
            case _Op.LOOKUP:
                if bytes(body).partition(b"\0")[0] != DISK_NAME.encode():
                    raise _RefusedError(errno.ENOENT)
                entry = struct.pack("<4QII", _FILE, 1, _FOREVER_S, _FOREVER_S, 0, 0)
                return entry + self._attributes(_FILE)
            case _Op.GETATTR | _Op.SETATTR:
                return struct.pack("<QII", _FOREVER_S, 0, 0) + self._attributes(node)
            case _Op.OPEN:
                return struct.pack("<QII", 1, _FOPEN_DIRECT_IO, 0)
            case _Op.OPENDIR:
                return struct.pack("<QII", 1, 0, 0)
            case _Op.STATFS:
                blocks = 1 << 20
                return struct.pack("<5Q4I24x", blocks, blocks, blocks, 9, 9, 4096, 255, 4096, 0)
            case _ if code not in _SIMPLY_DONE:
                raise _RefusedError(errno.ENOSYS)
        return b""

    def _write(self, body: memoryview) -> bytes:
        _, offset, size = struct.unpack_from("<QQI", body)
        data = body[_WRITE_BODY : _WRITE_BODY + size]
        if self._faulty_writes[1] and self._text in bytes(data):
            self._fail_if_due(self._faulty_writes)
        os.pwrite(self._image, data, offset)
        self._note(Kind.WRITE, offset, size, data)
        return struct.pack("<II", size, 0)

    def _fail_if_due(self, due: list[int]) -> None:
        """Fails a request, if that many were passed over and that many are to be failed."""
        if not self._counters.armed.value:
            return
        if due[0]:
            due[0] -= 1
        elif due[1]:
            due[1] -= 1
            self._counters.refused.value += 1
            raise _RefusedError(errno.EIO)

    def _zero(self, body: memoryview) -> None:
        _, offset, size, mode = struct.unpack_from("<QQQI", body)
        if not mode & _PUNCH_HOLE_OR_ZERO_RANGE:
            raise _RefusedError(errno.EOPNOTSUPP)
        kernel.zero_range(self._image, offset, size)
        self._note(Kind.ZERO, offset, size)

    def _note(
        self, kind: Kind, offset: int = 0, size: int = 0, data: bytes | memoryview = b""
    ) -> None:
        self._log.append(kind, offset, size, data)
        self._counters.records.value += 1  # before the reply: an acknowledgement comes after it

    def _attributes(self, node: int) -> bytes:
        is_file = node != _ROOT
        size = self._size if is_file else 0
        mode = stat.S_IFREG | 0o600 if is_file else stat.S_IFDIR | 0o755
        links = 1 if is_file else 2
        return struct.pack(
            "<6Q10I", node, size, size // 512, 0, 0, 0, 0, 0, 0, mode, links, 0, 0, 0, 4096, 0
        )


def _init(body: memoryview) -> bytes:
    _, minor, read_ahead, flags = struct.unpack_from("<IIII", body)
    pages = MAX_WRITE_BYTES // mmap.PAGESIZE
    return struct.pack(
        "<IIIIHHIIHHI28x",
        *(7, min(minor, 31), read_ahead, flags & _WANTED_FLAGS),
        *(64, 48, MAX_WRITE_BYTES, 1, pages, 0, 0),
    )


def _main() -> None:
    kernel.die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    fuse, counters, image, log, faults = json.loads(sys.argv[1])
    server = _Server(fuse, image, LogWriter(log), Counters(counters), Faults(*faults))
    server.serve()


if __name__ == "__main__":
    _main()
