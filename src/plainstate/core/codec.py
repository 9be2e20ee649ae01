"""Exact JSON: what goes in comes out again, or is refused with its place.

Fast encoders are lenient where it hurts: NaN becomes null without a word, a
non-string key becomes a string.  So what is newly written passes `check` once,
which also gives the store its own copy; everything after that may trust it.
"""

from __future__ import annotations

from gc import is_tracked
from math import isfinite
from typing import TYPE_CHECKING, Any, Final, NoReturn

import msgspec

from plainstate.core import pointer
from plainstate.errors import InvalidValueError
from plainstate.limits import MAX_INTEGER_DIGITS, MAX_NESTING
from plainstate.types import Json

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    _Convert = Callable[[object], object] | None

__all__ = [
    "RefusedError",
    "check",
    "check_and_encode",
    "copy",
    "decode",
    "encode",
    "encode_pretty",
    "is_too_deep",
    "not_json",
    "pretty_pieces",
    "too_deep",
]

# The decoder counts a minus sign as a digit, and what is written must be readable.
_INTEGER_BOUND: Final = 10**MAX_INTEGER_DIGITS
_NEGATIVE_BOUND: Final = -(10 ** (MAX_INTEGER_DIGITS - 1))
_BOM: Final = b"\xef\xbb\xbf"
_LONG: Final = 16 * 1024

_decoder: Final = msgspec.json.Decoder()
_encoder: Final = msgspec.json.Encoder()


def check(
    value: object, *, depth: int = 0, convert: Callable[[object], object] | None = None
) -> Json:
    """Checks that a value is exact JSON and copies it.

    Tuples become lists; subclasses of dict, list, str, int and float (string
    and integer enums among them) become the plain type.

    Args:
        value: what the caller wants stored.
        depth: levels of arrays and objects above the place it goes to.
        convert: makes something simpler of a value that is not JSON, or raises
            `RefusedError`; `core/convert.py` brings the users' models in here.

    Returns:
        A fresh tree that shares no list or dict with `value`.

    Raises:
        InvalidValueError: NaN, an infinity, a lone surrogate, a non-string key,
            another type, nesting or an integer beyond the limit; `pointer`
            says where.  A value that contains itself is nested too deep.

    Cost: what encoding and decoding it does; where it holds anything but plain types, besides
        0.1 to 0.2 µs per value.

    Example:
        >>> check({"tags": ("a", "b"), "n": 1})
        {'tags': ['a', 'b'], 'n': 1}
        >>> check({"scores": [0.5, float("nan")]})
        Traceback (most recent call last):
        plainstate.errors.InvalidValueError: nan is not JSON, at /scores/1
    """
    made_anew = _made_anew(value, MAX_NESTING - depth)
    return made_anew[0] if made_anew else _walked(value, MAX_NESTING - depth, convert)


def check_and_encode(
    value: object, *, convert: Callable[[object], object] | None = None
) -> tuple[Json, bytes]:
    """`check`, then `encode`, for what the first one costs.

    Example:
        >>> check_and_encode({"tags": ("a", "b")})
        ({'tags': ['a', 'b']}, b'{"tags":["a","b"]}')
    """
    made_anew = _made_anew(value, MAX_NESTING)
    if made_anew:
        return made_anew
    tree = _walked(value, MAX_NESTING, convert)
    return tree, encode(tree)


def encode(tree: Json) -> bytes:
    r"""Writes a checked tree as one line of compact UTF-8, without a newline.

    Args:
        tree: from `check` or `decode`.

    Example:
        >>> encode({"a": [1, 2.0, None]})
        b'{"a":[1,2.0,null]}'
    """
    return _encoder.encode(tree)


def encode_pretty(tree: Json) -> bytes:
    r"""Writes a checked tree for people: 2 spaces a level, a final newline.

    The form is that of serde_json's pretty printer, the ancestor's writer, so
    that a document which did not change does not change in a diff.

    Args:
        tree: from `check` or `decode`.

    Example:
        >>> encode_pretty({"a": [1], "b": {}})
        b'{\n  "a": [\n    1\n  ],\n  "b": {}\n}\n'
    """
    return b"".join(pretty_pieces(encode(tree)))


