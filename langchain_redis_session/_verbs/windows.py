"""Reads of what a window for a model is made of, and how long it is; for adapters.

They are counted, and seen by hooks, as the methods whose names they have.
"""

from langchain_core.messages import BaseMessage

from langchain_redis_session._actions.reads import (
    GET_MESSAGES,
    GET_MESSAGES_FOR_MODEL,
    GET_SUMMARIZED_FOR_MODEL,
)
from langchain_redis_session._flow.requests import Flow
from langchain_redis_session._operations import counting
from langchain_redis_session._verbs.reading import ReadMethods
from langchain_redis_session._verbs.runner import async_method, combine_hooks, sync_method
from langchain_redis_session.callbacks import GetSessionContext, Handlers
from langchain_redis_session.models import SessionKey, SummarizedMessages


@sync_method
def get_messages(
    service: ReadMethods, key: SessionKey, *, limit: int | None = None, callbacks: Handlers = None
) -> Flow[SummarizedMessages]:
    """Read the newest messages, whatever a summary covers.

    Where older ones are cut off by the limit, there come back all from the last user message
    on, and up to four system messages that the session begins with: in one round trip, and
    further ones only where the last turn is longer than the limit.

    Args:
        service: The service.
        key: The session.
        limit: The most messages, but for these; None = all.
        callbacks: Hooks for this call, after the service's.
    """
    call = GetSessionContext(key, "get_messages", limit)
    return service._read(  # noqa: SLF001
        GET_MESSAGES_FOR_MODEL, call, callbacks=callbacks
    )


aget_messages = async_method(get_messages)


@sync_method
def get_summarized_messages(
    service: ReadMethods, key: SessionKey, *, limit: int | None = None, callbacks: Handlers = None
) -> Flow[SummarizedMessages]:
    """Read the session's summary and the messages that it does not cover; as `get_messages`."""
    call = GetSessionContext(key, "get_summarized_messages", limit)
    return service._read(  # noqa: SLF001
        GET_SUMMARIZED_FOR_MODEL, call, callbacks=callbacks
    )


aget_summarized_messages = async_method(get_summarized_messages)


@sync_method
def count_events(service: ReadMethods, key: SessionKey, *, callbacks: Handlers = None) -> Flow[int]:
    """Count the messages that the service's `get_messages` gives; by it, where hooks see reads."""
    if combine_hooks(service, callbacks).of_reads:
        call = GetSessionContext(key, "get_messages")
        return _count(service._read(GET_MESSAGES, call, callbacks=callbacks))  # noqa: SLF001
    flow = counting.count_messages(service._context, key)  # noqa: SLF001
    return service._settled(key.scope, flow)  # noqa: SLF001


def _count(read: Flow[list[BaseMessage]]) -> Flow[int]:
    return len((yield from read))
