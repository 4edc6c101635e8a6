"""`UsageBudget`: a limit for what models may use."""

from __future__ import annotations

from typing import Literal

from langchain_redis_session.callbacks import AppendEventContext, SessionCallbackHandler
from langchain_redis_session.config import refuse_unknown
from langchain_redis_session.errors import ConfigurationError, shorten

Period = Literal["day", "session"]
Kind = Literal["messages", "input", "output", "total", "cached", "reasoning"]


class UsageBudget(SessionCallbackHandler):
    """Refuses a user's next message when models have used so much, as a hook in `callbacks=`.

    It reads what `track_usage=True` has added up, in one round trip before a user message is
    appended. An answer is never refused, it is paid for: two runs at once may go beyond the limit
    by what was under way (and with write-behind, by what was not written yet).

    Args:
        limit: How much there may be.
        per: "day" = of the user, on the message's day in UTC; "session" = of the session.
        kind: What is limited: "total", "input", "output", "cached" or "reasoning" tokens, or
            "messages" of the assistant.
        model: Only what this model used; None = all of them.

    Raises:
        ConfigurationError: An argument can't be used.

    Example:
        >>> from langchain_core.messages import AIMessage, HumanMessage
        >>> from langchain_redis_session import RedisSessionService
        >>> service = RedisSessionService(
        ...     "memory://doc-budget", track_usage=True, callbacks=[UsageBudget(50)]
        ... )
        >>> key = service.create_session("shop", "ann").key
        >>> usage = {"input_tokens": 40, "output_tokens": 20, "total_tokens": 60}
        >>> turn = [HumanMessage("hi"), AIMessage("hello", usage_metadata=usage)]
        >>> service.append_messages(key, turn).written
        2
        >>> service.append_messages(key, [HumanMessage("more")])
        Traceback (most recent call last):
        langchain_redis_session.errors.BudgetExceededError: the budget of user 'ann' in app 'shop'
        for 2... is used up: 60 of 50 total tokens; wait for the next day (UTC), or raise the limit
    """

    @refuse_unknown()
    def __init__(
        self,
        limit: int,
        *,
        per: Period = "day",
        kind: Kind = "total",
        model: str | None = None,
    ) -> None:
        if not isinstance(limit, int) or isinstance(limit, bool) or limit < 0:
            raise ConfigurationError(f"limit must be a whole number from 0, not {shorten(limit)}")
        if per not in ("day", "session"):
            raise ConfigurationError(f"per must be 'day' or 'session', not {shorten(per)}")
        if kind not in ("messages", "input", "output", "total", "cached", "reasoning"):
            raise ConfigurationError(
                "kind must be 'total', 'input', 'output', 'cached', 'reasoning' or 'messages', not "
                f"{shorten(kind)}"
            )
        if model is not None and not isinstance(model, str):
            raise ConfigurationError(f"model must be a model's name or None, not {shorten(model)}")
        self.limit, self.per, self.kind, self.model = limit, per, kind, model

    def on_append_event_start(self, context: AppendEventContext) -> None:
        """Marks it as a hook of appends; what it does needs Redis, and is done after all hooks."""
