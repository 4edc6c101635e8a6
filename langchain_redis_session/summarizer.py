"""SessionSummarizer: makes a summary of a session's events, and says when and of which.

A summarizer does no Redis I/O: `RedisSessionService(summarizer=…)` reads and stores. It is
a LangChain runnable of its own, too:

>>> from langchain_core.language_models import FakeListLLM
>>> from langchain_core.messages import HumanMessage
>>> summarizer = SessionSummarizer(FakeListLLM(responses=["Ann has a cat."]))
>>> summarizer.invoke([HumanMessage("I am Ann. My cat says hello.")])
'Ann has a cat.'
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from langchain_core.messages import AnyMessage, BaseMessage, SystemMessage
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.base import coerce_to_runnable

from langchain_redis_session._display.guard import shows
from langchain_redis_session._flow.drivers import arun, run
from langchain_redis_session._summarizer import text as summary_text
from langchain_redis_session._summarizer.call import SummaryCall, SummaryResult
from langchain_redis_session._summarizer.choice import (
    choose_count,
    find_running_turn,
    find_turn_start,
)
from langchain_redis_session._summarizer.prompt import make_prompt
from langchain_redis_session._summarizer.text import FormatToolCall, FormatToolResult
from langchain_redis_session._summarizer.tokens import count_tokens
from langchain_redis_session._summarizer.triggers import (
    SummaryTrigger,
    TokenCounter,
    all_of,
    any_of,
    check_counter,
    check_int,
    check_trigger,
    context_threshold,
    event_threshold,
    get_minimum_events,
    time_threshold,
    token_threshold,
)
from langchain_redis_session._summarizer.writers import (
    Decorated,
    PromptedModel,
    SummaryWriter,
    WholeRunnable,
    find_start,
    is_model,
    make_variables,
    needs_async,
    take_request,
    takes_requests,
)
from langchain_redis_session.config import check_function, refuse_unknown
from langchain_redis_session.errors import ConfigurationError, shorten
from langchain_redis_session.models import Event, Session, SummaryRequest, list_messages

__all__ = [
    "DEFAULT_TRIGGER",
    "SessionSummarizer",
    "SummaryResult",
    "SummaryTrigger",
    "TokenCounter",
    "all_of",
    "any_of",
    "context_threshold",
    "event_threshold",
    "get_minimum_events",
    "time_threshold",
    "to_summarizer",
    "token_threshold",
]

SkipRecent: TypeAlias = int | Callable[[list[Event]], int]

DEFAULT_TRIGGER = any_of(event_threshold(40), token_threshold(4000))
"""Fires at 40 new events, or at about 4000 tokens: some ten turns, or a few long ones.

