r"""One place validates every name: categories, documents, session ids, tx ids.

A name becomes a file name, so the rule is the meeting of what file systems,
git and people's terminals handle without surprise.  A name is refused, never
repaired: two callers that spell one name differently must not end up in one
file, nor one caller in two.

A name is 1 to 240 bytes of UTF-8 and
- holds no `/`, `\`, control character, line or paragraph separator, bidi
  control, lone surrogate or noncharacter, and no `..`;
- neither begins with a dot, nor ends with one, nor begins or ends with white space;
- is in Unicode form NFC, so that two forms of one name cannot both exist;
- is not a Windows device name (`CON`, `com1.txt`, …).

A category is 1 to 16 such parts joined by `/`, 1024 bytes at most; no part
ends like a document's file (`.json`, `.md`, …), because a folder must not be
able to stand where a file belongs.

Names that differ only in case are two names here; where the file system folds
case, the engine refuses the second one.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from itertools import product
from typing import Final, NoReturn

from plainstate.errors import InvalidNameError, UsageError
from plainstate.limits import (
    MAX_CATEGORY_BYTES,
    MAX_CATEGORY_PARTS,
    MAX_NAME_BYTES,
    MAX_TX_ID_BYTES,
)
from plainstate.types import Durability

__all__ = [
    "check_category",
    "check_durability",
    "check_name",
    "check_plain_category",
    "check_tx_id",
]

_NONCHARACTERS: Final = r"\ufdd0-\ufdef" + "".join(
    rf"\U{plane:04x}fffe\U{plane:04x}ffff" for plane in range(17)
)
_FORBIDDEN: Final = (  # compiled with the first name that is not simple
    r"[/\\\x00-\x1f\x7f-\x9f"  # separators and control characters (Cc)
    r"\u2028\u2029"  # line and paragraph separator (Zl, Zp)
    r"\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # Bidi_Control, Unicode PropList
    r"\ud800-\udfff" + _NONCHARACTERS + "]"
)

# Windows opens the device whatever the case and the extension; ¹²³ count as digits.
_DEVICES: Final = frozenset(
    ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"]
    + [port + digit for port, digit in product(("COM", "LPT"), "0123456789¹²³")]
)

_FILE_SUFFIXES: Final = (".json", ".jsonl", ".md", ".mdl")

# Most names (UUIDs, slugs) need no further look than this and the device list.
_SIMPLE: Final = re.compile(rf"[0-9A-Za-z_-]{{1,{MAX_NAME_BYTES}}}")

_SHOWN_CHARS: Final = 80


def check_name(name: str) -> str:
    """Checks a document name or session id.

    Args:
        name: the name, without a file suffix.

    Returns:
        The same name, unchanged.

    Raises:
        InvalidNameError: it breaks the rule in this module's docstring.

    Cost: 0.3 µs for a plain one.

    Example:
        >>> check_name("plan-2026")
        'plan-2026'
        >>> check_name("../etc/passwd")
        Traceback (most recent call last):
        plainstate.errors.InvalidNameError: invalid name '../etc/passwd': it contains '..'
    """
    _check_part(name, "name", name)
    return name


def check_category(category: str) -> str:
    """Checks a category: one or more folder names joined by `/`.

    Args:
        category: such as `notes` or `projects/alpha/notes`.

    Returns:
        The same category, unchanged.

    Raises:
        InvalidNameError: it breaks the rule in this module's docstring.

    Cost: 1 µs for a plain one.

    Example:
        >>> check_category("projects/alpha")
        'projects/alpha'
    """
    what = "category"
    if not isinstance(category, str):
        _refuse_type(what, category)
    parts = category.split("/")
    for part in parts:
        if not part and category:
            _refuse(
                what,
                category,
                "it has an empty part",
                "Write it without leading, trailing or doubled '/'.",
            )
        _check_part(part, what, category)
        if part.lower().endswith(_FILE_SUFFIXES):
            _refuse(
                what,
                category,
                "a part ends like a document's file",
                f"Rename the part {_show(part)}: a folder must not stand where a file belongs.",
            )
    if len(parts) > MAX_CATEGORY_PARTS:
        _refuse(
            what,
            category,
            f"it has {len(parts)} parts",
            f"Nest at most {MAX_CATEGORY_PARTS} levels deep.",
        )
    _check_length(what, category, MAX_CATEGORY_BYTES)
    return category


check_plain_category = lru_cache(maxsize=64)(check_category)
"""The same for what is nothing but `str`: most calls are about the same few."""


def check_tx_id(tx_id: str) -> str:
    """Checks a transaction id: 1 to 128 printable ASCII characters.

    Args:
        tx_id: the caller's id; it is stored, never used as a file name.

    Returns:
        The same id, unchanged.

    Raises:
        InvalidNameError: it is empty, too long or not printable ASCII.

    Example:
        >>> check_tx_id("turn-17/attempt")
        'turn-17/attempt'
    """
    what = "transaction id"
    if not isinstance(tx_id, str):
        _refuse_type(what, tx_id)
    if not (tx_id and tx_id.isascii() and tx_id.isprintable()):
        _refuse(what, tx_id, "it is not printable ASCII", "Use a UUID, or leave it out.")
    _check_length(what, tx_id, MAX_TX_ID_BYTES)
    return tx_id


_POLICIES: Final[tuple[Durability, ...]] = ("commit", "periodic", "os")


def check_durability(durability: str | None) -> Durability | None:
    """Checks the name of a durability policy; `None` stands for the store's own.

    Raises:
        UsageError: there is no such policy.
    """
    if durability is None:
        return None
    for policy in _POLICIES:
        if durability == policy:
            return policy
    raise UsageError(f"unknown durability {durability!r}", hint="Use 'commit', 'periodic' or 'os'.")


def _check_part(part: str, what: str, whole: str) -> None:
    """Checks one file name; `whole` is what the error shows."""
    if not isinstance(part, str):
        _refuse_type(what, part)
    if _SIMPLE.fullmatch(part) is None:
        _check_characters(part, what, whole)
        _check_ends(part, what, whole)
        _check_length(what, part, MAX_NAME_BYTES)
    if part.partition(".")[0].rstrip().upper() in _DEVICES:
        _refuse(
            what, whole, f"{_show(part)} is a device name on Windows", "Add a letter to the name."
        )


def _check_characters(part: str, what: str, whole: str) -> None:
    if ".." in part:
        _refuse(what, whole, "it contains '..'", "Use the plain name, without a path.")
    if bad := re.search(_FORBIDDEN, part):
        char = bad.group()
        reason = f"it contains {char!r}" if char in "/\\" else f"it contains U+{ord(char):04X}"
        _refuse(what, whole, reason, "Remove or replace that character.")
    if not unicodedata.is_normalized("NFC", part):
        nfc = unicodedata.normalize("NFC", part)
        _refuse(what, whole, "it is not in Unicode form NFC", f"Use the NFC form {nfc!a}.")


def _check_ends(part: str, what: str, whole: str) -> None:
    if not part:
        _refuse(what, whole, "it is empty", "Give it at least one character.")
    if part.startswith("."):
        _refuse(what, whole, "it begins with '.'", "Such names belong to the store and the system.")
    if part.endswith("."):
        _refuse(what, whole, "it ends with '.'", "Windows drops a trailing dot; leave it out.")
    if part != part.strip():
        _refuse(what, whole, "it begins or ends with white space", "Strip it first.")


def _check_length(what: str, text: str, limit_bytes: int) -> None:
    size_bytes = len(text.encode())
    if size_bytes > limit_bytes:
        reason = f"it is {size_bytes} bytes long"
        _refuse(what, text, reason, f"Use at most {limit_bytes} bytes of UTF-8.")


def _refuse(what: str, text: str, reason: str, hint: str) -> NoReturn:
    raise InvalidNameError(f"invalid {what} {_show(text)}: {reason}", hint=hint, name=text)


def _refuse_type(what: str, value: object) -> NoReturn:
    kind = type(value).__name__
    raise InvalidNameError(
        f"a {what} must be a str, not {kind}", hint="Convert it yourself.", name=repr(value)
    )


def _show(text: str) -> str:
    """Quotes `text` for a message: bounded, and `repr` escapes what would not print."""
    return repr(text if len(text) <= _SHOWN_CHARS else text[:_SHOWN_CHARS] + "…")
