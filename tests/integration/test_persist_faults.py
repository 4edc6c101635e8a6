"""Write-behind while Redis fails: what was accepted is there afterwards, once, in order."""

from __future__ import annotations

import asyncio
import os
import random
import re
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis
from langchain_core.messages import HumanMessage
from redis.backoff import NoBackoff
from redis.retry import Retry

from langchain_redis_session import (
    BackendUnavailableError,
    DeadLetter,
    Event,
    EventTooLargeError,
    PersistError,
    RedisSessionService,
    SessionKey,
    SessionNotFoundError,
)
from langchain_redis_session._background import delivery, jobs
from tests.integration.persist_load import (
    Load,
    check_complete,
    create_all,
    make_keys,
    make_service,
)
from tests.proxy import CuttingProxy
from tests.servers import HOST, RedisServer
from tests.waits import MOMENT_S, PATIENCE_S, still_waits, wait_until

IMPATIENT = {"socket_timeout": 0.3, "socket_connect_timeout": 0.3}


@pytest.fixture(scope="module")
def server(redis_binary: Any) -> Iterator[RedisServer]:
    """A server of this module's own, to pause and misconfigure; each test leaves it healthy."""
    with RedisServer(redis_binary) as server:
        yield server


@pytest.fixture
def key() -> SessionKey:
    return make_keys(1)[0]


def texts_of(service: RedisSessionService, key: SessionKey) -> list[str]:
    return [str(message.content) for message in service.get_messages(key)]


def append_texts(service: RedisSessionService, key: SessionKey, texts: Sequence[str]) -> None:
    for text in texts:
        service.append_event(key, Event(HumanMessage(text)))


def persist_stats(service: RedisSessionService) -> Any:
    return service.stats().persist


def retries_more(service: RedisSessionService) -> Callable[[], bool]:
    before: int = persist_stats(service).retried
    return lambda: persist_stats(service).retried > before


def count_calls(client: Any) -> int:
    """Say how many scripts the server has run or refused."""
    stats = client.info("commandstats")
    return sum(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ("eval", "evalsha"))


# Under load


def test_a_server_killed_under_load(make_redis_server: Callable[..., RedisServer]) -> None:
    """With appendfsync always, what Redis acknowledged survives it; the rest is sent again."""
    server = make_redis_server(["--appendonly", "yes", "--appendfsync", "always"])
    keys = make_keys(12)
    with make_service(server.url) as service:
        create_all(service, keys)
        load = Load(service, keys)
        with load.running():
            for _ in range(2):
                load.go_on(200)
                is_noticed = retries_more(service)
                server.kill()
                wait_until(is_noticed)
                server.start()
            load.go_on(100)
        assert service.flush(PATIENCE_S)
        stats = persist_stats(service)
        assert stats.retried > 0
        assert stats.written == stats.accepted == load.count
    with RedisSessionService(server.url) as reader:
        check_complete(load, reader)


def test_a_server_paused_under_load(make_redis_server: Callable[..., RedisServer]) -> None:
    """For long: the clients' time-outs pass many times, and what they sent again comes late."""
    server = make_redis_server()
    keys = make_keys(12)
    with make_service(server.url, extra_options=IMPATIENT) as service:
        create_all(service, keys)
        load = Load(service, keys)
        with load.running():
            load.go_on(100)
            server.pause()
            wait_until(lambda: persist_stats(service).retried > 5)
            assert max(persist_stats(service).queue_depths) > 0
            server.resume()
            load.go_on(100)
        assert service.flush(PATIENCE_S)
        assert persist_stats(service).retried > 0
    with RedisSessionService(server.url) as reader, server.client() as client:
        check_complete(load, reader)
        # Each was sent more often than it was confirmed.
        assert count_calls(client) > persist_stats(service).batches


def make_impatient_client(proxy: CuttingProxy) -> redis.Redis:
    """One that never tries again, not even where a connection was lost while it lay unused."""
    return redis.Redis.from_url(proxy.url, retry=Retry(NoBackoff(), 0))


