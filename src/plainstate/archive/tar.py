"""The tar layer: a small, strict part of the POSIX pax format.

The `tarfile` module reads everything that was ever called tar, and headers of any size into
memory.  An archive of ours needs regular files only, so a header is read by this rule: it must
be, byte for byte, what `header` writes for its name, size and time.  Links, devices, sparse
files, wrong checksums and every ambiguity are refused by that one comparison.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from msgspec import Struct

from plainstate.limits import MAX_CATEGORY_BYTES, MAX_NAME_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["END", "BadTarError", "Member", "Source", "header", "members", "padding"]

_BLOCK: Final = 512
_NAME_BYTES: Final = 100
_MAX_OCTAL: Final = 8**11 - 1
_MAX_PAX_BYTES: Final = MAX_CATEGORY_BYTES + MAX_NAME_BYTES + 64
_CHUNK_BYTES: Final = 64 * 1024

# Where in a header block.
_SIZE: Final = slice(124, 136)
_TIME: Final = slice(136, 148)
_KIND: Final = slice(156, 157)

_FILE: Final = b"0"
_PAX: Final = b"x"
_REFUSED: Final = {
    b"1": "a hard link",
    b"2": "a symbolic link",
    b"3": "a device",
    b"4": "a device",
    b"5": "a folder",
    b"6": "a pipe",
}

END: Final = bytes(2 * _BLOCK)
"""What ends an archive: two blocks of zeros."""


class BadTarError(Exception):
    """The bytes are not what `header` writes; `importing.py` makes the public error of it."""

    def __init__(self, reason: str, member: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.member = member


class Source(Protocol):
    """Where bytes come from."""

    def read(self, size: int) -> bytes:
        """Exactly `size` bytes; raises where there are fewer."""


class Member(Struct, frozen=True):
    """A file in an archive.

    Attributes:
        path: its name, with `/` between folders.
        size: its bytes.
    """

    path: str
    size: int


def header(path: str, size: int, mtime: int = 0) -> bytes:
    """The blocks before a file's bytes.

    Args:
        path: relative, with `/` between folders.
        size: of the file, in bytes.
        mtime: when it was changed, seconds since the epoch; moved to what tar can say.

    Example:
        >>> header("notes/plan.md", 7)[:13], len(header("notes/plan.md", 7))
        (b'notes/plan.md', 512)
    """
    name = path.encode()
    mtime = min(max(mtime, 0), _MAX_OCTAL)
    if path.isascii() and len(name) <= _NAME_BYTES:
        return _block(name, size, mtime, _FILE)
    record = _pax_record(name)
    short = path.encode("ascii", "replace")[:_NAME_BYTES]  # for tools that know no pax
    return (
        _block(b"././@PaxHeader", len(record), 0, _PAX)
        + record
        + padding(len(record))
        + _block(short, size, mtime, _FILE)
    )


def padding(size: int) -> bytes:
    """The zeros behind `size` bytes, up to a whole block."""
    return bytes(-size % _BLOCK)


def members(source: Source) -> Iterator[tuple[Member, Iterator[bytes]]]:
    """The files of an archive, each with its bytes in pieces.

    What the caller does not read of a file is passed over.  The end marker is read, too.

    Raises:
        BadTarError: a header is not in the form that `header` writes.
    """
    while True:
        block = source.read(_BLOCK)
        if not any(block):
            if any(source.read(_BLOCK)):
                raise BadTarError("one block of zeros does not end an archive")
            return
        member = _member(source, block)
        pieces = _pieces(source, member.size)
        yield member, pieces
        for _ in pieces:
            pass


def _member(source: Source, first: bytes) -> Member:
    """Reads the rest of a header, and compares the whole with what it would have to be."""
    last, between, name = first, b"", first[:_NAME_BYTES].rstrip(b"\0")
    if first[_KIND] == _PAX:
        length = _number(first[_SIZE])
        if length > _MAX_PAX_BYTES:
            raise BadTarError(f"a name of {length:,} bytes is too long")
        between = source.read(length + -length % _BLOCK)
        name = between[:length].partition(b" path=")[2].removesuffix(b"\n")
        last = source.read(_BLOCK)
    try:
        path = name.decode()
    except UnicodeDecodeError:
        raise BadTarError(f"the name {name!r} is not UTF-8") from None
    if last[_KIND] in _REFUSED:
        raise BadTarError(f"it is {_REFUSED[last[_KIND]]}, not a plain file", path)
    size = _number(last[_SIZE])
    whole = last if first is last else first + between + last
    if whole != header(path, size, _number(last[_TIME])):
        raise BadTarError("its header is not in the form of our archives", path)
    return Member(path, size)


def _pieces(source: Source, size: int) -> Iterator[bytes]:
    left = size
    while left:
        piece = source.read(min(left, _CHUNK_BYTES))
        left -= len(piece)
        yield piece
    if any(source.read(-size % _BLOCK)):
        raise BadTarError("there is something between two files")


def _block(name: bytes, size: int, mtime: int, kind: bytes) -> bytes:
    """A header block of POSIX ustar."""
    before = (
        name.ljust(_NAME_BYTES, b"\0")
        + b"0000600\0"  # mode: as in a store, only the owner reads and writes
        + b"0000000\0" * 2  # owner and group
        + b"%011o\0%011o\0" % (size, mtime)
    )
    behind = (
        kind
        + bytes(100)  # target of a link
        + b"ustar\x0000"
        + bytes(64)  # names of owner and group
        + b"0000000\0" * 2  # number of a device
        + bytes(155 + 12)  # beginning of a long name, and the rest of the block
    )
    checksum = sum(before) + sum(behind) + 8 * ord(" ")
    return before + b"%06o\0 " % checksum + behind


def _pax_record(name: bytes) -> bytes:
    """`LENGTH path=NAME`, where the length counts its own digits."""
    rest = b" path=" + name + b"\n"
    length = len(rest) + 1
    while len(b"%d" % length) + len(rest) != length:
        length += 1
    return b"%d" % length + rest


def _number(field: bytes) -> int:
    digits = field.rstrip(b"\0")
    if not digits.isdigit() or b"8" in digits or b"9" in digits:
        raise BadTarError("a header is damaged, or this is no tar file")
    return int(digits, 8)
