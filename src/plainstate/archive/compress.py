"""The gzip layer (RFC 1952): one gzip member, nothing behind it.

Memory stays small whatever the bytes claim: nothing is expanded before it is asked for.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, BinaryIO, Final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["MAGIC", "BadGzipError", "Gunzip", "Gzip"]

MAGIC: Final = b"\x1f\x8b"
"""How a gzip file begins."""

_GZIP_FORM: Final = 16 + zlib.MAX_WBITS
_LEVEL: Final = 6
_CHUNK_BYTES: Final = 64 * 1024


class BadGzipError(Exception):
    """The bytes are cut short, altered, or no gzip; `importing.py` makes the public error of it."""


class Gzip:
    """Compresses what is written.  The same bytes in give the same bytes out: no time, no name.

    Args:
        write: takes the compressed bytes, all of them.
    """

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write = write
        self._zip = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP_FORM)

    def write(self, data: bytes | bytearray) -> None:
        """Adds bytes."""
        if packed := self._zip.compress(data):
            self._write(packed)

    def finish(self) -> None:
        """Ends the file.  Without it, whoever reads sees that it is cut short."""
        self._write(self._zip.flush())


class Gunzip:
    """Expands a file as it is read.

    Args:
        file: the compressed file, at its beginning.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._zip = zlib.decompressobj(_GZIP_FORM)
        self._ready = bytearray()

    def read(self, size: int) -> bytes:
        """Exactly `size` bytes.

        Raises:
            BadGzipError: there are fewer, or they are damaged.
        """
        while len(self._ready) < size:
            if not self._expand():
                raise BadGzipError("it is cut short")
        data = bytes(self._ready[:size])
        del self._ready[:size]
        return data

    def finish(self) -> None:
        """Checks the checksum at the end, and that nothing follows.

        Raises:
            BadGzipError: it is not so.
        """
        while not self._ready and self._expand():
            pass
        if not self._zip.eof:
            raise BadGzipError("there is more behind its end" if self._ready else "it is cut short")
        if self._ready or self._zip.unused_data or self._file.read(1):
            raise BadGzipError("there is more behind its end")

    def _expand(self) -> bool:
        """Expands the next piece; `False` at the end, whole or not."""
        if self._zip.eof:
            return False
        packed = self._zip.unconsumed_tail or self._file.read(_CHUNK_BYTES)
        try:
            piece = self._zip.decompress(packed, _CHUNK_BYTES)
        except zlib.error as error:
            raise BadGzipError("it is damaged, or no gzip file") from error
        self._ready += piece
        return bool(packed or piece)
