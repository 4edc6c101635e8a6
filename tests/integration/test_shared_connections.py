"""The tasks of an event loop share one connection, and each gets its own replies."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from itertools import count
from typing import Any

import pytest
import redis
import redis.asyncio
import redis.asyncio.retry
import redis.asyncio.sentinel
from langchain_core.messages import HumanMessage
from redis.backoff import NoBackoff
from redis.retry import Retry

from langchain_redis_session import BackendUnavailableError, RedisSessionService, SessionKey
from langchain_redis_session._connections import shared
from langchain_redis_session._connections.exchanges import open_async_exchanges
from langchain_redis_session._connections.pipelining import PipeliningConnection
from langchain_redis_session._connections.shared import SharedExchanges
from langchain_redis_session._flow.requests import LARGE_BYTES, MANY, Apart, Wait
from tests.proxy import CuttingProxy
from tests.servers import HOST, PATIENT, RedisSentinel, RedisServer
from tests.waits import PATIENCE_S, await_until

TASKS = int(os.environ.get("SHARED_TASKS", "50"))
OPTIONS = {"socket_timeout": PATIENCE_S}
KILLS = int(os.environ.get("SHARED_KILLS", "3"))
ROUNDS = int(os.environ.get("SHARED_ROUNDS", "20"))


@asynccontextmanager
async def open_service(
    server: RedisServer | CuttingProxy, prefix: str, **options: Any
) -> AsyncIterator[RedisSessionService]:
    options = {"client_name": prefix, **OPTIONS, **options}
    async with RedisSessionService(
        server.url, key_prefix=prefix, session_event_limit=None, extra_options=options
    ) as service:
        yield service


def exchanges_of(service: RedisSessionService) -> Any:
    """Those of the running loop, after the first call."""
    return service._connections.running_exchanges()  # noqa: SLF001


def find_shared(exchanges: Any) -> Any:
    """The connection that is shared, after the first exchange."""
    return exchanges._shared  # noqa: SLF001


def find_pool(service: RedisSessionService) -> Any:
    """That of the one async client."""
    return service._connections.any_client().connection_pool  # noqa: SLF001


def key_of(number: int) -> SessionKey:
    return SessionKey("shared", "u", f"s{number}")


async def append(service: RedisSessionService, number: int, text: str) -> None:
    await service.aappend_messages(key_of(number), [HumanMessage(text)], create=True)


async def read(service: RedisSessionService, number: int, limit: int | None = 50) -> list[Any]:
    found = await service.aget_messages(key_of(number), limit=limit)
    return [message.content for message in found]


async def fill(service: RedisSessionService, count: int) -> None:
    await asyncio.gather(*(append(service, number, str(number)) for number in range(count)))


async def test_all_tasks_share_one_connection(redis_server: RedisServer, key_prefix: str) -> None:
    async with open_service(redis_server, key_prefix) as service:
        await fill(service, TASKS)
        found = await asyncio.gather(*(read(service, number) for number in range(TASKS)))
        assert found == [[str(number)] for number in range(TASKS)]
        assert len(redis_server.list_connections(key_prefix)) == 1
    assert redis_server.list_connections(key_prefix) == []


async def test_what_holds_up_others_goes_on_a_connection_of_its_own(
    redis_server: RedisServer, key_prefix: str
) -> None:
    async with open_service(redis_server, key_prefix) as service:
        await service.aping()
        exchanges = exchanges_of(service)
        await exchanges.send(("SET", key_prefix, b"x"))
        await exchanges.send_batch([("GET", key_prefix), ("TTL", key_prefix)])
        assert len(redis_server.list_connections(key_prefix)) == 1
        large: Any = ("SET", key_prefix, bytes(LARGE_BYTES))
        for exchange in (
            partial(exchanges.send, large),
            partial(exchanges.send, Apart(("GET", key_prefix))),
            partial(exchanges.send_batch, [large]),
            partial(exchanges.send_batch, [("DEL", key_prefix), Apart(("GET", key_prefix))]),
            partial(exchanges.send_batch, [("GET", key_prefix), Wait(b"", 0, 1)]),
        ):
            await exchange()
            assert len(redis_server.list_connections(key_prefix)) == 2
            await find_pool(service).disconnect(inuse_connections=False)


async def test_unlimited_reads_go_on_connections_of_their_own(
    redis_server: RedisServer, key_prefix: str
) -> None:
    async with open_service(redis_server, key_prefix) as service:
        await append(service, 0, "x")
        for limit, expected in ((MANY, 1), (None, 2)):
            assert await read(service, 0, limit) == ["x"]
            session = await service.aget_session(key_of(0), limit=limit)
            assert session is not None
            assert len(redis_server.list_connections(key_prefix)) == expected


async def test_a_pool_of_one_connection_has_it_for_everything(
    redis_server: RedisServer, key_prefix: str
) -> None:
    async with open_service(redis_server, key_prefix, max_connections=1) as service:
        await fill(service, 3)
        found = await asyncio.gather(
            *(read(service, n, limit) for n in range(3) for limit in (1, None))
        )
        assert found == [["0"], ["0"], ["1"], ["1"], ["2"], ["2"]]
        assert len(redis_server.list_connections(key_prefix)) == 1


# Cancelled


@pytest.mark.parametrize("what", ["killed", "not begun"])
async def test_a_connection_that_is_shared_no_more_goes_back_to_its_pool(
    redis_server: RedisServer, key_prefix: str, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    options = {"max_connections": 2, "retry": redis.asyncio.retry.Retry(NoBackoff(), 1)}
    async with open_service(redis_server, key_prefix, **options) as service:
        await append(service, 0, "x")
        for _ in range(3):
            if what == "killed":
                find_shared(exchanges_of(service)).close(redis.ConnectionError, "gone")
            else:
                find_shared(exchanges_of(service)).close(redis.ConnectionError, "gone")
                with monkeypatch.context() as patch:
                    patch.setattr(PipeliningConnection, "__init__", lambda *_: 1 / 0)
                    with pytest.raises(ZeroDivisionError):
                        await read(service, 0)
            assert await read(service, 0) == ["x"]
        assert await read(service, 0, None) == ["x"]  # there is a second one for it
        assert len(redis_server.list_connections(key_prefix)) == 2


async def test_one_task_finds_out_for_all_that_nobody_answers(
    redis_server: RedisServer, key_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"retry": redis.asyncio.retry.Retry(NoBackoff(), 0)}
    async with open_service(redis_server, key_prefix, **options) as service:
        await append(service, 0, "x")
        tries: list[int] = []

        async def connect(*_: Any, **__: Any) -> None:
            tries.append(1)
            await asyncio.sleep(0)
            raise redis.ConnectionError("nobody is there")

        with monkeypatch.context() as patch:
            patch.setattr(redis.asyncio.Connection, "connect", connect)
            find_shared(exchanges_of(service)).close(redis.ConnectionError, "gone")
            reads = (read(service, 0) for _ in range(TASKS))
            found = await asyncio.gather(*reads, return_exceptions=True)
        assert {type(error) for error in found} == {BackendUnavailableError}
        assert len(tries) == 1
        assert await read(service, 0) == ["x"]


async def test_a_cancelled_tasks_reply_is_thrown_away(
    redis_server: RedisServer, key_prefix: str
) -> None:
    async with open_service(redis_server, key_prefix) as service:
        await fill(service, 3)
        connections = redis_server.list_connections(key_prefix)
        with redis_server.client() as control:
            control.client_pause(150, all=True)
        tasks = [asyncio.create_task(read(service, number)) for number in range(3)]
        await asyncio.sleep(0.05)
        tasks[0].cancel()
        assert await asyncio.gather(*tasks[1:]) == [["1"], ["2"]]
        with pytest.raises(asyncio.CancelledError):
            await tasks[0]
        assert await read(service, 1) == ["1"]
        assert redis_server.list_connections(key_prefix) == connections


async def test_tasks_cancelled_at_any_moment(redis_server: RedisServer, key_prefix: str) -> None:
    async with open_service(redis_server, key_prefix) as service:
        await fill(service, TASKS)
        acknowledged = {number: [str(number)] for number in range(TASKS)}
        may_be_there: set[str] = set()
        wrong = []

        async def work(number: int, round_: int) -> None:
            text = f"{number}-{round_}"
            may_be_there.add(text)
            await append(service, number, text)
            acknowledged[number].append(text)
            session = await service.aget_session(key_of(number), limit=MANY)
            assert session is not None
            texts = [str(message.content) for message in session.messages]
            if [text for text in texts if text.partition("-")[0] != str(number)]:
                wrong.append(texts)

        loop = asyncio.get_running_loop()
        for round_ in range(ROUNDS):
            tasks = [asyncio.create_task(work(number, round_)) for number in range(TASKS)]
            for task in random.sample(tasks, TASKS // 2):
                loop.call_later(random.uniform(0, 0.02), task.cancel)
            ended = await asyncio.gather(*tasks, return_exceptions=True)
            assert not [end for end in ended if isinstance(end, Exception)]
        assert wrong == []
        for number in range(TASKS):
            found = await read(service, number, None)
            assert [text for text in found if text in acknowledged[number]] == acknowledged[number]
            assert set(found) <= may_be_there | {str(number)}
            assert len(set(found)) == len(found)
        assert len(redis_server.list_connections(key_prefix)) <= 2


# Broken


async def test_nothing_is_lost_while_connections_are_killed(
    redis_server: RedisServer, key_prefix: str
) -> None:
    """With SHARED_TASKS=200 SHARED_KILLS=20, what is told in the documentation."""
    async with open_service(redis_server, key_prefix) as service:
        await fill(service, TASKS)
        stored = {number: [str(number)] for number in range(TASKS)}
        is_over = False

        async def work(number: int) -> None:
            while not is_over:
                text = f"{number}-{len(stored[number])}"
                await append(service, number, text)
                stored[number].append(text)

        tasks = [asyncio.create_task(work(number)) for number in range(TASKS)]
        with redis_server.client() as control:
            for _ in range(KILLS):
                enough = {number: len(texts) + 1 for number, texts in stored.items()}
                await await_until(
                    lambda: (
                        all(len(stored[number]) >= enough[number] for number in enough)  # noqa: B023
                        or any(task.done() for task in tasks)
                    )
                )
                for connection in redis_server.list_connections(key_prefix):
                    control.client_kill_filter(_id=connection)
        is_over = True
        await asyncio.gather(*tasks)
        found = [await read(service, number, None) for number in range(TASKS)]
        assert found == [stored[number] for number in range(TASKS)]


async def test_a_silent_connection_is_left_and_all_who_wait_are_sent_again(
    cutting_proxy: CuttingProxy, key_prefix: str
) -> None:
    async with open_service(cutting_proxy, key_prefix, socket_timeout=0.2) as service:
        await append(service, 0, "0")
        before = cutting_proxy.connections
        cutting_proxy.silence()
        await asyncio.gather(*(append(service, number, str(number)) for number in range(1, 9)))
        assert cutting_proxy.connections == before + 1
        assert [await read(service, number) for number in range(9)] == [[str(n)] for n in range(9)]


async def test_the_timeout_is_for_each_reply(redis_server: RedisServer, key_prefix: str) -> None:
    async with open_service(redis_server, key_prefix, socket_timeout=1) as service:
        await service.aping()
        shared, send = find_shared(exchanges_of(service)), exchanges_of(service).send
        waits = [send(("BLPOP", f"{key_prefix}:{number}", "0.15")) for number in range(10)]
        assert await asyncio.gather(*waits) == [None] * 10
        assert find_shared(exchanges_of(service)) is shared


async def test_who_waits_in_vain_gets_todays_error(
    cutting_proxy: CuttingProxy, key_prefix: str
) -> None:
    options = {"retry": Retry(NoBackoff(), 1), "socket_timeout": 0.4}
    async with open_service(cutting_proxy, key_prefix, **options) as service:
        await append(service, 0, "0")
        cutting_proxy.stall()
        tasks = [read(service, 0) for _ in range(3)]
        for error in await asyncio.gather(*tasks, return_exceptions=True):
            assert isinstance(error, BackendUnavailableError)
            assert isinstance(error.__cause__, redis.TimeoutError)
        cutting_proxy.refuse()
        tasks = [read(service, 0) for _ in range(3)]
        for error in await asyncio.gather(*tasks, return_exceptions=True):
            assert isinstance(error, BackendUnavailableError)
            assert isinstance(error.__cause__, redis.ConnectionError)
        cutting_proxy.resume()
        cutting_proxy.accept()
        assert await read(service, 0) == ["0"]


async def test_who_makes_the_connection_may_be_cancelled(
    cutting_proxy: CuttingProxy, key_prefix: str
) -> None:
    async with open_service(cutting_proxy, key_prefix) as service:
        cutting_proxy.stall()
        first, *others = [asyncio.create_task(append(service, n, str(n))) for n in range(4)]
        await asyncio.sleep(0.05)
        first.cancel()
        cutting_proxy.resume()
        await asyncio.gather(*others)
        with pytest.raises(asyncio.CancelledError):
            await first
        assert [await read(service, n) for n in range(1, 4)] == [["1"], ["2"], ["3"]]


async def test_a_connection_that_takes_its_time_is_made_once(
    cutting_proxy: CuttingProxy, redis_server: RedisServer, key_prefix: str
) -> None:
    """Longer than callers wait for one that others use."""
    options = {"client_name": key_prefix, "max_connections": 4, **OPTIONS}
    async with RedisSessionService(
        cutting_proxy.url, key_prefix=key_prefix, pool_timeout=0.05, extra_options=options
    ) as service:
        cutting_proxy.stall()
        tasks = [asyncio.create_task(append(service, n, str(n))) for n in range(8)]
        await asyncio.sleep(0.3)
        cutting_proxy.resume()
        await asyncio.gather(*tasks)
        assert len(redis_server.list_connections(key_prefix)) == 1


@pytest.mark.parametrize("comes_back", [False, True])
async def test_another_task_makes_the_connection_of_one_that_was_interrupted(
    redis_server: RedisServer, key_prefix: str, monkeypatch: pytest.MonkeyPatch, comes_back: bool
) -> None:
    monkeypatch.setattr(shared, "_LONGEST_OPENING_S", 0.01)
    own_connect = SharedExchanges._connect  # noqa: SLF001
    gate = asyncio.Event()
    calls = count()

    async def connect(exchanges: SharedExchanges) -> PipeliningConnection:
        if next(calls) == 0:
            await asyncio.wait_for(gate.wait(), PATIENCE_S)
        return await own_connect(exchanges)

    monkeypatch.setattr(SharedExchanges, "_connect", connect)
    async with open_service(redis_server, key_prefix) as service:
        first, *others = [asyncio.create_task(append(service, n, str(n))) for n in range(4)]
        await asyncio.gather(*others)
        if comes_back:
            gate.set()
        else:
            first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        assert [await read(service, n) for n in range(1, 4)] == [["1"], ["2"], ["3"]]
        assert await read(service, 0) == (["0"] if comes_back else [])
        in_use = list(find_pool(service)._in_use_connections)  # noqa: SLF001
        assert in_use == [find_shared(exchanges_of(service)).connection]


async def test_tasks_do_not_try_in_turn_where_connecting_takes_long_and_fails(
    redis_server: RedisServer, key_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared, "_LONGEST_OPENING_S", 0.05)
    tries = count()

    async def connect(_exchanges: SharedExchanges) -> PipeliningConnection:
        next(tries)
        await asyncio.sleep(0.4)
        raise redis.ConnectionError("nobody is there")

    monkeypatch.setattr(SharedExchanges, "_connect", connect)
    async with open_service(redis_server, key_prefix) as service:
        tasks = [append(service, n, str(n)) for n in range(30)]
        found = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(error) for error in found} == {BackendUnavailableError}
    assert next(tries) < 15


# Interrupted


class Interruption(Exception):
    """What a signal's handler might raise, anywhere."""


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keeps quiet what the loop tells of the exceptions in its callbacks."""
    monkeypatch.setattr(asyncio.BaseEventLoop, "call_exception_handler", lambda *_args: None)


@pytest.mark.usefixtures("broken")
@pytest.mark.parametrize("where", ["before", "after", "lost", "stream", "buffer"])
async def test_a_signal_while_replies_come(
    redis_server: RedisServer, key_prefix: str, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    armed: list[str] = []
    own_update = PipeliningConnection.buffer_updated
    own_buffer = PipeliningConnection.get_buffer
    own_data = asyncio.StreamReaderProtocol.data_received

    def buffer_updated(self: Any, nbytes: int) -> None:
        place = armed.pop() if armed and where in ("before", "after", "lost") else ""
        if place == "before":
            raise Interruption
        if place != "lost":
            own_update(self, nbytes)
        if place == "after":
            raise Interruption

    def get_buffer(self: Any, sizehint: int) -> memoryview:
        if where == "buffer" and armed:
            raise Interruption(armed.pop())
        return own_buffer(self, sizehint)

    def data_received(self: Any, data: bytes) -> None:
        if where == "stream" and armed:
            raise Interruption(armed.pop())
        own_data(self, data)

    monkeypatch.setattr(PipeliningConnection, "buffer_updated", buffer_updated)
    monkeypatch.setattr(PipeliningConnection, "get_buffer", get_buffer)
    monkeypatch.setattr(asyncio.StreamReaderProtocol, "data_received", data_received)
    async with open_service(redis_server, key_prefix, socket_timeout=1) as service:
        await fill(service, 5)
        for _ in range(1 if where == "lost" else 3):  # which the time-out finds
            armed.append(where)
            found = await asyncio.gather(*(read(service, number) for number in range(5)))
            assert found == [[str(number)] for number in range(5)]
            assert not armed


@pytest.mark.usefixtures("broken")
async def test_a_signal_while_commands_go_out(
    redis_server: RedisServer, key_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_service(redis_server, key_prefix) as service:
        await fill(service, 5)
        for number in range(2):
            transport = find_shared(exchanges_of(service))._transport  # noqa: SLF001
            calls: list[int] = []

            def write(
                data: bytes, own: Any = transport.write, calls: Any = calls, at: int = number
            ) -> None:
                calls.append(len(data))
                if len(calls) == at + 1:
                    own(data[:7])  # a piece of it
                    raise Interruption
                own(data)

            monkeypatch.setattr(transport, "write", write)
            ended = await asyncio.gather(
                *(read(service, number) for number in range(5)), return_exceptions=True
            )
            assert len(calls) == number + 1  # nothing behind a piece of a command
            interrupted = [end for end in ended if isinstance(end, Interruption)]
            assert len(interrupted) == (1 if number == 0 else 0)
            for number_, end in enumerate(ended):
                assert end == [str(number_)] or isinstance(end, Interruption)
            assert await read(service, 3) == ["3"]


async def test_a_reply_that_is_late_on_a_connection_of_the_pool(redis_server: RedisServer) -> None:
    async with open_client(redis_server) as client:
        exchanges: Any = open_async_exchanges(client, keeps=True)
        with redis_server.client() as control:
            control.client_pause(100, all=True)
        # As an interrupted exchange may leave it.
        pooled = exchanges._pooled  # noqa: SLF001
        connection = await pooled.take()
        await connection.send_command("ECHO", "late")
        await pooled.give(connection)
        pooled.note(Interruption())
        assert await exchanges.send(("ECHO", b"mine")) == b"mine"


async def test_who_sends_waits_while_the_buffer_is_full(
    redis_server: RedisServer, key_prefix: str
) -> None:
    async with open_service(redis_server, key_prefix) as service:
        await fill(service, 2)
        shared = find_shared(exchanges_of(service))
        shared.pause_writing()
        tasks = [asyncio.create_task(read(service, number)) for number in range(2)]
        await asyncio.wait(tasks, timeout=0.05)
        assert not any(task.done() for task in tasks)
        shared.resume_writing()
        assert await asyncio.gather(*tasks) == [["0"], ["1"]]


# What redis-py makes and parses

PARSERS: dict[str, Any] = {
    "hiredis": getattr(redis.asyncio.connection, "_AsyncHiredisParser"),  # noqa: B009
    "python": getattr(redis.asyncio.connection, "_AsyncRESP2Parser"),  # noqa: B009
}


@pytest.mark.parametrize("how", ["tls", "socket file"])
async def test_tasks_share_a_connection_by_tls_and_by_socket(
    redis_server: RedisServer, tls_redis_server: Any, key_prefix: str, how: str
) -> None:
    url = tls_redis_server.url if how == "tls" else redis_server.unix_url
    async with RedisSessionService(url, key_prefix=key_prefix, extra_options=OPTIONS) as service:
        await service.aping()
        first = find_shared(exchanges_of(service))
        for _ in range(2):
            first.get_buffer(-1)  # as TLS does for half a record, and reads nothing
        texts = [str(number) * 5_000 for number in range(TASKS)]
        await asyncio.gather(*(append(service, n, text) for n, text in enumerate(texts)))
        found = await asyncio.gather(*(read(service, number) for number in range(TASKS)))
        assert found == [[text] for text in texts]
        assert find_shared(exchanges_of(service)) is first
        assert not exchanges_of(service)._pooled._idle  # noqa: SLF001


def make_retry(retries: int) -> Any:
    return redis.asyncio.retry.Retry(NoBackoff(), retries)


@asynccontextmanager
async def open_client(server: RedisServer, **options: Any) -> AsyncIterator[redis.asyncio.Redis]:
    pool = redis.asyncio.ConnectionPool(host=HOST, port=server.port, **{**PATIENT, **options})
    client = redis.asyncio.Redis(connection_pool=pool)
    try:
        yield client
    finally:
        await client.aclose()
        await pool.aclose()


@pytest.mark.parametrize("parser", PARSERS)
@pytest.mark.parametrize("protocol", [2, 3])
async def test_replies_are_the_same_with_both_protocols_and_parsers(
    redis_server: RedisServer, key_prefix: str, parser: str, protocol: int
) -> None:
    async with open_client(
        redis_server, protocol=protocol, parser_class=PARSERS[parser], decode_responses=True
    ) as client:
        exchanges = open_async_exchanges(client, keeps=True)
        assert isinstance(exchanges, SharedExchanges)
        await exchanges.send(("HSET", key_prefix, "f", bytes(range(256)) * 1000))
        nested = "return {1, {'a', {redis.call('HLEN', KEYS[1])}}, false}"
        commands: list[Any] = [
            ("HGETALL", key_prefix),
            ("EVAL", nested, 1, key_prefix),
            ("HGET", key_prefix, "none"),
            ("INCR", key_prefix),
            ("ECHO", b"\r\n"),
        ]
        *good, refused, echo = await exchanges.send_batch(commands)
        assert good == [{b"f": bytes(range(256)) * 1000}, [1, [b"a", [1]], None], None]
        assert isinstance(refused, redis.ResponseError)
        assert echo == b"\r\n"
        with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
            await exchanges.send(("INCR", key_prefix))
        echoes = await asyncio.gather(
            *(exchanges.send(("ECHO", b"%d" % number)) for number in range(500))
        )
        assert echoes == [b"%d" % number for number in range(500)]


@pytest.mark.parametrize("parser", PARSERS)
async def test_pushes_are_nobodys_replies(
    redis_server: RedisServer, key_prefix: str, parser: str
) -> None:
    async with (
        open_client(redis_server, protocol=3, parser_class=PARSERS[parser]) as client,
        open_client(redis_server) as other,
    ):
        exchanges = open_async_exchanges(client, keeps=True)
        await exchanges.send(("CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", key_prefix))
        for number in range(20):
            tasks = [exchanges.send(("ECHO", b"%d-%d" % (number, n))) for n in range(5)]
            await other.set(f"{key_prefix}:{number}", number)
            assert await asyncio.gather(*tasks) == [b"%d-%d" % (number, n) for n in range(5)]


async def test_pushes_of_maintenance_are_nobodys_replies(
    redis_server: RedisServer, key_prefix: str
) -> None:
    """What a plain server never sends, and redis-py would act upon in a task."""
    options = {"protocol": 3, "client_name": key_prefix}
    async with open_client(redis_server, **options) as client:
        exchanges: Any = open_async_exchanges(client, keeps=True)
        await exchanges.send(("ECHO", b"x"))
        await exchanges.send(Apart(("ECHO", b"x")))
        shared = find_shared(exchanges)
        for push in (
            b">4\r\n$6\r\nMOVING\r\n:1\r\n:30\r\n$14\r\nlocalhost:6379\r\n",
            b">4\r\n$9\r\nMIGRATING\r\n:2\r\n:30\r\n*1\r\n$1\r\n1\r\n",
            b">3\r\n$9\r\nSMIGRATED\r\n:3\r\n*0\r\n",
        ):
            shared.get_buffer(-1)[: len(push)] = push
            shared.buffer_updated(len(push))
            assert await exchanges.send(("ECHO", push)) == push
        assert find_shared(exchanges) is shared
        assert len(redis_server.list_connections(key_prefix)) == 2


async def test_a_server_that_loads_is_asked_again(
    redis_server: RedisServer,
) -> None:
    """redis-py takes its word as an error of the connection."""
    async with open_client(redis_server, retry=make_retry(2)) as client:
        exchanges = open_async_exchanges(client, keeps=True)
        script = "return {err = 'LOADING Redis is loading the dataset in memory'}"
        with pytest.raises(redis.exceptions.BusyLoadingError):
            await exchanges.send(("EVAL", script, 0))
        assert await exchanges.send(("ECHO", b"x")) == b"x"


async def test_a_primary_that_is_one_no_longer_is_left(redis_sentinel: RedisSentinel) -> None:
    manager: Any = redis.asyncio.sentinel.Sentinel([(HOST, redis_sentinel.sentinel.port)])
    client = manager.master_for(redis_sentinel.service, **PATIENT, retry=make_retry(1))
    exchanges: Any = open_async_exchanges(client, keeps=True)
    try:
        number = await exchanges.send(("CLIENT", "ID"))
        with pytest.raises(redis.ConnectionError, match="is now a slave"):
            await exchanges.send(("EVAL", "return {err = 'READONLY It is a replica.'}", 0))
        assert await exchanges.send(("CLIENT", "ID")) >= number + 2  # it was tried again too
    finally:
        await client.aclose()
        for sentinel in manager.sentinels:
            await sentinel.aclose()


# Who shares


async def test_clients_that_must_not_be_bypassed_share_nothing(redis_server: RedisServer) -> None:
    class Provider(redis.CredentialProvider):
        def get_credentials(self) -> tuple[str]:
            return ("x",)

    async with open_client(redis_server) as client:
        assert isinstance(open_async_exchanges(client, keeps=True), SharedExchanges)
        assert not isinstance(open_async_exchanges(client), SharedExchanges)
        own: Any = client.execute_command

        async def patched(*args: Any, **options: Any) -> Any:
            return await own(*args, **options)

        client.execute_command = patched  # type: ignore[method-assign]
        assert not isinstance(open_async_exchanges(client, keeps=True), SharedExchanges)
    for options in ({"max_connections": 1}, {"credential_provider": Provider()}):
        async with open_client(redis_server, **options) as client:
            assert not isinstance(open_async_exchanges(client, keeps=True), SharedExchanges)
