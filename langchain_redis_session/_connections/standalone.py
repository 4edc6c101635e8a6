"""Clients of the one server that a URL names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import redis
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

from langchain_redis_session._connections.addresses import Address
from langchain_redis_session._connections.checks import (
    check_client_options,
    check_together,
    try_connection,
)
from langchain_redis_session._connections.clients import Factory
from langchain_redis_session._connections.driver import name_client
from langchain_redis_session._connections.twins import make_twin_factory

_RETRIES = 4


def make_factories(
    address: Address, what: str, options: Mapping[str, Any]
) -> tuple[Factory, Factory | None]:
    """How to make the clients of a URL.

    Raises:
        ConfigurationError: It, or an option, can't be used.
    """
    check_client_options(address, what, options)

    def make() -> Any:
        return try_connection(
            name_client(redis.Redis.from_url(address.url, **add_retries(options)))
        )

    client = check_together(make, address, what, options)
    return lambda: client, make_twin_factory(client)


def add_retries(options: Mapping[str, Any]) -> dict[str, Any]:
    """Every write may be sent twice, so a lost connection is no reason to bother the caller."""
    return {
        "retry": Retry(ExponentialBackoff(cap=0.5, base=0.02), _RETRIES),
        # Before redis-py 6, `retry` alone was for connecting only.
        "retry_on_error": [redis.ConnectionError, redis.TimeoutError],
        **options,
    }