def test_connections_cut_in_the_middle_of_replies_under_load(
    server: RedisServer, make_cutting_proxy: Callable[[int], CuttingProxy]
) -> None:
    proxy = make_cutting_proxy(server.port)
    keys = make_keys(12)
    positions = random.Random(1)
    # The client does not try again by itself, so each cut reaches the workers.
    with make_impatient_client(proxy) as client, make_service(client=client) as service:
        create_all(service, keys)
        load = Load(service, keys)
        with load.running():
            while proxy.cuts < 80:
                if positions.random() < 0.5:
                    proxy.cut_after(positions.randrange(300), match=b"EVALSHA")
                else:
                    proxy.cut_before(b"EVALSHA")
                time.sleep(0.015)
                if positions.random() < 0.05:
                    proxy.cut_now()
            proxy.forget()
        assert service.flush(PATIENCE_S)
        assert persist_stats(service).retried > 20
    with RedisSessionService(server.url) as reader:
        check_complete(load, reader)


def test_nothing_overtakes_what_is_tried_again(
    server: RedisServer, make_cutting_proxy: Callable[[int], CuttingProxy], key: SessionKey
) -> None:
    proxy = make_cutting_proxy(server.port)
    with make_impatient_client(proxy) as client, make_service(client=client) as service:
        create_all(service, [key])
        for _ in range(3):
            proxy.stall()
            append_texts(service, key, ["first"])  # in flight alone, the rest piles up
            time.sleep(MOMENT_S)
            proxy.cut_before(b"needle")
            append_texts(service, key, ["needle"])
            service.append_track_event(key, "t", 1)  # goes in a call of its own
            append_texts(service, key, ["last"])
            proxy.resume()
            assert service.flush(PATIENCE_S)
        assert persist_stats(service).retried == proxy.cuts == 3
        assert texts_of(service, key) == ["first", "needle", "last"] * 3


def test_a_server_that_loads_its_data_under_load(
    make_redis_server: Callable[..., RedisServer],
) -> None:
    server = make_redis_server(["--appendonly", "yes", "--appendfsync", "always"])
    with server.client() as client:
        for number in range(100):
            client.set(f"filler:{number}", os.urandom(200_000))
        client.bgrewriteaof()
        wait_until(lambda: not client.info("persistence")["aof_rewrite_in_progress"])
    keys = make_keys(6)
    # It answers only now and then while it loads, so a client that tries again sees nothing.
    options = {"retry": Retry(NoBackoff(), 0)}
    with make_service(server.url, extra_options=options) as service:
        create_all(service, keys)
        load = Load(service, keys, threads=2, tasks=2)
        with load.running():
            load.go_on(50)
            server.kill()
            server.args += ["--key-load-delay", "20000"]  # microseconds
            server.spawn()
            wait_until(lambda: "loading" in persist_stats(service).last_error)
            server.wait_until_ready()
        assert service.flush(PATIENCE_S)
    with RedisSessionService(server.url) as reader:
        check_complete(load, reader)


def make_read_only(client: Any) -> None:
    client.execute_command("REPLICAOF", HOST, 1)  # nobody is there: the data stay


def make_writable(client: Any) -> None:
    client.execute_command("REPLICAOF", "NO", "ONE")


def fill_memory(client: Any) -> None:
    client.config_set("maxmemory", 1)


def free_memory(client: Any) -> None:
    client.config_set("maxmemory", 0)


REFUSALS = pytest.mark.parametrize(
    ("refuse", "accept", "code"),
    [
        # Redis 6 names its code in a script's error, from Redis 7 on redis-py takes it away.
        pytest.param(make_read_only, make_writable, "READONLY|ReadOnly", id="read-only"),
        pytest.param(fill_memory, free_memory, "OOM|OutOfMemory", id="out-of-memory"),
    ],
)


@REFUSALS
def test_a_server_that_refuses_writes_for_a_while(
    server: RedisServer,
    refuse: Callable[[Any], None],
    accept: Callable[[Any], None],
    code: str,
) -> None:
    keys = make_keys(6)
    with make_service(server.url) as service, server.client() as client:
        create_all(service, keys)
        load = Load(service, keys, threads=2, tasks=2)
        with load.running():
            load.go_on(50)
            refuse(client)
            try:
                wait_until(lambda: persist_stats(service).retried > 3)
            finally:
                accept(client)
            load.go_on(50)
        assert re.search(code, persist_stats(service).last_error)
        assert service.flush(PATIENCE_S)
        assert service.dead_letters() == []
        check_complete(load, service)


# Dead letters


