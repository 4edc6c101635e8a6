"""Waiting for something that other threads do, from threads and from event loops."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable
from functools import partial

from langchain_redis_session._flow.requests import Call


class Progress:
    """Wakes everybody who waits, threads and tasks alike, to look again.

    `lock` guards what the conditions look at; it is only ever held for moments, so that an
    event loop may take it too.

    Attributes:
        lock: Guards what the conditions look at.
        waiting_threads: How many threads wait.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._threads = threading.Condition(self.lock)
        self.waiting_threads = 0
        self._tasks: set[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = set()

    @property
    def waiting_tasks(self) -> int:
        """How many tasks wait."""
        return len(self._tasks)

    def notify(self) -> None:
        """Wake all; with the lock held."""
        if self.waiting_threads:
            self._threads.notify_all()
        for loop, future in self._tasks:
            with contextlib.suppress(RuntimeError):  # its loop has ended
                loop.call_soon_threadsafe(_wake, future)
        self._tasks.clear()

    def until(self, is_true: Callable[[], bool], timeout_s: float | None) -> Call:
        """The request of a flow to wait; its reply is as `wait`'s."""
        arguments = (is_true, timeout_s)
        return Call(partial(self.wait, *arguments), partial(self.await_, *arguments))

    def wait(self, is_true: Callable[[], bool], timeout_s: float | None) -> bool:
        """Wait in a thread until `is_true` (called with the lock held); False on a time-out."""
        with self.lock:
            if is_true():
                return True
            self.waiting_threads += 1
            try:
                return self._threads.wait_for(is_true, timeout_s)
            finally:
                self.waiting_threads -= 1

    async def await_(self, is_true: Callable[[], bool], timeout_s: float | None) -> bool:
        """Wait in a task, without blocking its loop; as `wait`."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        loop = asyncio.get_running_loop()
        while True:
            with self.lock:
                if is_true():
                    return True
                future: asyncio.Future[None] = loop.create_future()
                self._tasks.add((loop, future))
            # Not asyncio.wait_for, which before Python 3.12 may swallow a cancellation.
            timer = None
            if deadline is not None:
                timer = loop.call_later(max(0.0, deadline - time.monotonic()), _wake, future)
            try:
                await future
            finally:
                if timer is not None:
                    timer.cancel()
                with self.lock:
                    self._tasks.discard((loop, future))
            if deadline is not None and time.monotonic() >= deadline:
                with self.lock:
                    return is_true()


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
