"""Who is connected: the names in CLIENT LIST, which operators look at."""

from __future__ import annotations

import pytest
import redis

from langchain_redis_session import RedisSessionService
from langchain_redis_session._connections.driver import VERSION
from tests.servers import RedisServer

OURS = f"redis-py(langchain-redis-session_v{VERSION})"


def library_of(server: RedisServer, name: str) -> str:
    """Give the library of the connection that has this name."""
    with server.client() as probe:
        (found,) = [client for client in probe.client_list() if client["name"] == name]
    library: str = found["lib-name"]
    return library


async def test_clients_made_of_a_url_say_that_they_are_ours(
    field_ttl_redis_server: RedisServer,
) -> None:
    url = field_ttl_redis_server.url
    with RedisSessionService(url, extra_options={"client_name": "sync"}) as service:
        service.ping()
        assert library_of(field_ttl_redis_server, "sync") == OURS
    async with RedisSessionService(url, extra_options={"client_name": "async"}) as service:
        await service.aping()
        assert library_of(field_ttl_redis_server, "async") == OURS


@pytest.mark.parametrize("has_own_pool", [False, True])
async def test_a_client_that_was_given_keeps_its_name_and_its_twin_bears_ours(
    field_ttl_redis_server: RedisServer, has_own_pool: bool
) -> None:
    if has_own_pool:
        pool = redis.ConnectionPool.from_url(field_ttl_redis_server.url, client_name="given")
        client = redis.Redis(connection_pool=pool)
    else:
        client = field_ttl_redis_server.client(client_name="given")
    with client, RedisSessionService(client=client) as service:
        service.ping()
        assert library_of(field_ttl_redis_server, "given") == "redis-py"
    client.connection_pool.disconnect()
    async with RedisSessionService(client=client) as service:
        await service.aping()
        assert library_of(field_ttl_redis_server, "given") == OURS
