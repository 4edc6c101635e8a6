"""Clients of the one server that a URL names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import redis
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

from langchain_redis_session._connections.clients import Factory
from langchain_redis_session._connections.driver import name_client
from langchain_redis_session._connections.options import ClientOptions, find_unknown
from langchain_redis_session._connections.twins import make_twin_factory
from langchain_redis_session.errors import ConfigurationError, suggest

_RETRIES = 4
_ANY_URL = "redis://localhost"


def make_factories(
    url: str, shown: str, options: Mapping[str, Any]
) -> tuple[Factory, Factory | None]:
    """How to make the clients of a URL.

    Raises:
        ConfigurationError: It, or an option, can't be used.
    """
    # Every write may be sent twice, so a lost connection is no reason to bother the caller.
    retrying = {
        "retry": Retry(ExponentialBackoff(cap=0.5, base=0.02), _RETRIES),
        # Before redis-py 6, `retry` alone was for connecting only.
        "retry_on_error": [redis.ConnectionError, redis.TimeoutError],
    }
    client = _make_client(url, f"redis_url={shown!r}", {**retrying, **options})
    return lambda: client, make_twin_factory(client)


def check_options(options: Mapping[str, Any]) -> None:
    """Find misspelt options where there is no client to make with them.

    Raises:
        ConfigurationError: There is no such option.
    """
    if options:
        _make_client(_ANY_URL, "the options for clients", options)


def _make_client(url: str, what: str, options: Mapping[str, Any]) -> redis.Redis:
    """Make a client that connects to nothing yet; tells what is wrong with its options now."""
    if name := find_unknown(options):
        raise ConfigurationError(
            f"{what} can't be used: redis-py's clients have no option {name!r}"
            + suggest(name, ClientOptions.__annotations__)
        )
    try:
        client = name_client(redis.Redis.from_url(url, **options))
        client.connection_pool.connection_class(**client.connection_pool.connection_kwargs)
    except (ValueError, TypeError, redis.RedisError) as error:
        reason = str(error)
        if "Port" in reason:  # it would quote what stands there: a part of a password
            reason = "its port is no number; in a password, percent-encode / ? # and @"
        raise ConfigurationError(f"{what} can't be used: {reason}") from None
    return client  # type: ignore[no-any-return]
