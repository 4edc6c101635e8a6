"""OpenTelemetry: spans and metrics, as the SDK's in-memory exporters see them."""

from __future__ import annotations

import asyncio
import builtins
import contextlib
import gc
import re
import socket
from collections import Counter
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import fakeredis
import pytest
from hypothesis import example, given
from langchain_core.messages import AIMessage, HumanMessage
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from redis.backoff import NoBackoff
from redis.retry import Retry

from langchain_redis_session import (
    AppendEventContext,
    BackendUnavailableError,
    ConfigurationError,
    EventRejectedError,
    RedisSessionService,
    SessionCallbackHandler,
    SessionKey,
    SessionNotFoundError,
    SummaryError,
    SummaryRequest,
    UnserializableMessageError,
)
from langchain_redis_session._observe import operations
from langchain_redis_session._observe import tracing as _tracing
from tests.effort import examples
from tests.processes import run_python
from tests.servers import RedisCluster, RedisServer
from tests.unit.connections.urls import HOST, WORDS, make_url, urls
from tests.waits import PATIENCE_S

SECRET = "s3cr3t"
KEY = SessionKey("shop", "ann", "s1")

_spans = InMemorySpanExporter()
_reader = InMemoryMetricReader()


@pytest.fixture(scope="session", autouse=True)
def _providers() -> None:
    """They can be set once for a process."""
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(_spans))
    trace.set_tracer_provider(provider)
    metrics.set_meter_provider(MeterProvider([_reader]))


@pytest.fixture(autouse=True)
def _no_spans() -> None:
    _spans.clear()


tracer = trace.get_tracer("test")


def open_service(**options: Any) -> RedisSessionService:
    return RedisSessionService(f"memory://{uuid4().hex}", enable_tracing=True, **options)


def take(name: str) -> ReadableSpan:
    """Give the one span of this name."""
    (span,) = [span for span in _spans.get_finished_spans() if span.name == name]
    return span


def attributes_of(span: ReadableSpan) -> dict[str, Any]:
    return {
        name.removeprefix(_tracing.ATTRIBUTE_PREFIX): value
        for name, value in (span.attributes or {}).items()
    }


def points(name: str) -> list[Any]:
    """Give what a metric stands at."""
    data = _reader.get_metrics_data()
    return [
        point
        for resource in (data.resource_metrics if data else [])
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if metric.name == name
        for point in metric.data.data_points
    ]


def value_of(name: str) -> int:
    return sum(point.value for point in points(name))


async def call(
    service: RedisSessionService, mode: str, verb: str, *args: Any, **kwargs: Any
) -> Any:
    if mode == "sync":
        return getattr(service, verb)(*args, **kwargs)
    return await getattr(service, f"a{verb}")(*args, **kwargs)


both_modes = pytest.mark.parametrize("mode", ["sync", "async"])


@both_modes
async def test_spans_of_every_operation(mode: str) -> None:
    async with open_service() as service:
        calls: list[tuple[str, tuple[Any, ...], str, dict[str, Any]]] = [
            ("create_session", ("shop", "ann", "s1"), operations.CREATE_SESSION, {"events": 0}),
            (
                "append_messages",
                (KEY, [HumanMessage(SECRET)] * 3),
                operations.APPEND_EVENT,
                {"events": 3, "written": 3, "removed": 0, "queued": False, "round_trips": 1},
            ),
            ("get_session", (KEY,), operations.GET_SESSION, {"events": 3}),
            ("get_messages", (KEY,), operations.GET_SESSION, {"events": 3}),
            (
                "append_track_event",
                (KEY, "tools", SECRET),
                operations.APPEND_TRACK_EVENT,
                {"events": 1, "track": "tools"},
            ),
            ("delete_session", (KEY,), operations.DELETE_SESSION, {"deleted": True}),
        ]
        await call(service, mode, "append_messages", KEY, [HumanMessage("x")], create=True)
        await call(service, mode, "delete_session", KEY)
        for verb, args, name, expected in calls:
            _spans.clear()
            await call(service, mode, verb, *args)
            span = take(name)
            found = attributes_of(span)
            assert expected.items() <= found.items()
            assert found["db.system.name"] == "redis"
            assert found["db.operation.name"] == name
            assert (found["app_name"], found["user_id"], found["session_id"]) == (
                "shop",
                "ann",
                "s1",
            )
            assert found["request_bytes"] > 0
            assert found["reply_bytes"] > 0
            assert span.kind is SpanKind.CLIENT
            assert span.status.status_code is StatusCode.UNSET
            assert span.parent is None
            assert SECRET not in span.to_json()


