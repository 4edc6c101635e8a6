"""Pools of redis-py after an interruption.

An exception that a signal's handler raises may land anywhere, in the pool's own code too: a
connection that was taken out at that moment is nobody's, and counts as in use for ever. There is
no public way to give it back, so this looks into the pools that are known; elsewhere, and where
they look different, it does nothing. The async pools count what is in use by weak references.
"""

from __future__ import annotations

import gc
import weakref
from collections.abc import Collection
from traceback import clear_frames
from typing import Any

import redis


def recover(pool: Any, known: Collection[Any] = ()) -> None:
    """Let a pool count only those connections as in use that somebody has.

    Of those that are `known` to be, this is not in doubt.
    """
    try:
        if isinstance(pool, redis.BlockingConnectionPool):
            _recover_blocking(pool, known)
        elif isinstance(pool, redis.ConnectionPool):
            _recover_plain(pool, known)
    except AttributeError:  # another redis-py
        return


def let_go(error: BaseException) -> None:
    """Let the frames that an error went through no longer hold anything."""
    chained: BaseException | None = error
    while chained is not None:
        clear_frames(chained.__traceback__)
        chained = chained.__context__


def _recover_plain(pool: Any, known: Collection[Any]) -> None:
    with pool._lock:  # noqa: SLF001
        in_use, free = pool._in_use_connections, pool._available_connections  # noqa: SLF001
        _forget_lost(in_use, known)
        pool._created_connections = len(in_use) + len(free)  # noqa: SLF001


def _recover_blocking(pool: Any, known: Collection[Any]) -> None:
    queue = pool.pool
    with queue.mutex:
        free = {connection for connection in queue.queue if connection is not None}
        in_use = {made for made in pool._connections if made not in free}  # noqa: SLF001
        pool._connections = list(free)  # noqa: SLF001
        _forget_lost(in_use, known)
        pool._connections += in_use  # noqa: SLF001
        places = queue.maxsize - len(queue.queue) - len(in_use)
        queue.queue[:0] = [None] * places
        queue.not_empty.notify(max(0, places))


def _forget_lost(connections: set[Any], known: Collection[Any]) -> None:
    """Let go of connections that are nowhere else, which closes them."""
    if all(connection in known for connection in connections):
        return
    watched = [weakref.ref(connection) for connection in connections]
    connections.clear()
    gc.collect()  # connections and what watches them refer to each other
    connections.update(kept for watch in watched if (kept := watch()) is not None)
