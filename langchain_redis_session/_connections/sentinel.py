"""Clients of the primary that Sentinels name; each new connection asks them anew."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import redis
import redis.asyncio
import redis.asyncio.sentinel
import redis.sentinel

from langchain_redis_session._connections.addresses import Address
from langchain_redis_session._connections.checks import (
    check_client_options,
    check_together,
    parse_url_options,
)
from langchain_redis_session._connections.clients import Factory
from langchain_redis_session._connections.defaults import add_defaults
from langchain_redis_session._connections.driver import name_driver
from langchain_redis_session._connections.retries import add_retries, make_retry
from langchain_redis_session._connections.twins import (
    loses_tls_options,
    parameters_of,
    to_async_options,
)

_ASYNC = parameters_of(redis.asyncio.SSLConnection) | {"max_connections"}


class _Client(redis.Redis):
    """Closes its connections to Sentinels too."""

    def close(self) -> None:
        super().close()
        manager: Any = self.connection_pool
        for sentinel in manager.sentinel_manager.sentinels:
            sentinel.close()


class _AsyncClient(redis.asyncio.Redis):
    """Closes its connections to Sentinels too."""

    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        await super().aclose(close_connection_pool)
        manager: Any = self.connection_pool
        for sentinel in manager.sentinel_manager.sentinels:
            await sentinel.aclose()


def make_sentinel_factories(
    address: Address, what: str, options: Mapping[str, Any]
) -> tuple[Factory, Factory | None]:
    """How to make the clients of a URL with Sentinels.

    Raises:
        ConfigurationError: It, or an option, can't be used.
    """
    to_sentinels: dict[str, Any] = {}
    to_server: dict[str, Any] = {}
    for name, value in options.items():
        of_sentinels = name.removeprefix("sentinel_")
        (to_server if of_sentinels == name else to_sentinels)[of_sentinels] = value
    check_client_options(address, what, options)
    chosen = {**to_server, **parse_url_options(address)}
    to_server = name_driver(add_retries(add_defaults(chosen, address.kind)))
    to_server["db"] = address.database or 0
    # Sentinels are reached as the server is, but for who asks.
    shared = ("socket_", "ssl_", "driver_info", "lib_", "client_name")
    to_sentinels = {
        **{name: value for name, value in to_server.items() if name.startswith(shared)},
        "retry": make_retry(1),  # the server's are around these
        **to_sentinels,
    }
    nodes = list(address.nodes)
    tls = {"ssl": True} if address.is_tls else {}

    def make_sync() -> Any:
        manager: Any = redis.sentinel.Sentinel(
            nodes, sentinel_kwargs={**to_sentinels, **tls}, **to_server, **tls
        )
        return manager.master_for(address.service, redis_class=_Client)

    def make_async() -> Any:
        manager: Any = redis.asyncio.sentinel.Sentinel(
            nodes,
            sentinel_kwargs={**to_async_options(to_sentinels, _ASYNC), **tls},
            **to_async_options(to_server, _ASYNC),
            **tls,
        )
        return manager.master_for(address.service, redis_class=_AsyncClient)

    check_together(make_sync, address, what, options)
    return make_sync, None if loses_tls_options(to_server, _ASYNC) else make_async
