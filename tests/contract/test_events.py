"""Events: what they carry, what an append says of them, and how they are cleared."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from langchain_core.messages import AIMessage, HumanMessage

from langchain_redis_session import (
    ConfigurationError,
    Event,
    EventTooLargeError,
    InvalidSessionKeyError,
    SessionKey,
)
from tests.contract.backends import Backend, RedisProbe, Verbs
from tests.contract.narrow import each_server, one_server
from tests.contract.store import make_event, make_events, snapshot, tag_of, texts


@pytest.fixture
async def session(verbs: Verbs, key: SessionKey) -> SessionKey:
    await verbs.create_session("shop", "ann", "s1")
    return key


async def test_every_member_comes_back(verbs: Verbs, session: SessionKey) -> None:
    event = Event(
        AIMessage("hi", id="m"),
        author="bot",
        request_id="r",
        invocation_id="i",
        branch="root/b",
        tag="x;y",
        filter_key="app/t",
        state_delta={"k": {"deep": [1, None]}, "user:k": "v"},
        extensions={"mine": {"a": [1, 2]}},
        extra={"error": {"type": "api_error"}, "done": True},
        time_ns=1_790_000_000_123_456_789,
    )
    result = await verbs.append_event(session, event)
    (read,) = await verbs.get_events(session)

    assert read == event == result.events[0]
    assert result.events[0] is event
    assert read.score == event.score == float(event.time_ns)
    assert read.timestamp == event.timestamp
    (from_session,) = (await verbs.get_session(session)).events
    assert from_session == event
    assert from_session.score == event.score


async def test_what_an_append_says(make_verbs: Callable[..., Verbs], key: SessionKey) -> None:
    verbs = make_verbs(session_event_limit=3)
    await verbs.create_session("shop", "ann", "s1")
    first = await verbs.append_events(key, make_events(1, 2))
    second = await verbs.append_events(key, make_events(3, 4))
    again = await verbs.append_events(key, make_events(3, 4))
    assert (first.written, first.removed, first.queued) == (2, 0, False)
    assert (second.written, second.removed) == (2, 1)
    assert (again.written, again.removed) == (0, 0)
    assert texts(again.events) == ["m3", "m4"]
    assert again.events == second.events
    assert [e.score for e in again.events] == [e.score for e in second.events]


async def test_an_event_may_be_appended_as_a_new_one_of_another_session(
    verbs: Verbs, session: SessionKey
) -> None:
    other = SessionKey("shop", "ann", "s2")
    await verbs.create_session("shop", "ann", "s2")
    await verbs.append_event(session, make_event(1))
    await verbs.append_event(other, make_event(1))
    assert texts(await verbs.get_events(session)) == texts(await verbs.get_events(other)) == ["m1"]


async def test_clearing_leaves_state_and_tracks(
    verbs: Verbs, session: SessionKey, redis_probe: RedisProbe, backend: Backend
) -> None:
    await verbs.append_messages(session, [HumanMessage("a", id="a")], once=True)
    await verbs.append_messages(session, [AIMessage("b")], state_delta={"k": 1, "user:u": 1})
    await verbs.append_track_event(session, "t", 1)
    tag = tag_of(backend)
    summaries = redis_probe.key(f"sesssum:{tag}:ann")
    neighbours = {
        b"s1x:": b'{"summary":"x"}',  # another session's
        b"s10": b'{"":{"summary":"x"}}',
        b"s2": b'{"":{"summary":"x"}}',
    }
    redis_probe.hset(
        summaries,
        mapping={
            b"s1:": b'{"summary":"x"}',
            b"s1:app/tools": b'{"summary":"x"}',
            b":s1": b"9:app/tools",  # which filter keys it has
            b"s1": b'{"":{"summary":"as trpc-agent-go writes"}}',
            **neighbours,
        },
    )
    assert await verbs.clear_events(session) == 2

    cleared = await verbs.get_session(session)
    assert (cleared.events, cleared.messages) == ([], [])
    assert cleared.state == {"k": 1, "user:u": 1}
    assert cleared.tracks == ("t",)
    assert redis_probe.hgetall(summaries) == neighbours
    assert redis_probe.names(f"event:{tag}*") == redis_probe.names(f"msgidx:{tag}*") == []
    assert await verbs.clear_events(session) == 0
    await verbs.append_messages(session, [HumanMessage("a", id="a")], once=True)
    assert texts(await verbs.get_messages(session)) == ["a"]


async def test_an_event_that_is_too_large(
    make_verbs: Callable[..., Verbs], key: SessionKey, redis_probe: RedisProbe
) -> None:
    verbs = make_verbs(max_event_bytes=1000)
    await verbs.create_session("shop", "ann", "s1", state={"k": 0})
    before = snapshot(redis_probe)
    secret = "secret" * 200
    events = [make_event(1, state_delta={"k": 1}), make_event(2, HumanMessage(secret))]
    with pytest.raises(EventTooLargeError, match=r"events\[1\].*1,000") as raised:
        await verbs.append_events(key, events)
    with pytest.raises(EventTooLargeError, match=r"'t'.*1,000"):
        await verbs.append_track_event(key, "t", secret)
    assert "secret" not in str(raised.value)
    assert snapshot(redis_probe) == before


@each_server
async def test_the_largest_event_fits(make_verbs: Callable[..., Verbs], key: SessionKey) -> None:
    size = 3 * 1024 * 1024
    verbs = make_verbs()
    await verbs.append_messages(key, [HumanMessage("é" * size)], create=True)
    (message,) = await verbs.get_messages(key)
    assert len(message.text) == size
    with pytest.raises(EventTooLargeError, match="8,388,608"):
        await verbs.append_messages(key, [HumanMessage("é" * (4 * 1024 * 1024))])


@one_server
async def test_what_is_no_event_keeps_all_out(verbs: Verbs, session: SessionKey) -> None:
    with pytest.raises(ConfigurationError, match=r"events\[1\] must be an Event, not Human"):
        await verbs.append_events(session, [make_event(1), HumanMessage("x")])
    with pytest.raises(ConfigurationError, match="event must be an Event, not 'x'"):
        await verbs.append_event(session, "x")
    with pytest.raises(InvalidSessionKeyError, match="SessionKey"):
        await verbs.append_event("s1", make_event(1))
    assert await verbs.get_events(session) == []


@one_server
async def test_one_event_is_taken_for_a_list_of_one(verbs: Verbs, session: SessionKey) -> None:
    assert (await verbs.append_events(session, make_event(1))).written == 1


@one_server
async def test_removed_events_are_not_taken_for_others(verbs: Verbs, session: SessionKey) -> None:
    await verbs.append_events(session, make_events(1, 2))
    await verbs.clear_events(session)
    result = await verbs.append_events(session, make_events(2, 3))
    assert result.written == 2
    assert texts(await verbs.get_events(session)) == ["m2", "m3"]
