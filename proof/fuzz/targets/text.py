"""Names, ids, times, addresses, pointers: short texts that callers pass on from others."""

from __future__ import annotations

import argparse
import os
import posixpath
import unicodedata
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Final
from urllib.parse import quote

from plainstate.cli import places, quantities
from plainstate.core import names, pointer, times
from plainstate.core.feed import Cursor, follower_cursor
from plainstate.core.record import encode_transaction, parse
from plainstate.engines.file import layout
from plainstate.engines.file.disk import SUFFIXES
from plainstate.errors import (
    InvalidCursorError,
    InvalidNameError,
    InvalidPatchError,
    InvalidUrlError,
    InvalidValueError,
    UsageError,
)
from plainstate.limits import MAX_CATEGORY_BYTES, MAX_CATEGORY_PARTS, MAX_TX_ID_BYTES
from plainstate.store import place_of
from proof.fuzz.oracle import documented, text_of

__all__ = ["address", "category", "cursor", "name", "point", "quantity", "time", "tx_id"]

_BASE: Final = "/base"
_FILE_BYTES: Final = 255
_BIDI: Final = {"LRE", "RLE", "PDF", "LRO", "RLO", "LRI", "RLI", "FSI", "PDI"}
_MARKS: Final = "\u061c\u200e\u200f"
_ENDINGS: Final = (".json", ".md", ".jsonl", ".mdl")


def name(data: bytes) -> None:
    """A name that is accepted is one file right in its category, and is found there again.

    Its characters are judged by Unicode's own classes.  One that is refused is no document
    when it lies on disk either.
    """
    text = text_of(data)
    try:
        names.check_name(text)
    except InvalidNameError as error:
        error.hint.encode()
        str(error).encode()
        assert layout.document_in("notes", f"{text}.md") is None
        return
    _is_harmless(text)
    for suffix in _ENDINGS:
        path = f"{_BASE}/{text}{suffix}"
        assert posixpath.normpath(path) == path
        assert posixpath.dirname(path) == _BASE
        assert len(os.fsencode(f"{text}{suffix}")) <= _FILE_BYTES
    for kind, suffix in SUFFIXES.items():
        document = layout.document_in("notes", f"{text}{suffix}")
        assert document is not None
        assert (document.name, document.kind) == (text, kind)


def category(data: bytes) -> None:
    """A category that is accepted is a folder below the store, and none of the store's own.

    It is accepted exactly when each part is a name that does not end like a file, within the
    limits.  With a name behind it, DOC on the command line means it again.
    """
    text = text_of(data)
    parts = text.split("/")
    allowed = (
        all(_accepts(part) and not part.lower().endswith(_ENDINGS) for part in parts)
        and len(parts) <= MAX_CATEGORY_PARTS
        and len(text.encode(errors="surrogatepass")) <= MAX_CATEGORY_BYTES
    )
    assert layout.is_category(text) == allowed
    with documented(InvalidNameError):
        names.check_category(text)
    with documented(UsageError):
        places.parse_doc(text)
    if not allowed:
        return
    path = f"{_BASE}/{text}"
    assert posixpath.normpath(path) == path
    assert os.path.commonpath([_BASE, path]) == _BASE
    assert path != _BASE
    assert not text.startswith(".")
    assert places.parse_doc(f"{text}/plan.md") == places.Place(text, "plan", "markdown")


def tx_id(data: bytes) -> None:
    """An id that is accepted stays itself in a journal line, and does not end the line."""
    text = text_of(data)
    with documented(InvalidNameError):
        names.check_tx_id(text)
        assert 1 <= len(text) <= MAX_TX_ID_BYTES
        line, _ = encode_transaction(1, text, "now", [], previous=0, synced=0)
        assert line.count(b"\n") == 1
        records = parse(line, path="journal").records
        assert [record.tx for record in records] == [text]


