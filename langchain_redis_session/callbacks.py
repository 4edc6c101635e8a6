"""Hooks: callback handlers that see, change and refuse what a session service does.

A handler overrides the methods it wants and goes into `callbacks=`, of a service, a history
or a single call:

>>> from langchain_core.messages import HumanMessage
>>> from langchain_redis_session import RedisSessionService
>>> class Redactor(SessionCallbackHandler):
...     def on_append_event_start(self, context):
...         context.event.message.content = context.event.message.text.replace("4711", "****")
>>> service = RedisSessionService("memory://", callbacks=[Redactor()])
>>> key = service.create_session("shop", "ann").key
>>> result = service.append_messages(key, [HumanMessage("My PIN is 4711.")])
>>> [message.content for message in service.get_messages(key)]
['My PIN is ****.']
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, TypeAlias

from langchain_core.callbacks import (
    AsyncCallbackHandler,
    BaseCallbackHandler,
    BaseCallbackManager,
)
from langchain_core.messages.ai import UsageMetadata

from langchain_redis_session._display.brief import BriefRepr
from langchain_redis_session.models import DeadLetter, Event, Session, SessionKey, SummaryRequest

__all__ = [
    "AppendEventContext",
    "AsyncSessionCallbackHandler",
    "CorruptEventReport",
    "GetSessionContext",
    "SessionCallbackHandler",
    "SummaryContext",
]

Handlers: TypeAlias = Sequence[BaseCallbackHandler] | BaseCallbackManager | None
"""What `callbacks=` takes: a list of handlers, or LangChain's manager of some."""


@dataclass(slots=True, repr=False)
class AppendEventContext(BriefRepr):
    """One event on its way into a session.

    Attributes:
        key: The session.
        event: What is stored. A start hook may change it or put another in its place. It is
            a copy, so the caller's event and message stay as they are (but for the event's
            `score`), and a streamed chunk is a whole message already. An end hook may replace
            what `AppendResult.events` shows.
        notes: Anything of yours, from one hook to the next.
        is_skipped: Whether a start hook has called `skip`.
        duration_ms: How long the write took; None before it.
    """

    key: SessionKey
    event: Event
    notes: dict[str, Any] = field(default_factory=dict)
    is_skipped: bool = False
    duration_ms: float | None = None

    def skip(self) -> None:
        """Leave the event out, with its change of state; no further hook sees it."""
        self.is_skipped = True


@dataclass(slots=True, repr=False)
class GetSessionContext(BriefRepr):
    """A read of a session.

    Attributes:
        key: The session.
        method: The one that was called: "get_session", "get_events", "get_messages" (whose
            `limit` and `offset` count messages), or "get_summarized_messages" (likewise, behind
            the session's summary).
        limit: The most to read; a start hook may change it, and the bounds that follow.
        after: The earliest, inclusive.
        before: The latest, inclusive.
        offset: How many of the newest to leave out.
        start_on: "human" = begin with a user message.
        session: The session; None before it is read, or if there is none. A start hook that
            sets it has answered: nothing is read then. An end hook may change or replace
            what the caller gets: `get_messages` and `get_events` take theirs from it.
        notes: Anything of yours, from one hook to the next.
        duration_ms: How long reading took; None before it.
    """

    key: SessionKey
    method: str = "get_session"
    limit: int | None = None
    after: datetime | int | float | None = None
    before: datetime | int | float | None = None
    offset: int = 0
    start_on: Literal["human"] | None = None
    session: Session | None = None
    notes: dict[str, Any] = field(default_factory=dict)
    duration_ms: float | None = None


@dataclass(slots=True, repr=False)
class SummaryContext(BriefRepr):
    """A summary being made.

    Attributes:
        key: The session.
        filter_key: Of which events; "" = of the whole session.
        request: What the summarizer is asked for; a start hook may change it.
        text: What it returned; an end hook may change it before it is stored.
        force: Whether it was asked for regardless of what is new.
        input_tokens: About how many tokens there are to summarize.
        usage: The model's token usage, where it told.
        notes: Anything of yours, from one hook to the next.
        duration_ms: How long the model took; None before.
    """

    key: SessionKey
    filter_key: str
    request: SummaryRequest
    text: str = ""
    force: bool = False
    input_tokens: int = 0
    usage: UsageMetadata | None = None
    notes: dict[str, Any] = field(default_factory=dict)
    duration_ms: float | None = None


