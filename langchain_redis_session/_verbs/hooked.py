"""Appends and reads with hooks around them."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, TypeAlias

from langchain_core.messages import (
    BaseMessage,
    BaseMessageChunk,
    message_chunk_to_message,
)

from langchain_redis_session._background.summary_workers import SummaryAsker
from langchain_redis_session._flow import Flow, Scope, Submit
from langchain_redis_session._hooks import Hooks, find_loop, in_this_context, refuse_in_sync
from langchain_redis_session._operations import events, reading
from langchain_redis_session._operations.context import Context
from langchain_redis_session._operations.windows import Bounds, has_message, make_bounds
from langchain_redis_session.callbacks import AppendEventContext, GetSessionContext
from langchain_redis_session.models import (
    AppendResult,
    DeadLetter,
    Event,
    Session,
    SessionKey,
    SummarizedMessages,
    select_messages,
)

_Settle: TypeAlias = "Callable[[Scope, Flow[Session | None]], Flow[Session | None]]"


def append_events(
    context: Context,
    hooks: Hooks,
    key: SessionKey,
    new_events: Sequence[Event],
    *,
    create: bool,
    once: bool,
    is_write_behind: bool,
    asker: SummaryAsker | None,
) -> Flow[AppendResult]:
    """Append events, each seen by the hooks."""
    # A copy for the hooks: what they change must not be changed again when the caller sends
    # the same event again, which would make another one of it.
    is_changing = hooks.has("append_event", "start")
    calls = [
        AppendEventContext(key, _copy_event(event) if is_changing else event)
        for event in new_events
    ]
    if is_write_behind:
        yield from refuse_in_sync(hooks.persist)
    yield from hooks.start("append_event", *calls)
    kept = [
        (call, event) for call, event in zip(calls, new_events, strict=True) if not call.is_skipped
    ]
    calls = [call for call, _ in kept]
    started_s = time.perf_counter()

    def finish() -> None:
        for call, event in kept:
            call.duration_ms = (time.perf_counter() - started_s) * 1000
            event.score = call.event.score

    try:
        prepared = events.prepare_events(
            context, [call.event for call in calls], create=create, once=once
        )
        if is_write_behind:
            return (yield from _submit(hooks, key, prepared, calls, finish, asker))
        result = yield from events.append_prepared(context, key, prepared)
    except Exception as error:
        finish()
        yield from hooks.error("append_event", *calls, error=error)
        raise
    finish()
    stored = [call.event for call in calls]
    yield from hooks.end("append_event", *calls)
    if asker is not None and result.written:
        yield from asker.ask(key, prepared.branches, result.unsummarized)
    shown = {id(event): call.event for event, call in zip(stored, calls, strict=True)}
    return replace(result, events=[shown[id(event)] for event in result.events])


def _submit(
    hooks: Hooks,
    key: SessionKey,
    prepared: events.PreparedEvents,
    calls: Sequence[AppendEventContext],
    finish: Callable[[], None],
    asker: SummaryAsker | None,
) -> Flow[AppendResult]:
    loop = yield from find_loop()
    ask = asker.when_settled(key, prepared.branches) if asker is not None else None

    def settle(error: Exception | None) -> None:
        finish()
        hooks.settle_appends(calls, error, loop)
        if ask is not None:
            ask(error)

    if calls:
        yield from submit(hooks, key, prepared, in_this_context(settle))
    return AppendResult([call.event for call in calls], written=0, removed=0, queued=True)


def submit(
    hooks: Hooks,
    key: SessionKey,
    prepared: Any,
    on_settled: Callable[[Exception | None], Any] | None = None,
) -> Flow[None]:
    """Let write-behind append, and call the hooks if it has to give up."""
    if not hooks.persist:
        yield Submit(key, prepared, on_settled)
        return
    yield from refuse_in_sync(hooks.persist)
    loop = yield from find_loop()

    def give_up(letter: DeadLetter) -> None:
        hooks.report_given_up(letter, loop)

    yield Submit(key, prepared, on_settled, in_this_context(give_up))


def get_session(
    context: Context, hooks: Hooks, call: GetSessionContext, settle: _Settle, *, strict: bool
) -> Flow[Session | None]:
    """Read a session, seen by the hooks."""
    key = call.key
    yield from hooks.start("get_session", call)
    if call.session is None:
        started_s = time.perf_counter()
        try:
            bounds = make_bounds(
                call.limit, call.after, call.before, call.offset, call.start_on, strict
            )
            flow = _read(context, key, bounds, call.verb)
            call.session = yield from settle((key.app_name, key.user_id, key.session_id), flow)
        except Exception as error:
            yield from hooks.error("get_session", call, error=error)
            raise
        call.duration_ms = (time.perf_counter() - started_s) * 1000
    yield from hooks.end("get_session", call)
    return call.session


def _read(context: Context, key: SessionKey, bounds: Bounds, verb: str) -> Flow[Session | None]:
    if verb == "get_summarized_messages":
        return reading.get_since_summary(context, key, bounds, with_state=True)
    if verb == "get_messages":
        return reading.get_session(context, key, bounds, has_message)
    return reading.get_session(context, key, bounds)


def get_events(
    context: Context, hooks: Hooks, call: GetSessionContext, settle: _Settle, *, strict: bool
) -> Flow[list[Event]]:
    """Read a session's events, seen by the hooks."""
    session = yield from get_session(context, hooks, call, settle, strict=strict)
    return session.events if session is not None else []


