"""`memory://` URLs: fakeredis, shared by name within the process."""

from __future__ import annotations

import asyncio
import threading
from importlib.util import find_spec
from typing import Any

from langchain_redis_session._connections.clients import Connections
from langchain_redis_session._connections.driver import name_client
from langchain_redis_session.errors import ConfigurationError

_servers: dict[str, Any] = {}
_lock = threading.Lock()


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
    import fakeredis

    return fakeredis


def _open_server(name: str) -> Any:
    with _lock:
        return _servers.setdefault(name, _load().FakeServer())
