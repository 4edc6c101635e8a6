"""Writes that are not given up half-way, and whose mistake it is where they fail."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from langchain_redis_session.errors import RedisSessionError

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


@contextmanager
def storing_answer() -> Iterator[None]:
    """Let an error know that it is about what a model or a tool gave, and no client's mistake."""
    try:
        yield
    except RedisSessionError as error:
        vars(error)["is_of_answer"] = True
        raise


def is_of_answer(error: Exception) -> bool:
    """Whether `storing_answer` has seen an error."""
    return "is_of_answer" in vars(error)
