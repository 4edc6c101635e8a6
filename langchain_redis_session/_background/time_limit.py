"""Waiting for other people's code, but not for ever."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError  # before 3.11 another one
from typing import Any, TypeVar

T = TypeVar("T")


def call_within(timeout_s: float, function: Callable[[], T]) -> T:
    """Call a function in a thread of its own, and leave it alone if it takes too long.

    Raises:
        TimeoutError: It took longer.
        Exception: What it raises.
    """
    done: Future[T] = Future()
    context = contextvars.copy_context()  # so that its runs are children of the caller's

    def call() -> None:
        try:
            done.set_result(context.run(function))
        except BaseException as error:
            done.set_exception(error)

    # A daemon: a model that never answers must not keep the program from ending.
    threading.Thread(target=call, name="redis-session-summarizer", daemon=True).start()
    try:
        return done.result(timeout_s)
    except FutureTimeoutError:
        if done.done():  # its own
            raise
        raise _took_too_long(timeout_s) from None


async def acall_within(timeout_s: float, function: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Await a coroutine, and cancel it if it takes too long; as `call_within`.

    It need not heed the cancellation: nobody waits for it then.
    """
    # Not asyncio.wait_for, which waits for what it has cancelled.
    task = asyncio.ensure_future(function())
    try:
        await asyncio.wait([task], timeout=timeout_s)
    except asyncio.CancelledError:
        task.cancel()
        raise
    if task.done():
        return task.result()
    task.cancel()
    task.add_done_callback(_hear)
    raise _took_too_long(timeout_s)


def _hear(task: asyncio.Future[Any]) -> None:
    """Take note of a late error, so that asyncio does not complain that nobody did."""
    if not task.cancelled():
        task.exception()


def _took_too_long(timeout_s: float) -> TimeoutError:
    return TimeoutError(f"no answer within {timeout_s:g} s")
