"""From a URL or a client to the clients a service uses, and who closes them.

A client that was made here is closed here; one that was handed in is never closed or
changed. An async client belongs to one event loop, so one is kept for each running loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import inspect
import os
import re
import threading
from collections.abc import AsyncGenerator, Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import redis
import redis.asyncio
from redis.asyncio.cluster import ClusterNode as AsyncClusterNode
from redis.asyncio.cluster import RedisCluster as AsyncRedisCluster
from redis.asyncio.connection import BlockingConnectionPool as AsyncBlockingConnectionPool
from redis.asyncio.connection import ConnectionPool as AsyncConnectionPool
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

from langchain_redis_session.errors import ConfigurationError, shorten

DEFAULT_URL = "redis://localhost:6379/0"
_RETRIES = 4
_SCHEMES = "redis://, rediss://, unix://, memory://"
_LATER_SCHEMES = ("redis+cluster", "rediss+cluster", "redis+sentinel", "rediss+sentinel")
_memory_servers: dict[str, Any] = {}
_lock = threading.Lock()

Factory = Callable[[], Any]


def hide_password(url: str) -> str:
    """Give a URL that can be shown.

    >>> hide_password("redis://:secret@db:6379/0?password=x")
    'redis://***@db:6379/0?password=***'
    """
    shown = re.sub(r"((?:password|username)=)[^&]*", r"\1***", url)
    # To the last @: a password that holds "@" or "/" unescaped is one too.
    return re.sub(r"//.*@", "//***@", shown)


class Connections:
    """The clients of one service.

    Args:
        make_sync: Makes the sync client; None where there can't be one.
        make_async: Makes an async client for the running loop; None likewise.
        owns_sync: Whether `close` closes the sync client.
        owns_async: Likewise; an async client not owned serves every loop.
        description: What to call it in errors and reprs; without credentials.
        is_default: Whether nobody said where Redis is.
    """

    def __init__(
        self,
        make_sync: Factory | None,
        make_async: Factory | None,
        *,
        owns_sync: bool,
        owns_async: bool,
        description: str,
        is_default: bool = False,
    ) -> None:
        self._make_sync, self._make_async = make_sync, make_async
        self._owns_sync, self._owns_async = owns_sync, owns_async
        self._sync: Any = None
        self._is_closed = False
        self._async: WeakKeyDictionary[asyncio.AbstractEventLoop, _Kept] = WeakKeyDictionary()
        self.description = description
        self.is_default = is_default

    @property
    def has_sync(self) -> bool:
        """Whether there can be a sync client."""
        return self._make_sync is not None

    def sync_client(self) -> Any:
        """The sync client, made when first asked for."""
        if self._sync is None:
            with _lock:
                if self._sync is None:
                    if self._make_sync is None:
                        raise ConfigurationError(
                            "only an async client was given, so only the verbs with an `a` in "
                            "front work; pass client= or redis_url= too for the others"
                        )
                    self._sync = self._make_sync()
        return self._sync

    def any_client(self) -> Any:
        """A client that was made already, of either kind; None if there is none."""
        if self._sync is not None:
            return self._sync
        kept = next(iter(list(self._async.values())), None)
        return kept and kept.client

    def running_client(self) -> Any:
        """The running loop's async client; None before `open_async_client`."""
        kept = self._async.get(asyncio.get_running_loop())
        return kept and kept.client

    async def open_async_client(self) -> Any:
        """Make the running loop's async client, which is closed with the loop at the latest."""
        if self._make_async is None:
            raise ConfigurationError(
                "no async client can be made like the client that was given; pass "
                "async_client= too for the verbs with an `a` in front"
            )
        client = self._make_async()
        kept = _Kept(client, _close_with_loop(client) if self._owns_async else None)
        with _lock:
            self._async[asyncio.get_running_loop()] = kept
        await kept.start()
        return client

    def close(self) -> None:
        """Close the sync client if it is ours; other loops' async clients when they run next."""
        self._is_closed = True
        if self._owns_sync and self._sync is not None:
            self._sync.close()
        with _lock:
            others = list(self._async.items())
            self._async.clear()
        for loop, kept in others:
            with contextlib.suppress(RuntimeError):  # that loop has ended, and closed its client
                loop.call_soon_threadsafe(kept.close_soon, loop)

    def release(self) -> None:
        """After a use in the background: close what it has kept open beyond `close`."""
        if self._is_closed and self._owns_sync and self._sync is not None:
            # Not what others still use: they would connect again.
            self._sync.connection_pool.disconnect(inuse_connections=False)

    async def aclose(self) -> None:
        """Close what is ours; this loop's client before it returns."""
        kept = self._async.pop(asyncio.get_running_loop(), None)
        if kept is not None:
            await kept.close()
        self.close()


