"""Dead letters: appends that could not be written, kept to be looked at and tried again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, TypeAlias

from langchain_redis_session._background.jobs import Job, Write, write_jobs
from langchain_redis_session._flow.requests import Flow, off_loop
from langchain_redis_session._logs import logger
from langchain_redis_session._operations.context import Context
from langchain_redis_session._operations.prepared import PreparedEvents
from langchain_redis_session.errors import BackendUnavailableError, RedisSessionError
from langchain_redis_session.models import DeadLetter, Event, SessionKey, TrackEvent

GivenUp: TypeAlias = "tuple[Job, DeadLetter]"
_MOST_KEPT = 100


class DeadLetters:
    """What could not be written in this process, oldest first.

    Args:
        context: Options and counters.
        on_given_up: Called with each dead letter whose append named nobody else for it.
        on_error: Called before, with each dead letter.
    """

    def __init__(
        self,
        context: Context,
        on_given_up: Callable[[DeadLetter], Any],
        on_error: Callable[[DeadLetter], Any] | None = None,
    ) -> None:
        self._context = context
        self._handlers = (on_error, on_given_up)
        # Of one instruction each are the changes of a dict: no lock that a fork could take along.
        self._letters: dict[Job, DeadLetter] = {}

    def __len__(self) -> int:
        return len(self._letters)

    def add(self, job: Job, error: RedisSessionError) -> DeadLetter:
        """Give a job up."""
        letter = DeadLetter(
            key=job.key, events=tuple(job.write.events), error=error, time_ns=time.time_ns()
        )
        self._letters[job] = letter
        self._context.counters.dead_events += len(letter.events)
        return letter

    def letters(self) -> list[DeadLetter]:
        """The letters, oldest first."""
        return [*self._letters.values()]

    def find(self, key: SessionKey | None = None) -> list[GivenUp]:
        """Those of a session, or all."""
        found = [*self._letters.items()]
        return [pair for pair in found if key is None or pair[0].key == key]

    def forget(self, jobs: Iterable[Job]) -> None:
        """Drop what is given up no longer."""
        for job in jobs:
            self._letters.pop(job, None)

    def replace(self, job: Job, error: RedisSessionError) -> None:
        """Note that a try has failed once more."""
        letter = self._letters.get(job)
        if letter is not None:
            self._letters[job] = DeadLetter(letter.key, letter.events, error, time.time_ns())

    def report(self, given_up: Iterable[GivenUp]) -> None:
        """Tell the log and the handlers."""
        for job, letter in given_up:
            logger.error(
                "%d event(s) of a session could not be written, and are kept in dead_letters(): %s",
                len(letter.events),
                type(letter.error).__name__,
            )
            on_error, on_given_up = self._handlers
            for handler in (on_error, job.on_given_up or on_given_up):
                if handler is None:
                    continue
                try:
                    handler(letter)
                except (Exception, SystemExit) as error:  # which would end a worker
                    name = type(error).__name__
                    logger.error("a handler of on_persist_error failed: %s", name)


class KeptAppends:
    """The dead letters of a service without write-behind: appends that must not be lost.

    Args:
        context: Options and counters.
        on_given_up: Called with each.
        on_error: Called before, with each.
    """

    def __init__(
        self,
        context: Context,
        on_given_up: Callable[[DeadLetter], Any],
        on_error: Callable[[DeadLetter], Any] | None,
    ) -> None:
        self._context = context
        self._dead = DeadLetters(context, on_given_up, on_error)

    def __len__(self) -> int:
        return len(self._dead)

    def dead_letters(self) -> list[DeadLetter]:
        """What could not be written, oldest first."""
        return self._dead.letters()

    def keep(
        self,
        key: SessionKey,
        events: Sequence[Event] | Sequence[TrackEvent],
        prepared: Write | None,
        error: RedisSessionError,
        on_given_up: Callable[[DeadLetter], Any] | None,
    ) -> Flow[None]:
        """Keep an append that has failed.

        Raises:
            RedisSessionError: The error, where there are too many already.
        """
        if len(self._dead) >= _MOST_KEPT:
            raise error
        job = make_dead_job(key, events, prepared, on_given_up)
        letter = self._dead.add(job, error)
        yield from off_loop(partial(self._dead.report, [(job, letter)]))

    def redeliver(self, key: SessionKey | None = None) -> Flow[int]:
        """Write what was kept, of a session or all.

        Returns:
            How many were tried.

        Raises:
            BackendUnavailableError: Redis is away; they stay.
        """
        jobs: dict[SessionKey, list[Job]] = {}
        for job, _ in self._dead.find(key):
            if is_writable(job):
                jobs.setdefault(job.key, []).append(job)
        for session, kept in jobs.items():
            for outcome in (yield from write_jobs(self._context, session, kept)):
                error = outcome.error
                if error is None:
                    self._dead.forget(outcome.jobs)
                    continue
                for job in outcome.jobs:
                    self._dead.replace(job, error)
                if isinstance(error, BackendUnavailableError):
                    raise error
        return sum(map(len, jobs.values()))

    def tell_of_left(self) -> None:
        """At the end: say what is lost with this process."""
        if len(self._dead):
            logger.error(
                "the service was closed with %d append(s) in dead_letters() that were never "
                "written",
                len(self._dead),
            )


def make_dead_job(
    key: SessionKey,
    events: Sequence[Event] | Sequence[TrackEvent],
    prepared: Write | None,
    on_given_up: Callable[[DeadLetter], Any] | None,
) -> Job:
    """A job of an append that has failed; without `prepared` it can't be written at all."""
    shown: Any = events  # of either kind
    write = prepared or PreparedEvents(shown, [], {})
    job = Job(key, write, on_given_up=on_given_up)
    job.is_alone = job.may_be_erased = True
    return job


def is_writable(job: Job) -> bool:
    """Whether there is anything that could be sent to Redis."""
    return len(job.write.members) == len(job.write.events)
