"""Methods that append events and messages."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from langchain_redis_session._actions import appends
from langchain_redis_session._actions.open_calls import is_made_answer
from langchain_redis_session._codec.message_input import (
    MessageLike,
    lacks_converter,
    load_converter,
)
from langchain_redis_session._flow.requests import Flow, off_loop
from langchain_redis_session._observe import operations
from langchain_redis_session._operations.prepared import make_events
from langchain_redis_session._verbs.arguments import (
    check_event,
    check_flags,
    check_key,
    check_mapping,
    check_texts,
    list_events,
    list_messages,
)
from langchain_redis_session._verbs.runner import (
    FlowRunner,
    async_method,
    combine_hooks,
    sync_method,
)
from langchain_redis_session.callbacks import Handlers
from langchain_redis_session.config import DEFAULT_EVENT_LIMIT, check_event_limit
from langchain_redis_session.models import (
    AppendResult,
    Event,
    SessionKey,
)

_NO_TEXTS = (None, "", "", "", "", "")


class AppendMethods(FlowRunner):
    """Append events and messages."""

    @sync_method
    def append_event(
        self, key: SessionKey, event: Event, *, callbacks: Handlers = None
    ) -> Flow[AppendResult]:
        """Append one event; as `append_events`."""
        return self._append(check_key(key), [check_event(event)], callbacks)

    aappend_event = async_method(append_event)

    @sync_method
    def append_events(
        self, key: SessionKey, events: Sequence[Event], *, callbacks: Handlers = None
    ) -> Flow[AppendResult]:
        """Append events and their state changes, all or none, in one round trip.

        An event that is already stored (a retry) is not stored again. The events' `score`
        is set.

        Args:
            key: The session.
            events: The events.
            callbacks: Hooks for this call, after the service's.

        Raises:
            EventRejectedError: A hook refused an event; none is written.
            SessionNotFoundError: There is no such session.
            UnserializableMessageError: An event's message is none; or, with
                `unserializable="raise"`, it holds what JSON can't carry.
            EventTooLargeError: An event's JSON is over `max_event_bytes`.
            StateTooLargeError: The session's record would grow beyond `max_state_bytes`.
        """
        return self._append(check_key(key), list_events("events", events), callbacks)

    aappend_events = async_method(append_events)

    @sync_method
    def append_messages(
        self,
        key: SessionKey,
        messages: Sequence[MessageLike],
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
        new_event_limit: int | None = DEFAULT_EVENT_LIMIT,
        callbacks: Handlers = None,
    ) -> Flow[AppendResult]:
        """Append messages, all or none, in one round trip.

        Answers that a read made for open tool calls are left out.

        Args:
            key: The session.
            messages: LangChain messages; a chunk is stored as the message it belongs to.
                Dicts, tuples and strings as `convert_to_messages` takes them.
            request_id: Names the conversation they belong to.
            invocation_id: Names the agent's run.
            author: Who made them; default: "user" or "assistant", by their type.
            branch: The path of agents.
            tag: Labels, separated by ";".
            filter_key: A hierarchical key ("app/tools").
            state_delta: State to set with them; see `Event.state_delta`.
            once: Leave out messages whose id is already in the session.
            create: Create the session if there is none.
            new_event_limit: The most events of a session that this creates, unless the service
                has a `session_event_limit`; None = no limit.
            callbacks: Hooks for this call, after the service's.

        Raises:
            EventRejectedError: A hook refused a message; none is written.
            SessionNotFoundError: There is no such session, and `create` is false.
            UnserializableMessageError: One is no message; or, with
                `unserializable="raise"`, holds what JSON can't carry.
            EventTooLargeError: A message's JSON is over `max_event_bytes`.
            StateTooLargeError: The session's record would grow beyond `max_state_bytes`.
        """
        check_key(key)
        if (author, request_id, invocation_id, branch, tag, filter_key) != _NO_TEXTS:
            check_texts(
                author="" if author is None else author,
                request_id=request_id,
                invocation_id=invocation_id,
                branch=branch,
                tag=tag,
                filter_key=filter_key,
            )
        if type(create) is not bool or type(once) is not bool:
            check_flags(create=create, once=once)
        if state_delta is not None:
            check_mapping("state_delta", state_delta)
        check_event_limit("new_event_limit", new_event_limit)

        names = (author, state_delta, request_id, invocation_id, branch, tag, filter_key)
        how = (callbacks, create, once, new_event_limit)
        if lacks_converter(messages):
            return self._convert_and_append(key, messages, names, how)
        return self._append_said(key, list_messages("messages", messages), names, how)

    aappend_messages = async_method(append_messages)

    def _append_said(self, key: SessionKey, said: Any, names: Any, how: Any) -> Flow[AppendResult]:
        said = [message for message in said if not is_made_answer(message)]
        return self._append(key, make_events(said, self._clock(), *names), *how)

    def _convert_and_append(
        self, key: SessionKey, messages: Any, names: Any, how: Any
    ) -> Flow[AppendResult]:
        yield from off_loop(load_converter)
        said = list_messages("messages", messages)
        return (yield from self._append_said(key, said, names, how))

    def _append(
        self,
        key: SessionKey,
        new_events: list[Event],
        callbacks: Handlers,
        create: bool = False,
        once: bool = False,
        new_event_limit: int | None = DEFAULT_EVENT_LIMIT,
        *,
        kept_first: bool = False,
        keeps: bool = False,
    ) -> Flow[AppendResult]:
        hooks = self._actions.hooks if callbacks is None else combine_hooks(self, callbacks)
        append: Callable[..., Flow[AppendResult]] = appends.append_events
        if keeps:
            append = partial(appends.append_or_keep, keeper=self._keeper)
        elif kept_first:
            append = partial(append, before=lambda _: self._keeper.redeliver(key))
        flow = append(
            self._context,
            hooks,
            key=key,
            events=new_events,
            create=create,
            once=once,
            new_event_limit=new_event_limit,
            is_write_behind=self._write_behind is not None,
            scheduler=self._summary_scheduler,
        )
        return self._observed(operations.APPEND_EVENT, key, flow, hooks, new_events)
