"""Verbs on events and messages."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from typing import Any

from langchain_core.messages import BaseMessage

from langchain_redis_session._background.summary_workers import SummaryAsker
from langchain_redis_session._flow import Flow
from langchain_redis_session._hooks import Hooks
from langchain_redis_session._operations import conversations, events, removal, search, windows
from langchain_redis_session._operations.windows import Moment, StartOn, make_bounds
from langchain_redis_session._verbs import hooked
from langchain_redis_session._verbs.base import (
    FlowRunner,
    async_verb,
    check_key,
    scope_of,
    sync_verb,
)
from langchain_redis_session.callbacks import GetSessionContext, Handlers
from langchain_redis_session.errors import ConfigurationError
from langchain_redis_session.models import AppendResult, Event, Role, SessionKey, validate_id


class EventVerbs(FlowRunner):
    """Append, read, find and remove events."""

    def _append_event(
        self, key: SessionKey, event: Event, *, callbacks: Handlers = None
    ) -> Flow[AppendResult]:
        """Append one event; as `append_events`."""
        return self._append_events(key, [event], callbacks=callbacks)

    append_event = sync_verb(_append_event)
    aappend_event = async_verb(_append_event)

    def _append_events(
        self, key: SessionKey, new_events: Sequence[Event], *, callbacks: Handlers = None
    ) -> Flow[AppendResult]:
        """Append events and their state changes, all or none, in one round trip.

        An event that is already stored (a retry) is not stored again. The events' `score`
        is set.

        Args:
            key: The session.
            new_events: The events.
            callbacks: Hooks for this call, after the service's.

        Raises:
            EventRejectedError: A hook refused an event; none is written.
            SessionNotFoundError: There is no such session.
            UnserializableMessageError: An event holds what JSON can't carry.
            EventTooLargeError: An event's JSON is over `max_event_bytes`.
        """
        if isinstance(new_events, Event) or not all(isinstance(e, Event) for e in new_events):
            raise ConfigurationError("append_events takes a list of Event")
        return self._append(check_key(key), list(new_events), callbacks)

    append_events = sync_verb(_append_events)
    aappend_events = async_verb(_append_events)

    def _append_messages(
        self,
        key: SessionKey,
        messages: Sequence[BaseMessage],
        *,
        request_id: str = "",
        invocation_id: str = "",
        author: str | None = None,
        branch: str = "",
        tag: str = "",
        filter_key: str = "",
        state_delta: dict[str, Any] | None = None,
        once: bool = False,
        create: bool = False,
        callbacks: Handlers = None,
    ) -> Flow[AppendResult]:
        """Append messages, all or none, in one round trip.

        Args:
            key: The session.
            messages: LangChain messages; a chunk is stored as the message it belongs to.
            request_id: Names the conversation they belong to.
            invocation_id: Names the agent's run.
            author: Who made them; default: "user" or "assistant", by their type.
            branch: The path of agents.
            tag: Labels, separated by ";".
            filter_key: A hierarchical key ("app/tools").
            state_delta: State to set with them; see `Event.state_delta`.
            once: Leave out messages whose id is already in the session.
            create: Create the session if there is none.
            callbacks: Hooks for this call, after the service's.

        Raises:
            EventRejectedError: A hook refused a message; none is written.
            SessionNotFoundError: There is no such session, and `create` is false.
            UnserializableMessageError: A message holds what JSON can't carry.
            EventTooLargeError: A message's JSON is over `max_event_bytes`.
        """
        new_events = events.make_events(
            [messages] if isinstance(messages, BaseMessage) else messages,
            time_ns=time.time_ns(),
            author=author,
            state_delta=state_delta,
            request_id=request_id,
            invocation_id=invocation_id,
            branch=branch,
            tag=tag,
            filter_key=filter_key,
        )
        return self._append(check_key(key), new_events, callbacks, create=create, once=once)

    append_messages = sync_verb(_append_messages)
    aappend_messages = async_verb(_append_messages)

    def _append(
        self,
        key: SessionKey,
        new_events: list[Event],
        callbacks: Handlers,
        *,
        create: bool = False,
        once: bool = False,
    ) -> Flow[AppendResult]:
        hooks, asker = self._hooks_with(callbacks), self._summary_asker
        if hooks.of_appends:
            flow = hooked.append_events(
                self._context,
                hooks,
                key,
                new_events,
                create=create,
                once=once,
                is_write_behind=self._is_write_behind,
                asker=asker,
            )
        else:
            prepared = events.prepare_events(self._context, new_events, create=create, once=once)
            if self._is_write_behind:
                flow = _queue_events(hooks, key, prepared, asker)
            else:
                flow = events.append_prepared(self._context, key, prepared)
                if asker is not None:
                    flow = _then_ask(flow, key, prepared, asker)
        return self._observed("append_event", key, flow, hooks, new_events)

    def _get_events(
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
        bounds = make_bounds(limit, after, before, offset, start_on, strict)
        check_key(key)
        hooks = self._hooks_with(callbacks)
        if hooks.of_reads:
            call = GetSessionContext(key, "get_events", limit, after, before, offset, start_on)
            flow = hooked.get_events(self._context, hooks, call, self._settled, strict=strict)
        else:
            flow = self._settled(scope_of(key), windows.get_events(self._context, key, bounds))
        return self._observed("get_session", key, flow, hooks)

    get_events = sync_verb(_get_events)
    aget_events = async_verb(_get_events)

    def _get_messages(
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
    ) -> Flow[list[BaseMessage]]:
        """Read a session's messages, oldest first; arguments as `get_session`.

        `limit` and `offset` count messages. Where older ones are cut off, tool results
        whose call is among those are left out at the start, as models refuse them.
        """
        bounds = make_bounds(limit, after, before, offset, start_on, strict)
        check_key(key)
        hooks = self._hooks_with(callbacks)
        if hooks.of_reads:
            call = GetSessionContext(key, "get_messages", limit, after, before, offset, start_on)
            flow = hooked.get_messages(self._context, hooks, call, self._settled, strict=strict)
        else:
            flow = self._settled(scope_of(key), windows.get_messages(self._context, key, bounds))
        return self._observed("get_session", key, flow, hooks)

    get_messages = sync_verb(_get_messages)
    aget_messages = async_verb(_get_messages)

    def _clear_events(self, key: SessionKey) -> Flow[int]:
        """Remove a session's events and summaries, not its state; gives how many events."""
        flow = removal.clear_events(self._context, check_key(key))
        return self._settled(scope_of(key), flow)

    clear_events = sync_verb(_clear_events)
    aclear_events = async_verb(_clear_events)

    def _trim_conversations(self, key: SessionKey, *, count: int = 1) -> Flow[list[Event]]:
        """Remove the last `count` conversations; gives their events, oldest first.

        A conversation is the events that share a request id; without one, a user message
        and what followed it. A summary that covers them already keeps its text, and ends with
        what is left.
        """
        make_bounds(count, None, None, 0)
        flow = conversations.trim_conversations(self._context, check_key(key), count)
        return self._settled(scope_of(key), flow)

    trim_conversations = sync_verb(_trim_conversations)
    atrim_conversations = async_verb(_trim_conversations)

    def _get_event_window(
        self,
        key: SessionKey,
        event_id: str,
        *,
        before: int = 5,
        after: int = 5,
        roles: Collection[Role] | None = None,
    ) -> Flow[list[Event]]:
        """Read an event with those around it, oldest first; [] if it isn't there.

        Args:
            key: The session.
            event_id: The event.
            before: How many earlier ones.
            after: How many later ones.
            roles: Count and give only events of these roles: "user", "assistant", "tool",
                "system". The event itself is always given.
        """
        make_bounds(before, None, None, after)
        flow = search.get_event_window(
            self._context,
            check_key(key),
            validate_id(event_id, "event_id"),
            before=before,
            after=after,
            roles=roles,
        )
        return self._settled(scope_of(key), flow)

    get_event_window = sync_verb(_get_event_window)
    aget_event_window = async_verb(_get_event_window)

    def _search_events(
        self,
        key: SessionKey,
        query: str,
        *,
        limit: int | None = 10,
        after: Moment | None = None,
        before: Moment | None = None,
        roles: Collection[Role] | None = None,
    ) -> Flow[list[Event]]:
        """Find events by the text of their messages; needs no server module.

        Args:
            key: The session.
            query: Words and "quoted phrases"; all must stand in the text, in any case.
            limit: The most events, the newest; None = all.
            after: The earliest (inclusive), as `get_session`.
            before: The latest (inclusive).
            roles: Only events of these roles: "user", "assistant", "tool", "system".

        Returns:
            The events, oldest first.
        """
        bounds = make_bounds(limit, after, before, 0)
        flow = search.search_events(self._context, check_key(key), query, bounds, roles)
        return self._settled(scope_of(key), flow)

    search_events = sync_verb(_search_events)
    asearch_events = async_verb(_search_events)


def _then_ask(
    flow: Flow[AppendResult], key: SessionKey, prepared: events.PreparedEvents, asker: SummaryAsker
) -> Flow[AppendResult]:
    result = yield from flow
    if result.written:
        yield from asker.ask(key, prepared.branches, result.unsummarized)
    return result


def _queue_events(
    hooks: Hooks, key: SessionKey, prepared: events.PreparedEvents, asker: SummaryAsker | None
) -> Flow[AppendResult]:
    if prepared.events:
        on_settled = None
        if asker is not None:
            on_settled = asker.when_settled(key, prepared.branches)
        yield from hooked.submit(hooks, key, prepared, on_settled)
    return AppendResult(list(prepared.events), written=0, removed=0, queued=True)
