"""What type checkers see is true: mypy and pyright agree with every `assert_type` here."""

from __future__ import annotations

import ast
import inspect
import sys
from pathlib import Path
from typing import Any

import pytest

import langchain_redis_session as package
from tests.processes import run_python

FOLDER = Path(__file__).parent
DEADLINE_S = 280  # they begin with nothing in their caches

CHECKERS = {
    "mypy": ["mypy", str(FOLDER)],
    "pyright": ["basedpyright", "--project", str(FOLDER), "--pythonpath", sys.executable],
}

# How the files call what is of a class, where it has members of ours.
OWNERS = {
    "service": "RedisSessionService",
    "memory": "RedisSessionMemoryStore",
    "store": "RedisSessionStore",
    "history": "RedisSessionChatMessageHistory",
    "chain": "RunnableWithSession",
    "classic": "RedisSessionMemory",
    "summarizer": "SessionSummarizer",
    "tracks": "TrackCallbackHandler",
    "async_tracks": "AsyncTrackCallbackHandler",
    "tree": "RunTree",
    "run": "Run",
    "context": "AppendEventContext",
    "event": "Event",
    "track_event": "TrackEvent",
    "key": "SessionKey",
    "session": "Session",
}


@pytest.mark.parametrize("checker", CHECKERS)
def test_type_checkers_agree(checker: str) -> None:
    checked = run_python("-m", *CHECKERS[checker], deadline_s=DEADLINE_S)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def public_members() -> set[str]:
    """Give what users may call or read of public classes, and public functions."""
    found = set()
    for name in package.__all__:
        value = getattr(package, name)
        if inspect.isfunction(value):
            found.add(name)
        elif inspect.isclass(value):
            found |= {f"{name}.{member}" for member in vars_of(value) if is_listed(member)}
    return found


def vars_of(cls: type) -> set[str]:
    """Give the functions and properties of a class that are written in the package."""
    members: list[tuple[str, Any]] = inspect.getmembers(cls)
    return {
        name
        for name, member in members
        if inspect.isfunction(function := getattr(member, "fget", member))
        and function.__module__.startswith(package.__name__)
    }


def is_listed(name: str) -> bool:
    # Hooks are the users' to write, or LangChain's to call.
    return not name.startswith(("_", "on_", "wrap_", "awrap_"))


def checked_members() -> set[str]:
    """Give what stands in an `assert_type`."""
    found = set()
    for path in FOLDER.glob("*_methods.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(node, ast.Call) and getattr(node.func, "id", "") == "assert_type"):
                continue
            value = node.args[0].value if isinstance(node.args[0], ast.Await) else node.args[0]
            called = value.func if isinstance(value, ast.Call) else value
            if isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name):
                found.add(f"{OWNERS[called.value.id]}.{called.attr}")
            elif isinstance(called, ast.Name):
                found.add(called.id)
    return found


def test_every_public_method_is_checked() -> None:
    missing = public_members() - checked_members()
    assert not missing, f"write an assert_type for {sorted(missing)}"
