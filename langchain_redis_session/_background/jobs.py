"""What is queued: one accepted append each, ready to be sent."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

from langchain_redis_session._flow.requests import Flow, Submit
from langchain_redis_session._operations.append import append_prepared
from langchain_redis_session._operations.context import Context
from langchain_redis_session._operations.erasures import read_erased_ms
from langchain_redis_session._operations.prepared import PreparedEvents
from langchain_redis_session._operations.tracks import (
    PreparedTrackEvents,
    append_prepared_track_events,
)
from langchain_redis_session.errors import (
    BackendUnavailableError,
    RedisSessionError,
)
from langchain_redis_session.models import DeadLetter, SessionKey

SpoolId: TypeAlias = "tuple[int, int]"
"""The place of a file in the spool, and of a row in it."""
Write: TypeAlias = PreparedEvents | PreparedTrackEvents
_LARGEST_RUN_BYTES = 4 * 1024 * 1024
"""What one script call takes, unless a single append is larger."""


class Job:
    """An append that was accepted, until it is in Redis or given up.

    Attributes:
        key: The session.
        write: What to append.
        spool_id: Where it stands in the spool, if there is one.
        accepted_at_s: When, on the monotonic clock.
        accepted_ms: When, in ms since 1970.
        order: Its place among all that this process has accepted.
        failed_at_s: When it first failed because Redis was away.
        is_done: Whether it is in Redis or given up.
        is_alone: Whether no other may share its script call.
        may_be_erased: Whether its session may have been deleted since it was accepted: it
            comes from a spool or from the dead letters.
        on_settled: Called without a lock when it is in Redis (with None) or given up (with
            the error).
        on_given_up: Called with the dead letter, in place of the service's hooks.
        size: The bytes of its events.
    """

    # Written out: one is made for each append, in the caller's time.
    __slots__ = (
        "accepted_at_s",
        "accepted_ms",
        "failed_at_s",
        "is_alone",
        "is_done",
        "key",
        "may_be_erased",
        "on_given_up",
        "on_settled",
        "order",
        "size",
        "spool_id",
        "write",
    )

    def __init__(
        self,
        key: SessionKey,
        write: Write,
        spool_id: SpoolId | None = None,
        *,
        accepted_ms: int | None = None,
        order: int = 0,
        is_alone: bool = False,
        may_be_erased: bool = False,
        on_settled: Callable[[Exception | None], Any] | None = None,
        on_given_up: Callable[[DeadLetter], Any] | None = None,
    ) -> None:
        self.key, self.write, self.spool_id = key, write, spool_id
        self.accepted_at_s = time.monotonic()
        self.accepted_ms = time.time_ns() // 1_000_000 if accepted_ms is None else accepted_ms
        self.order = order
        self.failed_at_s: float | None = None
        self.is_done = False
        self.is_alone, self.may_be_erased = is_alone, may_be_erased
        self.on_settled, self.on_given_up = on_settled, on_given_up
        self.size = 0
        for entry in write.entries:
            self.size += len(entry.member)

    def can_join(self, other: Job) -> bool:
        """Whether one script call may write both.

        Of jobs in one call, what stands before one that is already stored may count as removed
        by retention. That is right for what was always sent in this order, and not where
        another process, or a try that was given up, may have written the second one alone.
        """
        return (
            not (self.is_alone or other.is_alone)
            and (self.spool_id or (0, 0))[0] == (other.spool_id or (0, 0))[0]
            and self.write.can_join(other.write)
        )


class JobResult(NamedTuple):
    """What became of a job.

    Attributes:
        job: The job.
        error: Why it failed; None for nothing wrong.
        is_erased: Whether it was dropped, as its session was deleted after it was accepted.
    """

    job: Job
    error: RedisSessionError | None
    is_erased: bool = False

    @property
    def is_final(self) -> bool:
        """Whether trying again would not help."""
        return self.error is None or not isinstance(self.error, BackendUnavailableError)


def write_jobs(context: Context, key: SessionKey, jobs: Sequence[Job]) -> Flow[list[JobResult]]:
    """Write jobs of one session in order, as many as can be in each script call.

    Stops at the first that Redis was not there for. One that can't be written is passed
    over, and found by sending the jobs of its call one by one.
    """
    results = yield from _drop_erased(context, key, jobs)
    if results:
        erased = {id(result.job) for result in results}
        jobs = [job for job in jobs if id(job) not in erased]
    waiting = [list(run) for run in _split_runs(jobs)]
    while waiting:
        run = waiting.pop(0)
        error = yield from _write_run(context, key, [job.write for job in run])
        if isinstance(error, BackendUnavailableError):
            results.append(JobResult(run[0], error))
            break
        if error is not None and len(run) > 1:
            waiting[:0] = [[job] for job in run]
            continue
        results += [JobResult(job, error) for job in run]
    return results


def _drop_erased(context: Context, key: SessionKey, jobs: Sequence[Job]) -> Flow[list[JobResult]]:
    """Find the jobs that a deletion has overtaken."""
    # One that waits because Redis is away may be overtaken too.
    doubtful = [job for job in jobs if job.may_be_erased or job.failed_at_s is not None]
    if not doubtful:
        return []
    erased_ms = yield from read_erased_ms(context, key)
    return [
        JobResult(job, None, is_erased=True) for job in doubtful if job.accepted_ms <= erased_ms
    ]


def _split_runs(jobs: Sequence[Job]) -> list[list[Job]]:
    """Neighbours that one script call can write, without growing too large for the server."""
    runs: list[list[Job]] = []
    size = 0
    for job in jobs:
        size += job.size
        if runs and size <= _LARGEST_RUN_BYTES and runs[-1][-1].can_join(job):
            runs[-1].append(job)
        else:
            runs.append([job])
            size = job.size
    return runs


def _write_run(
    context: Context, key: SessionKey, writes: Sequence[Write]
) -> Flow[RedisSessionError | None]:
    first = writes[0]
    try:
        if isinstance(first, PreparedEvents):
            events = [w for w in writes if isinstance(w, PreparedEvents)]
            yield from append_prepared(context, key, PreparedEvents.join(events))
        else:
            track_events = [w for w in writes if isinstance(w, PreparedTrackEvents)]
            joined = PreparedTrackEvents.join(track_events)
            yield from append_prepared_track_events(context, key, joined)
    except RedisSessionError as error:
        return error
    return None


def make_job(request: Submit) -> Job:
    """What a flow hands over, as a job."""
    return Job(
        request.key,
        request.write,
        on_settled=request.on_settled,
        on_given_up=request.on_given_up,
    )


def are_done(jobs: Sequence[Job]) -> bool:
    """Whether all are in Redis or given up."""
    return all(job.is_done for job in jobs)
