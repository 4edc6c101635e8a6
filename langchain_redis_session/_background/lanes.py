"""What waits in write-behind: a lane for each session, workers that serve lanes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from langchain_redis_session._background.jobs import Job
from langchain_redis_session._background.precedence import Precedence
from langchain_redis_session._flow.requests import Scope
from langchain_redis_session.models import SessionKey

_LINGER_S = 0.01
"""How long an append may wait for company, as long as nobody waits for it."""
_MOST_BYTES, _MOST_JOBS = 32 * 1024 * 1024, 2000
"""What one turn takes, unless a single append is larger."""


class Lane:
    """One session's jobs, oldest first; `is_mixed` until those of dead letters are in place."""

    __slots__ = ("failures", "is_mixed", "jobs", "retry_at_s")

    def __init__(self) -> None:
        self.jobs: list[Job] = []
        self.failures = 0
        self.retry_at_s = 0.0
        self.is_mixed = False

    def put_in_order(self) -> None:
        if self.is_mixed:
            self.jobs.sort(key=lambda job: job.order)
            self.is_mixed = False


class Worker:
    """One thread and the lanes it serves; all its methods want the lock.

    What was accepted lies in a list, as it came, until somebody looks at the lanes: callers
    have one thing to do, and the sorting is done for many at once.

    Attributes:
        depth: How many jobs wait.
        is_idle: Whether it sleeps with nothing to write.
        is_hurried: Whether somebody waits for what it has.
        wake: What it sleeps on.
        thread: None before its first job, and after it has ended.
    """

    def __init__(self, lock: threading.RLock, most_waiting: int, precedence: Precedence) -> None:
        self.depth = 0
        self.is_idle = self.is_hurried = False
        self.wake = threading.Condition(lock)
        self.thread: threading.Thread | None = None
        self._accepted: list[Job] = []
        self._lanes: dict[SessionKey, Lane] = {}
        self._precedence = precedence
        self._most_waiting = most_waiting
        self._enough = (most_waiting + 1) // 2

    @property
    def is_full(self) -> bool:
        """Whether there is no place for another job."""
        return self.depth >= self._most_waiting

    # Putting in

    def enqueue(self, job: Job) -> None:
        """Put the job that was accepted last behind all others."""
        self._accepted.append(job)
        self._precedence.note(job)
        self.depth += 1
        # A lingering worker is left alone until it is worth it; one that writes looks by itself.
        if self.is_idle or self.depth == self._enough:
            self.is_idle = False
            self.wake.notify()

    def enqueue_again(self, job: Job) -> None:
        """Put a job where it was accepted: before what waits for its session since."""
        lane = self.find_lanes().setdefault(job.key, Lane())
        lane.is_mixed |= bool(lane.jobs) and job.order < lane.jobs[-1].order
        lane.jobs.append(job)
        self._precedence.note(job)
        self.depth += 1
        self.is_idle = False
        self.wake.notify()

    def find_lanes(self) -> dict[SessionKey, Lane]:
        """The lanes by session, with all that waits in them; who comes next stands first."""
        accepted, lanes = self._accepted, self._lanes
        if accepted:
            self._accepted = []
            for job in accepted:
                lane = lanes.get(job.key)
                if lane is None:
                    lane = lanes[job.key] = Lane()
                lane.jobs.append(job)
        return lanes

    # Taking out

    def take(self) -> dict[SessionKey, Sequence[Job]]:
        """What is ready to be written; it stays in its lanes until it is.

        Nothing of this worker is under way then, so that what was accepted earlier can go first.
        It may be nothing, where all have to wait for lanes that pause, or for another worker.
        """
        now_s, size, left = time.monotonic(), 0, _MOST_JOBS
        ready: dict[SessionKey, Sequence[Job]] = {}
        lanes = self.find_lanes()
        self._precedence.begin_turn()
        for key, lane in lanes.items():
            lane.put_in_order()
            if lane.retry_at_s > now_s:
                continue
            taken: list[Job] = []
            for job in lane.jobs[:left]:
                if job.shared_scopes and (first := self._precedence.find_blocker(job)):
                    if not taken:  # where that one pauses, so does this
                        other = lanes.get(first.key)  # None = another worker's
                        lane.retry_at_s = other.retry_at_s if other else now_s + _LINGER_S
                    break
                size += job.size
                if size > _MOST_BYTES and (ready or taken):
                    left = 0
                    break
                taken.append(job)
            if taken:
                ready[key] = taken
                left -= len(taken)
            if left <= 0:
                break
        return ready

    def finish(self, jobs: Sequence[Job]) -> None:
        """Note that jobs are written or given up; they stand in their lane until `clear_lane`."""
        for job in jobs:
            job.is_done = True
        self.depth -= len(jobs)

    def clear_lane(self, key: SessionKey, *, goes_behind: bool) -> Lane | None:
        """Take out of a lane what is done, and give it if anything is left.

        With `goes_behind`, the other lanes come before this one, which has been served.
        """
        lane = self._lanes.get(key)
        if lane is None:  # closing was quicker
            return None
        lane.jobs = [job for job in lane.jobs if not job.is_done]
        if not lane.jobs:
            del self._lanes[key]
            return None
        if goes_behind:
            lane.failures = 0
            self._lanes[key] = self._lanes.pop(key)
        return lane

    def clear(self) -> list[Job]:
        """Take all jobs out, and give them."""
        jobs = [job for lane in self.find_lanes().values() for job in lane.jobs if not job.is_done]
        self.finish(jobs)
        self._lanes.clear()
        self.wake.notify_all()
        return jobs

    # Waiting

    def is_ready(self) -> bool:
        """Whether there is anything to be written now."""
        if not self.depth:
            return False
        now_s = time.monotonic()
        return any(lane.retry_at_s <= now_s for lane in self.find_lanes().values())

    def linger(self, is_urgent: Callable[[], bool]) -> None:
        """Let a burst pile up: fewer round trips, and fewer interruptions of who appends."""

        def is_enough() -> bool:
            return self.is_hurried or self.depth >= self._enough or is_urgent()

        now_s = time.monotonic()
        lanes = self.find_lanes().values()
        oldest_s = min(lane.jobs[0].accepted_at_s for lane in lanes if lane.retry_at_s <= now_s)
        left_s = oldest_s + _LINGER_S - now_s
        if left_s > 0 and not is_enough():
            self.wake.wait_for(is_enough, left_s)

    def sleep(self) -> None:
        """Wait for a job, or for a lane's next try."""
        times = [lane.retry_at_s for lane in self.find_lanes().values()]
        pause_s = max(0.0, min(times) - time.monotonic()) if times else None
        self.is_idle = True
        self.wake.wait(pause_s)
        self.is_idle = False

    def hurry(self, scope: Scope) -> list[Job]:
        """The last job of every lane in a scope; they are written without lingering."""
        tails: list[Job] = []
        for key, lane in self.find_lanes().items():
            if key.scope[: len(scope)] == scope:
                tails += lane.jobs if lane.is_mixed else lane.jobs[-1:]
        if tails:
            self.is_hurried = True
            self.wake.notify()
        return tails

    def try_now(self) -> None:
        """Let no lane wait for its next try."""
        for lane in self._lanes.values():
            lane.retry_at_s = 0.0
        self.wake.notify_all()

    @property
    def oldest_at_s(self) -> float | None:
        """When the oldest that waits was accepted, on the monotonic clock."""
        return min(
            (lane.jobs[0].accepted_at_s for lane in self.find_lanes().values()), default=None
        )


def make_workers(lock: threading.RLock, count: int, most_waiting: int) -> list[Worker]:
    """Make workers that keep the order of what changes the same state."""
    precedence = Precedence(_MOST_JOBS)
    return [Worker(lock, most_waiting, precedence) for _ in range(count)]
