"""Reading one session: its record, its events, its summary, and the state around it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any, NamedTuple

from langchain_core.messages import BaseMessage

from langchain_redis_session._codec.session_record import (
    NO_RECORD,
    Record,
    get_created_text,
    parse_created,
)
from langchain_redis_session._codec.summary_record import find_cutoff, find_system_scores
from langchain_redis_session._display.lists import EventList
from langchain_redis_session._flow.requests import Command, Flow, off_loop
from langchain_redis_session._flow.scripts import ScriptCall, call_batch
from langchain_redis_session._operations.bounds import Bounds
from langchain_redis_session._operations.context import Context
from langchain_redis_session._operations.decoding import (
    decode_summaries,
    format_cutoff,
    parse_sound_record,
)
from langchain_redis_session._operations.lifetime import refresh_lifetime
from langchain_redis_session._operations.matching import has_message, is_below, is_whole
from langchain_redis_session._operations.pages import LARGEST_PAGE, page_command, parse_page_reply
from langchain_redis_session._operations.state import decode_shared_state
from langchain_redis_session._operations.stretch import Stretch, make_event_stretch
from langchain_redis_session._times import to_datetime
from langchain_redis_session.errors import CorruptEventError
from langchain_redis_session.models import (
    Event,
    Session,
    SessionKey,
    SummarizedMessages,
    Summary,
    drop_first_results,
    list_messages,
    select_messages,
)
from langchain_redis_session.scripts import bindings
from langchain_redis_session.scripts.bindings import End
from langchain_redis_session.scripts.replies import Page, Status, StoredSession


def _is_any(_event: Event) -> bool:
    return True


def get_session(
    context: Context,
    key: SessionKey,
    bounds: Bounds,
    wants: Callable[[Event], bool] = _is_any,
) -> Flow[Session | None]:
    """Read a session, its state and the events it `wants`; None if there is none."""
    return (yield from _read(Reading(context, key, bounds, wants=wants), counts_as_use=True))


def get_events(context: Context, key: SessionKey, bounds: Bounds) -> Flow[list[Event]]:
    """Read a session's events, oldest first."""
    stretch = make_event_stretch(context, context.keyspace.session(key), bounds)
    page, *_ = yield from _read_first(context, key, stretch)
    yield from stretch.take_first(page)
    yield from stretch.finish()
    return stretch.items


def get_messages(context: Context, key: SessionKey, bounds: Bounds) -> Flow[list[BaseMessage]]:
    """Read a session's messages, oldest first, never starting with an orphaned tool result."""
    keys = context.keyspace.session(key)
    stretch = make_event_stretch(context, keys, bounds, has_message, needs_scores=False)
    messages = yield from _read_messages(context, key, stretch)
    # A stretch that begins with a user message may be longer than its limit.
    limit = None if bounds.start_on else bounds.limit
    return drop_first_results(messages, is_cut=stretch.is_cut, limit=limit)


def get_messages_for_model(
    context: Context, key: SessionKey, bounds: Bounds, *, include_interrupted: bool = False
) -> Flow[SummarizedMessages]:
    """Read the messages that a model's window is made of, without a summary.

    What was cut off is left out unless `include_interrupted`.
    """
    keys = context.keyspace.session(key)
    wants = has_message if include_interrupted else is_whole
    stretch = make_event_stretch(context, keys, bounds, wants, needs_scores=False)
    messages = yield from _read_messages(context, key, stretch)
    return SummarizedMessages(None, messages, stretch.is_cut)


def _read_messages(
    context: Context, key: SessionKey, stretch: Stretch[Event]
) -> Flow[list[BaseMessage]]:
    page, *fronts = yield from _read_first(context, key, stretch)
    messages = yield from stretch.take_usual(page, *fronts)
    if messages is None:
        stretch.take_front(*fronts)
        yield from stretch.take_first(page)
        yield from stretch.finish()
        messages = yield from _take_messages(stretch)
    return messages


def _take_messages(stretch: Stretch[Event]) -> Flow[list[BaseMessage]]:
    def take() -> list[BaseMessage]:
        events, stretch.items = stretch.items, []
        return list_messages(events)

    # Of many, the events alone take their time to be let go.
    if len(stretch.items) <= LARGEST_PAGE:
        return take()
    return (yield from off_loop(take))


def _read_first(context: Context, key: SessionKey, stretch: Stretch[Event]) -> Flow[list[Any]]:
    """Give the replies to a stretch's first read and to its front reads."""
    first, front_reads = stretch.first_read(), stretch.front_reads()
    refreshes = context.options.refresh_ttl_on_read
    if not front_reads and not refreshes:
        reply = (yield from first) if isinstance(first, ScriptCall) else (yield first)
        return [reply]
    refresh = [refresh_lifetime(context, key)] if refreshes else []
    replies = yield from call_batch([first, *front_reads, *refresh])
    if refreshes:
        context.note_field_ttl(replies.pop().field_ttl)
    return replies


