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
        is_allowed: Whether a filter key may be summarized.
    """

    workers: SummaryWorkers
    is_allowed: Callable[[str], bool]

    def schedule(
        self, key: SessionKey, filter_keys: Iterable[str], unsummarized: int | None
    ) -> Flow[None]:
        """Ask after an append of events with these filter keys.

        The session itself is only looked at if that many events may be enough.
        """
        tasks = self._make_tasks(key, filter_keys)
        if unsummarized is not None and unsummarized < self.workers.minimum_events:
            del tasks[-1]
        if tasks:
            yield from self.workers.enqueue(tasks)

    def when_settled(
        self, key: SessionKey, filter_keys: Iterable[str]
    ) -> Callable[[Exception | None], None]:
        """What asks when write-behind is done with an append."""
        tasks = self._make_tasks(key, filter_keys)

        def ask(error: Exception | None) -> None:
            if error is None:  # in a worker of write-behind, which must not be held up
                self.workers.enqueue_beyond(tasks)

        return ask

    def _make_tasks(self, key: SessionKey, filter_keys: Iterable[str]) -> list[SummaryTask]:
        tasks = [SummaryTask(key, name) for name in filter_keys if self.is_allowed(name)]
        return [*tasks, SummaryTask(key)]
