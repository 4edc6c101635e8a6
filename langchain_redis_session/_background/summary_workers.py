"""Summaries in the background: threads that look after appends whether one is due.

A session's jobs run one at a time, in order; what waits for the same session and filter key
is one job. Nothing is lost with a job: the next append to the session asks again.
"""

from __future__ import annotations

import asyncio
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from langchain_redis_session._background.persister import RunFlow
from langchain_redis_session._background.processes import close_at_exit, tell_of_forks
from langchain_redis_session._background.progress import Progress
from langchain_redis_session._flow import Call, Flow, Settle
from langchain_redis_session._logs import logger
from langchain_redis_session._operations.context import Context
from langchain_redis_session._operations.summaries import (
    Outcome,
    Summarizing,
    SummaryTask,
    follow_up,
    make_summary,
)
from langchain_redis_session.errors import (
    RedisSessionError,
    SessionNotFoundError,
)
from langchain_redis_session.models import SessionKey, SummaryStats, new_id

_LONGEST_PAUSE_S = 1.0
"""How long to wait before another look at a session that another process summarizes."""
_LINGER_S = 0.02
"""How long a look may wait for further appends, as long as nobody waits for it."""
_LONGEST_JOIN_S = 1.0


@dataclass(frozen=True, slots=True)
class SummaryAsker:
    """Asks for a look at a session that has grown, whether a summary is due.

    Attributes:
        workers: Who looks.
        is_allowed: Whether a branch may be summarized.
    """

    workers: SummaryWorkers
    is_allowed: Callable[[str], bool]

    def ask(self, key: SessionKey, branches: Iterable[str], unsummarized: int | None) -> Flow[None]:
        """Ask after an append of events of these branches.

        The session itself is only looked at if that many events may be enough.
        """
        tasks = self._make_tasks(key, branches)
        if unsummarized is not None and unsummarized < self.workers.minimum_events:
            del tasks[-1]
        if tasks:
            yield Call(lambda: self.workers.enqueue(tasks), lambda: self.workers.aenqueue(tasks))

    def when_settled(
        self, key: SessionKey, branches: Iterable[str]
    ) -> Callable[[Exception | None], None]:
        """What asks when write-behind is done with an append."""
        tasks = self._make_tasks(key, branches)

        def ask(error: Exception | None) -> None:
            if error is None:  # in a worker of write-behind, which must not be held up
                self.workers.enqueue_beyond(tasks)

        return ask

    def _make_tasks(self, key: SessionKey, branches: Iterable[str]) -> list[SummaryTask]:
        tasks = [SummaryTask(key, branch) for branch in branches if self.is_allowed(branch)]
        return [*tasks, SummaryTask(key)]


@dataclass(eq=False, slots=True)
class _Lane:
    """One session's jobs, oldest first: filter key -> whether it is forced."""

    waiting: dict[str, bool] = field(default_factory=dict)
    is_running: bool = False
    not_before_s: float = 0.0