async def _close_with_loop(client: Any) -> AsyncGenerator[None, None]:
    # asyncio.run closes the generators that its loop has started: this is how a loop that
    # ends without our `aclose` leaves no connection open.
    try:
        yield
    finally:
        await client.aclose()


@dataclass(slots=True)
class _Kept:
    """One loop's client, and what closes it; None where it is not ours."""

    client: Any
    keeper: AsyncGenerator[None, None] | None

    async def start(self) -> None:
        if self.keeper is not None:
            await anext(self.keeper)

    async def close(self) -> None:
        if self.keeper is not None:
            await self.keeper.aclose()

    def close_soon(self, loop: asyncio.AbstractEventLoop) -> None:
        task = loop.create_task(self.close())
        _closing.add(task)  # a loop holds its tasks only weakly
        task.add_done_callback(_closing.discard)


_closing: set[asyncio.Task[None]] = set()


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
    make_async: Factory | None
    if scheme == "memory":
        _check_options(options)
        make_sync, make_async = _memory_factories(rest)
    elif scheme in ("redis", "rediss", "unix"):
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
    return lambda: client, _twin_factory(client)


def _check_options(options: Mapping[str, Any]) -> None:
    """Find misspelt options where there is no client to make with them."""
    if options:
        _make_url_client(DEFAULT_URL, "the options for clients", options)


def _make_url_client(url: str, what: str, options: Mapping[str, Any]) -> redis.Redis:
    """Make a client that connects to nothing yet; tells what is wrong with its options now."""
    try:
        client = redis.Redis.from_url(url, **options)
        client.connection_pool.connection_class(**client.connection_pool.connection_kwargs)
    except (ValueError, TypeError, redis.RedisError) as error:
        reason = str(error)
        if "Port" in reason:  # it would quote what stands there: a part of a password
            reason = "its port is no number; in a password, percent-encode / ? # and @"
        raise ConfigurationError(f"{what} can't be used: {reason}") from None
    return client


def _memory_factories(name: str) -> tuple[Factory, Factory]:
    try:
        import fakeredis
    except ImportError:
        raise ConfigurationError(
            "memory:// needs the package fakeredis: pip install 'langchain-redis-session[embedded]'"
        ) from None
    with _lock:
        server = _memory_servers.setdefault(name, fakeredis.FakeServer())
    return (
        lambda: fakeredis.FakeRedis(server=server),
        lambda: fakeredis.FakeAsyncRedis(server=server),
    )


def _is_async(client: Any) -> bool:
    return inspect.iscoroutinefunction(getattr(client, "execute_command", None))


def _adopt(client: Any, async_client: Any) -> Connections:
    if client is not None and (not hasattr(client, "execute_command") or _is_async(client)):
        raise ConfigurationError(
            f"client= must be a sync client of redis-py, not {type(client).__qualname__}; "
            "an async one goes to async_client="
        )
    if async_client is not None and not _is_async(async_client):
        raise ConfigurationError(
            f"async_client= must be a client of redis.asyncio, not "
            f"{type(async_client).__qualname__}; a sync one goes to client="
        )
    make_async = (lambda: async_client) if async_client is not None else _twin_factory(client)
    return Connections(
        (lambda: client) if client is not None else None,
        make_async,
        owns_sync=False,
        owns_async=async_client is None,
        description=type(client if client is not None else async_client).__name__,
    )


