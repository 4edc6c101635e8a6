"""Conversations: the events of one user turn with all that followed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from langchain_redis_session._flow.requests import Flow, compute
from langchain_redis_session._operations.attempts import Attempts
from langchain_redis_session._operations.context import Context
from langchain_redis_session._operations.matching import is_human
from langchain_redis_session._operations.pages import LARGEST_PAGE, StoredEvent, Walk
from langchain_redis_session._operations.remove_events import remove_stored
from langchain_redis_session.models import Event, SessionKey
from langchain_redis_session.scripts.replies import Status

_FIRST_PAGE = 64
_MOST_UNOPENED = 1000


def name_conversations(events: Sequence[Event]) -> list[str]:
    """Name each event's conversation, oldest event first.

    Events that share a request id are one conversation. An event without one belongs to
    the turn that the nearest user message before it opened; "" where there is none.

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


def trim_conversations(
    context: Context, key: SessionKey, count: int, *, token: str
) -> Flow[list[Event]]:
    """Remove the last `count` conversations; gives their events, oldest first.

    Args:
        context: Options and key names.
        key: The session.
        count: How many.
        token: The call's, by which a script that is sent again is known.
    """
    attempts = Attempts(key, "trim")
    while count:
        attempts.begin()
        walk = Walk(context, context.keyspace.session(key).events)
        found = yield from _find_last(walk, count)
        if not found:
            break
        reply = yield from remove_stored(context, key, found, token=token, newest=walk.newest)
        if reply.status is Status.OK:
            return [one.event for one in reversed(found)]
    return []


def _find_last(walk: Walk, count: int) -> Flow[list[StoredEvent]]:
    """Find the events of the last conversations, newest first, at a cost of what these are."""
    found: list[StoredEvent] = []
    more = _FIRST_PAGE
    while True:
        found += yield from walk.read_events(more)
        events = [one.event for one in found]
        places, are_whole = yield from compute(
            partial(choose_last, events, count, is_all=walk.is_done), walk.bytes_read
        )
        if are_whole:
            return [found[place] for place in places]
        more = min(len(found) or more, LARGEST_PAGE)


def choose_last(
    newest_first: Sequence[Event], count: int, *, is_all: bool
) -> tuple[list[int], bool]:
    """Choose the events of the `count` conversations whose newest events are the newest.

    A conversation that shows no user message at its beginning ends after 1000 events.

    Args:
        newest_first: A session's last events.
        count: How many conversations.
        is_all: Whether these are all of its events.

    Returns:
        The places of the events; and whether no earlier event can belong to them.
    """
    names = name_conversations(newest_first[::-1])[::-1]
    newest: dict[str, int] = {}
    oldest: dict[str, int] = {}
    for place, name in enumerate(names):
        newest.setdefault(name, place)
        oldest[name] = place
    last = list(newest)[:count]
    # The turn of what has no name yet began further back: it ends no other conversation.
    end = max((place for name, place in oldest.items() if name), default=-1)

    def is_whole(name: str) -> bool:
        if is_all:
            return True
        begin = oldest[name]
        is_opened = bool(name) and is_human(newest_first[begin])
        # Of one request there may be several user messages.
        return is_opened and (begin < end or name.startswith("event "))

    def is_looked_through(name: str) -> bool:
        return newest[name] + _MOST_UNOPENED <= len(names)

    opened = {name for name in last if is_human(newest_first[oldest[name]])}
    places = [
        place
        for place, name in enumerate(names)
        if name in opened or (name in last and place < newest[name] + _MOST_UNOPENED)
    ]
    are_whole = all(is_whole(name) or is_looked_through(name) for name in last)
    return places, are_whole and (is_all or len(last) == count)
