"""Summaries of real conversations: each event covered once, whoever races, fails or dies."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import sys
import threading
import time
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any
from uuid import uuid4

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.messages.utils import count_tokens_approximately
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate

from langchain_redis_session import (
    PersistError,
    RedisSessionService,
    Session,
    SessionCallbackHandler,
    SessionKey,
    SessionSummarizer,
    SummaryError,
    SummaryRequest,
    SummaryStats,
    event_threshold,
)
from langchain_redis_session._actions.summaries import SummaryMaker
from langchain_redis_session._background import summary_backoff
from langchain_redis_session._background.summary_backoff import Backoff
from langchain_redis_session._background.summary_scheduler import WorkerScheduler
from langchain_redis_session._operations.summaries import SummaryTask
from tests.integration.scripted import ScriptedModel
from tests.integration.summarizing import Witness, converse, ids_in, turn
from tests.processes import call_in_processes, run_python, start_python
from tests.proxy import CuttingProxy
from tests.servers import RedisCluster, RedisServer
from tests.waits import MOMENT_S, PATIENCE_S, await_until, wait_until


def expected_ids(turns: int) -> list[str]:
    return [f"id{number}" for number in range(2 * turns)]


@pytest.fixture(params=["standalone", "cluster-app", "cluster-user", "memory"])
def place(request: pytest.FixtureRequest) -> Iterator[dict[str, Any]]:
    """Where the sessions are, as options of a service."""
    name, _, hash_tag = request.param.partition("-")
    options: dict[str, Any] = {"key_prefix": f"t{uuid4().hex[:12]}"}
    if name == "memory":
        yield options | {"redis_url": "memory://" + options["key_prefix"]}
    elif name == "standalone":
        server: RedisServer = request.getfixturevalue("redis_server")
        yield options | {"redis_url": server.url}
    else:
        cluster: RedisCluster = request.getfixturevalue("redis_cluster")
        client = cluster.client()
        yield options | {"client": client, "hash_tag": hash_tag}
        client.close()


@pytest.fixture
def key() -> SessionKey:
    return SessionKey(f"app-{uuid4().hex}", "ann", "s1")


def read_all(service: RedisSessionService, key: SessionKey) -> list[str]:
    """What a model is told: the ids in the summary, then those in the messages behind it."""
    found = service.get_summarized_messages(key)
    messages = [message.text for message in found.messages]
    return ids_in("\n".join([found.summary.text if found.summary else "", *messages]))


def summary_stats(service: RedisSessionService) -> SummaryStats:
    stats = service.stats().summaries
    assert stats is not None
    return stats


# --- Every event once ----------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["sync", "async", "write-behind"])
async def test_two_hundred_turns_are_summarized_once_and_in_order(
    place: dict[str, Any], key: SessionKey, mode: str
) -> None:
    witness = Witness.make(20)
    service = RedisSessionService(
        summarizer=witness, enable_async_persist=mode == "write-behind", **place
    )
    for number in range(200):
        if mode == "async":
            await service.aappend_messages(key, turn(number), create=True)
        else:
            service.append_messages(key, turn(number), create=True)
        if number == 100:
            assert read_all(service, key) == expected_ids(101)
    assert await service.aflush(PATIENCE_S)
    flat = [i for ids in witness.taken for i in ids]
    assert flat == expected_ids(200)[: len(flat)]
    assert len(flat) > 400 - 20
    assert all(len(ids) >= 20 for ids in witness.taken)
    assert read_all(service, key) == expected_ids(200)
    assert len(service.get_events(key)) == 400  # untouched
    stats = service.stats()
    assert stats.summaries is not None
    assert stats.summaries.made == len(witness.taken)
    assert (stats.summaries.waiting, stats.summaries.running, stats.summaries.failed) == (0, 0, 0)
    # Without an append nothing is due.
    assert service.create_summary(key) == service.get_summary(key)
    service.delete_session(key)
    await service.aclose()


def test_processes_that_race_make_one_summary_per_boundary(
    redis_server: RedisServer, key: SessionKey
) -> None:
    with RedisSessionService(redis_server.url) as service:
        service.create_session(key.app_name, key.user_id, key.session_id)
        calls = [(redis_server.url, key, writer, 60, 10) for writer in range(3)]
        taken = list(chain.from_iterable(call_in_processes(converse, calls)))
        # No event was taken twice, by whichever process.
        flat = [i for ids in taken for i in ids]
        assert len(flat) == len(set(flat))
        assert sorted(read_all(service, key)) == sorted(expected_ids(180))
        summary = service.get_summary(key)
        assert summary is not None
        assert set(ids_in(summary.text)) == set(flat)
        assert len(flat) > 360 - 10
        service.delete_session(key)


def test_as_much_as_fits_at_a_time(redis_server: RedisServer, key: SessionKey) -> None:
    """A long session that was never summarized, and a model with a small window."""
    witness = Witness.make(4, max_input_tokens=60, prompt="{previous_summary} {conversation_text}")
    with RedisSessionService(redis_server.url) as plain:
        for number in range(20):
            plain.append_messages(key, turn(number), create=True)
    with RedisSessionService(redis_server.url, summarizer=witness) as service:
        first = service.create_summary(key, force=True)
        assert first is not None
        assert 2 <= len(ids_in(first.text)) < 40
        assert read_all(service, key) == expected_ids(20)
        service.enqueue_summary(key)
        assert service.flush(PATIENCE_S)
        flat = [i for ids in witness.taken for i in ids]
        assert flat == expected_ids(20)[: len(flat)]
        assert len(flat) > 40 - 4
        assert len(witness.taken) > 2
        assert read_all(service, key) == expected_ids(20)
        service.delete_session(key)


def test_what_is_left_as_it_is_does_not_make_a_summary_due(key: SessionKey) -> None:
    """Else a summary would be made with every append, of one event each."""
    witness = Witness.make(4, skip_recent=6)
    with RedisSessionService("memory://recent", summarizer=witness) as service:
        for number in range(20):
            service.append_messages(key, turn(number), create=True)
            assert service.flush(PATIENCE_S)
        assert [len(ids) for ids in witness.taken] == [4] * 8
        assert len(service.get_summarized_messages(key).messages) == 8
        assert read_all(service, key) == expected_ids(20)


# --- What goes wrong -----------------------------------------------------------------------------


def test_the_owner_of_the_lease_is_killed(redis_server: RedisServer, key: SessionKey) -> None:
    witness = Witness.make(2)
    with RedisSessionService(redis_server.url, summarizer=witness) as service:
        with RedisSessionService(redis_server.url) as plain:
            plain.append_messages(key, turn(0), create=True)
        program = ("-m", "tests.integration.summarizing", redis_server.url)
        with start_python(*program, key.app_name, key.user_id, key.session_id) as child:
            assert child.read_line() == "summarizing"
            child.kill()
        service.enqueue_summary(key)
        wait_until(lambda: summary_stats(service).yielded > 0)
        assert service.get_summary(key) is None
        with redis_server.client() as client:
            (lease,) = client.keys(f"sumlease:{{{key.app_name}}}*")
            client.pexpire(lease, 1)  # its time is over
        assert service.flush(PATIENCE_S)
        summary = service.get_summary(key)
        assert summary is not None
        assert ids_in(summary.text) == expected_ids(1)
        assert (summary_stats(service).made, summary_stats(service).failed) == (1, 0)
        service.delete_session(key)


@pytest.mark.parametrize("what", ["raises", "hangs", "nothing"])
async def test_a_model_that_fails_now_and_then(
    place: dict[str, Any],
    key: SessionKey,
    what: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The conversation goes on; the next summary covers what the failed one should have."""
    monkeypatch.setattr(summary_backoff, "FIRST_WAIT_S", 0.0)
    calls, over = [0], threading.Event()

    def answer(messages: list[BaseMessage]) -> AIMessage:
        calls[0] += 1
        if calls[0] % 2:
            if what == "raises":
                raise RuntimeError("secret: the model is out")
            if what == "hangs":
                over.wait(PATIENCE_S)
            return AIMessage("")
        return AIMessage(" ".join(ids_in("\n".join(message.text for message in messages))))

    summarizer = SessionSummarizer(ScriptedModel(answer=answer), trigger=event_threshold(4))
    timeout_s = 0.3 if what == "hangs" else PATIENCE_S
    service = RedisSessionService(summarizer=summarizer, summary_job_timeout=timeout_s, **place)
    for number in range(6):
        service.append_messages(key, turn(number), create=True)
        assert service.flush(PATIENCE_S)
        assert read_all(service, key) == expected_ids(number + 1)
    stats = service.stats().summaries
    assert stats is not None
    assert stats.failed >= 2
    assert stats.made >= 1
    assert "was not summarized" in caplog.text
    assert "secret" not in caplog.text
    over.set()
    service.delete_session(key)
    await service.aclose()


