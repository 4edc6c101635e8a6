"""What the service takes and returns: keys, events, sessions, results."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Annotated, Any, Literal
from uuid import UUID

from langchain_core.messages import BaseMessage, ChatMessage, HumanMessage, ToolMessage
from pydantic import Field

from langchain_redis_session._display.brief import BriefRepr, FullRepr, show_brief
from langchain_redis_session._display.guard import shows
from langchain_redis_session._times import to_datetime
from langchain_redis_session._wire.fields import Failure, Message, Nanoseconds, Portable
from langchain_redis_session.errors import InvalidSessionKeyError, shorten

__all__ = [
    "AppendResult",
    "DeadLetter",
    "DeletedUser",
    "Event",
    "Role",
    "Session",
    "SessionKey",
    "SummarizedMessages",
    "Summary",
    "SummaryBoundary",
    "SummaryRequest",
    "TrackEvent",
]

Role = Literal["user", "assistant", "tool", "system"]

MAX_ID_BYTES = 512

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


_ids: list[str] = []
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_ids.clear)  # its parent's


def new_id() -> str:
    """Make a fresh id of 32 hex digits (128 random bits)."""
    try:
        return _ids.pop()
    except IndexError:  # many at once cost the system as much as one
        digits = os.urandom(16 * 64).hex()
        _ids.extend(digits[start : start + 32] for start in range(32, len(digits), 32))
        return digits[:32]


def tell_text(value: object, name: str) -> str:
    """Give the end of a message on what should be an id: how to make one of it, or ""."""
    if hasattr(value, name):
        return f"; give its .{name}"
    if isinstance(getattr(value, "key", None), SessionKey):
        return f"; give its .key.{name}"
    if isinstance(value, bytes):
        return "; decode it: ….decode()"
    is_number = isinstance(value, (int, UUID)) and not isinstance(value, bool)
    return "; put str(…) around it" if is_number else ""


def validate_id(value: object, name: str) -> str:
    """Give `value` back if it can name something, else say what is wrong.

    Raises:
        InvalidSessionKeyError: `value` is not a string, is empty, is longer than
            512 bytes, or is not valid UTF-8.
    """
    if not isinstance(value, str):
        raise InvalidSessionKeyError(
            f"{name} must be a string, not {shorten(value)}{tell_text(value, name)}"
        )
    if not value:
        raise InvalidSessionKeyError(f"{name} is empty; give it at least one character")
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise InvalidSessionKeyError(
            f"{name} is not valid UTF-8 (it has a lone surrogate): {shorten(value)}; give other "
            "text"
        ) from None
    if size > MAX_ID_BYTES:
        raise InvalidSessionKeyError(
            f"{name} has {size} bytes, the most is {MAX_ID_BYTES}: {shorten(value)}; give a "
            "shorter one, such as a hash of it"
        )
    return value


@dataclass(frozen=True, slots=True, repr=False)
class SessionKey(FullRepr):
    """The full name of a session. Hashable; any text may stand in the ids.

    Attributes:
        app_name: The application.
        user_id: The user, unique in the app.
        session_id: The conversation, unique for the user.

    Raises:
        InvalidSessionKeyError: An id is empty, not a string, over 512 bytes, or
            not valid UTF-8.

    Example:
        >>> SessionKey("shop", "ann", "s1")
        SessionKey(app_name='shop', user_id='ann', session_id='s1')
    """

    app_name: str
    user_id: str
    session_id: str

    @property
    def scope(self) -> tuple[str, str, str]:
        """The ids, the widest first: whose data this is."""
        return self.app_name, self.user_id, self.session_id

    def __post_init__(self) -> None:
        validate_id(self.app_name, "app_name")
        validate_id(self.user_id, "user_id")
        validate_id(self.session_id, "session_id")


@dataclass(slots=True, repr=False)
class Event(BriefRepr):
    """One entry of a session: a LangChain message, or only a state change.

    Attributes:
        message: The message, or None for an event that only changes state.
        author: Who made it: "user", an agent's name, ….
        request_id: Names the conversation (one user turn with all that followed).
        invocation_id: Names the run of the agent, where there is one.
        branch: The path of agents that led here ("root/researcher").
        tag: Labels, separated by ";".
        filter_key: A hierarchical key ("app/tools") that summaries select by.
        state_delta: State to set with this event. A name's prefix routes it: `app:`
            and `user:` to those scopes, `temp:` is never stored, the rest is the
            session's.
        extensions: Any JSON of yours, by name. "langchain" is taken.
        extra: Members of the stored JSON that have no attribute here (an event of
            trpc-agent-go has some, such as `error`); they survive a re-write.
        further_messages: More messages, in events of trpc-agent-go only: it puts the
            results of parallel tool calls into one event. Only read, never written.
        id: Unique, 32 hex digits unless given.
        time_ns: When it happened, nanoseconds since 1970 (UTC).
        score: Where it stands in the session, once it is stored: `time_ns` as a
            double, raised where an earlier event's was not lower. The bounds
            `after` and `before` of reads are compared with it.

    Example:
        >>> from langchain_core.messages import HumanMessage
        >>> event = Event(HumanMessage("hi"), author="user", time_ns=0)
        >>> event.timestamp.isoformat()
        '1970-01-01T00:00:00+00:00'
    """

    message: Message | None = None
    author: str = ""
    request_id: str = ""
    invocation_id: str = ""
    branch: str = ""
    tag: str = ""
    filter_key: str = ""
    state_delta: Portable[dict[str, Any]] = field(default_factory=dict)
    extensions: Portable[dict[str, Any]] = field(default_factory=dict)
    extra: Portable[dict[str, Any]] = field(default_factory=dict)
    id: str = field(default_factory=new_id)
    time_ns: Nanoseconds = field(default_factory=time.time_ns)
    score: float | None = field(default=None, compare=False)
    further_messages: tuple[Message, ...] = field(default=(), repr=False, compare=False)

    @property
    def timestamp(self) -> datetime:
        """When it happened, in UTC, cut to microseconds."""
        return to_datetime(self.time_ns)

    @shows
    def _repr_html_(self) -> str:
        from langchain_redis_session._display.transcript import render_event_list

        return render_event_list([self])


@dataclass(slots=True, repr=False)
class TrackEvent(BriefRepr):
    """One entry of a track, a named side stream of a session.

    Attributes:
        track: The track's name.
        payload: Any JSON value.
        id: Unique, 32 hex digits.
        time_ns: When it happened, nanoseconds since 1970 (UTC).
        score: Where it stands in the track, once stored; as `Event.score`.
    """

    track: str
    payload: Portable[Any] = None
    id: str = field(default_factory=new_id)
    time_ns: Nanoseconds = field(default_factory=time.time_ns)
    score: float | None = field(default=None, compare=False)

    @property
    def timestamp(self) -> datetime:
        """When it happened, in UTC, cut to microseconds."""
        return to_datetime(self.time_ns)

    @shows
    def _repr_html_(self) -> str:
        from langchain_redis_session._display.tables import render_track

        return render_track([self])


@dataclass(frozen=True, slots=True, repr=False)
class SummaryBoundary(BriefRepr):
    """Up to where a summary goes.

    Attributes:
        cutoff_score: The score of the last event it covers.
        last_event_id: That event's id; "" where it is not known.
        cutoff_ns: The score as a time, nanoseconds since 1970.
    """

    cutoff_score: float
    last_event_id: str
    cutoff_ns: Nanoseconds


@dataclass(frozen=True, slots=True, repr=False)
class Summary(BriefRepr):
    """What a model made of a session's events, up to a boundary.

    Attributes:
        text: The summary.
        filter_key: Of which events it is; "" = of the whole session.
        boundary: Up to where it goes. Later events are not in it.
        updated_at: When it was stored (UTC, the server's clock).
        topics: What it is about; of trpc-agent-go's summaries only.
    """

    text: str
    filter_key: str
    boundary: SummaryBoundary
    updated_at: datetime
    topics: tuple[str, ...] = ()

    @shows
    def _repr_html_(self) -> str:
        from langchain_redis_session._display.transcript import render_summary

        return render_summary(self)


@dataclass(frozen=True, slots=True, repr=False)
class Session:
    """One conversation as it was when it was read. Shows itself in Jupyter.

    Attributes:
        key: Its full name.
        state: The session's state merged with the app's and the user's, which stand
            under `app:…` and `user:…` (a name with a prefix in the session's own record, as
            trpc-agent-go writes it, is replaced by theirs).
        events: The events asked for, oldest first.
        tracks: The names of its tracks.
        created_at: When it was made (UTC, the server's clock), or its first event's time where
            that is earlier.
        updated_at: Its last write (UTC, the server's clock).
        is_cut: Whether older events than these were left out, or removed by retention.
        summary: The summary of the whole session, if there is one.
        missing: What of it is gone or can't be read: `("record",)` where that was evicted or
            broken. Then there is no state of its own, and its times are those of its first and
            its last event.
        event_count: How many events it has; None unless it is from `list_sessions`.
        last_message: Its newest message, likewise.
    """

    key: SessionKey
    state: Portable[dict[str, Any]]
    events: list[Event]
    tracks: tuple[str, ...]
    created_at: datetime
    updated_at: datetime
    is_cut: bool = False
    summary: Summary | None = None
    missing: tuple[str, ...] = ()
    event_count: int | None = field(default=None, compare=False)
    last_message: Message | None = field(default=None, compare=False)

    @property
    def messages(self) -> list[BaseMessage]:
        """The events' messages, oldest first, without leading orphaned tool results."""
        return select_messages(self.events, is_cut=self.is_cut)

    @shows
    def __repr__(self) -> str:
        # Short, where the events could be thousands of lines.
        key = self.key
        count = f"{len(self.events)} event{'' if len(self.events) == 1 else 's'}"
        if self.is_cut and not self.events:
            count = "events not read"
        app, user, session = map(show_brief, key.scope)
        return (
            f"<Session app={app} user={user} id={session}: {count}, "
            f"state {show_brief(list(self.state))}, tracks {show_brief(list(self.tracks))}>"
        )

    @shows
    def _repr_html_(self) -> str:
        from langchain_redis_session._display.transcript import render_session

        return render_session(self)


def is_from_user(message: BaseMessage) -> bool:
    """Whether a user said it: a `HumanMessage`, or a `ChatMessage` with that role."""
    if isinstance(message, ChatMessage):
        return message.role == "user"
    return isinstance(message, HumanMessage)


def list_messages(events: Iterable[Event]) -> list[BaseMessage]:
    """All messages of events."""
    return [
        message
        for event in events
        if event.message is not None
        for message in (event.message, *event.further_messages)
    ]


def select_messages(
    events: list[Event], *, is_cut: bool = False, limit: int | None = None
) -> list[BaseMessage]:
    """Take the messages out of `events`; as `drop_first_results`."""
    return drop_first_results(list_messages(events), is_cut=is_cut, limit=limit)


def drop_first_results(
    messages: list[BaseMessage], *, is_cut: bool = False, limit: int | None = None
) -> list[BaseMessage]:
    """Keep the last `limit` messages of a list, without leading tool results.

    Their call was cut off, and models refuse a result whose call they can't see. Where older
    events were cut off (`is_cut`), those behind a user message that was put in front go too.
    """
    first = 0 if limit is None else max(0, len(messages) - limit)
    del messages[:first]
    is_in_front = (is_cut or first > 0) and messages and is_from_user(messages[0])
    start = end = 1 if is_in_front else 0
    while end < len(messages) and isinstance(messages[end], ToolMessage):
        end += 1
    del messages[start:end]
    return messages


@dataclass(frozen=True, slots=True, repr=False)
class SummarizedMessages(BriefRepr):
    """What a model needs of a long session.

    Attributes:
        summary: What came before; None if there is no summary.
        messages: What the summary does not cover, oldest first.
        is_cut: Whether there are older messages than these, covered by the summary or left
            out, or retention may have removed some.
    """

    summary: Summary | None
    messages: list[Message]
    is_cut: bool = False


@dataclass(slots=True, repr=False)
class SummaryRequest(BriefRepr):
    """What a summarizer is asked for: a new summary, of the last one and what came since.

    Attributes:
        messages: What came since, oldest first; tool calls stand with their results. Without
            system messages, which stay in front of what a model is given.
        previous_summary: The last summary's text; "" for none.
        session: The session; its `events` are those of the messages, its `summary` the
            last one of the filter key. None where there is no session.
        filter_key: Of which events the summary is; "" = of the whole session.
    """

    messages: list[Message]
    previous_summary: str = ""
    session: Session | None = None
    filter_key: str = ""


@dataclass(frozen=True, slots=True, repr=False)
class AppendResult(BriefRepr):
    """What an append did.

    Attributes:
        events: The events that now stand in the session, those that an earlier try
            had stored among them; without those left out by `once=True`.
        written: How many this call stored.
        removed: How many old events the retention limit removed.
        queued: Whether the write is still to come (write-behind).
        unsummarized: How many events the session's summary does not cover now; None where
            nothing was written or there is no summarizer.
        repeated: The ids of messages that `once=True` left out, as other events have them.
    """

    events: list[Event]
    written: int
    removed: int
    queued: bool = False
    unsummarized: int | None = None
    repeated: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, repr=False)
class DeletedUser(FullRepr):
    """What `delete_user` removed.

    Attributes:
        sessions: Sessions of the user.
        keys: Redis keys.
    """

    sessions: int
    keys: int


@dataclass(frozen=True, slots=True, repr=False)
class DeadLetter(BriefRepr):
    """An append that could not be written, and was not to be lost: write-behind's, or an answer's.

    Attributes:
        key: The session.
        events: What was to be appended: events, or events of one track.
        error: Why not.
        time_ns: When, nanoseconds since 1970.
    """

    key: SessionKey
    # A track event is tried first: what it has besides, an event would leave out.
    events: tuple[Annotated[TrackEvent | Event, Field(union_mode="left_to_right")], ...]
    error: Failure
    time_ns: Nanoseconds


@dataclass(slots=True, repr=False)
class Usage(FullRepr):
    """What models used, as stored assistant messages told.

    Attributes:
        messages: How many such messages there are, also of those that told nothing.
        input: Tokens that models were given.
        output: Tokens that they made.
        total: Both.
        cached: Of the input, what came from a provider's cache.
        reasoning: Of the output, what was reasoning.
        by_model: The same for each model, by its name; "" for messages that name none.
        by_day: The same for each day in UTC, as in "2026-11-23"; of a session, nothing.
    """

    messages: int = 0
    input: int = 0
    output: int = 0
    total: int = 0
    cached: int = 0
    reasoning: int = 0
    by_model: dict[str, Usage] = field(default_factory=dict)
    by_day: dict[str, Usage] = field(default_factory=dict)
