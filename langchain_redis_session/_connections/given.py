"""Clients that were handed in."""

from __future__ import annotations

import inspect
from typing import Any

from langchain_redis_session._connections.clients import Connections
from langchain_redis_session._connections.twins import make_twin_factory
from langchain_redis_session.errors import ConfigurationError


def _is_client(client: Any) -> bool:
    return hasattr(client, "execute_command") and not isinstance(client, type)


def _is_async(client: Any) -> bool:
    return inspect.iscoroutinefunction(getattr(client, "execute_command", None))


def check_clients(client: Any, async_client: Any, *, name: str = "client") -> None:
    """Refuse what is no client, by the name of the sync one's argument.

    Raises:
        ConfigurationError: One of them is no client of its kind.
    """
    if client is not None and (not _is_client(client) or _is_async(client)):
        raise ConfigurationError(
            f"{name}= must be a sync client of redis-py, not {type(client).__qualname__}; "
            "an async one goes to async_client="
        )
    if async_client is not None and not (_is_client(async_client) and _is_async(async_client)):
        raise ConfigurationError(
            f"async_client= must be a client of redis.asyncio, not "
            f"{type(async_client).__qualname__}; a sync one goes to {name}="
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
    )
