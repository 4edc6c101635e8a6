"""Clients that were handed in."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

import redis
import redis.asyncio

from langchain_redis_session._connections.clients import Connections
from langchain_redis_session._connections.twins import make_twin_factory
from langchain_redis_session._flow.advice import Origin
from langchain_redis_session.errors import ConfigurationError


def is_async_client(client: Any) -> bool:
    """Whether it is a client of `redis.asyncio`."""
    return inspect.iscoroutinefunction(getattr(client, "execute_command", None))


def _name_kind(client: Any) -> str:
    if isinstance(client, type):
        return f"the class {client.__qualname__}"
    return type(client).__qualname__


def _find_misuse(client: Any, other: str, *, is_async: bool) -> str:
    """What to do with what is no client of its kind; "" where it is one."""
    if type(client).__module__ == "unittest.mock":
        return "in tests, give a client of fakeredis, or redis_url='memory://…'"
    if isinstance(client, type):
        return "give an object of that class"
    if isinstance(client, str):
        return "a URL goes to redis_url="
    if hasattr(client, "master_for"):
        return "give what its master_for(…) gives, or a redis+sentinel:// URL"
    if hasattr(client, "execute") and hasattr(client, "reset"):
        return "give the client that the pipeline was made by"
    methods = [getattr(client, name, None) for name in ("execute_command", "pipeline")]
    return "" if all(map(callable, methods)) and is_async_client(client) is is_async else other


def check_clients(client: Any, async_client: Any, *, name: str = "client=") -> None:
    """Refuse what is no client, by what the sync one is called.

    Raises:
        ConfigurationError: One of them is no client of its kind.
    """
    an_async, a_sync = "an async one goes to async_client=", f"a sync one goes to {name}"
    if client is not None and (misuse := _find_misuse(client, an_async, is_async=False)):
        raise ConfigurationError(
            f"{name} must be a sync client of redis-py, not {_name_kind(client)}; {misuse}"
        )
    if async_client is not None and (misuse := _find_misuse(async_client, a_sync, is_async=True)):
        raise ConfigurationError(
            "async_client= must be a client of redis.asyncio, not "
            f"{_name_kind(async_client)}; {misuse}"
        )


def adopt_clients(client: Any, async_client: Any) -> Connections:
    """Use clients that stay with whoever gave them."""
    make_async = (lambda: async_client) if async_client is not None else make_twin_factory(client)
    return Connections(
        (lambda: client) if client is not None else None,
        make_async,
        owns_sync=False,
        owns_async=async_client is None,
        description=type(client if client is not None else async_client).__name__,
        origin=_find_origin(client if client is not None else async_client),
    )


def _find_origin(client: Any) -> Origin:
    """What is told of a client of the caller's: whether it speaks TLS, where that can be seen."""
    pool = getattr(client, "connection_pool", None)
    connection_class = getattr(pool, "connection_class", None)
    scheme = ""
    if connection_class in (redis.Connection, redis.asyncio.Connection):
        scheme = "redis"
    elif connection_class in (redis.SSLConnection, redis.asyncio.SSLConnection):
        scheme = "rediss"
    return Origin(scheme, "caller")


def open_factory(factory: Callable[[], Any], description: str) -> Connections:
    """Use a client that a function makes when it is first needed; it is closed here."""

    def make_sync() -> Any:
        client = factory()
        check_clients(client, None, name="what factory= gives")
        return client

    async def make_async() -> Any:
        # In a thread: the function may fetch a secret first, or look for a cluster's nodes.
        make_twin = make_twin_factory(await asyncio.to_thread(connections.sync_client))
        if make_twin is None:
            raise ConfigurationError(
                f"{description}: no async client can be made like the one that factory= gives; "
                "register it with client= and async_client="
            )
        twin = make_twin()
        return await twin if inspect.iscoroutine(twin) else twin

    connections = Connections(
        make_sync,
        make_async,
        owns_sync=True,
        owns_async=True,
        description=description,
        origin=Origin("", "caller"),
    )
    return connections
