"""Tracks of real runs: all of it, in order, whatever happens to Redis; the run never suffers."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any, TypeAlias

import pytest
from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.language_models import FakeListLLM
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolCall
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda
from langchain_core.tools import ToolException, tool

from langchain_redis_session import (
    AsyncTrackCallbackHandler,
    BackendUnavailableError,
    RedisSessionService,
    Run,
    RunTree,
    SessionKey,
    TrackCallbackHandler,
    read_runs,
)
from langchain_redis_session._runs import outbox
from tests.integration.scripted import USAGE, ScriptedModel, script
from tests.proxy import CuttingProxy
from tests.servers import RedisServer
from tests.waits import PATIENCE_S

Handler: TypeAlias = "TrackCallbackHandler | AsyncTrackCallbackHandler"
KEY = SessionKey("shop", "ann", "s1")


@pytest.fixture(params=["direct", "write-behind"])
def service(
    redis_url: str, key_prefix: str, request: pytest.FixtureRequest
) -> Iterator[RedisSessionService]:
    with RedisSessionService(
        redis_url, key_prefix=key_prefix, enable_async_persist=request.param == "write-behind"
    ) as service:
        yield service


Call: TypeAlias = Callable[[Runnable[Any, Any], Any, RunnableConfig], Any]


def _stream(runnable: Runnable[Any, Any], value: Any, config: RunnableConfig) -> Any:
    return list(runnable.stream(value, config))


async def _astream(runnable: Runnable[Any, Any], value: Any, config: RunnableConfig) -> Any:
    return [chunk async for chunk in runnable.astream(value, config)]


WAYS: dict[str, Call] = {
    "invoke": lambda runnable, value, config: runnable.invoke(value, config),
    "stream": _stream,
    "ainvoke": lambda runnable, value, config: runnable.ainvoke(value, config),
    "astream": _astream,
}
HANDLERS: list[type[Handler]] = [TrackCallbackHandler, AsyncTrackCallbackHandler]
each_way = pytest.mark.parametrize("way", WAYS)
each_handler = pytest.mark.parametrize("make_handler", HANDLERS)


async def run(way: str, runnable: Runnable[Any, Any], value: Any, handler: Handler) -> Any:
    """Run it. Afterwards all is written: at once, but for a sync handler in an async run."""
    found = WAYS[way](runnable, value, {"callbacks": [handler]})
    if asyncio.iscoroutine(found):
        try:
            return await found
        finally:
            if isinstance(handler, TrackCallbackHandler):
                await handler.aflush()
    return found


def read(service: RedisSessionService, track: str = "runs", key: SessionKey = KEY) -> RunTree:
    return read_runs(service.get_track_events(key, track))


def shape(runs: RunTree | Run) -> list[Any]:
    below = runs.roots if isinstance(runs, RunTree) else runs.children
    return [[run.name, *shape(run)] if run.children else run.name for run in below]


def assert_whole(service: RedisSessionService, tree: RunTree) -> None:
    """Each run has begun once, after its parent, and has ended once, before its parent."""
    events = [event.payload for event in service.get_track_events(KEY, "runs")]
    begun: dict[str, str] = {}
    ended: set[str] = set()
    for payload in events:
        run_id = payload["run_id"]
        if payload["event"] == "start":
            parent = payload.get("parent_run_id", "")
            assert not parent or (parent in begun and parent not in ended)
            assert run_id not in begun
            begun[run_id] = parent
        else:
            assert run_id in begun.keys() - ended
            ended.add(run_id)
    assert ended == begun.keys()
    assert len(tree) == len(begun)
    for found in tree:
        assert found.end_ns is not None
        assert all(found.start_ns <= child.start_ns for child in found.children)


# Chains


class Shelf(BaseRetriever):
    """Finds teas."""

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun
    ) -> list[Document]:
        if query == "coffee":
            raise LookupError("no coffee here")
        return [Document(f"{query} 1"), Document(f"{query} 2")]


def make_chain() -> Runnable[Any, Any]:
    prompt = ChatPromptTemplate.from_messages([("human", "{tea}")])
    return {"tea": Shelf()} | prompt | ScriptedModel()


CHAIN = [["RunnableSequence", ["RunnableParallel<tea>", "Shelf"], "ChatPromptTemplate"]]
CHAIN[0].append("ScriptedModel")


@each_handler
@each_way
async def test_the_runs_of_a_chain_make_a_whole_tree(
    service: RedisSessionService, make_handler: type[Handler], way: str
) -> None:
    handler = make_handler(service, KEY)
    await run(way, make_chain(), "Sencha", handler)
    tree = read(service)
    assert shape(tree) == CHAIN
    assert_whole(service, tree)
    kinds = {found.name: found.kind for found in tree}
    assert kinds["Shelf"] == "retriever"
    assert kinds["ScriptedModel"] == "model"
    assert tree.usage == USAGE
    assert not tree.errors
    assert (handler.waiting, handler.dropped) == (0, 0)
    assert not any(found.inputs or found.outputs for found in tree)


@each_way
async def test_inputs_and_outputs_are_kept_where_asked_for(
    service: RedisSessionService, way: str
) -> None:
    handler = TrackCallbackHandler(service, KEY, inputs=True, outputs=True)
    await run(way, make_chain(), "Sencha", handler)
    tree = read(service)
    known = {found.name: found for found in tree}
    assert known["Shelf"].inputs == "Sencha"
    assert known["Shelf"].outputs == [{"page_content": "Sencha 1"}, {"page_content": "Sencha 2"}]
    assert known["ScriptedModel"].outputs["type"].startswith(("ai", "AIMessageChunk"))
    assert known["ScriptedModel"].inputs[0]["type"] == "human"
    assert known["RunnableSequence"].inputs == "Sencha"


@each_handler
@each_way
async def test_the_run_of_a_text_model_is_one_of_a_model(
    service: RedisSessionService, make_handler: type[Handler], way: str
) -> None:
    await run(way, FakeListLLM(responses=["a b"]), "hi", make_handler(service, KEY))
    (found,) = read(service)
    assert (found.kind, found.name, found.error) == ("model", "FakeListLLM", "")


@each_handler
@each_way
async def test_each_failed_run_keeps_its_own_error(
    service: RedisSessionService, make_handler: type[Handler], way: str
) -> None:
    def fail(messages: list[BaseMessage]) -> AIMessage:
        raise ValueError("no answer")

    model = ChatPromptTemplate.from_messages(["{text}"]) | ScriptedModel(answer=fail)
    with pytest.raises(ValueError, match="no answer"):
        await run(way, model, {"text": "hi"}, make_handler(service, KEY))
    with pytest.raises(LookupError, match="no coffee"):
        await run(way, make_chain(), "coffee", make_handler(service, KEY))
    tree = read(service)
    assert_whole(service, tree)
    assert {found.name: found.error for found in tree.errors} == {
        "RunnableSequence": "LookupError: no coffee here",
        "ScriptedModel": "ValueError: no answer",
        "RunnableParallel<tea>": "LookupError: no coffee here",
        "Shelf": "LookupError: no coffee here",
    }


@each_handler
@pytest.mark.parametrize("way", ["batch", "abatch"])
async def test_all_runs_of_a_concurrent_batch_are_stored(
    service: RedisSessionService, make_handler: type[Handler], way: str
) -> None:
    handler, chain = make_handler(service, KEY, batch_size=7), make_chain()
    teas = [f"tea {number}" for number in range(40)]
    config = RunnableConfig(callbacks=[handler], max_concurrency=8)
    if way == "batch":
        await asyncio.to_thread(chain.batch, teas, config)
    else:
        await chain.abatch(teas, config)
    if isinstance(handler, TrackCallbackHandler):
        await handler.aflush()
    assert handler.waiting == 0
    tree = read(service)
    assert shape(tree) == CHAIN * 40
    assert_whole(service, tree)


@each_handler
@pytest.mark.parametrize("way", ["stream", "astream"])
async def test_a_stream_that_is_left(
    service: RedisSessionService, make_handler: type[Handler], way: str
) -> None:
    handler, model = make_handler(service, KEY), ScriptedModel()
    config = RunnableConfig(callbacks=[handler])
    messages = [HumanMessage("one two three")]
    if way == "stream":
        chunks = model.stream(messages, config)
        next(chunks)
        chunks.close()  # type: ignore[attr-defined]
    else:
        achunks = model.astream(messages, config)
        await anext(achunks)
        await achunks.aclose()  # type: ignore[attr-defined]
    await handler.aflush()
    (found,) = read(service)
    assert (found.name, found.error) == ("ScriptedModel", "GeneratorExit")


async def test_a_cancelled_run_ends_with_its_error(service: RedisSessionService) -> None:
    handler = AsyncTrackCallbackHandler(service, KEY)

    has_begun = asyncio.Event()

    async def wait(_: Any) -> None:
        has_begun.set()
        await asyncio.sleep(600)

    task = asyncio.create_task(RunnableLambda(wait).ainvoke(1, {"callbacks": [handler]}))
    await asyncio.wait_for(has_begun.wait(), PATIENCE_S)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await handler.aflush()
    (found,) = read(service)
    assert found.error == "CancelledError"


# Agents


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    time.sleep(0.02)
    return a + b


@tool
async def aadd(a: int, b: int) -> int:
    """Add two numbers."""
    await asyncio.sleep(0.02)
    return a + b


@tool
def divide(a: int, b: int) -> float:
    """Divide two numbers."""
    if b == 0:
        raise ToolException("division by nothing")
    return a / b


divide.handle_tool_error = True


def calls(*wanted: tuple[str, int, int]) -> AIMessage:
    return AIMessage(
        "",
        tool_calls=[
            ToolCall(name=name, args={"a": a, "b": b}, id=f"{name}{a}{b}", type="tool_call")
            for name, a, b in wanted
        ],
        usage_metadata=USAGE,
    )


@each_handler
@each_way
async def test_the_runs_of_an_agent_show_its_tools_side_by_side(
    service: RedisSessionService, make_handler: type[Handler], way: str
) -> None:
    """Tools in parallel, in threads or tasks; one of them fails, and the agent goes on."""
    agents = pytest.importorskip("langchain.agents")
    slow = aadd if way.startswith("a") else add
    answers = [
        calls((slow.name, 1, 2), (slow.name, 3, 4), ("divide", 1, 0)),
        calls(("divide", 4, 2)),
        AIMessage("2", usage_metadata=USAGE),
    ]
    agent = agents.create_agent(ScriptedModel(answer=script(answers)), [slow, divide], name="clerk")
    await run(way, agent, {"messages": [HumanMessage("go")]}, make_handler(service, KEY))
    tree = read(service)
    assert_whole(service, tree)
    (agent_run,) = tree.roots
    assert agent_run.name == "clerk"
    assert [child.name for child in agent_run.children] == [
        *("model", "tools", "tools", "tools", "model", "tools", "model")
    ]
    tools = [found for found in tree if found.kind == "tool"]
    assert sorted(found.tool_call_id for found in tools) == sorted(
        str(call["id"]) for answer in answers for call in answer.tool_calls
    )
    assert [found.error for found in tools if found.error] == ["division by nothing"]
    first, second = (found for found in tools if found.name == slow.name)
    assert first.end_ns is not None
    assert second.start_ns < first.end_ns  # they were side by side
    usage = {"input_tokens": 9, "output_tokens": 15, "total_tokens": 24}
    if way.startswith("a") and sys.version_info < (3, 11):
        usage = {}  # asyncio does not take the callbacks along to the agent's model
    assert tree.usage == usage
    assert 'aria-label="Timeline of' in tree._repr_html_()


def test_many_sessions_at_once(service: RedisSessionService) -> None:
    def one(number: int) -> list[Any]:
        key = SessionKey("shop", "ann", f"s{number}")
        make_chain().invoke("Sencha", {"callbacks": [TrackCallbackHandler(service, key)]})
        return shape(read(service, key=key))

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(one, range(24))) == [CHAIN] * 24


async def test_a_synchronous_run_inside_of_a_loop_has_written_when_it_returns(
    service: RedisSessionService,
) -> None:
    """As in a notebook, where the next line reads the track."""
    make_chain().invoke("Sencha", {"callbacks": [TrackCallbackHandler(service, KEY)]})
    assert shape(read(service)) == CHAIN


async def test_an_asynchronous_run_does_no_io_in_the_loop(
    service: RedisSessionService, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[int] = []
    append = RedisSessionService.append_track_events

    def note(self: RedisSessionService, *args: Any) -> Any:
        threads.append(threading.get_ident())
        return append(self, *args)

    monkeypatch.setattr(RedisSessionService, "append_track_events", note)
    handler = TrackCallbackHandler(service, KEY, batch_size=2)
    await make_chain().ainvoke("Sencha", {"callbacks": [handler]})
    await add.ainvoke({"a": 1, "b": 2}, {"callbacks": [handler]})
    assert await handler.aflush()
    assert threads
    assert threading.get_ident() not in threads
    assert shape(read(service)) == [*CHAIN, "add"]


def test_a_thread_writes_after_the_loop_is_gone(redis_url: str, key_prefix: str) -> None:
    with RedisSessionService(redis_url, key_prefix=key_prefix) as service:
        with TrackCallbackHandler(service, KEY) as handler:
            asyncio.run(make_chain().ainvoke("Sencha", {"callbacks": [handler]}))
        assert shape(read(service)) == CHAIN


async def test_both_kinds_of_runs_with_the_async_handler(service: RedisSessionService) -> None:
    """A synchronous run blocks the loop that another one's write depends on."""
    async with AsyncTrackCallbackHandler(service, KEY, batch_size=3) as handler:
        config = RunnableConfig(callbacks=[handler])
        chain = make_chain()

        async def sync_in_between() -> None:
            for _ in range(10):
                chain.invoke("Sencha", config)
                await asyncio.sleep(0)

        await asyncio.gather(
            *(chain.ainvoke("Sencha", config) for _ in range(10)), sync_in_between()
        )
    tree = read(service)
    assert shape(tree) == CHAIN * 20
    assert_whole(service, tree)


