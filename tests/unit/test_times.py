"""RFC 3339 text and nanoseconds."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_redis_session._times import format_time, parse_time, trim_time

SECOND = 10**9
FIRST = -62_135_596_800 * SECOND
LAST = 253_402_300_800 * SECOND - 1


@given(st.integers(FIRST, LAST))
def test_every_nanosecond_comes_back(time_ns: int) -> None:
    text = format_time(time_ns)
    assert len(text) == 30
    assert text.endswith("Z")
    assert parse_time(text) == time_ns


@given(st.integers(FIRST, LAST), st.integers(0, 9))
def test_without_trailing_zeros_it_is_the_same_time(time_ns: int, digits: int) -> None:
    time_ns -= time_ns % 10 ** (9 - digits)
    text = trim_time(format_time(time_ns))
    assert parse_time(text) == time_ns
    assert "." not in text or text[-2] != "0"
    assert len(text) <= 20 + (digits and digits + 1)
    assert trim_time(text) == text


@pytest.mark.parametrize(
    ("text", "trimmed"),
    [
        ("2026-11-23T11:13:00.312000Z", "2026-11-23T11:13:00.312Z"),
        ("2026-11-23T11:13:00.000000000Z", "2026-11-23T11:13:00Z"),
        ("2026-11-23T11:13:00Z", "2026-11-23T11:13:00Z"),
        ("2026-11-23T11:13:00.1000+08:00", "2026-11-23T11:13:00.1+08:00"),
        ("2026-11-23T11:13:00.0-00:00", "2026-11-23T11:13:00-00:00"),
        ("no time", "no time"),
        ("", ""),
    ],
)
def test_trailing_zeros_are_those_of_the_fraction(text: str, trimmed: str) -> None:
    assert trim_time(text) == trimmed


@given(st.integers(FIRST, LAST))
def test_written_times_agree_with_datetime(time_ns: int) -> None:
    moment = datetime.fromisoformat(format_time(time_ns)[:26] + "+00:00")
    epoch = datetime(1970, 1, 1, tzinfo=timezone.utc)
    assert (moment - epoch) // (moment.resolution) == time_ns // 1000


@given(st.integers(FIRST, LAST), st.integers(0, 9), st.integers(-23 * 60, 23 * 60))
def test_reads_any_offset_and_fraction(time_ns: int, digits: int, offset: int) -> None:
    step = 10 ** (9 - digits)
    time_ns -= time_ns % step
    local = time_ns + offset * 60 * SECOND
    if not FIRST <= local <= LAST:
        return
    base, fraction = format_time(local)[:-1].split(".")
    hours, minutes = divmod(abs(offset), 60)
    zone = f"{'-' if offset < 0 else '+'}{hours:02d}:{minutes:02d}"
    text = base + (f".{fraction[:digits]}" if digits else "") + zone
    assert parse_time(text) == time_ns


@pytest.mark.parametrize(
    ("text", "same_as"),
    [
        ("2026-11-23T19:13:00.5+08:00", "2026-11-23T11:13:00.500000000Z"),
        ("2026-11-23t11:13:00z", "2026-11-23T11:13:00.000000000Z"),
        ("2026-11-23 11:13:00Z", "2026-11-23T11:13:00.000000000Z"),
        ("2026-11-23T11:13:00.1234567891234Z", "2026-11-23T11:13:00.123456789Z"),
        ("2026-11-23T11:13:00-00:00", "2026-11-23T11:13:00.000000000Z"),
        ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00.000000000Z"),
        ("2016-12-31T23:59:60.000000001Z", "2017-01-01T00:00:00.000000001Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000000000Z"),
    ],
)
def test_reads_all_of_rfc_3339(text: str, same_as: str) -> None:
    assert format_time(parse_time(text)) == same_as


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-11-23",
        "2026-11-23T11:13Z",
        "2026-11-23T11:13:00",
        "2026-11-23T11:13:00.Z",
        "2026-13-23T11:13:00Z",
        "2026-02-29T11:13:00Z",
        "0000-01-01T00:00:00Z",
        "2026-11-23T24:00:00Z",
        "2026-11-23T24:00:00.000000000Z",  # Python 3.13 would read it
        "2026-W47-1T11:13:00.000000000Z",
        "2026-11-23T11:60:00Z",
        "2026-11-23T11:13:61Z",
        "2026-11-23T11:13:00+0800",
        "2026-11-23T11:13:00+24:00",
        "2026-11-23T11:13:00+08:60",
        "2026-11-23T11:13:00Z\n",
        " 2026-11-23T11:13:00Z",
        "٢٠٢٦-11-23T11:13:00Z",
        "12026-11-23T11:13:00Z",
    ],
)
def test_texts_that_are_no_time_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"RFC 3339|time of day|offset|day|month|year"):
        parse_time(text)


@pytest.mark.parametrize("time_ns", [FIRST - 1, LAST + 1, 10**30, -(10**30)])
def test_refuses_years_it_cannot_write(time_ns: int) -> None:
    with pytest.raises(ValueError, match="outside the years"):
        format_time(time_ns)
