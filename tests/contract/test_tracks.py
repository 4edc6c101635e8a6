"""Tracks: side streams of JSON payloads in a session."""

from __future__ import annotations

import math
from base64 import b64decode
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

import pytest

from langchain_redis_session import (
    ConfigurationError,
    InvalidSessionKeyError,
    SessionKey,
    SessionNotFoundError,
    TrackEvent,
    UnserializableMessageError,
)
from tests.contract.backends import Backend, RedisProbe, Verbs
from tests.contract.narrow import one_server
from tests.contract.store import NOON, STEP, Clock, load, read_record, snapshot, tag_of
from tests.unit.messages import same


@pytest.fixture
async def session(verbs: Verbs, key: SessionKey) -> SessionKey:
    await verbs.create_session("shop", "ann", "s1")
    return key


def payloads(events: list[TrackEvent]) -> list[Any]:
    return [event.payload for event in events]


async def test_payloads_come_back_as_they_were_sent(verbs: Verbs, session: SessionKey) -> None:
    sent: list[Any] = [
        *(None, True, 0, 2.5, "text 東京 😀 \x00", [], {}),
        *([1, [2, {"a": None}]], {"n": 2**70, "nested": {"": [""]}}),
    ]
    made = [await verbs.append_track_event(session, "tools", payload) for payload in sent]
    read = await verbs.get_track_events(session, "tools")
    assert payloads(read) == payloads(made) == sent
    assert read == made
    assert [event.score for event in read] == [event.score for event in made]
    assert {event.track for event in read} == {"tools"}
    assert len({event.id for event in read}) == len(sent)


async def test_several_payloads_keep_their_order(verbs: Verbs, session: SessionKey) -> None:
    sent: list[Any] = [1, "two", None, {"three": [3]}, [], 1]
    await verbs.append_track_event(session, "t", 0)
    made = await verbs.append_track_events(session, "t", sent)
    await verbs.append_track_events(session, "other", (7,))
    read = await verbs.get_track_events(session, "t")
    assert payloads(read) == [0, *sent]
    assert read[1:] == made
    assert [event.score for event in read[1:]] == [event.score for event in made]
    assert await verbs.append_track_events(session, "empty", []) == []
    assert await verbs.list_tracks(session) == ["t", "other"]


async def test_events_sent_again_are_stored_once(verbs: Verbs, session: SessionKey) -> None:
    events = [TrackEvent("t", number, time_ns=NOON + number) for number in range(4)]
    await verbs.append_track_events(session, "t", events[:2])
    again = await verbs.append_track_events(session, "t", [*events, "five"])
    read = await verbs.get_track_events(session, "t")
    assert payloads(read) == [0, 1, 2, 3, "five"]
    assert read[:4] == events == again[:4]


async def test_several_at_once_for_a_session_that_is_not_there(
    verbs: Verbs, key: SessionKey
) -> None:
    with pytest.raises(SessionNotFoundError):
        await verbs.append_track_events(key, "t", [1, 2])
    assert await verbs.get_session(key) is None


async def test_tracks_have_names_in_the_order_they_were_made(
    verbs: Verbs, session: SessionKey, redis_probe: RedisProbe, backend: Backend
) -> None:
    names = ["zebra", "a:b", "a", "b:", "{tag}", "50%", "*", "東京"]
    for number, name in enumerate(names):
        await verbs.append_track_event(session, name, number)
    await verbs.append_track_event(session, "zebra", "again")

    assert await verbs.list_tracks(session) == names
    read = await verbs.get_session(session)
    assert read.tracks == tuple(names)
    assert read.state == {}
    for number, name in enumerate(names):
        assert payloads(await verbs.get_track_events(session, name))[0] == number
    tag = tag_of(backend)
    record = load(read_record(redis_probe, session, tag))
    assert load(b64decode(record["state"]["tracks"])) == names
    index = redis_probe.smembers(redis_probe.key(f"trackidx:{tag}:ann:s1"))
    assert index == {name.encode() for name in names}


async def test_a_track_belongs_to_one_session(verbs: Verbs, session: SessionKey) -> None:
    other = SessionKey("shop", "ann", "s1:t")
    await verbs.create_session("shop", "ann", "s1:t")
    await verbs.append_track_event(session, "t:x", 1)
    await verbs.append_track_event(other, "x", 2)
    assert payloads(await verbs.get_track_events(session, "t:x")) == [1]
    assert payloads(await verbs.get_track_events(other, "x")) == [2]
    assert await verbs.get_track_events(session, "x") == []
    assert await verbs.list_tracks(session) == ["t:x"]


