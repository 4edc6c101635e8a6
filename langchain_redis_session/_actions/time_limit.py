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
        except Exception as error:
            done.set_exception(error)
        except BaseException as error:  # SystemExit: it must not end who waits
            done.set_exception(_was_ended(error))

    # A daemon: a model that never answers must not keep the program from ending.
    thread = threading.Thread(target=call, name="redis-session-summarizer", daemon=True)
    try:
        thread.start()
    except RuntimeError:  # at the end of the program, from Python 3.12 on, or there are no more
        call()
    try:
        return done.result(timeout_s)
    except FutureTimeoutError:
        if done.done():  # its own, or an answer in the last moment
            return done.result()
        raise _took_too_long(timeout_s) from None


async def acall_within(timeout_s: float, function: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Await a coroutine, and cancel it if it takes too long; as `call_within`.

    It need not heed the cancellation: nobody waits for it then.
    """
    # Not asyncio.wait_for, which waits for what it has cancelled.
    task = asyncio.ensure_future(function())
    task.add_done_callback(_hear)
    try:
        await asyncio.wait([task], timeout=timeout_s)
    finally:
        task.cancel()
    if not task.done():
        raise _took_too_long(timeout_s)
    try:
        return task.result()
    except asyncio.CancelledError as error:  # its own: nobody has cancelled who waits
        raise _was_ended(error) from error


def _hear(task: asyncio.Future[Any]) -> None:
    """Take note of a late error, so that asyncio does not complain that nobody did."""
    if not task.cancelled():
        task.exception()


def _was_ended(error: BaseException) -> RuntimeError:
    return RuntimeError(f"it was ended by {type(error).__name__}")


def _took_too_long(timeout_s: float) -> TimeoutError:
    return TimeoutError(f"no answer within {timeout_s:g} s")
