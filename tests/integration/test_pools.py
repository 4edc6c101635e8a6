"""Callers wait for a connection; they are not refused for want of one."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote

import pytest
import redis
import redis.asyncio
from langchain_core.messages import HumanMessage

from langchain_redis_session import BackendUnavailableError, RedisSessionService, SessionKey
from tests.servers import HOST, PATIENT, RedisServer
from tests.waits import PATIENCE_S, still_waits

SIZE = 4
PATIENT_URL = f"socket_timeout={PATIENCE_S}&max_connections={SIZE}"
TASKS, THREADS = 1000, 300


@pytest.mark.parametrize("given", ["url", "client"])
def test_threads_wait_for_connections(
    redis_server: RedisServer, key_prefix: str, given: str
) -> None:
    name = quote(key_prefix)
    url = f"{redis_server.url}?{PATIENT_URL}&client_name={name}"
    where: dict[str, Any] = {"redis_url": url}
    client = redis.Redis.from_url(url)
    if given == "client":
        where = {"client": client}
    with RedisSessionService(key_prefix=key_prefix, pool_timeout=PATIENCE_S, **where) as service:
        key = SessionKey("pools", "u", "s")
        service.append_messages(key, [HumanMessage("first")], create=True)
        with ThreadPoolExecutor(THREADS) as pool:
            calls = [
                pool.submit(service.append_messages, key, [HumanMessage(str(number))])
                for number in range(THREADS)
            ]
        assert [call.exception() for call in calls] == [None] * THREADS
        assert service.count_events(key) == THREADS + 1
        assert len(redis_server.list_connections(name)) <= SIZE
    client.close()
    assert len(redis_server.list_connections(name)) == 0


@pytest.mark.parametrize("given", ["url", "client", "blocking"])
async def test_tasks_wait_for_connections(
    redis_server: RedisServer, key_prefix: str, given: str
) -> None:
    name = quote(key_prefix)
    options: dict[str, Any] = {"max_connections": SIZE, "client_name": name, **PATIENT}
    client: Any = None
    pool: Any = None
    if given == "url":
        url = f"{redis_server.url}?{PATIENT_URL}&client_name={name}"
        service = RedisSessionService(url, key_prefix=key_prefix, pool_timeout=PATIENCE_S)
    else:
        kind: Any = redis.asyncio.ConnectionPool
        if given == "blocking":
            kind, options["timeout"] = redis.asyncio.BlockingConnectionPool, PATIENCE_S
        pool = kind(host=HOST, port=redis_server.port, **options)
        client = redis.asyncio.Redis(connection_pool=pool)
        service = RedisSessionService(
            async_client=client, key_prefix=key_prefix, pool_timeout=PATIENCE_S
        )
    key = SessionKey("pools", "u", "s")
    await service.aappend_messages(key, [HumanMessage("first")], create=True)
    appends = (service.aappend_messages(key, [HumanMessage(str(n))]) for n in range(TASKS))
    found = await asyncio.gather(*appends, return_exceptions=True)
    assert [error for error in found if isinstance(error, BaseException)] == []
    assert await service.acount_events(key) == 1000
    assert len(redis_server.list_connections(name)) <= SIZE
    await service.aclose()
    if client is not None:
        await client.aclose()
        await pool.aclose()
    assert len(redis_server.list_connections(name)) == 0


async def test_tasks_leave_few_connections_open(redis_server: RedisServer, key_prefix: str) -> None:
    name = quote(key_prefix)
    url = f"{redis_server.url}?client_name={name}&socket_timeout={PATIENCE_S}"
    service = RedisSessionService(url, key_prefix=key_prefix, pool_timeout=PATIENCE_S)
    key = SessionKey("pools", "u", "s")
    await asyncio.gather(
        *(service.aappend_messages(key, [HumanMessage("x")], create=True) for _ in range(TASKS))
    )
    assert len(redis_server.list_connections(name)) == 1
    found = await asyncio.gather(*(service.aget_messages(key, limit=1) for _ in range(TASKS)))
    assert len(found) == TASKS
    assert len(redis_server.list_connections(name)) == 1
    other = SessionKey("pools", "u", "other")
    found = await asyncio.gather(*(service.aget_messages(other) for _ in range(TASKS)))
    assert found == [[]] * TASKS
    await asyncio.sleep(0)  # connections close in the loop's next turn
    assert 1 < len(redis_server.list_connections(name)) <= 8
    await service.aclose()
    assert len(redis_server.list_connections(name)) == 0


def test_the_error_after_waiting_names_the_pool_and_what_to_do(redis_server: RedisServer) -> None:
    pool = redis.ConnectionPool(host=HOST, port=redis_server.port, max_connections=1)
    client = redis.Redis(connection_pool=pool)
    service = RedisSessionService(client=client, pool_timeout=0.05)
    taken = pool.get_connection()
    with pytest.raises(BackendUnavailableError) as caught:
        service.get_messages(SessionKey("pools", "u", "s"))
    said = str(caught.value)
    for words in (
        "within 0.05 s",
        "all 1 of the pool of Redis",
        "max_connections=",
        "pool_timeout=",
    ):
        assert words in said
    assert "check that the server runs" not in said
    pool.release(taken)
    assert service.get_messages(SessionKey("pools", "u", "s")) == []
    pool.disconnect()


async def test_the_error_after_waiting_in_a_task(redis_server: RedisServer) -> None:
    pool = redis.asyncio.ConnectionPool(host=HOST, port=redis_server.port, max_connections=1)
    client = redis.asyncio.Redis(connection_pool=pool)
    service = RedisSessionService(async_client=client, pool_timeout=0.05)
    taken = await pool.get_connection()
    with pytest.raises(BackendUnavailableError, match=r"within 0\.05 s.*all 1 of the pool"):
        await service.aget_messages(SessionKey("pools", "u", "s"))
    await pool.release(taken)
    assert await service.aget_messages(SessionKey("pools", "u", "s")) == []
    await pool.aclose()


def test_who_has_waited_longest_comes_first(redis_server: RedisServer, key_prefix: str) -> None:
    pool = redis.ConnectionPool(host=HOST, port=redis_server.port, max_connections=1)
    client = redis.Redis(connection_pool=pool)
    service = RedisSessionService(client=client, key_prefix=key_prefix, pool_timeout=PATIENCE_S)
    key = SessionKey("pools", "u", "s")
    service.append_messages(key, [HumanMessage("first")], create=True)
    taken = pool.get_connection()
    with ThreadPoolExecutor(3) as threads:
        calls = []
        for number in range(3):
            calls.append(threads.submit(service.append_messages, key, [HumanMessage(str(number))]))
            assert still_waits(*calls)
        pool.release(taken)
    found = [message.content for message in service.get_messages(key)]
    assert found == ["first", "0", "1", "2"]
    pool.disconnect()
