"""From a URL or a client to the clients a service uses, and who closes them.

A client that was made here is closed here; one that was handed in is never closed or
changed. An async client belongs to one event loop, so one is kept for each running loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import os
import re
import threading
from collections.abc import Callable, Mapping
from typing import Any
from weakref import WeakKeyDictionary

import redis
import redis.asyncio
from redis.asyncio.cluster import ClusterNode as AsyncClusterNode
from redis.asyncio.cluster import RedisCluster as AsyncRedisCluster
from redis.asyncio.connection import ConnectionPool as AsyncConnectionPool
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import ExponentialBackoff

from langchain_redis_session.errors import ConfigurationError, shorten

DEFAULT_URL = "redis://localhost:6379/0"
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
    shown = re.sub(r"//[^/@]*@", "//***@", url)
    return re.sub(r"((?:password|username)=)[^&]*", r"\1***", shown)


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
        self._async: WeakKeyDictionary[asyncio.AbstractEventLoop, Any] = WeakKeyDictionary()
        self.description = description
        self.is_default = is_default

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

    def async_client(self) -> Any:
        """The running loop's async client, made when first asked for."""
        loop = asyncio.get_running_loop()
        client = self._async.get(loop)
        if client is None:
            if self._make_async is None:
                raise ConfigurationError(
                    "no async client can be made like the client that was given; pass "
                    "async_client= too for the verbs with an `a` in front"
                )
            client = self._make_async()
            with _lock:
                self._async[loop] = client
        return client

    def close(self) -> None:
        """Close the sync client if it is ours; other loops' async clients when they run next."""
        if self._owns_sync and self._sync is not None:
            self._sync.close()
        for loop, client in self._take_async():
            if not loop.is_closed():
                with contextlib.suppress(RuntimeError):  # it was closed just now
                    loop.call_soon_threadsafe(_close_soon, loop, client)

    async def aclose(self) -> None:
        """Close what is ours; this loop's client before it returns."""
        running = asyncio.get_running_loop()
        client = self._async.pop(running, None)
        if client is not None and self._owns_async:
            await client.aclose()
        self.close()

    def _take_async(self) -> list[tuple[asyncio.AbstractEventLoop, Any]]:
        with _lock:
            taken = list(self._async.items()) if self._owns_async else []
            self._async.clear()
        return taken


_closing: set[asyncio.Task[None]] = set()


def _close_soon(loop: asyncio.AbstractEventLoop, client: Any) -> None:
    task = loop.create_task(client.aclose())
    # A loop holds its tasks only weakly.
    _closing.add(task)
    task.add_done_callback(_closing.discard)


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


def _url_factories(url: str, shown: str, options: dict[str, Any]) -> tuple[Factory, Factory]:
    try:
        # Connects to nothing yet; tells what is wrong with the URL or the options now.
        client = redis.Redis.from_url(url, **options)
        client.connection_pool.connection_class(**client.connection_pool.connection_kwargs)
    except (ValueError, TypeError, redis.RedisError) as error:
        raise ConfigurationError(f"redis_url={shown!r} can't be used: {error}") from None
    return lambda: client, lambda: redis.asyncio.Redis.from_url(url, **options)


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
    """How to make an async client like a sync one; None where that is not known."""
    if isinstance(client, redis.RedisCluster):
        return lambda: _make_cluster_twin(client)
    pool: Any = getattr(client, "connection_pool", None)
    if type(client).__module__.startswith("fakeredis"):
        return lambda: _make_memory_twin(pool.connection_kwargs)
    twins = {
        redis.Connection: redis.asyncio.Connection,
        redis.SSLConnection: redis.asyncio.SSLConnection,
        redis.UnixDomainSocketConnection: redis.asyncio.UnixDomainSocketConnection,
    }
    connection_class = twins.get(getattr(pool, "connection_class", None))  # type: ignore[arg-type]
    if connection_class is None:
        return None
    return lambda: _make_twin(connection_class, pool.connection_kwargs)


def _accepted(function: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    """Those options that `function` knows, or the classes it passes them on to."""
    classes = function.__mro__ if inspect.isclass(function) else (function,)
    known = {name for c in classes for name in inspect.signature(c).parameters}
    return {name: value for name, value in options.items() if name in known}


def _make_twin(connection_class: Any, options: Mapping[str, Any]) -> Any:
    accepted = _accepted(connection_class, options)
    # The sync machinery for retries and notifications would not work on a loop.
    for name in list(accepted):
        if name.startswith("maint_notifications") or name in ("parser_class", "event_dispatcher"):
            del accepted[name]
    retry = accepted.pop("retry", None)
    if retry is not None:
        accepted["retry"] = AsyncRetry(ExponentialBackoff(), retry.get_retries())
    pool = AsyncConnectionPool(connection_class=connection_class, **accepted)
    return redis.asyncio.Redis.from_pool(pool)


def _make_memory_twin(options: Mapping[str, Any]) -> Any:
    import fakeredis

    known = ("server", "host", "port", "db", "version", "server_type")
    return fakeredis.FakeAsyncRedis(**{name: options[name] for name in known if name in options})


def _make_cluster_twin(client: Any) -> Any:
    nodes = [AsyncClusterNode(node.host, node.port) for node in client.get_nodes()]
    options = _accepted(AsyncRedisCluster.__init__, client.get_connection_kwargs())
    for name in ("host", "port", "retry", "event_dispatcher"):
        options.pop(name, None)
    return AsyncRedisCluster(startup_nodes=nodes, **options)
