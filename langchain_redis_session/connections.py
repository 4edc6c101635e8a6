"""From a URL or a client to the clients a service uses, and who closes them.

A client that was made here is closed here; one that was handed in is never closed or
changed. An async client belongs to one event loop, so one is kept for each running loop.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from langchain_redis_session._connections.addresses import hide_password
from langchain_redis_session._connections.clients import Connections
from langchain_redis_session._connections.given import adopt_clients, check_clients
from langchain_redis_session._connections.memory import open_memory
from langchain_redis_session._connections.standalone import check_options, make_factories
from langchain_redis_session.errors import ConfigurationError, shorten

DEFAULT_URL = "redis://localhost:6379/0"
_SCHEMES = "redis://, rediss://, unix://, memory://"
_LATER_SCHEMES = ("redis+cluster", "rediss+cluster", "redis+sentinel", "rediss+sentinel")


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
    is_default = not redis_url and not os.environ.get("REDIS_URL")
    url = redis_url or os.environ.get("REDIS_URL") or DEFAULT_URL
    return _open_url(url, dict(extra_options), is_default)


def _open_url(url: object, options: dict[str, Any], is_default: bool) -> Connections:
    if not isinstance(url, str):
        raise ConfigurationError(f"redis_url must be a string, not {type(url).__name__}")
    shown = hide_password(url)
    scheme, _, rest = url.partition("://")
    if scheme == "memory":
        check_options(options)
        return open_memory(rest, description=shown)
    if scheme in ("redis", "rediss", "unix"):
        make_sync, make_async = make_factories(url, shown, options)
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
