"""The options of clients made here, unless others are given; docs/connections.md says why."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Any

import redis

from langchain_redis_session._connections.options import find_unknown

_KEEP_ALIVE = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 4}
"""Seconds of silence before the first probe, between two, and how many; as far as systems have
these."""
DEFAULTS: Mapping[str, Any] = {
    "max_connections": 50,
    "socket_connect_timeout": 5,
    "socket_timeout": 5,
    "health_check_interval": 30,
    "socket_keepalive": True,
    "socket_keepalive_options": {
        getattr(socket, name): value for name, value in _KEEP_ALIVE.items() if hasattr(socket, name)
    },
}
_OF_SOCKET_FILES = (
    "max_connections",
    "socket_timeout",
    "health_check_interval",
)


def add_defaults(options: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """Give the options of clients with the defaults among them.

    >>> add_defaults({"socket_timeout": 60, "max_connections": 7}, "unix")
    {'max_connections': 7, 'socket_timeout': 60, 'health_check_interval': 30}

    Args:
        options: Those that were chosen.
        kind: Of the address (`Address.kind`).
    """
    known = [name for name in DEFAULTS if not find_unknown([name], kind)]
    if kind == "unix":
        known = [name for name in known if name in _OF_SOCKET_FILES]
    if not _is_known(options.get("connection_class")):
        known = ["max_connections"]  # the class takes what it likes
    return {**{name: DEFAULTS[name] for name in known}, **options}


def _is_known(connection_class: object) -> bool:
    return connection_class is None or connection_class in (redis.Connection, redis.SSLConnection)
