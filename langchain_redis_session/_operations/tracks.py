"""Tracks: named side streams of JSON payloads in a session."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from langchain_redis_session._codec.session_record import change_state, get_core, parse_record
from langchain_redis_session._codec.track_events import decode_track_event, encode_track_event
from langchain_redis_session._flow.requests import Argument, Flow
from langchain_redis_session._flow.scripts import call_script
from langchain_redis_session._operations.bounds import Bounds, format_score
from langchain_redis_session._operations.context import Context
from langchain_redis_session._operations.replicas import call_write
from langchain_redis_session._operations.window import Window
from langchain_redis_session.errors import (
    BackendUnavailableError,
    EventTooLargeError,
    SessionNotFoundError,
    UnserializableMessageError,
)
from langchain_redis_session.models import SessionKey, TrackEvent

_MOST_TRIES = 100


@dataclass(frozen=True, slots=True)
class PreparedTrackEvents:
    """Events of one track that were checked and encoded, to be appended together."""

    track: str
    events: Sequence[TrackEvent]
    entries: list[Argument]
    """Score and member of each, as the script takes them."""

    @property
    def members(self) -> list[bytes]:
        """The JSON of each event."""
        return cast("list[bytes]", self.entries[1::2])

    def can_join(self, other: object) -> bool:
        """Whether one call can append both."""
        return isinstance(other, PreparedTrackEvents) and self.track == other.track

    @classmethod
    def join(cls, parts: Sequence[PreparedTrackEvents]) -> PreparedTrackEvents:
        """Put parts of one track together, in order."""
        return cls(
            parts[0].track,
            [event for part in parts for event in part.events],
            [argument for part in parts for argument in part.entries],
        )

    @classmethod
    def restore(cls, track: str, members: Sequence[bytes]) -> PreparedTrackEvents:
        """Make it again of the encoded events.

        Raises:
            CorruptEventError: They can't be read.
        """
        events = [decode_track_event(member) for member in members]
        entries: list[Argument] = []
        for event, member in zip(events, members, strict=True):
            entries += (format_score(event.time_ns), member)
        return cls(track, events, entries)


def prepare_track_events(
    context: Context, track: str, events: Sequence[TrackEvent]
) -> PreparedTrackEvents:
    """Check and encode events of one track.

    Raises:
        UnserializableMessageError: A payload is not JSON.
        EventTooLargeError: A payload's JSON is over `max_event_bytes`.
    """
    entries: list[Argument] = []
    for place, event in enumerate(events):
        try:
            data = encode_track_event(event, context.conversions)
        except UnserializableMessageError as error:
            raise UnserializableMessageError(f"payloads[{place}]: {error}") from error.__cause__
        if len(data) > context.options.max_event_bytes:
            raise EventTooLargeError(
                f"a payload for track {track!r} has {len(data):,} bytes of JSON, the most is "
                f"{context.options.max_event_bytes:,}; keep it smaller, or raise max_event_bytes"
            )
        entries += (format_score(event.time_ns), data)
    return PreparedTrackEvents(track, events, entries)


def append_prepared_track_events(
    context: Context, key: SessionKey, prepared: PreparedTrackEvents
) -> Flow[None]:
    """Append events to one track, in one script; the first one makes the track."""
    options, keys, track = context.options, context.keyspace.session(key), prepared.track
    script_keys = [*keys.common, keys.track(track)]
    expected = replacement = b""
    for _ in range(_MOST_TRIES):
        status, *reply = yield from call_write(
            context,
            key,
            "append_track_events",
            script_keys,
            [
                keys.session_field,
                track.encode(),
                options.track_event_limit or 0,
                options.session_ttl,
                options.track_ttl_ms,
                context.field_ttl_flag,
                expected,
                replacement,
                keys.summary_field,
                *prepared.entries,
            ],
        )
        if status == b"OK":
            _, field_ttl, fates, scores = reply
            context.note_field_ttl(field_ttl)
            context.count_written(prepared.members, fates)
            for event, score in zip(prepared.events, scores, strict=True):
                event.score = float(score) if score else None
            return
        if status == b"MISSING":
            raise SessionNotFoundError(
                f"there is no session {key}; create it with create_session() before its tracks"
            )
        record: bytes = reply[0]
        expected = get_core(record)
        replacement = change_state(record, key.session_id, set_values={}, add_tracks=[track])
    raise BackendUnavailableError(
        f"gave up after {_MOST_TRIES} tries to add track {track!r} to {key}: others change its "
        "state all the time; try again"
    )


def get_track_events(
    context: Context, key: SessionKey, track: str, bounds: Bounds
) -> Flow[list[TrackEvent]]:
    """Read a track's events, oldest first."""
    window = Window(
        context,
        context.keyspace.session(key).track(track),
        bounds,
        decode_track_event,
        context.options.track_event_limit,
    )
    yield from window.read()
    return window.items


def list_tracks(context: Context, key: SessionKey) -> Flow[list[str]]:
    """The names of a session's tracks, in the order they were made."""
    keys = context.keyspace.session(key)
    # The script of reads knows whether the session has expired.
    reply = yield from call_script(
        "get_session",
        [keys.sessions, keys.events, keys.summaries],
        [keys.session_field, keys.summary_field, 0, 0, 0, 0, 0],
    )
    return list(parse_record(reply[0]).tracks) if reply and reply[0] else []
