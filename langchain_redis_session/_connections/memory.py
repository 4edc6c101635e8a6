"""`memory://` URLs: fakeredis, shared by name within the process."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from importlib.util import find_spec
from typing import Any

from langchain_redis_session._connections.clients import Connections
from langchain_redis_session._connections.driver import name_client
from langchain_redis_session._connections.forks import renew_in_child
from langchain_redis_session.errors import ConfigurationError

_servers: dict[str, Any] = {}
_lock = threading.RLock()


def open_memory(name: str, *, description: str) -> Connections:
    """Give the clients of the store that has this name.

    fakeredis takes its time to load, so that is left to the first call, and there to a thread
    where an event loop would wait for it.

    Raises:
        ConfigurationError: fakeredis is not installed.
    """
    if find_spec("fakeredis") is None:
        raise ConfigurationError(
            "memory:// needs the package fakeredis: pip install 'langchain-redis-session[embedded]'"
        )

    async def make_async() -> Any:
        await asyncio.to_thread(_open_server, name)
        return name_client(_load().FakeAsyncRedis(server=_open_server(name)))

    return Connections(
        lambda: name_client(_load().FakeRedis(server=_open_server(name))),
        make_async,
        owns_sync=True,
        owns_async=True,
        description=description,
    )


def _load() -> Any:
    with _lock:  # for a child of a fork, a module that is half loaded stays so
        import fakeredis

    return fakeredis


def _open_server(name: str) -> Any:
    with _lock:
        return _servers.setdefault(name, _load().FakeServer())


# Forks: a child finds no server in the middle of a command, and the locks free.

_held: list[Any] = []
renew_in_child(sys.modules[__name__])


def _hold_still() -> None:
    _lock.acquire()
    for server in _servers.values():
        if server.lock.acquire(timeout=1.0):
            _held.append(server.lock)


def _let_go() -> None:
    while _held:
        _held.pop().release()


def _go_on() -> None:
    _let_go()
    _lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_hold_still, after_in_parent=_go_on, after_in_child=_let_go)
