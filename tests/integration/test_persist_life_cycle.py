"""Write-behind from its start to its end: closing, exits, garbage collection, forks."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import textwrap
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from langchain_core.messages import HumanMessage
from redis.backoff import NoBackoff
from redis.retry import Retry

from langchain_redis_session import (
    DeadLetter,
    PersistError,
    RedisSessionService,
    SessionKey,
    SessionServiceClosedError,
)
from tests.processes import DEADLINE_S, run_python, start_python
from tests.proxy import CuttingProxy
from tests.servers import RedisServer
from tests.waits import MOMENT_S, PATIENCE_S, still_waits, wait_until

NOWHERE = "redis://127.0.0.1:1"


@pytest.fixture
def key() -> SessionKey:
    return SessionKey(f"app-{uuid4().hex}", "u", "s")


def make_service(url: str, **options: Any) -> RedisSessionService:
    defaults: dict[str, Any] = {
        "enable_async_persist": True,
        "persist_put_timeout": PATIENCE_S,
        "persist_close_timeout": PATIENCE_S,
        "persist_retry_timeout": None,
    }
    if url == NOWHERE:  # the client would try again for longer than the tests
        defaults["extra_options"] = {"retry": Retry(NoBackoff(), 0)}
    return RedisSessionService(url, **{**defaults, **options})


def append(service: RedisSessionService, key: SessionKey, *texts: object) -> None:
    for text in texts:
        service.append_messages(key, [HumanMessage(str(text))], create=True)


def read(url: str, key: SessionKey) -> list[str]:
    with RedisSessionService(url) as service:
        return [str(message.content) for message in service.get_messages(key)]


others: set[threading.Thread] = set()
"""What tests before left running."""


def our_threads() -> list[threading.Thread]:
    threads = [t for t in threading.enumerate() if t.name.startswith("redis-session-")]
    return [thread for thread in threads if thread not in others]


def wait_for_letters(service: RedisSessionService) -> None:
    wait_until(lambda: bool(service.dead_letters()))


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    others.update(our_threads())
    yield
    gc.collect()
    wait_until(lambda: not our_threads())


NUMBERS = [str(number) for number in range(100)]


# Closing


@pytest.mark.parametrize("way", ["close", "with", "aclose", "async with"])
def test_closing_writes_what_is_left(redis_server: RedisServer, key: SessionKey, way: str) -> None:
    service = make_service(redis_server.url)

    async def body() -> None:
        for text in NUMBERS:
            await service.aappend_messages(key, [HumanMessage(text)], create=True)
        if way == "aclose":
            await service.aclose()

    async def in_context() -> None:
        async with service:
            await body()

    if way in ("close", "with"):
        with service if way == "with" else contextlib.nullcontext():
            append(service, key, *NUMBERS)
        if way == "close":
            service.close()
    else:
        asyncio.run(body() if way == "aclose" else in_context())
    assert our_threads() == []
    assert read(redis_server.url, key) == NUMBERS


def test_nothing_goes_after_closing(key: SessionKey) -> None:
    service = make_service("memory://" + key.app_name)
    append(service, key, 0)
    append(service, SessionKey(key.app_name, "u", "other"), 0)
    service.close()
    service.close()
    for call in (
        lambda: append(service, key, 1),
        lambda: service.append_track_event(key, "t", 1),
        lambda: service.get_messages(key),
        service.flush,
        service.retry_dead_letters,
        lambda: asyncio.run(service.aappend_messages(key, [HumanMessage("1")])),
        lambda: asyncio.run(service.aflush()),
    ):
        with pytest.raises(SessionServiceClosedError):
            call()
    assert service.dead_letters() == []
    figures = service.stats().persist
    assert figures is not None
    assert (figures.accepted, figures.written) == (2, 2)


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_closing_is_bounded_where_redis_is_away(
    key: SessionKey, mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[DeadLetter] = []
    service = make_service(NOWHERE, persist_close_timeout=0.2, on_persist_error=told.append)
    for number in range(20):
        append(service, SessionKey(key.app_name, "u", f"s{number}"), number)
    if mode == "sync":
        service.close()
    else:
        asyncio.run(service.aclose())
    letters = service.dead_letters()
    assert len(letters) == 20
    assert told == letters
    assert all(isinstance(letter.error, PersistError) for letter in letters)
    assert "127.0.0.1" in str(letters[0].error)  # it says what went wrong
    assert "could not be written, and are kept in dead_letters(): PersistError" in caplog.text


async def test_closing_is_bounded_where_redis_says_nothing(
    redis_server: RedisServer, cutting_proxy: CuttingProxy, key: SessionKey
) -> None:
    service = make_service(cutting_proxy.url, persist_close_timeout=0.2)
    await service.aappend_messages(key, [HumanMessage("0")], create=True)
    assert await service.aflush(PATIENCE_S)
    cutting_proxy.stall()
    for number in range(20):
        one = SessionKey(key.app_name, "u", f"s{number}")
        await service.aappend_messages(one, [HumanMessage("lost")], create=True)
    await service.aclose()
    assert len(service.dead_letters()) == 20
    cutting_proxy.resume()
    await asyncio.to_thread(wait_until, lambda: not our_threads())


async def test_closing_does_not_block_the_loop(
    redis_server: RedisServer, cutting_proxy: CuttingProxy, key: SessionKey
) -> None:
    service = make_service(cutting_proxy.url)
    await service.aappend_messages(key, [HumanMessage("0")], create=True)
    cutting_proxy.stall()
    await service.aappend_messages(key, [HumanMessage("1")])
    closing = asyncio.create_task(service.aclose())
    await asyncio.sleep(MOMENT_S)
    assert not closing.done()
    cutting_proxy.resume()  # from the loop that it would block
    await closing
    assert read(redis_server.url, key) == ["0", "1"]


def test_many_close_at_the_same_time(redis_server: RedisServer, key: SessionKey) -> None:
    service = make_service(redis_server.url)
    append(service, key, *NUMBERS)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: service.close(), range(8)))
    assert read(redis_server.url, key) == NUMBERS


def test_callers_that_wait_are_told_when_it_closes(
    cutting_proxy: CuttingProxy, key: SessionKey
) -> None:
    """At once: not when closing has ended."""
    service = make_service(cutting_proxy.url, persist_queue_size=1, async_persister_num=1)
    cutting_proxy.stall()
    append(service, key, 0)

    def wait() -> None:
        with pytest.raises(SessionServiceClosedError):
            append(service, key, 1)

    async def await_() -> None:
        with pytest.raises(SessionServiceClosedError):
            await service.aappend_messages(key, [HumanMessage("1")], create=True)

    async def in_a_loop() -> None:
        await asyncio.gather(*(await_() for _ in range(3)))

    with ThreadPoolExecutor(5) as pool:
        waiting = [pool.submit(wait) for _ in range(3)]
        waiting.append(pool.submit(lambda: asyncio.run(in_a_loop())))
        assert still_waits(*waiting)
        closing = pool.submit(service.close)
        for future in waiting:
            future.result(PATIENCE_S)
        assert still_waits(closing)
        cutting_proxy.resume()
        closing.result(PATIENCE_S)
    assert service.dead_letters() == []


def test_readers_that_wait_are_told_when_it_closes(key: SessionKey) -> None:
    service = make_service(NOWHERE, persist_close_timeout=0.2)
    append(service, key, 0)

    def wait() -> None:
        with pytest.raises(SessionServiceClosedError):
            service.get_messages(key)

    with ThreadPoolExecutor(2) as pool:
        reading, flushing = pool.submit(wait), pool.submit(service.flush)
        assert still_waits(reading, flushing)
        service.close()
        reading.result(PATIENCE_S)
        assert flushing.result(PATIENCE_S) is False


def test_closing_in_a_handler(key: SessionKey) -> None:
    """A worker can't wait for itself."""
    closed = threading.Event()

    def handler(letter: DeadLetter) -> None:
        service.close()
        closed.set()

    service = make_service(
        "memory://" + key.app_name, on_persist_error=handler, persist_close_timeout=10 * PATIENCE_S
    )
    service.append_messages(key, [HumanMessage("lost")])
    assert closed.wait(PATIENCE_S)
    wait_until(lambda: not our_threads())


