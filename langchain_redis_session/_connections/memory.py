"""`memory://` URLs: fakeredis, shared by name within the process."""

from __future__ import annotations

import threading
from typing import Any

from langchain_redis_session._connections.clients import Factory
from langchain_redis_session.errors import ConfigurationError

_servers: dict[str, Any] = {}
_lock = threading.Lock()


def make_memory_factories(name: str) -> tuple[Factory, Factory]:
    """What makes sync and async clients of the store that has this name.

    Raises:
        ConfigurationError: fakeredis is not installed.
    """
    try:
        import fakeredis
    except ImportError:
        raise ConfigurationError(
            "memory:// needs the package fakeredis: pip install 'langchain-redis-session[embedded]'"
        ) from None
    with _lock:
        server = _servers.setdefault(name, fakeredis.FakeServer())
    return (
        lambda: fakeredis.FakeRedis(server=server),
        lambda: fakeredis.FakeAsyncRedis(server=server),
    )