@REFUSALS
def test_what_was_given_up_is_written_after_recovery(
    server: RedisServer,
    refuse: Callable[[Any], None],
    accept: Callable[[Any], None],
    code: str,
) -> None:
    keys = make_keys(3)
    letters: list[DeadLetter] = []
    options: Any = {"persist_retry_timeout": 0.3, "on_persist_error": letters.append}
    with make_service(server.url, **options) as service, server.client() as client:
        create_all(service, keys)
        refuse(client)
        try:
            for key in keys:
                append_texts(service, key, "abc")
                service.append_track_event(key, "t", "payload")
            assert not service.flush(PATIENCE_S)
        finally:
            accept(client)
        wait_until(lambda: len(letters) == 12)  # they are told outside of the lock
        assert sorted(map(id, service.dead_letters())) == sorted(map(id, letters))
        assert all(isinstance(letter.error, BackendUnavailableError) for letter in letters)
        assert all(re.search(code, str(letter.error)) for letter in letters)
        for key in keys:
            given_up = [event for letter in letters if letter.key == key for event in letter.events]
            messages = [event.message for event in given_up if isinstance(event, Event)]
            assert [message and message.content for message in messages] == [*"abc"]
        append_texts(service, keys[0], "d")
        assert service.retry_dead_letters() == 12
        assert service.flush(PATIENCE_S)
        first, *others = (texts_of(service, key) for key in keys)
        assert sorted(first) == [*"abcd"]
        # "d" may have been written before.
        assert [[text for text in first if text != "d"], *others] == [[*"abc"]] * 3
        assert all(len(service.get_track_events(key, "t")) == 1 for key in keys)
        assert service.retry_dead_letters() == 0


def test_what_is_tried_again_comes_before_what_waits(
    server: RedisServer, make_cutting_proxy: Callable[[int], CuttingProxy], key: SessionKey
) -> None:
    proxy = make_cutting_proxy(server.port)
    with (
        make_service(proxy.url, extra_options={"retry": Retry(NoBackoff(), 0)}) as service,
        RedisSessionService(server.url) as other,
    ):
        append_texts(service, key, "abc")  # given up: there is no session
        wait_until(lambda: len(service.dead_letters()) == 3)
        proxy.refuse()
        append_texts(service, key, "de")
        assert service.retry_dead_letters() == 3
        append_texts(service, key, "f")
        create_all(other, [key])
        proxy.accept()
        assert service.flush(PATIENCE_S)
        assert texts_of(service, key) == [*"abcdef"]


def test_what_was_given_up_though_redis_has_it_is_not_doubled(
    server: RedisServer, make_cutting_proxy: Callable[[int], CuttingProxy], key: SessionKey
) -> None:
    """Also where the session is at its limit, and only a later one had been written."""
    proxy = make_cutting_proxy(server.port)
    options: Any = {
        "extra_options": {"retry": Retry(NoBackoff(), 0)},
        "persist_retry_timeout": 0.2,
        "session_event_limit": 4,
    }
    with make_service(proxy.url, **options) as service:
        create_all(service, [key])
        append_texts(service, key, "0123")
        assert service.flush(PATIENCE_S)
        proxy.refuse()
        append_texts(service, key, "a")
        wait_until(lambda: len(service.dead_letters()) == 1)
        proxy.accept()
        assert service.ping()
        proxy.cut_after(0, match=b"EVALSHA", times=10**6)
        append_texts(service, key, "b")  # is written, and nobody hears of it
        wait_until(lambda: len(service.dead_letters()) == 2)
        with RedisSessionService(server.url) as reader:
            assert texts_of(reader, key) == [*"123b"]
        proxy.forget()
        assert service.retry_dead_letters() == 2
        assert service.flush(PATIENCE_S)
        assert texts_of(service, key) == [*"23ba"]


# Poison


