"""Reading one session, whatever of it is asked for, with hooks around it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Generic, TypeVar

from langchain_core.messages import BaseMessage

from langchain_redis_session._flow.requests import Flow
from langchain_redis_session._hooks.hooks import Hooks
from langchain_redis_session._operations import reading
from langchain_redis_session._operations.bounds import Bounds, make_bounds
from langchain_redis_session._operations.context import Context
from langchain_redis_session._operations.matching import has_message, is_whole
from langchain_redis_session.callbacks import GetSessionContext
from langchain_redis_session.models import (
    Event,
    Session,
    SessionKey,
    SummarizedMessages,
    list_messages,
    select_messages,
)

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class Read(Generic[T]):
    """One way to read a session.

    Attributes:
        method: The method's name, as hooks see it.
        read: Reads what the method returns, where no hook wants to see the session.
        read_session: Reads the session for hooks.
        select: Takes what the method returns out of a session; with the limit, if it counts
            messages.
        for_model: See `Bounds`.
    """

    method: str
    read: Callable[[Context, SessionKey, Bounds], Flow[T]]
    read_session: Callable[[Context, SessionKey, Bounds], Flow[Session | None]]
    select: Callable[[Session | None, int | None], T]
    for_model: bool = False

    def make_bounds(self, call: GetSessionContext, *, strict: bool) -> Bounds:
        """Check what is asked for; raises as `make_bounds`."""
        return make_bounds(
            call.limit,
            call.after,
            call.before,
            call.offset,
            call.start_on,
            strict,
            for_model=self.for_model,
        )

    def with_hooks(
        self,
        context: Context,
        hooks: Hooks,
        call: GetSessionContext,
        settle: Callable[[Flow[Session | None]], Flow[Session | None]],
        *,
        strict: bool,
    ) -> Flow[T]:
        """Read, seen by the hooks.

        Args:
            context: Options and key names.
            hooks: What to call.
            call: What is asked for.
            settle: Puts before a flow what has to be done before it.
            strict: Whether an unreadable entry is an error.
        """
        yield from hooks.start("get_session", call)
        if call.session is None:
            started_s = time.perf_counter()
            try:
                bounds = self.make_bounds(call, strict=strict)
                call.session = yield from settle(self.read_session(context, call.key, bounds))
            except Exception as error:
                yield from hooks.error("get_session", call, error=error)
                raise
            call.duration_ms = (time.perf_counter() - started_s) * 1000
        yield from hooks.end("get_session", call)
        return self.select(call.session, _find_limit(call))


def _find_limit(call: GetSessionContext) -> int | None:
    """As without hooks: events of trpc-agent-go may hold several messages."""
    was_read = call.duration_ms is not None
    return call.limit if was_read and call.start_on is None else None


def _read_session_of_messages(
    context: Context, key: SessionKey, bounds: Bounds
) -> Flow[Session | None]:
    return reading.get_session(context, key, bounds, has_message)


def _read_session_since_summary(
    context: Context, key: SessionKey, bounds: Bounds
) -> Flow[Session | None]:
    return reading.get_since_summary(context, key, bounds, with_state=True)


def _select_session(session: Session | None, _limit: int | None) -> Session | None:
    return session


def _select_events(session: Session | None, _limit: int | None) -> list[Event]:
    return session.events if session is not None else []


def _select_messages(session: Session | None, limit: int | None) -> list[BaseMessage]:
    if session is None:
        return []
    return select_messages(session.events, is_cut=session.is_cut, limit=limit)


def _select_for_model(session: Session | None, _limit: int | None) -> SummarizedMessages:
    """Everything: what is read for a model is cut where its window is made."""
    if session is None:
        return SummarizedMessages(None, [])
    return SummarizedMessages(session.summary, list_messages(session.events), session.is_cut)


def _select_unsummarized(session: Session | None, limit: int | None) -> SummarizedMessages:
    return replace(_select_for_model(session, limit), summary=None)


GET_SESSION: Read[Session | None] = Read(
    "get_session", reading.get_session, reading.get_session, _select_session
)
GET_EVENTS: Read[list[Event]] = Read(
    "get_events", reading.get_events, reading.get_session, _select_events
)
GET_MESSAGES: Read[list[BaseMessage]] = Read(
    "get_messages", reading.get_messages, _read_session_of_messages, _select_messages
)
GET_SUMMARIZED_MESSAGES: Read[SummarizedMessages] = Read(
    "get_summarized_messages",
    reading.get_summarized_messages,
    _read_session_since_summary,
    reading.select_summarized,
)


@cache
def messages_for_model(
    *, with_summary: bool = False, include_interrupted: bool = False
) -> Read[SummarizedMessages]:
    """What reads the messages that a window is made of.

    Args:
        with_summary: Whether the summary stands for what it covers.
        include_interrupted: Whether answers that were cut off are among them.
    """
    read_session = _read_for_model(with_summary, include_interrupted)
    if with_summary:
        read_stateless = _read_for_model(with_summary, include_interrupted, with_state=False)

        def read(context: Context, key: SessionKey, bounds: Bounds) -> Flow[SummarizedMessages]:
            return _select_for_model((yield from read_stateless(context, key, bounds)), None)

        return Read(
            "get_summarized_messages", read, read_session, _select_for_model, for_model=True
        )
    read = partial(reading.get_messages_for_model, include_interrupted=include_interrupted)
    return Read("get_messages", read, read_session, _select_unsummarized, for_model=True)


@cache
def session_for_model(
    *, with_summary: bool = False, include_interrupted: bool = False
) -> Read[Session | None]:
    """What reads a session as a window is made of it; as `messages_for_model`."""
    method = "get_summarized_messages" if with_summary else "get_messages"
    read = _read_for_model(with_summary, include_interrupted)
    return Read(method, read, read, _select_session, for_model=True)


def _read_for_model(
    with_summary: bool, include_interrupted: bool, *, with_state: bool = True
) -> Callable[[Context, SessionKey, Bounds], Flow[Session | None]]:
    wants = has_message if include_interrupted else is_whole
    if with_summary:
        return partial(reading.get_since_summary, with_state=with_state, wants=wants)
    return partial(reading.get_session, wants=wants)
