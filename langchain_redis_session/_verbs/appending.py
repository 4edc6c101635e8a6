"""Methods that append events and messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.messages import BaseMessage

from langchain_redis_session._actions import appends
from langchain_redis_session._flow.requests import Flow
from langchain_redis_session._observe import operations
from langchain_redis_session._operations.prepared import make_events
from langchain_redis_session._verbs.runner import (
    FlowRunner,
    async_verb,
    check_key,
    combine_hooks,
    sync_verb,
)
from langchain_redis_session.callbacks import Handlers
from langchain_redis_session.errors import ConfigurationError
from langchain_redis_session.models import (
    AppendResult,
    Event,
    SessionKey,
)


class AppendMethods(FlowRunner):
    """Append events and messages."""

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
        new_events = make_events(
            [messages] if isinstance(messages, BaseMessage) else messages,
            time_ns=self._clock(),
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
        hooks = combine_hooks(self, callbacks)
        flow = appends.append_events(
            self._context,
            hooks,
            key,
            new_events,
            create=create,
            once=once,
            is_write_behind=self._write_behind is not None,
            scheduler=self._summary_scheduler,
        )
        return self._observed(operations.APPEND_EVENT, key, flow, hooks, new_events)
