"""Values, sizes and times as words."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime, timezone
from typing import Any

from langchain_redis_session._display.brief import show_brief
from langchain_redis_session._display.guard import attempt
from langchain_redis_session._times import to_datetime

_SIZES = ((1_000_000, "MB"), (1_000, "kB"))


def to_json(value: Any, indent: int | None = 2) -> str:
    """Write a value as JSON, or in short where JSON can't carry it.

    >>> to_json({"a": [1]}, indent=None), to_json({(1, 2): 3})
    ('{"a": [1]}', '{(1, 2): 3}')
    """
    return attempt(
        lambda: json.dumps(value, ensure_ascii=False, indent=indent, default=show_brief),
        lambda _: show_brief(value),  # keys that are no text, a circle, a pit, too many digits
    )


def to_line(value: Any) -> str:
    """Write a value in one line."""
    return show_brief(value) if issubclass(type(value), bytes) else to_json(value, indent=None)


def indent_json(text: str) -> str:
    """Indent a text that is a JSON object or array, unless it is short."""
    if text[:1] in ("{", "[") and len(text) > 80:
        return attempt(lambda: to_json(json.loads(text)), lambda _: text)
    return text


def cut(text: str, length: int) -> str:
    """Cut a text.

    >>> cut("abc", 2)
    'ab…'
    """
    return text if len(text) <= length else f"{text[:length]}…"


def cut_loudly(text: str, length: int) -> str:
    """Cut a text and say how much is missing.

    >>> cut_loudly("abc", 1)
    'a… (2 more characters)'
    """
    return text if len(text) <= length else f"{text[:length]}… ({more(text[length:])})"


def more(text: str) -> str:
    """Say how much is left out or folded."""
    return f"{len(text):,} more characters"


def peek(text: str, length: int = 60) -> str:
    """Give the beginning of a text, in one line."""
    return cut(" ".join(text[: length * 4].split()), length)


def count(number: int, noun: str) -> str:
    """Say how many.

    >>> count(1, "event"), count(1200, "event"), count(2, "summary")
    ('1 event', '1,200 events', '2 summaries')
    """
    if number == 1:
        return f"1 {noun}"
    return f"{number:,} {f'{noun[:-1]}ies' if noun.endswith('y') else f'{noun}s'}"


def name_size(size: int) -> str:
    """Say how many bytes.

    >>> name_size(1), name_size(3_000)
    ('1 byte', '3.0 kB')
    """
    for unit, name in _SIZES:
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    return count(size, "byte")


def in_utc(moment: datetime) -> str:
    """Give a time in UTC, to the second.

    >>> in_utc(datetime(2026, 11, 23, 12, tzinfo=timezone.utc))
    '2026-11-23 12:00:00 UTC'
    """
    return f"{_to_second(moment)} UTC"


def in_local_time(moment: datetime) -> str:
    """Give a time in the zone of this process, to the second, without the zone's name."""
    return _to_second(_localize(moment))


def name_zones(moments: Iterable[datetime]) -> str:
    """Name the zones that local times are in; more than one where clocks were changed."""
    names = dict.fromkeys(f"{_localize(moment):%Z}" for moment in moments)
    return " and ".join(names)


def time_of(time_ns: int) -> datetime:
    """Give a time in UTC; the first or last one where no calendar has it."""
    return attempt(lambda: to_datetime(time_ns), lambda _: to_datetime(0))


def _localize(moment: datetime) -> datetime:
    # A system may know no zone for the years around 1 and 9999.
    return attempt(moment.astimezone, lambda _: moment.replace(tzinfo=timezone.utc))


def _to_second(moment: datetime) -> str:
    return moment.isoformat(" ")[:19]
