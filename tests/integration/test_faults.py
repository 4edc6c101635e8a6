"""What an append acknowledged is there afterwards, once, in order, whatever breaks."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest
import redis
from langchain_core.messages import HumanMessage
from redis.backoff import NoBackoff
from redis.retry import Retry

from langchain_redis_session import BackendUnavailableError, Event, RedisSessionService, SessionKey
from tests.proxy import CuttingProxy
from tests.servers import RedisServer
from tests.waits import PATIENCE_S, wait_until


@pytest.fixture
def key() -> SessionKey:
    return SessionKey(f"app-{uuid4().hex}", "u", "s")


def read_texts(url: str, key: SessionKey) -> list[str]:
    with RedisSessionService(url) as service:
        texts = [str(message.content) for message in service.get_messages(key)]
        service.delete_session(key)
    return texts


@pytest.mark.parametrize("reply_bytes", [-1, 0, 1, 7, 20])
@pytest.mark.parametrize("mode", ["sync", "client", "async"])
def test_a_connection_cut_around_the_reply(
    redis_server: RedisServer,
    cutting_proxy: CuttingProxy,
    key: SessionKey,
    mode: str,
    reply_bytes: int,
) -> None:
    """-1: the request is lost; else the server has done it, and the reply is lost."""

    def cut() -> None:
        if reply_bytes < 0:
            cutting_proxy.cut_before(b"EVALSHA")
        else:
            cutting_proxy.cut_after(reply_bytes, match=b"EVALSHA")

    def messages(start: int) -> list[HumanMessage]:
        return [HumanMessage(str(number)) for number in range(start, start + 3)]

    if mode != "async":
        where: dict[str, Any] = {"redis_url": cutting_proxy.url}
        if mode == "client":
            retries = {"retry": Retry(NoBackoff(), 2), "retry_on_error": [redis.ConnectionError]}
            where = {"client": redis.Redis.from_url(cutting_proxy.url, **retries)}
        with RedisSessionService(**where) as service:
            service.append_messages(key, messages(0), create=True)
            cut()
            service.append_messages(key, messages(3), state_delta={"n": 1})
            cut()
            service.update_session_state(key, {"m": 2})
            service.append_messages(key, messages(6))
        if mode == "client":
            where["client"].close()
    else:

        async def body() -> None:
            async with RedisSessionService(cutting_proxy.url) as service:
                await service.aappend_messages(key, messages(0), create=True)
                cut()
                await service.aappend_messages(key, messages(3), state_delta={"n": 1})
                cut()
                await service.aupdate_session_state(key, {"m": 2})
                await service.aappend_messages(key, messages(6))

        asyncio.run(body())
    assert cutting_proxy.cuts == 2
    with RedisSessionService(redis_server.url) as service:
        session = service.get_session(key)
    assert session is not None
    assert session.state == {"n": 1, "m": 2}
    assert read_texts(redis_server.url, key) == [str(number) for number in range(9)]


@pytest.mark.parametrize("reply_bytes", [-1, 0, 7])
@pytest.mark.parametrize("mode", ["sync", "async"])
def test_a_trim_whose_reply_is_lost_takes_no_second_conversation(
    redis_server: RedisServer,
    cutting_proxy: CuttingProxy,
    key: SessionKey,
    mode: str,
    reply_bytes: int,
) -> None:
    """Nor does a removal of single events count less than went."""

    def cut() -> None:
        if reply_bytes < 0:
            cutting_proxy.cut_before(b"trimmed:")
        else:
            cutting_proxy.cut_after(reply_bytes, match=b"trimmed:")

    with RedisSessionService(redis_server.url) as service:
        service.append_messages(
            key, [HumanMessage(str(number)) for number in range(5)], create=True
        )
        ids = [event.id for event in service.get_events(key)]
    removed: list[list[Event]] = []
    counts: list[int] = []
    if mode == "sync":
        with RedisSessionService(cutting_proxy.url) as service:
            for _ in range(2):
                cut()
                removed.append(service.trim_conversations(key))
            cut()
            counts.append(service.remove_events(key, ids[1:]))
    else:

        async def body() -> None:
            async with RedisSessionService(cutting_proxy.url) as service:
                for _ in range(2):
                    cut()
                    removed.append(await service.atrim_conversations(key))
                cut()
                counts.append(await service.aremove_events(key, ids[1:]))

        asyncio.run(body())
    assert cutting_proxy.cuts == 3
    assert [[str(e.message.content) for e in turn if e.message] for turn in removed] == [
        ["4"],
        ["3"],
    ]
    assert counts == [2]
    assert read_texts(redis_server.url, key) == ["0"]


def test_a_stalled_server_is_asked_again_and_writes_once(
    redis_server: RedisServer, cutting_proxy: CuttingProxy, key: SessionKey
) -> None:
    options = {"socket_timeout": 0.1}
    event = Event(HumanMessage("1"), state_delta={"n": 1})
    with (
        RedisSessionService(redis_server.url) as service,
        RedisSessionService(cutting_proxy.url, extra_options=options) as hasty,
    ):
        service.append_messages(key, [HumanMessage("0")], create=True)
        cutting_proxy.stall()
        # The client asks again by itself; where it gives up, the caller does, with one event.
        with pytest.raises(BackendUnavailableError):
            hasty.append_event(key, event)
        cutting_proxy.resume()

        def is_appended() -> bool:
            try:
                return hasty.append_event(key, event) is not None
            except BackendUnavailableError:
                return False

        wait_until(is_appended)
        service.append_messages(key, [HumanMessage("2")])
    assert read_texts(redis_server.url, key) == ["0", "1", "2"]


def test_a_server_that_is_away_is_an_error_and_the_event_can_be_sent_again(
    redis_server: RedisServer, cutting_proxy: CuttingProxy, key: SessionKey
) -> None:
    with RedisSessionService(cutting_proxy.url) as service:
        service.create_session(key.app_name, key.user_id, key.session_id)
        events = [Event(HumanMessage(str(number))) for number in range(3)]
        cutting_proxy.cut_after(0, match=b"EVALSHA", times=50)
        with pytest.raises(BackendUnavailableError, match="check that the server runs") as caught:
            service.append_events(key, events)
        assert caught.value.__cause__ is not None
        cutting_proxy.forget()
        cutting_proxy.refuse()
        with pytest.raises(BackendUnavailableError):
            service.append_events(key, events)
        cutting_proxy.accept()
        # The first try had gone through: nothing is written twice.
        assert service.append_events(key, events).written == 0
    assert read_texts(redis_server.url, key) == ["0", "1", "2"]


def test_a_killed_server_has_every_acknowledged_event_once(
    make_redis_server: Callable[..., RedisServer], key: SessionKey
) -> None:
    """With appendfsync always. Callers re-send what was not acknowledged."""
    server = make_redis_server(["--appendonly", "yes", "--appendfsync", "always"])
    service = RedisSessionService(server.url, session_event_limit=None)
    service.create_session(key.app_name, key.user_id, key.session_id)
    stop = threading.Event()
    acknowledged: dict[int, list[str]] = {writer: [] for writer in range(6)}

    def go_on(count: int) -> None:
        enough = sum(map(len, acknowledged.values())) + count
        wait_until(lambda: sum(map(len, acknowledged.values())) >= enough)

    def append(writer: int) -> None:
        number = 0
        while not stop.is_set() or number < 50:
            event = Event(HumanMessage(f"{writer}:{number}"))
            while True:
                try:
                    service.append_event(key, event)
                    break
                except BackendUnavailableError:
                    time.sleep(0.02)
            acknowledged[writer].append(f"{writer}:{number}")
            number += 1

    with ThreadPoolExecutor(6) as pool:
        futures = [pool.submit(append, writer) for writer in range(6)]
        for _ in range(2):
            go_on(100)
            server.kill()
            time.sleep(0.1)
            server.restart()
        go_on(100)
        stop.set()
        for future in futures:
            future.result(PATIENCE_S)
    service.close()
    texts = read_texts(server.url, key)
    for writer in range(6):
        own = [text for text in texts if text.startswith(f"{writer}:")]
        assert own == acknowledged[writer]
        assert len(own) >= 50


def test_a_server_out_of_memory_changes_nothing(
    make_redis_server: Callable[..., RedisServer], key: SessionKey
) -> None:
    server = make_redis_server(["--maxmemory-policy", "noeviction"])
    with RedisSessionService(server.url) as service, server.client() as client:
        service.append_messages(key, [HumanMessage("0")], state_delta={"n": 0}, create=True)
        client.config_set("maxmemory", 1)
        with pytest.raises(BackendUnavailableError, match=r"(?i)oom|out ?of ?memory"):
            service.append_messages(
                key, [HumanMessage("1")], state_delta={"n": 1, "user:n": 1, "app:n": 1}
            )
        with pytest.raises(BackendUnavailableError, match=r"(?i)oom|out ?of ?memory"):
            service.update_user_state(key.app_name, key.user_id, {"a": 1})
        client.config_set("maxmemory", 0)
        session = service.get_session(key)
        assert session is not None
        assert session.state == {"n": 0}
        assert [message.content for message in session.messages] == ["0"]


def test_a_read_only_replica_refuses_clearly(
    make_redis_server: Callable[..., RedisServer], key: SessionKey
) -> None:
    """Also where it would have nothing to write: what it has may be behind, or be thrown away."""
    server = make_redis_server()
    stored, track = Event(HumanMessage("0")), "t"
    with RedisSessionService(server.url) as service, server.client() as client:
        service.create_session(key.app_name, key.user_id, key.session_id)
        service.append_event(key, stored)
        client.execute_command("REPLICAOF", "127.0.0.1", 1)  # nobody is there: the data stay
        missing = SessionKey(key.app_name, key.user_id, "missing")
        for write in (
            lambda: service.append_messages(key, [HumanMessage("1")]),
            lambda: service.append_event(key, stored),
            lambda: service.append_event(missing, Event(HumanMessage("1"))),
            lambda: service.append_track_event(missing, track, 1),
            lambda: service.create_session(key.app_name, key.user_id, key.session_id),
        ):
            with pytest.raises(BackendUnavailableError, match=r"(?i)read ?only"):
                write()
        assert [message.content for message in service.get_messages(key)] == ["0"]


def test_a_script_cache_that_was_flushed_is_filled_again(
    make_redis_server: Callable[..., RedisServer], key: SessionKey
) -> None:
    server = make_redis_server()
    with RedisSessionService(server.url, refresh_ttl_on_read=True) as service:
        service.append_messages(key, [HumanMessage("0")], create=True)
        with server.client() as client:
            client.script_flush()
        service.append_messages(key, [HumanMessage("1")])
        with server.client() as client:
            client.script_flush()
        assert len(service.get_messages(key)) == 2  # a batch of two scripts
