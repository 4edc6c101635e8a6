"""What waits in write-behind: a lane for each session, workers that serve lanes."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from langchain_redis_session._background.jobs import Job
from langchain_redis_session._flow.requests import Scope
from langchain_redis_session.models import SessionKey

_LINGER_S = 0.01
"""How long an append may wait for company, as long as nobody waits for it."""
_MOST_BYTES = 32 * 1024 * 1024
"""What one round trip takes, unless a single append is larger."""


@dataclass(eq=False)
class Lane:
    """One session's jobs, oldest first; `is_mixed` until those of dead letters are in place."""

    jobs: deque[Job] = field(default_factory=deque)
    failures: int = 0
    retry_at_s: float = 0.0
    is_mixed: bool = False

    def add(self, job: Job) -> None:
        self.is_mixed |= bool(self.jobs) and job.order < self.jobs[-1].order
        self.jobs.append(job)

    def sort(self) -> None:
        self.jobs = deque(sorted(self.jobs, key=lambda job: job.order))
        self.is_mixed = False


class Worker:
    """One thread and the lanes it serves; all its methods want the lock.

    Attributes:
        lanes: By session; who comes next stands first.
        depth: How many jobs wait.
        is_idle: Whether it sleeps with nothing to write.
        is_hurried: Whether somebody waits for what it has.
        wake: What it sleeps on.
        thread: None before its first job, and after it has ended.
    """

    def __init__(self, lock: threading.RLock, most_waiting: int) -> None:
        self.lanes: dict[SessionKey, Lane] = {}
        self.depth = 0
        self.is_idle = self.is_hurried = False
        self.wake = threading.Condition(lock)
        self.thread: threading.Thread | None = None
        self._most_waiting = most_waiting

    @property
    def is_full(self) -> bool:
        """Whether there is no place for another job."""
        return self.depth >= self._most_waiting

    @property
    def _is_half_full(self) -> bool:
        return self.depth * 2 >= self._most_waiting

    def jobs(self) -> Iterator[Job]:
        """All that wait."""
        return (job for lane in self.lanes.values() for job in lane.jobs)

    def enqueue(self, job: Job) -> None:
        """Put a job behind its session's, if it was not accepted before these."""
        lane = self.lanes.get(job.key)
        if lane is None:
            lane = self.lanes[job.key] = Lane()
        lane.add(job)
        self.depth += 1
        # A lingering worker is left alone until it is worth it; one that writes looks by itself.
        if self.is_idle or self.depth * 2 in (self._most_waiting, self._most_waiting + 1):
            self.is_idle = False
            self.wake.notify()

    def finish(self, job: Job) -> None:
        """Take a job out, which is written or given up."""
        lane = self.lanes[job.key]
        if lane.jobs[0] is job:
            lane.jobs.popleft()
        else:
            lane.jobs.remove(job)  # one of the oldest
        job.is_done = True
        self.depth -= 1
        if not lane.jobs:
            del self.lanes[job.key]

    def take(self) -> dict[SessionKey, list[Job]]:
        """What is ready to be written; it stays in its lanes until it is.

        Nothing is under way then, so that what was accepted earlier can go first.
        """
        now_s, size = time.monotonic(), 0
        ready: dict[SessionKey, list[Job]] = {}
        for key, lane in self.lanes.items():
            if lane.is_mixed:
                lane.sort()
            if lane.retry_at_s > now_s:
                continue
            for job in lane.jobs:
                size += job.size
                if ready and size > _MOST_BYTES:
                    return ready
                ready.setdefault(key, []).append(job)
        return ready

    def linger(self, ready: dict[SessionKey, list[Job]], is_urgent: Callable[[], bool]) -> bool:
        """Let a burst pile up: fewer round trips, and fewer interruptions of who appends."""

        def is_enough() -> bool:
            return self.is_hurried or self._is_half_full or is_urgent()

        oldest_s = min(jobs[0].accepted_at_s for jobs in ready.values())
        left_s = oldest_s + _LINGER_S - time.monotonic()
        if left_s <= 0 or is_enough():
            return False
        self.wake.wait_for(is_enough, left_s)
        return True

    def sleep(self) -> None:
        """Wait for a job, or for a lane's next try."""
        times = [lane.retry_at_s for lane in self.lanes.values()]
        pause_s = max(0.0, min(times) - time.monotonic()) if times else None
        self.is_idle = True
        self.wake.wait(pause_s)
        self.is_idle = False

    def hurry(self, scope: Scope) -> list[Job]:
        """The last job of every lane in a scope; they are written without lingering."""
        tails: list[Job] = []
        for key, lane in self.lanes.items():
            if key.scope[: len(scope)] == scope:
                tails += lane.jobs if lane.is_mixed else [lane.jobs[-1]]
        if tails:
            self.is_hurried = True
            self.wake.notify()
        return tails

    def try_now(self) -> None:
        """Let no lane wait for its next try."""
        for lane in self.lanes.values():
            lane.retry_at_s = 0.0
        self.wake.notify_all()

    def put_behind(self, key: SessionKey) -> None:
        """Let the other lanes come before this one, which has been served."""
        lane = self.lanes.pop(key, None)
        if lane is not None:
            lane.failures = 0
            self.lanes[key] = lane
