"""Instances of Redis by name, whose services share connections.

The first service on an instance opens them, the last one to close closes them.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any, cast
from weakref import WeakSet

from langchain_redis_session._connections.clients import Connections
from langchain_redis_session._connections.forks import renew_in_child
from langchain_redis_session.errors import (
    ConfigurationError,
    RedisInstanceNotFoundError,
    shorten,
    suggest,
)

_instances: dict[str, Instance] = {}
_lock = threading.Lock()
renew_in_child(sys.modules[__name__])


class Instance:
    """A Redis that has a name."""

    def __init__(self, open_connections: Callable[[], Connections]) -> None:
        self._open = open_connections
        self._connections: Connections | None = None
        # Weakly: a service that nobody has closed, and nobody has any more, counts no longer.
        self._leases: WeakSet[_Lease] = WeakSet()

    def lease(self, pool_timeout_s: float) -> Connections:
        """Give a service its share of the connections; the first one's timeout is theirs."""
        with _lock:
            if self._connections is None:
                self._connections = self._open()
                self._connections.pool_timeout_s = pool_timeout_s
            lease = _Lease(self, self._connections)
            self._leases.add(lease)
        return cast("Connections", lease)

    def give_back(self, lease: _Lease) -> bool:
        """Take a share back; says whether it was the last, so that the connections are to close."""
        with _lock:
            if lease not in self._leases:
                return False
            self._leases.discard(lease)
            if self._leases:
                return False
            self._connections = None
            return True


class _Lease:
    """The connections of an instance, as one service has them."""

    def __init__(self, instance: Instance, connections: Connections) -> None:
        self._instance, self._connections = instance, connections

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connections, name)

    def close(self) -> None:
        if self._instance.give_back(self):
            self._connections.close()

    async def aclose(self) -> None:
        if self._instance.give_back(self):
            await self._connections.aclose()


def put_instance(name: str, instance: Instance) -> None:
    """Keep an instance, in place of one with the same name."""
    _instances[name] = instance


def find_instance(name: object) -> Instance:
    """Give the instance of a name.

    Raises:
        ConfigurationError: That is no name.
        RedisInstanceNotFoundError: There is none; it tells the names that there are.
    """
    if not isinstance(name, str):
        raise ConfigurationError(f"redis_instance must be a string, not {type(name).__name__}")
    instance = _instances.get(name)
    if instance is None:
        raise _make_error(name)
    return instance


def drop_instance(name: str) -> None:
    """Forget an instance.

    Raises:
        RedisInstanceNotFoundError: There is none of that name.
    """
    if _instances.pop(name, None) is None:
        raise _make_error(name)


def _make_error(name: object) -> RedisInstanceNotFoundError:
    known = sorted(_instances)
    return RedisInstanceNotFoundError(
        f"no Redis instance is registered as {shorten(name)}"
        + suggest(str(name), known)
        + (f"; registered are: {', '.join(map(repr, known))}" if known else "")
        + f"; register it first: register_redis_instance({shorten(name)}, url)"
    )
