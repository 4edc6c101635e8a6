"""What is queued: one accepted append each, ready to be sent."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from time import monotonic, time_ns
from typing import Any, NamedTuple, TypeAlias

from langchain_redis_session._flow.requests import Flow, Scope
from langchain_redis_session._logs import logger
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
    SessionNotFoundError,
)
from langchain_redis_session.models import DeadLetter, SessionKey

SpoolId: TypeAlias = "tuple[int, int]"
"""The place of a file in the spool, and of a row in it."""
Write: TypeAlias = PreparedEvents | PreparedTrackEvents
_LARGEST_RUN_BYTES, _LONGEST_RUN = 4 * 1024 * 1024, 500
"""What one script call takes, in bytes and in events, unless a single append has more."""


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
        shared_scopes: The app and the user whose state it changes, once it was looked at.
        on_settled: Called without a lock when it is in Redis (with None) or given up (with
            the error).
        on_given_up: Called with the dead letter, in place of the service's hooks.
        size: The bytes of its events.
    """

    # Written out, and the rest as of the class: one is made for each append, in the caller's time.
    spool_id: SpoolId | None = None
    order = 0
    failed_at_s: float | None = None
    is_done = is_alone = may_be_erased = False
    shared_scopes: Sequence[Scope] = ()

    def __init__(
        self,
        key: SessionKey,
        write: Write,
        on_settled: Callable[[Exception | None], Any] | None = None,
        on_given_up: Callable[[DeadLetter], Any] | None = None,
        accepted_ms: int | None = None,
    ) -> None:
        self.key = key
        self.write = write
        self.on_settled = on_settled
        self.on_given_up = on_given_up
        self.accepted_at_s = monotonic()
        self.accepted_ms = time_ns() // 1_000_000 if accepted_ms is None else accepted_ms
        size = 0
        for entry in write.entries:
            size += len(entry.member)
        self.size = size

    def can_join(self, other: Job) -> bool:
        """Whether one script call may write both.

        Of jobs in one call, what stands before one that is already stored may count as removed
        by retention. That is right for what was always sent in this order, and not where
        another process, or a try that was given up, may have written the second one alone.
        """
        if self.is_alone or other.is_alone:
            return False
        one, next_one = self.spool_id, other.spool_id
        if one is not next_one and (one or (0, 0))[0] != (next_one or (0, 0))[0]:
            return False
        return self.write.can_join(other.write)


class Outcome(NamedTuple):
    """What became of jobs of one session that went together.

    Attributes:
        jobs: The jobs, in order.
        error: Why they failed; None for nothing wrong.
        is_erased: Whether they were dropped, as their session was deleted after they were
            accepted.
    """

    jobs: Sequence[Job]
    error: RedisSessionError | None = None
    is_erased: bool = False

    @property
    def is_final(self) -> bool:
        """Whether trying again would not help."""
        return self.error is None or not isinstance(self.error, BackendUnavailableError)


def write_jobs(
    context: Context, key: SessionKey, jobs: Sequence[Job], most_calls: int | None = None
) -> Flow[list[Outcome]]:
    """Write jobs of one session in order, as many as can be in each script call.

    Stops at the first call that Redis was not there for, or after so many calls; what comes
    behind is in no outcome. What can't be written is found by halving the jobs of its call.
    """
    outcomes: list[Outcome] = []
    erased = yield from _find_erased(context, key, jobs)
    if erased:
        outcomes.append(Outcome(erased, is_erased=True))
        gone = set(erased)
        jobs = [job for job in jobs if job not in gone]
    runs, halves = _split_runs(jobs), list[Sequence[Job]]()
    calls = 0
    while calls != most_calls:
        run = halves.pop() if halves else next(runs, None)
        if run is None:
            break
        error = yield from _write_run(context, key, [job.write for job in run])
        calls += 1
        if len(run) > 1 and _may_be_of_one(error):
            middle = len(run) // 2
            halves += (run[middle:], run[:middle])
            continue
        outcomes.append(Outcome(run, error))
        if not outcomes[-1].is_final:
            break
    return outcomes


def _may_be_of_one(error: RedisSessionError | None) -> bool:
    """Whether an error may come from one of the jobs of a call, and not from all."""
    return error is not None and not isinstance(
        error, (BackendUnavailableError, SessionNotFoundError)
    )


def _find_erased(context: Context, key: SessionKey, jobs: Sequence[Job]) -> Flow[list[Job]]:
    """Find the jobs that a deletion has overtaken."""
    # One that waits because Redis is away may be overtaken too.
    doubtful = [job for job in jobs if job.may_be_erased or job.failed_at_s is not None]
    if not doubtful:
        return []
    erased_ms = yield from read_erased_ms(context, key)
    return [job for job in doubtful if job.accepted_ms <= erased_ms]


def _split_runs(jobs: Sequence[Job]) -> Iterator[Sequence[Job]]:
    """Neighbours that one script call can write, without holding up the server."""
    run: list[Job] = []
    size = count = 0
    for job in jobs:
        size += job.size
        count += len(job.write.entries)
        if run and size <= _LARGEST_RUN_BYTES and count <= _LONGEST_RUN and run[-1].can_join(job):
            run.append(job)
            continue
        if run:
            yield run
        run = [job]
        size, count = job.size, len(job.write.entries)
    if run:
        yield run


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


def are_done(jobs: Sequence[Job]) -> bool:
    """Whether all are in Redis or given up."""
    return all(job.is_done for job in jobs)


def tell_settled(jobs: Sequence[Job], error: Exception | None) -> None:
    """Call who wants to know what became of jobs, once for each."""
    for job in jobs:
        on_settled = job.on_settled
        if on_settled is None:  # the usual case
            continue
        job.on_settled = None
        try:
            on_settled(error)
        except (Exception, SystemExit) as failure:  # which would end the worker
            logger.error("what was to follow an append failed: %s", type(failure).__name__)
