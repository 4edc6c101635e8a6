"""From a URL or a client to the clients a service uses, and who closes them.

A client that was made here is closed here; one that was handed in is never closed or
changed. An async client belongs to one event loop, so one is kept for each running loop.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Literal

from langchain_redis_session._connections.addresses import (
    Address,
    parse_address,
    pop_address,
    refuse_second_address,
)
from langchain_redis_session._connections.checks import check_options
from langchain_redis_session._connections.clients import Connections, Factory
from langchain_redis_session._connections.exchanges import DEFAULT_TIMEOUT_S
from langchain_redis_session._connections.given import adopt_clients, check_clients, open_factory
from langchain_redis_session._connections.registry import (
    Instance,
    drop_instance,
    find_instance,
    put_instance,
)
from langchain_redis_session._connections.standalone import make_factories
from langchain_redis_session._flow.advice import Origin
from langchain_redis_session.errors import ConfigurationError, shorten

DEFAULT_URL = "redis://localhost:6379/0"
_Maker = Callable[[Address, str, Mapping[str, Any]], tuple[Factory, Factory | None]]


def open_connections(
    redis_url: str | None,
    redis_instance: str | None,
    client: Any,
    async_client: Any,
    extra_options: Mapping[str, Any],
    *,
    pool_timeout_s: float = DEFAULT_TIMEOUT_S,
) -> Connections:
    """Find out which clients to use: those given, else a URL's, else an instance's.

    An instance's connections have the timeout of the service that comes first.

    Raises:
        ConfigurationError: The URL or a client can't be used.
    """
    if client is not None or async_client is not None:
        check_clients(client, async_client)
        check_options(extra_options)
        return _with_timeout(adopt_clients(client, async_client), pool_timeout_s)
    if redis_url is None and redis_instance is not None:
        if extra_options:
            raise ConfigurationError(
                f"options for clients ({', '.join(extra_options)}) beside redis_instance="
                f"{shorten(redis_instance)}, whose connections are shared; pass them to "
                "register_redis_instance"
            )
        return find_instance(redis_instance).lease(pool_timeout_s)
    return _with_timeout(_open_url(redis_url, dict(extra_options)), pool_timeout_s)


def _with_timeout(connections: Connections, pool_timeout_s: float) -> Connections:
    connections.pool_timeout_s = pool_timeout_s
    return connections


def register_redis_instance(
    name: str,
    url: str | None = None,
    *,
    client: Any = None,
    async_client: Any = None,
    factory: Callable[[], Any] | None = None,
    **options: Any,
) -> None:
    """Give a Redis a name, for `redis_instance=` of services and histories.

    All services on one instance share its connections; the last one to close closes those that
    were made here. A name that is registered again means the new instance from then on.

    Args:
        name: What to call it.
        url: As `redis_url` of `RedisSessionService`.
        client: Or your own sync client, which is never closed.
        async_client: Your own async client, likewise.
        factory: Or a function without arguments that makes a sync client when it is first
            needed, for secrets that have to be fetched; that one is closed here.
        options: Options of redis-py's clients, for those made of a URL.

    Raises:
        ConfigurationError: The name, the URL, a client or an option can't be used.

    Example:
        >>> register_redis_instance("doc-main", "memory://doc-registry")
        >>> from langchain_redis_session import RedisSessionService
        >>> with RedisSessionService(redis_instance="doc-main") as service:
        ...     service.ping()
        True
        >>> unregister_redis_instance("doc-main")
    """
    if not isinstance(name, str) or not name:
        raise ConfigurationError(f"name={shorten(name)} can't name an instance; give a text")
    has_client = client is not None or async_client is not None
    if (url is not None) + has_client + (factory is not None) != 1:
        raise ConfigurationError(
            "register_redis_instance needs one of url=, client= (with async_client=, or that "
            "alone) and factory="
        )
    if url is None and options:
        raise ConfigurationError(
            f"options for clients ({', '.join(options)}) go with a url= only; make your client "
            "with them"
        )
    if factory is not None and not callable(factory):
        raise ConfigurationError(
            f"factory={shorten(factory)} must be a function that gives a client"
        )
    if factory is not None:
        open_it = partial(open_factory, factory, f"instance {name!r}")
    elif has_client:
        check_clients(client, async_client)
        open_it = partial(adopt_clients, client, async_client)
    else:
        _open_url(url, dict(options))  # connects to nothing, and tells what is wrong
        open_it = partial(_open_url, url, dict(options), "instance")
    put_instance(name, Instance(open_it))


def unregister_redis_instance(name: str) -> None:
    """Forget an instance; services that have it go on.

    Raises:
        RedisInstanceNotFoundError: There is none of that name.
    """
    drop_instance(name)


def _open_url(
    redis_url: object, options: dict[str, Any], maker: Literal["service", "instance"] = "service"
) -> Connections:
    address, what, is_default = find_address(redis_url, options)
    if address.kind == "memory":
        from langchain_redis_session._connections.memory import open_memory

        check_options(options)
        return open_memory(address.name, description=str(address))
    make_sync, make_async = _find_maker(address.kind)(address, what, options)
    return Connections(
        make_sync,
        make_async,
        owns_sync=True,
        owns_async=True,
        description=str(address),
        is_default=is_default,
        keeps=True,
        origin=Origin(address.scheme, maker),
    )


def _find_maker(kind: str) -> _Maker:
    """What makes the clients of a kind of URL; it is loaded when the first such URL comes."""
    if kind == "redis+cluster":
        from langchain_redis_session._connections.cluster import make_cluster_factories

        return make_cluster_factories
    if kind == "redis+sentinel":
        from langchain_redis_session._connections.sentinel import make_sentinel_factories

        return make_sentinel_factories
    return make_factories


def find_address(redis_url: object, options: dict[str, Any]) -> tuple[Address, str, bool]:
    """Give what names Redis, where that was said, and whether nobody did.

    That is the URL, else `host=` and the like among the options (which are taken out), else
    the environment's URL, else the default.

    Raises:
        ConfigurationError: It can't be used.
    """
    if redis_url is not None and not isinstance(redis_url, str):
        advice = "; a client goes to client=" if hasattr(redis_url, "execute_command") else ""
        raise ConfigurationError(
            f"redis_url must be a string, not {type(redis_url).__name__}{advice}"
        )
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
