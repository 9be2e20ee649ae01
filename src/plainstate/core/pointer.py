"""JSON Pointer (RFC 6901): names one place inside a JSON tree.

A pointer is `""` (the whole tree) or a `/` before each step.  Inside a step
`~1` stands for `/` and `~0` for `~`.  Array indices are strict: decimal, no
sign, no leading zero.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from plainstate.errors import InvalidPatchError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from plainstate.types import Json

__all__ = ["array_index", "escape", "format", "parse", "resolve", "walk"]

_MAX_INDEX_DIGITS = 18
"""No array is longer than that, and `int` refuses absurdly long texts."""


def parse(pointer: str) -> tuple[str, ...]:
    """Splits a pointer into its unescaped steps (RFC 6901 §3, §4).

    Args:
        pointer: the text; anything but a `str` is refused like a malformed one.

    Raises:
        InvalidPatchError: no leading `/`, or a `~` not followed by 0 or 1;
            `op_index` is -1, since no operation is known here.

    Example:
        >>> parse("/a~1b/0"), parse(""), parse("/")
        (('a/b', '0'), (), ('',))
    """
    if not isinstance(pointer, str):
        raise InvalidPatchError(
            f"a JSON Pointer is text, not {type(pointer).__name__}",
            hint='Write "" for the whole document or "/key" for a part of it.',
            op_index=-1,
            pointer="",
        )
    if not pointer:
        return ()
    if pointer[0] != "/":
        raise InvalidPatchError(
            f"JSON Pointer {pointer!r} does not start with '/'",
            hint='Write "" for the whole document or "/key" for a part of it.',
            op_index=-1,
            pointer=pointer,
        )
    steps = pointer[1:].split("/")
    if "~" not in pointer:
        return tuple(steps)
    if pointer.count("~") != pointer.count("~0") + pointer.count("~1"):
        raise InvalidPatchError(
            f"JSON Pointer {pointer!r} has a '~' without 0 or 1 after it",
            hint="Write ~0 for '~' and ~1 for '/'.",
            op_index=-1,
            pointer=pointer,
        )
    # ~1 first: the other way round "~01" would end as "/" (RFC 6901 §4).
    return tuple(step.replace("~1", "/").replace("~0", "~") for step in steps)


def escape(step: str) -> str:
    """One step as it stands in a pointer.

    Example:
        >>> escape("a/b~c")
        'a~1b~0c'
    """
    return step.replace("~", "~0").replace("/", "~1")


def format(parts: Iterable[str]) -> str:
    """The pointer with these steps; the inverse of `parse`.

    Example:
        >>> format(["a/b", "0"]), format([])
        ('/a~1b/0', '')
    """
    return "".join(["/" + escape(part) for part in parts])


def resolve(doc: Json, pointer: str) -> Json:
    """The value at a pointer, not a copy.

    Raises:
        InvalidPatchError: the pointer is malformed.
        LookupError: there is nothing at that place.

    Example:
        >>> resolve({"a": [10, 20]}, "/a/1")
        20
    """
    return walk(doc, parse(pointer))


def walk(doc: Json, parts: tuple[str, ...]) -> Json:
    """The value at the end of already parsed steps, not a copy.

    Raises:
        LookupError: there is nothing at that place.

    Example:
        >>> walk({"a": [10, 20]}, ("a", "1"))
        20
    """
    value = doc
    for depth, part in enumerate(parts):
        if isinstance(value, dict) and part in value:
            value = value[part]
        elif isinstance(value, list):
            value = value[array_index(part, len(value))]
        else:
            raise LookupError(f"nothing is at {format(parts[: depth + 1])!r}")
    return value


def array_index(part: str, size: int) -> int:
    """The index that a step names in an array (RFC 6901 §4).

    Args:
        part: the step.
        size: how many indices are allowed, from 0.

    Raises:
        LookupError: not an index, or `size` or more.

    Example:
        >>> array_index("1", 2)
        1
    """
    # str.isdigit alone accepts digits of other scripts and superscripts.
    if not (part.isascii() and part.isdigit()) or (part[0] == "0" and part != "0"):
        raise LookupError(f"{part!r} is not an array index here")
    if len(part) > _MAX_INDEX_DIGITS or (index := int(part)) >= size:
        raise LookupError(f"array index {part} is past the end")
    return index
