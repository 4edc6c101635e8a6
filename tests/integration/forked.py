"""A program that forks where its threads are at work, and what its children can still do.

    python -m tests.integration.forked redis://127.0.0.1:6379 url 10

It prints for each child its exit status; a child that hangs is killed, and is -9.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import sys
import tempfile
import threading
import time
import warnings
from typing import Any

import redis
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import AIMessage, HumanMessage

from langchain_redis_session import (
    RedisSessionChatMessageHistory,
    RedisSessionService,
    SessionKey,
    SessionSummarizer,
    event_threshold,
)

CHILD_S = 20


def make_service(kind: str, url: str) -> RedisSessionService:
    options: dict[str, Any] = {"enable_async_persist": True, "persist_close_timeout": CHILD_S}
    if kind == "all":
        options["persist_spool_dir"] = tempfile.mkdtemp(dir=os.environ.get("TMPDIR"))
        model = FakeListChatModel(responses=["a summary"])
        options["summarizer"] = SessionSummarizer(model, trigger=event_threshold(1))
    if kind == "cluster client":
        return RedisSessionService(
            client=redis.RedisCluster.from_url(url.replace("redis+cluster", "redis", 1)), **options
        )
    if kind == "client":
        return RedisSessionService(client=redis.Redis.from_url(url), **options)
    if kind == "blocking":
        pool = redis.BlockingConnectionPool.from_url(url)
        return RedisSessionService(client=redis.Redis(connection_pool=pool), **options)
    return RedisSessionService("memory://forked" if kind == "memory" else url, **options)


def make_agent(service: RedisSessionService) -> Any:
    """An agent with a session; imported here, as it takes its time."""
    from langchain.agents import create_agent

    from langchain_redis_session import RedisSessionMiddleware

    memory = RedisSessionMiddleware(service, app_name="forked")
    return create_agent(FakeListChatModel(responses=["hello"]), middleware=[memory])


def make_run(session_id: str) -> tuple[Any, Any]:
    """The arguments of a run."""
    return {"messages": "hi"}, {"configurable": {"user_id": "u", "thread_id": session_id}}


def keep_busy(service: RedisSessionService, url: str, agent: Any, stop: threading.Event) -> None:
    """Take every lock there is, again and again."""
    for number in itertools.count():
        if stop.is_set():
            return
        key = SessionKey("forked", "u", threading.current_thread().name)
        service.append_messages(key, [HumanMessage("x")], create=True)
        service.get_messages(key)
        history = RedisSessionChatMessageHistory(f"h{number % 7}", url, ttl=number % 97 + 1)
        history.add_messages([HumanMessage("x")])
        if agent is not None:
            agent.invoke(*make_run(f"a{number % 7}"))
            summarize(service, key)


def summarize(service: RedisSessionService, key: SessionKey) -> None:
    """Make a summary, and let a background worker make others."""
    turn = [HumanMessage("x"), AIMessage("y")]
    service.append_messages(key, turn, create=True)
    service.create_summary(key, force=True)


def work_with_agent(service: RedisSessionService, agent: Any) -> None:
    """What a child does with an agent, a summarizer and a spool of its parent."""
    key = SessionKey("forked", "u", f"child-agent-{os.getpid()}")
    agent.invoke(*make_run(key.session_id))
    asyncio.run(agent.ainvoke(*make_run(key.session_id)))
    assert service.flush(CHILD_S)
    assert len(service.get_messages(key)) == 4
    summary = service.get_summary(key)  # of the background
    assert summary is not None
    assert summary.text == "a summary"
    assert service.stats().summaries.failed == 0  # type: ignore[union-attr]
    summarize(service, key)


def keep_loop_busy(
    service: RedisSessionService, stop: threading.Event, failures: list[BaseException]
) -> None:
    """Let tasks share a connection, which no child may touch."""

    async def read(number: int) -> None:
        key = SessionKey("forked", "task", str(number))
        await service.aappend_messages(key, [HumanMessage(str(number))], create=True)
        while not stop.is_set():
            (found,) = await service.aget_messages(key, limit=1)
            assert found.content == str(number)

    async def read_all() -> None:
        await asyncio.gather(*map(read, range(4)))

    try:
        asyncio.run(read_all())
    except BaseException as error:
        failures.append(error)


def work(service: RedisSessionService, url: str) -> None:
    """What a child does with what it has from its parent."""
    key = SessionKey("forked", "u", f"child-{os.getpid()}")
    service.append_messages(key, [HumanMessage("x")], create=True)
    assert service.flush(CHILD_S)
    assert len(service.get_messages(key)) == 1
    for limit in (None, 1):
        assert len(asyncio.run(service.aget_messages(key, limit=limit))) == 1
    history = RedisSessionChatMessageHistory(f"child-{os.getpid()}", url)
    history.add_messages([HumanMessage("x")])
    assert len(history.messages) == 1


def fork(service: RedisSessionService, url: str, agent: Any) -> int:
    child = os.fork()
    if child:
        return child
    signal.alarm(CHILD_S + 10)
    try:
        work(service, url)
        if agent is not None:
            work_with_agent(service, agent)
    except BaseException:
        import traceback

        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def wait(child: int) -> int:
    end_s = time.monotonic() + CHILD_S
    while time.monotonic() < end_s:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main() -> None:
    url, kind, count = sys.argv[1:]
    warnings.simplefilter("ignore", DeprecationWarning)  # of forks in a process with threads
    service, stop = make_service(kind, url), threading.Event()
    agent = make_agent(service) if kind == "all" else None
    for _ in range(3):
        threading.Thread(target=keep_busy, args=(service, url, agent, stop), daemon=True).start()
    failures: list[BaseException] = []
    busy = threading.Thread(target=keep_loop_busy, args=(service, stop, failures), daemon=True)
    busy.start()
    for _ in range(int(count)):
        print(wait(fork(service, url, agent)), flush=True)
    stop.set()
    busy.join(CHILD_S)
    for failure in failures:
        print(repr(failure), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