# What it costs


class Counting:
    """Counts the calls of a service that go to Redis."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.batches: list[int] = []
        append, aappend = (
            RedisSessionService.append_track_events,
            RedisSessionService.aappend_track_events,
        )

        def count(service: RedisSessionService, key: Any, track: str, events: Any) -> Any:
            self.batches.append(len(events))
            return append(service, key, track, events)

        async def acount(service: RedisSessionService, key: Any, track: str, events: Any) -> Any:
            self.batches.append(len(events))
            return await aappend(service, key, track, events)

        monkeypatch.setattr(RedisSessionService, "append_track_events", count)
        monkeypatch.setattr(RedisSessionService, "aappend_track_events", acount)


@each_handler
@each_way
async def test_the_runs_of_a_chain_are_stored_in_one_append(
    service: RedisSessionService,
    make_handler: type[Handler],
    way: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    service.create_session("shop", "ann", "s1")
    counting = Counting(monkeypatch)
    await run(way, make_chain(), "Sencha", make_handler(service, KEY))
    assert counting.batches == [10]


def test_a_long_run_is_written_in_parts(
    service: RedisSessionService, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.create_session("shop", "ann", "s1")
    counting = Counting(monkeypatch)
    seen: list[int] = []

    def look(value: int, config: RunnableConfig) -> None:
        for number in range(60):
            RunnableLambda(lambda x: x).invoke(number, config)
        seen.append(len(service.get_track_events(KEY, "runs")))

    RunnableLambda(look).invoke(1, {"callbacks": [TrackCallbackHandler(service, KEY)]})
    assert counting.batches == [50, 50, 22]
    assert seen == [100]


# What can go wrong


@pytest.fixture
def proxied(
    redis_server: RedisServer, cutting_proxy: CuttingProxy, key_prefix: str
) -> Iterator[RedisSessionService]:
    """A service whose server a test can take away."""
    options = {"retry": None, "socket_timeout": 5}
    with RedisSessionService(
        cutting_proxy.url, key_prefix=key_prefix, extra_options=options
    ) as service:
        yield service
    with RedisSessionService(redis_server.url, key_prefix=key_prefix) as service:
        service.delete_session(KEY)


@each_handler
@each_way
async def test_redis_is_away_during_the_run(
    proxied: RedisSessionService,
    cutting_proxy: CuttingProxy,
    make_handler: type[Handler],
    way: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    handler, quiet = make_handler(proxied, KEY, inputs=True), make_handler(proxied, KEY)
    await run(way, make_chain(), "before", handler)
    cutting_proxy.refuse()
    with caplog.at_level(logging.WARNING, "langchain_redis_session"):
        found = await run(way, make_chain(), "secret tea", handler)
    assert found
    assert handler.waiting == 10
    assert "10 event(s) of a track of runs could not be written" in caplog.text
    assert "BackendUnavailableError" in caplog.text
    assert "secret" not in caplog.text
    assert quiet.waiting == 0
    cutting_proxy.accept()
    if isinstance(handler, TrackCallbackHandler):
        assert handler.flush()
    else:
        assert await handler.aflush()
    assert (handler.waiting, handler.dropped) == (0, 0)
    tree = read(proxied)
    assert shape(tree) == CHAIN * 2
    assert_whole(proxied, tree)


def test_the_next_run_brings_what_was_left(
    proxied: RedisSessionService, cutting_proxy: CuttingProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = 1.0
    clock = SimpleNamespace(monotonic=lambda: now_s)
    monkeypatch.setattr(outbox, "time", clock)
    handler = TrackCallbackHandler(proxied, KEY)
    config = RunnableConfig(callbacks=[handler])
    make_chain().invoke("1", config)
    cutting_proxy.refuse()
    make_chain().invoke("2", config)
    counting = Counting(monkeypatch)
    make_chain().invoke("3", config)
    assert counting.batches == []  # it has just failed: the run is not delayed again
    cutting_proxy.accept()
    now_s += 1
    make_chain().invoke("4", config)
    assert counting.batches == [30]
    assert shape(read(proxied)) == CHAIN * 4


def test_a_reply_that_gets_lost(proxied: RedisSessionService, cutting_proxy: CuttingProxy) -> None:
    """The server has it already: it is sent again, and stored once."""
    with TrackCallbackHandler(proxied, KEY) as handler:
        make_chain().invoke("1", {"callbacks": [handler]})
        cutting_proxy.cut_after(0, match=b"EVALSHA")
        make_chain().invoke("2", {"callbacks": [handler]})
    assert cutting_proxy.cuts == 1
    assert shape(read(proxied)) == CHAIN * 2


def test_what_does_not_fit_is_dropped_oldest_first(
    proxied: RedisSessionService, cutting_proxy: CuttingProxy
) -> None:
    handler = TrackCallbackHandler(proxied, KEY, max_waiting=12)
    proxied.create_session("shop", "ann", "s1")
    cutting_proxy.refuse()
    for text in ("1", "2"):
        make_chain().invoke(text, {"callbacks": [handler]})
    assert (handler.waiting, handler.dropped) == (12, 8)
    cutting_proxy.accept()
    assert handler.flush()
    tree = read(proxied)
    assert shape(tree)[-1:] == CHAIN


@each_handler
async def test_a_session_that_is_not_there_is_made(
    service: RedisSessionService, make_handler: type[Handler]
) -> None:
    key = SessionKey("shop", "ann", "new")
    handler = make_handler(service, key)
    await run("ainvoke", make_chain(), "1", handler)
    assert shape(read(service, key=key)) == CHAIN
    assert not service.dead_letters()


def test_a_session_that_was_deleted_is_made_again(redis_url: str, key_prefix: str) -> None:
    with RedisSessionService(redis_url, key_prefix=key_prefix) as service:
        handler = TrackCallbackHandler(service, KEY)
        make_chain().invoke("1", {"callbacks": [handler]})
        service.delete_session(KEY)
        make_chain().invoke("2", {"callbacks": [handler]})
        assert shape(read(service)) == CHAIN


def test_a_service_that_was_closed_breaks_no_run(
    redis_url: str, key_prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    service = RedisSessionService(redis_url, key_prefix=key_prefix)
    handler = TrackCallbackHandler(service, KEY)
    service.close()
    make_chain().invoke("1", {"callbacks": [handler]})
    assert handler.waiting == 10
    assert "SessionServiceClosedError" in caplog.text


def test_an_event_that_is_too_large_goes_alone(
    redis_url: str, key_prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    with RedisSessionService(redis_url, key_prefix=key_prefix, max_event_bytes=2000) as service:
        handler = TrackCallbackHandler(service, KEY, outputs=True, max_chars=None)

        def shout(text: str) -> str:
            return text * 3000

        def count(text: str) -> int:
            return len(text)

        outer = RunnableLambda(shout) | RunnableLambda(count)
        assert outer.invoke("x", {"callbacks": [handler]}) == 3000
        assert (handler.waiting, handler.dropped) == (0, 1)
        (root,) = read(service).roots
        shouted, counted = root.children
        assert (shouted.end_ns, counted.outputs) == (None, 3000)
    assert "EventTooLargeError" in caplog.text


def test_the_garbage_collector_ends_a_stream_in_mid_write(
    redis_url: str, key_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same thread, in the middle of its own write."""
    with RedisSessionService(redis_url, key_prefix=key_prefix) as service:
        handler = TrackCallbackHandler(service, KEY)
        config = RunnableConfig(callbacks=[handler])
        left = [ScriptedModel().stream([HumanMessage("one two")], config)]
        next(left[0])
        append = RedisSessionService.append_track_events

        def end_the_stream(*args: Any) -> Any:
            left.clear()
            gc.collect()
            return append(*args)

        monkeypatch.setattr(RedisSessionService, "append_track_events", end_the_stream)
        RunnableLambda(lambda x: x, name="next").invoke(1, config)
        assert handler.waiting == 0
        assert sorted(shape(read(service))) == ["ScriptedModel", "next"]


def test_limits_and_other_tracks_are_the_service_s(redis_url: str, key_prefix: str) -> None:
    with RedisSessionService(redis_url, key_prefix=key_prefix, track_event_limit=12) as service:
        for text in ("1", "2"):
            handler = TrackCallbackHandler(service, KEY, "chains")
            make_chain().invoke(text, {"callbacks": [handler]})
        assert service.list_tracks(KEY) == ["chains"]
        assert len(service.get_track_events(KEY, "chains")) == 12
        tree = read(service, "chains")
        assert shape(tree)[-1:] == CHAIN
        assert tree._repr_html_()


def test_a_server_that_is_away_from_the_start(unused_url: str) -> None:
    with RedisSessionService(unused_url, extra_options={"retry": None}) as service:
        handler = TrackCallbackHandler(service, KEY)
        assert make_chain().invoke("1", {"callbacks": [handler]}).text
        assert not handler.flush()
        with pytest.raises(BackendUnavailableError):
            service.ping()


@pytest.fixture
def unused_url(redis_server: RedisServer, make_cutting_proxy: Callable[[int], Any]) -> str:
    """Where nobody listens."""
    proxy: CuttingProxy = make_cutting_proxy(redis_server.port)
    proxy.refuse()
    return proxy.url
