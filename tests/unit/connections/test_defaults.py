"""Clients that are made here have options for production, unless somebody chose others."""

from __future__ import annotations

import socket
from typing import Any

import pytest
import redis

from langchain_redis_session._connections.clients import Connections
from langchain_redis_session._connections.defaults import DEFAULTS
from langchain_redis_session.connections import open_connections

URLS = [
    "redis://nowhere",
    "rediss://nowhere",
    "unix:///nowhere",
    "redis+sentinel://nowhere/main",
    "redis+cluster://nowhere",
]
NOT_OF_SOCKET_FILES = ("socket_connect_timeout", "socket_keepalive", "socket_keepalive_options")
OTHERS: dict[str, Any] = {
    "max_connections": 3,
    "socket_connect_timeout": 1,
    "socket_timeout": 2,
    "health_check_interval": 0,
    "socket_keepalive": False,
    "socket_keepalive_options": {},
}


def names_of(url: str) -> list[str]:
    return [name for name in DEFAULTS if "unix" not in url or name not in NOT_OF_SOCKET_FILES]


def open_url(url: str, options: dict[str, Any]) -> Connections:
    return open_connections(url, None, None, None, options)


def options_of(client: Any) -> dict[str, Any]:
    pool = getattr(client, "connection_pool", None)
    if pool is not None:
        return {"max_connections": pool.max_connections, **pool.connection_kwargs}
    (node,) = client.nodes_manager.startup_nodes.values()
    return {"max_connections": node.max_connections, **client.connection_kwargs}


async def make_clients(url: str, options: dict[str, Any]) -> list[Any]:
    connections = open_url(url, options)
    await connections.open_async()
    made = [connections.any_client()]
    if "cluster" not in url:  # which connects when it is made
        made.append(connections.sync_client())
    return made


async def close(clients: list[Any]) -> None:
    await clients[0].aclose()
    for client in clients[1:]:
        client.close()


@pytest.mark.parametrize("url", URLS)
async def test_clients_have_the_defaults(url: str) -> None:
    clients = await make_clients(url, {})
    for client in clients:
        found = options_of(client)
        assert {name: found[name] for name in names_of(url)} == {
            name: DEFAULTS[name] for name in names_of(url)
        }
    await close(clients)


@pytest.mark.parametrize("how", ["options", "url"])
@pytest.mark.parametrize("url", URLS)
async def test_options_and_urls_win_over_the_defaults(url: str, how: str) -> None:
    names = names_of(url)
    if how == "url":
        names = [name for name in names if name != "socket_keepalive_options"]
        query = "&".join(f"{name}={OTHERS[name]}" for name in names)
        clients = await make_clients(f"{url}?{query}", {})
    else:
        clients = await make_clients(url, {name: OTHERS[name] for name in names})
    for client in clients:
        found = options_of(client)
        assert {name: found[name] for name in names} == {name: OTHERS[name] for name in names}
    await close(clients)


def test_a_connection_of_the_users_own_takes_what_it_likes() -> None:
    class Own(redis.Connection):
        def __init__(self, host: str, port: int = 1, db: int = 0, **rest: Any) -> None:
            assert not rest.keys() & DEFAULTS.keys()
            super().__init__(host, port, db)  # type: ignore[no-untyped-call]

    connections = open_url("redis://nowhere", {"connection_class": Own})
    assert connections.sync_client().connection_pool.max_connections == DEFAULTS["max_connections"]


def test_the_system_takes_the_options_of_keep_alive() -> None:
    with socket.socket() as end:
        for name, value in DEFAULTS["socket_keepalive_options"].items():
            end.setsockopt(socket.IPPROTO_TCP, name, value)
            assert end.getsockopt(socket.IPPROTO_TCP, name) == value
