"""What waits in write-behind: the order within a lane, and the bounds of a turn."""

from __future__ import annotations

import math
import random
import threading
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_redis_session import SessionKey
from langchain_redis_session._background import lanes
from langchain_redis_session._background.jobs import Job
from langchain_redis_session._background.lanes import Worker
from langchain_redis_session._operations.prepared import PreparedEvents
from langchain_redis_session._operations.state import StateChange
from langchain_redis_session.scripts.bindings import Entry
from tests.effort import examples

KEY, OTHER = SessionKey("shop", "ann", "s1"), SessionKey("shop", "ann", "s2")


def make_job(
    order: int, key: SessionKey = KEY, size: int = 0, change: StateChange | None = None
) -> Job:
    changes = {} if change is None else {0: change}
    job = Job(key, PreparedEvents([], [Entry("1", b"x" * size)], changes))
    job.order = order
    return job


def make_worker(most_waiting: int = 10) -> Worker:
    (worker,) = lanes.make_workers(threading.RLock(), 1, most_waiting)
    return worker


def queue(*orders: int) -> Worker:
    """A worker with jobs of one session; those that were accepted before others come again."""
    worker, highest = make_worker(), -1
    with worker.wake:
        for order in orders:
            enqueue = worker.enqueue if order > highest else worker.enqueue_again
            enqueue(make_job(order))
            highest = max(order, highest)
    return worker


def orders_of(jobs: Sequence[Job]) -> list[int]:
    return [job.order for job in jobs]


def test_what_was_accepted_earlier_is_taken_first() -> None:
    assert orders_of(queue(3, 4, 0, 2, 5).take()[KEY]) == [0, 2, 3, 4, 5]


def test_who_waits_for_a_lane_that_is_not_in_order_waits_for_all_of_it() -> None:
    with (worker := queue(3, 4, 0)).wake:
        assert orders_of(worker.hurry(KEY.scope)) == [3, 4, 0]
        worker.take()
        assert orders_of(worker.hurry(KEY.scope)) == [4]


@pytest.mark.parametrize(
    ("bound", "most", "taken"),
    [("_MOST_BYTES", 25, [0, 1]), ("_MOST_BYTES", 5, [0]), ("_MOST_JOBS", 3, [0, 1, 2])],
)
def test_a_turn_is_bounded(
    monkeypatch: pytest.MonkeyPatch, bound: str, most: int, taken: list[int]
) -> None:
    """And who had to stay behind comes first in the next one."""
    monkeypatch.setattr(lanes, bound, most)
    with (worker := make_worker()).wake:
        for order in range(4):
            worker.enqueue(make_job(order, size=10))
        worker.enqueue(make_job(4, OTHER, size=10))
        ready = worker.take()
        assert {key: orders_of(jobs) for key, jobs in ready.items()} == {KEY: taken}
        worker.finish(ready[KEY])
        worker.clear_lane(KEY, goes_behind=True)
        assert next(iter(worker.take())) == OTHER


@examples(200)
@given(seed=st.integers(0, 2**32), steps=st.integers(1, 60))
def test_each_session_is_served_in_its_order_and_each_job_once(seed: int, steps: int) -> None:
    """Jobs come, are taken, done in part or given up, and some of these come again."""
    chance = random.Random(seed)
    keys = [SessionKey("shop", "ann", f"s{number}") for number in range(3)]
    worker = make_worker(1000)
    waiting: dict[SessionKey, list[int]] = {key: [] for key in keys}
    dead: list[Job] = []
    order = 0
    with worker.wake:
        for _ in range(steps):
            step = chance.choice(["accept", "accept", "again", "turn", "look"])
            if step == "accept":
                key = chance.choice(keys)
                worker.enqueue(make_job(order, key))
                waiting[key].append(order)
                order += 1
            elif step == "again" and dead:
                old = dead.pop(chance.randrange(len(dead)))
                worker.enqueue_again(make_job(old.order, old.key))
                waiting[old.key] = sorted([*waiting[old.key], old.order])
            elif step == "look":
                assert worker.depth == sum(map(len, waiting.values()))
                worker.hurry(chance.choice(keys).scope)
            elif step == "turn":
                ready = worker.take()
                assert {k: orders_of(jobs) for k, jobs in ready.items()} == {
                    k: orders for k, orders in waiting.items() if orders
                }
                if chance.random() < 0.5:  # more is accepted while it is under way
                    key = chance.choice(keys)
                    worker.enqueue(make_job(order, key))
                    waiting[key].append(order)
                    order += 1
                for key, jobs in ready.items():
                    done = jobs[: chance.randrange(len(jobs) + 1)]
                    worker.finish(done)
                    dead += [job for job in done if chance.random() < 0.3]
                    worker.clear_lane(key, goes_behind=chance.random() < 0.5)
                    waiting[key] = waiting[key][len(done) :]
        left: dict[SessionKey, list[int]] = {}
        for job in worker.clear():
            left.setdefault(job.key, []).append(job.order)
    assert {key: sorted(orders) for key, orders in left.items()} == {
        key: orders for key, orders in waiting.items() if orders
    }
    assert worker.depth == 0


