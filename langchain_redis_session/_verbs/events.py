"""Verbs on events and messages."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from typing import Any

from langchain_core.messages import BaseMessage

from langchain_redis_session._background.summary_workers import SummaryWorkers
from langchain_redis_session._flow import Call, Flow, Submit
from langchain_redis_session._operations import conversations, events, search, windows
from langchain_redis_session._operations.summaries import SummaryTask
from langchain_redis_session._operations.windows import Moment, StartOn, make_bounds
from langchain_redis_session._verbs.base import async_verb, check_key, scope_of, sync_verb
from langchain_redis_session._verbs.summaries import SummaryVerbs
from langchain_redis_session.errors import ConfigurationError
from langchain_redis_session.models import AppendResult, Event, Role, SessionKey, validate_id


class EventVerbs(SummaryVerbs):
    """Append, read, find and remove events."""

    def _append_event(self, key: SessionKey, event: Event) -> Flow[AppendResult]:
        """Append one event; as `append_events`."""
        return self._append_events(key, [event])

    append_event = sync_verb(_append_event)
    aappend_event = async_verb(_append_event)

    def _append_events(self, key: SessionKey, new_events: Sequence[Event]) -> Flow[AppendResult]:
        """Append events and their state changes, all or none, in one round trip.

        An event that is already stored (a retry) is not stored again. The events' `score`
        is set.

        Raises:
            SessionNotFoundError: There is no such session.
            UnserializableMessageError: An event holds what JSON can't carry.
            EventTooLargeError: An event's JSON is over `max_event_bytes`.
        """
        if isinstance(new_events, Event) or not all(isinstance(e, Event) for e in new_events):
            raise ConfigurationError("append_events takes a list of Event")
        prepared = events.prepare_events(self._context, list(new_events))
        return self._append(check_key(key), prepared)

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

        Raises:
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
        prepared = events.prepare_events(self._context, new_events, create=create, once=once)
        return self._append(check_key(key), prepared)

    append_messages = sync_verb(_append_messages)
    aappend_messages = async_verb(_append_messages)

    def _append(self, key: SessionKey, prepared: events.PreparedEvents) -> Flow[AppendResult]:
        workers = self._summary_workers if self._context.options.auto_summarize else None
        if not self._is_write_behind:
            flow = events.append_prepared(self._context, key, prepared)
            if workers is None:
                return flow
            return _then_ask(flow, workers, self._tasks_after(key, prepared.branches))
        if workers is None:
            return _queue_events(key, prepared)
        tasks = self._tasks_after(key, prepared.branches)

        def ask(error: Exception | None) -> None:
            if error is None:  # in a worker of write-behind, which must not be held up
                workers.enqueue_beyond(tasks)

        return _queue_events(key, prepared, ask)

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
    ) -> Flow[list[Event]]:
        """Read a session's events, oldest first; arguments as `get_session`."""
        bounds = make_bounds(limit, after, before, offset, start_on, strict)
        flow = windows.get_events(self._context, check_key(key), bounds)
        return self._settled(scope_of(key), flow)

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
    ) -> Flow[list[BaseMessage]]:
        """Read a session's messages, oldest first; arguments as `get_session`.

        `limit` and `offset` count messages. Where older ones are cut off, tool results
        whose call is among those are left out at the start, as models refuse them.
        """
        bounds = make_bounds(limit, after, before, offset, start_on, strict)
        flow = windows.get_messages(self._context, check_key(key), bounds)
        return self._settled(scope_of(key), flow)

    get_messages = sync_verb(_get_messages)
    aget_messages = async_verb(_get_messages)

    def _clear_events(self, key: SessionKey) -> Flow[int]:
        """Remove a session's events and summaries, not its state; gives how many events."""
        flow = events.clear_events(self._context, check_key(key))
        return self._settled(scope_of(key), flow)

    clear_events = sync_verb(_clear_events)
    aclear_events = async_verb(_clear_events)

    def _trim_conversations(self, key: SessionKey, *, count: int = 1) -> Flow[list[Event]]:
        """Remove the last `count` conversations; gives their events, oldest first.

        A conversation is the events that share a request id; without one, a user message
        and what followed it.
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
    flow: Flow[AppendResult], workers: SummaryWorkers, tasks: list[SummaryTask]
) -> Flow[AppendResult]:
    result = yield from flow
    if result.written:
        yield Call(lambda: workers.enqueue(tasks), lambda: workers.aenqueue(tasks))
    return result


def _queue_events(
    key: SessionKey,
    prepared: events.PreparedEvents,
    on_settled: Callable[[Exception | None], None] | None = None,
) -> Flow[AppendResult]:
    if prepared.events:
        yield Submit(key, prepared, on_settled)
    return AppendResult(list(prepared.events), written=0, removed=0, queued=True)
