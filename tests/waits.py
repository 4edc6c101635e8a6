"""Waiting in tests: for what happens, not for so long; and not for ever.

`PATIENCE_S` is how long to wait for what is sure to happen. Nothing is slow enough for it to be
too short, also on a machine with many busy processes; a test that hangs fails with it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

PATIENCE_S = 60.0
_PAUSE_S = 0.002


def wait_until(is_true: Callable[[], bool]) -> None:
    """Wait for it to be true; fail if it never is."""
    end = time.monotonic() + PATIENCE_S
    while not is_true():
        assert time.monotonic() < end, _MESSAGE
        time.sleep(_PAUSE_S)


async def await_until(is_true: Callable[[], bool]) -> None:
    """Wait for it to be true while the loop goes on; fail if it never is."""
    end = time.monotonic() + PATIENCE_S
    while not is_true():
        assert time.monotonic() < end, _MESSAGE
        await asyncio.sleep(_PAUSE_S)


_MESSAGE = f"it did not come true within {PATIENCE_S:g} s"
