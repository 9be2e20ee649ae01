"""Numbers, ages and sizes as they are typed."""

from __future__ import annotations

import argparse
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from datetime import timedelta

__all__ = ["age", "count", "place_in_past", "size_bytes", "whole"]

_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_POWERS: Final = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}


def whole(text: str) -> int:
    """A whole number, 0 or more.

    Raises:
        ArgumentTypeError: it is none; as for every function here.
    """
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise argparse.ArgumentTypeError("it must be a whole number, 0 or more")
    return int(text)


def count(text: str) -> int:
    """A whole number, 1 or more."""
    try:
        number = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError("it must be a whole number") from None
    if number < 1:
        raise argparse.ArgumentTypeError("it must be 1 or more")
    return number


def age(text: str) -> timedelta:
    """How long ago: a number with its unit.

    Example:
        >>> str(age("90d"))
        '90 days, 0:00:00'
    """
    from datetime import timedelta

    found = re.fullmatch(r"([0-9]{1,9})([smhdw])", text)
    if not found:
        raise argparse.ArgumentTypeError("it must be a number with s, m, h, d or w: 90d")
    try:
        return timedelta(seconds=int(found[1]) * _SECONDS[found[2]])
    except OverflowError:
        raise argparse.ArgumentTypeError("so long ago there was nothing") from None


def size_bytes(text: str) -> int:
    """How many bytes; K, M, G and T are powers of 1024.

    Example:
        >>> size_bytes("500M")
        524288000
    """
    found = re.fullmatch(r"([0-9]{1,15})([KMGT]?)", text)
    if not found:
        raise argparse.ArgumentTypeError("it must be a number of bytes, or with K, M, G or T: 500M")
    return int(found[1]) * int(1024 ** _POWERS[found[2]])


def place_in_past(text: str) -> int | str:
    """A transaction by its number, or the version that it made.

    Example:
        >>> place_in_past("7"), place_in_past("7-6cde7722")
        (7, '7-6cde7722')
    """
    return whole(text) if text.isdecimal() else text
