"""Counting events, and the messages in them."""

from __future__ import annotations

from functools import partial

from langchain_core.messages import ToolMessage

from langchain_redis_session._codec.event_glance import count_messages as count_in_entry
from langchain_redis_session._codec.events import decode_event
from langchain_redis_session._flow.requests import Flow
from langchain_redis_session._flow.scripts import call_batch
from langchain_redis_session._operations.bounds import format_score
from langchain_redis_session._operations.context import Context
from langchain_redis_session._operations.lifetime import refresh_lifetime
from langchain_redis_session._operations.pages import LARGEST_PAGE, Page, Walk, parse_page_reply
from langchain_redis_session.errors import CorruptEventError
from langchain_redis_session.models import Event, SessionKey, list_messages, select_messages
from langchain_redis_session.scripts.bindings import End


def count_events(context: Context, key: SessionKey) -> Flow[int]:
    """Count a session's events."""
    size: int = yield ("ZCARD", context.keyspace.session(key).events)
    return size


def count_messages(context: Context, key: SessionKey) -> Flow[int]:
    """Count the messages that a read of all of them gives; few of them are built."""
    events_key, options = context.keyspace.session(key).events, context.options
    refresh = [refresh_lifetime(context, key)] if options.refresh_ttl_on_read else []
    size, newest, *refreshed = yield from call_batch(
        [("ZCARD", events_key), ("ZREVRANGE", events_key, 0, 0, "WITHSCORES"), *refresh]
    )
    for reply in refreshed:
        context.note_field_ttl(reply.field_ttl)
    _, scores = parse_page_reply(newest)
    if not scores:
        return 0
    walk = Walk(context, events_key, End.OLDEST, highest=format_score(float(scores[0])))
    first: list[Event] = []
    count = 0
    while not walk.is_done:
        found, unreadable = yield from walk.read(LARGEST_PAGE, partial(_count, first))
        count += found
        if unreadable:
            yield context.unreadable(events_key, count=unreadable)
    limit = options.session_event_limit
    is_cut = isinstance(limit, int) and size >= limit
    return count + len(select_messages(first, is_cut=is_cut))


def _count(first: list[Event], page: Page) -> tuple[int, int]:
    """Count a page's messages, without those that may be results whose call was cut off.

    Their events, which a read would look at, are put to the `first`. Also counts what can't be
    read.
    """
    count = unreadable = 0
    is_open = _may_begin_with_results(first)
    for entry in page[0]:
        try:
            if is_open:
                first.append(decode_event(entry))
                is_open = _may_begin_with_results(first)
            else:
                count += count_in_entry(entry)
        except CorruptEventError:
            unreadable += 1
    return count, unreadable


def _may_begin_with_results(first: list[Event]) -> bool:
    """Whether what comes next may be a result that is left out: see `select_messages`."""
    others = (m for m in list_messages(first) if not isinstance(m, ToolMessage))
    return len(list(others)) < 2