def time(data: bytes) -> None:
    """What is read as a time is written and read as the same, and Python agrees with it.

    Of several times, one a line, the order of the texts is that of the instants.
    """
    stamps = []
    for text in text_of(data).split("\n"):
        with documented(InvalidValueError):
            ns = times.parse(text)
            stamps.append((ns, text))
            written = times.format(ns)
            assert times.parse(written) == ns
            moment = times.to_datetime(ns)
            assert times.from_datetime(moment) == ns // 1000 * 1000
            assert moment == _by_python(text)
    for (one, text), (two, other) in pairwise(stamps):
        assert times.is_later(text, other) == (one > two)
        assert times.is_later(other, text) == (two > one)


def cursor(data: bytes) -> None:
    """A cursor that is read is written as an equal one; a follower's file gives one or none."""
    with documented(InvalidCursorError):
        read = Cursor.parse(text_of(data))
        assert Cursor.parse(str(read)) == read
        assert read.segment >= 0
        assert read.offset >= 0
    found = follower_cursor(data)
    assert found is None or Cursor.parse(str(found)) == found


def address(data: bytes) -> None:
    """An address that is accepted names one absolute path, which the system can be asked for.

    The URL of that path names it again.
    """
    text = text_of(data)
    with documented(InvalidUrlError):
        place = place_of(text)
        if place == "memory:":
            assert text == place
            return
        os.fsencode(place)
        assert os.path.abspath(place) == place
        assert "\0" not in place
        assert place_of(place) == place
        assert place_of("file://" + quote(os.fsencode(place))) == place


def point(data: bytes) -> None:
    """A pointer is written as it was read, and finds a place exactly where its steps lead."""
    text = text_of(data)
    tree = {"a": [10, {"b/c": 1, "~": 2, "": 3}], "": {"0": [[]]}}
    try:
        steps = pointer.parse(text)
    except InvalidPatchError:
        assert text
        return
    assert pointer.format(steps) == text
    assert len(steps) == text.count("/")
    with suppress(LookupError):
        found = pointer.resolve(tree, text)
        at: object = tree
        for step in steps:
            at = at[int(step)] if isinstance(at, list) else at[step]  # type: ignore[index]
        assert at is found


def quantity(data: bytes) -> None:
    """What is typed as a number, an age, a size or a version is understood or refused."""
    text = text_of(data)
    for read in (quantities.whole, quantities.count, quantities.size_bytes):
        with suppress(argparse.ArgumentTypeError):
            assert read(text) >= 0
    with suppress(argparse.ArgumentTypeError):
        assert quantities.age(text) >= timedelta(0)
    with suppress(argparse.ArgumentTypeError):
        quantities.place_in_past(text)


def _accepts(part: str) -> bool:
    try:
        names.check_name(part)
    except InvalidNameError:
        return False
    return True


def _is_harmless(text: str) -> None:
    assert unicodedata.normalize("NFC", text) == text
    assert text == text.strip()
    assert ".." not in text
    assert not text.startswith(".")
    assert not text.endswith(".")
    for character in text:
        code = ord(character)
        assert character not in "/\\"
        assert character not in _MARKS
        assert unicodedata.category(character) not in {"Cc", "Cs", "Zl", "Zp"}
        assert unicodedata.bidirectional(character) not in _BIDI
        assert code & 0xFFFE != 0xFFFE  # noqa: PLR2004 - the last two of each plane
        assert not 0xFDD0 <= code <= 0xFDEF  # noqa: PLR2004 - and these


def _by_python(text: str) -> datetime:
    """The same instant, read by Python, which knows microseconds only."""
    seconds, _, rest = text.upper().partition(".")
    if not rest:
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    digits = rest.rstrip("Z") if rest.endswith("Z") else rest[:-6]
    zone = rest[len(digits) :]
    return datetime.fromisoformat(f"{seconds}.{digits[:6].ljust(6, '0')}{zone}").astimezone(UTC)
