"""What both background engines share: threads, forks, flushing, and closing in every way."""

from __future__ import annotations

import asyncio
import threading
import time
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from langchain_redis_session._background.process_end import close_at_exit, tell_of_forks
from langchain_redis_session._background.waiting import Progress
from langchain_redis_session._flow.drivers import arun, run
from langchain_redis_session._flow.requests import Call, Flow, off_loop

_LONGEST_JOIN_S = 1.0
"""How long closing waits for threads that have nothing left to do."""


class Engine(ABC):
    """Threads that work off what was queued.

    Its state is guarded by `lock`, and made by `_reset`: at the start, and anew in the child of
    a fork, where the parent's threads are not, and its queue is not the child's.

    Attributes:
        lock: Held for moments only, so that an event loop may take it too.
    """

    _thread_name: ClassVar[str]

    def __init__(self) -> None:
        self._reset()
        tell_of_forks(self)

    def _reset(self) -> None:
        self._progress = Progress()
        self.lock = self._progress.lock
        self._is_closing = self._is_stopped = False

    def forget_parent(self) -> None:
        """In the child of a fork: begin anew, closed if it was."""
        is_closing = self._is_closing
        self._reset()
        self._is_closing = self._is_stopped = is_closing

    def close_with(self, owner: object) -> None:
        """Close in the background when nobody has its owner any more."""
        # The engine itself sees to the end of the process.
        weakref.finalize(owner, self.close_in_background).atexit = False

    # What an engine says of itself

    @property
    @abstractmethod
    def close_timeout_s(self) -> float:
        """How long closing waits for what is left."""

    @abstractmethod
    def _threads(self) -> list[threading.Thread]:
        """The threads that run; with the lock held."""

    @abstractmethod
    def _begin_flush(self) -> Callable[[], bool]:
        """Hurry; returns what tells, with the lock held, whether all that is queued now is done."""

    @abstractmethod
    def _begin_close(self) -> Callable[[], bool]:
        """Queue no more; likewise. With the lock held."""

    @abstractmethod
    def _end_close(self) -> None:
        """Drop or give up what is left, and let the threads end."""

    def _is_flushed(self) -> bool:
        """Whether all went well, once it is done."""
        return True

    # Threads

    def _start_thread(self, target: Callable[..., None], *args: Any) -> threading.Thread:
        """Start a thread.

        Raises:
            RuntimeError: The system has no more.
        """
        close_at_exit()
        thread = threading.Thread(target=target, args=args, name=self._thread_name, daemon=True)
        thread.start()
        return thread

    def _is_own_thread(self) -> bool:
        """Whether one of its threads asks, in a handler: it can't wait for itself."""
        with self.lock:
            return threading.current_thread() in self._threads()

    # Flushing

    def flush(self, timeout_s: float | None) -> bool:
        """Wait until all that is queued now is done.

        Returns:
            Whether it is, and all went well.
        """
        return run(self._flush(timeout_s), None)

    async def aflush(self, timeout_s: float | None) -> bool:
        """Wait, without blocking the event loop; as `flush`."""
        return await arun(self._flush(timeout_s), None)

    def _flush(self, timeout_s: float | None) -> Flow[bool]:
        is_in_time = yield self._progress.until(self._begin_flush(), timeout_s)
        return is_in_time and self._is_flushed()

    # Closing

    def close(self, timeout_s: float | None = None, join_s: float = _LONGEST_JOIN_S) -> None:
        """Do what is left, at most for `close_timeout_s`, then stop the threads.

        In a thread of its own (a handler's call, garbage collection) it can't wait for itself,
        and does that in the background.
        """
        most_s = self.close_timeout_s if timeout_s is None else timeout_s
        run(self._close(most_s, join_s), None)

    async def aclose(self) -> None:
        """Do what is left without blocking the event loop, then stop; as `close`."""
        await arun(self._close(self.close_timeout_s, _LONGEST_JOIN_S), None)

    def close_in_background(self) -> None:
        """Close without holding up who drops the service: perhaps an event loop."""
        try:
            threading.Thread(target=self.close, name="redis-session-closer", daemon=True).start()
        except RuntimeError:  # no more threads at the end of the interpreter
            run(self._close_here(self.close_timeout_s, _LONGEST_JOIN_S), None)

    def _close(self, timeout_s: float, join_s: float) -> Flow[None]:
        if self._is_own_thread():
            self.close_in_background()
        else:
            yield from self._close_here(timeout_s, join_s)

    def _close_here(self, timeout_s: float, join_s: float) -> Flow[None]:
        yield self._progress.until(self.begin_close(), timeout_s)
        threads = yield from off_loop(self._stop)  # which may write to files
        yield _join(threads, join_s)

    def begin_close(self) -> Callable[[], bool]:
        """Queue no more.

        Returns:
            What tells, with the lock held, whether all that is left is done.
        """
        with self.lock:
            self._is_closing = True
            is_done = self._begin_close()
            self._progress.notify()  # who waits for a place in a queue gets none
            return is_done

    def _stop(self) -> list[threading.Thread]:
        """Have the threads end: now, or when what they are at lets go of them."""
        with self.lock:
            threads = [t for t in self._threads() if t is not threading.current_thread()]
            if self._is_stopped:
                return threads
            self._is_stopped = True
        self._end_close()
        return threads


def _join(threads: Sequence[threading.Thread], timeout_s: float) -> Call:
    """Wait until threads have ended, or for so long."""
    deadline_s = time.monotonic() + timeout_s

    def join() -> None:
        for thread in threads:
            thread.join(max(0.0, deadline_s - time.monotonic()))

    async def ajoin() -> None:
        for thread in threads:
            while thread.is_alive() and time.monotonic() < deadline_s:
                await asyncio.sleep(0.001)

    return Call(join, ajoin)
