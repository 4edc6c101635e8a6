"""What write-behind counts."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from langchain_redis_session._background.lanes import Worker
from langchain_redis_session.stats import PersistStats


@dataclass(slots=True)
class Tally:
    """What was done with appends so far; changed with the engine's lock held.

    Attributes:
        accepted: How many were accepted.
        written: How many are in Redis.
        erased: How many were dropped, as their session was deleted.
        retried: How often those of a session failed because Redis was away.
        last_error: The last error's text.
    """

    accepted: int = 0
    written: int = 0
    erased: int = 0
    retried: int = 0
    last_error: str = ""
    _turns: int = 0
    _taken: int = 0
    _most_taken: int = 0

    def note_turn(self, size: int) -> None:
        """Note a turn that has settled so many."""
        self._turns += bool(size)
        self._taken += size
        self._most_taken = max(self._most_taken, size)

    def show(self, workers: Sequence[Worker], dead: int) -> PersistStats:
        """Give the figures, with what waits at workers and how many dead letters there are."""
        waiting = [at_s for at_s in (worker.oldest_at_s for worker in workers) if at_s is not None]
        return PersistStats(
            queue_depths=tuple(worker.depth for worker in workers),
            accepted=self.accepted,
            written=self.written,
            erased=self.erased,
            retried=self.retried,
            dead=dead,
            batches=self._turns,
            mean_batch_size=self._taken / self._turns if self._turns else 0.0,
            largest_batch_size=self._most_taken,
            oldest_waiting_s=time.monotonic() - min(waiting) if waiting else 0.0,
            last_error=self.last_error,
        )