def test_a_handler_that_uses_the_service(key: SessionKey) -> None:
    """It must not wait for the worker that it runs in."""
    told: list[Any] = []
    is_full = threading.Event()

    def handler(letter: DeadLetter) -> None:
        is_full.wait(PATIENCE_S)
        told.append(service.flush())
        told.append(len(service.get_messages(key)))
        append(service, SessionKey(key.app_name, "u", "alarms"), "lost")

    service = make_service(
        "memory://" + key.app_name, on_persist_error=handler, async_persister_num=1
    )
    service.append_messages(key, [HumanMessage("lost")])
    wait_for_letters(service)
    append(service, key, *range(50))
    is_full.set()
    wait_until(lambda: len(told) == 2)
    assert told == [False, 0]
    assert not service.flush(PATIENCE_S)
    assert len(service.get_messages(key)) == 50
    assert len(service.get_messages(SessionKey(key.app_name, "u", "alarms"))) == 1
    service.close()


def test_loops_that_end_while_a_task_waits(redis_server: RedisServer, key: SessionKey) -> None:
    with CuttingProxy(redis_server.port) as proxy:
        service = make_service(proxy.url, persist_queue_size=1, async_persister_num=1)
        append(service, key, 0)
        assert service.flush(PATIENCE_S)
        proxy.stall()
        append(service, key, 1)

        async def main() -> None:
            task = asyncio.create_task(service.aappend_messages(key, [HumanMessage("never")]))
            reading = asyncio.create_task(service.aget_messages(key))
            await asyncio.sleep(MOMENT_S)
            assert not task.done()
            assert not reading.done()

        asyncio.run(main())  # cancels both
        loop = asyncio.new_event_loop()
        waiting = loop.create_task(service.aflush())
        loop.run_until_complete(asyncio.sleep(0.01))
        proxy.resume()
        assert service.flush(PATIENCE_S)
        append(service, key, 2)
        assert service.flush(PATIENCE_S)
        assert loop.run_until_complete(waiting)
        loop.run_until_complete(service.aclose())
        loop.close()
        service.close()
    assert read(redis_server.url, key) == ["0", "1", "2"]