class Spanner(SessionCallbackHandler):
    """A hook with a span of its own."""

    def on_append_event_start(self, context: AppendEventContext) -> None:
        with tracer.start_as_current_span("hook start"):
            pass

    def on_append_event_end(self, context: AppendEventContext) -> None:
        with tracer.start_as_current_span("hook end"):
            pass


def parent_of(span: ReadableSpan) -> int | None:
    return span.parent.span_id if span.parent else None


@both_modes
@pytest.mark.parametrize("is_write_behind", [False, True])
async def test_spans_of_hooks_and_workers_stand_under_the_callers(
    mode: str, is_write_behind: bool
) -> None:
    """Under the caller's; and what hooks and write-behind do, under them."""
    async with open_service(callbacks=[Spanner()], enable_async_persist=is_write_behind) as service:
        with tracer.start_as_current_span("caller") as caller:
            await call(service, mode, "append_messages", KEY, [HumanMessage("x")], create=True)
            with tracer.start_as_current_span("next"):
                pass
        await service.aflush(PATIENCE_S)
    append, caller_id = take("append_event"), caller.get_span_context().span_id
    assert append.context is not None
    assert parent_of(append) == caller_id
    assert parent_of(take("next")) == caller_id
    assert parent_of(take("hook start")) == append.context.span_id
    assert parent_of(take("hook end")) == append.context.span_id
    assert attributes_of(append)["queued"] is is_write_behind
    if is_write_behind:
        persist = take(operations.PERSIST)
        assert parent_of(persist) == append.context.span_id
        assert attributes_of(persist)["session_id"] == "s1"
        assert persist.status.status_code is StatusCode.UNSET
        assert persist.start_time is not None
        assert persist.end_time is not None
        assert persist.start_time < persist.end_time
    assert {span.context.trace_id for span in _spans.get_finished_spans() if span.context} == {
        caller.get_span_context().trace_id
    }


async def test_spans_of_tasks_side_by_side_keep_their_parents() -> None:
    async with open_service() as service:
        await service.acreate_session("shop", "ann", "s1")
        _spans.clear()

        async def one(number: int) -> tuple[int, int]:
            with tracer.start_as_current_span(f"caller {number}") as caller:
                await service.aappend_messages(KEY, [HumanMessage(str(number))])
            return number, caller.get_span_context().span_id

        callers = dict(await asyncio.gather(*map(one, range(10))))
    appends = [span for span in _spans.get_finished_spans() if span.name == "append_event"]
    assert sorted(str(parent_of(span)) for span in appends) == sorted(map(str, callers.values()))


