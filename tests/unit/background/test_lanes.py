"""The order within a lane, where dead letters come back."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from langchain_redis_session import SessionKey
from langchain_redis_session._background.jobs import Job
from langchain_redis_session._background.lanes import Worker
from langchain_redis_session._operations.prepared import PreparedEvents

KEY, OTHER = SessionKey("shop", "ann", "s1"), SessionKey("shop", "ann", "s2")


def make_job(order: int, key: SessionKey = KEY, accepted_ms: int = 0) -> Job:
    job = Job(key, PreparedEvents([], [], {}), accepted_ms=accepted_ms)
    job.order = order
    return job


def make_worker(*orders: int) -> Worker:
    """A worker with jobs of one session; those that were accepted before others come again."""
    worker, highest = Worker(threading.RLock(), 10), -1
    with worker.wake:
        for order in orders:
            if order > highest:
                worker.enqueue(make_job(order))
            else:
                worker.enqueue_again(make_job(order))
            highest = max(order, highest)
    return worker


def orders_of(jobs: Sequence[Job]) -> list[int]:
    return [job.order for job in jobs]


def test_what_was_accepted_earlier_is_taken_first() -> None:
    assert orders_of(make_worker(3, 4, 0, 2, 5).take()[KEY]) == [0, 2, 3, 4, 5]


def test_who_waits_for_a_lane_that_is_not_in_order_waits_for_all_of_it() -> None:
    with (worker := make_worker(3, 4, 0)).wake:
        assert orders_of(worker.hurry(KEY.scope)) == [3, 4, 0]
        worker.take()
        assert orders_of(worker.hurry(KEY.scope)) == [4]
