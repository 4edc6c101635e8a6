"""A reply reaches its caller and nobody else, whatever ended the exchange it belongs to."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import redis
import redis.asyncio
import redis.asyncio.connection
import redis.asyncio.sentinel
import redis.connection
import redis.sentinel
from langchain_core.messages import HumanMessage

from langchain_redis_session import BackendUnavailableError, RedisSessionService, SessionKey
from langchain_redis_session._connections.pipelining import PipeliningConnection
from tests.processes import run_python
from tests.servers import HOST, LENDS_CONNECTIONS, PATIENT, RedisCluster, RedisSentinel, RedisServer

PAUSE_MS = 150
SECONDS = os.environ.get("INTERRUPTED_SECONDS", "1")
KINDS = ["url", "standalone", "blocking", "patched", "single", "sentinel", "cluster"]
NAMES = ("ann", "bob")


class Interrupted(BaseException):
    """What a signal's handler might raise."""


class Servers:
    """What the clients of one kind talk to."""

    def __init__(self, kind: str, request: pytest.FixtureRequest) -> None:
        self.kind = kind
        if kind == "sentinel":
            self.sentinel: RedisSentinel = request.getfixturevalue("redis_sentinel")
            self.nodes = [self.sentinel.primary]
        elif kind == "cluster":
            self.cluster: RedisCluster = request.getfixturevalue("redis_cluster")
            self.nodes = self.cluster.nodes
        else:
            self.nodes = [request.getfixturevalue("redis_server")]

    def pause(self) -> None:
        """Let replies come late: after somebody has sent the next command."""
        for node in self.nodes:
            client = node.client()
            client.client_pause(PAUSE_MS, all=True)
            client.close()

    def make_client(self, *, is_async: bool) -> Any:
        options: dict[str, Any] = {"max_connections": 1, **PATIENT}
        module: Any = redis.asyncio if is_async else redis
        port = self.nodes[0].port
        if self.kind == "cluster":
            options["max_connections"] = 2  # one is the client's own
            return (self.cluster.async_client if is_async else self.cluster.client)(**options)
        if self.kind == "sentinel":
            sentinels: Any = redis.asyncio.sentinel if is_async else redis.sentinel
            manager = sentinels.Sentinel([(HOST, self.sentinel.sentinel.port)])
            return manager.master_for(self.sentinel.service, **options)
        if self.kind == "blocking":
            pool = module.BlockingConnectionPool(host=HOST, port=port, **options)
            return module.Redis(connection_pool=pool)
        if self.kind == "single":
            return module.Redis(
                host=HOST,
                port=port,
                single_connection_client=True,
                **{**options, "max_connections": 2},
            )
        client = module.Redis(host=HOST, port=port, **options)
        if self.kind == "patched":
            client.execute_command = patch_async(client) if is_async else patch(client)
        return client


def patch(client: Any) -> Any:
    own = client.execute_command
    return lambda *args, **options: own(*args, **options)


def patch_async(client: Any) -> Any:
    own = client.execute_command

    async def execute_command(*args: Any, **options: Any) -> Any:
        return await own(*args, **options)

    return execute_command


async def close(client: Any) -> None:
    """Close a client, and what it does not close by itself."""
    await client.aclose()
    pool = getattr(client, "connection_pool", None)
    if pool is not None:
        await pool.aclose()
    for sentinel in getattr(getattr(pool, "sentinel_manager", None), "sentinels", ()):
        await sentinel.aclose()


@pytest.fixture(params=KINDS)
def servers(request: pytest.FixtureRequest) -> Servers:
    return Servers(request.param, request)


@contextmanager
def open_service(servers: Servers, prefix: str) -> Iterator[RedisSessionService]:
    if servers.kind == "url":
        url = f"{servers.nodes[0].url}?max_connections=1"
        with RedisSessionService(url, key_prefix=prefix) as service:
            yield service
        return
    client = servers.make_client(is_async=False)
    try:
        yield RedisSessionService(client=client, key_prefix=prefix)
    finally:
        client.close()
        pool = getattr(client, "connection_pool", None)
        if pool is not None:
            pool.disconnect()
        for sentinel in getattr(getattr(pool, "sentinel_manager", None), "sentinels", ()):
            sentinel.close()


def keys_of(prefix: str) -> dict[str, SessionKey]:
    return {name: SessionKey("interrupted", "u", f"{prefix}-{name}") for name in NAMES}


def fill(servers: Servers, prefix: str) -> dict[str, SessionKey]:
    keys = keys_of(prefix)
    with open_service(servers, prefix) as service:
        for name, key in keys.items():
            service.append_messages(key, [HumanMessage(name)], create=True)
    return keys


