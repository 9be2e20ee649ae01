"""Instants: RFC 3339 text on disk, nanoseconds since the epoch for order.

The text is what people read; the integer is what is compared, because the
ancestor writes nanoseconds, which a `datetime` would round away.  A stored
text is kept as it is: it is parsed for comparing, never rewritten.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

from plainstate.errors import InvalidValueError

__all__ = ["format", "from_datetime", "is_later", "of_clock", "parse", "to_datetime"]

_EPOCH_UTC: Final = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH: Final = _EPOCH_UTC.replace(tzinfo=None)  # naive arithmetic is faster, and UTC has no gaps
_MICROSECOND: Final = timedelta(microseconds=1)  # its products are exact, and made faster
_NS_PER_S: Final = 1_000_000_000
_USUAL_END: Final = len("2026-01-01T00:00:00.000000")

# The ranges of day and month are left to `datetime`; hours are not, because
# newer Pythons accept 24:00, which RFC 3339 does not.
_RFC3339: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt](?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
    r"(?:\.([0-9]{1,9}))?(?:[Zz]|([+-])([01][0-9]|2[0-3]):([0-5][0-9]))"
)


def parse(text: str) -> int:
    """Reads an RFC 3339 instant.

    Args:
        text: date and time with up to 9 fractional digits and `Z` or an offset.

    Returns:
        Nanoseconds since 1970-01-01T00:00:00Z, negative before it.

    Raises:
        InvalidValueError: not such a text, not a real date, or a leap second
            (`:60`), which a count of nanoseconds since the epoch cannot name.

    Cost: 1 µs.  Source: RFC 3339 §5.6.

    Example:
        >>> parse("1970-01-01T00:00:01.000000002Z")
        1000000002
        >>> parse("1970-01-01T01:00:00+01:00")
        0
    """
    match = _RFC3339.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise _not_a_time(text)
    try:
        since = datetime.fromisoformat(text[:19]) - _EPOCH
    except ValueError:
        raise _not_a_time(text) from None
    fraction, sign, hours, minutes = match.groups()
    seconds = since.days * 86_400 + since.seconds
    ns = int(fraction.ljust(9, "0")) if fraction else 0
    if sign is None:
        return seconds * _NS_PER_S + ns
    offset_s = int(hours) * 3600 + int(minutes) * 60
    seconds += offset_s if sign == "-" else -offset_s
    return _in_range(seconds * _NS_PER_S + ns, text)


def format(ns: int) -> str:
    """Writes an instant as RFC 3339 in UTC.

    Args:
        ns: nanoseconds since the epoch.

    Returns:
        6 fractional digits, or 9 where there are nanoseconds below a microsecond.

    Raises:
        InvalidValueError: outside the years 1 to 9999.

    Cost: 0.5 µs; 1.1 µs for an instant of another second.

    Example:
        >>> format(1_000_000_000), format(1)
        ('1970-01-01T00:00:01.000000Z', '1970-01-01T00:00:00.000000001Z')
    """
    if ns % 1000:
        seconds, fraction = divmod(ns, _NS_PER_S)
        return f"{_second_text(seconds)}.{fraction:09d}Z"
    return of_clock(ns)


def of_clock(ns: int) -> str:
    """Writes what a clock tells, as `format` does, cut to whole microseconds.

    Example:
        >>> of_clock(1_999)
        '1970-01-01T00:00:00.000001Z'
    """
    seconds, fraction = divmod(ns, _NS_PER_S)
    return f"{_second_text(seconds)}.{fraction // 1000:06d}Z"


@lru_cache(maxsize=64)  # most instants written are of this very second
def _second_text(seconds: int) -> str:
    try:
        return (_EPOCH + timedelta(seconds=seconds)).isoformat()
    except OverflowError:
        raise _out_of_range(seconds * _NS_PER_S) from None


def is_later(a: str, b: str) -> bool:
    """Whether instant `a` is later than `b`; an empty `b` is before everything.

    Cost: a comparison of texts, where both are of the form that `format` writes.

    Example:
        >>> is_later("2026-01-01T00:00:01.5Z", "2026-01-01T01:00:01+01:00")
        True
    """
    if a[_USUAL_END:] == "Z" == b[_USUAL_END:]:
        return a > b
    return not b or parse(a) > parse(b)


def to_datetime(ns: int) -> datetime:
    """Converts to an aware datetime in UTC; what is below a microsecond is cut off.

    Args:
        ns: nanoseconds since the epoch.

    Raises:
        InvalidValueError: outside the years 1 to 9999.

    Example:
        >>> to_datetime(1_999).isoformat()
        '1970-01-01T00:00:00.000001+00:00'
    """
    try:
        return _EPOCH_UTC + _MICROSECOND * (ns // 1000)
    except OverflowError:
        raise _out_of_range(ns) from None


def from_datetime(moment: datetime) -> int:
    """Converts an aware datetime, of any time zone, to nanoseconds since the epoch.

    Args:
        moment: the datetime; a naive one names no instant and is refused.

    Raises:
        InvalidValueError: it is naive, or outside the years 1 to 9999 in UTC.

    Example:
        >>> from_datetime(datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC))
        1000000000
    """
    if moment.utcoffset() is None:
        raise InvalidValueError(
            f"the datetime {moment.isoformat()} has no time zone",
            hint="Use datetime.now(UTC), or .astimezone() to take it as local time.",
            pointer="",
        )
    since = moment - _EPOCH_UTC
    seconds = since.days * 86_400 + since.seconds
    return _in_range(seconds * _NS_PER_S + since.microseconds * 1000, moment)


_MIN_NS: Final = parse("0001-01-01T00:00:00Z")
_MAX_NS: Final = parse("9999-12-31T23:59:59.999999999Z")


def _in_range(ns: int, shown: object) -> int:
    """An offset can push the first or last day of the calendar over its end."""
    if _MIN_NS <= ns <= _MAX_NS:
        return ns
    raise _out_of_range(shown)


def _not_a_time(text: object) -> InvalidValueError:
    return InvalidValueError(
        f"not an RFC 3339 time: {ascii(text)[:80]}",
        hint="Write it like 2026-11-22T12:00:00Z.",
        pointer="",
    )


def _out_of_range(shown: object) -> InvalidValueError:
    return InvalidValueError(
        f"outside the years 1 to 9999 in UTC: {shown}",
        hint="Times are nanoseconds since 1970; check the unit.",
        pointer="",
    )
