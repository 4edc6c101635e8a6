"""Locks in the child of a fork: what a thread of the parent held there, nobody would give back."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from typing import Any
from weakref import WeakValueDictionary

_LOCKS: dict[type, Callable[[], Any]] = {
    type(make()): make for make in (threading.Lock, threading.RLock)
}
_owners: WeakValueDictionary[int, Any] = WeakValueDictionary()  # some have no hash


def renew_in_child(owner: object) -> None:
    """See to it that a child finds the locks of an object, or of a module, free."""
    _owners[id(owner)] = owner


def is_renewed(owner: object) -> bool:
    """Whether that was seen to."""
    return _owners.get(id(owner)) is owner


def renew_locks(owner: object) -> None:
    """Put new locks in the place of an object's."""
    for name, value in list(vars(owner).items()):
        if (make := _LOCKS.get(type(value))) is not None:
            setattr(owner, name, make())


def renew_locks_within(root: object, packages: Iterable[str]) -> None:
    """Likewise of all objects that are reached from one, and are of these packages."""
    seen, waiting = set(), [root]
    while waiting:
        found = waiting.pop()
        if id(found) in seen:
            continue
        seen.add(id(found))
        if isinstance(found, dict):
            waiting += found.values()
        elif isinstance(found, (list, tuple, set, frozenset)):
            waiting += found
        elif type(found).__module__.partition(".")[0] in packages and hasattr(found, "__dict__"):
            renew_locks(found)
            waiting += vars(found).values()


def _renew_all() -> None:
    for owner in list(_owners.values()):
        renew_locks(owner)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_all)
