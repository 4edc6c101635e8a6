"""Methods on tracks."""

from collections.abc import Sequence
from typing import Any

from langchain_redis_session._actions import appends
from langchain_redis_session._codec.sizes import estimate
from langchain_redis_session._display.lists import TrackEventList
from langchain_redis_session._flow.requests import LARGE_BYTES, Flow, compute
from langchain_redis_session._observe import operations
from langchain_redis_session._operations import tracks
from langchain_redis_session._operations.bounds import Moment, make_bounds, to_nanoseconds
from langchain_redis_session._verbs.arguments import (
    check_flags,
    check_key,
    list_payloads,
)
from langchain_redis_session._verbs.runner import (
    FlowRunner,
    async_method,
    listed,
    sync_method,
)
from langchain_redis_session.errors import ConfigurationError, shorten
from langchain_redis_session.models import SessionKey, TrackEvent, validate_id


class TrackMethods(FlowRunner):
    """Append to tracks and read them."""

    @sync_method
    def append_track_event(
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
            payload: Any value; see the option `unserializable`.
            timestamp: When it happened (a datetime with a zone, or ns); default: now.

        Raises:
            SessionNotFoundError: There is no such session.
            UnserializableMessageError: The payload is not JSON, with
                `unserializable="raise"`.
        """
        check_key(key)
        validate_id(track, "track")
        time_ns = self._clock() if timestamp is None else to_nanoseconds(timestamp)
        event = TrackEvent(track, payload, time_ns=time_ns)
        flow = _first(self._append_track(key, track, [event]))
        return self._observed(operations.APPEND_TRACK_EVENT, key, flow, events=[event])

    aappend_track_event = async_method(append_track_event)

    @sync_method
    def append_track_events(
        self, key: SessionKey, track: str, payloads: Sequence[Any]
    ) -> Flow[list[TrackEvent]]:
        """Append payloads to a track of a session, all or none, in one round trip.

        Args:
            key: The session.
            track: The track's name; the first payload makes the track.
            payloads: Any values. A `TrackEvent` of this track stands for itself, with
                its id and time: sent again, it is not stored again.

        Returns:
            The events, in order.

        Raises:
            SessionNotFoundError: There is no such session.
            UnserializableMessageError: A payload is not JSON, with
                `unserializable="raise"`.
            EventTooLargeError: A payload's JSON is over `max_event_bytes`.

        Example:
            >>> from langchain_redis_session import RedisSessionService
            >>> service = RedisSessionService("memory://")
            >>> key = service.create_session("shop", "ann").key
            >>> events = service.append_track_events(key, "steps", ["look", {"found": 2}])
            >>> [event.payload for event in service.get_track_events(key, "steps")]
            ['look', {'found': 2}]
        """
        check_key(key)
        validate_id(track, "track")
        now_ns = self._clock()
        events = [
            payload
            if isinstance(payload, TrackEvent)
            else TrackEvent(track, payload, time_ns=now_ns)
            for payload in list_payloads("payloads", payloads)
        ]
        for event in events:
            if event.track != track:
                raise ConfigurationError(
                    f"an event of track {shorten(event.track)} can't go to track {shorten(track)}"
                )
        flow = listed(TrackEventList, self._append_track(key, track, events))
        return self._observed(operations.APPEND_TRACK_EVENT, key, flow, events=events)

    aappend_track_events = async_method(append_track_events)

    def _append_track(
        self, key: SessionKey, track: str, events: list[TrackEvent]
    ) -> Flow[list[TrackEvent]]:
        size = estimate([event.payload for event in events], LARGE_BYTES)
        prepared = yield from compute(
            lambda: tracks.prepare_track_events(self._context, track, events), size
        )
        if not events:
            return events
        if self._write_behind is None:
            yield from tracks.append_prepared_track_events(self._context, key, prepared)
        else:
            yield from appends.submit(self._actions.hooks, key, prepared)
        return events

    @sync_method
    def get_track_events(
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
        check_key(key)
        validate_id(track, "track")
        check_flags(strict=strict)
        bounds = make_bounds(limit, after, before, offset, None, strict)
        flow = tracks.get_track_events(self._context, key, track, bounds)
        return listed(TrackEventList, self._settled(key.scope, flow))

    aget_track_events = async_method(get_track_events)

    @sync_method
    def list_tracks(self, key: SessionKey) -> Flow[list[str]]:
        """The names of a session's tracks, in the order they were made."""
        flow = tracks.list_tracks(self._context, check_key(key))
        return self._settled(key.scope, flow)

    alist_tracks = async_method(list_tracks)


def _first(flow: Flow[list[TrackEvent]]) -> Flow[TrackEvent]:
    (event,) = yield from flow
    return event
