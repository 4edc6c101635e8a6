"""An async client like a sync one that was given."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import Collection, Mapping
from typing import Any

import redis
import redis.asyncio
from redis.asyncio.cluster import ClusterNode as AsyncClusterNode
from redis.asyncio.cluster import RedisCluster as AsyncRedisCluster
from redis.asyncio.connection import BlockingConnectionPool as AsyncBlockingConnectionPool
from redis.asyncio.connection import ConnectionPool as AsyncConnectionPool

from langchain_redis_session._connections.clients import Factory
from langchain_redis_session._connections.driver import name_client, name_driver
from langchain_redis_session._connections.retries import to_async_retry


def make_twin_factory(client: Any) -> Factory | None:
    """How to make an async client like a sync one; None where that can't be done."""
    if isinstance(client, redis.RedisCluster):
        options = client.get_connection_kwargs()
        known = parameters_of(AsyncRedisCluster.__init__)
        if client.user_on_connect_func or loses_tls_options(options, known):
            return None
        return lambda: _make_cluster_twin(client, known)
    pool: Any = getattr(client, "connection_pool", None)
    if type(client).__module__.startswith("fakeredis"):
        return lambda: _make_memory_twin(pool.connection_kwargs)
    twins: dict[Any, Any] = {
        redis.Connection: redis.asyncio.Connection,
        redis.SSLConnection: redis.asyncio.SSLConnection,
        redis.UnixDomainSocketConnection: redis.asyncio.UnixDomainSocketConnection,
    }
    connection_class = twins.get(getattr(pool, "connection_class", None))
    if connection_class is None:
        return None
    options, known = pool.connection_kwargs, parameters_of(connection_class)
    # What a sync function does to a new connection can't be done to an async one.
    if options.get("redis_connect_func") or loses_tls_options(options, known):
        return None
    if connection_class is redis.asyncio.SSLConnection:
        return _make_tls_factory(pool, known)
    return lambda: _make_twin(pool, connection_class, known)


class _TlsConnection(redis.asyncio.SSLConnection):
    """A connection whose certificates were read from their files before, once for all."""

    def __init__(self, *, tls_context: Any, **options: Any) -> None:
        super().__init__(**options)
        self.ssl_context = tls_context


def _make_tls_factory(pool: Any, known: Collection[str]) -> Factory:
    options = to_async_options(pool.connection_kwargs, known)
    context = redis.asyncio.SSLConnection(**options).ssl_context

    async def make() -> Any:
        with contextlib.suppress(Exception):  # the first connection will tell
            await asyncio.to_thread(context.get)
        return _make_twin(pool, _TlsConnection, known, tls_context=context)

    return make


def parameters_of(function: Any) -> frozenset[str]:
    """What `function` takes, or the classes that it passes options on to."""
    classes = function.__mro__ if inspect.isclass(function) else (function,)
    return frozenset(name for c in classes for name in inspect.signature(c).parameters)


def loses_tls_options(options: Mapping[str, Any], known: Collection[str]) -> bool:
    """Whether a twin would check less than the client that it is made like."""
    return any(value and name not in known for name, value in options.items() if "ssl_" in name)


def to_async_options(options: Mapping[str, Any], known: Collection[str]) -> dict[str, Any]:
    """Those options that an async client takes too, and that mean something to it."""
    sync_only = ("parser_class", "event_dispatcher", "redis_connect_func", "himport_registry")
    taken = {
        name: value
        for name, value in name_driver(options).items()
        if name in known and name not in sync_only and not name.startswith(("maint_", "orig_"))
    }
    if taken.get("retry") is not None:
        taken["retry"] = to_async_retry(taken["retry"])
    return taken


def _make_twin(pool: Any, connection_class: Any, known: Collection[str], **more: Any) -> Any:
    options = {**to_async_options(pool.connection_kwargs, known), **more}
    options["connection_class"] = connection_class
    options["max_connections"] = pool.max_connections
    if isinstance(pool, redis.BlockingConnectionPool):
        twin: Any = AsyncBlockingConnectionPool(timeout=pool.timeout, **options)
    else:
        twin = AsyncConnectionPool(**options)
    return redis.asyncio.Redis.from_pool(twin)


def _make_memory_twin(options: Mapping[str, Any]) -> Any:
    import fakeredis

    known = ("server", "host", "port", "db", "version", "server_type")
    given = {name: options[name] for name in known if name in options}
    return name_client(fakeredis.FakeAsyncRedis(**given))


def _make_cluster_twin(client: Any, known: Collection[str]) -> Any:
    given = client.get_connection_kwargs()
    manager = client.nodes_manager
    options = to_async_options(
        {
            **given,
            # A rediss:// URL leaves a class there, which an async client doesn't know.
            "ssl": given.get("ssl") or given.get("connection_class") is redis.SSLConnection,
            "retry": getattr(client, "retry", None),
            "read_from_replicas": client.read_from_replicas,
            "load_balancing_strategy": getattr(client, "load_balancing_strategy", None),
            "require_full_coverage": manager._require_full_coverage,  # noqa: SLF001
            "address_remap": manager.address_remap,
        },
        known,
    )
    for name in ("host", "port", "connection_pool"):
        options.pop(name, None)
    if not options["read_from_replicas"]:
        del options["read_from_replicas"]  # deprecated, and warns when given
    nodes = [AsyncClusterNode(node.host, node.port) for node in client.get_nodes()]
    return AsyncRedisCluster(startup_nodes=nodes, **options)