def test_a_model_that_always_fails_is_not_asked_with_each_append(
    key: SessionKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = ScriptedModel(answer=lambda _: AIMessage(""))
    summarizer = SessionSummarizer(model, trigger=event_threshold(4))
    with RedisSessionService("memory://failing", summarizer=summarizer) as service:

        def go_on() -> tuple[int, int]:
            for number in range(20):
                service.append_messages(key, turn(number), create=True)
                assert service.flush(PATIENCE_S)
            stats = service.stats().summaries
            assert stats is not None
            assert not stats.made
            return stats.failed, len(model.prompts)

        assert go_on() == (1, 1)
        service.enqueue_summary(key)
        assert go_on() == (1, 1)
        service.enqueue_summary(key, force=True)
        assert go_on() == (2, 2)
        with pytest.raises(SummaryError):  # who asks for it gets a try
            service.create_summary(key)
        # Once the time is over, one more.
        monkeypatch.setattr(Backoff, "holds", lambda *_: False)
        service.append_messages(key, turn(0))
        assert service.flush(PATIENCE_S)
        assert len(model.prompts) == 4


def test_a_huge_result_of_a_tool_takes_one_call_of_bounded_size(key: SessionKey) -> None:
    sizes: list[int] = []

    def answer(messages: list[BaseMessage]) -> AIMessage:
        sizes.append(count_tokens_approximately(messages))
        assert "characters left out" in messages[-1].text
        return AIMessage("There was much.")

    summarizer = SessionSummarizer(ScriptedModel(answer=answer), trigger=event_threshold(6))
    with RedisSessionService("memory://huge", summarizer=summarizer) as service:
        call = AIMessage("", tool_calls=[{"name": "read", "args": {}, "id": "c1"}])
        result = ToolMessage("r" * 5_000_000, tool_call_id="c1")
        service.append_messages(key, [*turn(0), HumanMessage("Read it."), call], create=True)
        service.append_messages(key, [result, AIMessage("Done.")])
        assert service.flush(PATIENCE_S)
        found = service.get_summarized_messages(key)
        assert found.summary is not None
        assert found.messages == []
    assert len(sizes) == 1
    assert sizes[0] <= 12_000


def test_redis_goes_away_while_the_model_thinks(
    make_redis_server: Callable[..., RedisServer],
    make_cutting_proxy: Callable[[int], CuttingProxy],
    key: SessionKey,
) -> None:
    """The summary is made again, and no event is lost."""
    server = make_redis_server()
    is_thinking, may_answer = threading.Event(), threading.Event()

    def summarize(request: SummaryRequest) -> str:
        is_thinking.set()
        assert may_answer.wait(PATIENCE_S)
        return " ".join(ids_in("\n".join(message.text for message in request.messages)))

    with RedisSessionService(
        server.url, summarizer=summarize, auto_summarize=False, extra_options={"retry": None}
    ) as service:
        service.append_messages(key, turn(0), create=True)
        service.enqueue_summary(key, force=True)
        assert is_thinking.wait(PATIENCE_S)
        server.pause()
        resume = threading.Timer(0.5, server.resume)
        resume.start()
        may_answer.set()
        assert service.flush(PATIENCE_S)
        resume.join(PATIENCE_S)
        assert read_all(service, key) == expected_ids(1)
        summary = service.get_summary(key)
        assert summary is not None
        assert ids_in(summary.text) == expected_ids(1)


# --- Jobs ----------------------------------------------------------------------------------------


class Slow:
    """A summarizer that waits to be let go, and notes who runs it.

    Attributes:
        running: How many run now, of each session.
        most: The most that ran at a time, of one session and of all.
        threads: The names of the threads that asked for a summary.
    """

    def __init__(self) -> None:
        self.go = threading.Event()
        self.lock = threading.Lock()
        self.running: dict[str, int] = {}
        self.most_of_one = self.most = 0
        self.done: list[tuple[str, str]] = []

    def __call__(self, request: SummaryRequest) -> str:
        assert request.session is not None
        name = request.session.key.session_id
        with self.lock:
            self.running[name] = self.running.get(name, 0) + 1
            self.most_of_one = max(self.most_of_one, self.running[name])
            self.most = max(self.most, sum(self.running.values()))
        assert self.go.wait(10 * PATIENCE_S)
        time.sleep(0.002)
        with self.lock:
            self.running[name] -= 1
            self.done.append((name, request.filter_key))
        return "s"


def fill(service: RedisSessionService, key: SessionKey, **members: Any) -> None:
    service.append_messages(key, [AIMessage("x")], create=True, **members)


def test_jobs_are_merged_and_run_one_by_one_for_each_session(key: SessionKey) -> None:
    slow = Slow()
    keys = [SessionKey(key.app_name, "ann", f"s{number}") for number in range(5)]
    with RedisSessionService(
        "memory://jobs", summarizer=slow, auto_summarize=False, async_summary_num=3
    ) as service:
        for session in keys:
            for filter_key in ("", "a", "b"):
                fill(service, session, filter_key=filter_key)
        for _ in range(10):
            for session in keys:
                for filter_key in ("a", "b", ""):
                    service.enqueue_summary(session, filter_key, force=True)
        stats = service.stats().summaries
        assert stats is not None
        assert stats.waiting + stats.running <= 5 * 3 + 3
        wait_until(lambda: sum(slow.running.values()) == 3)
        slow.go.set()
        assert service.flush(PATIENCE_S)
        assert slow.most_of_one == 1
        assert slow.most == 3
        for session in keys:
            mine = [filter_key for name, filter_key in slow.done if name == session.session_id]
            assert mine == ["a", "b", ""]
        stats = service.stats().summaries
        assert stats is not None
        assert stats.made == 15


def test_a_job_that_is_forced_stays_so(key: SessionKey) -> None:
    slow = Slow()
    with RedisSessionService(
        "memory://forced", summarizer=slow, auto_summarize=False, async_summary_num=1
    ) as service:
        other = SessionKey(key.app_name, "ann", "other")
        for session in (other, key):
            fill(service, session)
        service.enqueue_summary(other, force=True)
        for force in (False, True, False):
            service.enqueue_summary(key, force=force)
        slow.go.set()
        assert service.flush(PATIENCE_S)
        assert service.get_summary(key) is not None


def test_a_job_in_the_caller_waits_for_the_sessions_others(key: SessionKey) -> None:
    slow = Slow()
    with RedisSessionService(
        "memory://in-turn",
        summarizer=slow,
        auto_summarize=False,
        async_summary_num=1,
        summary_queue_size=1,
    ) as service:
        other = SessionKey(key.app_name, "ann", "other")
        for filter_key in ("", "b"):
            fill(service, key, filter_key=filter_key)
        fill(service, other)
        service.enqueue_summary(key, force=True)
        wait_until(lambda: bool(slow.running))
        service.enqueue_summary(other, force=True)  # fills the queue
        caller = threading.Thread(target=service.enqueue_summary, args=(key, "b", True))
        caller.start()
        caller.join(MOMENT_S)
        assert caller.is_alive()
        assert slow.running == {"s1": 1}
        slow.go.set()
        caller.join(PATIENCE_S)
        assert not caller.is_alive()
        assert service.flush(PATIENCE_S)
        assert slow.most_of_one == 1
        assert [name for name, _ in slow.done].count("s1") >= 2


def test_what_was_not_written_asks_for_nothing(key: SessionKey) -> None:
    class Workers:
        asked: list[SummaryTask] = []  # noqa: RUF012

        def enqueue_beyond(self, tasks: list[SummaryTask]) -> None:
            self.asked += tasks

    workers: Any = Workers()
    scheduler = WorkerScheduler(workers, lambda filter_key: filter_key != "forbidden")
    scheduler.when_settled(key, ["b", "forbidden"])(PersistError("given up"))
    assert workers.asked == []
    scheduler.when_settled(key, ["b", "forbidden"])(None)
    assert workers.asked == [SummaryTask(key, "b"), SummaryTask(key)]


@pytest.mark.parametrize("mode", ["sync", "async"])
async def test_a_full_queue_runs_the_job_in_the_caller(key: SessionKey, mode: str) -> None:
    slow = Slow()
    service = RedisSessionService(
        "memory://full",
        summarizer=slow,
        auto_summarize=False,
        async_summary_num=1,
        summary_queue_size=1,
    )
    keys = [SessionKey(key.app_name, "ann", f"s{number}") for number in range(3)]
    for session in keys:
        fill(service, session)
    service.enqueue_summary(keys[0], force=True)  # runs
    await await_until(lambda: summary_stats(service).running > 0)
    service.enqueue_summary(keys[1], force=True)  # waits
    if mode == "sync":
        caller = threading.Thread(target=service.enqueue_summary, args=(keys[2], "", True))
        caller.start()
        await await_until(lambda: len(slow.running) == 2)
        assert caller.is_alive()
        slow.go.set()
        caller.join(PATIENCE_S)
        assert not caller.is_alive()
    else:
        task = asyncio.create_task(service.aenqueue_summary(keys[2], force=True))
        await await_until(lambda: len(slow.running) == 2)
        assert not task.done()
        slow.go.set()  # from the loop, which is free all the time
        await task
    assert service.get_summary(keys[2]) is not None
    assert await service.aflush(PATIENCE_S)
    assert service.get_summary(keys[1]) is not None
    await service.aclose()


def test_an_append_asks_by_itself_unless_told_not_to(key: SessionKey) -> None:
    for auto in (True, False):
        witness = Witness.make(2)
        with RedisSessionService(
            f"memory://auto-{auto}", summarizer=witness, auto_summarize=auto
        ) as service:
            service.append_messages(key, turn(0), create=True, filter_key="app/tools")
            assert service.flush(PATIENCE_S)
            made = [summary.filter_key for summary in service.list_summaries(key)]
            assert made == (["", "app/tools"] if auto else [])


def test_the_job_of_a_filter_key_is_followed_by_the_whole_sessions(key: SessionKey) -> None:
    for cascades in (True, False):
        with RedisSessionService(
            f"memory://cascade-{cascades}",
            summarizer=lambda _: "s",
            auto_summarize=False,
            cascade_full_session_summary=cascades,
        ) as service:
            fill(service, key, filter_key="b")
            service.enqueue_summary(key, "b", force=True)
            assert service.flush(PATIENCE_S)
            made = [summary.filter_key for summary in service.list_summaries(key)]
            assert made == (["", "b"] if cascades else ["b"])


def test_a_forced_job_stays_forced_when_it_is_merged(key: SessionKey) -> None:
    slow = Slow()
    with RedisSessionService("memory://force", summarizer=slow, auto_summarize=False) as service:
        fill(service, key)
        fill(service, key, filter_key="b")
        service.enqueue_summary(key, force=True)  # runs
        wait_until(lambda: sum(slow.running.values()) == 1)
        service.enqueue_summary(key, "b", force=True)
        service.enqueue_summary(key, "b")
        slow.go.set()
        assert service.flush(PATIENCE_S)
        assert ("s1", "b") in slow.done


@pytest.mark.parametrize("what", ["flush", "close"])
def test_a_hook_that_flushes_or_closes(key: SessionKey, what: str) -> None:
    """It runs in a worker, which can't wait for itself."""

    class Handler(SessionCallbackHandler):
        def on_create_summary_end(self, context: object) -> None:
            getattr(service, what)()
            is_done.set()

    is_done = threading.Event()
    service = RedisSessionService(
        f"memory://in-hook-{what}",
        summarizer=lambda _: "s",
        auto_summarize=False,
        callbacks=[Handler()],
        summary_close_timeout=10 * PATIENCE_S,
    )
    fill(service, key)
    service.enqueue_summary(key, force=True)
    assert is_done.wait(PATIENCE_S)
    service.close()


def test_a_filter_key_that_is_not_allowed_is_passed_over(key: SessionKey) -> None:
    with RedisSessionService(
        "memory://allow",
        summarizer=Witness.make(2),
        summary_filter_allowlist=["app/tool"],
    ) as service:
        for filter_key in ("app/toolbox", "app/tool", "app/tool/x"):
            service.append_messages(key, turn(0), create=True, filter_key=filter_key)
        assert service.flush(PATIENCE_S)
        made = [summary.filter_key for summary in service.list_summaries(key)]
        assert made == ["", "app/tool", "app/tool/x"]


@pytest.mark.parametrize("mode", ["sync", "async"])
async def test_closing_finishes_what_waits(key: SessionKey, mode: str) -> None:
    witness = Witness.make(2, seconds=0.05)
    url = f"memory://close-{mode}"
    service = RedisSessionService(url, summarizer=witness, enable_async_persist=mode == "sync")
    service.append_messages(key, turn(0), create=True)
    if mode == "sync":
        service.close()
    else:
        await service.aclose()
    with RedisSessionService(url) as reader:
        summary = reader.get_summary(key)
        assert summary is not None
        assert ids_in(summary.text) == expected_ids(1)


def test_closing_while_a_caller_runs_a_job(key: SessionKey) -> None:
    """What follows from that job is done too, and closing waits for nothing else."""
    names = ["first", "waits", "callers"]
    may_end = {name: threading.Event() for name in names}
    begun: list[str] = []

    def summarize(request: SummaryRequest) -> str:
        assert request.session is not None
        name = request.session.key.session_id
        begun.append(name)
        assert may_end[name].wait(PATIENCE_S)
        return "s"

    service = RedisSessionService(
        "memory://caller",
        summarizer=summarize,
        auto_summarize=False,
        async_summary_num=1,
        summary_queue_size=1,
        summary_close_timeout=10 * PATIENCE_S,
    )
    first, waits, callers = (SessionKey(key.app_name, "ann", name) for name in names)
    for session in (first, waits, callers):
        fill(service, session)
    service.enqueue_summary(first, force=True)
    wait_until(lambda: begun == ["first"])
    service.enqueue_summary(waits, force=True)
    caller = threading.Thread(target=service.enqueue_summary, args=(callers, "", True))
    caller.start()
    wait_until(lambda: "callers" in begun)
    closer = threading.Thread(target=service.close)
    closer.start()
    for name in ("first", "waits"):
        may_end[name].set()
    wait_until(lambda: service.stats().summaries.made == 2)  # type: ignore[union-attr]
    closer.join(MOMENT_S)  # nothing is left to the worker, for now
    assert closer.is_alive()
    may_end["callers"].set()
    caller.join(PATIENCE_S)
    closer.join(PATIENCE_S)
    assert not closer.is_alive()


@pytest.mark.parametrize("where", ["summarizer", "trigger"])
def test_code_that_ends_its_thread(
    key: SessionKey, where: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A worker outlives it, and so do the session's other jobs."""
    calls: list[None] = []

    def end(_: object) -> Any:
        calls.append(None)
        if len(calls) == 1:
            sys.exit("secret")
        return "s"

    if where == "summarizer":
        options: dict[str, Any] = {"summarizer": end}
    else:
        options = {"pick_summarizer": lambda session: end(session) and (lambda _: "s")}
    with RedisSessionService(
        "memory://exit", auto_summarize=False, async_summary_num=1, **options
    ) as service:
        fill(service, key)
        service.enqueue_summary(key, force=True)
        assert service.flush(PATIENCE_S)
        assert "secret" not in caplog.text
        service.enqueue_summary(key, force=True)
        assert service.flush(PATIENCE_S)
        stats = service.stats().summaries
        assert stats is not None
        assert (stats.failed, stats.made) == (1, 1)


def test_a_caller_that_is_interrupted(key: SessionKey) -> None:
    """The job that it ran for a full queue does not stay in the way of others."""
    is_blocked, may_go_on = threading.Event(), threading.Event()
    interrupts = [KeyboardInterrupt()]

    def pick(session: Session) -> Any:
        if session.key == blocking:
            is_blocked.set()
            assert may_go_on.wait(PATIENCE_S)
        elif session.key == key and interrupts:
            raise interrupts.pop()
        return lambda _: "s"

    blocking, waiting = (SessionKey(key.app_name, key.user_id, name) for name in ("b", "w"))
    with RedisSessionService(
        "memory://interrupt",
        pick_summarizer=pick,
        auto_summarize=False,
        async_summary_num=1,
        summary_queue_size=1,
    ) as service:
        for session in (key, blocking, waiting):
            fill(service, session)
        service.enqueue_summary(blocking, force=True)
        assert is_blocked.wait(PATIENCE_S)
        service.enqueue_summary(waiting, force=True)  # now the queue is full
        with pytest.raises(KeyboardInterrupt):
            service.enqueue_summary(key, force=True)
        may_go_on.set()
        assert service.flush(PATIENCE_S)
        service.enqueue_summary(key, force=True)
        assert service.flush(PATIENCE_S)
        assert service.get_summary(key) is not None


def test_no_thread_can_be_started(key: SessionKey, monkeypatch: pytest.MonkeyPatch) -> None:
    """An append that is written does not fail for want of a summary."""

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with RedisSessionService("memory://threads", summarizer=Witness.make(2)) as service:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            assert service.append_messages(key, turn(0), create=True).written == 2
            assert service.flush(PATIENCE_S)
        service.append_messages(key, turn(1))
        assert service.flush(PATIENCE_S)
        assert read_all(service, key) == expected_ids(2)
        assert service.get_summary(key) is not None


def test_closing_does_not_wait_for_ever(key: SessionKey) -> None:
    slow = Slow()
    service = RedisSessionService(
        "memory://hang", summarizer=slow, auto_summarize=False, summary_close_timeout=0.2
    )
    fill(service, key)
    service.enqueue_summary(key, force=True)
    assert service.flush(0.05) is False
    service.close()
    assert slow.done == []
    slow.go.set()


def test_the_end_of_the_program_finishes_what_waits(
    redis_server: RedisServer, key: SessionKey
) -> None:
    program = f"""
from langchain_core.messages import AIMessage
from langchain_redis_session import RedisSessionService, SessionKey
service = RedisSessionService({redis_server.url!r}, summarizer=lambda request: "done")
key = SessionKey({key.app_name!r}, "ann", "s1")
service.append_messages(key, [AIMessage("x")], create=True)
service.enqueue_summary(key, force=True)
"""
    done = run_python("-c", program)
    assert done.returncode == 0, done.stderr
    with RedisSessionService(redis_server.url) as service:
        summary = service.get_summary(key)
        assert summary is not None
        assert summary.text == "done"
        service.delete_session(key)


def test_a_service_that_is_dropped_lets_its_threads_end(key: SessionKey) -> None:
    def threads() -> list[threading.Thread]:
        return [t for t in threading.enumerate() if t.name == "redis-session-summaries"]

    before = threads()
    service = RedisSessionService("memory://dropped", summarizer=Witness.make(2))
    service.append_messages(key, turn(0), create=True)
    assert service.flush(PATIENCE_S)
    own = [thread for thread in threads() if thread not in before]
    assert own
    del service
    gc.collect()  # fakeredis keeps its errors in a circle
    wait_until(lambda: not any(thread.is_alive() for thread in own))


# --- Other summarizers ---------------------------------------------------------------------------


def test_a_chain_as_summarizer(key: SessionKey) -> None:
    prompt = ChatPromptTemplate.from_template("Sum up: {previous_summary} {conversation_text}")

    def answer(messages: list[BaseMessage]) -> AIMessage:
        return AIMessage(" ".join(ids_in(messages[-1].text)))

    chain = prompt | ScriptedModel(answer=answer) | StrOutputParser()
    with RedisSessionService("memory://chain", summarizer=chain, auto_summarize=False) as service:
        for number in range(3):
            service.append_messages(key, turn(number), create=True)
            summary = service.create_summary(key, force=True)
            assert summary is not None
            assert ids_in(summary.text) == expected_ids(number + 1)


async def test_a_cancelled_summary_gives_way_in_time(
    redis_server: RedisServer, key: SessionKey
) -> None:
    """Whoever was cancelled leaves its lease, which runs out."""
    witness = Witness.make(2)
    async with RedisSessionService(
        redis_server.url, summarizer=witness, auto_summarize=False
    ) as service:
        await service.aappend_messages(key, turn(0), create=True)
        hanging = RedisSessionService(
            redis_server.url, summarizer=_never, auto_summarize=False, summary_job_timeout=30
        )
        task = asyncio.create_task(hanging.acreate_summary(key, force=True))
        await await_until(lambda: told == ["begun"])
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await await_until(lambda: told == ["begun", "cancelled"])
        with redis_server.client() as client:
            (lease,) = client.keys(f"sumlease:{{{key.app_name}}}*")
            assert 0 < client.pttl(lease) <= 35_000
            client.pexpire(lease, 50)
        assert (await service.acreate_summary(key, force=True)) is not None
        await service.adelete_session(key)
        await hanging.aclose()


told: list[str] = []


async def _never(_: SummaryRequest) -> str:
    told.append("begun")
    try:
        await asyncio.sleep(600)
    except asyncio.CancelledError:
        told.append("cancelled")
        raise
    return ""


def test_a_bug_is_told_without_content(
    key: SessionKey, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    secret = "what was said"

    def fail(*_: Any) -> Any:
        raise ZeroDivisionError(secret)

    monkeypatch.setattr(SummaryMaker, "make", fail)
    with RedisSessionService(
        "memory://bug", summarizer=Witness.make(2), auto_summarize=False
    ) as service:
        fill(service, key)
        service.enqueue_summary(key, force=True)
        assert service.flush(PATIENCE_S)
        assert service.stats().summaries.failed == 1  # type: ignore[union-attr]
    assert "ZeroDivisionError" in caplog.text
    assert "in fail" in caplog.text
    assert secret not in caplog.text
