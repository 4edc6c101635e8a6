"""What goes on around a flow for those who watch it: hooks, tracers, OpenTelemetry."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

from langchain_redis_session._flow.interception import intercept
from langchain_redis_session._flow.requests import (
    Call,
    Flow,
    Request,
    Settle,
    Submit,
    Unreadable,
)
from langchain_redis_session._flow.unreadable import note_unreadable
from langchain_redis_session._hooks.hooks import Hooks, refuse_in_sync
from langchain_redis_session._observe.custom_events import find_run, tell
from langchain_redis_session.callbacks import CorruptEventReport
from langchain_redis_session.models import (
    AppendResult,
    Event,
    Session,
    SessionKey,
    Summary,
    TrackEvent,
)

if TYPE_CHECKING:
    from langchain_redis_session._observe.tracing import OperationSpan, Tracing

T = TypeVar("T")
_NOT_FOR_REDIS = (Call, Settle, Unreadable)


def tell_of_unreadable(hooks: Hooks, flow: Flow[T]) -> Flow[T]:
    """Run a flow, and tell the hooks of the entries that it could not read."""

    def answer(request: Request) -> Flow[Any]:
        if not isinstance(request, Unreadable):
            return (yield request)
        note_unreadable(request, hooks.counters)
        report = CorruptEventReport(
            request.session, request.key.decode("utf-8", "replace"), request.what
        )
        yield from hooks.report_corrupt([report] * request.count)

    yield from refuse_in_sync(hooks.corrupt)
    return (yield from intercept(flow, answer))


@dataclass(slots=True, eq=False)
class _Observation:
    """What an operation has done so far.

    Attributes:
        round_trips: Requests to Redis.
        request_bytes: Sent in commands, or handed to write-behind.
        reply_bytes: Received in replies.
        details: What its result says.
    """

    operation: str
    key: SessionKey
    span: OperationSpan | None = None
    started_s: float = field(default_factory=time.perf_counter)
    duration_s: float = 0.0
    round_trips: int = 0
    request_bytes: int = 0
    reply_bytes: int = 0
    details: dict[str, Any] = field(default_factory=dict)
    error: BaseException | None = None

    def numbers(self) -> dict[str, Any]:
        return {
            **self.details,
            "round_trips": self.round_trips,
            "request_bytes": self.request_bytes,
            "reply_bytes": self.reply_bytes,
        }

    def data(self) -> dict[str, Any]:
        """What tracers are told: ids and numbers, no content."""
        data = {
            "app_name": self.key.app_name,
            "user_id": self.key.user_id,
            "session_id": self.key.session_id,
            **self.numbers(),
            "duration_ms": self.duration_s * 1000,
        }
        if self.error is not None:
            data["error"] = type(self.error).__name__
        return data

    def note_request(self, request: Request) -> Request:
        """Count a request; with tracing, that of write-behind gets a span for its write."""
        if isinstance(request, Submit):
            self.request_bytes += sum(map(len, request.write.members))
            if self.span is not None:
                return replace(request, on_settled=self.span.follow(request.on_settled))
        elif not isinstance(request, _NOT_FOR_REDIS):
            self.round_trips += 1
            self.request_bytes += _size(request)
        return request

    def note_reply(self, request: Request, reply: Any) -> None:
        if not isinstance(request, (Submit, *_NOT_FOR_REDIS)):
            self.reply_bytes += _size(reply)

    def end(self, error: BaseException | None = None) -> None:
        self.duration_s = time.perf_counter() - self.started_s
        self.error = error
        if self.span is not None:
            self.span.end(self.numbers(), self.duration_s, error)


def observe(
    tracing: Tracing | None,
    hooks: Hooks,
    operation: str,
    key: SessionKey,
    flow: Flow[T],
    events: Sequence[Event | TrackEvent] = (),
    describe: Callable[[Any], dict[str, Any]] | None = None,
) -> Flow[T]:
    """Run a flow inside a span, and tell tracers of it when it is over.

    Args:
        tracing: Makes the span; None = there is none.
        hooks: Whom to tell.
        operation: Its name in `_observe.operations`.
        key: The session.
        flow: What does it.
        events: What is to be written, for the case that it is not.
        describe: Tells ids and numbers of its result, no content; None = by its type.
    """
    seen = _Observation(operation, key)
    if events:
        seen.details = {"event_ids": [event.id for event in events], "events": len(events)}
    handlers = hooks.observers
    run = find_run(hooks.manager) if handlers else None
    if tracing is not None:
        seen.span = tracing.start(operation, key)
    try:
        result = yield from _watch(flow, seen)
        seen.details = (describe or _describe)(result)
    except BaseException as error:
        seen.end(error)
        if run is not None and isinstance(error, Exception):
            yield from tell(handlers, run, operation, seen.data())
        raise
    seen.end()
    if run is not None:
        yield from tell(handlers, run, operation, seen.data())
    return result


def _watch(flow: Flow[T], seen: _Observation) -> Flow[T]:
    def answer(request: Request) -> Flow[Any]:
        reply = yield (request := seen.note_request(request))
        seen.note_reply(request, reply)
        return reply

    return intercept(flow, answer)


def _size(value: Any) -> int:
    """The bytes in a command or a reply."""
    if isinstance(value, (bytes, str)):
        return len(value)
    if isinstance(value, int):
        return len(str(value))
    return sum(map(_size, value)) if isinstance(value, (list, tuple)) else 0


def _describe(result: Any) -> dict[str, Any]:
    """What the result of an operation says of it: ids and numbers."""
    if isinstance(result, AppendResult):
        return {
            "event_ids": [event.id for event in result.events],
            "events": len(result.events),
            "written": result.written,
            "removed": result.removed,
            "queued": result.queued,
        }
    if isinstance(result, Session):
        return {"events": len(result.events)}
    if isinstance(result, TrackEvent):
        result = [result]
    if isinstance(result, list):
        details: dict[str, Any] = {"events": len(result)}
        if result and isinstance(result[0], TrackEvent):
            details["track"] = result[0].track
            details["event_ids"] = [event.id for event in result]
        return details
    if isinstance(result, Summary):
        return {"filter_key": result.filter_key, "characters": len(result.text)}
    return {"deleted": result} if isinstance(result, bool) else {"events": 0}
