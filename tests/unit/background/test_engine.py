"""The life of a background engine: threads, flushing, forks, and closing in every way."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator

import pytest

from langchain_redis_session._background.engine import Engine
from tests.processes import run_python

Job = Callable[[], object]
LONG_S = 10.0
modes = pytest.mark.parametrize("mode", ["sync", "async"])


class Runner(Engine):
    """An engine with one thread, which calls what it is given."""

    _thread_name = "redis-session-test"

    def __init__(self) -> None:
        self.went_well = True
        self.ends: list[list[Job]] = []
        super().__init__()

    def _reset(self) -> None:
        super()._reset()
        self.wake = threading.Condition(self.lock)
        self.jobs: list[Job] = []
        self.thread: threading.Thread | None = None

    def add(self, job: Job) -> bool:
        with self.lock:
            if self._is_closing:
                return False
            self.jobs.append(job)
            if self.thread is None:
                self.thread = self._start_thread(self._work)
            self.wake.notify()
            return True

    def wait_for_room(self) -> None:
        """Wait as who appends to a full queue does, until there is no use in it."""
        self._progress.wait(lambda: self._is_closing, None)

    @property
    def is_stopped(self) -> bool:
        return self._is_stopped

    def _work(self) -> None:
        while True:
            with self.lock:
                while not self.jobs:
                    if self._is_closing:
                        return
                    self.wake.wait(LONG_S)
                job = self.jobs[0]
            job()
            with self.lock:
                if self._is_stopped or job not in self.jobs:  # as there was a fork
                    return
                self.jobs.remove(job)
                self._progress.notify()

    close_timeout_s = LONG_S

    def _threads(self) -> list[threading.Thread]:
        return [] if self.thread is None else [self.thread]

    def _begin_flush(self) -> Callable[[], bool]:
        waiting = list(self.jobs)
        return lambda: not any(job in self.jobs for job in waiting)

    def _begin_close(self) -> Callable[[], bool]:
        self.wake.notify_all()
        return lambda: not self.jobs or self._is_own_thread()

    def _end_close(self) -> None:
        with self.lock:
            self.ends.append(list(self.jobs))
            self.wake.notify_all()

    def _is_flushed(self) -> bool:
        return self.went_well


@pytest.fixture
def engine() -> Iterator[Runner]:
    runner = Runner()
    yield runner
    runner.close(0)


def flush(mode: str, engine: Runner, timeout_s: float | None = LONG_S) -> bool:
    return engine.flush(timeout_s) if mode == "sync" else asyncio.run(engine.aflush(timeout_s))


def close(mode: str, engine: Runner) -> None:
    if mode == "sync":
        engine.close()
    else:
        asyncio.run(engine.aclose())


def join(thread: threading.Thread | None) -> None:
    assert thread is not None
    thread.join(LONG_S)
    assert not thread.is_alive()


def wait_for_closers() -> None:
    for thread in threading.enumerate():
        if thread.name == "redis-session-closer":
            join(thread)


@modes
def test_a_flush_waits_for_what_is_queued_before_it(mode: str, engine: Runner) -> None:
    done: list[int] = []
    may_go_on = threading.Event()
    engine.add(lambda: may_go_on.wait(LONG_S))
    engine.add(lambda: done.append(1))
    assert not flush(mode, engine, 0.01)
    assert done == []
    may_go_on.set()
    assert flush(mode, engine)
    assert done == [1]


@modes
def test_a_flush_tells_that_something_went_wrong(mode: str, engine: Runner) -> None:
    engine.went_well = False
    assert not flush(mode, engine)


async def test_a_flush_leaves_the_event_loop_to_others(engine: Runner) -> None:
    may_go_on = threading.Event()
    engine.add(lambda: may_go_on.wait(LONG_S))
    flushing = asyncio.create_task(engine.aflush(LONG_S))
    await asyncio.sleep(0)
    may_go_on.set()  # nobody could, if the flush held the loop
    assert await flushing


@modes
def test_closing_does_what_is_left_and_ends_the_thread(mode: str, engine: Runner) -> None:
    done: list[int] = []
    engine.add(lambda: done.append(1))
    thread = engine.thread
    close(mode, engine)
    assert done == [1]
    assert engine.ends == [[]]
    join(thread)
    assert not engine.add(lambda: done.append(2))


class SlowToEnd(Runner):
    """Its thread takes a moment to end, after it was told to."""

    def _work(self) -> None:
        super()._work()
        time.sleep(0.1)


@modes
def test_closing_waits_for_the_threads_to_end(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("langchain_redis_session._background.engine._LONGEST_JOIN_S", LONG_S)
    engine = SlowToEnd()
    engine.add(lambda: None)
    if mode == "sync":
        engine.close(join_s=LONG_S)
    else:
        asyncio.run(engine.aclose())
    assert engine.thread is not None
    assert not engine.thread.is_alive()


@modes
def test_closing_again_changes_nothing(mode: str, engine: Runner) -> None:
    engine.add(lambda: None)
    close(mode, engine)
    close(mode, engine)
    assert engine.ends == [[]]


def test_many_that_close_at_once_wait_for_one_end(engine: Runner) -> None:
    may_go_on = threading.Event()
    job = may_go_on.wait
    engine.add(job)
    closing = [threading.Thread(target=engine.close) for _ in range(4)]
    for thread in closing:
        thread.start()
    assert engine.ends == []
    may_go_on.set()
    for thread in closing:
        join(thread)
    assert engine.ends == [[]]


def test_closing_leaves_what_takes_too_long(engine: Runner) -> None:
    may_go_on = threading.Event()
    job = may_go_on.wait
    engine.add(job)
    engine.close_timeout_s = 1e6  # which is for who names no time
    engine.close(timeout_s=0.01, join_s=0)
    assert engine.ends == [[job]]
    thread = engine.thread
    may_go_on.set()
    join(thread)


def test_who_waits_for_room_is_woken_by_the_close(engine: Runner) -> None:
    waiting = threading.Thread(target=engine.wait_for_room, daemon=True)
    waiting.start()
    engine.close()
    join(waiting)


@modes
def test_a_job_that_closes_its_engine_does_not_wait_for_itself(mode: str, engine: Runner) -> None:
    has_returned = threading.Event()
    is_left: list[bool] = []

    def job() -> None:
        close(mode, engine)
        is_left.append(engine.is_stopped)  # somebody else stops it, once this job is done
        has_returned.set()

    engine.add(job)
    thread = engine.thread
    assert has_returned.wait(LONG_S)
    join(thread)
    wait_for_closers()
    assert engine.ends == [[]]


def test_a_job_closes_its_engine_where_there_are_no_more_threads(
    engine: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As at the end of the interpreter."""
    ended: list[bool] = []

    def job() -> None:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            engine.close()
            ended.append(engine.is_stopped)

    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    engine.add(job)
    join(engine.thread)
    assert ended == [True]
    assert engine.ends == [[job]]


