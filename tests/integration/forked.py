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
import threading
import time
import warnings
from typing import Any

import redis
from langchain_core.messages import HumanMessage

from langchain_redis_session import (
    RedisSessionChatMessageHistory,
    RedisSessionService,
    SessionKey,
)

CHILD_S = 20


def make_service(kind: str, url: str) -> RedisSessionService:
    options: dict[str, Any] = {"enable_async_persist": True, "persist_close_timeout": CHILD_S}
    if kind == "client":
        return RedisSessionService(client=redis.Redis.from_url(url), **options)
    if kind == "blocking":
        pool = redis.BlockingConnectionPool.from_url(url)
        return RedisSessionService(client=redis.Redis(connection_pool=pool), **options)
    return RedisSessionService(url if kind == "url" else "memory://forked", **options)


def keep_busy(service: RedisSessionService, url: str, stop: threading.Event) -> None:
    """Take every lock there is, again and again."""
    for number in itertools.count():
        if stop.is_set():
            return
        key = SessionKey("forked", "u", threading.current_thread().name)
        service.append_messages(key, [HumanMessage("x")], create=True)
        service.get_messages(key)
        history = RedisSessionChatMessageHistory(f"h{number % 7}", url, ttl=number % 97 + 1)
        history.add_messages([HumanMessage("x")])


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


def fork(service: RedisSessionService, url: str) -> int:
    child = os.fork()
    if child:
        return child
    signal.alarm(CHILD_S + 10)
    try:
        work(service, url)
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
    for _ in range(4):
        threading.Thread(target=keep_busy, args=(service, url, stop), daemon=True).start()
    failures: list[BaseException] = []
    busy = threading.Thread(target=keep_loop_busy, args=(service, stop, failures), daemon=True)
    busy.start()
    for _ in range(int(count)):
        print(wait(fork(service, url)), flush=True)
    stop.set()
    busy.join(CHILD_S)
    for failure in failures:
        print(repr(failure), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
