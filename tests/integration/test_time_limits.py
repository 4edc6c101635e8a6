"""A time limit that a signal's handler raises ends a call, whatever it raises, and reaches the
caller as it is; nothing takes it for the socket's."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
import redis
import redis.asyncio
import redis.asyncio.connection
import redis.connection
from langchain_core.messages import HumanMessage

from langchain_redis_session import RedisSessionService, SessionKey
from langchain_redis_session._signals import find_interruption
from tests.proxy import CuttingProxy
from tests.servers import PATIENT, RedisCluster, RedisServer

KEY = SessionKey("limited", "u", "s")


class TimeLimit(TimeoutError):
    """What workers' limits often are; an OSError."""


class ConnectionLimit(ConnectionError):
    """Likewise."""


@contextmanager
def handler_raises(error: type[Exception], number: int) -> Iterator[None]:
    def handle(_number: int, _frame: object) -> None:
        raise error("too slow")

    before = signal.signal(number, handle)
    try:
        yield
    finally:
        signal.signal(number, before)


@contextmanager
def limited(error: type[Exception]) -> Iterator[None]:
    """The limit comes again until it is heard, as it may come too early."""
    with handler_raises(error, signal.SIGALRM):
        signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
        try:
            yield
        finally:
            while True:
                with suppress(error):
                    signal.setitimer(signal.ITIMER_REAL, 0)
                    break


@contextmanager
def open_service(kind: str, url: str, prefix: str) -> Iterator[RedisSessionService]:
    options: dict[str, Any] = {**PATIENT, "max_connections": 1}
    if kind == "url":
        with RedisSessionService(url, key_prefix=prefix, extra_options=options) as service:
            yield service
    else:
        with redis.Redis.from_url(url, **options) as client:
            yield RedisSessionService(client=client, key_prefix=prefix)


def read(service: RedisSessionService) -> list[Any]:
    return [message.content for message in service.get_messages(KEY)]


@pytest.mark.parametrize("error", [TimeLimit, ConnectionLimit])
@pytest.mark.parametrize("kind", ["url", "client"])
def test_a_time_limit_ends_a_call_that_waits(
    cutting_proxy: CuttingProxy, key_prefix: str, kind: str, error: type[Exception]
) -> None:
    with open_service(kind, cutting_proxy.url, key_prefix) as service:
        service.append_messages(KEY, [HumanMessage("hi")], create=True)
        cutting_proxy.stall()
        try:
            with pytest.raises(error, match="too slow"), limited(error):
                read(service)
        finally:
            cutting_proxy.resume()
        assert read(service) == ["hi"]  # on the only connection that the pool may have


def test_a_time_limit_ends_a_call_that_connects(
    cutting_proxy: CuttingProxy, key_prefix: str
) -> None:
    with open_service("url", cutting_proxy.url, key_prefix) as service:
        cutting_proxy.stall()
        try:
            with pytest.raises(TimeLimit), limited(TimeLimit):
                read(service)
        finally:
            cutting_proxy.resume()
        assert read(service) == []


def interrupt_reads(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Gives what lets the next read of a reply be interrupted by a signal."""
    armed: list[bool] = []

    def guard(connection_class: Any) -> None:
        own = connection_class.read_response

        def read_response(self: Any, *args: Any, **options: Any) -> Any:
            if armed:
                armed.pop()
                signal.raise_signal(signal.SIGUSR1)
            return own(self, *args, **options)

        monkeypatch.setattr(connection_class, "read_response", read_response)

    for module in (redis.connection, redis.asyncio.connection):
        guard(module.AbstractConnection)
    return lambda: armed.append(True)


@pytest.mark.parametrize("error", [TimeLimit, AttributeError])
def test_a_time_limit_ends_a_call_of_a_cluster(
    redis_cluster: RedisCluster,
    key_prefix: str,
    monkeypatch: pytest.MonkeyPatch,
    error: type[Exception],
) -> None:
    with redis_cluster.client() as client, handler_raises(error, signal.SIGUSR1):
        service = RedisSessionService(client=client, key_prefix=key_prefix)
        service.append_messages(KEY, [HumanMessage("hi")], create=True)
        arm = interrupt_reads(monkeypatch)
        asks: list[Callable[[], Any]] = [
            lambda: service.get_messages(KEY),
            lambda: service.list_sessions("limited", "u"),  # in a batch
        ]
        for ask in asks:
            arm()
            with pytest.raises(error, match="too slow"):
                ask()
        assert read(service) == ["hi"]


@pytest.mark.parametrize("kind", ["standalone", "cluster"])
async def test_a_time_limit_ends_a_call_of_a_task(
    request: pytest.FixtureRequest, key_prefix: str, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    name = "redis_cluster" if kind == "cluster" else "redis_server"
    server: RedisCluster | RedisServer = request.getfixturevalue(name)
    client = server.async_client()
    service = RedisSessionService(async_client=client, key_prefix=key_prefix)
    await service.aappend_messages(KEY, [HumanMessage("hi")], create=True)
    arm = interrupt_reads(monkeypatch)
    with handler_raises(TimeLimit, signal.SIGUSR1):
        arm()
        with pytest.raises(TimeLimit):
            await service.aget_messages(KEY)
    assert [message.content for message in await service.aget_messages(KEY)] == ["hi"]
    await client.aclose()


def test_an_earlier_time_limit_is_not_taken_for_a_new_one(
    cutting_proxy: CuttingProxy, key_prefix: str
) -> None:
    """A caller stores what there is so far while it handles its limit."""
    with open_service("url", cutting_proxy.url, key_prefix) as service:
        service.append_messages(KEY, [HumanMessage("hi")], create=True)
        cutting_proxy.stall()
        with limited(TimeLimit):
            try:
                read(service)
            except TimeLimit:
                signal.setitimer(signal.ITIMER_REAL, 0)
                cutting_proxy.resume()
                cutting_proxy.cut_after(0, match=b"EVALSHA")  # a failure that is tried again
                service.append_messages(KEY, [HumanMessage("so far")])
        assert read(service) == ["hi", "so far"]
        assert cutting_proxy.cuts > 0


def test_only_what_a_handler_raises_is_an_interruption() -> None:
    def fail(error: type[Exception]) -> Exception:
        try:
            raise error
        except Exception as found:
            return found

    class Handler:
        def __call__(self, _number: int, _frame: object) -> None:
            raise TimeLimit

        def handle(self, _number: int, _frame: object) -> None:
            self(_number, _frame)

    for handler in (Handler(), Handler().handle):
        assert find_interruption(fail(TimeLimit)) is None
        before = signal.signal(signal.SIGUSR1, handler)
        with pytest.raises(TimeLimit) as raised:
            signal.raise_signal(signal.SIGUSR1)
        assert find_interruption(raised.value) is raised.value
        signal.signal(signal.SIGUSR1, before)
    assert asyncio.run(_find_elsewhere()) is None


async def _find_elsewhere() -> BaseException | None:
    """Other threads hear of no signal."""
    return await asyncio.to_thread(find_interruption, TimeLimit())