def pretty_pieces(text: bytes) -> Sequence[bytes]:
    """What `encode_pretty` writes, of a tree that `encode` wrote, in pieces.

    A long text is not copied for the sake of its newline: freeing so much at once has the
    allocator give memory back to the system, and taking it again costs as much as encoding.
    """
    shown = msgspec.json.format(text, indent=2)
    return (shown, b"\n") if len(shown) > _LONG else (shown + b"\n",)


def decode(data: bytes) -> Json:
    """Reads one JSON text exactly; integers keep every digit.

    Of duplicate keys the last one counts, as in Python's `json`.

    Args:
        data: UTF-8 without a byte order mark.

    Raises:
        InvalidValueError: not exact JSON (RFC 8259): malformed, invalid UTF-8,
            NaN, a lone surrogate, a float out of range, an integer of too many
            digits, nesting beyond the limit, a byte order mark.

    Example:
        >>> decode(b'{"n": 123456789012345678901234567890}')
        {'n': 123456789012345678901234567890}
    """
    try:
        tree = _decoder.decode(data)
    except RecursionError:
        raise too_deep().at_its_place() from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _unreadable(data, error) from None
    if _opens(data, MAX_NESTING) and is_too_deep(tree):
        raise too_deep().at_its_place()
    return tree


def _opens(text: bytes, levels: int) -> bool:
    """Whether a text may open more levels than these, as one with few brackets cannot."""
    return len(text) > _LONG or text.count(b"[") + text.count(b"{") > levels


def _made_anew(value: Json, room: int) -> tuple[Json, bytes] | None:
    """A copy by way of JSON, and its text, if nothing is lost on the way.

    That is several times faster than `_copy`.  What msgspec writes leniently (NaN, keys that are
    numbers, dates, …) does not come back equal.
    """
    if type(value) is not dict and type(value) is not list:
        return None
    try:
        text = _encoder.encode(value)
        made = _decoder.decode(text)
        fits = made == value and room > 0 and not (_opens(text, room) and is_too_deep(made, room))
    except Exception:  # noqa: BLE001 - whatever it is, `_copy` says it with its place
        return None
    return (made, text) if fits else None


def _walked(value: Json, room: int, convert: _Convert) -> Json:
    try:
        return _copy(value, room, convert)
    except RefusedError as refused:
        raise refused.at_its_place() from None


def copy(tree: Json) -> Json:
    """A deep copy of a tree; `copy.deepcopy` is ten times slower, being made for any object."""
    if isinstance(tree, dict):
        return {key: copy(item) for key, item in tree.items()}
    if isinstance(tree, list):
        return [copy(item) for item in tree]
    return tree


def _copy(value: Json, room: int, convert: _Convert) -> Json:
    """Copies one candidate; `room` is how many levels may still open here."""
    kind = type(value)
    if kind is dict:
        return _copy_dict(value, room - 1, convert)
    if kind is list:
        return _copy_list(value, room - 1, convert)
    if kind is str:
        return value if value.isascii() else _check_text(value)
    if value is None or kind is bool or (kind is float and isfinite(value)):
        return value
    if kind is int:
        return _check_integer(value)
    return _copy_other(value, room, convert)


def _copy_dict(value: dict[Any, Json], room: int, convert: _Convert) -> dict[str, Json]:
    if room < 0:
        raise too_deep()
    copy: dict[str, Json] = {}
    key: Any = None
    try:
        for key, item in value.items():
            plain = key if type(key) is str and key.isascii() else _check_key(key)
            # The most frequent value is decided here, to save a call.
            simple = type(item) is str and item.isascii()
            copy[plain] = item if simple else _copy(item, room, convert)
    except RefusedError as refused:
        refused.add_step(key)
        raise
    return copy


def _copy_list(value: list[Json] | tuple[Json, ...], room: int, convert: _Convert) -> list[Json]:
    if room < 0:
        raise too_deep()
    copy: list[Json] = []
    try:
        for item in value:
            simple = type(item) is str and item.isascii()
            copy.append(item if simple else _copy(item, room, convert))
    except RefusedError as refused:
        refused.add_step(str(len(copy)))
        raise
    return copy