async def test_a_cancelled_append_was_not_accepted(
    redis_server: RedisServer, cutting_proxy: CuttingProxy, key: SessionKey
) -> None:
    service = make_service(cutting_proxy.url, persist_queue_size=3, async_persister_num=1)
    await service.aappend_messages(key, [HumanMessage("first")], create=True)
    assert await service.aflush(PATIENCE_S)
    cutting_proxy.stall()
    accepted: list[str] = []

    async def go_on(number: int) -> None:
        await service.aappend_messages(key, [HumanMessage(str(number))])
        accepted.append(str(number))

    tasks = [asyncio.create_task(go_on(number)) for number in range(30)]
    await asyncio.sleep(0.05)
    cutting_proxy.resume()
    for task in tasks[::2]:
        await asyncio.sleep(0)
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert await service.aflush(PATIENCE_S)
    messages = await service.aget_messages(key)
    await service.aclose()
    assert len(accepted) >= 15
    assert sorted(str(m.content) for m in messages[1:]) == sorted(accepted)


# Garbage collection


@pytest.mark.parametrize("is_in_cycle", [False, True])
def test_a_forgotten_service_writes_what_is_left(
    redis_server: RedisServer, key: SessionKey, is_in_cycle: bool
) -> None:
    service = make_service(redis_server.url)
    append(service, key, *NUMBERS)
    if is_in_cycle:
        service.itself = service  # type: ignore[attr-defined]
    del service
    gc.collect()
    wait_until(lambda: not our_threads())
    assert read(redis_server.url, key) == NUMBERS


def test_a_forgotten_service_is_bounded_where_redis_is_away(key: SessionKey) -> None:
    service = make_service(NOWHERE, persist_close_timeout=0.2)
    append(service, key, 0)
    del service
    gc.collect()
    wait_until(lambda: not our_threads())


def test_a_service_that_its_own_worker_collects(redis_server: RedisServer, key: SessionKey) -> None:
    """The collector runs in whatever thread happens to allocate."""
    begun = threading.Event()

    def handler(letter: DeadLetter) -> None:
        begun.wait(PATIENCE_S)
        gc.collect()

    service = make_service(
        redis_server.url,
        on_persist_error=handler,
        async_persister_num=1,
        persist_close_timeout=10 * PATIENCE_S,  # so long would it wait for itself
    )
    service.itself = service  # type: ignore[attr-defined]
    service.append_messages(key, [HumanMessage("lost")])
    wait_for_letters(service)
    append(service, key, *NUMBERS)
    gc.disable()
    try:
        del service
        begun.set()
        wait_until(lambda: not our_threads())
    finally:
        gc.enable()
    assert read(redis_server.url, key) == NUMBERS


