"""What lines of the store's own files may hold, whoever wrote them; decoders that fail one way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, TypeVar

import msgspec
from msgspec import Meta

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Seq", "Version", "reader"]

T = TypeVar("T")

Seq = Annotated[int, Meta(ge=0, le=2**63 - 1)]
"""The number of a transaction, as far as an index can hold it."""

Version = Annotated[str, Meta(pattern=r"^[0-9]{1,19}-[0-9a-f]{8}\Z")]
"""`<seq>-<tag>`."""


def reader(decode: Callable[[bytes | memoryview], T]) -> Callable[[bytes | memoryview], T]:
    """A decoder of msgspec that raises `DecodeError` whatever is wrong with the bytes.

    By itself it raises other errors for text that is not UTF-8 and for what is nested too deep.

    Example:
        >>> reader(msgspec.json.decode)(b"[" * 100_000)
        Traceback (most recent call last):
        msgspec.DecodeError: it is nested too deep
    """

    def read(data: bytes | memoryview) -> T:
        try:
            return decode(data)
        except UnicodeDecodeError as error:
            raise msgspec.DecodeError(f"it is no UTF-8 ({error.reason})") from error
        except RecursionError as error:
            raise msgspec.DecodeError("it is nested too deep") from error

    return read
