"""What the terminal gets: tables, JSON, progress.  Colours are not used; bold marks a hit."""

from __future__ import annotations

import json
import os
import re
import sys
import time
import unicodedata
from typing import TYPE_CHECKING, Any, Self, TextIO

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

__all__ = [
    "Progress",
    "clean",
    "fit",
    "hits",
    "instant",
    "instant_of",
    "json_document",
    "json_line",
    "one_line",
    "plural",
    "prepare_streams",
    "quote",
    "rfc3339",
    "size",
    "table",
    "terminal_lines",
    "write_bytes",
]

# What would steer a terminal instead of being shown: stored text is not trusted.
# Controls (Cc) except newline and tab, and the controls of writing direction.
_STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")

_HIT = re.compile(r"«([^\s«»](?:[^«»]*[^\s«»])?)»")

_ZERO_WIDTH = ("Mn", "Me", "Cf")
_WIDE = ("W", "F")


def prepare_streams() -> None:
    """Lets every text be printed: what the terminal's encoding lacks is escaped."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a test may have replaced it
            stream.reconfigure(errors="backslashreplace")


def clean(text: str) -> str:
    r"""Makes stored text harmless for a terminal; newlines and tabs stay.

    Example:
        >>> clean("a\x1b[2Jb")
        'a\\x1b[2Jb'
    """
    return _STEERING.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def one_line(text: str) -> str:
    """The same on one line, with single spaces."""
    return clean(" ".join(text.split()))


def plural(count: int, noun: str) -> str:
    """A count with its noun.

    Example:
        >>> plural(1, "message"), plural(2, "message")
        ('1 message', '2 messages')
    """
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def instant(moment: datetime | None) -> str:
    """A time in UTC, to the second; "" for none."""
    return "" if moment is None else moment.strftime("%Y-%m-%d %H:%M:%S")


def instant_of(time: str) -> str:
    """The same of a time as JSON carries it.

    Example:
        >>> instant_of("2026-11-22T13:39:54.033014Z")
        '2026-11-22 13:39:54'
    """
    return one_line(time[:19].replace("T", " "))


def size(count: int) -> str:
    """How much that is, in powers of 1024.

    Example:
        >>> size(1023), size(1536), size(5 << 30)
        ('1,023 bytes', '1.5 KiB', '5.0 GiB')
    """
    if count < 1024:  # noqa: PLR2004
        return plural(count, "byte")
    amount, units = count / 1024, ["TiB", "GiB", "MiB", "KiB"]
    while amount >= 1000 and len(units) > 1:  # noqa: PLR2004 - three digits are enough
        amount /= 1024
        units.pop()
    return f"{amount:,.1f} {units[-1]}"


def quote(text: str) -> str:
    """As a word for the shell."""
    import shlex

    return shlex.quote(one_line(text))


def rfc3339(moment: datetime) -> str:
    """A time in UTC as JSON carries it."""
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def width(text: str) -> int:
    """How many columns a terminal needs: ideographs take two, accents none."""
    if text.isascii():
        return len(text)
    return sum(_columns(char) for char in text)


def _columns(char: str) -> int:
    if unicodedata.category(char) in _ZERO_WIDTH:
        return 0
    return 2 if unicodedata.east_asian_width(char) in _WIDE else 1


def fit(text: str, columns: int) -> str:
    """Cuts a text to a width, with an ellipsis where something is missing.

    Example:
        >>> fit("conversation", 6)
        'conve…'
    """
    if width(text) <= columns:
        return text
    kept, used = "", 0
    for char in text:
        used += _columns(char)
        if used > columns - 1:
            break
        kept += char
    return kept + "…"


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Aligned columns; the last one is cut at the terminal's edge, if there is a terminal.

    Columns whose head begins with a space are aligned to the right.
    """
    cells = [[one_line(cell) for cell in row] for row in [[head.strip() for head in heads], *rows]]
    widths = [max(width(row[column]) for row in cells) for column in range(len(heads))]
    edge = _terminal_columns()
    lines = []
    for row in cells:
        parts = []
        for cell, wanted, head in zip(row, widths, heads, strict=True):
            padding = " " * (wanted - width(cell))
            parts.append(padding + cell if head.startswith(" ") else cell + padding)
        line = "  ".join(parts).rstrip()
        lines.append(line if edge is None else fit(line, edge))
    return "\n".join(lines)


def _terminal_columns() -> int | None:
    return _terminal()[0]


def terminal_lines() -> int | None:
    """How many lines the terminal shows; `None` where standard output is none."""
    return _terminal()[1]


def _terminal() -> tuple[int | None, int | None]:
    try:
        columns, lines = os.get_terminal_size(sys.stdout.fileno())
    except (OSError, ValueError):  # not a terminal, or no real file at all
        return None, None
    return columns or None, lines or None


def hits(snippet: str) -> str:
    """A snippet, harmless; on a terminal its hits are bold rather than between « and »."""
    plain = one_line(snippet)
    bold = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    # the text's own guillemets have spaces inside, as French has them, and stay
    return _HIT.sub("\x1b[1m\\1\x1b[22m", plain) if bold else plain


def json_line(value: Any, *, file: TextIO | None = None) -> None:
    """One line of JSON, for programs."""
    print(_json(value), file=file)


def json_document(value: Any) -> None:
    """A JSON document for reading: indented."""
    print(_json(value, indent=2))


def _json(value: Any, *, indent: int | None = None) -> str:
    """Readable JSON that means the same, and steers no terminal."""
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    return _STEERING.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def write_bytes(data: bytes) -> None:
    """Writes to standard output as it is, whatever the terminal's encoding."""
    sys.stdout.flush()
    rest = memoryview(data)
    while rest:  # with PYTHONUNBUFFERED a write may be short
        rest = rest[sys.stdout.buffer.write(rest) :]


class Progress:
    """A bar on stderr, where that is a terminal; otherwise nothing.

    Use it in `with`, so that the bar is gone afterwards.
    """

    _COLUMNS = 30
    _EVERY_S = 0.1

    def __init__(self) -> None:
        self._shown = sys.stderr.isatty()
        self._next = 0.0

    def update(self, fraction: float, text: str) -> None:
        """Shows how much is done, from 0 to 1."""
        if self._shown and time.monotonic() >= self._next:
            bar = "#" * int(fraction * self._COLUMNS)
            line = fit(f"[{bar:<{self._COLUMNS}}] {fraction:4.0%}  {one_line(text)}", 79)
            print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)
            self._next = time.monotonic() + self._EVERY_S

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
