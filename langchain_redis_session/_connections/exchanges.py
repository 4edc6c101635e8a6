"""Which connection an exchange uses: chosen once for a client, by what kind it is."""

from __future__ import annotations

import inspect
from typing import Any

from langchain_redis_session._connections.clustered import (
    AsyncClusterExchanges,
    ClusterExchanges,
)
from langchain_redis_session._connections.kept import KeptExchanges, can_keep
from langchain_redis_session._connections.pipelining import can_pipeline
from langchain_redis_session._connections.pooled import AsyncPooledExchanges, PooledExchanges
from langchain_redis_session._connections.proven import AsyncProvenExchanges, ProvenExchanges
from langchain_redis_session._connections.shared import SharedExchanges
from langchain_redis_session._flow.advice import UNKNOWN, Origin
from langchain_redis_session._flow.exchange import AsyncExchanges, Exchanges

try:
    from redis.observability.providers import get_observability_instance as find_observability
except ImportError:  # before redis-py 7.2
    find_observability = None  # type: ignore[assignment]

DEFAULT_TIMEOUT_S = 20.0


def open_exchanges(
    client: Any,
    *,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    name: str = "the client",
    keeps: bool = False,
    origin: Origin = UNKNOWN,
) -> Exchanges:
    """Give what carries out exchanges with a sync client's server.

    Args:
        client: Of redis-py, or like it.
        timeout_s: How long callers wait where all connections are in use.
        name: What to call the server in errors.
        keeps: Whether connections may be kept out of the pool: nobody else uses it.
        origin: Where the client comes from.
    """
    made = _choose(client, timeout_s=timeout_s, name=name, keeps=keeps)
    made.origin = origin
    return made


def _choose(client: Any, *, timeout_s: float, name: str, keeps: bool) -> Exchanges:
    is_plain = _is_plain(client)
    if hasattr(client, "get_primaries"):
        return ClusterExchanges(client, is_plain=is_plain, timeout_s=timeout_s, name=name)
    if not is_plain:
        return ProvenExchanges(client, timeout_s=timeout_s, name=name)
    pool = client.connection_pool
    make = KeptExchanges if keeps and can_keep(pool) else PooledExchanges
    return make(pool, timeout_s=timeout_s, name=name)


def open_async_exchanges(
    client: Any,
    *,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    name: str = "the client",
    keeps: bool = False,
    origin: Origin = UNKNOWN,
) -> AsyncExchanges:
    """Give what carries out exchanges with an async client's server.

    Args:
        client: Of redis-py.
        timeout_s: How long callers wait for a connection where all are in use.
        name: What to call the server in errors.
        keeps: Whether tasks may share a connection: nobody else uses the pool.
        origin: Where the client comes from.
    """
    made = _choose_async(client, timeout_s=timeout_s, name=name, keeps=keeps)
    made.origin = origin
    return made


def _choose_async(client: Any, *, timeout_s: float, name: str, keeps: bool) -> AsyncExchanges:
    is_plain = _is_plain(client)
    if hasattr(client, "get_primaries"):
        return AsyncClusterExchanges(client, is_plain=is_plain, timeout_s=timeout_s, name=name)
    if not is_plain:
        return AsyncProvenExchanges(client, timeout_s=timeout_s, name=name)
    if keeps and _can_share(client.connection_pool):
        return SharedExchanges(client.connection_pool, timeout_s=timeout_s, name=name)
    return AsyncPooledExchanges(client.connection_pool, timeout_s=timeout_s, name=name)


def _is_plain(client: Any) -> bool:
    """Whether going past a client's own `execute_command` leaves out nothing."""
    if getattr(client, "connection", None) or getattr(client, "single_connection_client", False):
        return False
    method = client.execute_command
    function = getattr(method, "__func__", None)  # of a plain method, which a wrapper is not
    return (
        inspect.ismethod(method)
        and function.__module__.partition(".")[0] == "redis"
        and not hasattr(function, "__wrapped__")
        and not _are_metrics_on()
    )


def _can_share(pool: Any) -> bool:
    """Whether a connection can be set aside: not the only one, nor one that logs in anew."""
    return (
        pool.max_connections > 1
        and not pool.connection_kwargs.get("credential_provider")
        and can_pipeline(pool.connection_class)
    )


def _are_metrics_on() -> bool:
    """Whether redis-py counts and times commands, where it runs them itself."""
    return find_observability is not None and bool(find_observability().is_enabled())
