"""Summaries in the background: threads that look after appends whether one is due.

A session's jobs run one at a time, in order; what waits for the same session and filter key
is one job. Nothing is lost with a job: the next append to the session asks again. After a
failure nobody is asked for a while, longer each time.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial

from langchain_redis_session._actions.summaries import SummaryMaker
from langchain_redis_session._background.engine import Engine
from langchain_redis_session._background.summary_backoff import Backoff
from langchain_redis_session._flow.drivers import RunFlow
from langchain_redis_session._flow.requests import Flow, Settle, off_loop
from langchain_redis_session._logs import logger
from langchain_redis_session._operations.context import Context
from langchain_redis_session._operations.summaries import SummaryOutcome, SummaryTask
from langchain_redis_session.errors import RedisSessionError, SessionNotFoundError
from langchain_redis_session.models import SessionKey, new_id
from langchain_redis_session.stats import SummaryStats

_LONGEST_PAUSE_S = 1.0
"""How long to wait before another look at a session that another process summarizes."""
_LINGER_S = 0.02
"""How long a look may wait for further appends, as long as nobody waits for it."""


@dataclass(eq=False, slots=True)
class _Lane:
    """One session's jobs, oldest first: filter key -> whether it is forced."""

    waiting: dict[str, bool] = field(default_factory=dict)
    is_running: bool = False
    not_before_s: float = 0.0


