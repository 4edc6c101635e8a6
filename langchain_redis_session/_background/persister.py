"""Write-behind: appends return at once, workers bring them to Redis.

A session's appends always go through the same worker, a thread, in the order they were
accepted. Nothing accepted is dropped in silence: what can't be written ends up as a dead
letter. One engine serves threads and event loops alike.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar
from zlib import crc32

from langchain_redis_session._background.jobs import Job, Outcome, write_jobs
from langchain_redis_session._background.processes import close_at_exit, tell_of_forks
from langchain_redis_session._background.progress import Progress
from langchain_redis_session._background.spool import DEAD, TRIED_AGAIN, Spool
from langchain_redis_session._flow import Flow, Scope, Submit, gather
from langchain_redis_session._logs import logger
from langchain_redis_session._operations.context import Context
from langchain_redis_session.errors import (
    BackendUnavailableError,
    ConfigurationError,
    PersistError,
    RedisSessionError,
    SessionServiceClosedError,
)
from langchain_redis_session.models import DeadLetter, PersistStats, SessionKey

T = TypeVar("T")
_SHORTEST_PAUSE_S, _LONGEST_PAUSE_S = 0.02, 2.0
_LINGER_S = 0.01
"""How long an append may wait for company, as long as nobody waits for it."""
_MOST_BYTES = 32 * 1024 * 1024
"""What one round trip takes, unless a single append is larger."""
_LONGEST_JOIN_S = 1.0
"""How long closing waits for threads that have nothing left to write."""


class RunFlow(Protocol):
    """Runs a flow on a sync client."""

    def __call__(self, flow: Flow[T]) -> T: ...


@dataclass(eq=False)
class _Lane:
    """One session's jobs, oldest first."""

    jobs: deque[Job] = field(default_factory=deque)
    failures: int = 0
    retry_at_s: float = 0.0


class _Worker:
    """One thread and the lanes it serves.

    `is_idle` while it sleeps with nothing to write; `is_hurried` if somebody waits for what
    it has.
    """

    def __init__(self, lock: threading.RLock) -> None:
        self.lanes: dict[SessionKey, _Lane] = {}
        self.depth = 0
        self.is_idle = self.is_hurried = False
        self.wake = threading.Condition(lock)
        self.thread: threading.Thread | None = None


