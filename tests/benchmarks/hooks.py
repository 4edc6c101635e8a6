"""What hooks cost: none, one that does nothing, and tracing that nobody collects."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from langchain_redis_session import (
    AppendEventContext,
    AsyncSessionCallbackHandler,
    GetSessionContext,
    SessionCallbackHandler,
)
from tests.benchmarks.bench import Bench
from tests.benchmarks.contenders import make_messages
from tests.benchmarks.report import Goal, Row
from tests.benchmarks.rounds import repeat_sync

NONE = "no callbacks="


class Hook(SessionCallbackHandler):
    """Does nothing, before and after."""

    def on_append_event_start(self, context: AppendEventContext) -> None:
        """Before an append."""

    def on_append_event_end(self, context: AppendEventContext) -> None:
        """After one."""

    def on_get_session_end(self, context: GetSessionContext) -> None:
        """After a read."""


class InlineHook(Hook):
    """The same, in the event loop."""

    run_inline = True


class AsyncHook(AsyncSessionCallbackHandler):
    """The same for async code."""

    async def on_append_event_start(self, context: AppendEventContext) -> None:
        """Before an append."""

    async def on_append_event_end(self, context: AppendEventContext) -> None:
        """After one."""


def hook_rows(bench: Bench) -> Iterator[Row]:
    """Append one message and read the last 50, with hooks and without."""
    one, plan = [bench.message], bench.plan

    def adding(**options: Any) -> Any:
        return repeat_sync(partial(bench.ours(**options).add_messages, one))

    def adding_async(**options: Any) -> Any:
        return bench.repeat_async(partial(bench.ours(**options).aadd_messages, one))

    for what, options, goal in (
        ("callbacks=[]", {"callbacks": []}, Goal("at most", 1.1)),
        ("one hook", {"callbacks": [Hook()]}, Goal("at most", 1.5)),
        ("enable_tracing, no SDK", {"enable_tracing": True}, None),
    ):
        yield bench.compare(f"append 1, {what}", adding(**options), adding(), NONE, goal)
    for what, hook in (
        ("one async hook", AsyncHook()),
        ("one inline hook", InlineHook()),
        ("one plain hook", Hook()),
    ):
        ours = adding_async(callbacks=[hook])
        yield bench.compare(f"append 1, {what}, async", ours, adding_async(), NONE)

    def reading(**options: Any) -> Any:
        history = bench.ours(max_messages=50, **options)
        for _ in range(2):
            history.add_messages(make_messages(50))
        return repeat_sync(lambda: history.messages)

    ours = reading(callbacks=[Hook()])
    yield bench.compare("read the last 50, one hook", ours, reading(), NONE, calls=plan.some)