class SummaryWorkers(Engine):
    """The engine of one service that summarizes.

    Args:
        context: Options.
        maker: Makes the summaries.
        run_flow: Brings flows to Redis.
        settles: Whether appends that write-behind has accepted come first.
    """

    _thread_name = "redis-session-summaries"

    def __init__(
        self, context: Context, maker: SummaryMaker, run_flow: RunFlow, *, settles: bool
    ) -> None:
        self._context, self._maker, self._run_flow = context, maker, run_flow
        self._settles = settles
        super().__init__()

    def _reset(self) -> None:
        super()._reset()
        self._wake = threading.Condition(self.lock)
        self._lanes: dict[SessionKey, _Lane] = {}
        self._backoff = Backoff()
        self._workers: list[threading.Thread] = []
        self._waiting = self._idle = 0
        self._made = self._failed = self._yielded = 0
        self._last_error = ""

    @property
    def minimum_events(self) -> int:
        """There is no summary to make of fewer new events."""
        return self._maker.summarizing.minimum_events

    # Taking jobs

    def enqueue(self, tasks: Iterable[SummaryTask]) -> Flow[None]:
        """Take jobs; one for which there is no room runs now, in the caller's time."""
        for task in tasks:
            if not self._accept(task):
                yield from off_loop(partial(self._run_here, task))

    def enqueue_beyond(self, tasks: Iterable[SummaryTask]) -> None:
        """Take jobs however many wait: for who must not be held up."""
        for task in tasks:
            self._accept(task, beyond=True)

    def _accept(self, task: SummaryTask, *, beyond: bool = False) -> bool:
        with self.lock:
            if self._is_closing or self._backoff.holds(task):
                return True  # nobody is left to run it, or it is for a later append
            lane = self._lanes.get(task.key)
            if lane is None or task.filter_key not in lane.waiting:
                if not beyond and self._waiting >= self._context.options.summary_queue_size:
                    return False
                if not self._start_worker():
                    return False
            self._add(task)
            return True

    def _add(self, task: SummaryTask) -> None:
        lane = self._lanes.get(task.key)
        if lane is None:
            lane = self._lanes[task.key] = _Lane(not_before_s=time.monotonic() + _LINGER_S)
        if task.filter_key not in lane.waiting:
            self._waiting += 1
            self._wake.notify()
        lane.waiting[task.filter_key] = task.force or lane.waiting.get(task.filter_key, False)

    def _start_worker(self) -> bool:
        """Start another thread if it is wanted.

        Returns:
            Whether there is any.
        """
        if self._idle > self._waiting:
            return True
        if len(self._workers) >= self._context.options.async_summary_num:
            return True
        try:
            self._workers.append(self._start_thread(self._work))
        except RuntimeError:  # the append that asks is written, and counts
            return bool(self._workers)
        return True

    # Running them

    def _work(self) -> None:
        while True:
            with self.lock:
                task = self._take()
                while task is None:
                    # What runs elsewhere, in a caller too, may have something to follow.
                    if self._is_stopped or (self._is_closing and not self._lanes):
                        return
                    self._idle += 1
                    self._wake.wait(self._pause_s())
                    self._idle -= 1
                    task = self._take()
            self._run(task)

    def _take(self) -> SummaryTask | None:
        if self._is_stopped:
            return None
        now_s = time.monotonic()
        for key, lane in self._lanes.items():
            if lane.waiting and not lane.is_running and lane.not_before_s <= now_s:
                filter_key = next(iter(lane.waiting))
                lane.is_running = True
                self._waiting -= 1
                return SummaryTask(key, filter_key, lane.waiting.pop(filter_key))
        return None

    def _pause_s(self) -> float | None:
        times = [
            lane.not_before_s
            for lane in self._lanes.values()
            if lane.waiting and not lane.is_running
        ]
        return max(0.0, min(times) - time.monotonic()) if times else None

    def _run_here(self, task: SummaryTask) -> None:
        """Run a job in the caller, once the session's others that run are done."""
        is_mine = False

        def take() -> bool:
            nonlocal is_mine
            if self._is_closing or self._backoff.holds(task):
                return True
            lane = self._lanes.setdefault(task.key, _Lane())
            if lane.is_running:
                return False
            lane.is_running = is_mine = True
            return True

        self._progress.wait(take, None)
        if is_mine:
            self._run(task)

    def _run(self, task: SummaryTask) -> None:
        outcome = None
        try:
            outcome = self._run_flow(self._make(task))
        except SessionNotFoundError:
            pass
        except (Exception, SystemExit) as error:  # which would end the worker
            self._note_failure(task, error)
        finally:  # where the caller was interrupted, too
            self._finish(task, outcome)

    def _finish(self, task: SummaryTask, outcome: SummaryOutcome | None) -> None:
        with self.lock:
            lane = self._lanes[task.key]
            lane.is_running = False
            lane.not_before_s = 0.0
            if outcome is not None:
                self._go_on(lane, task, outcome)
            if lane.waiting:
                # Behind the others: a session with many jobs must not hold them up.
                self._lanes[task.key] = self._lanes.pop(task.key)
            else:
                del self._lanes[task.key]
            self._wake.notify()
            self._progress.notify()

    def _make(self, task: SummaryTask) -> Flow[SummaryOutcome]:
        if self._settles:
            yield Settle(task.key.scope)
        return (yield from self._maker.make(task, new_id(), self._maker.hooks))

    def _go_on(self, lane: _Lane, task: SummaryTask, outcome: SummaryOutcome) -> None:
        """Queue what follows from a job: more of the same, the whole session's, another try."""
        if outcome.busy_ms:
            self._yielded += 1
            if not self._is_closing and self._start_worker():
                lane.not_before_s = time.monotonic() + min(outcome.busy_ms / 1000, _LONGEST_PAUSE_S)
                self._add(task)
        elif outcome.is_new:
            self._made += 1
            self._backoff.forget(task)
            # Where a caller ran it for want of threads, nobody would run what follows.
            if not self._is_stopped and self._start_worker():
                whole = self._maker.follow_up(task, outcome)
                self._add(SummaryTask(task.key, task.filter_key))
                if whole is not None:
                    self._add(whole)

    def _note_failure(self, task: SummaryTask, error: BaseException) -> None:
        with self.lock:
            if self._is_stopped:
                return
            wait_s = self._backoff.note_failure(task)
            self._drop_held(task)
            self._failed += 1
            self._last_error = type(error).__name__
        # Not their texts, which may quote what was to be summarized.
        cause, where = error.__cause__, ""
        if not isinstance(error, (RedisSessionError, SystemExit)):  # a bug: say where
            where = "\n" + "".join(traceback.format_tb(error.__traceback__))
        logger.warning(
            "a session was not summarized, its last summary stays; the next try comes with an "
            "append in %d s or later: %s%s%s",
            wait_s,
            type(error).__name__,
            f" after {type(cause).__name__}" if cause is not None else "",
            where,
        )

    def _drop_held(self, task: SummaryTask) -> None:
        """Drop a job that was asked for while the same one failed, unless it is forced."""
        waiting = self._lanes[task.key].waiting
        if waiting.get(task.filter_key) is False:
            del waiting[task.filter_key]
            self._waiting -= 1

    # Waiting, counters, the end

    def _begin_flush(self) -> Callable[[], bool]:
        with self.lock:
            self._hurry()
        return self._is_done

    def _is_done(self) -> bool:
        return not self._lanes or self._is_stopped or self._is_own_thread()

    def stats(self) -> SummaryStats:
        """What the workers have done so far, and what waits."""
        with self.lock:
            return SummaryStats(
                waiting=self._waiting,
                running=sum(lane.is_running for lane in self._lanes.values()),
                made=self._made,
                failed=self._failed,
                yielded=self._yielded,
                last_error=self._last_error,
            )

    @property
    def close_timeout_s(self) -> float:
        """How long closing waits for what is left."""
        return self._context.options.summary_close_timeout

    def _threads(self) -> list[threading.Thread]:
        return list(self._workers)

    def _begin_close(self) -> Callable[[], bool]:
        self._hurry()
        return self._is_done

    def _hurry(self) -> None:
        for lane in self._lanes.values():
            lane.not_before_s = 0.0
        self._wake.notify_all()

    def _end_close(self) -> None:
        """Drop what waits."""
        with self.lock:
            self._wake.notify_all()
            self._progress.notify()
