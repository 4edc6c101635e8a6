"""Finding events: by their text, and around one of them."""

from __future__ import annotations

import json
from collections.abc import Callable

from langchain_redis_session._codec.events import decode_event
from langchain_redis_session._flow.requests import Flow
from langchain_redis_session._operations.bounds import Bounds, format_score
from langchain_redis_session._operations.context import Context
from langchain_redis_session._operations.stretch import make_event_stretch
from langchain_redis_session.errors import CorruptEventError
from langchain_redis_session.models import Event, SessionKey
from langchain_redis_session.scripts import bindings
from langchain_redis_session.scripts.bindings import End

_PAGE = 500


def search_events(
    context: Context,
    key: SessionKey,
    matches: Callable[[str], bool],
    has_role: Callable[[Event], bool],
    bounds: Bounds,
) -> Flow[list[Event]]:
    """Find the events whose message's text matches, oldest first; the last `bounds.limit`."""

    def wants(event: Event) -> bool:
        message = event.message
        return message is not None and has_role(event) and matches(message.text)

    stretch = make_event_stretch(context, context.keyspace.session(key), bounds, wants)
    yield from stretch.read()
    return stretch.items


def get_event_window(
    context: Context,
    key: SessionKey,
    event_id: str,
    *,
    before: int,
    after: int,
    has_role: Callable[[Event], bool],
) -> Flow[list[Event]]:
    """Find an event, with those around it that have one of the roles; [] if it isn't there."""
    events_key = context.keyspace.session(key).events
    needle = json.dumps(event_id, ensure_ascii=False).encode("utf-8", "replace")
    found = yield from bindings.find_event(events_key, text=b'"id":' + needle, step=_PAGE)
    for entry, score in zip(found.entries, found.scores, strict=True):
        try:
            event = decode_event(entry)
        except CorruptEventError:
            continue
        if event.id == event_id:
            event.score = float(score)
            break
    else:
        return []
    earlier = yield from _read_around(context, events_key, event, before, End.NEWEST, has_role)
    later = yield from _read_around(context, events_key, event, after, End.OLDEST, has_role)
    return [*reversed(earlier), event, *later]


def _read_around(
    context: Context,
    events_key: bytes,
    anchor: Event,
    count: int,
    end: End,
    wants: Callable[[Event], bool],
) -> Flow[list[Event]]:
    """Read on from an event towards the start (`End.NEWEST`) or the end of the session."""
    events: list[Event] = []
    bound, passed = format_score(anchor.score or 0), {anchor.id}
    while len(events) < count:
        step = max(count, 64) + len(passed)
        highest, lowest = (bound, "-inf") if end is End.NEWEST else ("+inf", bound)
        page = yield from bindings.read_events(
            events_key, first=end, highest=highest, lowest=lowest, count=step
        )
        if page.scores:
            bound = page.scores[-1].decode()
        for entry, score in zip(page.entries, page.scores, strict=True):
            try:
                event = decode_event(entry)
            except CorruptEventError:
                yield context.unreadable(events_key)
                continue
            if event.id not in passed:
                passed.add(event.id)
                event.score = float(score)
                if wants(event):
                    events.append(event)
        if len(page.entries) < step:
            break
    return events[:count]
