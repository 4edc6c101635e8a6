"""Finding events: by their text, by their ids, and around one of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection

from langchain_redis_session._flow.requests import Flow
from langchain_redis_session._operations.bounds import Bounds, format_score
from langchain_redis_session._operations.context import Context
from langchain_redis_session._operations.pages import StoredEvent, Walk, decode_events
from langchain_redis_session._operations.stretch import make_event_stretch
from langchain_redis_session.models import Event, SessionKey
from langchain_redis_session.scripts import bindings
from langchain_redis_session.scripts.bindings import End

_MOST_LOOKS = 800
"""As many entries the server looks at in a millisecond or two: an id does not tell where it is."""
_SMALLEST_PAGE, _LARGEST_PAGE = 32, 1000


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


def find_events(
    context: Context, events_key: bytes, event_ids: Collection[str]
) -> Flow[list[StoredEvent]]:
    """Find the events that have these ids, newest first."""
    missing, found = set(event_ids), []
    highest, skip = "+inf", 0
    while missing and highest:
        reply = yield from bindings.find_event(
            events_key,
            highest=highest,
            skip=skip,
            most=_MOST_LOOKS,
            texts=map(_write_id, sorted(missing)),
        )
        highest, skip = reply.highest, reply.skip
        events, _ = decode_events((reply.entries, reply.scores))
        for one in events:
            if one.event.id in missing:
                missing.remove(one.event.id)
                found.append(one)
    return found


def _write_id(event_id: str) -> bytes:
    return b'"id":' + json.dumps(event_id, ensure_ascii=False).encode("utf-8", "replace")


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
    found = yield from find_events(context, events_key, [event_id])
    if not found:
        return []
    entry, event = found[0]
    score = format_score(event.score or 0)
    size = len(entry)  # those around it are about as long
    to_start = Walk(context, events_key, End.NEWEST, highest=score, entry_bytes=size)
    to_end = Walk(context, events_key, End.OLDEST, lowest=score, entry_bytes=size)
    earlier = yield from _gather(to_start, event, before, has_role)
    later = yield from _gather(to_end, event, after, has_role)
    return [*reversed(earlier), event, *later]


def _gather(
    walk: Walk, start: Event, count: int, wants: Callable[[Event], bool]
) -> Flow[list[Event]]:
    """Read on from an event, until there are so many that are wanted."""
    events: list[Event] = []
    more = min(max(count + 1, _SMALLEST_PAGE), _LARGEST_PAGE)
    is_behind = False
    while len(events) < count and not walk.is_done:
        for _, event in (yield from walk.read_events(more)):
            # Of a foreign writer's events several may have its score.
            is_behind = is_behind or event.score != start.score
            if is_behind and wants(event):
                events.append(event)
            is_behind = is_behind or event.id == start.id
        more = min(2 * more, _LARGEST_PAGE)
    return events[:count]