@both_modes
async def test_spans_tell_the_kind_of_an_error_and_no_content(mode: str) -> None:
    class Guard(SessionCallbackHandler):
        def on_append_event_start(self, context: AppendEventContext) -> None:
            raise ValueError(SECRET)

    async with open_service(unserializable="raise") as service:
        messages = [HumanMessage("hi")]
        unstorable = [HumanMessage("hi", additional_kwargs={"x": {SECRET}})]
        cases: list[tuple[type[Exception], Any, dict[str, Any], str | None]] = [
            (SessionNotFoundError, messages, {}, "there is no session"),
            (EventRejectedError, messages, {"callbacks": [Guard()]}, "Guard rejected append_event"),
            (UnserializableMessageError, unstorable, {"callbacks": [Spanner()]}, None),
        ]
        for expected, given, options, message in cases:
            _spans.clear()
            with pytest.raises(expected):
                await call(service, mode, "append_messages", KEY, given, **options)
            span = take("append_event")
            assert span.status.status_code is StatusCode.ERROR
            assert span.status.description == expected.__name__
            assert attributes_of(span)["error.type"] == expected.__name__
            (event,) = span.events
            assert event.name == "exception"
            assert event.attributes is not None
            assert event.attributes["exception.type"] == expected.__name__
            if message is not None:
                assert message in str(event.attributes["exception.message"])
            assert SECRET not in span.to_json()
        assert not trace.get_current_span().get_span_context().is_valid


@given(parts=urls)
@example(parts=("redis://ann:{}@" + HOST, "Kangaroo", ""))
@example(parts=("redis+cluster://ann:{}@" + HOST + ":1,b:2", "Kangaroo", ""))
@example(parts=("rediss+sentinel://ann:{}@" + HOST + ":1,b:2/main/1", "Kangaroo", ""))
@examples(60)
def test_spans_and_metrics_show_no_piece_of_a_secret_of_any_url(
    parts: tuple[str, str, str],
) -> None:
    def find_nobody(*_: object, **__: object) -> None:
        raise socket.gaierror("nobody has this name")

    _spans.clear()
    options = {"retry": Retry(NoBackoff(), 0)}
    try:
        service = RedisSessionService(make_url(*parts), enable_tracing=True, extra_options=options)
    except ConfigurationError:  # which `tests/unit/connections` looks at
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", find_nobody)
        with service, contextlib.suppress(BackendUnavailableError):
            service.append_messages(KEY, [HumanMessage("hi")], create=True)
    spans = _spans.get_finished_spans()
    assert spans or "+cluster" in parts[0]  # of which there is no client without a node
    told = " ".join([span.to_json() for span in spans] + [repr(points(_tracing.METRIC_DURATION))])
    assert not spans or "BackendUnavailableError" in told or "memory" in parts[0]
    assert not re.search("|".join(WORDS), told)


async def test_what_write_behind_gives_up() -> None:
    async with open_service(enable_async_persist=True) as service:
        dead = value_of(_tracing.METRIC_DEAD)
        with tracer.start_as_current_span("caller"):
            await service.aappend_messages(KEY, [HumanMessage("x"), HumanMessage("y")])
        assert not await service.aflush(PATIENCE_S)
        assert take("append_event").status.status_code is StatusCode.UNSET
        persist = take(operations.PERSIST)
        assert persist.status.status_code is StatusCode.ERROR
        assert attributes_of(persist)["error.type"] == "SessionNotFoundError"
        assert value_of(_tracing.METRIC_DEAD) == dead + 2


async def test_a_cancelled_call_ends_its_span() -> None:
    entered = asyncio.Event()

    class Sleepy(fakeredis.FakeAsyncRedis):
        async def execute_command(self, *_: Any, **__: Any) -> Any:
            raise AssertionError("what is patched is used by its pipelines")

        def pipeline(self, *_: Any, **__: Any) -> Any:
            return SleepyPipeline()

    class SleepyPipeline:
        def execute_command(self, *_: Any, **__: Any) -> None: ...

        async def execute(self, **_: Any) -> Any:
            entered.set()
            await asyncio.sleep(600)

    service = RedisSessionService(async_client=Sleepy(), enable_tracing=True)
    task = asyncio.create_task(service.aget_messages(KEY))
    await asyncio.wait_for(entered.wait(), PATIENCE_S)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    span = take("get_session")
    assert attributes_of(span)["error.type"] == "Interrupted"
    assert not trace.get_current_span().get_span_context().is_valid


