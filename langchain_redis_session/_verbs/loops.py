"""A word to those who call a blocking method where an event loop runs."""

from __future__ import annotations

import asyncio
import sys
import warnings

_warned: set[str] = set()


def warn_in_loop(name: str) -> None:
    """Warn, once for each method, where a running event loop is held up by it.

    Not in Jupyter, whose cells run in a loop and have it to themselves.
    """
    if asyncio._get_running_loop() is None or name in _warned:  # noqa: SLF001 - the quick way
        return
    _warned.add(name)
    if "ipykernel" in sys.modules:
        return
    name, depth = _find_caller(name)
    warnings.warn(
        f"{name}() blocks the running event loop until Redis has answered; await a{name}() there",
        RuntimeWarning,
        stacklevel=depth,
    )


def _find_caller(name: str) -> tuple[str, int]:
    """Find the name by which a method was called, perhaps of a history, and how far up that is."""
    frame, depth = sys._getframe(2), 3  # noqa: SLF001
    package = __name__.partition(".")[0]
    while frame.f_back and frame.f_back.f_globals.get("__name__", "").startswith(package + "."):
        frame, depth = frame.f_back, depth + 1
        called = frame.f_code.co_name
        if hasattr(type(frame.f_locals.get("self")), f"a{called}"):
            name = called
    return name, depth
