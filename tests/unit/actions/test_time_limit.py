from __future__ import annotations

import asyncio
import gc
import sys
import threading
from typing import Any

import pytest

from langchain_redis_session._actions.time_limit import acall_within, call_within


def test_an_exit_does_not_end_who_waits() -> None:
    with pytest.raises(RuntimeError, match="SystemExit"):
        call_within(5, sys.exit)


async def test_a_cancellation_of_its_own() -> None:
    async def cancel() -> None:
        raise asyncio.CancelledError

    with pytest.raises(RuntimeError, match="CancelledError"):
        await acall_within(5, cancel)


@pytest.mark.parametrize("is_late", [False, True])
async def test_an_error_that_nobody_waits_for_any_more(is_late: bool) -> None:
    async def fail() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            raise ValueError("late")

    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    if is_late:
        with pytest.raises(TimeoutError, match="no answer within"):
            await acall_within(0.01, fail)
    else:
        caller = asyncio.ensure_future(acall_within(5, fail))
        await asyncio.sleep(0.01)
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        del caller
    await asyncio.sleep(0.01)
    gc.collect()
    assert complaints == []


def test_where_no_thread_can_be_started_it_runs_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """As at the end of a program."""

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert call_within(1, threading.current_thread) is threading.current_thread()
    with pytest.raises(ZeroDivisionError):
        call_within(1, lambda: 1 // 0)