@pytest.fixture
def interrupt(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Interrupt the next exchange between what it sends and what it reads."""
    armed: list[BaseException] = []

    def guard(connection_class: Any) -> None:
        own = connection_class.read_response

        def read_response(self: Any, *args: Any, **options: Any) -> Any:
            if armed:
                raise armed.pop()
            return own(self, *args, **options)

        monkeypatch.setattr(connection_class, "read_response", read_response)

    for module in (redis.connection, redis.asyncio.connection):
        guard(module.AbstractConnection)
    own_exchange = PipeliningConnection.exchange

    async def exchange(self: Any, *args: Any) -> Any:
        exchanging = own_exchange(self, *args)
        if armed:  # when it has sent, and waits
            raise armed.pop()
        return await exchanging

    monkeypatch.setattr(PipeliningConnection, "exchange", exchange)
    return armed.append


@contextmanager
def told_once(servers: Servers) -> Iterator[None]:
    """Where only a token tells whose a reply is, a caller may have to hear of it."""
    try:
        yield
    except BackendUnavailableError as error:
        if servers.kind not in ("patched", "single") or "had interrupted" not in str(error):
            raise


def read_one(service: RedisSessionService, key: SessionKey) -> list[Any]:
    return [message.content for message in service.get_messages(key)]


def read_batch(service: RedisSessionService, key: SessionKey) -> list[Any]:
    session = service.get_session(key)
    assert session is not None
    return [message.content for message in session.messages]


@pytest.mark.parametrize("read", [read_one, read_batch])
def test_a_late_reply_reaches_no_other_caller(
    servers: Servers, key_prefix: str, interrupt: Any, read: Any
) -> None:
    keys = fill(servers, key_prefix)
    with open_service(servers, key_prefix) as service:
        for name in NAMES:
            assert read(service, keys[name]) == [name]
        for _ in range(2):
            servers.pause()
            interrupt(Interrupted())
            with pytest.raises(Interrupted):
                read(service, keys["ann"])
            for name in reversed(NAMES):
                with told_once(servers):
                    assert read(service, keys[name]) == [name]
                assert read(service, keys[name]) == [name]


@pytest.mark.parametrize("how", ["cancel", "signal"])
@pytest.mark.parametrize("servers", [*KINDS, "shared"], indirect=True)
async def test_a_late_reply_reaches_no_other_task(
    servers: Servers, key_prefix: str, interrupt: Any, how: str
) -> None:
    if how == "signal" and servers.kind == "cluster" and not LENDS_CONNECTIONS:
        pytest.skip("redis-py before 6.2 itself keeps the connection that was interrupted")
    keys = await asyncio.to_thread(fill, servers, key_prefix)
    if servers.kind in ("url", "shared"):
        client = None
        # One that is the only one is not shared.
        size = 1 if servers.kind == "url" else 2
        url = f"{servers.nodes[0].url}?max_connections={size}"
        service = RedisSessionService(url, key_prefix=key_prefix)
    else:
        client = servers.make_client(is_async=True)
        service = RedisSessionService(async_client=client, key_prefix=key_prefix)

    async def read(name: str) -> list[Any]:
        found = await service.aget_messages(keys[name], limit=50)
        return [message.content for message in found]

    for name in NAMES:
        assert await read(name) == [name]
    for _ in range(2):
        await asyncio.to_thread(servers.pause)
        if how == "signal":
            interrupt(KeyError("a signal's"))
            with pytest.raises(KeyError):
                await read("ann")
        else:
            task = asyncio.create_task(read("ann"))
            await asyncio.sleep(PAUSE_MS / 3000)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        for name in reversed(NAMES):
            with told_once(servers):
                assert await read(name) == [name]
            assert await read(name) == [name]
    await service.aclose()
    if client is not None:
        await close(client)


@pytest.mark.parametrize(
    ("mode", "kind"),
    [
        ("sync", "standalone"),
        ("sync", "url"),
        ("cancel", "standalone"),
        ("cancel", "url"),
        ("loop", "url"),
    ],
)
def test_interruptions_at_any_moment(redis_server: RedisServer, mode: str, kind: str) -> None:
    program = ("-m", "tests.integration.interrupted")
    ended = run_python(*program, mode, kind, SECONDS, f"[{redis_server.port}]", "1")
    assert ended.returncode == 0, ended.stderr
    seen = json.loads(ended.stdout)
    assert seen.pop("interruptions") > 0
    assert seen.pop("wrong") == 0
    is_counted = mode == "sync" or kind == "standalone"  # else the pool went with its loop
    assert seen.pop("in use", None) == (0 if is_counted else None)
    assert not [name for name in seen if name.startswith(("error", "bystander:"))], seen
