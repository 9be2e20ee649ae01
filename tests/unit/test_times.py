"""Instants: text and nanoseconds mean the same moment."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plainstate.core import times
from plainstate.errors import InvalidValueError

FIRST = times.parse("0001-01-01T00:00:00Z")
LAST = times.parse("9999-12-31T23:59:59.999999999Z")
INSTANTS = st.integers(FIRST, LAST)
OFFSETS = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))
NOW = datetime(2026, 11, 22, tzinfo=UTC)
AWARE = st.datetimes(timezones=st.one_of(st.just(UTC), OFFSETS)).filter(
    lambda moment: 1 < moment.year < 9999
)


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01t00:00:00z", 0),
        ("1970-01-01T00:00:00-00:00", 0),
        ("1970-01-01T00:00:00.000000001Z", 1),
        ("1970-01-01T00:00:00.1Z", 100_000_000),
        ("1970-01-01T05:30:00+05:30", 0),
        ("1969-12-31T16:00:00-08:00", 0),
        ("1969-12-31T23:59:59.999999999Z", -1),
        ("2000-02-29T00:00:00Z", 951_782_400_000_000_000),
        ("2026-11-22T12:00:00.123456789Z", 1_795_348_800_123_456_789),
    ],
)
def test_parse_knows(text: str, ns: int) -> None:
    assert times.parse(text) == ns


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "2026-11-22",
        "2026-11-22T12:00:00",
        "2026-11-22 12:00:00Z",
        "2026-11-22T12:00Z",
        "2026-11-22T12:00:00,5Z",
        "2026-11-22T12:00:00.Z",
        "2026-11-22T12:00:00.1234567890Z",
        "2026-11-22T24:00:00Z",
        "2026-11-22T12:60:00Z",
        "2016-12-31T23:59:60Z",
        "2026-02-29T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-00-01T00:00:00Z",
        "0000-01-01T00:00:00Z",
        "+002026-11-22T12:00:00Z",
        "2026-11-22T12:00:00+24:00",
        "2026-11-22T12:00:00+0100",
        "2026-11-22T12:00:00+01",
        "2026-11-22T12:00:00Z\n",
        " 2026-11-22T12:00:00Z",
        "٢٠٢٦-11-22T12:00:00Z",
        "0001-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-00:01",
        "\ud800",
        None,
        1_795_348_800,
        b"2026-11-22T12:00:00Z",
    ],
)
def test_parse_refuses(text: str) -> None:
    with pytest.raises(InvalidValueError) as caught:
        times.parse(text)
    assert caught.value.hint
    assert caught.value.pointer == ""


@given(INSTANTS)
def test_format_round_trips(ns: int) -> None:
    text = times.format(ns)
    assert times.parse(text) == ns
    assert len(text) == (27 if ns % 1000 == 0 else 30)


@given(INSTANTS, INSTANTS)
def test_order_of_micros_is_the_order_of_texts(one: int, other: int) -> None:
    one, other = one // 1000 * 1000, other // 1000 * 1000
    assert (one < other) == (times.format(one) < times.format(other))


@given(AWARE)
def test_agrees_with_datetime(moment: datetime) -> None:
    ns = times.from_datetime(moment)
    assert times.to_datetime(ns) == moment
    assert times.to_datetime(ns).tzinfo is UTC
    assert times.parse(moment.isoformat()) == ns


@given(INSTANTS)
def test_to_datetime_cuts_off_nanoseconds(ns: int) -> None:
    assert times.from_datetime(times.to_datetime(ns)) == ns // 1000 * 1000


@pytest.mark.parametrize("ns", [FIRST - 1, LAST + 1, 10**30, -(10**30)])
def test_what_no_calendar_holds_is_refused(ns: int) -> None:
    with pytest.raises(InvalidValueError):
        times.format(ns)
    with pytest.raises(InvalidValueError):
        times.to_datetime(ns)


@pytest.mark.parametrize(
    "moment",
    [
        NOW.replace(tzinfo=None),
        datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=1))),
        datetime(9999, 12, 31, 23, 59, tzinfo=timezone(timedelta(hours=-1))),
    ],
)
def test_from_datetime_refuses(moment: datetime) -> None:
    with pytest.raises(InvalidValueError) as caught:
        times.from_datetime(moment)
    assert caught.value.hint