def test_many_services_leave_no_threads(redis_server: RedisServer, key: SessionKey) -> None:
    with redis_server.client() as client:
        before = threading.active_count()
        for number in range(200):
            service = make_service("", client=client)
            append(service, key, number)
            if number % 2:
                service.close()
            del service
        gc.collect()
        wait_until(lambda: threading.active_count() == before)
    assert sorted(map(int, read(redis_server.url, key))) == list(range(200))


def test_several_services_in_one_process(redis_server: RedisServer, key: SessionKey) -> None:
    services = [make_service(redis_server.url, key_prefix=f"{key.app_name}{n}") for n in range(5)]
    for number in range(20):
        for service in services:
            append(service, key, number)
    for service in services:
        assert [m.content for m in service.get_messages(key)] == [str(n) for n in range(20)]
    services[0].close()
    append(services[1], key, "more")
    for service in services:
        service.close()


# The end of the interpreter

PROGRAM = """
import asyncio, json, multiprocessing, os, sys, threading, time
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from langchain_core.messages import HumanMessage
from langchain_redis_session import RedisSessionService, SessionKey
from tests.waits import PATIENCE_S

url, app_name, spool = sys.argv[1:4]
key = SessionKey(app_name, "u", "s")
options = {
    "enable_async_persist": True,
    "persist_spool_dir": spool or None,
    "persist_put_timeout": PATIENCE_S,
    "persist_close_timeout": PATIENCE_S,
    "persist_retry_timeout": None,
}
held = threading.Event()
held.set()

class Client(redis.Redis):
    def execute_command(self, *args, **kwargs):
        raise AssertionError("what is patched is used by its pipelines")

    def pipeline(self, *args, **kwargs):
        if threading.current_thread().name == "redis-session-persister":
            held.wait(PATIENCE_S)
        return super().pipeline(*args, **kwargs)

def append(service, *texts):
    for text in texts:
        service.append_messages(key, [HumanMessage(str(text))], create=True)

async def aappend(service, *texts):
    for text in texts:
        await service.aappend_messages(key, [HumanMessage(str(text))], create=True)

def read():
    with RedisSessionService(url) as service:
        return [m.content for m in service.get_messages(key)]
"""


def run_program(
    body: str, url: str, key: SessionKey, spool: Path | None = None
) -> tuple[list[Any], str]:
    """Run a program to its end; give what it printed, and its errors."""
    arguments = (PROGRAM + textwrap.dedent(body), url, key.app_name, str(spool or ""))
    ended = run_python("-W", "ignore::DeprecationWarning", "-c", *arguments)
    assert ended.returncode == 0, ended.stderr
    return [json.loads(line) for line in ended.stdout.splitlines()], ended.stderr


@pytest.mark.parametrize("way", ["sync", "async"])
def test_the_interpreter_writes_what_is_left_at_its_end(
    redis_server: RedisServer, key: SessionKey, way: str
) -> None:
    body = {
        "sync": "append(service, *range(100))",
        "async": "asyncio.run(aappend(service, *range(100)))",
    }
    _, errors = run_program(
        f"service = RedisSessionService(url, **options)\n{body[way]}", redis_server.url, key
    )
    assert errors == ""
    assert read(redis_server.url, key) == NUMBERS


def test_the_end_of_the_interpreter_is_bounded_where_redis_is_away(
    key: SessionKey, tmp_path: Path, redis_server: RedisServer
) -> None:
    """However many services there are; with a spool, the next start delivers.

    One after the other, their time-outs would add up to more than the program has.
    """
    body = """
    import logging
    logging.basicConfig()
    options |= {"persist_close_timeout": 1.6, "extra_options": {"retry": Retry(NoBackoff(), 0)}}
    options |= {"async_persister_num": 1}
    services = [RedisSessionService("redis://127.0.0.1:1", **options) for _ in range(80)]
    for number, service in enumerate(services):
        append(service, number)
    """
    assert DEADLINE_S < 80 * 1.6
    _, errors = run_program(body, redis_server.url, key, tmp_path)
    assert errors.count("left in the spool") == 80
    with make_service(redis_server.url, persist_spool_dir=tmp_path) as service:
        assert service.flush(PATIENCE_S)
    assert sorted(map(int, read(redis_server.url, key))) == list(range(80))
    _, errors = run_program(body, redis_server.url, key)
    assert errors.count("1 event(s) of a session could not be written") == 80