def test_an_interrupted_call_ends_its_span() -> None:
    class Interrupted(fakeredis.FakeRedis):
        def execute_command(self, *_: Any, **__: Any) -> Any:
            raise AssertionError("what is patched is used by its pipelines")

        def pipeline(self, *_: Any, **__: Any) -> Any:
            raise KeyboardInterrupt

    service = RedisSessionService(client=Interrupted(), enable_tracing=True)
    with pytest.raises(KeyboardInterrupt) as caught:
        service.get_messages(KEY)
    assert caught.tb is not None  # which still holds on to the call
    assert attributes_of(take("get_session"))["error.type"] == "Interrupted"
    assert not trace.get_current_span().get_span_context().is_valid


def test_where_the_server_is(redis_server: RedisServer) -> None:
    # Without a password of its own, the server takes any.
    url = f"redis://default:{SECRET}@127.0.0.1:{redis_server.port}/0"
    with RedisSessionService(url, enable_tracing=True) as service:
        for _ in range(2):
            service.get_messages(KEY)
    assert len(_spans.get_finished_spans()) == 2
    for span in _spans.get_finished_spans():
        found = attributes_of(span)
        assert found["server.address"] == "127.0.0.1"
        assert found["server.port"] == redis_server.port
        assert found["db.namespace"] == "0"
        assert SECRET not in span.to_json()


async def test_where_an_async_client_is(redis_server: RedisServer) -> None:
    client = redis_server.async_client()
    async with RedisSessionService(async_client=client, enable_tracing=True) as service:
        await service.aget_messages(KEY)
    await client.aclose()
    assert attributes_of(take("get_session"))["server.port"] == redis_server.port


@both_modes
async def test_where_a_cluster_is(redis_cluster: RedisCluster, mode: str) -> None:
    with redis_cluster.client() as client:
        async with RedisSessionService(client=client, enable_tracing=True) as service:
            await call(service, mode, "get_messages", KEY)
    found = attributes_of(take("get_session"))
    assert isinstance(found["server.port"], int)
    assert "db.namespace" not in found


def test_locating_needs_no_client() -> None:
    assert _tracing.locate(None) == {}
    assert _tracing.locate(object()) == {"db.namespace": "0"}


@both_modes
async def test_durations_are_counted_by_operation_and_error(mode: str) -> None:
    def counts() -> Counter[tuple[Any, Any]]:
        found: Counter[tuple[Any, Any]] = Counter()
        for point in points(_tracing.METRIC_DURATION):
            labels = point.attributes
            found[labels["db.operation.name"], labels.get("error.type")] += point.count
        return found

    async with open_service() as service:
        await call(service, mode, "append_messages", KEY, [HumanMessage("x")], create=True)
        before = counts()
        await call(service, mode, "append_messages", KEY, [HumanMessage("x")])
        await call(service, mode, "get_messages", KEY)
        with pytest.raises(SessionNotFoundError):
            await call(
                service, mode, "append_messages", SessionKey("a", "b", "c"), [HumanMessage("")]
            )
    after = counts()
    assert after["append_event", None] == before["append_event", None] + 1
    assert after["get_session", None] == before["get_session", None] + 1
    name = ("append_event", "SessionNotFoundError")
    assert after[name] == before[name] + 1
    point = points(_tracing.METRIC_DURATION)[0]
    assert point.sum < 60  # seconds
    assert point.explicit_bounds[0] == 0.001
    assert {key for key in point.attributes if "session" in key} == set()  # few series


