"""What goes on around a flow for those who watch it."""

from __future__ import annotations

from typing import Any, TypeVar

from langchain_redis_session._flow import Flow
from langchain_redis_session._hooks import Hooks, refuse_in_sync
from langchain_redis_session._operations.context import corrupt_reports
from langchain_redis_session.callbacks import CorruptEventReport

T = TypeVar("T")


def report_corrupt(hooks: Hooks, flow: Flow[T]) -> Flow[T]:
    """Run a flow, and tell the hooks of the entries that it could not read."""
    yield from refuse_in_sync(hooks.corrupt)
    reply: Any = None
    error: Exception | None = None
    try:
        while True:
            reports: list[CorruptEventReport] = []
            token = corrupt_reports.set(reports)
            try:
                request = flow.send(reply) if error is None else flow.throw(error)
            finally:
                corrupt_reports.reset(token)
            if reports:
                yield from hooks.report_corrupt(reports)
            reply, error = None, None
            try:
                reply = yield request
            except Exception as raised:
                error = raised
    except StopIteration as stop:
        if reports:
            yield from hooks.report_corrupt(reports)
        return stop.value  # type: ignore[no-any-return]
    finally:
        flow.close()
