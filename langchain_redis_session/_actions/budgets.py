"""Budgets, looked at before a user's message is appended."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from langchain_core.messages import HumanMessage

from langchain_redis_session._flow.requests import Flow
from langchain_redis_session._operations.context import Context
from langchain_redis_session._operations.usage import day_of, get_session_usage, get_usage
from langchain_redis_session.budgets import UsageBudget
from langchain_redis_session.errors import BudgetExceededError, ConfigurationError
from langchain_redis_session.models import Event, SessionKey, Usage


def check_budgets(
    context: Context, handlers: Iterable[object], key: SessionKey, events: Sequence[Event]
) -> Flow[None]:
    """Refuse events with a user's message where a budget is used up.

    Raises:
        BudgetExceededError: One is.
        ConfigurationError: There is one, and nobody counts.
    """
    budgets = [handler for handler in handlers if isinstance(handler, UsageBudget)]
    if not budgets:
        return
    days = [day_of(event) for event in events if isinstance(event.message, HumanMessage)]
    if not days:
        return
    if not context.options.track_usage:
        raise ConfigurationError("a UsageBudget needs a service with track_usage=True")
    for budget in budgets:
        if budget.per == "session":
            usage = yield from get_session_usage(context, key)
            whose = f"session {key.session_id!r} of user {key.user_id!r}"
            advice = "go on in a new session, or raise the limit"
        else:
            day = max(days)
            usage = yield from get_usage(context, *key.scope[:2], since=day, until=day)
            whose = f"user {key.user_id!r} in app {key.app_name!r} for {day}"
            advice = "wait for the next day (UTC), or raise the limit"
        used = _read(budget, usage)
        if used >= budget.limit:
            what = budget.kind if budget.kind == "messages" else f"{budget.kind} tokens"
            model = "" if budget.model is None else f" of {budget.model}"
            context.counters.hook_vetoes += 1
            raise BudgetExceededError(
                f"the budget of {whose} is used up: {used} of {budget.limit} {what}{model}; "
                f"{advice}"
            )


def _read(budget: UsageBudget, usage: Usage) -> int:
    if budget.model is not None:
        usage = usage.by_model.get(budget.model, Usage())
    used: int = getattr(usage, budget.kind)
    return used
