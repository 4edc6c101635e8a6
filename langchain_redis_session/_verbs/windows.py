"""Reads of what a window for a model is made of, and how long it is; for adapters.

They are counted, and seen by hooks, as the methods whose names they have.
"""

from dataclasses import fields

from langchain_core.messages import BaseMessage

from langchain_redis_session._actions.reads import (
    GET_MESSAGES,
    messages_for_model,
    session_for_model,
)
from langchain_redis_session._flow.requests import Flow
from langchain_redis_session._operations import counting
from langchain_redis_session._operations.reading import WindowSession
from langchain_redis_session._verbs.reading import ReadMethods
from langchain_redis_session._verbs.runner import async_method, combine_hooks, sync_method
from langchain_redis_session.callbacks import GetSessionContext, Handlers
from langchain_redis_session.models import SessionKey, SummarizedMessages


@sync_method
def get_messages(
    service: ReadMethods,
    key: SessionKey,
    *,
    limit: int | None = None,
    include_interrupted: bool = False,
    callbacks: Handlers = None,
) -> Flow[SummarizedMessages]:
    """Read the newest messages, whatever a summary covers.

    Where older ones are cut off by the limit, there come back all from the last user message
    on, and up to four system messages that the session begins with: in one round trip, and
    further ones only where the last turn is longer than the limit.

    Args:
        service: The service.
        key: The session.
        limit: The most messages, but for these; None = all.
        include_interrupted: Whether to read answers that were cut off, too.
        callbacks: Hooks for this call, after the service's.
    """
    call = GetSessionContext(key, "get_messages", limit)
    read = messages_for_model(include_interrupted=include_interrupted)
    return service._read(read, call, callbacks=callbacks)  # noqa: SLF001


aget_messages = async_method(get_messages)


@sync_method
def get_summarized_messages(
    service: ReadMethods,
    key: SessionKey,
    *,
    limit: int | None = None,
    include_interrupted: bool = False,
    callbacks: Handlers = None,
) -> Flow[SummarizedMessages]:
    """Read the session's summary and the messages that it does not cover; as `get_messages`."""
    call = GetSessionContext(key, "get_summarized_messages", limit)
    read = messages_for_model(with_summary=True, include_interrupted=include_interrupted)
    return service._read(read, call, callbacks=callbacks)  # noqa: SLF001


aget_summarized_messages = async_method(get_summarized_messages)


@sync_method
def get_session(
    service: ReadMethods,
    key: SessionKey,
    *,
    limit: int | None = None,
    with_summary: bool = False,
    include_interrupted: bool = False,
    callbacks: Handlers = None,
) -> Flow[WindowSession | None]:
    """Read the session itself with its state; as `get_messages` or `get_summarized_messages`."""
    read = session_for_model(with_summary=with_summary, include_interrupted=include_interrupted)
    call = GetSessionContext(key, read.method, limit)
    session = yield from service._read(read, call, callbacks=callbacks)  # noqa: SLF001
    if session is None or isinstance(session, WindowSession):
        return session
    # A hook has put its own in place.
    members = {member.name: getattr(session, member.name) for member in fields(session)}
    return WindowSession(**members)


aget_session = async_method(get_session)


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
