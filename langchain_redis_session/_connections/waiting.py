"""Callers that wait for a connection, first come, first served."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from langchain_redis_session.errors import BackendUnavailableError

_LOOK_S = 0.02
"""How often the first in a line looks for itself: nobody tells of what others give back."""
_MOVE_UP_S = 0.5
"""How often the others look whether they are the first now, should nobody have told them."""


def refuse(timeout_s: float, size: object, name: str) -> BackendUnavailableError:
    """What callers are told who have waited for long enough."""
    return BackendUnavailableError(
        f"no connection became free within {timeout_s:g} s: all {size} of the pool of {name} "
        "are in use; raise max_connections= (an option of redis-py's clients, or of the URL), "
        "or pool_timeout= to wait longer"
    )


class Line:
    """Threads that wait."""

    def __init__(self) -> None:
        self._waiting: deque[threading.Lock] = deque()

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def wait(self, take: Callable[[], Any], timeout_s: float) -> Any:
        """Call `take` in turn until it gives something; None after the time-out."""
        turn = threading.Lock()
        turn.acquire()
        end_s = time.monotonic() + timeout_s
        self._waiting.append(turn)
        try:
            while True:
                is_first = self._waiting[0] is turn
                if is_first and (taken := take()) is not None:
                    return taken
                left_s = end_s - time.monotonic()
                if left_s <= 0:
                    return None
                turn.acquire(timeout=min(left_s, _LOOK_S if is_first else _MOVE_UP_S))
        finally:
            self._waiting.remove(turn)
            self.wake()

    def wake(self) -> None:
        """Let the first one look: something was given back."""
        with contextlib.suppress(IndexError, RuntimeError):  # nobody waits; was told already
            self._waiting[0].release()


class AsyncLine:
    """Tasks that wait, of one loop."""

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Event] = deque()

    def __bool__(self) -> bool:
        return bool(self._waiting)

    async def wait(self, take: Callable[[], Awaitable[Any]], timeout_s: float) -> Any:
        """As of `Line`."""
        turn = asyncio.Event()
        end_s = time.monotonic() + timeout_s
        self._waiting.append(turn)
        try:
            while True:
                is_first = self._waiting[0] is turn
                if is_first and (taken := await take()) is not None:
                    return taken
                left_s = end_s - time.monotonic()
                if left_s <= 0:
                    return None
                pause_s = min(left_s, _LOOK_S if is_first else _MOVE_UP_S)
                alarm = asyncio.get_running_loop().call_later(pause_s, turn.set)
                try:
                    await turn.wait()
                finally:
                    alarm.cancel()
                turn.clear()
        finally:
            self._waiting.remove(turn)
            self.wake()

    def wake(self) -> None:
        """As of `Line`."""
        if self._waiting:
            self._waiting[0].set()
