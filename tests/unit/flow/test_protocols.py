"""How code that waits for something is written once: as a flow, or as steps of hooks."""

from __future__ import annotations

import ast
import asyncio
import threading
from pathlib import Path

import langchain_redis_session
from langchain_redis_session._flow.drivers import arun, run
from langchain_redis_session._flow.requests import off_loop

ROOT = Path(langchain_redis_session.__file__).parent
PROTOCOLS = {"_flow/requests.py", "_hooks/calls.py"}


def test_generators_that_wait_speak_one_of_two_protocols() -> None:
    names = {"Generator", "AsyncGenerator"}
    users = {
        path.relative_to(ROOT).as_posix()
        for path in ROOT.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Name) and node.id in names
    }
    others = {
        "_connections/clients.py",  # closes with its event loop; it yields nothing
        "adapters/runnable.py",  # closes a chain's stream, whose items are the users'
    }
    assert users - others == PROTOCOLS


def test_work_off_the_loop_runs_in_the_calling_thread_of_sync_code() -> None:
    assert run(off_loop(threading.get_ident), None) == threading.get_ident()


def test_work_off_the_loop_leaves_the_loops_thread_in_async_code() -> None:
    assert asyncio.run(arun(off_loop(threading.get_ident), None)) != threading.get_ident()
