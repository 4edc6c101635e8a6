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
    warnings.warn(
        f"{name}() blocks the running event loop until Redis has answered; await a{name}() there",
        RuntimeWarning,
        stacklevel=3,
    )
