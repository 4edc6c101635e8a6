"""Verbs on tracks."""

from __future__ import annotations

import time
from typing import Any

from langchain_redis_session._flow import Flow, Submit
from langchain_redis_session._operations import tracks, windows
from langchain_redis_session._operations.windows import Moment, make_bounds
from langchain_redis_session._verbs.base import (
    FlowRunner,
    async_verb,
    check_key,
    scope_of,
    sync_verb,
)
from langchain_redis_session.models import SessionKey, TrackEvent, validate_id


class TrackVerbs(FlowRunner):
    """Append to tracks and read them."""

    def _append_track_event(
        self,
        key: SessionKey,
        track: str,
        payload: Any,
        timestamp: Moment | None = None,
    ) -> Flow[TrackEvent]:
        """Append a payload to a track of a session; the first one makes the track.

        Args:
            key: The session.
            track: The track's name.
            payload: Any JSON value.
            timestamp: When it happened (a datetime with a zone, or ns); default: now.

        Raises:
            SessionNotFoundError: There is no such session.
            UnserializableMessageError: The payload is not JSON.
        """
        validate_id(track, "track")
        time_ns = time.time_ns() if timestamp is None else windows.to_nanoseconds(timestamp)
        event = TrackEvent(track, payload, time_ns=time_ns)
        return self._append_track(check_key(key), event)

    append_track_event = sync_verb(_append_track_event)
    aappend_track_event = async_verb(_append_track_event)

    def _append_track(self, key: SessionKey, event: TrackEvent) -> Flow[TrackEvent]:
        prepared = tracks.prepare_track_events(self._context, event.track, [event])
        if not self._is_write_behind:
            yield from tracks.append_prepared_track_events(self._context, key, prepared)
        else:
            yield Submit(key, prepared)
        return event

    def _get_track_events(
        self,
        key: SessionKey,
        track: str,
        *,
        limit: int | None = None,
        after: Moment | None = None,
        before: Moment | None = None,
        offset: int = 0,
        strict: bool = False,
    ) -> Flow[list[TrackEvent]]:
        """Read a track's events, oldest first; arguments as `get_session`."""
        bounds = make_bounds(limit, after, before, offset, None, strict)
        flow = tracks.get_track_events(
            self._context, check_key(key), validate_id(track, "track"), bounds
        )
        return self._settled(scope_of(key), flow)

    get_track_events = sync_verb(_get_track_events)
    aget_track_events = async_verb(_get_track_events)

    def _list_tracks(self, key: SessionKey) -> Flow[list[str]]:
        """The names of a session's tracks, in the order they were made."""
        flow = tracks.list_tracks(self._context, check_key(key))
        return self._settled(scope_of(key), flow)

    list_tracks = sync_verb(_list_tracks)
    alist_tracks = async_verb(_list_tracks)
