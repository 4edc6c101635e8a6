"""From a URL or a client to the clients a service uses, and who closes them.

A client that was made here is closed here; one that was handed in is never closed or
changed. An async client belongs to one event loop, so one is kept for each running loop.
"""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Mapping
from typing import Any

import redis
import redis.asyncio
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

from langchain_redis_session._connections.clients import Connections, Factory
from langchain_redis_session._connections.driver import name_client
from langchain_redis_session._connections.memory import open_memory
from langchain_redis_session._connections.options import ClientOptions, find_unknown
from langchain_redis_session._connections.twins import make_twin_factory
from langchain_redis_session.errors import ConfigurationError, shorten, suggest

DEFAULT_URL = "redis://localhost:6379/0"
_RETRIES = 4
_SCHEMES = "redis://, rediss://, unix://, memory://"
_LATER_SCHEMES = ("redis+cluster", "rediss+cluster", "redis+sentinel", "rediss+sentinel")


def hide_password(url: str) -> str:
    """Give a URL that can be shown.

    >>> hide_password("redis://:secret@db:6379/0?password=x")
    'redis://***@db:6379/0?password=***'
    """
    shown = re.sub(r"((?:password|username)=)[^&]*", r"\1***", url)
    # To the last @: a password that holds "@" or "/" unescaped is one too.
    return re.sub(r"//.*@", "//***@", shown)


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
        _check_options(extra_options)
        return _adopt(client, async_client)
    if redis_url is None and redis_instance is not None:
        raise ConfigurationError(
            f"redis_instance={shorten(redis_instance)}: named instances are not supported yet; "
            "pass redis_url= or client="
        )
    is_default = not redis_url and not os.environ.get("REDIS_URL")
    url = redis_url or os.environ.get("REDIS_URL") or DEFAULT_URL
    return _open_url(url, dict(extra_options), is_default)


def _open_url(url: object, options: dict[str, Any], is_default: bool) -> Connections:
    if not isinstance(url, str):
        raise ConfigurationError(f"redis_url must be a string, not {type(url).__name__}")
    shown = hide_password(url)
    scheme, _, rest = url.partition("://")
    if scheme == "memory":
        _check_options(options)
        return open_memory(rest, description=shown)
    if scheme in ("redis", "rediss", "unix"):
        make_sync, make_async = _url_factories(url, shown, options)
    elif scheme in _LATER_SCHEMES:
        raise ConfigurationError(
            f"redis_url={shown!r}: {scheme}:// is not supported yet; pass a client= of redis-py "
            f"(redis.RedisCluster, Sentinel.master_for(…)), or one of {_SCHEMES}"
        )
    else:
        raise ConfigurationError(f"redis_url={shown!r} must begin with one of {_SCHEMES}")
    return Connections(
        make_sync,
        make_async,
        owns_sync=True,
        owns_async=True,
        description=shown,
        is_default=is_default,
    )


def _url_factories(
    url: str, shown: str, options: Mapping[str, Any]
) -> tuple[Factory, Factory | None]:
    # Every write may be sent twice, so a lost connection is no reason to bother the caller.
    retrying = {
        "retry": Retry(ExponentialBackoff(cap=0.5, base=0.02), _RETRIES),
        # Before redis-py 6, `retry` alone was for connecting only.
        "retry_on_error": [redis.ConnectionError, redis.TimeoutError],
    }
    client = _make_url_client(url, f"redis_url={shown!r}", {**retrying, **options})
    return lambda: client, make_twin_factory(client)


def _check_options(options: Mapping[str, Any]) -> None:
    """Find misspelt options where there is no client to make with them."""
    if options:
        _make_url_client(DEFAULT_URL, "the options for clients", options)


def _make_url_client(url: str, what: str, options: Mapping[str, Any]) -> redis.Redis:
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


def _adopt(client: Any, async_client: Any) -> Connections:
    make_async = (lambda: async_client) if async_client is not None else make_twin_factory(client)
    return Connections(
        (lambda: client) if client is not None else None,
        make_async,
        owns_sync=False,
        owns_async=async_client is None,
        description=type(client if client is not None else async_client).__name__,
    )
