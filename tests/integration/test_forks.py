"""Children of a fork work, whatever the threads of their parent held at that moment."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.processes import run_python
from tests.servers import RedisCluster, RedisServer

CHILDREN = os.environ.get("FORKED_CHILDREN", "2")


@pytest.mark.parametrize("kind", ["url", "client", "blocking", "memory", "all"])
def test_children_of_a_busy_parent_work(
    redis_server: RedisServer, kind: str, tmp_path: Path
) -> None:
    check_children(redis_server.url, kind, tmp_path)


def test_children_of_a_busy_parent_work_on_a_cluster(
    redis_cluster: RedisCluster, tmp_path: Path
) -> None:
    """With a client of one's own, and by a URL."""
    check_children(redis_cluster.url.partition(",")[0], "cluster client", tmp_path)


def check_children(url: str, kind: str, tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    ended = run_python("-m", "tests.integration.forked", url, kind, CHILDREN, env=environment)
    assert ended.stdout.split() == ["0"] * int(CHILDREN), ended.stderr


HELD = """
import importlib, os, signal, threading
from langchain_redis_session._runs.recorder import Recorder
from langchain_redis_session._summarizer.call import _Witness
from langchain_redis_session.adapters._middleware.state_view import SessionState
from langchain_redis_session.adapters._middleware.turns import Turns
modules = ["_connections.clients", "_connections.registry", "adapters._sharing"]
made = Recorder("t", inputs=True, outputs=True, max_chars=None, batch_size=1, max_waiting=9)
owners = [
    *(importlib.import_module(f"langchain_redis_session.{name}") for name in modules),
    made, made.outbox, _Witness(), SessionState({}), Turns(),
]
kinds = (type(threading.Lock()), type(threading.RLock()))
def locks():
    found = [lock for one in owners for lock in vars(one).values() if isinstance(lock, kinds)]
    assert len(found) == len(owners), found
    return found
held, done = threading.Event(), threading.Event()
def hold():
    for lock in locks():
        lock.acquire()
    held.set()
    done.wait(20)
threading.Thread(target=hold, daemon=True).start()
assert held.wait(20)
child = os.fork()
if not child:
    signal.alarm(20)
    os._exit(sum(not lock.acquire(timeout=1) for lock in locks()))
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
os._exit(0)
"""


def test_a_child_finds_the_locks_of_modules_and_objects_free() -> None:
    ended = run_python("-W", "ignore", "-c", HELD)
    assert ended.stdout.split() == ["0"], ended.stderr


CONNECTED = """
import os, signal, sys
import redis
from langchain_redis_session import RedisSessionService, SessionKey
url, kind = sys.argv[1:]
watch = redis.Redis.from_url(url, client_name="watch")
def ids():
    return {client["id"] for client in watch.client_list() if client["name"] != "watch"}
others = ids()
client = redis.Redis.from_url(url) if kind == "client" else None
service = RedisSessionService(url if client is None else None, client=client)
key = SessionKey("forked", "u", "s")
service.get_messages(key)
before = ids()
child = os.fork()
if not child:
    signal.alarm(20)
    service.get_messages(key)
    os._exit(len(ids() - before))
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
service.get_messages(key)
print(len(before - others), len(ids() - before))
"""


@pytest.mark.parametrize("kind", ["url", "client"])
def test_a_child_has_a_connection_of_its_own(redis_server: RedisServer, kind: str) -> None:
    """Else it and its parent would read each other's replies."""
    ended = run_python("-W", "ignore", "-c", CONNECTED, redis_server.url, kind)
    assert ended.stdout.split() == ["1", "1", "0"], ended.stderr


IDS = """
import os, signal
from langchain_redis_session import Event
made = {Event().id for _ in range(10)}
reader, writer = os.pipe()
child = os.fork()
if not child:
    signal.alarm(20)
    os.write(writer, "".join(Event().id for _ in range(100)).encode())
    os._exit(0)
os.waitpid(child, 0)
made |= {Event().id for _ in range(100)}
digits = os.read(reader, 3200).decode()
made |= {digits[start : start + 32] for start in range(0, 3200, 32)}
print(len(made))
"""


def test_no_event_of_a_child_has_an_id_of_its_parent() -> None:
    """Else what the one appends would count as stored by the other."""
    ended = run_python("-W", "ignore", "-c", IDS)
    assert ended.stdout.split() == ["210"], ended.stderr
