"""Reading what the user names: files and standard input, as exact text and exact JSON."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any, NoReturn

from plainstate.errors import InvalidValueError, UsageError

if TYPE_CHECKING:
    from plainstate.types import Json

__all__ = ["STDIN", "confirm", "decode", "need_consent", "parse_json", "read"]

STDIN = "-"
"""How standard input is named."""


def read(path: str) -> bytes:
    """The bytes of a file; `-` is standard input."""
    if path == STDIN:
        return sys.stdin.buffer.read()
    with open(path, "rb") as file:
        return file.read()


def need_consent(what: str) -> None:
    """For what takes something away: somebody must be there to be asked.

    Raises:
        UsageError: nobody is.
    """
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(
            f"{what} asks first, and here is nobody to ask",
            hint="--dry-run tells what would go; --yes does it without asking.",
        )


def confirm(question: str) -> bool:
    """Asks on the terminal; only y or yes is a yes."""
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    answer = sys.stdin.readline()
    if not answer.endswith("\n"):
        print(file=sys.stderr)
    if answer.strip().lower() in ("y", "yes"):
        return True
    print("nothing was changed", file=sys.stderr)
    return False


def decode(data: bytes, where: str) -> str:
    """Decodes UTF-8.

    Raises:
        InvalidValueError: it is something else.
    """
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise _refused(where, f"not UTF-8 at byte {error.start}", "Save it as UTF-8.") from error


def parse_json(text: str, where: str) -> Json:
    """Reads JSON without losing anything: NaN and doubled keys are refused.

    Args:
        text: one JSON value; a byte order mark before it is passed over.
        where: file name or `file:line`, for the error.

    Raises:
        InvalidValueError: it is not exact JSON.
    """
    try:
        return json.loads(
            text.removeprefix("\ufeff"),
            object_pairs_hook=_object,
            parse_constant=_no_constant,
        )
    except RecursionError as error:
        raise _refused(where, "nested too deeply", "Flatten it.") from error
    except ValueError as error:  # JSONDecodeError, or an integer of too many digits
        raise _refused(where, f"not exact JSON: {error}", "Correct it and try again.") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        keys = [key for key, _ in pairs]
        doubled = next(key for key in keys if keys.count(key) > 1)
        message = f"the key {doubled!r} is there twice in one object"
        raise ValueError(message)
    return value


def _no_constant(name: str) -> NoReturn:
    message = f"{name} is not JSON"
    raise ValueError(message)


def _refused(where: str, reason: str, hint: str) -> InvalidValueError:
    return InvalidValueError(f"{where}: {reason}", hint=hint, pointer="")
