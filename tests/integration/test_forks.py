"""Children of a fork work, whatever the threads of their parent held at that moment."""

from __future__ import annotations

import os

import pytest

from tests.processes import run_python
from tests.servers import RedisServer

CHILDREN = os.environ.get("FORKED_CHILDREN", "4")


@pytest.mark.parametrize("kind", ["url", "client", "blocking", "memory"])
def test_children_of_a_busy_parent_work(redis_server: RedisServer, kind: str) -> None:
    ended = run_python("-m", "tests.integration.forked", redis_server.url, kind, CHILDREN)
    assert ended.stdout.split() == ["0"] * int(CHILDREN), ended.stderr


HELD = """
import os, signal, threading
from langchain_redis_session._runs.outbox import Outbox
from langchain_redis_session._runs.recorder import Recorder
made = Recorder("t", inputs=True, outputs=True, max_chars=None, batch_size=1, max_waiting=9)
locks = [(made, made._lock), (made.outbox, made.outbox._lock)]
held, done = threading.Event(), threading.Event()
def hold():
    for _, lock in locks:
        lock.acquire()
    held.set()
    done.wait(20)
threading.Thread(target=hold, daemon=True).start()
assert held.wait(20)
child = os.fork()
if not child:
    signal.alarm(20)
    os._exit(0 if all(owner._lock.acquire(timeout=1) for owner, _ in locks) else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
os._exit(0)
"""


def test_a_child_finds_the_locks_of_run_tracks_free() -> None:
    ended = run_python("-W", "ignore", "-c", HELD)
    assert ended.stdout.split() == ["0"], ended.stderr
