"""Async clients whose event loop was closed without a word: their connections end here."""

from __future__ import annotations

import contextlib
import socket
from typing import Any


def abandon(client: Any) -> None:
    """End the connections of a client that can't be awaited any more."""
    for connection in _list_connections(client):
        writer = getattr(connection, "_writer", None)
        transport = getattr(writer, "transport", None)
        if transport is None:
            continue
        end = transport.get_extra_info("socket")
        if end is not None:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        # What is closing already is no news to the garbage collector.
        connection._writer = connection._reader = None  # noqa: SLF001


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
