"""What lines of the store's own files may hold, whoever wrote them; decoders that fail one way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, TypeVar

import msgspec
from msgspec import Meta

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Seq", "Version", "guarded"]

T = TypeVar("T")

Seq = Annotated[int, Meta(ge=0, le=2**63 - 1)]
"""The number of a transaction, as far as an index can hold it."""

Version = Annotated[str, Meta(pattern=r"^[0-9]{1,19}-[0-9a-f]{8}\Z")]
"""`<seq>-<tag>`."""


def guarded(decode: Callable[[bytes], T]) -> Callable[[bytes], T]:
    """A decoder that says of what is nested too deep what it says of all that is no JSON.

    Example:
        >>> guarded(msgspec.json.decode)(b"[" * 100_000)
        Traceback (most recent call last):
        msgspec.DecodeError: it is nested too deep
    """

    def decode_safely(data: bytes) -> T:
        try:
            return decode(data)
        except RecursionError as error:
            raise msgspec.DecodeError("it is nested too deep") from error

    return decode_safely
