"""After an append: has the workers look whether a summary is due."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from langchain_redis_session._background.summary_workers import SummaryWorkers
from langchain_redis_session._flow.requests import Flow
from langchain_redis_session._operations.summaries import SummaryTask
from langchain_redis_session.models import SessionKey


@dataclass(frozen=True, slots=True)
class WorkerScheduler:
    """Has workers look at a session that has grown, whether a summary is due.

    Attributes:
        workers: Who looks.
        is_allowed: Whether a branch may be summarized.
    """

    workers: SummaryWorkers
    is_allowed: Callable[[str], bool]

    def schedule(
        self, key: SessionKey, branches: Iterable[str], unsummarized: int | None
    ) -> Flow[None]:
        """Ask after an append of events of these branches.

        The session itself is only looked at if that many events may be enough.
        """
        tasks = self._make_tasks(key, branches)
        if unsummarized is not None and unsummarized < self.workers.minimum_events:
            del tasks[-1]
        if tasks:
            yield from self.workers.enqueue(tasks)

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
