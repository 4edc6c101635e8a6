"""The backends, clients and modes that the contract is tested with."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import fakeredis
from redis import RedisCluster as RedisClusterClient

if TYPE_CHECKING:
    from langchain_redis_session import RedisSessionService

Mode = Literal["sync", "async"]


@dataclass(frozen=True)
class Variant:
    """Where a test runs, and with what client."""

    server: str
    """The fixture that has the server; "" is fakeredis."""
    client: str
    options: dict[str, Any]
    """What the clients are made with."""
    hash_tag: Literal["app", "user"] = "app"

    def __str__(self) -> str:
        names = {
            "": "fakeredis",
            "redis_server": "standalone",
            "redis_cluster": f"cluster-{self.hash_tag}",
            "field_ttl_redis_server": "field-ttl",
        }
        return f"{names[self.server]}-{self.client}"


DECODE = {"decode_responses": True}
RESP2 = {"protocol": 2}
RESP3 = {"protocol": 3}

VARIANTS = [
    Variant("", "bytes", {}),
    Variant("", "decoding", DECODE),
    Variant("redis_server", "bytes", RESP2),
    Variant("redis_server", "decoding", RESP2 | DECODE),
    Variant("redis_server", "resp3", RESP3 | DECODE),
    Variant("redis_cluster", "bytes", RESP2, "app"),
    Variant("redis_cluster", "decoding", RESP3 | DECODE, "app"),
    Variant("redis_cluster", "bytes", RESP2, "user"),
    Variant("redis_cluster", "decoding", RESP3 | DECODE, "user"),
    Variant("field_ttl_redis_server", "bytes", {}),
]


class Backend:
    """A server and the way to talk to it, for one test.

    Attributes:
        variant: Which of `VARIANTS` it is.
        mode: Whether `verbs` calls `x` or awaits `ax`.
        hash_tag: The service's option.
        client: A sync client of the variant's kind, shared with other tests.
    """

    def __init__(self, variant: Variant, mode: Mode, server: Any, clients: SharedClients) -> None:
        self.variant = variant
        self.mode = mode
        self.hash_tag = variant.hash_tag
        self._server = server
        self._fake = fakeredis.FakeServer() if server is None else None
        self._clients = clients
        self._to_close: list[Any] = []

    @property
    def is_fake(self) -> bool:
        return self._fake is not None

    @property
    def is_cluster(self) -> bool:
        return self.variant.server == "redis_cluster"

    @property
    def client(self) -> Any:
        return self._sync_client(self.variant.options)

    @property
    def bytes_client(self) -> Any:
        """A sync client that gives bytes, to look at what is stored."""
        return self._sync_client({})

    def make_async_client(self) -> Any:
        """Make an async client for the running loop; it is closed after the test."""
        options = self.variant.options
        if self._fake is not None:
            client: Any = fakeredis.FakeAsyncRedis(server=self._fake, **options)
        else:
            client = self._server.async_client(**options)
        self._to_close.append(client)
        return client

    def _sync_client(self, options: dict[str, Any]) -> Any:
        if self._fake is None:
            return self._clients.get(self._server, options)
        client = fakeredis.FakeRedis(server=self._fake, **options)
        self._to_close.append(client)
        return client

    async def aclose(self) -> None:
        """Close the clients that were made for this test."""
        for client in self._to_close:
            if hasattr(client, "aclose"):
                await client.aclose()
            else:
                client.close()


class SharedClients:
    """The sync clients of the whole run, one of each kind: connecting takes longer than a test."""

    def __init__(self) -> None:
        self._made: dict[tuple[str, str], Any] = {}

    def get(self, server: Any, options: dict[str, Any]) -> Any:
        name = (server.url, repr(sorted(options.items())))
        if name not in self._made:
            self._made[name] = server.client(**options)
        return self._made[name]

    def close(self) -> None:
        for client in self._made.values():
            client.close()


class Verbs:
    """Calls `x` or awaits `ax` of an object, so that a test body need not know.

    `await verbs.append_event(key, event)` is `service.append_event(key, event)` in sync mode
    and `await service.aappend_event(key, event)` in async mode. What is no function is given
    as it is. As an async context manager it closes the object.
    """

    def __init__(self, target: Any, mode: Mode) -> None:
        self.target = target
        self.mode = mode

    @property
    def service(self) -> RedisSessionService:
        """The service itself, for what takes one."""
        service: RedisSessionService = self.target
        return service

    def of(self, target: Any) -> Verbs:
        """Do the same with another object, such as a history."""
        return Verbs(target, self.mode)

    def __getattr__(self, name: str) -> Any:
        verb = getattr(self.target, name)
        if not inspect.isroutine(verb):
            return verb
        return getattr(self.target, f"a{name}") if self.mode == "async" else partial(_await, verb)

    async def __aenter__(self) -> Verbs:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()


async def _await(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    return function(*args, **kwargs)


class RedisProbe:
    """Looks at what a test has really stored, in bytes.

    Anything that is not here is the client's: `probe.zrange(probe.key("event:{a}:u:s"), 0, -1)`.
    """

    def __init__(self, backend: Backend, key_prefix: str) -> None:
        self.key_prefix = key_prefix
        self.client = backend.bytes_client

    def key(self, rest: str) -> bytes:
        """Give the full name of a key of this test."""
        return f"{self.key_prefix}:{rest}".encode()

    def keys(self, pattern: str = "*") -> list[bytes]:
        """Give the keys of this test, with their prefix, from all nodes, sorted."""
        match = f"{self.key_prefix}:{pattern}"
        nodes: dict[str, Any] = {}
        if isinstance(self.client, RedisClusterClient):
            nodes = {"target_nodes": RedisClusterClient.PRIMARIES}
        return sorted(set(self.client.scan_iter(match=match, count=1000, **nodes)))

    def names(self, pattern: str = "*") -> list[str]:
        """Give the keys of this test without their prefix, sorted; no marks of deletions."""
        start = len(self.key_prefix) + 1
        names = [key[start:].decode() for key in self.keys(pattern)]
        return [name for name in names if not name.startswith("erased:")]

    def ttls(self) -> dict[str, int]:
        """Give the milliseconds that every key has left (-1: for ever), without the prefix."""
        return {name: self.client.pttl(self.key(name)) for name in self.names()}

    def __getattr__(self, name: str) -> Any:
        return getattr(self.client, name)