def get_summarized_messages(
    context: Context, key: SessionKey, bounds: Bounds
) -> Flow[SummarizedMessages]:
    """Read a session's summary and the messages that it does not cover."""
    session = yield from get_since_summary(context, key, bounds)
    return select_summarized(session, bounds.limit)


def select_summarized(session: Session | None, limit: int | None) -> SummarizedMessages:
    """Take the summary and the last messages out of a session."""
    if session is None:
        return SummarizedMessages(None, [])
    summary, events = session.summary, session.events
    cutoff = -math.inf if summary is None else summary.boundary.cutoff_score
    # System messages that the summary leaves as they are.
    front = [*takewhile(lambda event: event.score is not None and event.score <= cutoff, events)]
    rest = events[len(front) :]
    messages = select_messages(rest, is_cut=session.is_cut, limit=limit)
    is_cut = session.is_cut or len(messages) < len(list_messages(rest))
    return SummarizedMessages(
        summary, list_messages(front) + messages, is_cut or summary is not None
    )


def get_since_summary(
    context: Context,
    key: SessionKey,
    bounds: Bounds,
    *,
    with_state: bool = False,
    wants: Callable[[Event], bool] = has_message,
) -> Flow[Session | None]:
    """Read a session's summary and the events with messages that it does not cover."""
    reading = Reading(
        context,
        key,
        bounds,
        wants=wants,
        since_summary=True,
        with_state=with_state,
        with_front=True,
    )
    return (yield from _read(reading, counts_as_use=True))


class Unsummarized(NamedTuple):
    """A session with the events of a filter key that its summary does not cover.

    Attributes:
        session: The session.
        created_text: What tells it from a later one of the same id.
        cutoff: The score that our stored summary goes to; b"" for none.
        system_scores: Those of the system messages that it leaves as they are.
    """

    session: Session
    created_text: bytes
    cutoff: bytes
    system_scores: Sequence[str] = ()

    @property
    def idle_cutoff(self) -> bytes:
        """The cutoff of a stored summary that counts for nothing; b"" for none."""
        return b"" if self.cutoff == format_cutoff(self.session.summary).encode() else self.cutoff


def get_unsummarized(
    context: Context, key: SessionKey, filter_key: str, *, at_least: int
) -> Flow[Unsummarized | None]:
    """Read what there is to summarize; no events where they are fewer than `at_least`.

    It does not refresh the TTL.
    """
    reading = Reading(
        context,
        key,
        Bounds(),
        wants=lambda event: is_below(event.filter_key, filter_key),
        since_summary=True,
        filter_key=filter_key,
        at_least=at_least,
    )
    session = yield from _read(reading, counts_as_use=False)
    if session is None or not reading.record:
        return None
    ours = reading.ours
    created_text = get_created_text(reading.record)
    return Unsummarized(session, created_text, find_cutoff(ours), find_system_scores(ours))


def _read(reading: Reading, *, counts_as_use: bool) -> Flow[Session | None]:
    context, call, far_calls = reading.context, reading.call(), reading.far_calls()
    front_reads = reading.stretch.front_reads()
    if counts_as_use and context.options.refresh_ttl_on_read:
        refresh = refresh_lifetime(context, reading.key)
        *replies, refreshed = yield from call_batch([call, *far_calls, *front_reads, refresh])
        context.note_field_ttl(refreshed.field_ttl)
    elif far_calls or front_reads:
        replies = yield from call_batch([call, *far_calls, *front_reads])
    else:
        replies = [(yield from call)]
    if front_reads:
        reading.stretch.take_front(replies.pop())
    return (yield from reading.complete(*replies))


