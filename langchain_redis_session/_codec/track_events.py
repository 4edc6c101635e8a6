"""Track events <-> the JSON that stands in Redis."""

from __future__ import annotations

import orjson

from langchain_redis_session._codec.conversions import Conversions
from langchain_redis_session._codec.corruption import allow, decoder
from langchain_redis_session._codec.events import read_time, to_text, write_time
from langchain_redis_session._codec.message_reader import text_member
from langchain_redis_session._codec.plain_json import load
from langchain_redis_session._codec.tags import TAG_BYTES, embed, read_value
from langchain_redis_session.errors import CorruptEventError
from langchain_redis_session.models import TrackEvent


def encode_track_event(event: TrackEvent, conversions: Conversions | None = None) -> bytes:
    """Write a track event; other programs read its payload as JSON.

    Args:
        event: Any event.
        conversions: Who hears of what JSON can't carry; None = it is refused.

    Raises:
        UnserializableMessageError: Something in it can't be JSON, and there are no
            `conversions`; the text names the path to it.

    >>> encode_track_event(TrackEvent("tools", {"ms": 3}, id="t1", time_ns=0)).decode()
    '{"id":"t1","track":"tools","payload":{"ms":3},"timestamp":"1970-01-01T00:00:00.000000000Z"}'
    """
    return orjson.dumps(
        {
            "id": to_text(event.id, "id"),
            "track": to_text(event.track, "track"),
            "payload": embed(event.payload, "payload", conversions),
            "timestamp": write_time(event.time_ns),
        }
    )


@decoder("an entry of a track")
def decode_track_event(data: bytes) -> TrackEvent:
    """Read a track event.

    Raises:
        CorruptEventError: These bytes are no track event.
    """
    try:
        document = load(data)
    except ValueError:
        raise CorruptEventError("an entry of a track is not JSON") from None
    if type(document) is not dict:
        raise CorruptEventError("an entry of a track is not an object")
    track = text_member(document, "track")
    if not track:
        raise CorruptEventError("an entry of a track has no track name")
    allow(document, data)
    payload = document.get("payload")
    return TrackEvent(
        track=track,
        payload=read_value(payload) if TAG_BYTES in data else payload,
        id=text_member(document, "id"),
        time_ns=read_time(document),
    )
