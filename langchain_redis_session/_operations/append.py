"""Writing events and state."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from langchain_redis_session._codec.session_record import (
    change_state,
    get_core,
    measure_state,
    start_record,
)
from langchain_redis_session._flow.requests import Command, Flow, compute
from langchain_redis_session._flow.scripts import ScriptCall, ScriptMissingError, with_source
from langchain_redis_session._keys.zset import SessionKeys
from langchain_redis_session._logs import logger
from langchain_redis_session._operations.attempts import Attempts
from langchain_redis_session._operations.context import Context
from langchain_redis_session._operations.delete_session import purge_expired
from langchain_redis_session._operations.message_index import build_message_index
from langchain_redis_session._operations.prepared import PreparedEvents
from langchain_redis_session._operations.replicas import call_append
from langchain_redis_session._operations.state import (
    NO_CHANGE,
    StateChange,
    check_record_size,
    update_app_state,
)
from langchain_redis_session._operations.usage import measure
from langchain_redis_session.config import DEFAULT_EVENT_LIMIT
from langchain_redis_session.errors import SessionNotFoundError
from langchain_redis_session.models import AppendResult, Event, SessionKey
from langchain_redis_session.scripts import bindings, usual_append
from langchain_redis_session.scripts.bindings import Create, StateWrite
from langchain_redis_session.scripts.replies import Appended, Fate, Status, parse_appended

_MOST_LOSING = 1000
_MOST_BEGUN = 1024
_WRITTEN = (Fate.FRESH, Fate.STORED)


@lru_cache(maxsize=1024)
def _start_stateless_record(session_id: str, event_limit: int | None) -> bytes:
    return start_record(session_id, {}, event_limit)


@dataclass(slots=True, eq=False, kw_only=True)
class _Write:
    """One call of the append script, until it went through.

    Attributes:
        context: Options and what was learned about the server.
        key: The session.
        keys: Its keys.
        prepared: The events, and the changes of state by their event's place.
        create: Whether the session may be created.
        drop_names: Names to remove from the session's state.
        more_summaries: The summaries that live on with this write, beside the session's own:
            those that cover the events' filter keys.
        fresh: The places of the events that are expected to be new.
        record: The record to change; None before it was asked for.
        index_build: The build of the message index, where it had to be built.
    """

    context: Context
    key: SessionKey
    keys: SessionKeys
    prepared: PreparedEvents
    create: Create
    drop_names: Collection[str]
    more_summaries: Sequence[bytes]
    fresh: Collection[int]
    record: bytes | None = None
    index_build: bytes = b""

    @property
    def state_bytes(self) -> int:
        """About how much state there is to encode."""
        size = len(self.record or b"")
        for change in self.prepared.changes.values():
            size += measure_state(change.session)
        return size

    def call(self) -> ScriptCall[Appended]:
        options, entries = self.context.options, self.prepared.entries
        events = self.prepared.events
        change = self._merge(self.fresh)
        return bindings.append_events(
            self.keys,
            create=self.create,
            record_start=self._start_record(change),
            first_us=_first_us(events) if events and self.create is not Create.NEVER else None,
            event_limit=options.session_event_limit,
            session_ttl_ms=options.session_ttl,
            try_field_ttl=self.context.try_field_ttl,
            once=self.prepared.once and any(entry.message_id for entry in entries),
            index_build=self.index_build,
            count_unsummarized=self.context.counts_unsummarized,
            more_summaries=self.more_summaries,
            entries=entries,
            with_app_state=self._app_state_is_near(),
            uses=measure(events) if options.track_usage else None,
            state=self._state(change),
        )

    def far_app_state(self, fates: Sequence[Fate]) -> dict[str, bytes]:
        """What is left to set after the script, where it can't reach the app's state."""
        if self._app_state_is_near():
            return {}
        if not self.prepared.entries:
            return self._merge(self.fresh).app
        # Of stored events too: a try before this one may have stopped half-way.
        return self._merge(place for place, fate in enumerate(fates) if fate in _WRITTEN).app

    def _app_state_is_near(self) -> bool:
        return self.context.options.hash_tag == "app"

    def _merge(self, places: Iterable[int]) -> StateChange:
        changes = self.prepared.changes
        if not changes:
            return NO_CHANGE
        return StateChange.merge(changes[place] for place in places if place in changes)

    def _start_record(self, change: StateChange) -> bytes:
        limit = _new_limit(self.context, self.prepared)
        if change.session:
            start = start_record(self.key.session_id, change.session, limit)
            check_record_size(self.context, len(start))
            return start
        return _start_stateless_record(self.key.session_id, limit)

    def _state(self, change: StateChange) -> StateWrite | None:
        if not change and not self.drop_names and self.record is None:
            return None
        options = self.context.options
        expected = replacement = b""
        if self.record is not None:
            expected = get_core(self.record)
            replacement = change_state(
                self.record,
                self.key.session_id,
                set_values=change.session,
                drop_names=self.drop_names,
            )
            check_record_size(self.context, len(replacement), before=len(expected))
        return StateWrite(
            changes_session=bool(change.session or self.drop_names),
            expected=expected,
            replacement=replacement,
            made_for=self.fresh if change and self.prepared.entries else (),
            user=change.user,
            user_ttl_ms=options.user_state_ttl,
            app=change.app if self._app_state_is_near() else {},
            app_ttl_ms=options.app_state_ttl,
        )


def append_prepared(
    context: Context, key: SessionKey, prepared: PreparedEvents
) -> Flow[AppendResult]:
    """Append events with their state changes, in one script.

    Raises:
        SessionNotFoundError: There is no such session, and it may not be created.
        StateTooLargeError: Its record would grow beyond `max_state_bytes`.
    """
    events = prepared.events
    if not events:
        return AppendResult([], 0, 0)
    call, reply = _start_usually(context, key, prepared), None
    if call is not None:
        command, scores = call
        try:
            reply = yield command
        except ScriptMissingError:
            reply = yield with_source(command)
        if type(reply) is int:
            return _finish_usually(context, prepared, scores, reply)
    done = yield from _write(
        context,
        key,
        prepared,
        create=Create.MISSING if prepared.create else Create.NEVER,
        first_reply=reply,
    )
    kept, repeated = [], []
    for event, score, fate in zip(events, done.scores, done.fates, strict=True):
        if score is not None:  # what stands twice in one call has it from the first time
            event.score = score
        if fate in _WRITTEN:
            kept.append(event)
        elif fate is Fate.REPEATED and event.message is not None and event.message.id:
            repeated.append(event.message.id)
    if repeated:
        own = {event.message.id for event in kept if event.message is not None}
        repeated = [found for found in repeated if found not in own]
    context.count_written(prepared.members, done.fates)
    return AppendResult(
        kept[-done.event_limit :] if done.event_limit else kept,
        written=done.fates.count(Fate.FRESH),
        removed=done.removed,
        unsummarized=done.unsummarized,
        repeated=tuple(repeated),
    )


def _start_usually(
    context: Context, key: SessionKey, prepared: PreparedEvents
) -> tuple[Command, Sequence[float]] | None:
    """The call for an append that may be the usual case of the script; None where it can't be.

    It is what `_write` would do first. Nothing is put together anew that stays the same.
    """
    options, events = context.options, prepared.events
    if (
        prepared.changes
        or prepared.filter_keys
        or context.counts_unsummarized
        or options.wait_replicas
        or options.track_usage
        or (prepared.once and any(entry.message_id for entry in prepared.entries))
    ):
        return None
    create = prepared.create
    place = (key, create, prepared.new_event_limit, context.try_field_ttl)
    beginning = context.begun_appends.get(place)
    if beginning is None:
        beginning = usual_append.begin_call(
            context.keyspace.session(key),
            create=Create.MISSING if create else Create.NEVER,
            record_start=_start_stateless_record(key.session_id, _new_limit(context, prepared)),
            event_limit=options.session_event_limit,
            session_ttl_ms=options.session_ttl,
            try_field_ttl=context.try_field_ttl,
        )
        if len(context.begun_appends) >= _MOST_BEGUN:
            context.begun_appends.clear()
        context.begun_appends[place] = beginning
    return usual_append.end_call(beginning, prepared.entries, _first_us(events) if create else None)


def _finish_usually(
    context: Context, prepared: PreparedEvents, scores: Sequence[float], reply: int
) -> AppendResult:
    removed, field_ttl = usual_append.read_reply(reply)
    if field_ttl is not None:
        context.note_field_ttl(field_ttl)
    for event, score in zip(prepared.events, scores, strict=True):
        event.score = score
    counters = context.counters
    counters.events_written += len(scores)
    for entry in prepared.entries:
        counters.bytes_out += len(entry.member)
    return AppendResult(list(prepared.events), len(scores), removed)


def _first_us(events: Sequence[Event]) -> int:
    if len(events) == 1:
        return events[0].time_ns // 1000
    return min(event.time_ns for event in events) // 1000


def _new_limit(context: Context, prepared: PreparedEvents) -> int | None:
    """The event limit of a session that an append creates."""
    limit = context.options.session_event_limit
    return prepared.new_event_limit if limit == "session" else limit


def write_state(
    context: Context,
    key: SessionKey,
    change: StateChange,
    *,
    create: Create = Create.NEVER,
    drop_names: Collection[str] = (),
    new_event_limit: int | None = DEFAULT_EVENT_LIMIT,
) -> Flow[bool]:
    """Change state without an event; gives whether anything was written."""
    prepared = PreparedEvents([], [], {0: change}, new_event_limit=new_event_limit)
    done = yield from _write(context, key, prepared, create=create, drop_names=drop_names)
    return done.status is Status.OK


def _write(
    context: Context,
    key: SessionKey,
    prepared: PreparedEvents,
    *,
    create: Create,
    drop_names: Collection[str] = (),
    first_reply: list[Any] | None = None,
) -> Flow[Appended]:
    """Call the append script until it went through; its last reply is OK or EXISTS.

    `first_reply` is that of a call that was made before.
    """
    keys = context.keyspace.session(key)
    write = _Write(
        context=context,
        key=key,
        keys=keys,
        prepared=prepared,
        create=create,
        drop_names=drop_names,
        more_summaries=_find_summaries(keys, prepared.filter_keys),
        fresh=range(len(prepared.entries) or 1),
    )
    attempts = Attempts(key, "write to")
    while True:
        attempts.begin()
        if first_reply is None:
            call = yield from compute(write.call, write.state_bytes)
            reply = yield from call_append(context, key, call)
        else:
            reply, first_reply = parse_appended(first_reply), None
        if reply.status is Status.OK:
            context.note_field_ttl(reply.field_ttl)
            if reply.lost:
                _note_lost(context, key, reply.lost)
            app_state = write.far_app_state(reply.fates)
            if app_state:
                yield from update_app_state(context, key.app_name, app_state)
            return reply
        if reply.status is Status.EXISTS:
            return reply
        if reply.status is Status.MISSING:
            raise SessionNotFoundError(
                f"there is no session {key}; create it with create_session(), or append with "
                "create=True"
            )
        if reply.status is Status.PURGE:
            yield from purge_expired(context, key)
        elif reply.status is Status.STATE:
            write.record = reply.record
        elif reply.status is Status.FATES:
            write.fresh = [p for p, fate in enumerate(reply.fates) if fate is Fate.FRESH]
        elif reply.status is Status.INDEX:
            write.index_build = yield from build_message_index(context, keys)


def _find_summaries(keys: SessionKeys, filter_keys: Sequence[str]) -> list[bytes]:
    """The fields of the summaries that cover these filter keys, without the session's own."""
    if not filter_keys:  # the usual case
        return []
    # What names the filter keys has to live as long.
    return [*map(keys.summary, _filter_keys_above(filter_keys)), keys.summary_index]


def _filter_keys_above(filter_keys: Iterable[str]) -> list[str]:
    """These filter keys and all that cover them, but for the whole session's.

    >>> _filter_keys_above(["app/tools/search"])
    ['app', 'app/tools', 'app/tools/search']
    """
    found: set[str] = set()
    for name in filter_keys:
        segments = name.split("/")
        found.update("/".join(segments[:end]) for end in range(1, len(segments) + 1))
    return sorted(found)


def _note_lost(context: Context, key: SessionKey, count: int) -> None:
    """Take note of events that went before a summary covered them; once a session, log it."""
    counters = context.counters
    counters.lost_events += count
    if key.scope in counters.losing_sessions or len(counters.losing_sessions) >= _MOST_LOSING:
        return
    counters.losing_sessions.add(key.scope)
    logger.warning(
        "the session's event limit removed events that no summary covered yet, from %s on; "
        "raise session_event_limit, or let summaries be made earlier",
        key,
    )
