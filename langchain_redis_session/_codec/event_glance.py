"""What an event tells at a glance: its message is not built, which takes ten times as long."""

from __future__ import annotations

from typing import Any

import orjson

from langchain_redis_session._codec.corruption import decoder
from langchain_redis_session._codec.events import decode_event, read_time
from langchain_redis_session._codec.tags import TAG_BYTES
from langchain_redis_session.errors import fails_again

_ODD = (ValueError, LookupError, TypeError, AttributeError)
"""What looking into something else than was expected raises; a signal's handler may, too."""


@decoder("an event")
def count_messages(data: bytes) -> int:
    """Count the messages of an event.

    Raises:
        CorruptEventError: These bytes are no event. (What is wrong within a message, only
            reading it finds out.)

    >>> count_messages(b'{"id":"e1","choices":[{"message":{"role":"user","content":"hi"}}]}')
    1
    """
    if _find_message_data(data) is not None:
        return 1
    event = decode_event(data)
    return 0 if event.message is None else 1 + len(event.further_messages)


@decoder("an event")
def read_message_id(data: bytes) -> str | None:
    """Give the id of an event's message; None where it has none, or there is no message.

    Raises:
        CorruptEventError: As `count_messages`.

    >>> read_message_id(
    ...     b'{"id":"e1","choices":[{"message":{"role":"user","content":"hi"}}],'
    ...     b'"extensions":{"langchain":{"v":1,"type":"human","data":{"id":"m1"}}}}'
    ... )
    'm1'
    """
    if TAG_BYTES not in data:
        found = _find_message_data(data)
        message_id = None if found is None else found.get("id")
        if found is not None and (message_id is None or type(message_id) is str):
            return message_id
    message = decode_event(data).message
    return None if message is None else message.id


def _find_message_data(data: bytes) -> dict[str, Any] | None:
    """What an event of one message holds of it beside Go's; None where it is to be decoded."""
    try:
        document, found = _look(data)
    except _ODD as error:
        if not fails_again(error, _look, data):
            raise
        return None
    if found is not None:
        read_time(document)
    return found


def _look(data: bytes) -> tuple[dict[str, Any], dict[str, Any] | None]:
    document = orjson.loads(data)
    ((choice,), extensions) = document["choices"], document.get("extensions", {})
    natural = choice["message"]
    role, content = natural["role"], natural.get("content", "")
    langchain = extensions.get("langchain")
    found = {} if langchain is None else langchain.get("data", {})
    event_id = document["id"]
    is_usual = (
        type(event_id) is type(role) is type(content) is str
        and event_id
        and (content or langchain is not None)
        and type(found) is dict
    )
    return document, found if is_usual else None