def _twin_factory(client: Any) -> Factory | None:
    """How to make an async client like a sync one; None where that can't be done."""
    if isinstance(client, redis.RedisCluster):
        options = client.get_connection_kwargs()
        known = _parameters_of(AsyncRedisCluster.__init__)
        if client.user_on_connect_func or _loses_tls_options(options, known):
            return None
        return lambda: _make_cluster_twin(client, known)
    pool: Any = getattr(client, "connection_pool", None)
    if type(client).__module__.startswith("fakeredis"):
        return lambda: _make_memory_twin(pool.connection_kwargs)
    twins: dict[Any, Any] = {
        redis.Connection: redis.asyncio.Connection,
        redis.SSLConnection: redis.asyncio.SSLConnection,
        redis.UnixDomainSocketConnection: redis.asyncio.UnixDomainSocketConnection,
    }
    connection_class = twins.get(getattr(pool, "connection_class", None))
    if connection_class is None:
        return None
    options, known = pool.connection_kwargs, _parameters_of(connection_class)
    # What a sync function does to a new connection can't be done to an async one.
    if options.get("redis_connect_func") or _loses_tls_options(options, known):
        return None
    return lambda: _make_twin(pool, connection_class, known)


def _parameters_of(function: Any) -> frozenset[str]:
    """What `function` takes, or the classes that it passes options on to."""
    classes = function.__mro__ if inspect.isclass(function) else (function,)
    return frozenset(name for c in classes for name in inspect.signature(c).parameters)


def _loses_tls_options(options: Mapping[str, Any], known: Collection[str]) -> bool:
    """Whether a twin would check less than the client that it is made like."""
    return any(value and name not in known for name, value in options.items() if "ssl_" in name)


def _to_async(options: Mapping[str, Any], known: Collection[str]) -> dict[str, Any]:
    """Those options that an async client takes too, and that mean something to it."""
    sync_only = ("parser_class", "event_dispatcher", "redis_connect_func", "himport_registry")
    taken = {
        name: value
        for name, value in options.items()
        if name in known and name not in sync_only and not name.startswith(("maint_", "orig_"))
    }
    if taken.get("retry") is not None:
        taken["retry"] = _make_async_retry(taken["retry"])
    return taken


def _make_async_retry(retry: Any) -> AsyncRetry:
    # A backoff may count, so each has its own. The errors worth a retry stand in
    # `retry_on_error`, and by default are redis.asyncio's.
    return AsyncRetry(copy.copy(retry._backoff), retry._retries)


def _make_twin(pool: Any, connection_class: Any, known: Collection[str]) -> Any:
    options = _to_async(pool.connection_kwargs, known)
    options["connection_class"] = connection_class
    options["max_connections"] = pool.max_connections
    if isinstance(pool, redis.BlockingConnectionPool):
        twin: Any = AsyncBlockingConnectionPool(timeout=pool.timeout, **options)
    else:
        twin = AsyncConnectionPool(**options)
    return redis.asyncio.Redis.from_pool(twin)


def _make_memory_twin(options: Mapping[str, Any]) -> Any:
    import fakeredis

    known = ("server", "host", "port", "db", "version", "server_type")
    return fakeredis.FakeAsyncRedis(**{name: options[name] for name in known if name in options})


def _make_cluster_twin(client: Any, known: Collection[str]) -> Any:
    given = client.get_connection_kwargs()
    manager = client.nodes_manager
    options = _to_async(
        {
            **given,
            # A rediss:// URL leaves a class there, which an async client doesn't know.
            "ssl": given.get("ssl") or given.get("connection_class") is redis.SSLConnection,
            "retry": getattr(client, "retry", None),
            "read_from_replicas": client.read_from_replicas,
            "load_balancing_strategy": getattr(client, "load_balancing_strategy", None),
            "require_full_coverage": manager._require_full_coverage,
            "address_remap": manager.address_remap,
        },
        known,
    )
    for name in ("host", "port", "connection_pool"):
        options.pop(name, None)
    if not options["read_from_replicas"]:
        del options["read_from_replicas"]  # deprecated, and warns when given
    nodes = [AsyncClusterNode(node.host, node.port) for node in client.get_nodes()]
    return AsyncRedisCluster(startup_nodes=nodes, **options)