CHANGES = (
    *(None, StateChange(session={"a": b"1"})),
    *(StateChange(user={"a": b"1"}), StateChange(app={"a": b"1"})),
    StateChange(user={"a": b"1"}, app={"a": b"1"}),
)


def change_of(job: Job) -> StateChange:
    assert isinstance(job.write, PreparedEvents)
    return job.write.changes[0]


def share_state(one: Job, other: Job) -> bool:
    """Whether both change the state of the same app or user."""
    changes = [change_of(one), change_of(other)]
    same_app, same_user = (one.key.scope[:n] == other.key.scope[:n] for n in (1, 2))
    return (same_app and all(change.app for change in changes)) or (
        same_user and all(change.user for change in changes)
    )


@examples(300)
@given(seed=st.integers(0, 2**32), steps=st.integers(1, 80))
def test_what_changes_the_same_state_is_done_in_its_order(seed: int, steps: int) -> None:
    """Lanes are served in part, and pause; what was given up comes again."""
    chance = random.Random(seed)
    keys = [SessionKey(a, u, s) for a in ("shop", "bank") for u in ("ann", "bob") for s in "12"]
    worker = make_worker(1000)
    waiting: list[Job] = []
    dead: list[Job] = []

    def accept(order: int, key: SessionKey, change: StateChange | None, *, again: bool) -> None:
        job = make_job(order, key, change=change or StateChange())
        (worker.enqueue_again if again else worker.enqueue)(job)
        waiting.append(job)

    def take_turn(pauses: float) -> None:
        ready = worker.take()
        jobs = [job for taken in ready.values() for job in taken]
        together = [
            (one, other)
            for one in jobs
            for other in waiting
            if other.key != one.key and other.order < one.order and share_state(one, other)
        ]
        assert together == []
        for key, taken in ready.items():
            fails = chance.random() < pauses
            done = taken[: chance.randrange(len(taken) + 1)] if fails else taken
            worker.finish(done)
            for job in done:
                waiting.remove(job)
            dead.extend(job for job in done if chance.random() < 0.1)
            lane = worker.clear_lane(key, goes_behind=not fails)
            if lane is not None and fails:
                lane.retry_at_s = math.inf

    with worker.wake:
        for order in range(steps):
            step = chance.choice(["accept", "accept", "again", "turn", "try"])
            if step == "accept":
                accept(order, chance.choice(keys), chance.choice(CHANGES), again=False)
            elif step == "again" and dead:
                old = dead.pop(chance.randrange(len(dead)))
                accept(old.order, old.key, change_of(old), again=True)
            elif step == "turn":
                take_turn(pauses=0.3)
            elif step == "try":
                worker.try_now()
        worker.try_now()
        for _ in range(len(waiting)):  # at least one in each turn
            if waiting:
                assert worker.is_ready()
                take_turn(pauses=0)
        assert waiting == []
        assert not worker.is_ready()


def test_who_waits_for_a_lane_that_pauses_pauses_too() -> None:
    """Else the thread would try without an end."""
    change = StateChange(user={"a": b"1"})
    with (worker := make_worker()).wake:
        worker.enqueue(make_job(0, KEY, change=change))
        worker.take()
        lane = worker.clear_lane(KEY, goes_behind=False)
        assert lane is not None
        lane.retry_at_s = math.inf
        worker.enqueue(make_job(1, OTHER, change=change))
        assert worker.is_ready()
        assert worker.take() == {}
        assert not worker.is_ready()
        worker.try_now()
        assert list(worker.take()) == [KEY]


def test_who_waits_for_another_worker_looks_again_a_moment_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lanes, "_LINGER_S", math.inf)
    change = StateChange(app={"a": b"1"})
    first, second = lanes.make_workers(lock := threading.RLock(), 2, 10)
    with lock:
        first.enqueue(make_job(0, KEY, change=change))
        second.enqueue(make_job(1, OTHER, change=change))
        assert second.take() == {}
        assert not second.is_ready()
        first.finish(first.take()[KEY])
        second.try_now()
        assert list(second.take()) == [OTHER]
