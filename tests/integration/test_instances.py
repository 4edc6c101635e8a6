"""Instances by name: whose connections they share, and who closes them."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import fakeredis
import pytest
import redis

from langchain_redis_session import (
    BackendUnavailableError,
    ConfigurationError,
    RedisInstanceNotFoundError,
    RedisSessionChatMessageHistory,
    RedisSessionService,
    register_redis_instance,
    unregister_redis_instance,
)
from tests.servers import RedisServer
from tests.waits import wait_until


@pytest.fixture
def client_name() -> str:
    """What connections of this test call themselves."""
    return f"test-{uuid4().hex[:8]}"


async def test_services_on_an_instance_share_a_pool_and_the_last_one_closes_it(
    redis_server: RedisServer, client_name: str
) -> None:
    register_redis_instance("main", redis_server.url, client_name=client_name)
    services = [RedisSessionService(redis_instance="main", session_ttl=n) for n in range(1, 6)]
    for service in services:
        assert service.ping()
        assert await service.aping()
    assert len(redis_server.list_connections(client_name)) == 2  # one sync, one of this loop
    for service in services[:-1]:
        await service.aclose()
        service.close()  # again is no second share
    assert services[-1].ping()
    assert len(redis_server.list_connections(client_name)) == 2
    await services[-1].aclose()
    wait_until(lambda: len(redis_server.list_connections(client_name)) == 0)
    with RedisSessionService(redis_instance="main") as again:
        assert again.ping()
        assert len(redis_server.list_connections(client_name)) == 1
    wait_until(lambda: len(redis_server.list_connections(client_name)) == 0)


def test_a_service_that_nobody_closed_does_not_keep_the_pool_open(
    redis_server: RedisServer, client_name: str
) -> None:
    register_redis_instance("main", redis_server.url, client_name=client_name)
    RedisSessionService(redis_instance="main").ping()
    with RedisSessionService(redis_instance="main") as service:
        service.ping()
    wait_until(lambda: len(redis_server.list_connections(client_name)) == 0)


def test_what_beats_what(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "memory://environment")
    register_redis_instance("main", "memory://instance")
    fake = fakeredis.FakeRedis()
    assert "memory://instance" in repr(RedisSessionService(redis_instance="main"))
    by_url = RedisSessionService("memory://url", redis_instance="main")
    assert "memory://url" in repr(by_url)
    own = RedisSessionService("memory://url", redis_instance="main", client=fake)
    assert "FakeRedis" in repr(own)


def test_histories_on_an_instance_share_its_service() -> None:
    register_redis_instance("main", f"memory://{uuid4().hex}")
    first, second = (RedisSessionChatMessageHistory("s1", redis_instance="main") for _ in range(2))
    assert first.service is second.service
    first.add_user_message("hi")
    assert len(second.messages) == 1
    register_redis_instance("main", f"memory://{uuid4().hex}")
    assert RedisSessionChatMessageHistory("s1", redis_instance="main").messages == []
    assert len(first.messages) == 1


def test_an_unknown_name_tells_the_known_and_the_nearest() -> None:
    with pytest.raises(RedisInstanceNotFoundError, match="'main'; register it first"):
        RedisSessionService(redis_instance="main")
    register_redis_instance("main", "memory://a")
    register_redis_instance("cache", "memory://b")
    text = r"as 'mian'; did you mean 'main'\?; registered are: 'cache', 'main'"
    with pytest.raises(RedisInstanceNotFoundError, match=text):
        RedisSessionService(redis_instance="mian")
    with pytest.raises(RedisInstanceNotFoundError, match=text):
        RedisSessionChatMessageHistory("s", redis_instance="mian")
    unregister_redis_instance("main")
    with pytest.raises(LookupError):
        RedisSessionService(redis_instance="main")
    with pytest.raises(RedisInstanceNotFoundError):
        unregister_redis_instance("main")


async def test_a_factory_is_called_at_first_use_and_its_client_closed(
    redis_server: RedisServer, client_name: str
) -> None:
    made = []

    def make() -> redis.Redis:
        made.append(redis_server.client(client_name=client_name))
        return made[-1]

    register_redis_instance("main", factory=make)
    services = [RedisSessionService(redis_instance="main") for _ in range(2)]
    assert made == []
    for service in services:
        assert await service.aping()
        assert service.ping()
    assert len(made) == 1
    for service in services:
        await service.aclose()
    wait_until(lambda: len(redis_server.list_connections(client_name)) == 0)


def test_an_own_client_stays_open() -> None:
    fake = fakeredis.FakeRedis()
    register_redis_instance("main", client=fake)
    with RedisSessionService(redis_instance="main") as service:
        assert service.ping()
        assert asyncio.run(service.aping())
    assert fake.ping()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"name": ""}, "can't name an instance"),
        ({"name": 5, "url": "memory://"}, "can't name an instance"),
        ({"name": "a"}, "needs one of"),
        ({"name": "a", "url": "memory://", "client": fakeredis.FakeRedis()}, "needs one of"),
        ({"name": "a", "url": "http://x"}, "must begin with one of"),
        ({"name": "a", "url": "redis://x", "socket_timout": 1}, "did you mean 'socket_timeout'"),
        ({"name": "a", "client": object()}, "must be a sync client"),
        ({"name": "a", "client": fakeredis.FakeRedis(), "socket_timeout": 1}, "with a url= only"),
        ({"name": "a", "factory": 5}, "must be a function"),
    ],
)
def test_what_cannot_be_registered(arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        register_redis_instance(**arguments)
    with pytest.raises(RedisInstanceNotFoundError):
        unregister_redis_instance("a")


def test_options_of_clients_beside_an_instance() -> None:
    register_redis_instance("main", "memory://a")
    with pytest.raises(ConfigurationError, match="beside redis_instance='main'"):
        RedisSessionService(redis_instance="main", extra_options={"socket_timeout": 1})


def test_a_factory_that_gives_no_client() -> None:
    register_redis_instance("main", factory=lambda: fakeredis.FakeRedis().pipeline())
    service = RedisSessionService(redis_instance="main")
    with pytest.raises(ConfigurationError, match="the client that the pipeline was made by"):
        service.ping()


def test_a_factory_that_finds_no_server_fails_with_an_error_of_ours() -> None:
    def find_cluster() -> Any:
        raise redis.RedisClusterException("Redis Cluster cannot be connected")

    register_redis_instance("main", factory=find_cluster)
    service = RedisSessionService(redis_instance="main")
    with pytest.raises(BackendUnavailableError, match="RedisClusterException"):
        service.ping()
