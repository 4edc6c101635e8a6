"""A server that refuses, is busy, goes silent or slow: a clear error, and all is well after."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
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


@contextmanager
def busy(server: RedisServer) -> Iterator[None]:
    with server.client() as client, ThreadPoolExecutor(1) as pool:
        client.config_set("lua-time-limit", 1)
        future = pool.submit(run_endlessly, server)
        try:
            wait_until(lambda: not answers(client))
            yield
        finally:
            client.script_kill()
            assert future.result(PATIENCE_S)


def run_endlessly(server: RedisServer) -> bool:
    with server.client() as client:
        try:
            client.eval("while true do end", 0)
        except redis.ResponseError:
            return True
        return False


def answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False


@contextmanager
def without_a_disk(server: RedisServer) -> Iterator[None]:
    with server.client() as client:
        client.config_set("save", "3600 1")
        (server.directory / "broken.rdb").mkdir()
        client.bgsave()
        wait_until(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err")
        yield
        client.config_set("stop-writes-on-bgsave-error", "no")


@contextmanager
def full_of_clients(server: RedisServer) -> Iterator[None]:
    with server.client() as client:
        client.ping()
        client.config_set("maxclients", 1)
        client.client_kill_filter(_type="normal", skipme=True)
        yield
        client.config_set("maxclients", 1000)


@contextmanager
def loading(server: RedisServer) -> Iterator[None]:
    with server.client() as client:
        for number in range(25):  # each is so long that it lets the server answer
            client.set(f"filler:{number}", os.urandom(2_200_000))
        client.save()
        server.kill()
        server.args += ["--key-load-delay", "200000"]  # microseconds
        server.spawn()
        wait_until(lambda: is_loading(client))
        yield
        server.kill()
        del server.args[-2:]
        server.spawn()


def is_loading(client: redis.Redis) -> bool:
    try:
        client.get("filler:0")
    except redis.BusyLoadingError:
        return True
    except redis.ConnectionError:
        pass
    return False


TROUBLES = {
    "LOADING": (loading, "(?i)loading", []),
    "BUSY": (busy, "BUSY", []),
    "MISCONF": (without_a_disk, "MISCONF", ["--dbfilename", "broken.rdb"]),
    "maxclients": (full_of_clients, "(?i)max number of clients|closed by server", []),
}


@pytest.mark.parametrize(("trouble", "code", "args"), TROUBLES.values(), ids=TROUBLES)
async def test_a_refusal_names_its_cause_and_the_same_event_can_be_sent_again(
    make_redis_server: Callable[..., RedisServer],
    key: SessionKey,
    trouble: Callable[[RedisServer], AbstractContextManager[None]],
    code: str,
    args: list[str],
) -> None:
    server = make_redis_server(args)
    # Once more: the first try may find that its connection was closed.
    options: Any = {"retry": Retry(NoBackoff(), 1)}
    async with RedisSessionService(server.url, extra_options=options) as service:
        service.append_messages(key, [HumanMessage("0")], state_delta={"n": 0}, create=True)
        assert len(await service.aget_messages(key)) == 1
        events = [Event(HumanMessage(text), state_delta={"n": text}) for text in "12"]
        with trouble(server):
            with pytest.raises(BackendUnavailableError, match=code):
                service.append_event(key, events[0])
            with pytest.raises(BackendUnavailableError, match=code):
                await service.aappend_event(key, events[1])

        def is_well() -> bool:
            try:
                return service.ping()
            except BackendUnavailableError:
                return False

        wait_until(is_well)
        session = service.get_session(key)
        assert session is not None
        assert (session.state, len(session.events)) == ({"n": 0}, 1)
        service.append_event(key, events[0])
        await service.aappend_event(key, events[1])
        assert [message.content for message in service.get_messages(key)] == [*"012"]


@pytest.mark.parametrize("mode", ["sync", "async"])
async def test_a_connection_that_has_gone_silent_is_replaced_and_nothing_is_doubled(
    redis_server: RedisServer, cutting_proxy: CuttingProxy, key: SessionKey, mode: str
) -> None:
    options = {"socket_timeout": 0.2}
    async with RedisSessionService(cutting_proxy.url, extra_options=options) as service:
        service.create_session(key.app_name, key.user_id, key.session_id)
        for text in "01":
            event = Event(HumanMessage(text))
            for _ in range(10):
                try:
                    if mode == "sync":
                        service.append_events(key, [event])
                    else:
                        await service.aappend_events(key, [event])
                    break
                except BackendUnavailableError:
                    continue
            cutting_proxy.silence()
    with RedisSessionService(redis_server.url) as reader:
        assert [message.content for message in reader.get_messages(key)] == [*"01"]


async def test_replies_that_come_a_byte_at_a_time_are_read_whole(
    cutting_proxy: CuttingProxy, key: SessionKey
) -> None:
    cutting_proxy.drip()
    async with RedisSessionService(cutting_proxy.url) as service:
        await service.aappend_messages(key, [HumanMessage("é" * 2000)], create=True)
        (message,) = service.get_messages(key)
        assert [message] == await service.aget_messages(key)
        assert message.content == "é" * 2000
