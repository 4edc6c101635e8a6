"""The proxy that other tests break connections with."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.proxy import CuttingProxy
from tests.servers import RedisServer
from tests.waits import PATIENCE_S, still_waits

NO_RETRY = Retry(NoBackoff(), 0)


@pytest.fixture
def client(cutting_proxy: CuttingProxy) -> Iterator[redis.Redis]:
    with cutting_proxy.client(retry=NO_RETRY) as client:
        client.ping()
        yield client


@pytest.fixture
def key(redis_server: RedisServer) -> Iterator[str]:
    key = f"proxy:{uuid4().hex}"
    yield key
    with redis_server.client() as direct:
        direct.unlink(key)


def test_the_proxy_passes_everything_on(
    client: redis.Redis, cutting_proxy: CuttingProxy, key: str
) -> None:
    value = b"x" * 3_000_000
    client.set(key, value)
    assert client.get(key) == value
    assert cutting_proxy.connections == 1


def test_a_lost_reply_is_to_a_command_done(
    client: redis.Redis, cutting_proxy: CuttingProxy, key: str
) -> None:
    cutting_proxy.cut_after(0, match=b"INCR")
    client.get(key)
    with pytest.raises(redis.ConnectionError):
        client.incr(key)
    assert client.get(key) == b"1"
    assert cutting_proxy.cuts == 1


def test_a_reply_is_cut_in_half_once(
    client: redis.Redis, cutting_proxy: CuttingProxy, key: str
) -> None:
    client.set(key, "x" * 1000)
    cutting_proxy.cut_after(500)
    with pytest.raises(redis.ConnectionError):
        client.get(key)
    assert client.get(key) == b"x" * 1000


def test_a_cut_request_is_a_command_not_done(
    client: redis.Redis, cutting_proxy: CuttingProxy, key: str
) -> None:
    cutting_proxy.cut_before(b"INCR", times=2)
    for _ in range(2):
        with pytest.raises(redis.ConnectionError):
            client.incr(key)
    assert client.incr(key) == 1


def test_a_match_is_only_looked_for_in_what_comes_next(
    client: redis.Redis, cutting_proxy: CuttingProxy, key: str
) -> None:
    client.incr(key)
    cutting_proxy.cut_before(b"INCR")
    assert client.get(key) == b"1"
    cutting_proxy.forget()
    assert client.incr(key) == 2


def test_refuses_until_it_accepts(client: redis.Redis, cutting_proxy: CuttingProxy) -> None:
    cutting_proxy.refuse()
    with pytest.raises(redis.ConnectionError):
        client.ping()
    with pytest.raises(redis.ConnectionError, match=r"(?i)refused"):
        client.ping()
    cutting_proxy.accept()
    assert client.ping()


def test_stalls_until_it_resumes(client: redis.Redis, cutting_proxy: CuttingProxy) -> None:
    cutting_proxy.stall()
    with ThreadPoolExecutor(1) as pool:
        pinging = pool.submit(client.ping)
        assert still_waits(pinging)
        cutting_proxy.resume()
        assert pinging.result(PATIENCE_S)


def test_cuts_what_is_open(client: redis.Redis, cutting_proxy: CuttingProxy) -> None:
    cutting_proxy.cut_now()
    assert client.ping()
    assert (cutting_proxy.cuts, cutting_proxy.connections) == (1, 2)


async def test_async_clients_reach_the_server_through_the_proxy(
    cutting_proxy: CuttingProxy, key: str
) -> None:
    async with cutting_proxy.async_client() as client:
        assert await client.incr(key) == 1