def test_poison_holds_up_nobody_else(server: RedisServer, key: SessionKey) -> None:
    """One worker, one batch: only what can't be written becomes dead letters."""
    missing, wrong, *others = make_keys(5)
    letters: list[DeadLetter] = []
    options: Any = {"async_persister_num": 1, "on_persist_error": letters.append}
    with make_service(server.url, **options) as service, server.client() as client:
        create_all(service, [wrong, key, *others])
        app, user = key.app_name, key.user_id
        client.set(f"event:{{{wrong.app_name}}}:{wrong.user_id}:{wrong.session_id}", "no set")
        client.set(f"userstate:{{{app}}}:{user}", "no hash")
        client.set(f"track:{{{app}}}:{user}:{key.session_id}:bad", "no set")
        server.pause()
        try:
            append_texts(service, others[0], "first")  # in flight alone, the rest piles up
            time.sleep(MOMENT_S)
            for number in range(5):
                for good in others:
                    append_texts(service, good, [str(number)])
                append_texts(service, missing, [str(number)])
                append_texts(service, wrong, [str(number)])
                append_texts(service, key, [str(number)])
                if number == 2:
                    bad = Event(HumanMessage("poison"), state_delta={"user:a": 1, "b": 1})
                    service.append_event(key, bad)
                    service.append_track_event(key, "bad", 1)
                service.append_track_event(key, "good", number)
        finally:
            server.resume()
        with pytest.raises(EventTooLargeError):
            service.append_event(key, Event(HumanMessage("x" * 9_000_000)))
        assert not service.flush(PATIENCE_S)
        for good in others:
            assert texts_of(service, good)[-5:] == [*"01234"]
        assert texts_of(service, key) == [*"01234"]
        assert [e.payload for e in service.get_track_events(key, "good")] == [0, 1, 2, 3, 4]
        dead: dict[SessionKey, list[DeadLetter]] = {}
        for letter in letters:
            dead.setdefault(letter.key, []).append(letter)
        assert {k: len(v) for k, v in dead.items()} == {missing: 5, wrong: 5, key: 2}
        assert all(isinstance(letter.error, SessionNotFoundError) for letter in dead[missing])
        assert all("WRONGTYPE" in str(letter.error) for letter in (*dead[wrong], *dead[key]))
        assert persist_stats(service).largest_batch_size > 20
        # What was wrong is put right.
        create_all(service, [missing])
        client.delete(f"event:{{{wrong.app_name}}}:{wrong.user_id}:{wrong.session_id}")
        client.delete(f"userstate:{{{app}}}:{user}")
        client.delete(f"track:{{{app}}}:{user}:{key.session_id}:bad")
        assert service.retry_dead_letters() == 12
        assert service.flush(PATIENCE_S)
        assert texts_of(service, missing) == texts_of(service, wrong) == [*"01234"]
        assert texts_of(service, key) == [*"01234", "poison"]


