"""What a session's user said first: what a list of sessions may call it by."""

from __future__ import annotations

from collections.abc import Sequence

from langchain_redis_session._codec.events import decode_event
from langchain_redis_session._flow.requests import Flow, compute
from langchain_redis_session._flow.scripts import call_batch
from langchain_redis_session._operations.context import Context
from langchain_redis_session._operations.matching import is_human
from langchain_redis_session.errors import CorruptEventError
from langchain_redis_session.models import SessionKey

_LOOKED_AT = 8
"""A session may begin with system messages and changes of state."""


def read_first_texts(context: Context, keys: Sequence[SessionKey]) -> Flow[list[str]]:
    """Read the first user message of each session, in one round trip; "" where there is none."""
    events_keys = [context.keyspace.session(key).events for key in keys]
    replies = yield from call_batch([("ZRANGE", key, 0, _LOOKED_AT - 1) for key in events_keys])
    size = sum(len(entry) for entries in replies for entry in entries)
    context.counters.bytes_in += size
    return (yield from compute(lambda: [_find_text(entries) for entries in replies], size))


def _find_text(entries: Sequence[bytes]) -> str:
    for entry in entries:
        try:
            event = decode_event(entry)
        except CorruptEventError:  # whoever reads the session tells of it
            continue
        if event.message is not None and is_human(event):
            return event.message.text
    return ""