class Owner:
    """What an engine serves."""


def test_an_engine_whose_owner_is_collected_closes_behind_its_back() -> None:
    engine, owner, done = Runner(), Owner(), threading.Event()
    engine.close_with(owner)
    gone = weakref.ref(owner)
    engine.add(done.set)
    thread = engine.thread
    owner.cycle = owner  # type: ignore[attr-defined]
    del owner
    gc.collect()
    assert gone() is None
    wait_for_closers()
    assert done.is_set()
    assert engine.ends == [[]]
    join(thread)


def test_an_engine_that_its_own_thread_collects_closes_too() -> None:
    engine, owners = Runner(), [Owner()]
    engine.close_with(owners[0])
    engine.add(owners.clear)
    join(engine.thread)
    wait_for_closers()
    assert engine.ends == [[]]


def test_a_child_begins_anew(engine: Runner) -> None:
    has_begun, may_go_on = threading.Event(), threading.Event()

    def job() -> None:
        has_begun.set()
        may_go_on.wait(LONG_S)

    engine.add(job)
    assert has_begun.wait(LONG_S)
    thread, lock, done = engine.thread, engine.lock, threading.Event()
    engine.forget_parent()
    assert engine.jobs == []
    assert engine.thread is None
    assert engine.lock is not lock  # the parent's may be held by a thread that is not here
    assert engine.add(done.set)
    assert engine.flush(LONG_S)
    assert done.is_set()
    may_go_on.set()
    join(thread)


def test_a_child_of_a_closed_engine_is_closed(engine: Runner) -> None:
    engine.close()
    engine.forget_parent()
    assert engine.is_stopped
    assert not engine.add(lambda: None)


FORK = """
import os, sys, threading, warnings
from tests.unit.background.test_engine import LONG_S, Runner

warnings.simplefilter("ignore", DeprecationWarning)  # of forks of processes with threads
engine, may_go_on, done = Runner(), threading.Event(), threading.Event()
engine.add(lambda: may_go_on.wait(LONG_S))
child = os.fork()
if child == 0:
    is_mine = engine.jobs == [] and engine.add(done.set) and engine.flush(LONG_S)
    os._exit(0 if is_mine and done.is_set() else 1)
_, status = os.waitpid(child, 0)
may_go_on.set()
assert engine.flush(LONG_S), "the parent can't go on"
engine.close()
sys.exit(os.waitstatus_to_exitcode(status))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks here")
def test_a_forked_process_has_an_engine_of_its_own_and_leaves_its_parents_alone() -> None:
    done = run_python("-c", FORK)
    assert (done.returncode, done.stderr) == (0, "")