class SummaryWorkers:
    """The jobs of one service.

    Args:
        context: Options and key names.
        summarizing: How summaries are made.
        run_flow: Brings flows to Redis.
        settles: Whether appends that write-behind has accepted come first.
    """

    def __init__(
        self, context: Context, summarizing: Summarizing, run_flow: RunFlow, *, settles: bool
    ) -> None:
        self._context, self._summarizing, self._run_flow = context, summarizing, run_flow
        self._settles = settles
        self._reset()
        tell_of_forks(self)

    def _reset(self) -> None:
        self._progress = Progress()
        self.lock = self._progress.lock
        self._wake = threading.Condition(self.lock)
        self._lanes: dict[SessionKey, _Lane] = {}
        self._threads: list[threading.Thread] = []
        self._waiting = self._idle = 0
        self._is_closing = self._is_stopped = False
        self._made = self._failed = self._yielded = 0
        self._last_error = ""

    def forget_parent(self) -> None:
        """In the child of a fork: the parent's threads and jobs are not here."""
        is_closing = self._is_closing
        self._reset()
        self._is_closing = self._is_stopped = is_closing

    @property
    def minimum_events(self) -> int:
        """There is no summary to make of fewer new events."""
        return self._summarizing.minimum_events

    # Taking jobs

    def enqueue(self, tasks: Iterable[SummaryTask]) -> None:
        """Take jobs; one for which there is no room runs here and now."""
        for task in tasks:
            if not self._accept(task):
                self._run_here(task)

    async def aenqueue(self, tasks: Iterable[SummaryTask]) -> None:
        """Take jobs; one for which there is no room runs now, off the event loop."""
        for task in tasks:
            if not self._accept(task):
                await asyncio.to_thread(self._run_here, task)

    def enqueue_beyond(self, tasks: Iterable[SummaryTask]) -> None:
        """Take jobs however many wait: for who must not be held up."""
        for task in tasks:
            self._accept(task, beyond=True)

    def _accept(self, task: SummaryTask, *, beyond: bool = False) -> bool:
        with self.lock:
            if self._is_closing:
                return True  # nobody is left to run it
            lane = self._lanes.get(task.key)
            if lane is None or task.filter_key not in lane.waiting:
                if not beyond and self._waiting >= self._context.options.summary_queue_size:
                    return False
                if not self._start_thread():
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

    def _start_thread(self) -> bool:
        """Start another thread if it is wanted; gives whether there is any."""
        if self._idle > self._waiting:
            return True
        if len(self._threads) >= self._context.options.async_summary_num:
            return True
        close_at_exit()
        thread = threading.Thread(target=self._work, name="redis-session-summaries", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the system has no more; the append that asks is written, and counts
            return bool(self._threads)
        self._threads.append(thread)
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
            if self._is_closing:
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
            self._note_failure(error)
        finally:  # where the caller was interrupted, too
            self._finish(task, outcome)

    def _finish(self, task: SummaryTask, outcome: Outcome | None) -> None:
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

    def _make(self, task: SummaryTask) -> Flow[Outcome]:
        if self._settles:
            yield Settle((task.key.app_name, task.key.user_id, task.key.session_id))
        hooks = self._context.hooks
        return (yield from make_summary(self._context, hooks, self._summarizing, task, new_id()))

    def _go_on(self, lane: _Lane, task: SummaryTask, outcome: Outcome) -> None:
        """Queue what follows from a job: more of the same, the whole session's, another try."""
        if outcome.busy_ms:
            self._yielded += 1
            if not self._is_closing and self._start_thread():
                lane.not_before_s = time.monotonic() + min(outcome.busy_ms / 1000, _LONGEST_PAUSE_S)
                self._add(task)
        elif outcome.is_new:
            self._made += 1
            # Where a caller ran it for want of threads, nobody would run what follows.
            if not self._is_stopped and self._start_thread():
                whole = follow_up(self._context, task, outcome)
                self._add(SummaryTask(task.key, task.filter_key))
                if whole is not None:
                    self._add(whole)

    def _note_failure(self, error: BaseException) -> None:
        with self.lock:
            if self._is_stopped:
                return
            self._failed += 1
            self._last_error = type(error).__name__
        # Not their texts, which may quote what was to be summarized.
        cause, where = error.__cause__, ""
        if not isinstance(error, (RedisSessionError, SystemExit)):  # a bug: say where
            where = "\n" + "".join(traceback.format_tb(error.__traceback__))
        logger.warning(
            "a session was not summarized, its last summary stays: %s%s%s",
            type(error).__name__,
            f" after {type(cause).__name__}" if cause is not None else "",
            where,
        )

    # Waiting, figures, the end

    def flush(self, timeout_s: float | None) -> bool:
        """Wait until no job waits or runs; False on a time-out."""
        with self.lock:
            self._hurry()
        return self._progress.wait(self._is_done, timeout_s)

    async def aflush(self, timeout_s: float | None) -> bool:
        """Wait, without blocking the event loop; as `flush`."""
        with self.lock:
            self._hurry()
        return await self._progress.await_(self._is_done, timeout_s)

    def _is_done(self) -> bool:
        mine = threading.current_thread() in self._threads  # a handler's: it waits for itself
        return not self._lanes or mine or self._is_stopped

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

    def close(self, timeout_s: float | None = None, join_s: float = _LONGEST_JOIN_S) -> None:
        """Finish what waits, at most for `summary_close_timeout`; drop the rest."""
        if threading.current_thread() in self._threads:
            self.close_in_background()
            return
        self.begin_close()
        self._progress.wait(self._is_done, self.close_timeout_s if timeout_s is None else timeout_s)
        deadline = time.monotonic() + join_s
        for thread in self._end_close():
            thread.join(max(0.0, deadline - time.monotonic()))

    async def aclose(self) -> None:
        """Finish what waits without blocking the event loop; as `close`."""
        self.begin_close()
        await self._progress.await_(self._is_done, self.close_timeout_s)
        self._end_close()

    def close_in_background(self) -> None:
        """Close without holding up who drops the service: perhaps an event loop."""
        try:
            threading.Thread(target=self.close, name="redis-session-closer", daemon=True).start()
        except RuntimeError:  # no more threads at the end of the interpreter
            self.close()

    @property
    def close_timeout_s(self) -> float:
        """How long closing waits for what is left."""
        return self._context.options.summary_close_timeout

    def begin_close(self) -> None:
        """Take no more jobs."""
        with self.lock:
            self._is_closing = True
            self._hurry()
            self._progress.notify()

    def _hurry(self) -> None:
        for lane in self._lanes.values():
            lane.not_before_s = 0.0
        self._wake.notify_all()

    def _end_close(self) -> list[threading.Thread]:
        with self.lock:
            self._is_stopped = True
            self._wake.notify_all()
            self._progress.notify()
            return list(self._threads)
