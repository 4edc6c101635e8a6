"""What ordinary LangChain handlers are told of what a service does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from operator import itemgetter
from typing import Any
from uuid import UUID

import pytest
from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler, CallbackManager
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.runnables import RunnableConfig, RunnableLambda

from langchain_redis_session import (
    BackendUnavailableError,
    Event,
    EventRejectedError,
    RedisSessionService,
    SessionKey,
    SessionNotFoundError,
    SummaryError,
)
from tests.contract.backends import Backend, Verbs
from tests.contract.hooks import make_handler, raise_
from tests.contract.intercept import intercept
from tests.contract.narrow import one_server, server_kinds
from tests.contract.store import make_event, make_events
from tests.waits import PATIENCE_S, await_until

MakeVerbs = Callable[..., Verbs]
SECRET = "s3cr3t"


class Tracer(BaseCallbackHandler):
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, dict[str, Any]]] = []
        self.runs: list[tuple[UUID, list[str] | None, dict[str, Any] | None]] = []
        self.started: list[UUID] = []

    def on_chain_start(self, *_: Any, run_id: UUID, **__: Any) -> None:
        self.started.append(run_id)

    def on_custom_event(
        self,
        name: str,
        data: Any,
        *,
        run_id: UUID,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        assert not kwargs
        self.told.append((name, data))
        self.runs.append((run_id, tags, metadata))

    def take(self) -> dict[str, Any]:
        """The data of the one event since the last call."""
        ((_, data),) = self.told
        self.told.clear()
        return data


class AsyncTracer(AsyncCallbackHandler):
    """The same for async code."""

    def __init__(self) -> None:
        self.plain = Tracer()
        self.told, self.runs, self.take = self.plain.told, self.plain.runs, self.plain.take

    async def on_custom_event(self, name: str, data: Any, **kwargs: Any) -> None:
        await asyncio.sleep(0)
        self.plain.on_custom_event(name, data, **kwargs)


class Deaf(BaseCallbackHandler):
    """Wants no custom events: LangChain would call it all the same."""

    @property
    def ignore_chain(self) -> bool:
        raise AssertionError


tracers = pytest.mark.parametrize("make_tracer", [Tracer, AsyncTracer])
IDS = {"app_name": "shop", "user_id": "ann", "session_id": "s1"}


@server_kinds
@tracers
async def test_every_operation_is_told_once_with_its_figures(
    backend: Backend, make_verbs: MakeVerbs, key: SessionKey, make_tracer: Callable[[], Any]
) -> None:
    tracer = make_tracer()
    verbs, interceptor = intercept(backend, make_verbs, callbacks=[Deaf(), tracer])
    calls: list[tuple[str, Callable[[], Any], dict[str, Any]]] = [
        ("create_session", lambda: verbs.create_session(*IDS.values()), {"events": 0}),
        (
            "append_event",
            lambda: verbs.append_events(key, make_events(1, 2)),
            {
                "event_ids": [event.id for event in make_events(1, 2)],
                "events": 2,
                "written": 2,
                "removed": 0,
                "queued": False,
            },
        ),
        ("get_session", lambda: verbs.get_session(key), {"events": 2}),
        ("get_session", lambda: verbs.get_messages(key, limit=1), {"events": 1}),
        ("get_session", lambda: verbs.get_events(key), {"events": 2}),
        ("get_session", lambda: verbs.get_session(SessionKey("a", "b", "c")), {"events": 0}),
        ("append_track_event", lambda: verbs.append_track_events(key, "t", [1, 2]), {"events": 2}),
        ("append_track_event", lambda: verbs.append_track_event(key, "t", 1), {"track": "t"}),
        ("delete_session", lambda: verbs.delete_session(key), {"deleted": True}),
    ]
    for name, call, expected in calls:
        interceptor.requests.clear()
        result = await call()
        assert [told for told, _ in tracer.told] == [f"redis_session.{name}"]
        data = tracer.take()
        assert expected.items() <= data.items()
        assert data["round_trips"] == len(interceptor.requests)
        assert data["duration_ms"] > 0
        assert data["request_bytes"] > 40
        assert data["reply_bytes"] > 0 or result is None
        assert "error" not in data
        if data["app_name"] != "a":
            assert IDS.items() <= data.items()
    assert all(isinstance(run_id, UUID) for run_id, _, _ in tracer.runs)
    assert len({run_id for run_id, _, _ in tracer.runs}) == len(calls)  # a fresh one each


@one_server
@tracers
async def test_the_kind_of_an_error_is_told_without_content(
    backend: Backend, make_verbs: MakeVerbs, key: SessionKey, make_tracer: Callable[[], Any]
) -> None:
    tracer = make_tracer()
    event = make_event(1, HumanMessage(SECRET))
    verbs = make_verbs(callbacks=[tracer])
    with pytest.raises(SessionNotFoundError):
        await verbs.append_event(key, event)
    data = tracer.take()
    assert (data["error"], data["event_ids"]) == ("SessionNotFoundError", [event.id])
    guard = make_handler("plain", append_event_start=lambda _: raise_(ValueError(SECRET)))
    with pytest.raises(EventRejectedError):
        await verbs.append_event(key, event, callbacks=[guard])
    data = tracer.take()
    assert (data["error"], data["round_trips"]) == ("EventRejectedError", 0)
    assert SECRET not in str(data)
    verbs, _ = intercept(
        backend, make_verbs, before=lambda _: raise_(ConnectionError()), callbacks=[tracer]
    )
    with pytest.raises(BackendUnavailableError):
        await verbs.get_messages(key)
    assert tracer.take()["error"] == "BackendUnavailableError"


@one_server
@tracers
async def test_what_is_told_holds_no_content(
    make_verbs: MakeVerbs, key: SessionKey, make_tracer: Callable[[], Any]
) -> None:
    tracer = make_tracer()
    verbs = make_verbs(callbacks=[tracer])
    await verbs.create_session(*IDS.values(), state={"k": SECRET})
    await verbs.append_messages(
        key,
        [AIMessage(SECRET, name=SECRET)],
        author=SECRET,
        tag=SECRET,
        state_delta={SECRET: SECRET},
    )
    await verbs.get_session(key)
    await verbs.append_track_event(key, "t", {SECRET: SECRET})
    await verbs.delete_session(key)
    assert len(tracer.told) == 5
    assert SECRET not in str(tracer.told)


@one_server
@tracers
async def test_inside_the_current_run(
    make_verbs: MakeVerbs, key: SessionKey, make_tracer: Callable[[], Any]
) -> None:
    tracer, watcher = make_tracer(), Tracer()
    verbs = make_verbs(callbacks=[tracer])

    async def step(_: Any, config: RunnableConfig) -> None:
        await verbs.append_messages(key, [HumanMessage("hi")], create=True)
        # Where the context is not passed on (tasks before Python 3.11), the config is.
        await verbs.get_session(key, callbacks=config["callbacks"])

    def sync_step(_: Any, config: RunnableConfig) -> None:
        verbs.service.append_messages(key, [HumanMessage("hi")], create=True)
        verbs.service.get_session(key, callbacks=config["callbacks"])

    config: RunnableConfig = {
        "callbacks": [watcher],
        "tags": ["mine"],
        "metadata": {"user": "ann"},
    }
    if verbs.mode == "async":
        await RunnableLambda(step).ainvoke(None, config)
    else:
        RunnableLambda(sync_step).invoke(None, config)
    (run_id,) = watcher.started
    assert [name for name, _ in tracer.told] == [
        "redis_session.append_event",
        "redis_session.get_session",
    ]
    for found, tags, metadata in tracer.runs:
        assert found == run_id
        assert tags == ["mine"]
        assert metadata is not None
        assert metadata["user"] == "ann"
    # The run's own handlers are told only where they were passed.
    assert [name for name, _ in watcher.told] == ["redis_session.get_session"]
    assert watcher.runs[0][0] == run_id


@one_server
async def test_a_manager_passes_events_to_its_own_run(
    make_verbs: MakeVerbs, key: SessionKey
) -> None:
    tracer, run_id = Tracer(), UUID(int=1)
    manager = CallbackManager([tracer], parent_run_id=run_id)
    verbs = make_verbs()
    await verbs.append_messages(key, [HumanMessage("hi")], create=True, callbacks=manager)
    assert [run for run, _, _ in tracer.runs] == [run_id]
    verbs = make_verbs(callbacks=manager)
    await verbs.get_session(key)
    assert [name for name, _ in tracer.told][-1] == "redis_session.get_session"


@one_server
@pytest.mark.parametrize("raise_error", [False, True])
async def test_a_tracer_that_fails(
    make_verbs: MakeVerbs, key: SessionKey, raise_error: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """It changes nothing: what it is told of has been done."""

    class Failing(Tracer):
        def on_custom_event(self, *_: Any, **__: Any) -> None:
            raise ValueError(SECRET)

    handler = Failing()
    handler.raise_error = raise_error
    verbs = make_verbs(callbacks=[handler])
    with caplog.at_level(logging.DEBUG, "langchain_redis_session"):
        result = await verbs.append_messages(key, [HumanMessage("hi")], create=True)
    assert result.written == 1
    ours = [r.getMessage() for r in caplog.records if r.name == "langchain_redis_session"]
    expected = "a handler of the custom event redis_session.append_event failed: ValueError"
    assert ours == ([expected] if raise_error else [])


async def test_a_queued_append_is_told_of_again_if_given_up(key: SessionKey) -> None:
    """An append is told of when it is accepted, and again if it is given up."""
    tracer = Tracer()
    event = Event(HumanMessage(SECRET))
    async with RedisSessionService(
        "memory://custom-events", enable_async_persist=True, callbacks=[tracer]
    ) as service:
        await service.aappend_event(key, event)
        assert not await service.aflush(PATIENCE_S)
        await await_until(lambda: len(tracer.told) >= 2)
    data, given_up = (data for _, data in sorted(tracer.told, key=itemgetter(0)))  # in any order
    assert (data["queued"], data["event_ids"], data["round_trips"]) == (True, [event.id], 0)
    assert data["request_bytes"] > 100
    assert given_up == {
        **IDS,
        "event_ids": [event.id],
        "events": 1,
        "error": "SessionNotFoundError",
    }
    assert {name for name, _ in tracer.told} == {
        "redis_session.append_event",
        "redis_session.persist_error",
    }


@one_server
async def test_summaries_and_their_errors_are_told_without_content(
    make_verbs: MakeVerbs, key: SessionKey, mode: str
) -> None:
    def summarize(request: Any) -> str:
        if len(request.messages) > 1:
            raise ValueError(SECRET)
        return f"{SECRET} said hello"

    tracer, own = (Tracer(), Tracer()) if mode == "sync" else (AsyncTracer(), AsyncTracer())
    verbs = make_verbs(callbacks=[tracer], summarizer=summarize, auto_summarize=False)
    await verbs.append_messages(key, [AIMessage("hi")], create=True)
    tracer.take()
    assert await verbs.create_summary(key) is None
    assert tracer.told == []  # none was due
    await verbs.create_summary(key, force=True, callbacks=[own])
    assert [name for name, _ in tracer.told] == ["redis_session.create_summary"]
    data = tracer.take()
    assert own.take() == data
    assert (
        data.items()
        >= {
            "session_id": key.session_id,
            "filter_key": "",
            "characters": len(SECRET) + 11,
            "is_new": True,
        }.items()
    )
    assert data["duration_ms"] > 0
    await verbs.get_summary(key)
    assert tracer.told[0][0] == "redis_session.get_summary"
    assert tracer.take()["characters"] == len(SECRET) + 11
    await verbs.append_messages(key, [AIMessage("a"), AIMessage("b")])
    tracer.take()
    with pytest.raises(SummaryError):
        await verbs.create_summary(key, force=True)
    failed = tracer.take()
    assert failed["error"] == "SummaryError"
    assert SECRET not in repr(failed)
