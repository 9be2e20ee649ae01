"""What every target demands, whatever it fuzzes."""

from __future__ import annotations

import json
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from plainstate.errors import PlainstateError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["MARK", "documented", "is_sealed", "lines_in", "same", "sealed", "text_of"]

MARK: Final = b"~"
"""First byte of an input that a target makes something of: right checksums, for example, which no
mutation would find."""

_TAIL: Final = len(',"sum":"00000000"}')


@contextmanager
def documented(*kinds: type[PlainstateError]) -> Iterator[None]:
    """Passes over an error that plainstate documents, if it can be printed and stored.

    Any other error is a finding, also one of another kind where some are named.
    """
    try:
        yield
    except PlainstateError as error:
        if kinds and not isinstance(error, kinds):
            raise
        if not error.message:
            raise AssertionError("an error says nothing") from error
        f"{error.message}{error.hint}".encode()


def text_of(data: bytes) -> str:
    """Any bytes as text, also such as no UTF-8 can say: with lone surrogates of every kind.

    Behind `MARK` each two bytes are a character, so that a mutation makes any one of them.
    """
    if data.startswith(MARK):
        return data[1:].decode("utf-16-le", "replace" if len(data) % 2 == 0 else "surrogatepass")
    try:
        return data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return data.decode("utf-8", "surrogateescape")


def lines_in(data: bytes, *, chained: bool = True) -> bytes:
    """The file that an input stands for: as it is, or with right checksums behind `MARK`."""
    return sealed(data[1:], chained=chained) if data.startswith(MARK) else data


def sealed(data: bytes, *, chained: bool = True) -> bytes:
    """Closes each line that looks like an object with its checksum; others stay as they are.

    Args:
        data: lines; one that has a checksum gets the right one instead.
        chained: each checksum starts with the one before, as in a journal.
    """
    check, out = 0, []
    for line in data.split(b"\n"):
        if not line.startswith(b"{") or not line.endswith(b"}"):
            out.append(line)
            continue
        body = line[:-1]
        if line[-_TAIL:].startswith(b',"sum":"'):
            body = line[:-_TAIL]
        check = zlib.crc32(body, check if chained else 0)
        out.append(b'%b,"sum":"%08x"}' % (body, check))
    return b"\n".join(out)


def is_sealed(line: bytes, previous: int = 0) -> bool:
    """Whether a line has its right checksum, computed here and not by plainstate."""
    return line[-_TAIL:] == b',"sum":"%08x"}' % zlib.crc32(line[:-_TAIL], previous)


def same(one: Any, other: Any) -> bool:
    """Whether two JSON trees are written alike, but for the order of members."""
    return _canonical(one) == _canonical(other)


def _canonical(tree: Any) -> str:
    return json.dumps(tree, sort_keys=True)
