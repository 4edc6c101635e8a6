"""What of a session a model is given: limits, and the summary in front."""

from __future__ import annotations

from collections.abc import Callable

from langchain_core.messages import (
    BaseMessage,
    SystemMessage,
    trim_messages,
)

from langchain_redis_session.models import Summary


def format_summary(summary: Summary) -> str:
    """Say what a summary is, for a model: the text of the message that stands for it."""
    return f"Summary of the conversation so far:\n{summary.text}"


def trim_window(
    messages: list[BaseMessage],
    most: int,
    counter: Callable[[list[BaseMessage]], int],
    *,
    keeps_first: bool,
) -> list[BaseMessage]:
    """Keep the last that fit, and the first if asked to: the summary."""
    # Only a system message is kept: it stands in for the summary, whatever that is shown as.
    first = messages[: int(keeps_first)]
    fitting = trim_messages(
        [*(SystemMessage(message.content) for message in first), *messages[len(first) :]],
        strategy="last",
        max_tokens=most,
        token_counter=counter,
        include_system=keeps_first,
    )
    # A tool result whose call no longer fits would be refused by models.
    rest = fitting[len(first) :]
    if len(fitting) < len(messages):
        while rest and rest[0].type == "tool":
            del rest[0]
    return [*first, *rest]