So many messages are cheap to send once more, and a summary of less would mostly repeat them.
"""

# Of the window that a model's profile tells: counters only estimate, by English text, and
# the answer needs room as well.
_SHARE_OF_WINDOW = 0.5

DEFAULT_MAX_INPUT_TOKENS = 12_000
"""The largest prompt for a model without a profile: most models take 16,000 tokens or more."""


class SessionSummarizer(Runnable[SummaryRequest | Sequence[BaseMessage], str]):
    """Makes a summary of a conversation: a runnable from a request, or messages, to text.

    The last summary is brought up to date with what came since, so a long session costs no
    more than a short one. It also plugs into LangChain's own middleware:
    `SummarizationMiddleware(model, summarizer=SessionSummarizer(model))`.

    Args:
        model: A chat model, a text model, or any runnable that takes a prompt and returns
            a message or text. (A function of a `SummaryRequest` needs none of this: it goes to
            `summarizer=` of the service as it is.)
        prompt: A `ChatPromptTemplate`, or a str for one user message, with
            `{conversation_text}`. It may use `{previous_summary}`, which is "" the first
            time (without it the last summary goes in front of the conversation), and
            `{max_summary_words}`.
        system_prompt: A system message in front; it may use the same variables.
        max_summary_words: How long a summary may be; None leaves it to the model.
        trigger: Whether there is enough that is new. Default: `DEFAULT_TRIGGER`, 40 events or
            about 4,000 tokens.
        skip_recent: How many of the newest events are left as they are, or a function that
            tells from the new events; with these, all of the turn that the first of them
            belongs to, from its user message on. They don't count for the trigger. A turn
            without a final answer is left as it is in any case, and doesn't count either.
        max_input_tokens: The largest prompt. Where more is new, the oldest part of it is
            summarized first. A message that is too large by itself is cut in its middle, with
            a mark that says how much is missing. Default: half of `max_input_tokens` in the
            model's profile; 12,000 without a profile.
        token_counter: Counts the tokens of messages. The default estimates.
        format_tool_call: Shows a tool call; "" leaves it out.
        format_tool_result: Shows a tool's result; "" leaves it out.
        name: The name of its runs in traces.

    Raises:
        ConfigurationError: An argument can't work.

    Example:
        >>> from langchain_core.language_models import FakeListLLM
        >>> from langchain_core.messages import HumanMessage
        >>> model = FakeListLLM(responses=["Ann has a cat. It is ill."])
        >>> summarizer = SessionSummarizer(model, trigger=event_threshold(20), skip_recent=4)
        >>> request = SummaryRequest([HumanMessage("It is ill.")], "Ann has a cat.")
        >>> summarizer.summarize(request)
        SummaryResult(text='Ann has a cat. It is ill.', usage=None)
    """

    _writer: SummaryWriter
    _trigger: SummaryTrigger
    _skip_recent: SkipRecent

    @refuse_unknown()
    def __init__(
        self,
        model: Runnable[Any, Any],
        *,
        prompt: ChatPromptTemplate | str | None = None,
        system_prompt: str | None = None,
        max_summary_words: int | None = None,
        trigger: SummaryTrigger | None = None,
        skip_recent: SkipRecent = 0,
        max_input_tokens: int | None = None,
        token_counter: TokenCounter = count_tokens,
        format_tool_call: FormatToolCall = summary_text.format_tool_call,
        format_tool_result: FormatToolResult = summary_text.format_tool_result,
        name: str = "SessionSummarizer",
    ) -> None:
        runnable = _check_model(model)
        if not isinstance(name, str):
            raise ConfigurationError(f"name must be a string, not {shorten(name)}")
        if max_summary_words is not None:
            check_int("max_summary_words", max_summary_words, 1)
        if max_input_tokens is None:
            max_input_tokens = _find_limit(runnable)
        else:
            check_int("max_input_tokens", max_input_tokens, 1)
        writer = PromptedModel(
            make_prompt(prompt, system_prompt, max_summary_words),
            runnable,
            max_summary_words,
            max_input_tokens,
            check_counter(token_counter),
            _check_formatter("format_tool_call", format_tool_call),
            _check_formatter("format_tool_result", format_tool_result),
            disarm=prompt is None,
        )
        self._set_up(writer, trigger, skip_recent, name)

    def _set_up(
        self,
        writer: SummaryWriter,
        trigger: SummaryTrigger | None = None,
        skip_recent: SkipRecent = 0,
        name: str = "SessionSummarizer",
    ) -> None:
        if trigger is not None:
            check_trigger("trigger", trigger)
        if not callable(skip_recent):
            check_int("skip_recent", skip_recent, 0)
        self._writer = writer
        self._trigger = DEFAULT_TRIGGER if trigger is None else trigger
        self._skip_recent = skip_recent
        self.name = name

    @shows
    def __repr__(self) -> str:
        # A model's own repr may be long and tell its API key.
        return f"<{type(self).__name__}: {type(self._writer.runnable).__name__}>"

    def __eq__(self, other: object) -> bool:
        """Whether another does the same: it has the same model, and equal values of the rest."""
        if self is other:
            return True
        if type(self) is not SessionSummarizer or type(other) is not SessionSummarizer:
            return False  # a class of the user's own may do anything else
        return (
            self._writer.runnable is other._writer.runnable
            and self._writer == other._writer
            and self._trigger == other._trigger
            and self._skip_recent == other._skip_recent
            and self.name == other.name
        )

    def __hash__(self) -> int:
        return hash((type(self), id(self._writer.runnable)))

    @property
    def InputType(self) -> Any:
        """A request, or messages."""
        return SummaryRequest | list[AnyMessage]

    @property
    def OutputType(self) -> type[str]:
        """A text."""
        return str

    @property
    def trigger(self) -> SummaryTrigger:
        """Says whether there is enough that is new."""
        return self._trigger

    @property
    def is_async_only(self) -> bool:
        """Whether it runs in async code only, as some part of it is an async function."""
        return needs_async(self._writer.runnable)

    def should_summarize(self, session: Session) -> bool:
        """Whether there is enough to summarize: what the trigger says of it.

        Args:
            session: Its `events` are those after the last summary, oldest first; its
                `summary` is that last summary. The trigger sees it without the newest events
                that `skip_recent` leaves as they are, and without a turn that still runs.
        """
        recent = self._count_recent(session.events)
        if recent:
            session = replace(session, events=session.events[: len(session.events) - recent])
        return bool(self._trigger(session))

    @property
    def minimum_events(self) -> int:
        """There is no summary to make of fewer new events."""
        skip = 0 if callable(self._skip_recent) else self._skip_recent
        return get_minimum_events(self._trigger) + skip

    def choose_events(self, session: Session) -> list[Event]:
        """Choose the events to summarize now: the oldest of the session's new ones.

        Left for later are the newest (`skip_recent`), the last user message with what follows
        it as long as there is no final answer, tool calls that still wait for their results,
        and what would make the prompt too large.

        Args:
            session: As for `should_summarize`.

        Returns:
            The first events of `session.events`; none where there is nothing to do.
        """
        events = session.events
        most = len(events) - self._count_recent(events)
        count = choose_count(
            events,
            most,
            lambda end: self._writer.fits(self.make_request(session, events[:end])),
        )
        return events[:count]

    def _count_recent(self, events: list[Event]) -> int:
        skip = self._skip_recent
        if callable(skip):
            skip = check_int("what skip_recent returns", skip(list(events)), 0)
        start = find_turn_start(events, max(0, len(events) - skip))
        return len(events) - min(start, find_running_turn(events))

    def make_request(
        self, session: Session, events: list[Event] | None = None, filter_key: str = ""
    ) -> SummaryRequest:
        """Make the request for a summary of some of a session's new events.

        Args:
            session: As for `should_summarize`.
            events: Which; as `choose_events` does by default.
            filter_key: Of which events the summary is; "" = of the whole session.
        """
        if events is None:
            events = self.choose_events(session)
        return SummaryRequest(
            [m for m in list_messages(events) if not isinstance(m, SystemMessage)],
            session.summary.text if session.summary else "",
            replace(session, events=events),
            filter_key,
        )

    def count_input_tokens(self, request: SummaryRequest) -> int:
        """Count the tokens of the prompt that a request is turned into."""
        return self._writer.count_input_tokens(request)

    def summarize(
        self,
        request: SummaryRequest | Sequence[BaseMessage],
        config: RunnableConfig | None = None,
    ) -> SummaryResult:
        """Make a summary, and tell what it took.

        Args:
            request: A request, or only messages.
            config: Callbacks, tags and the like, as for any runnable.

        Raises:
            ConfigurationError: The input is neither, or the summarizer is an async function.
            SummaryError: The summarizer returned something that is no text, or an answer that was
                cut off by its length, filtered or refused.
        """
        if self.is_async_only:
            raise ConfigurationError(
                f"{self!r} runs an async function: await acreate_summary, asummarize or ainvoke, "
                "or give it a function that is not async"
            )
        call = SummaryCall(self._writer, request)

        def make(_: Any, run_manager: Any, config: RunnableConfig) -> str:
            return run(call.make(config), None)

        self._call_with_config(make, call.shown_input, config)
        return call.result

    async def asummarize(
        self,
        request: SummaryRequest | Sequence[BaseMessage],
        config: RunnableConfig | None = None,
    ) -> SummaryResult:
        """As `summarize`, in async code."""
        call = SummaryCall(self._writer, request)

        async def make(_: Any, run_manager: Any, config: RunnableConfig) -> str:
            return await arun(call.make(config), None)

        await self._acall_with_config(make, call.shown_input, config)
        return call.result

    def invoke(
        self,
        input: SummaryRequest | Sequence[BaseMessage],
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> str:
        """Make a summary; see `summarize`."""
        return self.summarize(input, config, **kwargs).text

    async def ainvoke(
        self,
        input: SummaryRequest | Sequence[BaseMessage],
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> str:
        """Make a summary; see `summarize`."""
        return (await self.asummarize(input, config, **kwargs)).text


def to_summarizer(value: Any) -> SessionSummarizer:
    """Give a summarizer for what a user passed as one.

    Args:
        value: One of
            - a `SessionSummarizer`, also one `with_retry` and the like: what it chooses stays;
            - a model, also one with bound options or followed by a parser: it gets the
              default prompt;
            - a function, async or not: it gets the `SummaryRequest`;
            - any other runnable, such as `prompt | model`: it gets a dict with
              `conversation_text`, `previous_summary`, `max_summary_words` (None),
              `messages` and `session`; or the `SummaryRequest`, if its input type is that.

    Raises:
        ConfigurationError: It is none of these.

    Example:
        >>> from langchain_core.messages import HumanMessage
        >>> summarizer = to_summarizer(lambda request: f"{len(request.messages)} messages")
        >>> summarizer.invoke([HumanMessage("hi"), HumanMessage("hello?")])
        '2 messages'
    """
    if isinstance(value, SessionSummarizer):
        return value
    if isinstance(value, type) or not (isinstance(value, Runnable) or callable(value)):
        raise ConfigurationError(
            "summarizer must be a chat model, a runnable, a function, or a SessionSummarizer, "
            f"not {_tell_given(value)}"
        )
    if not isinstance(value, Runnable) and not inspect.iscoroutinefunction(value):
        check_function("summarizer", value, "request")
    runnable: Runnable[Any, Any] = coerce_to_runnable(value)
    inner = find_start(runnable)
    if isinstance(inner, SessionSummarizer):
        made = copy.copy(inner)
        made._writer = Decorated(runnable, inner._writer)  # noqa: SLF001
        return made
    if runnable is not value or takes_requests(runnable):
        writer = WholeRunnable(runnable, take_request)
    elif is_model(runnable):
        return SessionSummarizer(runnable)
    else:
        writer = WholeRunnable(runnable, make_variables(runnable))
    made = SessionSummarizer.__new__(SessionSummarizer)
    made._set_up(writer)  # noqa: SLF001
    return made


def _check_model(model: Any) -> Runnable[Any, Any]:
    if isinstance(model, Runnable) and not takes_requests(model):
        return model
    advice = ""
    if isinstance(model, Runnable) or (callable(model) and not isinstance(model, type)):
        advice = "; a function of a SummaryRequest goes to the service's summarizer= as it is"
    raise ConfigurationError(
        "model must be a chat model, or a runnable that takes a prompt, not "
        f"{_tell_given(model)}{advice}"
    )


def _tell_given(value: Any) -> str:
    """Show what is no model, and say what to do."""
    if isinstance(value, type):
        return f"the class {value.__name__}; give an object of it"
    if isinstance(value, Runnable):  # whose own repr may tell an API key
        return f"a {type(value).__name__}"
    if isinstance(value, str):
        return f"the text {shorten(value)}; init_chat_model makes a model of a name"
    return shorten(value)


def _find_limit(model: Runnable[Any, Any]) -> int:
    """Give the share of the model's window that a prompt may take, as far as it is known."""
    profile = getattr(find_start(model), "profile", None)
    window = profile.get("max_input_tokens") if isinstance(profile, Mapping) else None
    if type(window) is not int or window < 1:
        return DEFAULT_MAX_INPUT_TOKENS
    return max(1, int(window * _SHARE_OF_WINDOW))


def _check_formatter(name: str, formatter: Any) -> Any:
    if not callable(formatter) or inspect.iscoroutinefunction(formatter):
        raise ConfigurationError(
            f"{name} must be a function that gives a string, not {shorten(formatter)}"
        )
    return formatter
