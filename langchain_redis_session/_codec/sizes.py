"""About how much there is to encode, without encoding it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from langchain_redis_session.models import Event

_EVENT_BYTES, _ITEM_BYTES = 200, 16
"""What an event or an item costs by itself, in bytes of text that take as long."""

_SMALL = frozenset((int, float, bool, type(None)))
_ALWAYS_SMALL = "usage_metadata"


def estimate_events(events: Iterable[Event], most: int) -> int:
    """About how many bytes of JSON events make; counting ends where these are over `most`.

    >>> from langchain_core.messages import HumanMessage
    >>> estimate_events([Event(HumanMessage("x" * 1000))], most=5000)
    1205
    """
    size = 0
    for event in events:
        size += _EVENT_BYTES
        message = event.message
        if message is not None:
            # Most of its members are empty, but for the content.
            for name, value in getattr(message, "__dict__", {}).items():
                if value.__class__ is str:
                    size += len(value)
                elif value and name != _ALWAYS_SMALL:
                    size += estimate(value, most)
        if event.state_delta:
            size += estimate(event.state_delta, most)
        if event.extensions or event.extra or event.further_messages:
            size += estimate([event.extensions, event.extra, *event.further_messages], most)
        if size > most:
            break
    return size


def estimate(value: Any, most: int) -> int:
    """About how many bytes of JSON a value makes; counting ends where these are over `most`.

    >>> estimate({"a": ["x" * 100, 1, None]}, most=5000)
    164
    >>> estimate([[0] * 1000] * 1000, most=5000) > 5000
    True
    """
    size = 0
    groups: list[Iterable[Any]] = [(value,)]
    while groups and size <= most:
        for item in groups.pop():
            kind = item.__class__
            if kind is str:
                size += len(item)
            elif kind is dict:
                size += _ITEM_BYTES * len(item)
                groups.append(item.values())
            elif kind in _SMALL:
                continue
            elif isinstance(item, (str, bytes)):
                size += len(item)
            elif isinstance(item, (list, tuple, set, frozenset)):
                size += _ITEM_BYTES * len(item)
                groups.append(item)
            elif isinstance(item, Mapping):
                size += _ITEM_BYTES * len(item)
                groups.append(item.values())
            elif members := getattr(item, "__dict__", None):
                size += _ITEM_BYTES * len(members)
                groups.append(members.values())
    return size
