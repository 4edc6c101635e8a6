"""Starting the background engines of a service; each is loaded only then."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from langchain_redis_session._actions.context import ActionContext
from langchain_redis_session._background.dead_letters import KeptAppends
from langchain_redis_session._connections.clients import Connections
from langchain_redis_session._flow.drivers import RunFlow, run
from langchain_redis_session._flow.requests import Flow
from langchain_redis_session._flow.scripts import send_sources
from langchain_redis_session._hooks.hooks import Hooks
from langchain_redis_session._operations.context import Context
from langchain_redis_session.errors import ConfigurationError
from langchain_redis_session.models import DeadLetter

if TYPE_CHECKING:
    from langchain_redis_session._actions.summaries import SummaryMaker
    from langchain_redis_session._background.summary_workers import SummaryWorkers
    from langchain_redis_session._background.write_behind import WriteBehind

T = TypeVar("T")


def keep_appends(
    context: Context, hooks: Hooks, on_error: Callable[[DeadLetter], Any] | None
) -> KeptAppends:
    """Make what keeps dead letters where nothing writes in the background."""
    return KeptAppends(context, hooks.report_given_up, on_error)


def start_write_behind(
    context: Context,
    hooks: Hooks,
    connections: Connections,
    on_error: Callable[[DeadLetter], Any] | None,
) -> WriteBehind:
    """Make the engine that writes; its threads start with the first append."""
    from langchain_redis_session._background.write_behind import WriteBehind

    run_flow = _make_runner(connections, context, None)
    return WriteBehind(context, run_flow, hooks.report_given_up, on_error)


def start_summary_workers(
    actions: ActionContext,
    connections: Connections,
    maker: SummaryMaker,
    write_behind: WriteBehind | None,
) -> SummaryWorkers | None:
    """Make the engine that summarizes; None where nothing can be summarized in a thread.

    Raises:
        ConfigurationError: That is so, and `auto_summarize` wants it.
    """
    context = actions.context
    obstacle = _find_obstacle(actions, connections, maker)
    if obstacle and context.options.auto_summarize:
        raise ConfigurationError(
            f"{obstacle}, or pass auto_summarize=False and use acreate_summary"
        )
    if obstacle:
        return None
    from langchain_redis_session._background.summary_workers import SummaryWorkers

    run_flow = _make_runner(connections, context, write_behind)
    return SummaryWorkers(context, maker, run_flow, settles=write_behind is not None)


def _find_obstacle(actions: ActionContext, connections: Connections, maker: SummaryMaker) -> str:
    if maker.summarizing.is_async_only:
        return (
            "the summarizer is asynchronous only, and background workers are threads; give "
            "it a sync function too (RunnableLambda(func, afunc))"
        )
    if hook := actions.hooks.find_async("create_summary"):
        return (
            f"{hook} is async, and background workers are threads; make it a plain `def` of a "
            "SessionCallbackHandler"
        )
    if not connections.has_sync:
        return "only an async client was given, and background workers use a sync one"
    return ""


def _make_runner(
    connections: Connections, context: Context, write_behind: WriteBehind | None
) -> RunFlow:
    connections.require_sync()

    counters, use_evalsha = context.counters, context.options.use_evalsha

    # Without the service, which threads must not keep alive.
    def run_flow(flow: Flow[T]) -> T:
        if not use_evalsha:
            flow = send_sources(flow)
        try:
            return run(flow, connections.exchanges(), write_behind, counters)
        finally:
            connections.release()

    return run_flow
