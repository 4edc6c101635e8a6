"""From a URL or a client to the clients a service uses, and who closes them.

A client that was made here is closed here; one that was handed in is never closed or
changed. An async client belongs to one event loop, so one is kept for each running loop.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from langchain_redis_session._connections.addresses import (
    Address,
    parse_address,
    pop_address,
    refuse_second_address,
)
from langchain_redis_session._connections.clients import Connections
from langchain_redis_session._connections.given import adopt_clients, check_clients
from langchain_redis_session._connections.memory import open_memory
from langchain_redis_session._connections.standalone import check_options, make_factories
from langchain_redis_session.errors import ConfigurationError, shorten

DEFAULT_URL = "redis://localhost:6379/0"


def open_connections(
    redis_url: str | None,
    redis_instance: str | None,
    client: Any,
    async_client: Any,
    extra_options: Mapping[str, Any],
) -> Connections:
    """Find out which clients to use: those given, else a URL's.

    Raises:
        ConfigurationError: The URL or a client can't be used.
    """
    if client is not None or async_client is not None:
        check_clients(client, async_client)
        check_options(extra_options)
        return adopt_clients(client, async_client)
    if redis_url is None and redis_instance is not None:
        raise ConfigurationError(
            f"redis_instance={shorten(redis_instance)}: named instances are not supported yet; "
            "pass redis_url= or client="
        )
    return _open_url(redis_url, dict(extra_options))


def _open_url(redis_url: object, options: dict[str, Any]) -> Connections:
    address, what, is_default = find_address(redis_url, options)
    if address.kind == "memory":
        check_options(options)
        return open_memory(address.name, description=str(address))
    if address.kind not in ("redis", "unix"):
        raise ConfigurationError(f"{what}'{address}': not supported yet")
    make_sync, make_async = make_factories(address, what, options)
    return Connections(
        make_sync,
        make_async,
        owns_sync=True,
        owns_async=True,
        description=str(address),
        is_default=is_default,
    )


def find_address(redis_url: object, options: dict[str, Any]) -> tuple[Address, str, bool]:
    """Give what names Redis, where that was said, and whether nobody did.

    That is the URL, else `host=` and the like among the options (which are taken out), else
    the environment's URL, else the default.

    Raises:
        ConfigurationError: It can't be used.
    """
    if redis_url is not None and not isinstance(redis_url, str):
        raise ConfigurationError(f"redis_url must be a string, not {type(redis_url).__name__}")
    from_environment = os.environ.get("REDIS_URL")
    names_server = any(options.get(name) is not None for name in ("host", "port", "path"))
    if not redis_url and (names_server or not from_environment):
        address = pop_address(options)
        if address is not None:
            return address, "the address ", False
    url = redis_url or from_environment or DEFAULT_URL
    what = "redis_url=" if redis_url or not from_environment else "the environment's REDIS_URL="
    address = parse_address(url, what)
    refuse_second_address(options, address, what)
    options.pop("ssl", None)
    return address, what, not redis_url and not from_environment
