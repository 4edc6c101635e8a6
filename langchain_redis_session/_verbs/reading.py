"""Methods that read a session."""

from dataclasses import replace
from functools import partial
from typing import TypeVar

from langchain_core.messages import BaseMessage

from langchain_redis_session._actions.open_calls import (
    OpenToolCalls,
    check_open_tool_calls,
    close_calls,
)
from langchain_redis_session._actions.reads import (
    GET_EVENTS,
    GET_MESSAGES,
    GET_SESSION,
    GET_SUMMARIZED_MESSAGES,
    Read,
)
from langchain_redis_session._display.lists import EventList
from langchain_redis_session._flow.requests import Flow
from langchain_redis_session._observe import operations
from langchain_redis_session._operations import counting
from langchain_redis_session._operations.bounds import Moment, StartOn
from langchain_redis_session._verbs.arguments import (
    check_flags,
    check_key,
)
from langchain_redis_session._verbs.runner import (
    FlowRunner,
    async_method,
    combine_hooks,
    listed,
    sync_method,
)
from langchain_redis_session.callbacks import GetSessionContext, Handlers
from langchain_redis_session.models import (
    Event,
    Session,
    SessionKey,
    SummarizedMessages,
)

T = TypeVar("T")


class ReadMethods(FlowRunner):
    """Read a session, its events and its messages."""

    @sync_method
    def get_session(
        self,
        key: SessionKey,
        *,
        limit: int | None = None,
        after: Moment | None = None,
        before: Moment | None = None,
        offset: int = 0,
        start_on: StartOn = None,
        strict: bool = False,
        callbacks: Handlers = None,
    ) -> Flow[Session | None]:
        """Read a session with its state and events, in one round trip.

        Args:
            key: The session.
            limit: The most events, the newest; None = all.
            after: The earliest (inclusive): a datetime with a zone, ns, or a score.
            before: The latest (inclusive).
            offset: How many of the newest to leave out.
            start_on: "human" = begin with a user message; if none is among the events,
                the last one before them is put in front, and where there is none either,
                there are no events.
            strict: Raise at an unreadable entry instead of skipping it.
            callbacks: Hooks for this call, after the service's.

        Returns:
            The session, or None if there is none (any more).

        Raises:
            EventRejectedError: A hook refused the read.
            CorruptEventError: An entry can't be read, and `strict` is true.
        """
        call = GetSessionContext(key, "get_session", limit, after, before, offset, start_on)
        return self._read(GET_SESSION, call, strict, callbacks)

    aget_session = async_method(get_session)

    @sync_method
    def get_events(
        self,
        key: SessionKey,
        *,
        limit: int | None = None,
        after: Moment | None = None,
        before: Moment | None = None,
        offset: int = 0,
        start_on: StartOn = None,
        strict: bool = False,
        callbacks: Handlers = None,
    ) -> Flow[list[Event]]:
        """Read a session's events, oldest first; arguments as `get_session`."""
        call = GetSessionContext(key, "get_events", limit, after, before, offset, start_on)
        return listed(EventList, self._read(GET_EVENTS, call, strict, callbacks))

    aget_events = async_method(get_events)

    @sync_method
    def get_messages(
        self,
        key: SessionKey,
        *,
        limit: int | None = None,
        after: Moment | None = None,
        before: Moment | None = None,
        offset: int = 0,
        start_on: StartOn = None,
        strict: bool = False,
        open_tool_calls: OpenToolCalls = "keep",
        callbacks: Handlers = None,
    ) -> Flow[list[BaseMessage]]:
        """Read a session's messages, oldest first; arguments as `get_session`.

        `limit` and `offset` count messages. Where older ones are cut off, tool results
        whose call is among those are left out at the start, as models refuse them.

        Args:
            key: The session.
            limit: The most messages, the newest; None = all.
            after: The earliest (inclusive): a datetime with a zone, ns, or a score.
            before: The latest (inclusive).
            offset: How many of the newest to leave out.
            start_on: "human" = begin with a user message; see `get_session`.
            strict: Raise at an unreadable entry instead of skipping it.
            open_tool_calls: What to do with tool calls that never got a result, which models
                refuse: "answer" = put an error result behind each, which appends never
                store; "drop" = leave the calls out; "keep" = return what is stored. Unless
                kept, late results are moved up to their calls, and results without a call
                left out. The last calls may still be running, and stay.
            callbacks: Hooks for this call, after the service's.
        """
        check_open_tool_calls(open_tool_calls)
        call = GetSessionContext(key, "get_messages", limit, after, before, offset, start_on)
        flow = self._read(GET_MESSAGES, call, strict, callbacks)
        return flow if open_tool_calls == "keep" else _close_calls(flow, open_tool_calls)

    aget_messages = async_method(get_messages)

    @sync_method
    def get_summarized_messages(
        self,
        key: SessionKey,
        *,
        limit: int | None = None,
        strict: bool = False,
        open_tool_calls: OpenToolCalls = "keep",
        callbacks: Handlers = None,
    ) -> Flow[SummarizedMessages]:
        """Read the session's summary and the messages that it does not cover; one round trip.

        Args:
            key: The session.
            limit: The most messages, the newest; None = all.
            strict: Raise at an unreadable entry instead of skipping it.
            open_tool_calls: What to do with tool calls that have no result; see
                `get_messages`.
            callbacks: Further hooks and handlers, for this call; hooks see it as a read of
                the session.

        Example:
            >>> from langchain_core.messages import AIMessage, HumanMessage
            >>> from langchain_redis_session import RedisSessionService
            >>> def summarize(request):
            ...     return f"{len(request.messages)} messages about tea"
            >>> service = RedisSessionService("memory://", summarizer=summarize)
            >>> key = service.create_session("shop", "ann").key
            >>> talk = [HumanMessage("Sencha?"), AIMessage("We have it.")]
            >>> result = service.append_messages(key, talk)
            >>> summary = service.create_summary(key, force=True)
            >>> result = service.append_messages(key, [HumanMessage("Two, please.")])
            >>> found = service.get_summarized_messages(key)
            >>> found.summary.text, [message.text for message in found.messages]
            ('2 messages about tea', ['Two, please.'])
        """
        check_open_tool_calls(open_tool_calls)
        call = GetSessionContext(key, "get_summarized_messages", limit)
        flow = self._read(GET_SUMMARIZED_MESSAGES, call, strict, callbacks)
        if open_tool_calls == "keep":
            return flow
        return _close_summarized_calls(flow, open_tool_calls)

    aget_summarized_messages = async_method(get_summarized_messages)

    @sync_method
    def count_events(self, key: SessionKey) -> Flow[int]:
        """Count a session's events, however long it is; 0 for a session that does not exist.

        Events that only change state count too, and so do those that can't be read.

        Example:
            >>> from langchain_core.messages import HumanMessage
            >>> from langchain_redis_session import RedisSessionService
            >>> service = RedisSessionService("memory://")
            >>> key = service.create_session("shop", "ann").key
            >>> result = service.append_messages(key, [HumanMessage("Sencha?")])
            >>> service.count_events(key)
            1
        """
        flow = counting.count_events(self._context, check_key(key))
        return self._settled(key.scope, flow)

    acount_events = async_method(count_events)

    def _read(
        self,
        read: Read[T],
        call: GetSessionContext,
        strict: bool = False,
        callbacks: Handlers = None,
    ) -> Flow[T]:
        key = check_key(call.key)
        check_flags(strict=strict)
        bounds = read.make_bounds(call, strict=strict)
        hooks = combine_hooks(self, callbacks)
        if hooks.of_reads:
            settle = partial(self._settled, key.scope)
            flow = read.with_hooks(self._context, hooks, call, settle, strict=strict)
        else:
            flow = self._settled(key.scope, read.read(self._context, key, bounds))
        return self._observed(operations.GET_SESSION, key, flow, hooks)


def _close_calls(flow: Flow[list[BaseMessage]], how: OpenToolCalls) -> Flow[list[BaseMessage]]:
    return close_calls((yield from flow), how)


def _close_summarized_calls(
    flow: Flow[SummarizedMessages], how: OpenToolCalls
) -> Flow[SummarizedMessages]:
    found = yield from flow
    return replace(found, messages=close_calls(found.messages, how))
