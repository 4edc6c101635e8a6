"""Tracks: named side streams of JSON payloads in a session."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from langchain_redis_session._codec.session_record import change_state, get_core, parse_record
from langchain_redis_session._codec.track_events import decode_track_event, encode_track_event
from langchain_redis_session._flow.requests import Flow
from langchain_redis_session._operations.attempts import Attempts
from langchain_redis_session._operations.bounds import Bounds, format_score
from langchain_redis_session._operations.context import Context
from langchain_redis_session._operations.replicas import call_append
from langchain_redis_session._operations.state import check_record_size
from langchain_redis_session._operations.stretch import Stretch
from langchain_redis_session.errors import (
    EventTooLargeError,
    SessionNotFoundError,
    UnserializableMessageError,
)
from langchain_redis_session.models import SessionKey, TrackEvent
from langchain_redis_session.scripts import bindings
from langchain_redis_session.scripts.bindings import Entry
from langchain_redis_session.scripts.replies import Status


@dataclass(slots=True, eq=False)
class PreparedTrackEvents:
    """Events of one track that were checked and encoded, to be appended together."""

    track: str
    events: Sequence[TrackEvent]
    entries: Sequence[Entry]
    """What is stored of each."""

    @property
    def members(self) -> list[bytes]:
        """The JSON of each event."""
        return [entry.member for entry in self.entries]

    def can_join(self, other: object) -> bool:
        """Whether one call can append both."""
        return isinstance(other, PreparedTrackEvents) and self.track == other.track

    @classmethod
    def join(cls, parts: Sequence[PreparedTrackEvents]) -> PreparedTrackEvents:
        """Put parts of one track together, in order."""
        return cls(
            parts[0].track,
            [event for part in parts for event in part.events],
            [entry for part in parts for entry in part.entries],
        )

    @classmethod
    def restore(cls, track: str, members: Sequence[bytes]) -> PreparedTrackEvents:
        """Make it again of the encoded events.

        Raises:
            CorruptEventError: They can't be read.
        """
        events = [decode_track_event(member) for member in members]
        entries = [_make_entry(*pair) for pair in zip(events, members, strict=True)]
        return cls(track, events, entries)


def prepare_track_events(
    context: Context, track: str, events: Sequence[TrackEvent]
) -> PreparedTrackEvents:
    """Check and encode events of one track.

    Raises:
        UnserializableMessageError: A payload is not JSON.
        EventTooLargeError: A payload's JSON is over `max_event_bytes`.
    """
    entries: list[Entry] = []
    for place, event in enumerate(events):
        try:
            data = encode_track_event(event, context.conversions)
        except UnserializableMessageError as error:
            if len(events) == 1:
                raise
            text = f"payloads[{place}]{str(error).removeprefix('payload')}"
            raise UnserializableMessageError(text) from error.__cause__
        if len(data) > context.options.max_event_bytes:
            raise EventTooLargeError(
                f"a payload for track {track!r} has {len(data):,} bytes of JSON, the most is "
                f"{context.options.max_event_bytes:,}; keep it smaller, or raise max_event_bytes"
            )
        entries.append(_make_entry(event, data))
    return PreparedTrackEvents(track, events, entries)


def _make_entry(event: TrackEvent, member: bytes) -> Entry:
    return Entry(score=format_score(event.time_ns), member=member)


def append_prepared_track_events(
    context: Context, key: SessionKey, prepared: PreparedTrackEvents
) -> Flow[None]:
    """Append events to one track, in one script; the first one makes the track.

    Raises:
        SessionNotFoundError: There is no such session.
        StateTooLargeError: Its record has no room for the name of a new track.
    """
    options, keys, track = context.options, context.keyspace.session(key), prepared.track
    expected = replacement = b""
    attempts = Attempts(key, f"add track {track!r} to")
    while True:
        attempts.begin()
        call = bindings.append_track_events(
            keys,
            track=track,
            event_limit=options.track_event_limit,
            session_ttl_ms=options.session_ttl,
            track_ttl_ms=options.track_ttl_ms,
            try_field_ttl=context.try_field_ttl,
            expected=expected,
            replacement=replacement,
            entries=prepared.entries,
        )
        reply = yield from call_append(context, key, call)
        if reply.status is Status.OK:
            context.note_field_ttl(reply.field_ttl)
            context.count_written(prepared.members, reply.fates)
            for event, score in zip(prepared.events, reply.scores, strict=True):
                event.score = score
            return
        if reply.status is Status.MISSING:
            raise SessionNotFoundError(
                f"there is no session {key}; create it with create_session() before its tracks"
            )
        expected = get_core(reply.record)
        replacement = change_state(reply.record, key.session_id, set_values={}, add_tracks=[track])
        check_record_size(context, len(replacement), before=len(expected))


def get_track_events(
    context: Context, key: SessionKey, track: str, bounds: Bounds
) -> Flow[list[TrackEvent]]:
    """Read a track's events, oldest first."""
    stretch = Stretch(
        context=context,
        key=context.keyspace.session(key).track(track),
        bounds=bounds,
        decode=decode_track_event,
        event_limit=context.options.track_event_limit,
    )
    yield from stretch.read()
    return stretch.items


def list_tracks(context: Context, key: SessionKey) -> Flow[list[str]]:
    """The names of a session's tracks, in the order they were made."""
    keys = context.keyspace.session(key)
    # The script of reads knows whether the session has expired.
    found = yield from bindings.get_session(
        keys, session_ttl_ms=context.options.session_ttl, count=0
    )
    return list(parse_record(found.record).tracks) if found.record else []
