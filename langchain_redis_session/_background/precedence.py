"""Who goes first where appends to several sessions change the same state."""

from __future__ import annotations

from bisect import insort
from itertools import islice, takewhile

from langchain_redis_session._background.jobs import Job
from langchain_redis_session._flow.requests import Scope
from langchain_redis_session._operations.prepared import PreparedEvents


class Precedence:
    """The jobs that change the state of an app or a user, whichever worker has them.

    What is accepted later is written in a later turn, else the older value could stay. All
    methods want the lock of the workers.

    Args:
        most: How many jobs of a session a turn takes.
    """

    def __init__(self, most: int) -> None:
        self._jobs: dict[Scope, list[Job]] = {}
        self._most = most
        self._bars: dict[Scope, tuple[Job, Job | None]] = {}

    def note(self, job: Job) -> None:
        """Take in a job that was accepted; most change no such state."""
        if not isinstance(job.write, PreparedEvents) or not job.write.changes:
            return
        app, user, _ = job.key.scope
        changes = job.write.changes.values()
        scopes: list[Scope] = [(app,)] if any(change.app for change in changes) else []
        if any(change.user for change in changes):
            scopes.append((app, user))
        job.shared_scopes = scopes
        for scope in scopes:
            insort(self._jobs.setdefault(scope, []), job, key=lambda job: job.order)

    def begin_turn(self) -> None:
        """Forget what is done."""
        self._bars.clear()
        for scope, jobs in list(self._jobs.items()):
            del jobs[: sum(1 for _ in takewhile(lambda job: job.is_done, jobs))]
            if not jobs:
                del self._jobs[scope]

    def find_blocker(self, job: Job) -> Job | None:
        """A job of another session that has to be done before this one; None = there is none."""
        for scope in job.shared_scopes:
            first, bar = self._bars.get(scope) or self._find_bar(scope)
            if first.key != job.key:
                return first
            if bar is not None and bar.order < job.order:
                return bar
        return None

    def _find_bar(self, scope: Scope) -> tuple[Job, Job | None]:
        """The first job, and the first of another session behind it."""
        jobs = self._jobs[scope]
        others = (job for job in islice(jobs, self._most) if job.key != jobs[0].key)
        bar = next((job for job in others if not job.is_done), None)
        self._bars[scope] = jobs[0], bar
        return jobs[0], bar
