"""Writes that are not given up half-way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
_writes: set[asyncio.Task[Any]] = set()  # a loop holds its tasks only weakly


def unbroken(start: Callable[[], Coroutine[Any, Any, T]]) -> Callable[[], Coroutine[Any, Any, T]]:
    """Have a write go on to its end where the run is cancelled meanwhile."""

    async def write() -> T:
        task = asyncio.ensure_future(start())
        _writes.add(task)
        task.add_done_callback(_writes.discard)
        return await asyncio.shield(task)

    return write
