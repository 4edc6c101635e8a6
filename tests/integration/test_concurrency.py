"""Many writers on one session, in threads, tasks and processes."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from uuid import uuid4

import pytest
from langchain_core.messages import HumanMessage

from langchain_redis_session import RedisSessionService, SessionKey
from tests.integration.writers import write
from tests.processes import call_in_processes
from tests.servers import RedisServer

WRITERS, MESSAGES = 16, 500


@pytest.fixture
def key() -> SessionKey:
    return SessionKey(f"app-{uuid4().hex}", "u", "s")


@pytest.mark.parametrize("limit", [None, 1000])
def test_processes_lose_and_double_nothing(
    redis_server: RedisServer, key: SessionKey, limit: int | None
) -> None:
    calls = [(redis_server.url, key, limit, writer, MESSAGES) for writer in range(WRITERS)]
    written = sorted(chain.from_iterable(call_in_processes(write, calls)))
    assert len(written) == WRITERS * MESSAGES
    expected = [text for _, text in written][-limit if limit else 0 :]

    with RedisSessionService(redis_server.url) as service:
        read = [message.content for message in service.get_messages(key)]
        service.delete_session(key)

    assert read == expected
    for writer in range(WRITERS):
        numbers = [int(str(t).split(":")[1]) for t in read if str(t).startswith(f"{writer}:")]
        assert numbers == sorted(numbers)
        if limit is None:
            assert numbers == list(range(MESSAGES))


def test_threads_that_change_state_lose_nothing(redis_server: RedisServer, key: SessionKey) -> None:
    with RedisSessionService(redis_server.url) as service:

        def work(writer: int) -> None:
            for number in range(40):
                service.append_messages(
                    key,
                    [HumanMessage(f"{writer}:{number}")],
                    state_delta={f"{writer}:{number}": number, f"user:{writer}": number},
                    create=True,
                )

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(work, range(8)))
        session = service.get_session(key)
        assert session is not None
        assert len(session.events) == 8 * 40
        expected = {f"{w}:{n}": n for w in range(8) for n in range(40)}
        assert session.state == expected | {f"user:{w}": 39 for w in range(8)}
        service.delete_session(key)


async def test_tasks_that_repeat_message_ids_store_each_once(
    redis_server: RedisServer, key: SessionKey
) -> None:
    async with RedisSessionService(redis_server.url) as service:
        messages = [HumanMessage(str(number), id=str(number)) for number in range(20)]

        async def work(start: int) -> int:
            chosen = messages[start:] + messages[:start]
            result = await service.aappend_messages(key, chosen, create=True, once=True)
            return result.written

        written = await asyncio.gather(*(work(start) for start in range(20)))
        read = await service.aget_messages(key)
        await service.adelete_session(key)
    assert sum(written) == 20
    assert sorted(int(str(message.content)) for message in read) == list(range(20))


async def test_many_loops_and_threads_share_one_service(
    redis_server: RedisServer, key: SessionKey
) -> None:
    service = RedisSessionService(redis_server.url)

    async def append(text: str) -> None:
        await service.aappend_messages(key, [HumanMessage(text)], create=True)

    def in_a_loop(number: int) -> None:
        async def body() -> None:
            for part in range(5):
                await append(f"{number}:{part}")

        asyncio.run(body())

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(in_a_loop, range(8)))
    service.append_messages(key, [HumanMessage("sync")])
    assert len(service.get_messages(key)) == 41
    service.delete_session(key)
    service.close()