async def test_counters_and_queue_depth() -> None:
    corrupt, depth = value_of(_tracing.METRIC_CORRUPT), value_of(_tracing.METRIC_QUEUE_DEPTH)
    server = fakeredis.FakeServer()
    client = fakeredis.FakeRedis(server=server)
    service = RedisSessionService(client=client, enable_tracing=True, enable_async_persist=True)
    service.create_session(*("shop", "ann", "s1"))
    client.zadd("event:{shop}:ann:s1", {b"garbage": 1})
    service.get_messages(KEY)
    assert value_of(_tracing.METRIC_CORRUPT) == corrupt + 1
    server.connected = False
    for _ in range(3):
        service.append_messages(KEY, [HumanMessage("x")])
    assert value_of(_tracing.METRIC_QUEUE_DEPTH) == depth + 3
    server.connected = True
    assert service.flush(PATIENCE_S)
    assert value_of(_tracing.METRIC_QUEUE_DEPTH) == depth
    service.close()
    del service
    gc.collect()
    assert value_of(_tracing.METRIC_CORRUPT) == corrupt + 1  # a counter never falls
    assert len(points(_tracing.METRIC_CORRUPT)) == 1


def test_without_opentelemetry_tracing_is_refused_and_the_rest_works(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = builtins.__import__

    def refuse(name: str, *args: Any) -> Any:
        if name.startswith("opentelemetry"):
            raise ImportError(name)
        return real(name, *args)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ConfigurationError, match=r"langchain-redis-session\[otel\]"):
        open_service(enable_async_persist=True)
    RedisSessionService("memory://").append_messages(KEY, [HumanMessage("x")], create=True)


def test_off_it_is_not_even_imported() -> None:
    program = """
import sys
from langchain_redis_session import RedisSessionService, SessionKey
service = RedisSessionService("memory://")
before = {name for name in sys.modules if name.startswith("opentelemetry")}
service.create_session("a", "b", "c")
service.get_messages(SessionKey("a", "b", "c"))
ours = {name for name in sys.modules if name.startswith("opentelemetry")} - before
print(len(ours))
"""
    result = run_python("-c", program)
    assert result.stdout.strip() == "0", result.stderr


@pytest.mark.parametrize("make", [lambda: open_service(enable_async_persist=True), open_service])
def test_tracing_does_not_keep_closed_services_alive(
    make: Callable[[], RedisSessionService],
) -> None:
    gc.collect()
    before = len(_tracing.sources)
    service = make()
    service.append_messages(KEY, [HumanMessage("x")], create=True)
    assert len(_tracing.sources) == before + 1
    service.close()
    del service
    gc.collect()
    assert len(_tracing.sources) == before


@both_modes
async def test_a_summary_has_a_span_when_one_is_made(mode: str) -> None:
    def summarize(request: SummaryRequest) -> str:
        if len(request.messages) > 1:
            raise RuntimeError(SECRET)
        return f"{SECRET} said hello"

    async with open_service(summarizer=summarize, auto_summarize=False) as service:
        await call(service, mode, "append_messages", KEY, [AIMessage("hi")], create=True)
        assert await call(service, mode, "create_summary", KEY) is None  # it is not due
        _spans.clear()
        with tracer.start_as_current_span("request") as parent:
            await call(service, mode, "create_summary", KEY, "", True)
            found = await call(service, mode, "get_summary", KEY)
        made, read = take("create_summary"), take("get_summary")
        for span in (made, read):
            assert span.parent is not None
            assert span.parent.span_id == parent.get_span_context().span_id
            assert attributes_of(span)["session_id"] == KEY.session_id
            assert attributes_of(span)["characters"] == len(found.text)
            assert SECRET not in span.to_json()
        await call(service, mode, "append_messages", KEY, [AIMessage("a"), AIMessage("b")])
        _spans.clear()
        with pytest.raises(SummaryError):
            await call(service, mode, "create_summary", KEY, "", True)
        failed = take("create_summary")
        assert failed.status.status_code == StatusCode.ERROR
        assert SECRET not in failed.to_json()


def test_background_summaries_have_spans_too() -> None:
    with open_service(summarizer=lambda _: "s", auto_summarize=False) as service:
        service.append_messages(KEY, [AIMessage("hi")], create=True)
        service.enqueue_summary(KEY, force=True)
        assert service.flush(PATIENCE_S)
        assert take("create_summary").status.status_code == StatusCode.UNSET
