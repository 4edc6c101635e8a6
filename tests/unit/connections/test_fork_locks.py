"""No lock of ours stays taken in the child of a fork: each is renewed there, by one mechanism."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import threading
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import langchain_redis_session
from langchain_redis_session._connections.forks import is_renewed, renew_in_child, renew_locks

PACKAGE = Path(langchain_redis_session.__file__).parent
LOCKS = (type(threading.Lock()), type(threading.RLock()), threading.Condition, threading.Semaphore)
MADE = ("Lock", "RLock", "Condition", "Semaphore", "BoundedSemaphore", "Event", "Barrier")
REPLACED = {
    # Objects of engines, which make theirs anew in a child (`Engine.forget_parent`).
    "_background/waiting.py": "Progress",
    "_background/lanes.py": "Worker",
    "_background/summary_workers.py": "SummaryWorkers",
}


def import_all() -> Iterator[ModuleType]:
    for found in pkgutil.walk_packages([str(PACKAGE)], "langchain_redis_session."):
        yield importlib.import_module(found.name)


def test_every_lock_of_a_module_is_renewed() -> None:
    owners = {
        module
        for module in import_all()
        for value in vars(module).values()
        if isinstance(value, LOCKS)
    }
    assert len(owners) > 4
    assert not [module.__name__ for module in owners if not is_renewed(module)]


def find_makers(tree: ast.AST) -> Iterator[tuple[str, bool]]:
    """Give each class that keeps a lock of its own, and whether it has it renewed."""
    for cls in (node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)):
        for function in (node for node in cls.body if isinstance(node, ast.FunctionDef)):
            kept = [
                node
                for node in ast.walk(function)
                if isinstance(node, ast.Assign | ast.AnnAssign)
                and isinstance(node.value, ast.Call)
                and ast.unparse(node.value.func) in {f"threading.{name}" for name in MADE}
                and ast.unparse(getattr(node, "target", None) or node.targets[0]).startswith(  # type: ignore[union-attr]
                    "self."
                )
            ]
            if kept:
                yield cls.name, "renew_in_child(self)" in ast.unparse(function)


def test_every_lock_of_an_object_is_renewed() -> None:
    found = {
        (str(path.relative_to(PACKAGE)), name): is_seen_to
        for path in PACKAGE.rglob("*.py")
        for name, is_seen_to in find_makers(ast.parse(path.read_text("utf-8")))
    }
    assert len(found) > 6
    left = {place: name for (place, name), is_seen_to in found.items() if not is_seen_to}
    assert left == REPLACED


def test_no_class_has_a_lock_of_all_its_objects() -> None:
    """Before Python 3.12, a `cached_property` has one, which nobody can renew."""
    held = [
        f"{cls.__qualname__}.{name}"
        for module in import_all()
        for cls in vars(module).values()
        if isinstance(cls, type) and cls.__module__ == module.__name__
        for name, value in vars(cls).items()
        if isinstance(value, (*LOCKS, cached_property))
    ]
    assert not held


@pytest.mark.parametrize("owner", [{}, 5], ids=["unhashable", "without weak references"])
def test_what_can_not_be_renewed_is_an_error_at_once(owner: Any) -> None:
    with pytest.raises(TypeError):
        renew_in_child(owner)


def test_renewed_locks_are_free_and_of_the_same_kind() -> None:
    class Owner:
        def __init__(self) -> None:
            self.lock, self.nested = threading.Lock(), threading.RLock()

    owner = Owner()
    owner.lock.acquire(timeout=1)
    before = (type(owner.lock), type(owner.nested))
    renew_locks(owner)
    assert owner.lock.acquire(blocking=False)
    assert (type(owner.lock), type(owner.nested)) == before
