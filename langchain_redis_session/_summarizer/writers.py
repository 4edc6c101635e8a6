"""What turns a request into a summary: a prompted model, or a runnable of the user's.

A writer runs nothing itself: it is a flow, which yields calls of models and functions and
returns the answer, so that nothing is written twice for async code.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, get_args

from langchain_core.messages import HumanMessage
from langchain_core.prompts import BasePromptTemplate, ChatPromptTemplate
from langchain_core.runnables import (
    Runnable,
    RunnableConfig,
    RunnableLambda,
    RunnableSequence,
    RunnableWithFallbacks,
)
from langchain_core.runnables.base import RunnableBindingBase

from langchain_redis_session._flow.requests import Call, Flow, off_loop
from langchain_redis_session._summarizer.prompt import VARIABLES, disarm, fill_in, put_previous
from langchain_redis_session._summarizer.text import (
    FormatToolCall,
    FormatToolResult,
    conversation_text,
    format_tool_call,
    format_tool_result,
    shorten_to_fit,
)
from langchain_redis_session._summarizer.tokens import count_tokens
from langchain_redis_session._summarizer.triggers import TokenCounter
from langchain_redis_session.errors import ConfigurationError
from langchain_redis_session.models import SummaryRequest

# At least as long as any note on what was left out.
_NOTE = "\n[… 1,000,000,000,000 characters left out …]\n"

# Of so many characters, a text has more than one token: a slow counter need not see all of it.
_LONGEST_WORD = 16


class SummaryWriter(Protocol):
    """Turns a request into an answer: a text or a message."""

    @property
    def runnable(self) -> Runnable[Any, Any]:
        """What does the work."""

    def write(self, request: SummaryRequest, config: RunnableConfig) -> Flow[Any]:
        """Give the answer."""

    def fits(self, request: SummaryRequest) -> bool:
        """Whether the request can be met without cutting its text."""

    def count_input_tokens(self, request: SummaryRequest) -> int:
        """Count the tokens that would be sent."""


@dataclass(frozen=True)
class PromptedModel:
    """A model with a prompt that its input is put into.

    Raises:
        ConfigurationError: The prompt alone is larger than `max_input_tokens`.
    """

    prompt: ChatPromptTemplate
    runnable: Runnable[Any, Any]
    max_summary_words: int | None
    max_input_tokens: int
    token_counter: TokenCounter
    call_formatter: FormatToolCall
    result_formatter: FormatToolResult
    disarm: bool

    def __post_init__(self) -> None:
        most = self.max_input_tokens
        if (least := self._count(_NOTE, _NOTE)) > most:
            raise ConfigurationError(
                f"max_input_tokens={most} has no room for a conversation: the prompt alone "
                f"takes {least} tokens"
            )

    def write(self, request: SummaryRequest, config: RunnableConfig) -> Flow[Any]:
        variables = yield from off_loop(lambda: self._make_variables(request))
        if variables is None:  # only what has no text, so the last summary still holds
            return request.previous_summary
        prompt = yield from _invoke(self.prompt, variables, config)
        return (yield from _invoke(self.runnable, prompt, config))

    def _make_variables(self, request: SummaryRequest) -> dict[str, Any] | None:
        conversation, previous = self._texts(request)
        return self._fill_in(*self._cut(conversation, previous)) if conversation else None

    def fits(self, request: SummaryRequest) -> bool:
        return self._count(*self._texts(request)) <= self.max_input_tokens

    def count_input_tokens(self, request: SummaryRequest) -> int:
        conversation, previous = self._texts(request)
        return self._count(*self._cut(conversation, previous)) if conversation else 0

    def _texts(self, request: SummaryRequest) -> tuple[str, str]:
        conversation = conversation_text(
            request.messages,
            self.call_formatter,
            self.result_formatter,
            self._shorten if len(request.messages) > 1 else str,
        )
        if self.disarm:
            return disarm(conversation), disarm(request.previous_summary)
        return conversation, request.previous_summary

    def _shorten(self, text: str) -> str:
        """Cut one message's text where it leaves no room for others."""
        most = self.max_input_tokens
        if len(text) <= most // 2:
            return text
        room = most - self._count("", "")
        if self._count_text(text[: _LONGEST_WORD * most]) <= room:
            return text
        return shorten_to_fit(text, self._count_text, room // 2, longest=_LONGEST_WORD * most)

    def _count_text(self, text: str) -> int:
        return self.token_counter([HumanMessage(text)])

    def _cut(self, conversation: str, previous: str) -> tuple[str, str]:
        """Make the prompt fit. The previous summary may take half of the room, at most."""
        most = self.max_input_tokens
        if self._count(conversation, previous) <= most:
            return conversation, previous
        base = self._count("", "")
        half = base + (most - base) // 2
        previous = shorten_to_fit(previous, lambda text: self._count("", text), half)
        conversation = shorten_to_fit(conversation, lambda text: self._count(text, previous), most)
        return conversation, previous

    def _count(self, conversation: str, previous: str) -> int:
        filled = self._fill_in(conversation, previous)
        return self.token_counter(self.prompt.format_messages(**filled))

    def _fill_in(self, conversation: str, previous: str) -> dict[str, Any]:
        return fill_in(self.prompt.input_variables, conversation, previous, self.max_summary_words)


@dataclass(frozen=True)
class WholeRunnable:
    """A runnable that makes the whole summary, out of an input that `make_input` gives."""

    runnable: Runnable[Any, Any]
    make_input: Callable[[SummaryRequest], Any]

    def write(self, request: SummaryRequest, config: RunnableConfig) -> Flow[Any]:
        value = yield from off_loop(lambda: self.make_input(request))
        return (yield from _invoke(self.runnable, value, config))

    def fits(self, request: SummaryRequest) -> bool:
        return True

    def count_input_tokens(self, request: SummaryRequest) -> int:
        # What it really sends is its own affair.
        texts = filter(None, [request.previous_summary, _text_of(request)])
        return count_tokens([HumanMessage(text) for text in texts])


@dataclass(frozen=True)
class Decorated:
    """A writer inside of a runnable, such as one `with_retry`, that takes requests too."""

    runnable: Runnable[Any, Any]
    inner: SummaryWriter

    def write(self, request: SummaryRequest, config: RunnableConfig) -> Flow[Any]:
        return _invoke(self.runnable, request, config)

    def fits(self, request: SummaryRequest) -> bool:
        return self.inner.fits(request)

    def count_input_tokens(self, request: SummaryRequest) -> int:
        return self.inner.count_input_tokens(request)


def _invoke(runnable: Runnable[Any, Any], value: Any, config: RunnableConfig) -> Flow[Any]:
    return (
        yield Call(
            partial(runnable.invoke, value, config), partial(runnable.ainvoke, value, config)
        )
    )


def take_request(request: SummaryRequest) -> SummaryRequest:
    """Give the request itself, the input of a plain function."""
    return request


def make_variables(runnable: Runnable[Any, Any]) -> Callable[[SummaryRequest], dict[str, Any]]:
    """Give what makes the input of any other runnable: a dict, for its prompt.

    Raises:
        ConfigurationError: It starts with a prompt that asks for more than there is.
    """
    prompt = find_start(runnable)
    offered = {*VARIABLES, "messages", "session"}
    variables = offered
    if isinstance(prompt, BasePromptTemplate):
        variables = set(prompt.input_variables)
    if unknown := sorted(variables - offered):
        raise ConfigurationError(
            f"the summarizer's prompt asks for {{{unknown[0]}}}; there are {sorted(offered)}"
        )

    def make(request: SummaryRequest) -> dict[str, Any]:
        previous, messages = request.previous_summary, request.messages
        if previous and "previous_summary" not in variables:
            messages = [HumanMessage(put_previous(previous)), *messages]
        return {
            "previous_summary": previous,
            "max_summary_words": None,
            **fill_in(variables | {"conversation_text"}, _text_of(request), previous, None),
            "messages": messages,
            "session": request.session,
        }

    return make


def _text_of(request: SummaryRequest) -> str:
    return conversation_text(request.messages, format_tool_call, format_tool_result)


def find_start(runnable: object) -> object:
    """Give what a runnable starts with, inside of bindings and chains."""
    while True:
        if isinstance(runnable, RunnableBindingBase):
            runnable = runnable.bound
        elif isinstance(runnable, RunnableSequence):
            runnable = runnable.first
        elif isinstance(runnable, RunnableWithFallbacks):
            runnable = runnable.runnable
        else:
            return runnable


def needs_async(runnable: object) -> bool:
    """Whether some step of a runnable can only run in async code."""
    if isinstance(runnable, RunnableBindingBase):
        return needs_async(runnable.bound)
    if isinstance(runnable, RunnableSequence):
        return any(map(needs_async, runnable.steps))
    if isinstance(runnable, RunnableWithFallbacks):
        return any(map(needs_async, runnable.runnables))
    if isinstance(runnable, RunnableLambda):
        return not hasattr(runnable, "func")
    return getattr(runnable, "is_async_only", False) is True


def is_model(runnable: Runnable[Any, Any]) -> bool:
    """Whether it takes what a model takes: a prompt, a text or messages."""
    return bool(_names_in_input_type(runnable) & {"PromptValue", "ChatPromptValueConcrete"})


def takes_requests(runnable: Runnable[Any, Any]) -> bool:
    """Whether it says that its input is a `SummaryRequest`."""
    return "SummaryRequest" in _names_in_input_type(runnable)


def _names_in_input_type(runnable: Runnable[Any, Any]) -> set[str]:
    try:
        kind = runnable.InputType
    except TypeError:  # it doesn't say
        return set()
    if isinstance(kind, str):  # an annotation that was not looked up
        return {part.strip() for part in kind.split("|")}
    return {getattr(part, "__name__", "") for part in (kind, *get_args(kind))}
