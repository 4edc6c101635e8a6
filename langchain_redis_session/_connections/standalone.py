"""Clients of the one server that a URL names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import redis

from langchain_redis_session._connections.addresses import Address
from langchain_redis_session._connections.checks import (
    check_client_options,
    check_together,
    try_connection,
)
from langchain_redis_session._connections.clients import Factory
from langchain_redis_session._connections.defaults import add_defaults
from langchain_redis_session._connections.driver import name_client
from langchain_redis_session._connections.retries import add_retries
from langchain_redis_session._connections.twins import make_twin_factory


def make_factories(
    address: Address, what: str, options: Mapping[str, Any]
) -> tuple[Factory, Factory | None]:
    """How to make the clients of a URL.

    Raises:
        ConfigurationError: It, or an option, can't be used.
    """
    check_client_options(address, what, options)

    def make() -> Any:
        chosen = add_retries(add_defaults(options, address.kind))
        return try_connection(name_client(redis.Redis.from_url(address.url, **chosen)))

    client = check_together(make, address, what, options)
    return lambda: client, make_twin_factory(client)
