"""Async clients whose event loop was closed without a word: their connections end here."""

from __future__ import annotations

import contextlib
from socket import SHUT_RDWR
from typing import Any


def abandon(client: Any) -> None:
    """End the connections of a client that can't be awaited any more."""
    close_fakes(list_fakes(client))
    for connection in _list_connections(client):
        writer = getattr(connection, "_writer", None)
        transport = getattr(writer, "transport", None)
        if transport is None:
            continue
        end = transport.get_extra_info("socket")
        if end is not None:
            with contextlib.suppress(OSError):
                end.shutdown(SHUT_RDWR)
        # What is closing already is no news to the garbage collector.
        connection._writer = connection._reader = None  # noqa: SLF001


def list_fakes(client: Any) -> list[Any]:
    """The sockets of a fakeredis client, which its server keeps, and with them their loop."""
    if not type(client).__module__.startswith("fakeredis"):
        return []
    sockets = (getattr(connection, "_sock", None) for connection in _list_connections(client))
    return [socket for socket in sockets if socket is not None]


def close_fakes(sockets: list[Any]) -> None:
    """Close them; the client forgets them, and leaves them open."""
    for socket in sockets:
        with contextlib.suppress(AttributeError):  # closed already
            socket.close()


def _list_connections(client: Any) -> list[Any]:
    pool = getattr(client, "connection_pool", None)
    if pool is not None:
        return [
            *getattr(pool, "_available_connections", ()),
            *getattr(pool, "_in_use_connections", ()),
        ]
    manager = getattr(client, "nodes_manager", None)
    nodes = [] if manager is None else [*manager.nodes_cache.values()]
    return [connection for node in nodes for connection in getattr(node, "_connections", ())]
