"""What an archive says of itself: its format first, a line for each document last.

`docs/format/archive.md` specifies both.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Final

from msgspec import DecodeError, Struct, json

from plainstate.core import codec
from plainstate.core.decoding import reader
from plainstate.documents import document_id
from plainstate.errors import InvalidNameError
from plainstate.limits import MAX_MANIFEST_LINE_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from plainstate.types import DocumentId, Json, Kind

__all__ = [
    "FIRST",
    "FORMAT",
    "LAST",
    "BadManifestError",
    "Line",
    "content",
    "digest",
    "document_of",
    "file_of",
    "format_of",
    "line_of",
    "lines",
    "opening",
]

FORMAT: Final = 1
"""The version that is written, and the only one that is read."""

FIRST: Final = "ARCHIVE.json"
LAST: Final = "MANIFEST.jsonl"
"""Beside the categories, where no document can be."""

_KEY: Final = "plainstate-archive"
_SUFFIXES: Final[dict[Kind, str]] = {"json": ".json", "markdown": ".md"}


class BadManifestError(Exception):
    """A line is not what it should be; `importing.py` makes the public error of it."""


class Line(Struct, frozen=True, omit_defaults=True):
    """One document, as the manifest names it: what is in the archive, or why it is not."""

    file: str
    size: int = 0
    sha256: str = ""
    version: str = ""
    left_out: str = ""


_decode_line: Final = reader(json.Decoder(Line).decode)
_decode: Final = reader(json.decode)


def file_of(document: DocumentId) -> str:
    """The path of a document's plain file, in a store and in an archive."""
    return f"{document}{_SUFFIXES[document.kind]}"


def document_of(file: str) -> DocumentId:
    """The document that a file in an archive is.

    Raises:
        InvalidNameError: no store would take it.

    Example:
        >>> document_of("notes/plan.md")
        DocumentId(category='notes', name='plan', kind='markdown')
    """
    category, _, name = file.rpartition("/")
    for kind, suffix in _SUFFIXES.items():
        if name.endswith(suffix):
            return document_id(category, name.removesuffix(suffix), kind)
    raise InvalidNameError(
        f"{file!r} is no document", hint="Documents end in .json or .md.", name=file
    )


def content(kind: Kind, value: Json) -> bytes:
    """The bytes of a document: its plain file as a fold writes it."""
    return value.encode() if kind == "markdown" else codec.encode_pretty(value)


def digest(data: bytes) -> str:
    """What the manifest says of a file's bytes: SHA-256, which `sha256sum` prints as well."""
    return sha256(data).hexdigest()


def opening() -> bytes:
    """The content of the first file."""
    return codec.encode_pretty({_KEY: FORMAT})


def format_of(data: bytes) -> int:
    """The format version in the first file.

    Raises:
        BadManifestError: it says none.
    """
    try:
        version = _decode(data)[_KEY]
    except (DecodeError, TypeError, KeyError) as error:
        raise BadManifestError("it does not tell the format version") from error
    if type(version) is not int:
        raise BadManifestError("the format version is not a whole number")
    return version


def line_of(line: Line) -> bytes:
    """One line of the manifest."""
    return json.encode(line) + b"\n"


def lines(pieces: Iterable[bytes]) -> Iterator[Line]:
    """The lines of a manifest that comes in pieces.

    Raises:
        BadManifestError: one is malformed, or longer than a line can be.
    """
    rest = b""
    for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n")
        if len(rest) > MAX_MANIFEST_LINE_BYTES:
            raise BadManifestError("a line is too long")
        yield from map(_line, whole)
    if rest:
        raise BadManifestError("the last line is cut short")


def _line(data: bytes) -> Line:
    try:
        return _decode_line(data)
    except DecodeError as error:
        raise BadManifestError(f"a line is malformed: {error}") from error
