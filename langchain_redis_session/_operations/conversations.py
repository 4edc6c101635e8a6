"""Conversations: the events of one user turn with all that followed."""

from __future__ import annotations

from collections.abc import Sequence

from langchain_redis_session._codec.events import decode_event
from langchain_redis_session._flow.requests import Flow
from langchain_redis_session._operations.context import Context
from langchain_redis_session._operations.matching import is_human
from langchain_redis_session._operations.remove_events import remove_events
from langchain_redis_session.errors import CorruptEventError
from langchain_redis_session.models import Event, SessionKey
from langchain_redis_session.scripts import bindings
from langchain_redis_session.scripts.bindings import End


def name_conversations(events: Sequence[Event]) -> list[str]:
    """Name each event's conversation, oldest event first.

    Events that share a request id are one conversation. An event without one belongs to
    the turn that the nearest user message before it opened.

    >>> from langchain_core.messages import AIMessage, HumanMessage
    >>> turn = [Event(HumanMessage("hi"), id="e1"), Event(AIMessage("hello"))]
    >>> name_conversations([*turn, Event(AIMessage("psst"), request_id="r")])
    ['event e1', 'event e1', 'request r']
    """
    names, turn = [], ""
    for event in events:
        name = f"request {event.request_id}" if event.request_id else ""
        if is_human(event):
            turn = name = name or f"event {event.id}"
        names.append(name or turn)
    return names


def trim_conversations(context: Context, key: SessionKey, count: int) -> Flow[list[Event]]:
    """Remove the last `count` conversations; gives their events, oldest first."""
    events_key = context.keyspace.session(key).events
    page = yield from bindings.read_events(events_key, first=End.OLDEST)
    entries: list[bytes] = []
    events: list[Event] = []
    for entry, score in zip(page.entries, page.scores, strict=True):
        try:
            event = decode_event(entry)
        except CorruptEventError:
            yield context.unreadable(events_key)
            continue
        event.score = float(score)
        entries.append(entry)
        events.append(event)
    names = name_conversations(events)
    last = list(dict.fromkeys(names))[-count:] if count else []
    chosen = [place for place, name in enumerate(names) if name in last]
    if chosen:
        yield from remove_events(context, key, [entries[place] for place in chosen])
    return [events[place] for place in chosen]