async def test_windows_on_a_track(verbs: Verbs, session: SessionKey, clock: Clock) -> None:
    for number in range(1, 6):
        clock.stop_at(NOON + number * STEP)
        await verbs.append_track_event(session, "t", number)

    async def read(**options: Any) -> list[Any]:
        return payloads(await verbs.get_track_events(session, "t", **options))

    assert await read() == [1, 2, 3, 4, 5]
    assert await read(limit=2) == [4, 5]
    assert await read(limit=2, offset=1) == [3, 4]
    assert await read(after=NOON + 4 * STEP) == [4, 5]
    assert await read(before=NOON + 2 * STEP) == [1, 2]
    assert await read(after=NOON + 2 * STEP, before=NOON + 4 * STEP, limit=2) == [3, 4]
    assert await read(limit=0) == []


async def test_the_time_of_a_track_event(verbs: Verbs, session: SessionKey, clock: Clock) -> None:
    clock.stop_at(NOON)
    moment = datetime(2030, 1, 1, tzinfo=timezone.utc)
    await verbs.append_track_event(session, "t", "now")
    await verbs.append_track_event(session, "t", "then", moment)
    await verbs.append_track_event(session, "t", "before", timestamp=NOON - 1)
    now, then, before = await verbs.get_track_events(session, "t")
    assert (now.time_ns, then.timestamp, before.time_ns) == (NOON, moment, NOON - 1)
    assert now.score < then.score < before.score  # as appended


async def test_a_track_keeps_the_newest(make_verbs: Callable[..., Verbs], key: SessionKey) -> None:
    verbs = make_verbs(track_event_limit=3, session_event_limit=1)
    await verbs.create_session("shop", "ann", "s1")
    for number in range(5):
        await verbs.append_track_event(key, "t", number)
    await verbs.append_track_event(key, "other", 0)
    assert payloads(await verbs.get_track_events(key, "t")) == [2, 3, 4]
    assert payloads(await verbs.get_track_events(key, "other")) == [0]
    unlimited = make_verbs(track_event_limit=None)
    for number in range(5, 8):
        await unlimited.append_track_event(key, "t", number)
    assert payloads(await verbs.get_track_events(key, "t")) == [2, 3, 4, 5, 6, 7]


async def test_more_at_once_than_a_track_keeps(
    make_verbs: Callable[..., Verbs], key: SessionKey
) -> None:
    verbs = make_verbs(track_event_limit=3)
    await verbs.create_session("shop", "ann", "s1")
    await verbs.append_track_events(key, "t", list(range(5)))
    assert payloads(await verbs.get_track_events(key, "t")) == [2, 3, 4]


async def test_tracks_leave_state_and_events_alone(verbs: Verbs, session: SessionKey) -> None:
    await verbs.update_session_state(session, {"k": 1})
    await verbs.append_track_event(session, "t", 1)
    await verbs.update_session_state(session, {"l": 2})
    await verbs.delete_session_state(session, "k")
    await verbs.append_track_event(session, "u", 1)
    read = await verbs.get_session(session)
    assert (read.state, read.tracks, read.events) == ({"l": 2}, ("t", "u"), [])


@one_server
async def test_what_cannot_be_a_track(
    verbs: Verbs, session: SessionKey, redis_probe: RedisProbe
) -> None:
    before = snapshot(redis_probe)
    for name in ("", None, "x" * 513, "\ud800"):
        with pytest.raises(InvalidSessionKeyError, match="track"):
            await verbs.append_track_event(session, name, 1)
        with pytest.raises(InvalidSessionKeyError, match="track"):
            await verbs.get_track_events(session, name)
    for several in ("text", {"a": 1}, 5, None, TrackEvent("t", 1)):
        with pytest.raises(ConfigurationError, match="list of payloads"):
            await verbs.append_track_events(session, "t", several)
    with pytest.raises(ConfigurationError, match="'other'"):
        await verbs.append_track_events(session, "t", [TrackEvent("other", 1)])
    with pytest.raises(InvalidSessionKeyError, match="track"):
        await verbs.append_track_events(session, "", [1])
    for moment in (datetime(2026, 1, 1), "now", 1.5):
        with pytest.raises(ConfigurationError, match="timestamp"):
            await verbs.append_track_event(session, "t", 1, moment)
    assert snapshot(redis_probe) == before


@one_server
async def test_a_payload_that_json_cannot_carry(
    make_verbs: Any, verbs: Verbs, session: SessionKey, redis_probe: RedisProbe
) -> None:
    await verbs.append_track_events(session, "t", [1, {"deep": {1}, "raw": b"\xff", "x": math.nan}])
    one, other = await verbs.get_track_events(session, "t")
    assert one.payload == 1
    assert same(other.payload, {"deep": [1], "raw": b"\xff", "x": math.nan})
    before = snapshot(redis_probe)
    strict = make_verbs(unserializable="raise")
    with pytest.raises(UnserializableMessageError, match=r"^payload\['deep'\]: set"):
        await strict.append_track_event(session, "t", {"deep": {1}})
    with pytest.raises(UnserializableMessageError, match=r"^payloads\[1\]\['deep'\]: set"):
        await strict.append_track_events(session, "t", [1, {"deep": {1}}])
    assert snapshot(redis_probe) == before