class Persister:
    """The engine of one service.

    Args:
        context: Options and key names.
        run_flow: Brings flows to Redis.
        on_error: Called with each dead letter, in a worker's thread.
    """

    _spool: Spool | None

    def __init__(
        self,
        context: Context,
        run_flow: RunFlow,
        on_error: Sequence[Callable[[DeadLetter], Any]],
    ) -> None:
        self._context, self._run_flow, self._on_error = context, run_flow, on_error
        self._on_given_up = context.hooks.report_given_up
        options = context.options
        self._spool_dir = options.persist_spool_dir
        self._reset()
        if self._spool_dir is not None:
            self._spool = Spool(self._spool_dir, options.key_prefix)
        tell_of_forks(self)
        if self._spool is not None:
            self._adopt(self._spool.take_left())

    def _reset(self) -> None:
        self._progress = Progress()
        self.lock = self._lock = self._progress.lock
        self._workers = [
            _Worker(self._lock) for _ in range(self._context.options.async_persister_num)
        ]
        self._dead: list[tuple[Job, DeadLetter]] = []
        self._is_closing = self._is_stopped = False
        self._accepted = self._written = self._retried = self._batches = 0
        self._largest_batch = self._batched = self._left = self._reporting = 0
        self._last_error = ""
        self._spool = None

    def forget_parent(self) -> None:
        """In the child of a fork: the parent's threads are not here, and its queue is its own.

        The child's spool is made when it first appends.
        """
        if self._spool is not None:
            self._spool.abandon()
        is_closing = self._is_closing
        self._reset()
        self._is_closing = self._is_stopped = is_closing

    # Accepting

    def submit(self, request: Submit) -> None:
        """Accept an append; waits while the queue is full.

        Raises:
            PersistError: The queue was full for `persist_put_timeout`.
        """
        job = _make_job(request)
        worker = self._worker_of(job.key)
        if not self._accept(worker, job):
            timeout_s = self._context.options.persist_put_timeout
            if not self._progress.wait(lambda: self._accept(worker, job), timeout_s):
                raise self._refusal()

    async def asubmit(self, request: Submit) -> None:
        """Accept an append, without blocking the event loop; as `submit`."""
        job = _make_job(request)
        worker = self._worker_of(job.key)
        if not self._accept(worker, job):
            timeout_s = self._context.options.persist_put_timeout
            if not await self._progress.await_(lambda: self._accept(worker, job), timeout_s):
                raise self._refusal()

    def _refusal(self) -> PersistError:
        options = self._context.options
        return PersistError(
            f"the write-behind queue was full ({options.persist_queue_size} appends) for "
            f"{options.persist_put_timeout} s, so this append was not accepted; Redis is slow or "
            f"away{f' ({self._last_error})' if self._last_error else ''}. Try again, or raise "
            "persist_queue_size or persist_put_timeout"
        )

    def _worker_of(self, key: SessionKey) -> _Worker:
        name = "\0".join((key.app_name, key.user_id, key.session_id))
        return self._workers[crc32(name.encode()) % len(self._workers)]

    def _accept(self, worker: _Worker, job: Job) -> bool:
        with self._lock:
            if self._is_closing:
                raise SessionServiceClosedError("the service is closing; make a new one")
            if worker.depth >= self._context.options.persist_queue_size:
                return False
            # What may fail comes first: then nothing was accepted.
            self._start_thread(worker)
            if self._spool_dir is not None:
                job.spool_id = self._open_spool(self._spool_dir).add(job.key, job.write)
            self._accepted += 1
            self._enqueue(worker, job)
            return True

    def _start_thread(self, worker: _Worker) -> None:
        if worker.thread is not None:
            return
        close_at_exit()
        thread = threading.Thread(
            target=self._work, args=(worker,), name="redis-session-persister", daemon=True
        )
        try:
            thread.start()
        except RuntimeError as error:
            raise PersistError(
                f"no thread could be started to write in ({error}), so nothing was accepted"
            ) from error
        worker.thread = thread

    def _open_spool(self, directory: Path) -> Spool:
        if self._spool is None:
            try:
                self._spool = Spool(directory, self._context.options.key_prefix)
            except ConfigurationError as error:
                raise PersistError(f"{error}; this append was not accepted") from error
        return self._spool

    def _enqueue(self, worker: _Worker, job: Job) -> None:
        self._start_thread(worker)
        lane = worker.lanes.get(job.key)
        if lane is None:
            lane = worker.lanes[job.key] = _Lane()
        lane.jobs.append(job)
        worker.depth += 1
        # A lingering worker is left alone until it is worth it.
        if worker.is_idle or worker.depth * 2 >= self._context.options.persist_queue_size:
            worker.wake.notify()

    def _adopt(self, jobs: Iterable[tuple[Job, bool]]) -> None:
        """Take over what a process that is gone had accepted, its dead letters too."""
        with self._lock:
            for job, is_dead in jobs:
                self._accepted += 1
                if is_dead:
                    self._give_up(job, PersistError("given up before the last restart"))
                else:
                    self._enqueue(self._worker_of(job.key), job)

    # Writing

    def _work(self, worker: _Worker) -> None:
        try:
            self._write_until_closed(worker)
        finally:
            with self._lock:
                worker.thread = None  # the next append starts another

    def _write_until_closed(self, worker: _Worker) -> None:
        while True:
            with self._lock:
                ready = self._take(worker)
                while not ready:
                    if self._is_stopped or (self._is_closing and not worker.lanes):
                        return
                    worker.is_idle = True
                    worker.wake.wait(self._pause_s(worker))
                    worker.is_idle = False
                    ready = self._take(worker)
                if self._linger(worker, ready):
                    ready = self._take(worker)
                worker.is_hurried = False
            outcomes = self._deliver(ready)
            for outcome in outcomes:
                if outcome.is_final:  # told before those who wait for it go on
                    _tell(outcome.job, outcome.error)
            with self._lock:
                if self._is_stopped:
                    return
                given_up = self._settle_outcomes(worker, ready, outcomes)
                self._reporting += bool(given_up)  # who flushes waits for the reports, too
                self._progress.notify()
            if given_up:
                self._report(given_up)
                with self._lock:
                    self._reporting -= 1
                    self._progress.notify()

    def _linger(self, worker: _Worker, ready: dict[SessionKey, list[Job]]) -> bool:
        """Let a burst pile up: fewer round trips, and fewer interruptions of who appends."""

        def is_enough() -> bool:
            is_half_full = worker.depth * 2 >= self._context.options.persist_queue_size
            return worker.is_hurried or self._is_closing or is_half_full

        oldest_s = min(jobs[0].accepted_at_s for jobs in ready.values())
        left_s = oldest_s + _LINGER_S - time.monotonic()
        if left_s <= 0 or is_enough():
            return False
        worker.wake.wait_for(is_enough, left_s)
        return True

    def _take(self, worker: _Worker) -> dict[SessionKey, list[Job]]:
        if self._is_stopped:
            return {}
        now_s, size = time.monotonic(), 0
        ready: dict[SessionKey, list[Job]] = {}
        for key, lane in worker.lanes.items():
            if lane.retry_at_s > now_s:
                continue
            for job in lane.jobs:
                size += job.size
                if ready and size > _MOST_BYTES:
                    return ready
                ready.setdefault(key, []).append(job)
        return ready

    def _pause_s(self, worker: _Worker) -> float | None:
        if not worker.lanes:
            return None
        return max(0.0, min(lane.retry_at_s for lane in worker.lanes.values()) - time.monotonic())

    def _deliver(self, ready: dict[SessionKey, list[Job]]) -> list[Outcome]:
        flows = [write_jobs(self._context, key, jobs) for key, jobs in ready.items()]
        try:
            results = self._run_flow(gather(flows) if len(flows) > 1 else _alone(flows[0]))
        except BackendUnavailableError as error:
            return [Outcome(jobs[0], error) for jobs in ready.values()]
        except Exception as error:  # ours to find: it must not stop the worker
            return self._deliver_singly(ready, error)
        outcomes: list[Outcome] = []
        for jobs, result in zip(ready.values(), results, strict=True):
            if isinstance(result, RedisSessionError):
                outcomes.append(Outcome(jobs[0], result))
            else:
                outcomes += result
        return outcomes

    def _deliver_singly(
        self, ready: dict[SessionKey, list[Job]], error: Exception
    ) -> list[Outcome]:
        """After an error nobody expected: find the job that it comes from."""
        if len(ready) == 1:
            ((key, jobs),) = ready.items()
            if len(jobs) == 1:
                # Where, and not what it says: that may quote what was to be stored.
                where = "".join(traceback.format_tb(error.__traceback__))
                name = type(error).__name__
                logger.error("write-behind failed unexpectedly: %s\n%s", name, where)
                wrapped = PersistError(f"write-behind failed unexpectedly: {error!r}")
                wrapped.__cause__ = error
                return [Outcome(jobs[0], wrapped)]
            parts = [{key: [job]} for job in jobs]
        else:
            parts = [{key: jobs} for key, jobs in ready.items()]
        outcomes: list[Outcome] = []
        for part in parts:
            outcomes += self._deliver(part)
            if len(ready) == 1 and not outcomes[-1].is_final:
                break  # those behind it must not overtake
        return outcomes

    def _settle_outcomes(
        self, worker: _Worker, ready: dict[SessionKey, list[Job]], outcomes: Sequence[Outcome]
    ) -> list[tuple[Job, DeadLetter]]:
        """Note what was written, what is tried again and what is given up; gives the last."""
        now_s, given_up, gone = time.monotonic(), [], []
        size = sum(outcome.is_final for outcome in outcomes)
        self._batches += bool(size)
        self._batched += size
        self._largest_batch = max(self._largest_batch, size)
        failed: dict[SessionKey, RedisSessionError] = {}
        for outcome in outcomes:
            job = outcome.job
            if not outcome.is_final and outcome.error is not None:
                failed[job.key] = outcome.error
                self._last_error = str(outcome.error)
                continue
            self._finish(worker, job)
            if outcome.error is None:
                self._written += 1
                gone.append(job)
            else:
                given_up.append((job, self._give_up(job, outcome.error)))
        for key, jobs in ready.items():
            lane = worker.lanes.get(key)
            if key not in failed or lane is None:
                continue
            self._retried += 1
            lane.failures += 1
            pause_s = min(_LONGEST_PAUSE_S, _SHORTEST_PAUSE_S * 2 ** min(lane.failures, 10))
            lane.retry_at_s = now_s + pause_s * random.uniform(0.5, 1.0)
            for job in jobs:
                if job.is_done:
                    continue
                job.failed_at_s = now_s if job.failed_at_s is None else job.failed_at_s
                timeout_s = self._context.options.persist_retry_timeout
                if timeout_s is not None and now_s - job.failed_at_s >= timeout_s:
                    self._finish(worker, job)
                    given_up.append((job, self._give_up(job, failed[key])))
        for key in ready.keys() - failed.keys():
            lane = worker.lanes.pop(key, None)
            if lane is not None:
                lane.failures = 0
                worker.lanes[key] = lane  # now behind the others
        if self._spool is not None:
            self._spool.remove([job.spool_id for job in gone if job.spool_id is not None])
        return given_up

    def _finish(self, worker: _Worker, job: Job) -> None:
        lane = worker.lanes[job.key]
        lane.jobs.remove(job)  # one of the oldest
        job.is_done = True
        worker.depth -= 1
        if not lane.jobs:
            del worker.lanes[job.key]

    def _give_up(self, job: Job, error: RedisSessionError) -> DeadLetter:
        letter = DeadLetter(
            key=job.key,
            events=tuple(job.write.events),
            error=error,
            time_ns=time.time_ns(),
        )
        self._dead.append((job, letter))
        self._context.figures.dead_events += len(letter.events)
        self._last_error = str(error)
        if self._spool is not None and job.spool_id is not None:
            self._spool.mark(job.spool_id, DEAD)
        return letter

    def _report(self, given_up: Iterable[tuple[Job, DeadLetter]]) -> None:
        for job, letter in given_up:
            _tell(job, letter.error)
            logger.error(
                "write-behind gave up %d event(s) of a session: %s; see dead_letters()",
                len(letter.events),
                type(letter.error).__name__,
            )
            for handler in (*self._on_error, job.on_given_up or self._on_given_up):
                try:
                    handler(letter)
                except (Exception, SystemExit) as error:  # which would end the worker
                    name = type(error).__name__
                    logger.error("a handler of on_persist_error failed: %s", name)

    # Waiting

    def _pending(self, scope: Scope) -> list[Job]:
        """The newest job of every lane in a scope: when it is done, those before it are.

        Without those of the worker that asks, in a handler: it can't wait for itself.
        """
        asking, found = threading.current_thread(), []
        with self._lock:
            one = [self._worker_of(SessionKey(*scope))] if len(scope) == 3 else self._workers
            for worker in one:
                if worker.thread is asking:
                    continue
                tails = [
                    lane.jobs[-1]
                    for key, lane in worker.lanes.items()
                    if (key.app_name, key.user_id, key.session_id)[: len(scope)] == scope
                ]
                if tails:
                    worker.is_hurried = True
                    worker.wake.notify()
                found += tails
        return found

    def settle(self, scope: Scope) -> None:
        """Wait for what was accepted in a scope: (app,), (app, user), (app, user, session).

        Raises:
            BackendUnavailableError: It took longer than `persist_put_timeout`.
        """
        pending = self._pending(scope)
        timeout_s = self._context.options.persist_put_timeout
        if pending and not self._progress.wait(lambda: self._are_settled(pending), timeout_s):
            raise self._unsettled()

    async def asettle(self, scope: Scope) -> None:
        """Wait for a scope, without blocking the event loop; as `settle`."""
        pending = self._pending(scope)
        timeout_s = self._context.options.persist_put_timeout
        if pending and not await self._progress.await_(
            lambda: self._are_settled(pending), timeout_s
        ):
            raise self._unsettled()

    def _are_settled(self, jobs: Sequence[Job]) -> bool:
        if self._is_stopped:
            raise SessionServiceClosedError("the service was closed while this waited for appends")
        return _are_done(jobs)

    def _unsettled(self) -> BackendUnavailableError:
        return BackendUnavailableError(
            "appends that were accepted before are still waiting to be written after "
            f"{self._context.options.persist_put_timeout} s (persist_put_timeout); the last "
            f"error: {self._last_error or 'none'}"
        )

    def flush(self, timeout_s: float | None) -> bool:
        """Wait until all that was accepted is done; gives whether all of it is in Redis."""
        pending = self._pending(())
        done = self._progress.wait(lambda: self._are_told(pending), timeout_s)
        return done and not self._dead and not self._left

    async def aflush(self, timeout_s: float | None) -> bool:
        """Wait, without blocking the event loop; as `flush`."""
        pending = self._pending(())
        done = await self._progress.await_(lambda: self._are_told(pending), timeout_s)
        return done and not self._dead and not self._left

    def _are_told(self, jobs: Sequence[Job]) -> bool:
        """Whether they are done, and `on_persist_error` was called for what was given up."""
        if not _are_done(jobs):
            return False
        asking = threading.current_thread()  # in a handler, it can't wait for itself
        return not self._reporting or any(worker.thread is asking for worker in self._workers)

    # Dead letters, figures, the end

    def dead_letters(self) -> list[DeadLetter]:
        """What was accepted and given up, oldest first."""
        with self._lock:
            return [letter for _, letter in self._dead]

    def retry_dead_letters(self) -> int:
        """Accept all dead letters anew, however full the queue; gives how many."""
        with self._lock:
            if self._is_closing:
                raise SessionServiceClosedError("the service is closing; make a new one")
            for worker in {self._worker_of(job.key) for job, _ in self._dead}:
                self._start_thread(worker)  # which may fail
            dead, self._dead = self._dead, []
            for job, _ in dead:
                again = Job(job.key, job.write, job.spool_id, is_alone=True)
                again.on_given_up = job.on_given_up
                if self._spool is not None and job.spool_id is not None:
                    self._spool.mark(job.spool_id, TRIED_AGAIN)
                self._enqueue(self._worker_of(job.key), again)
            return len(dead)

    def count_waiting(self) -> int:
        """How many appends wait."""
        return sum(worker.depth for worker in self._workers)

    def stats(self) -> PersistStats:
        """What the engine has done so far, and what waits."""
        with self._lock:
            waiting = [
                lane.jobs[0].accepted_at_s for w in self._workers for lane in w.lanes.values()
            ]
            return PersistStats(
                queue_depths=tuple(worker.depth for worker in self._workers),
                accepted=self._accepted,
                written=self._written,
                retried=self._retried,
                dead=len(self._dead),
                batches=self._batches,
                mean_batch_size=self._batched / self._batches if self._batches else 0.0,
                largest_batch_size=self._largest_batch,
                oldest_waiting_s=time.monotonic() - min(waiting) if waiting else 0.0,
                last_error=self._last_error,
            )

    def close(self, timeout_s: float | None = None, join_s: float = _LONGEST_JOIN_S) -> None:
        """Write what is left, at most for `persist_close_timeout`, then stop the threads.

        In a thread of its own (a handler's call, garbage collection) it can't wait for itself,
        and does that in the background.
        """
        if threading.current_thread() in [worker.thread for worker in self._workers]:
            threading.Thread(target=self.close, name="redis-session-closer", daemon=True).start()
            return
        if timeout_s is None:
            timeout_s = self.close_timeout_s
        pending = self.begin_close()
        self._progress.wait(lambda: _are_done(pending), timeout_s)
        deadline = time.monotonic() + join_s
        for thread in self._end_close():
            thread.join(max(0.0, deadline - time.monotonic()))

    def close_in_background(self) -> None:
        """Close without holding up who drops the service: perhaps an event loop."""
        try:
            threading.Thread(target=self.close, name="redis-session-closer", daemon=True).start()
        except RuntimeError:  # no more threads at the end of the interpreter
            self.close()

    async def aclose(self) -> None:
        """Write what is left without blocking the event loop, then stop; as `close`."""
        pending = self.begin_close()
        await self._progress.await_(lambda: _are_done(pending), self.close_timeout_s)
        deadline = time.monotonic() + _LONGEST_JOIN_S
        for thread in self._end_close():
            while thread.is_alive() and time.monotonic() < deadline:
                await asyncio.sleep(0.001)

    @property
    def close_timeout_s(self) -> float:
        """How long closing waits for what is left."""
        return self._context.options.persist_close_timeout

    def begin_close(self) -> list[Job]:
        """Accept no more; gives what is left to wait for."""
        with self._lock:
            self._is_closing = True
            for worker in self._workers:
                for lane in worker.lanes.values():
                    lane.retry_at_s = 0.0  # a last try without a pause
                worker.wake.notify_all()
            self._progress.notify()  # who waits for a place in a queue gets none
            return self._pending(())

    def _end_close(self) -> list[threading.Thread]:
        """Give up what is left; gives the threads, which end now, or when Redis answers them."""
        with self._lock:
            threads = [worker.thread for worker in self._workers if worker.thread is not None]
            if self._is_stopped:
                return threads
            self._is_stopped = True
            left = [j for w in self._workers for lane in w.lanes.values() for j in lane.jobs]
            error = PersistError(
                "the service was closed before this could be written; the last error: "
                f"{self._last_error or 'none'}"
            )
            given_up = []
            for job in left:
                self._finish(self._worker_of(job.key), job)
                # With a spool it stays there, and the next start delivers it.
                if job.spool_id is None:
                    given_up.append((job, self._give_up(job, error)))
                else:
                    self._left += 1
            for worker in self._workers:
                worker.wake.notify_all()
            self._progress.notify()
            if self._spool is not None:
                self._spool.close()
                self._spool = None
        self._report(given_up)
        if self._left:
            logger.warning(
                "write-behind was closed with %d append(s) left in the spool; the next service "
                "with the same persist_spool_dir delivers them",
                self._left,
            )
        return threads


def _tell(job: Job, error: Exception | None) -> None:
    """Call who wants to know what became of a job, once."""
    on_settled, job.on_settled = job.on_settled, None
    if on_settled is None:
        return
    try:
        on_settled(error)
    except (Exception, SystemExit) as failure:  # which would end the worker
        logger.error("what was to follow an append failed: %s", type(failure).__name__)


def _make_job(request: Submit) -> Job:
    return Job(
        request.key,
        request.write,
        on_settled=request.on_settled,
        on_given_up=request.on_given_up,
    )


def _are_done(jobs: Sequence[Job]) -> bool:
    return all(job.is_done for job in jobs)


def _alone(flow: Flow[T]) -> Flow[list[T | RedisSessionError]]:
    return [(yield from flow)]