@dataclass(frozen=True, slots=True, repr=False)
class CorruptEventReport(BriefRepr):
    """An entry that a read could not understand and skipped; without its content.

    Attributes:
        key: The session that was read, where the read was of one.
        redis_key: The Redis key that it stands in.
        what: What it is: "an entry", "a part of a session's record", ….
    """

    key: SessionKey | None
    redis_key: str
    what: str


class SessionCallbackHandler(BaseCallbackHandler):
    """Hooks of a session service; override those you want.

    Start hooks run in the order of `callbacks=` (a service's first, then a call's), end and
    error hooks in the reverse order. Each start hook is followed by the end or the error
    hook of its handler, never by both, and not by its own error hook if it raised itself.

    A start hook that raises, whatever it raises, aborts the operation with
    `EventRejectedError`: nothing is written. So does an end hook of a read, and of a summary,
    which is stored after it. An end hook of an append comes too late for that, and error
    hooks likewise: what they raise is logged.

    A batch calls the append hooks once for each event; a veto of one event rejects all.
    Reads with hooks are `get_session`, `get_messages`, `get_summarized_messages` and
    `get_events`, and those of a history; `list_sessions`, `create_session`, `search_events`,
    `get_event_window`, `count_events` and `trim_conversations` return events as they are stored.

    With write-behind, start hooks run when an append is accepted, in the caller; end and
    error hooks when it is in Redis or given up, in a background thread. What a spool
    delivers after a restart, and what `retry_dead_letters` does, has none.

    In async code, hooks run in a thread, as LangChain's own, unless the handler has
    `run_inline = True`; several calls may be in them at the same time.
    """

    def on_append_event_start(self, context: AppendEventContext) -> Any:
        """Before an event is written: change it, skip it, or raise."""

    def on_append_event_end(self, context: AppendEventContext) -> Any:
        """After an event was written; `context.event.score` is set."""

    def on_append_event_error(self, context: AppendEventContext, error: Exception) -> Any:
        """An event was not written."""

    def on_get_session_start(self, context: GetSessionContext) -> Any:
        """Before a session is read: change the bounds, answer, or raise."""

    def on_get_session_end(self, context: GetSessionContext) -> Any:
        """After a session was read: change what the caller gets, or raise."""

    def on_get_session_error(self, context: GetSessionContext, error: Exception) -> Any:
        """A session could not be read."""

    def on_create_summary_start(self, context: SummaryContext) -> Any:
        """Before a summary is made: change the request, or raise."""

    def on_create_summary_end(self, context: SummaryContext) -> Any:
        """After the model, before the summary is stored: change its text, or raise."""

    def on_create_summary_error(self, context: SummaryContext, error: Exception) -> Any:
        """A summary could not be made or stored."""

    def on_persist_error(self, letter: DeadLetter) -> Any:
        """Write-behind gave up an append; called in a background thread."""

    def on_corrupt_event(self, report: CorruptEventReport) -> Any:
        """A read skipped what it could not understand."""


class AsyncSessionCallbackHandler(AsyncCallbackHandler):
    """Hooks for async code: `SessionCallbackHandler` with `async def`.

    For the methods with an `a` in front. The others refuse, with `ConfigurationError`, to do
    anything that one of these hooks would have to see: they could not wait for it. After an
    append that write-behind has accepted, the hooks run in the loop that it was made in.
    """

    async def on_append_event_start(self, context: AppendEventContext) -> Any:
        """Before an event is written: change it, skip it, or raise."""

    async def on_append_event_end(self, context: AppendEventContext) -> Any:
        """After an event was written; `context.event.score` is set."""

    async def on_append_event_error(self, context: AppendEventContext, error: Exception) -> Any:
        """An event was not written."""

    async def on_get_session_start(self, context: GetSessionContext) -> Any:
        """Before a session is read: change the bounds, answer, or raise."""

    async def on_get_session_end(self, context: GetSessionContext) -> Any:
        """After a session was read: change what the caller gets, or raise."""

    async def on_get_session_error(self, context: GetSessionContext, error: Exception) -> Any:
        """A session could not be read."""

    async def on_create_summary_start(self, context: SummaryContext) -> Any:
        """Before a summary is made: change the request, or raise."""

    async def on_create_summary_end(self, context: SummaryContext) -> Any:
        """After the model, before the summary is stored: change its text, or raise."""

    async def on_create_summary_error(self, context: SummaryContext, error: Exception) -> Any:
        """A summary could not be made or stored."""

    async def on_persist_error(self, letter: DeadLetter) -> Any:
        """Write-behind gave up an append."""

    async def on_corrupt_event(self, report: CorruptEventReport) -> Any:
        """A read skipped what it could not understand."""
