"""How long a session whose summary has failed is left alone."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from langchain_redis_session._operations.summaries import SummaryTask
from langchain_redis_session.models import SessionKey

FIRST_WAIT_S = 5.0
"""How long the next try waits after a first failure; twice as long after each further one."""
LONGEST_WAIT_S = 600.0
_MOST_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class _Failures:
    count: int
    until_s: float


class Backoff:
    """Remembers of which sessions summaries have failed, and when to try again.

    Args:
        clock: Gives seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures: OrderedDict[tuple[SessionKey, str], _Failures] = OrderedDict()

    def holds(self, task: SummaryTask) -> bool:
        """Whether a task has to wait; one that is forced never has to."""
        found = self._failures.get((task.key, task.filter_key))
        return found is not None and not task.force and self._clock() < found.until_s

    def note_failure(self, task: SummaryTask) -> float:
        """Remember a failure, and give the seconds that the next try has to wait."""
        name = (task.key, task.filter_key)
        before = self._failures.pop(name, None)
        count = 0 if before is None else before.count
        wait_s = min(FIRST_WAIT_S * 2.0 ** min(count, 30), LONGEST_WAIT_S)
        self._failures[name] = _Failures(count + 1, self._clock() + wait_s)
        if len(self._failures) > _MOST_REMEMBERED:
            self._failures.popitem(last=False)
        return wait_s

    def forget(self, task: SummaryTask) -> None:
        """Forget the failures, once a summary is made."""
        self._failures.pop((task.key, task.filter_key), None)
