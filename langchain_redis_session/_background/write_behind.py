"""Write-behind: appends return at once, workers bring them to Redis.

A session's appends always go through the same worker, a thread, in the order they were
accepted. In each turn a worker takes all that waits at it: a session's appends go in one script
call, all calls in one round trip. One worker is quickest, as all share the interpreter's lock.
Nothing accepted is dropped in silence: what can't be written ends up as a dead letter. One engine
serves threads and event loops alike.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from langchain_redis_session._background.dead_letters import (
    DeadLetters,
    GivenUp,
    is_writable,
    make_dead_job,
)
from langchain_redis_session._background.delivery import Delivery
from langchain_redis_session._background.engine import Engine
from langchain_redis_session._background.jobs import (
    Job,
    Outcome,
    SpoolId,
    Write,
    are_done,
    tell_settled,
)
from langchain_redis_session._background.lanes import Worker, make_workers
from langchain_redis_session._background.spool import DEAD, TRIED_AGAIN, Spool
from langchain_redis_session._background.tally import Tally
from langchain_redis_session._flow.drivers import RunFlow
from langchain_redis_session._flow.requests import Call, Flow, Scope, Submit, off_loop
from langchain_redis_session._logs import logger
from langchain_redis_session._operations.context import Context
from langchain_redis_session.errors import (
    BackendUnavailableError,
    ConfigurationError,
    PersistError,
    RedisSessionError,
    SessionServiceClosedError,
)
from langchain_redis_session.models import DeadLetter, Event, SessionKey, TrackEvent
from langchain_redis_session.stats import PersistStats

_SHORTEST_PAUSE_S, _LONGEST_PAUSE_S = 0.02, 2.0


class WriteBehind(Engine):
    """The engine of one service that writes.

    Args:
        context: Options and key names.
        run_flow: Brings flows to Redis.
        on_given_up: Called with each dead letter whose append named nobody else for it.
        on_error: Called before, with each dead letter. Both in a worker's thread.
    """

    _thread_name = "redis-session-persister"
    _spool: Spool | None

    def __init__(
        self,
        context: Context,
        run_flow: RunFlow,
        on_given_up: Callable[[DeadLetter], Any],
        on_error: Callable[[DeadLetter], Any] | None = None,
    ) -> None:
        self._context, self._delivery = context, Delivery(context, run_flow)
        self._handlers = (on_given_up, on_error)
        options = context.options
        self._spool_dir = options.persist_spool_dir
        self._spool = None
        super().__init__()
        if self._spool_dir is not None:
            self._spool = Spool(self._spool_dir, options.key_prefix)
            self._adopt(self._spool.take_left())

    def _reset(self) -> None:
        super()._reset()
        options = self._context.options
        self._workers = make_workers(
            self.lock, options.async_persister_num, options.persist_queue_size
        )
        self._dead = DeadLetters(self._context, *self._handlers)
        self._tally = Tally()
        self._left = self._reporting = 0
        self._orders = itertools.count()
        # A child's spool is made when it first appends.
        self._spool = None
        self._spooling = ThreadPoolExecutor(1, "redis-session-spool")

    def forget_parent(self) -> None:
        """In the child of a fork: begin anew; what waits is the parent's to write."""
        if self._spool is not None:
            self._spool.abandon()
        super().forget_parent()

    # Accepting

    def accept(self, request: Submit) -> bool:
        """Accept an append at once, if there is room and nothing has to be written to a file.

        It is what `submit` does then.
        """
        if self._spool_dir is not None:
            return False
        return self._accept(self._worker_of(request.key), _make_job(request))

    def submit(self, request: Submit) -> Flow[None]:
        """Accept an append; waits while the queue is full.

        Raises:
            PersistError: The queue was full for `persist_put_timeout`.
        """
        job = _make_job(request)
        worker = self._worker_of(job.key)
        deadline_s = time.monotonic() + self._context.options.persist_put_timeout
        while not (yield from self._try_to_accept(worker, job)):
            left_s = max(0.0, deadline_s - time.monotonic())
            if not (yield self._progress.until(lambda: self._may_accept(worker), left_s)):
                raise self._refusal()

    def _try_to_accept(self, worker: Worker, job: Job) -> Flow[bool]:
        accept = partial(self._accept, worker, job)
        if self._spool_dir is None or self._is_closing:  # then it is refused at once
            return accept()

        async def accept_off_loop() -> bool:
            # The spool writes to a file: in a thread, and in one, so that the order stays.
            return await asyncio.get_running_loop().run_in_executor(self._spooling, accept)

        is_accepted: bool = yield Call(accept, accept_off_loop)
        return is_accepted

    def _may_accept(self, worker: Worker) -> bool:
        return self._is_closing or not worker.is_full

    def _refusal(self) -> PersistError:
        options, error = self._context.options, self._tally.last_error
        return PersistError(
            f"the write-behind queue was full ({options.persist_queue_size} appends) for "
            f"{options.persist_put_timeout} s, so this append was not accepted; Redis is slow or "
            f"away{f' ({error})' if error else ''}. Try again, or raise "
            "persist_queue_size or persist_put_timeout"
        )

    def _worker_of(self, key: SessionKey) -> Worker:
        workers = self._workers
        return workers[0] if len(workers) == 1 else workers[hash(key) % len(workers)]

    def _accept(self, worker: Worker, job: Job) -> bool:
        with self.lock:
            if self._is_closing:
                raise SessionServiceClosedError("the service is closing; make a new one")
            if worker.is_full:
                return False
            # What may fail comes first: then nothing was accepted.
            if worker.thread is None:
                self._start(worker)
            if self._spool_dir is not None:
                job.spool_id = self._open_spool(self._spool_dir).add(job)
            self._tally.accepted += 1
            job.order = next(self._orders)
            worker.enqueue(job)
        return True

    def _start(self, worker: Worker) -> None:
        if worker.thread is not None:
            return
        try:
            worker.thread = self._start_thread(self._work, worker)
        except RuntimeError as error:
            raise PersistError(
                f"no thread could be started to write in ({error}), so nothing was accepted"
            ) from error

    def _open_spool(self, directory: Path) -> Spool:
        if self._spool is None:
            try:
                self._spool = Spool(directory, self._context.options.key_prefix)
            except ConfigurationError as error:
                raise PersistError(f"{error}; this append was not accepted") from error
        return self._spool

    def _adopt(self, jobs: Iterable[tuple[Job, bool]]) -> None:
        """Take over what a process that is gone had accepted, its dead letters too."""
        with self.lock:
            for job, is_dead in jobs:
                self._tally.accepted += 1
                job.order = next(self._orders)
                if is_dead:
                    self._give_up(job, PersistError("given up before the last restart"))
                    continue
                worker = self._worker_of(job.key)
                self._start(worker)
                worker.enqueue(job)

    # Writing

    def _work(self, worker: Worker) -> None:
        try:
            self._write_until_closed(worker)
        finally:
            with self.lock:
                worker.thread = None  # the next append starts another

    def _write_until_closed(self, worker: Worker) -> None:
        while (ready := self._wait_for_turn(worker)) is not None:
            outcomes = self._delivery.deliver(ready)
            for outcome in outcomes:
                if outcome.is_final:  # told before those who wait for it go on
                    tell_settled(outcome.jobs, outcome.error)
            with self.lock:
                if self._is_stopped:
                    return
                given_up = self._settle_outcomes(worker, ready, outcomes)
                self._reporting += bool(given_up)  # who flushes waits for the reports, too
                self._progress.notify()
            if given_up:
                self._report(given_up)
                with self.lock:
                    self._reporting -= 1
                    self._progress.notify()

    def _wait_for_turn(self, worker: Worker) -> dict[SessionKey, Sequence[Job]] | None:
        """Wait for what is to be written next; None at the end."""

        def is_urgent() -> bool:
            return self._is_closing

        with self.lock:
            while not self._is_stopped:
                if worker.is_ready():
                    worker.linger(is_urgent)
                    worker.is_hurried = False
                    if self._is_stopped:
                        break
                    if ready := worker.take():
                        return ready
                elif self._is_closing and not worker.depth:
                    break
                worker.sleep()
        return None

    def _settle_outcomes(
        self,
        worker: Worker,
        ready: Mapping[SessionKey, Sequence[Job]],
        outcomes: Sequence[Outcome],
    ) -> list[GivenUp]:
        """Note what was written, what is tried again and what is given up.

        Returns:
            What is given up.
        """
        given_up: list[GivenUp] = []
        gone: list[SpoolId] = []
        failed: dict[SessionKey, RedisSessionError] = {}
        size = 0
        for jobs, error, is_erased in outcomes:
            if error is not None and isinstance(error, BackendUnavailableError):
                failed[jobs[0].key] = error
                self._tally.last_error = str(error)
                continue
            size += len(jobs)
            worker.finish(jobs)
            if error is not None:
                given_up += [(job, self._give_up(job, error)) for job in jobs]
                continue
            if is_erased:
                self._tally.erased += len(jobs)
            else:
                self._tally.written += len(jobs)
            gone += [job.spool_id for job in jobs if job.spool_id is not None]
        self._tally.note_turn(size)
        for key, jobs in ready.items():
            if key in failed:
                given_up += self._try_later(worker, key, jobs, failed[key])
            else:
                worker.clear_lane(key, goes_behind=True)
        if self._spool is not None:
            self._spool.remove(gone)
        return given_up

    def _try_later(
        self, worker: Worker, key: SessionKey, jobs: Sequence[Job], error: RedisSessionError
    ) -> list[GivenUp]:
        """Let a lane pause, longer each time, and give up what has waited for too long.

        Returns:
            What was given up.
        """
        self._tally.retried += 1
        now_s, timeout_s = time.monotonic(), self._context.options.persist_retry_timeout
        late: list[Job] = []
        for job in jobs:
            if job.is_done:
                continue
            job.failed_at_s = now_s if job.failed_at_s is None else job.failed_at_s
            if timeout_s is not None and now_s - job.failed_at_s >= timeout_s:
                late.append(job)
        worker.finish(late)
        lane = worker.clear_lane(key, goes_behind=False)
        if lane is not None:
            lane.failures += 1
            pause_s = min(_LONGEST_PAUSE_S, _SHORTEST_PAUSE_S * 2 ** min(lane.failures, 10))
            lane.retry_at_s = now_s + pause_s * random.uniform(0.5, 1.0)
        return [(job, self._give_up(job, error)) for job in late]

    def _give_up(self, job: Job, error: RedisSessionError) -> DeadLetter:
        letter = self._dead.add(job, error)
        self._tally.last_error = str(error)
        if self._spool is not None and job.spool_id is not None:
            self._spool.mark(job.spool_id, DEAD)
        return letter

    def _report(self, given_up: Sequence[GivenUp]) -> None:
        for job, letter in given_up:
            tell_settled([job], letter.error)
        self._dead.report(given_up)

    # Waiting

    def _hurry(self, scope: Scope) -> list[Job]:
        """The newest job of every lane in a scope: when it is done, those before it are.

        Without those of the worker that asks, in a handler: it can't wait for itself.
        """
        asking, found = threading.current_thread(), []
        with self.lock:
            one = [self._worker_of(SessionKey(*scope))] if len(scope) == 3 else self._workers
            for worker in one:
                if worker.thread is not asking:
                    found += worker.hurry(scope)
        return found

    def settle(self, scope: Scope) -> Flow[None]:
        """Wait for what was accepted in a scope: (app,), (app, user), (app, user, session).

        Raises:
            BackendUnavailableError: It took longer than `persist_put_timeout`.
        """
        pending = self._hurry(scope)
        if not pending:
            return
        timeout_s = self._context.options.persist_put_timeout
        if not (yield self._progress.until(lambda: self._are_settled(pending), timeout_s)):
            raise self._unsettled()

    def _are_settled(self, jobs: Sequence[Job]) -> bool:
        if self._is_stopped:
            raise SessionServiceClosedError("the service was closed while this waited for appends")
        return are_done(jobs)

    def _unsettled(self) -> BackendUnavailableError:
        return BackendUnavailableError(
            "appends that were accepted before are still waiting to be written after "
            f"{self._context.options.persist_put_timeout} s (persist_put_timeout); the last "
            f"error: {self._tally.last_error or 'none'}"
        )

    def _begin_flush(self) -> Callable[[], bool]:
        pending = self._hurry(())

        def are_told() -> bool:  # `on_persist_error` was called for what was given up, too
            if not are_done(pending):
                return False
            return not self._reporting or self._is_own_thread()

        return are_told

    def _is_flushed(self) -> bool:
        return not self._dead and not self._left

    # Dead letters and counters

    def dead_letters(self) -> list[DeadLetter]:
        """What was accepted and given up, oldest first."""
        with self.lock:
            return self._dead.letters()

    def retry_dead_letters(self, key: SessionKey | None = None) -> int:
        """Accept dead letters anew, of a session or all, however full the queue.

        They stand where they were accepted: before what waits for their session.

        Returns:
            How many.
        """
        with self.lock:
            if self._is_closing:
                raise SessionServiceClosedError("the service is closing; make a new one")
            dead = [job for job, _ in self._dead.find(key) if is_writable(job)]
            for worker in {self._worker_of(job.key) for job in dead}:
                self._start(worker)  # which may fail
            self._dead.forget(dead)
            for job in dead:
                again = Job(job.key, job.write, accepted_ms=job.accepted_ms)
                again.order, again.spool_id = job.order, job.spool_id
                again.is_alone = again.may_be_erased = True
                again.on_given_up = job.on_given_up
                if self._spool is not None and job.spool_id is not None:
                    self._spool.mark(job.spool_id, TRIED_AGAIN)
                self._worker_of(job.key).enqueue_again(again)
            return len(dead)

    def redeliver(self, key: SessionKey | None = None) -> Flow[int]:
        """Accept dead letters anew; as `retry_dead_letters`."""
        yield from ()  # a flow, as that of a service without write-behind
        return self.retry_dead_letters(key)

    def keep(
        self,
        key: SessionKey,
        events: Sequence[Event] | Sequence[TrackEvent],
        prepared: Write | None,
        error: RedisSessionError,
        on_given_up: Callable[[DeadLetter], Any] | None,
    ) -> Flow[None]:
        """Keep as a dead letter what could not be accepted, and must not be lost."""
        job = make_dead_job(key, events, prepared, on_given_up)
        with self.lock:
            job.order = next(self._orders)
            letter = self._give_up(job, error)
        yield from off_loop(partial(self._report, [(job, letter)]))

    def count_waiting(self) -> int:
        """How many appends wait."""
        return sum(worker.depth for worker in self._workers)

    def stats(self) -> PersistStats:
        """What the engine has done so far, and what waits."""
        with self.lock:
            return self._tally.show(self._workers, len(self._dead))

    # The end

    @property
    def close_timeout_s(self) -> float:
        """How long closing waits for what is left."""
        return self._context.options.persist_close_timeout

    def _threads(self) -> list[threading.Thread]:
        return [worker.thread for worker in self._workers if worker.thread is not None]

    def _begin_close(self) -> Callable[[], bool]:
        for worker in self._workers:
            worker.try_now()  # a last time
        pending = self._hurry(())
        return lambda: are_done(pending)

    def _end_close(self) -> None:
        """Give up what is left."""
        with self.lock:
            error = PersistError(
                "the service was closed before this could be written; the last error: "
                f"{self._tally.last_error or 'none'}"
            )
            given_up = []
            for worker in self._workers:
                for job in worker.clear():
                    # With a spool it stays there, and the next start delivers it.
                    if job.spool_id is None:
                        given_up.append((job, self._give_up(job, error)))
                    else:
                        self._left += 1
            self._progress.notify()
            if self._spool is not None:
                self._spool.close()
                self._spool = None
            self._spooling.shutdown(wait=False)
        self._report(given_up)
        if self._left:
            logger.warning(
                "write-behind was closed with %d append(s) left in the spool; the next service "
                "with the same persist_spool_dir delivers them",
                self._left,
            )


def _make_job(request: Submit) -> Job:
    return Job(request.key, request.write, request.on_settled, request.on_given_up)