def _copy_other(value: Json, room: int, convert: _Convert) -> Json:
    """Makes a subclass plain, by the base's own method: the subclass may override it."""
    if isinstance(value, str):
        return _check_text(str.__str__(value))
    if isinstance(value, int):
        return _check_integer(int.__int__(value))
    if isinstance(value, float):
        return _check_float(float.__float__(value))
    if isinstance(value, dict):
        return _copy_dict(value, room - 1, convert)
    if isinstance(value, list | tuple):
        return _copy_list(value, room - 1, convert)
    if convert is not None:
        return _copy(convert(value), room, convert)
    raise not_json(value)


def _check_key(key: object) -> str:
    if not isinstance(key, str):
        kind = type(key).__name__
        _refuse(f"a key of type {kind} is not JSON", "Convert the keys to str.")
    return _check_text(str.__str__(key))


def _check_text(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        _refuse("a lone surrogate is not UTF-8", "Decode the text with errors='replace'.")
    return text


def _check_integer(number: int) -> int:
    if not _NEGATIVE_BOUND < number < _INTEGER_BOUND:
        limit = f"more than {MAX_INTEGER_DIGITS} digits, sign included"
        _refuse(f"an integer of {limit}", "Store it as text.")
    return number


def _check_float(number: float) -> float:
    if not isfinite(number):
        _refuse(f"{number} is not JSON", "Store None instead.")
    return number


class RefusedError(Exception):
    """Why a value is refused; each level adds its step on the way out.

    It never leaves the core: `at_its_place` makes the public error of it.
    """

    def __init__(self, reason: str, hint: str) -> None:
        """Takes what the public error will say."""
        super().__init__(reason)
        self.reason = reason
        self.hint = hint
        self._steps: list[str] = []

    def add_step(self, key: object) -> None:
        """Adds the key one level up.  A pointer cannot name a key that is not text."""
        if isinstance(key, str):
            self._steps.append(str.__str__(key))

    def at_its_place(self) -> InvalidValueError:
        """The public error; a lone surrogate is escaped, so that it prints."""
        place = pointer.format(reversed(self._steps))
        place = place.encode(errors="backslashreplace").decode()
        where = f", at {place}" if place else ""
        return InvalidValueError(f"{self.reason}{where}", hint=self.hint, pointer=place)


def _refuse(reason: str, hint: str) -> NoReturn:
    raise RefusedError(reason, hint)


def not_json(value: object) -> RefusedError:
    """The refusal of a type that has no place in JSON."""
    return RefusedError(
        f"a value of type {type(value).__name__} is not JSON",
        "Convert it to a dict, list, str or number.",
    )


def too_deep() -> RefusedError:
    """The refusal of a value nested beyond the limit, or one that contains itself."""
    return RefusedError(
        f"nested deeper than {MAX_NESTING} levels",
        "Flatten it; a value that contains itself cannot be stored.",
    )


def is_too_deep(tree: Json, limit: int = MAX_NESTING) -> bool:
    """Whether a tree is nested deeper than a limit, by default that of all that is stored.

    It descends level by level through what the garbage collector tracks.

    CPython tracks every list and every dict that holds a container, but no
    string or number and (before 3.14) no dict of only those; so leaves, which
    are nearly all there is, are passed over several times faster than by type.
    """
    level = [tree] if is_tracked(tree) else []
    for _ in range(limit - 1):
        if not level:
            return False
        level = [
            item
            for parent in level
            for item in (parent.values() if type(parent) is dict else parent)
            if is_tracked(item)
        ]
    # Whoever is left sits at the limit, and may hold no container, tracked or not.
    return any(
        isinstance(item, dict | list)
        for parent in level
        for item in (parent.values() if type(parent) is dict else parent)
    )


def _unreadable(data: bytes, error: Exception) -> InvalidValueError:
    if data.startswith(_BOM):
        reason, hint = "it begins with a byte order mark", "Save the file as UTF-8 without BOM."
    elif isinstance(error, UnicodeDecodeError):
        reason, hint = f"invalid UTF-8 ({error.reason})", "Save the file as UTF-8."
    else:
        reason, hint = str(error), "Correct the text, or restore it from a backup."
    return InvalidValueError(f"not exact JSON: {reason}", hint=hint, pointer="")
