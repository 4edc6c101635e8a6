"""Reads of what a window for a model is made of; for adapters.

They are counted, and seen by hooks, as the methods whose names they have.
"""

from langchain_redis_session._actions.reads import (
    GET_MESSAGES_FOR_MODEL,
    GET_SESSION_FOR_MODEL,
    GET_SUMMARIZED_FOR_MODEL,
    GET_SUMMARIZED_SESSION_FOR_MODEL,
)
from langchain_redis_session._flow.requests import Flow
from langchain_redis_session._verbs.reading import ReadMethods
from langchain_redis_session._verbs.runner import async_method, sync_method
from langchain_redis_session.callbacks import GetSessionContext, Handlers
from langchain_redis_session.models import Session, SessionKey, SummarizedMessages


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
def get_session(
    service: ReadMethods,
    key: SessionKey,
    *,
    limit: int | None = None,
    with_summary: bool = False,
    callbacks: Handlers = None,
) -> Flow[Session | None]:
    """Read the session itself with its state; as `get_messages` or `get_summarized_messages`."""
    read = GET_SUMMARIZED_SESSION_FOR_MODEL if with_summary else GET_SESSION_FOR_MODEL
    call = GetSessionContext(key, read.method, limit)
    return service._read(read, call, callbacks=callbacks)  # noqa: SLF001


aget_session = async_method(get_session)
