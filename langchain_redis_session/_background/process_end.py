"""What becomes of the engines when their process ends or forks."""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
import weakref
from typing import Any, Protocol

from langchain_redis_session._connections.forks import renew_in_child


class _Told(Protocol):
    """What is told of them."""

    lock: threading.RLock

    @property
    def close_timeout_s(self) -> float: ...

    def begin_close(self) -> object: ...

    def close(self, timeout_s: float | None = None, join_s: float = ...) -> None: ...

    def forget_parent(self) -> None: ...


_engines: weakref.WeakSet[_Told] = weakref.WeakSet()


def tell_of_forks(engine: _Told) -> None:
    """Let an engine know when it finds itself in the child of a fork; while it lives."""
    _engines.add(engine)


# The end of the process


def close_at_exit() -> None:
    """See to it that what is queued when the process ends is written."""
    # The last one registered comes first: before the services' own, which come one by one.
    atexit.unregister(_close_all)
    atexit.register(_close_all)
    processes = sys.modules.get("multiprocessing.process")
    if processes is not None and processes.parent_process() is not None:
        # A process of multiprocessing ends without atexit.
        from multiprocessing.util import Finalize

        Finalize(None, _close_all, exitpriority=0)


def _close_all() -> None:
    """Close all, which takes as long as closing one."""
    begun_s, engines = time.monotonic(), list(_engines)
    for engine in engines:
        engine.begin_close()
    for engine in engines:
        left_s = begun_s + engine.close_timeout_s - time.monotonic()
        engine.close(max(0.0, left_s), join_s=0.0)


# Forks

_fork_lock = threading.Lock()
renew_in_child(sys.modules[__name__])
_held_locks: list[Any] = []


def _hold_still() -> None:
    """Before a fork: the child must find no lock taken, and SQLite in no call."""
    _fork_lock.acquire()
    for engine in list(_engines):
        if engine.lock.acquire(timeout=1.0):
            _held_locks.append(engine.lock)


def _go_on() -> None:
    """In the parent."""
    while _held_locks:
        _held_locks.pop().release()
    _fork_lock.release()


def _forget_parents() -> None:
    """In the child."""
    _held_locks.clear()
    for engine in list(_engines):
        engine.forget_parent()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_hold_still, after_in_parent=_go_on, after_in_child=_forget_parents)