# Forks


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("has_spool", [False, True], ids=["plain", "spool"])
@pytest.mark.parametrize("exit_", ["os._exit", "sys.exit", "flush"])
def test_a_child_has_a_queue_of_its_own(
    redis_server: RedisServer, key: SessionKey, tmp_path: Path, has_spool: bool, exit_: str
) -> None:
    body = f"""
    exit_ = {exit_!r}
    service = RedisSessionService(client=Client.from_url(url), **options)
    append(service, "before")
    assert service.flush(PATIENCE_S)
    held.clear()
    append(service, "parent 1", "parent 2")   # in the queue at the fork
    child = os.fork()
    if child == 0:
        held.set()
        append(service, "child 1", "child 2")
        figures = service.stats().persist
        if exit_ == "flush":
            assert service.flush(PATIENCE_S)
            figures = service.stats().persist
            print(json.dumps([figures.accepted, figures.written]), flush=True)
        if exit_ == "sys.exit":
            sys.exit(0)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert status == 0
    print(json.dumps(read()), flush=True)
    held.set()
    append(service, "parent 3")
    assert service.flush(PATIENCE_S)
    print(json.dumps(read()), flush=True)
    figures = service.stats().persist
    print(json.dumps([figures.accepted, figures.written]), flush=True)
    """
    lines, errors = run_program(body, redis_server.url, key, tmp_path if has_spool else None)
    assert errors == ""
    *child, at_its_end, at_the_end, figures = lines
    assert figures == [4, 4]
    written = ["child 1", "child 2"]
    if exit_ == "os._exit":  # had no time to write, or had
        assert at_its_end == ["before", *written[: len(at_its_end) - 1]]
    else:
        assert at_its_end == ["before", *written]
        assert child == ([[2, 2]] if exit_ == "flush" else [])
    assert at_the_end == [*at_its_end, "parent 1", "parent 2", "parent 3"]
    if has_spool:
        with make_service(redis_server.url, persist_spool_dir=tmp_path) as service:
            assert service.flush(PATIENCE_S)
        assert sorted(read(redis_server.url, key)) == sorted(
            ["before", *written, "parent 1", "parent 2", "parent 3"]
        )
        assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_does_not_keep_the_spool_of_its_parent(
    redis_server: RedisServer, key: SessionKey, tmp_path: Path
) -> None:
    """The parent is killed while children live: what it left is delivered all the same."""
    body = """
    service = RedisSessionService(client=Client.from_url(url), **options)
    held.clear()
    append(service, "1", "2")
    child = os.fork()
    if child == 0:
        time.sleep(600)
        os._exit(0)
    append(service, "3")
    print(child, flush=True)
    os.kill(os.getpid(), 9)
    """
    arguments = (PROGRAM + textwrap.dedent(body), redis_server.url, key.app_name, str(tmp_path))
    with start_python("-W", "ignore", "-c", *arguments) as parent:
        assert parent.finish().returncode == -9
        with make_service(redis_server.url, persist_spool_dir=tmp_path) as service:
            assert service.flush(PATIENCE_S)
        assert read(redis_server.url, key) == ["1", "2", "3"]
        os.kill(int(parent.stdout), 0)  # the child still lives


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_processes_of_multiprocessing_write_what_is_left(
    redis_server: RedisServer, key: SessionKey
) -> None:
    """They end without atexit, and yet write what is left; while parents fork under load."""
    body = """
    service = RedisSessionService(url, **options)

    def work(number):
        append(service, *(f"{number}:{part}" for part in range(20)))

    if __name__ == "__main__":
        stop = threading.Event()
        accepted = []

        def go_on():
            while not stop.is_set():
                append(service, f"parent:{len(accepted)}")
                accepted.append(len(accepted))
                time.sleep(0.001)

        thread = threading.Thread(target=go_on)
        thread.start()
        context = multiprocessing.get_context("fork")
        processes = [context.Process(target=work, args=(number,)) for number in range(8)]
        for process in processes:
            process.start()
        for process in processes:
            process.join(PATIENCE_S)
            assert process.exitcode == 0
        stop.set()
        thread.join(PATIENCE_S)
        assert service.flush(PATIENCE_S)
        print(len(accepted), flush=True)
    """
    lines, errors = run_program(body, redis_server.url, key)
    assert errors == ""
    texts = read(redis_server.url, key)
    expected = {str(number): [f"{number}:{part}" for part in range(20)] for number in range(8)}
    expected["parent"] = [f"parent:{number}" for number in range(lines[0])]
    for writer, own in expected.items():
        assert [text for text in texts if text.startswith(f"{writer}:")] == own


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_forks_while_the_spool_is_busy(
    redis_server: RedisServer, key: SessionKey, tmp_path: Path
) -> None:
    """A child must not find SQLite's locks taken by threads that it does not have."""
    body = """
    service = RedisSessionService(url, session_event_limit=None, **options)
    other = RedisSessionService(url, session_event_limit=None, **options)
    closed = RedisSessionService(url, **options)
    closed.close()
    stop = threading.Event()
    counts = [0, 0]

    def go_on(place, service):
        while not stop.is_set():
            append(service, f"{place}:{counts[place]}")
            counts[place] += 1
            time.sleep(0.0005)

    threads = [threading.Thread(target=go_on, args=a) for a in enumerate([service, other])]
    for thread in threads:
        thread.start()
    for fork in range(20):
        child = os.fork()
        if child == 0:
            append(service, f"child:{fork}")
            ok = service.flush(PATIENCE_S)
            os._exit(0 if ok else 1)
        _, status = os.waitpid(child, 0)
        assert status == 0
    stop.set()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert service.flush(PATIENCE_S) and other.flush(PATIENCE_S)
    print(json.dumps(counts), flush=True)
    """
    lines, errors = run_program(body, redis_server.url, key, tmp_path)
    assert errors == ""
    with make_service(redis_server.url, persist_spool_dir=tmp_path) as service:
        assert service.flush(PATIENCE_S)
    with RedisSessionService(redis_server.url, session_event_limit=None) as reader:
        texts = [str(message.content) for message in reader.get_messages(key)]
    assert [text for text in texts if text.startswith("child")] == [f"child:{n}" for n in range(20)]
    for place, count in enumerate(lines[0]):
        own = [text for text in texts if text.startswith(f"{place}:")]
        assert own == [f"{place}:{number}" for number in range(count)]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_waits_for_calls_of_sqlite(key: SessionKey, tmp_path: Path) -> None:
    body = """
    from langchain_redis_session._background.spool import Spool

    inside, add = threading.Event(), Spool.add

    def add_slowly(self, *args):
        inside.set()
        time.sleep(0.3)
        try:
            return add(self, *args)
        finally:
            inside.clear()

    Spool.add = add_slowly
    service = RedisSessionService("memory://", **options)
    thread = threading.Thread(target=append, args=(service, "1"))
    thread.start()
    inside.wait(PATIENCE_S)
    child = os.fork()
    if child == 0:
        os._exit(inside.is_set())
    assert os.waitpid(child, 0)[1] == 0
    thread.join(PATIENCE_S)
    """
    _, errors = run_program(body, "", key, tmp_path)
    assert errors == ""


def test_a_late_answer_leaves_no_connection_open(
    cutting_proxy: CuttingProxy, redis_server: RedisServer, key: SessionKey
) -> None:
    """Of a worker that Redis answers only after the service was closed."""
    name = f"late-{uuid4().hex[:8]}"
    service = make_service(f"{cutting_proxy.url}?client_name={name}", persist_close_timeout=0.1)
    service.append_messages(key, [HumanMessage("0")], create=True)
    assert service.flush(PATIENCE_S)
    cutting_proxy.stall()
    service.append_messages(key, [HumanMessage("late")])
    time.sleep(MOMENT_S)
    service.close()
    cutting_proxy.resume()
    wait_until(lambda: not our_threads())
    with redis_server.client() as client:
        wait_until(lambda: name not in {found["name"] for found in client.client_list()})
