"""Waiting for what other threads do, in threads and in tasks."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from langchain_redis_session._background.waiting import Progress
from tests.waits import MOMENT_S, PATIENCE_S, still_waits


class Counter:
    """Something to wait for."""

    def __init__(self) -> None:
        self.progress = Progress()
        self.value = 0
        self.looks = 0

    def add(self) -> None:
        with self.progress.lock:
            self.value += 1
            self.progress.notify()

    def is_at(self, value: int) -> Callable[[], bool]:
        def look() -> bool:
            self.looks += 1
            return self.value >= value

        return look


@pytest.fixture
def counter() -> Counter:
    return Counter()


def after(seconds: float, *calls: Callable[[], None]) -> threading.Timer:
    def run() -> None:
        for call in calls:
            call()

    timer = threading.Timer(seconds, run)
    timer.start()
    return timer


async def test_what_is_true_needs_no_waiting(counter: Counter) -> None:
    assert counter.progress.wait(counter.is_at(0), None)
    assert counter.progress.wait(counter.is_at(0), 0)
    assert await counter.progress.await_(counter.is_at(0), None)
    assert await counter.progress.await_(counter.is_at(0), 0)
    assert counter.looks == 4


def test_a_thread_waits_until_it_is_true(counter: Counter) -> None:
    timer = after(0.02, counter.add, counter.add)
    assert counter.progress.wait(counter.is_at(2), PATIENCE_S)
    timer.join(PATIENCE_S)


async def test_a_task_waits_and_its_loop_goes_on(counter: Counter) -> None:
    task = asyncio.create_task(counter.progress.await_(counter.is_at(1), PATIENCE_S))
    await asyncio.sleep(MOMENT_S)
    assert not task.done()
    timer = after(0, counter.add)
    assert await task
    timer.join(PATIENCE_S)


@pytest.mark.parametrize("timeout_s", [0.0, 0.05])
async def test_a_wait_in_vain_ends_and_leaves_no_task(counter: Counter, timeout_s: float) -> None:
    assert not counter.progress.wait(counter.is_at(1), timeout_s)
    assert not await counter.progress.await_(counter.is_at(1), timeout_s)
    assert counter.progress.waiting_tasks == 0


async def test_progress_that_is_not_enough_does_not_lengthen_the_wait(counter: Counter) -> None:
    stop = threading.Event()

    def go_on() -> None:
        while not stop.is_set():
            counter.add()
            time.sleep(0.001)

    thread = threading.Thread(target=go_on)
    thread.start()
    assert not await counter.progress.await_(counter.is_at(10**9), 0.05)
    assert not await asyncio.to_thread(counter.progress.wait, counter.is_at(10**9), 0.05)
    stop.set()
    thread.join(PATIENCE_S)


async def test_what_comes_true_in_the_last_moment_counts(counter: Counter) -> None:
    looks = iter([False, True])
    assert await counter.progress.await_(lambda: next(looks), 0.02)


def test_threads_and_tasks_of_several_loops_are_all_woken(counter: Counter) -> None:
    def in_a_thread() -> bool:
        return counter.progress.wait(counter.is_at(3), PATIENCE_S)

    def in_a_loop() -> bool:
        async def main() -> bool:
            waits = [counter.progress.await_(counter.is_at(3), PATIENCE_S) for _ in range(5)]
            return all(await asyncio.gather(*waits))

        return asyncio.run(main())

    with ThreadPoolExecutor(6) as pool:
        waiting = [pool.submit(f) for f in (in_a_thread, in_a_loop) * 3]
        for _ in range(3):
            assert still_waits(*waiting)
            counter.add()
        assert all(future.result(5) for future in waiting)
    assert counter.progress.waiting_tasks == 0
    assert counter.progress.waiting_threads == 0


async def test_a_notification_between_look_and_wait_is_not_missed(counter: Counter) -> None:
    """Many short waits, each ended by another thread as soon as it can."""
    with ThreadPoolExecutor(1) as pool:
        for value in range(1, 300):
            pool.submit(counter.add)
            assert await counter.progress.await_(counter.is_at(value), PATIENCE_S)


async def test_a_condition_that_raises(counter: Counter) -> None:
    def look() -> bool:
        if counter.value:
            raise KeyError("closed")
        return False

    timer = after(0.02, counter.add)
    with pytest.raises(KeyError):
        await counter.progress.await_(look, PATIENCE_S)
    timer.join(PATIENCE_S)
    counter.value = 0
    timer = after(0.02, counter.add)
    with pytest.raises(KeyError):
        counter.progress.wait(look, 5)
    timer.join(PATIENCE_S)
    assert counter.progress.waiting_threads == 0
    assert counter.progress.waiting_tasks == 0
    with counter.progress.lock:  # and nobody holds it
        pass


async def test_cancelling_a_task_that_waits(counter: Counter) -> None:
    task = asyncio.create_task(counter.progress.await_(counter.is_at(1), PATIENCE_S))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert counter.progress.waiting_tasks == 0
    counter.add()
    await asyncio.sleep(0)


async def test_a_cancellation_is_never_swallowed(counter: Counter) -> None:
    """Nor where the wake-up has come in the same turn of the loop."""
    task = asyncio.create_task(counter.progress.await_(counter.is_at(10), PATIENCE_S))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    counter.add()  # not enough
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_what_was_taken_is_kept_although_it_is_cancelled_later(counter: Counter) -> None:
    """A condition that takes something is called again only while it says no."""
    taken = []

    def take() -> bool:
        if counter.value:
            counter.value -= 1
            taken.append(1)
            return True
        return False

    tasks = [asyncio.create_task(counter.progress.await_(take, PATIENCE_S)) for _ in range(20)]
    await asyncio.sleep(0)
    for _ in range(10):
        counter.add()
    for task in tasks[::2]:
        task.cancel()
    await asyncio.sleep(0.01)
    for task in tasks:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert results.count(True) == len(taken)


def test_a_loop_that_has_ended_is_passed_over(counter: Counter) -> None:
    loop = asyncio.new_event_loop()
    coroutine = counter.progress.await_(counter.is_at(1), PATIENCE_S)
    task = loop.create_task(coroutine)
    loop.run_until_complete(asyncio.sleep(0))
    assert counter.progress.waiting_tasks == 1
    loop.close()
    others = after(0.01, counter.add)
    assert counter.progress.wait(counter.is_at(1), 5)
    others.join(PATIENCE_S)
    assert counter.progress.waiting_tasks == 0
    coroutine.close()
    task._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001
    del task
    gc.collect()