def test_an_unexpected_error_ends_no_worker(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Only the append that it comes from is given up, and a handler may fail too."""

    def write_jobs(context: Any, key: SessionKey, batch: Sequence[Any], most: int) -> Any:
        for job in batch:
            if any(e.message and e.message.content == "bug" for e in job.write.events):
                raise ZeroDivisionError("a bug")
        return (yield from jobs.write_jobs(context, key, batch, most))

    def handler(letter: DeadLetter) -> None:
        raise SystemExit("a handler that fails")

    monkeypatch.setattr(delivery, "write_jobs", write_jobs)
    keys = make_keys(3)
    options: Any = {"async_persister_num": 1, "on_persist_error": handler}
    with make_service(server.url, **options) as service:
        create_all(service, keys)
        server.pause()
        try:
            append_texts(service, keys[2], ["first"])
            time.sleep(MOMENT_S)
            append_texts(service, keys[0], ["a", "bug", "b"])
            append_texts(service, keys[1], "ab")
        finally:
            server.resume()
        assert not service.flush(PATIENCE_S)
        (letter,) = service.dead_letters()
        assert isinstance(letter.error, PersistError)
        assert isinstance(letter.error.__cause__, ZeroDivisionError)
        append_texts(service, keys[0], "c")
        assert texts_of(service, keys[0]) == [*"abc"]
        assert texts_of(service, keys[1]) == [*"ab"]
    assert "a handler of on_persist_error failed" in caplog.text


def test_large_appends_go_in_several_calls(
    make_redis_server: Callable[..., RedisServer], key: SessionKey
) -> None:
    """What has piled up would be more than a server likes to take at once."""
    server = make_redis_server()
    with make_service(server.url) as service, server.client() as client:
        create_all(service, [key])
        before = count_calls(client)
        server.pause()
        try:
            append_texts(service, key, ["first"])
            time.sleep(MOMENT_S)
            append_texts(service, key, [letter * 1_000_000 for letter in "abcdefghijklmnop"])
        finally:
            server.resume()
        assert service.flush(PATIENCE_S)
        assert count_calls(client) - before >= 1 + 4  # 16 MB in pieces of at most 4 MiB
        assert persist_stats(service).largest_batch_size >= 16
        assert [text[:1] for text in texts_of(service, key)] == [*"fabcdefghijklmnop"]


# Back-pressure and read your writes

NARROW: dict[str, Any] = {"async_persister_num": 1, "persist_queue_size": 3}


def test_a_full_queue_makes_threads_wait(server: RedisServer, key: SessionKey) -> None:
    with make_service(server.url, **NARROW) as service, ThreadPoolExecutor(1) as pool:
        create_all(service, [key])
        server.pause()
        try:
            append_texts(service, key, "012")
            appending = pool.submit(append_texts, service, key, "34567")
            assert still_waits(appending)
        finally:
            server.resume()
        appending.result(PATIENCE_S)
        assert service.flush(PATIENCE_S)
        assert texts_of(service, key) == [*"01234567"]


def test_a_full_queue_blocks_no_event_loop(server: RedisServer, key: SessionKey) -> None:
    async def append(service: RedisSessionService, text: str) -> None:
        await service.aappend_event(key, Event(HumanMessage(text)))

    async def main() -> None:
        async with make_service(server.url, **NARROW) as service:
            await service.acreate_session(key.app_name, key.user_id, key.session_id)
            server.pause()
            for text in "012":
                await append(service, text)
            given_up = asyncio.create_task(append(service, "cancelled"))
            await asyncio.sleep(MOMENT_S)
            given_up.cancel()
            with pytest.raises(asyncio.CancelledError):
                await given_up
            assert not await service.aflush(0.1)
            calls = [*(append(service, text) for text in "345678"), service.aget_messages(key)]
            waiting = [asyncio.ensure_future(call) for call in calls]
            await asyncio.sleep(MOMENT_S)
            assert not any(task.done() for task in waiting)
            server.resume()  # from the loop that they would block
            await asyncio.gather(*waiting)
            messages = await service.aget_messages(key)
            assert sorted(str(message.content) for message in messages) == [*"012345678"]

    try:
        asyncio.run(main())
    finally:
        server.resume()


def test_a_queue_that_stays_full_refuses(server: RedisServer, key: SessionKey) -> None:
    async def append_and_read(service: RedisSessionService) -> None:
        with pytest.raises(PersistError, match="queue was full"):
            await service.aappend_event(key, Event(HumanMessage("x")))
        with pytest.raises(BackendUnavailableError, match="persist_put_timeout"):
            await service.aget_messages(key)

    with make_service(server.url, **{**NARROW, "persist_put_timeout": 0.4}) as service:
        create_all(service, [key])
        server.pause()
        try:
            append_texts(service, key, "012")
            with pytest.raises(PersistError, match=r"queue was full \(3 appends\) for 0.4 s"):
                append_texts(service, key, "x")
            asyncio.run(append_and_read(service))
        finally:
            server.resume()
        assert service.flush(PATIENCE_S)
    with RedisSessionService(server.url) as reader:
        assert texts_of(reader, key) == [*"012"]  # and not what was refused


def test_reads_wait_for_what_was_appended(
    server: RedisServer, make_cutting_proxy: Callable[[int], CuttingProxy], key: SessionKey
) -> None:
    proxy = make_cutting_proxy(server.port)
    with make_service(proxy.url) as service, ThreadPoolExecutor(1) as pool:
        create_all(service, [key])
        app, user = key.app_name, key.user_id
        # A slow server: each read has what was appended before it.
        reads: list[Callable[[], Any]] = [
            lambda: len(texts_of(service, key)),
            lambda: service.get_user_state(app, user)["n"],
            lambda: service.get_app_state(app)["n"],
            lambda: service.list_sessions(app, user)[0].state["n"],
        ]
        for number, read in enumerate(reads, 1):
            delta = {"n": number, "user:n": number, "app:n": number}
            proxy.stall()
            service.append_event(key, Event(HumanMessage("a"), state_delta=delta))
            reading = pool.submit(read)
            assert still_waits(reading)
            proxy.resume()
            assert reading.result(PATIENCE_S) == number


def test_reads_do_not_wait_for_ever(
    server: RedisServer, make_cutting_proxy: Callable[[int], CuttingProxy], key: SessionKey
) -> None:
    proxy = make_cutting_proxy(server.port)
    with make_service(proxy.url, persist_put_timeout=0.3) as service:
        create_all(service, [key])
        app, user = key.app_name, key.user_id
        proxy.stall()
        append_texts(service, key, "b")
        reads: list[Callable[[], Any]] = [
            lambda: texts_of(service, key),
            lambda: service.delete_session(key),
            lambda: service.get_user_state(app, user),
        ]
        for read in reads:
            with pytest.raises(BackendUnavailableError, match="still waiting to be written"):
                read()
        other = make_keys(1)[0]
        proxy.resume()
        assert service.get_session(other) is None
        assert service.flush(PATIENCE_S)
        assert texts_of(service, key) == ["b"]
