"""Waiting in tests: for what happens, never for a while, and not for ever.

A test that waits for something fails if it does not happen within `PATIENCE_S`, which no
machine is busy enough to need. A test that looks whether something is *not* done waits
`MOMENT_S`: on a busy machine it may miss what is wrong, and never complains of what is right.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Any

PATIENCE_S = 60.0
MOMENT_S = 0.1

_PAUSE_S = 0.002
_MESSAGE = f"it did not come true within {PATIENCE_S:g} s"


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


def still_waits(*calls: Future[Any]) -> bool:
    """Say whether none of the calls is done a moment later."""
    wait(calls, MOMENT_S, "FIRST_COMPLETED")
    return not any(call.done() for call in calls)
