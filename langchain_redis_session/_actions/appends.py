"""Appends with hooks around them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, Protocol, TypeAlias

from langchain_redis_session._actions.budgets import check_budgets
from langchain_redis_session._actions.copies import copy_event
from langchain_redis_session._codec.sizes import estimate_events
from langchain_redis_session._flow.requests import (
    LARGE_BYTES,
    Flow,
    Submit,
    compute,
    off_loop,
)
from langchain_redis_session._hooks.hooks import Hooks, find_loop, in_this_context, refuse_in_sync
from langchain_redis_session._operations import tracks
from langchain_redis_session._operations.append import append_prepared
from langchain_redis_session._operations.context import Context
from langchain_redis_session._operations.prepared import PreparedEvents, prepare_events
from langchain_redis_session._operations.tracks import PreparedTrackEvents
from langchain_redis_session.callbacks import AppendEventContext
from langchain_redis_session.errors import (
    EventRejectedError,
    RedisSessionError,
    SessionNotFoundError,
    SessionServiceClosedError,
)
from langchain_redis_session.models import (
    AppendResult,
    DeadLetter,
    Event,
    SessionKey,
    TrackEvent,
)

Write: TypeAlias = PreparedEvents | PreparedTrackEvents


class SummaryScheduler(Protocol):
    """Has somebody look, after appends, whether a summary is due."""

    def schedule(
        self, key: SessionKey, filter_keys: Iterable[str], unsummarized: int | None
    ) -> Flow[None]: ...

    def when_settled(
        self, key: SessionKey, filter_keys: Iterable[str]
    ) -> Callable[[Exception | None], None]: ...


class Keeper(Protocol):
    """Keeps appends that failed, and brings them to Redis later."""

    def keep(
        self,
        key: SessionKey,
        events: Sequence[Event] | Sequence[TrackEvent],
        prepared: Write | None,
        error: RedisSessionError,
        on_given_up: Callable[[DeadLetter], Any] | None,
    ) -> Flow[None]: ...

    def redeliver(self, key: SessionKey | None = None) -> Flow[int]: ...

    def dead_letters(self) -> list[DeadLetter]: ...


def append_or_keep(
    context: Context,
    hooks: Hooks,
    keeper: Keeper,
    key: SessionKey,
    events: Sequence[Event],
    **options: Any,
) -> Flow[AppendResult]:
    """Append events; where that fails, they are kept as a dead letter, in their order.

    Raises:
        EventRejectedError: A hook refused one.
        RedisSessionError: They could not be kept either.
    """
    tried: list[PreparedEvents] = []

    def before(prepared: PreparedEvents) -> Flow[None]:
        tried.append(prepared)
        yield from keeper.redeliver(key)

    try:
        return (yield from append_events(context, hooks, key, events, before=before, **options))
    except (EventRejectedError, SessionServiceClosedError):
        raise
    except RedisSessionError as error:
        yield from _keep(hooks, keeper, key, events, tried[-1] if tried else None, error)
        return AppendResult(list(events), written=0, removed=0, queued=True)


def append_track_or_keep(
    context: Context,
    hooks: Hooks,
    keeper: Keeper,
    key: SessionKey,
    events: Sequence[TrackEvent],
    *,
    keeps: bool,
    is_write_behind: bool,
) -> Flow[None]:
    """Append events of one track behind the session's dead letters, as `append_or_keep`.

    Raises:
        SessionNotFoundError: There is no such session.
        RedisSessionError: They could not be written, nor, with `keeps`, be kept.
    """
    prepared: PreparedTrackEvents | None = None
    try:
        prepared = tracks.prepare_track_events(context, events[0].track, events)
        yield from keeper.redeliver(key)
        if is_write_behind:
            yield from submit(hooks, key, prepared)
        else:
            yield from tracks.append_prepared_track_events(context, key, prepared)
    except (SessionNotFoundError, SessionServiceClosedError):
        raise
    except RedisSessionError as error:
        if not keeps:
            raise
        yield from _keep(hooks, keeper, key, events, prepared, error)


def _keep(
    hooks: Hooks,
    keeper: Keeper,
    key: SessionKey,
    events: Sequence[Event] | Sequence[TrackEvent],
    prepared: Write | None,
    error: RedisSessionError,
) -> Flow[None]:
    loop = yield from find_loop()

    def give_up(letter: DeadLetter) -> None:
        hooks.report_given_up(letter, loop)

    yield from keeper.keep(key, events, prepared, error, in_this_context(give_up))


def append_events(
    context: Context,
    hooks: Hooks,
    key: SessionKey,
    events: Sequence[Event],
    *,
    create: bool,
    once: bool,
    new_event_limit: int | None,
    is_write_behind: bool,
    scheduler: SummaryScheduler | None,
    before: Callable[[PreparedEvents], Flow[None]] | None = None,
) -> Flow[AppendResult]:
    """Append events, or let write-behind do it; those of a session with hooks are seen by them."""
    if hooks.of_appends:
        return _append_with_hooks(
            context,
            hooks,
            key,
            events,
            create=create,
            once=once,
            new_event_limit=new_event_limit,
            is_write_behind=is_write_behind,
            scheduler=scheduler,
            before=before,
        )

    is_large = estimate_events(events, LARGE_BYTES) > LARGE_BYTES
    if not (is_large or scheduler or before):  # the usual case
        prepared = prepare_events(
            context, events, create=create, once=once, new_event_limit=new_event_limit
        )
        if is_write_behind:
            return _queue(hooks, key, prepared, None)
        return append_prepared(context, key, prepared)

    def prepare() -> PreparedEvents:
        return prepare_events(
            context, events, create=create, once=once, new_event_limit=new_event_limit
        )

    def write(prepared: PreparedEvents) -> Flow[AppendResult]:
        if is_write_behind:
            flow = _queue(hooks, key, prepared, scheduler)
        else:
            flow = append_prepared(context, key, prepared)
            if scheduler is not None:
                flow = _then_schedule(flow, key, prepared, scheduler)
        return flow if before is None else _after(before(prepared), flow)

    return _prepare_aside(prepare, write) if is_large else write(prepare())


def _prepare_aside(
    prepare: Callable[[], PreparedEvents], write: Callable[[PreparedEvents], Flow[AppendResult]]
) -> Flow[AppendResult]:
    prepared = yield from off_loop(prepare)
    return (yield from write(prepared))


def _after(first: Flow[None], flow: Flow[AppendResult]) -> Flow[AppendResult]:
    yield from first
    return (yield from flow)


def _then_schedule(
    flow: Flow[AppendResult],
    key: SessionKey,
    prepared: PreparedEvents,
    scheduler: SummaryScheduler,
) -> Flow[AppendResult]:
    result = yield from flow
    if result.written:
        yield from scheduler.schedule(key, prepared.filter_keys, result.unsummarized)
    return result


def _queue(
    hooks: Hooks, key: SessionKey, prepared: PreparedEvents, scheduler: SummaryScheduler | None
) -> Flow[AppendResult]:
    if prepared.events:
        on_settled = None
        if scheduler is not None:
            on_settled = scheduler.when_settled(key, prepared.filter_keys)
        if hooks.persist:
            yield from submit(hooks, key, prepared, on_settled)
        else:
            yield Submit(key, prepared, on_settled)
    return AppendResult([*prepared.events], 0, 0, True)  # by place: quicker


def _append_with_hooks(
    context: Context,
    hooks: Hooks,
    key: SessionKey,
    events: Sequence[Event],
    *,
    create: bool,
    once: bool,
    new_event_limit: int | None,
    is_write_behind: bool,
    scheduler: SummaryScheduler | None,
    before: Callable[[PreparedEvents], Flow[None]] | None,
) -> Flow[AppendResult]:
    # A copy for the hooks: what they change must not be changed again when the caller sends
    # the same event again, which would make another one of it.
    is_changing = hooks.has("append_event", "start")
    calls = [
        AppendEventContext(key, copy_event(event) if is_changing else event) for event in events
    ]
    if is_write_behind:
        yield from refuse_in_sync(hooks.persist)
    yield from hooks.start("append_event", *calls)
    kept = [(call, event) for call, event in zip(calls, events, strict=True) if not call.is_skipped]
    places = [place for place, call in enumerate(calls) if not call.is_skipped]
    calls = [call for call, _ in kept]
    started_s = time.perf_counter()
    seen = [call.event for call in calls]

    def prepare() -> PreparedEvents:
        return prepare_events(
            context,
            seen,
            create=create,
            once=once,
            places=places,
            new_event_limit=new_event_limit,
        )

    def finish() -> None:
        for call, event in kept:
            call.duration_ms = (time.perf_counter() - started_s) * 1000
            event.score = call.event.score

    try:
        yield from check_budgets(context, hooks.handlers, key, seen)
        prepared = yield from compute(prepare, estimate_events(seen, LARGE_BYTES))
        if before is not None:
            yield from before(prepared)
        if is_write_behind:
            return (yield from _submit(hooks, key, prepared, calls, finish, scheduler))
        result = yield from append_prepared(context, key, prepared)
    except Exception as error:
        finish()
        yield from hooks.error("append_event", *calls, error=error)
        raise
    finish()
    stored = [call.event for call in calls]
    yield from hooks.end("append_event", *calls)
    if scheduler is not None and result.written:
        yield from scheduler.schedule(key, prepared.filter_keys, result.unsummarized)
    if all(call.event is event for call, event in zip(calls, stored, strict=True)):
        return result
    shown = {id(event): call.event for event, call in zip(stored, calls, strict=True)}
    return replace(result, events=[shown[id(event)] for event in result.events])


def _submit(
    hooks: Hooks,
    key: SessionKey,
    prepared: PreparedEvents,
    calls: Sequence[AppendEventContext],
    finish: Callable[[], None],
    scheduler: SummaryScheduler | None,
) -> Flow[AppendResult]:
    loop = yield from find_loop()
    ask = scheduler.when_settled(key, prepared.filter_keys) if scheduler is not None else None

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
