"""Events of a run track that wait to be written."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from langchain_redis_session._connections.forks import renew_in_child
from langchain_redis_session.models import TrackEvent

_MOST_IN_BATCH = 500
_SHORTEST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 30.0


class Flight(Future[bool]):
    """A batch on its way; its result is whether it arrived.

    Attributes:
        owner: What has to go on for it to arrive: a thread or an event loop.
    """

    def __init__(self, owner: object) -> None:
        super().__init__()
        self.owner = owner
        self.set_running_or_notify_cancel()  # who gives up waiting must not cancel it


class Outbox:
    """Events that are to be written, in order, one batch at a time.

    Args:
        most: How many may wait; beyond, the oldest are dropped.
    """

    def __init__(self, most: int) -> None:
        self._lock = threading.RLock()  # the garbage collector may end a stream in here
        renew_in_child(self)
        self._most = most
        self._waiting: deque[TrackEvent] = deque()
        self._flight: Flight | None = None
        self._added = self._done = self._wanted = 0
        self._is_tended = False
        self._failures = 0
        self._retry_at_s = 0.0
        self.dropped = 0

    def add(self, track: str, payload: Any) -> tuple[int, int]:
        """Put an event in.

        Returns:
            How many there have been, and how many wait.
        """
        with self._lock:  # the time is taken here, so that times and order agree
            self._waiting.append(TrackEvent(track, payload))
            self._added += 1
            self._trim()
            return self._added, len(self._waiting)

    @property
    def added(self) -> int:
        """How many events there have been."""
        return self._added

    @property
    def waiting(self) -> int:
        """How many events are not written."""
        return self._added - self._done

    @property
    def is_pausing(self) -> bool:
        """Whether the last write has failed a moment ago."""
        return time.monotonic() < self._retry_at_s

    def claim(
        self, upto: int, owner: object, may_wait_for: Callable[[object], bool]
    ) -> list[TrackEvent] | Flight | None:
        """Take the next events to write; they must be given to `settle`.

        Args:
            upto: So many events, of all there have been, are to be written.
            owner: What goes on to write them: a thread or an event loop.
            may_wait_for: Whether a flight may be waited for, by its owner.

        Returns:
            The events; or a flight to wait for first; or None: no more to do.
        """
        flight = Flight(owner)
        with self._lock:
            if self._done >= max(upto, self._wanted):
                return None
            if self._flight is not None:
                if may_wait_for(self._flight.owner):
                    return self._flight
                # Its owner may be waiting for this one, so leave it the rest.
                self._wanted = max(self._wanted, upto)
                return None
            self._flight = flight
            batch: list[TrackEvent] = []
            while self._waiting and len(batch) < _MOST_IN_BATCH:
                batch.append(self._waiting.popleft())
            return batch

    def settle(self, batch: list[TrackEvent], *, arrived: bool) -> None:
        """Say what became of a claimed batch; one that did not arrive waits again."""
        with self._lock:
            flight, self._flight = self._flight, None
            if arrived:
                self._done += len(batch)
                self._failures, self._retry_at_s = 0, 0.0
            else:
                self._waiting.extendleft(reversed(batch))
                self._wanted = 0
                pause_s = min(_LONGEST_PAUSE_S, _SHORTEST_PAUSE_S * 2**self._failures)
                self._failures = min(self._failures + 1, 10)
                self._retry_at_s = time.monotonic() + pause_s
                self._trim()
        if flight is not None:
            flight.set_result(arrived)

    def drop(self, count: int) -> None:
        """Count events that no try can write."""
        with self._lock:
            self.dropped += count

    def tend(self, upto: int) -> bool:
        """Ask for a writer in the background; True: there is none, become it."""
        with self._lock:
            self._wanted = max(self._wanted, upto)
            is_tended, self._is_tended = self._is_tended, True
            return not is_tended

    def leave(self, *, failed: bool) -> bool:
        """Stop being the writer in the background, unless there is more to do."""
        with self._lock:
            self._is_tended = not failed and self._done < self._wanted
            return not self._is_tended

    def _trim(self) -> None:
        while len(self._waiting) > self._most:
            self._waiting.popleft()
            self._done += 1
            self.dropped += 1