class Reading:
    """One session being read.

    Args:
        context: Options and key names.
        key: The session.
        bounds: Which of its events.
        wants: Which of these to keep; default: all.
        filter_key: Whose summary to read.
        since_summary: Whether only events that this summary does not cover are read.
        with_state: Whether the app's and the user's state is read.
        at_least: Give no events if there are fewer.
        with_front: Whether system messages that the summary leaves as they are stand in front.
    """

    def __init__(
        self,
        context: Context,
        key: SessionKey,
        bounds: Bounds,
        *,
        wants: Callable[[Event], bool] = _is_any,
        filter_key: str = "",
        since_summary: bool = False,
        with_state: bool = True,
        at_least: int = 0,
        with_front: bool = False,
    ) -> None:
        self.context, self.key = context, key
        self.keys = context.keyspace.session(key)
        self.stretch = make_event_stretch(
            context, self.keys, bounds, wants, since_summary=since_summary
        )
        self.filter_key = filter_key
        self._since_summary, self._at_least = since_summary, at_least
        self._with_state, self._with_front = with_state, with_front
        self._app_state_is_near = context.options.hash_tag == "app"
        self.record = self.ours = b""

    def call(self) -> ScriptCall[StoredSession]:
        """What reads it."""
        bounds = self.stretch.bounds
        return bindings.get_session(
            self.keys,
            session_ttl_ms=self.context.options.session_ttl,
            filter_key=self.filter_key,
            at_least=self._at_least,
            highest=bounds.highest,
            lowest=bounds.lowest,
            since_summary=self._since_summary,
            count=self.stretch.ask_first(),
            with_user_state=self._with_state,
            with_app_state=self._app_state_is_near,
        )

    def far_calls(self) -> list[Command]:
        """What reads the app's state where the script can't reach it."""
        is_far = self._with_state and not self._app_state_is_near
        return [("HGETALL", self.keys.app_state)] if is_far else []

    def complete(
        self, stored: StoredSession, far_app_state: Mapping[bytes, bytes] | None = None
    ) -> Flow[Session | None]:
        """Make the session of the replies, with further reads where entries were skipped."""
        if stored.status is Status.MISSING:
            return None
        record, ours, page = stored.record, stored.summary, stored.page
        if not record and not page.size:
            return None
        self.record, self.ours = record, ours
        if self._with_state:
            parsed = yield from parse_sound_record(self.context, self.keys.sessions, record)
            if not parsed.is_readable and self.stretch.bounds.strict:
                raise CorruptEventError(
                    f"the record of {self.key} is gone or can't be read; read without "
                    "strict=True to have its events"
                )
        else:
            parsed = NO_RECORD._replace(created_ns=parse_created(record), is_readable=True)
        found = {self.filter_key: ours}
        cutoff = stored.foreign_cutoff
        cutoffs = {} if cutoff is None else {self.filter_key: cutoff}
        summaries = yield from decode_summaries(
            self.context, self.keys, parsed, found, stored.foreign, cutoffs
        )
        summary = summaries.get(self.filter_key)
        if self._since_summary:
            ends = [float(find_cutoff(ours) or "-inf"), *cutoffs.values()]
            page = yield from self._start_at_summary(summary, max(ends), page)
            if self._with_front:
                self.stretch.take_kept(stored.front)
        yield from self.stretch.take_first(page)
        yield from self.stretch.finish()
        app_state = stored.app_state if far_app_state is None else far_app_state
        shared_state = yield from decode_shared_state(app_state, stored.user_state)
        if not parsed.is_readable:
            parsed = yield from take_times_of_events(self.keys.events, parsed)
        return make_session(self.key, parsed, shared_state, self.stretch, summary)

    def _start_at_summary(self, summary: Summary | None, began: float, page: Page) -> Flow[Page]:
        """Let the stretch begin where the summary ends; read again if the script's did not.

        It doesn't know which summaries can't be read or are of an earlier session.
        """
        stretch = self.stretch
        cutoff = format_cutoff(summary)
        lowest = f"({cutoff}" if cutoff else "-inf"
        stretch.bounds = stretch.bounds._replace(lowest=lowest)
        if float(cutoff or "-inf") == began:
            return page
        return (
            yield from bindings.read_events(
                self.keys.events,
                highest=stretch.bounds.highest,
                lowest=lowest,
                count=stretch.ask_first(),
            )
        )


@dataclass(frozen=True, slots=True, repr=False)
class WindowSession(Session):
    """A session as a window for a model is made of it.

    Attributes:
        cuts: The event ids that stable windows begin with, by the windows' names.
    """

    cuts: Mapping[str, Any] = field(default_factory=dict)


def make_session(
    key: SessionKey,
    record: Record,
    shared_state: dict[str, Any],
    stretch: Stretch[Event] | None,
    summary: Summary | None = None,
) -> Session:
    """Put a session together; without a stretch, its events were not read."""
    is_for_model = stretch is not None and stretch.bounds.for_model
    more: dict[str, Any] = {"cuts": record.cuts} if is_for_model else {}
    events = stretch.items if stretch else []
    return (WindowSession if is_for_model else Session)(
        **more,
        key=key,
        state={**record.state, **shared_state},
        events=events if is_for_model else EventList(events),
        tracks=record.tracks,
        created_at=to_datetime(record.created_ns),
        updated_at=to_datetime(record.updated_ns),
        is_cut=stretch.is_cut if stretch else True,
        summary=summary,
        missing=() if record.is_readable else ("record",),
    )


def take_times_of_events(events_key: bytes, record: Record) -> Flow[Record]:
    """Let a record that can't be read have the times of the session's first and last event."""
    pages = yield from call_batch(
        [page_command(events_key, first=first, count=1) for first in (End.OLDEST, End.NEWEST)]
    )
    scores = [float(score) for page in pages for score in parse_page_reply(page)[1]]
    times = [int(score) if math.isfinite(score) else 0 for score in scores] or [0, 0]
    return record._replace(created_ns=times[0], updated_ns=times[-1])