def get_messages(
    context: Context, hooks: Hooks, call: GetSessionContext, settle: _Settle, *, strict: bool
) -> Flow[list[BaseMessage]]:
    """Read a session's messages, seen by the hooks."""
    session = yield from get_session(context, hooks, call, settle, strict=strict)
    if session is None:
        return []
    return select_messages(session.events, is_cut=session.is_cut, limit=_find_limit(call))


def get_summarized_messages(
    context: Context, hooks: Hooks, call: GetSessionContext, settle: _Settle, *, strict: bool
) -> Flow[SummarizedMessages]:
    """Read a session's summary and the messages behind it, seen by the hooks."""
    session = yield from get_session(context, hooks, call, settle, strict=strict)
    return reading.select_summarized(session, _find_limit(call))


def _find_limit(call: GetSessionContext) -> int | None:
    """As without hooks: events of trpc-agent-go may hold several messages."""
    was_read = call.duration_ms is not None
    return call.limit if was_read and call.start_on is None else None


def _copy_event(event: Event) -> Event:
    if type(event) is not Event:
        twin = copy.copy(event)
    else:  # in a third of the time
        twin = Event.__new__(Event)
        for name in Event.__slots__:
            setattr(twin, name, getattr(event, name))
    if isinstance(event.message, BaseMessage):
        twin.message = _to_whole_message(_copy_message(event.message))
    for name in ("state_delta", "extensions", "extra"):
        setattr(twin, name, _copy_container(getattr(event, name)))
    return twin


def _copy_message(message: BaseMessage) -> BaseMessage:
    """A copy to its depths; a tool's artifact, which may be anything, is shared."""
    twin = copy.copy(message)
    for fields in (twin.__dict__, twin.__pydantic_extra__ or {}):
        for name, value in fields.items():
            if name != "artifact":
                fields[name] = _copy_container(value)
    return twin


def _copy_container(value: Any) -> Any:
    if value is None or isinstance(value, (str, int)):
        return value
    if not value and isinstance(value, (dict, list)):
        return type(value)()
    try:
        return copy.deepcopy(value)
    except Exception:  # the codec tells what in it is wrong
        return copy.copy(value)


def _to_whole_message(message: BaseMessage) -> BaseMessage:
    """A streamed chunk as the message that is stored of it."""
    if isinstance(message, BaseMessageChunk):
        with suppress(Exception):  # a subclass with ideas of its own; the codec knows
            return message_chunk_to_message(message)
    return message
