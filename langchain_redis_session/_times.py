"""Times as the stored JSON writes them: RFC 3339 text <-> nanoseconds since 1970.

Exact to the nanosecond, which `datetime` is not.
"""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta, timezone
from functools import lru_cache

_SECOND = 1_000_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_FIRST = datetime.min.replace(tzinfo=timezone.utc)
_LAST = datetime.max.replace(tzinfo=timezone.utc)
_EPOCH_DAY = _EPOCH.toordinal()

_RFC3339 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:[Zz]|([+-])(\d\d):(\d\d))",
    re.ASCII,
)

_FRACTION = re.compile(r"\.([0-9]*?)0*(?=[Zz+-])")


# Events come in bursts: most share their second with the one before.
@lru_cache(maxsize=256)
def _format_second(seconds: int) -> str:
    try:
        moment = _EPOCH + timedelta(seconds=seconds)
    except OverflowError:
        raise ValueError(f"a time outside the years 1 to 9999: {seconds} s since 1970") from None
    # strftime("%Y") does not pad years below 1000 on every platform; isoformat does.
    return moment.isoformat()[:19]


@lru_cache(maxsize=64, typed=True)
def format_time(time_ns: int) -> str:
    """Write nanoseconds since 1970 as RFC 3339 in UTC, with nine fraction digits.

    Raises:
        ValueError: The time is outside the years 1 to 9999, which RFC 3339 ends with.

    >>> format_time(1_795_432_380_123_456_789)
    '2026-11-23T11:13:00.123456789Z'
    """
    seconds, fraction = divmod(time_ns, _SECOND)
    return f"{_format_second(seconds)}.{fraction:09d}Z"


def trim_time(text: str) -> str:
    """Write an RFC 3339 time as Go does: its fraction without trailing zeros.

    >>> trim_time("2026-11-23T11:13:00.120000000Z"), trim_time("2026-11-23T11:13:00.000Z")
    ('2026-11-23T11:13:00.12Z', '2026-11-23T11:13:00Z')
    """
    return _FRACTION.sub(lambda match: f".{match[1]}" if match[1] else "", text, count=1)


def parse_time(text: str) -> int:
    """Read any RFC 3339 time as nanoseconds since 1970; further digits are cut.

    Raises:
        ValueError: `text` is not an RFC 3339 time.

    >>> parse_time("2026-11-23T19:13:00.5+08:00") == parse_time("2026-11-23t11:13:00.500z")
    True
    >>> parse_time("0001-01-01T00:00:00Z")  # Go's zero time
    -62135596800000000000
    """
    if len(text) == 30 and text[19] == "." and text[29] == "Z":  # ours, the usual case
        fraction = text[20:29]
        if fraction.isascii() and fraction.isdecimal():
            return _parse_second(text[:19]) + int(fraction)
    return _parse(text)


@lru_cache(maxsize=256)
def _parse_second(text: str) -> int:
    if text[4::3] != "--T::" or text[11:13] > "23":  # `datetime` reads more than RFC 3339
        return _parse(text + "Z")
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:  # a leap second, or no time at all
        return _parse(text + "Z")
    days = moment.toordinal() - _EPOCH_DAY
    seconds = days * 86400 + moment.hour * 3600 + moment.minute * 60 + moment.second
    return seconds * _SECOND


def _parse(text: str) -> int:
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise ValueError("not an RFC 3339 time")
    year, month, day, hour, minute, second, fraction, sign, zone_hour, zone_minute = match.groups()
    hours, minutes, seconds = int(hour), int(minute), int(second)
    days = date(int(year), int(month), int(day)).toordinal() - _EPOCH_DAY
    # A leap second (60) is the first moment of the next minute, as in POSIX time.
    if hours > 23 or minutes > 59 or seconds > 60:
        raise ValueError("not a time of day")
    seconds += days * 86400 + hours * 3600 + minutes * 60
    if sign is not None:
        offset_hours, offset_minutes = int(zone_hour), int(zone_minute)
        if offset_hours > 23 or offset_minutes > 59:
            raise ValueError("not an offset from UTC")
        offset = offset_hours * 3600 + offset_minutes * 60
        seconds -= offset if sign == "+" else -offset
    if fraction is None:
        return seconds * _SECOND
    return seconds * _SECOND + int(fraction[:9].ljust(9, "0"))


def to_datetime(time_ns: int) -> datetime:
    """Give the UTC time of nanoseconds since 1970, cut to microseconds.

    Stored times may lie outside the years 1 to 9999, by an offset or a leap second: of these,
    it is the first or the last moment.

    >>> to_datetime(parse_time("0001-01-01T00:00:00+08:00")).isoformat()
    '0001-01-01T00:00:00+00:00'
    """
    try:
        return _EPOCH + timedelta(microseconds=time_ns // 1000)
    except OverflowError:
        return _FIRST if time_ns < 0 else _LAST
