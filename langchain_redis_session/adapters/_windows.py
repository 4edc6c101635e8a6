"""What of a session a model is given: limits, and the summary in front. Shared by adapters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from langchain_core.messages import BaseMessage, SystemMessage, trim_messages
from langchain_core.messages.utils import count_tokens_approximately

from langchain_redis_session.errors import ConfigurationError, shorten
from langchain_redis_session.models import SummarizedMessages, Summary

TokenCounter = Callable[[list[BaseMessage]], int]


def format_summary(summary: Summary) -> str:
    """Say what a summary is, for a model: the text of the message that stands for it."""
    return f"Summary of the conversation so far:\n{summary.text}"


@dataclass(frozen=True, slots=True)
class ModelWindow:
    """How much of a session a model is given.

    Attributes:
        max_messages: The most messages, the newest; None = all.
        max_tokens: The most tokens, of the newest messages; None = all.
        token_counter: Counts the tokens of messages.
        format_summary: Makes the message in front of a `Summary`: a text or a message.

    Raises:
        ConfigurationError: A limit is no whole number from 1, or a function is none.
    """

    max_messages: int | None = None
    max_tokens: int | None = None
    token_counter: TokenCounter = count_tokens_approximately
    format_summary: Callable[[Summary], BaseMessage | str] = format_summary

    def __post_init__(self) -> None:
        limits = {"max_messages": self.max_messages, "max_tokens": self.max_tokens}
        for name, most in limits.items():
            if most is not None and (type(most) is not int or most < 1):
                raise ConfigurationError(
                    f"{name} must be a whole number from 1, or None, not {shorten(most)}"
                )
        functions = {"token_counter": self.token_counter, "format_summary": self.format_summary}
        for name, function in functions.items():
            if not callable(function):
                raise ConfigurationError(f"{name} must be a function, not {shorten(function)}")

    def fit(self, messages: list[BaseMessage]) -> list[BaseMessage]:
        """Take the newest of the last `max_messages` messages that fit `max_tokens`."""
        return self._fit_tokens(messages, keeps_first=False)

    def put_summary(self, found: SummarizedMessages) -> list[BaseMessage]:
        """Put the summary in front of the messages that it does not cover, and fit them in."""
        messages, summary = found.messages, found.summary
        if summary is not None:
            messages = [self._show(summary), *messages]
            if self.max_messages is not None:
                messages = _trim(messages, self.max_messages, len, keeps_first=True)
        return self._fit_tokens(messages, keeps_first=summary is not None)

    def _fit_tokens(self, messages: list[BaseMessage], *, keeps_first: bool) -> list[BaseMessage]:
        if self.max_tokens is None:
            return messages
        return _trim(messages, self.max_tokens, self.token_counter, keeps_first=keeps_first)

    def _show(self, summary: Summary) -> BaseMessage:
        shown = self.format_summary(summary)
        if isinstance(shown, BaseMessage):
            return shown
        if not isinstance(shown, str):
            raise ConfigurationError(
                f"format_summary must give a text or a message, not {type(shown).__name__}"
            )
        return SystemMessage(shown)


def _trim(
    messages: list[BaseMessage],
    most: int,
    counter: TokenCounter,
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
