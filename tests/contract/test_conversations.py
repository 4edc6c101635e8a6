"""Conversations: which events make a turn, and taking the last ones back."""

from __future__ import annotations

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage

from langchain_redis_session import ConfigurationError, Event, SessionKey
from tests.contract.backends import Backend, RedisProbe, Verbs
from tests.contract.narrow import one_server
from tests.contract.store import NOON, STEP, snapshot, tag_of, texts


@pytest.fixture
async def session(verbs: Verbs, key: SessionKey) -> SessionKey:
    await verbs.create_session("shop", "ann", "s1")
    return key


def turn(*lines: str) -> list[Event]:
    """Make events of lines such as "r1 h:text" (a request id, who, what)."""
    events = []
    for place, line in enumerate(lines):
        request, _, rest = line.rpartition(" ")
        who, _, text = rest.partition(":")
        message: BaseMessage = HumanMessage(text) if who == "h" else AIMessage(text)
        events.append(Event(message, request_id=request, time_ns=NOON + place * STEP))
    return events


async def test_events_of_one_request(verbs: Verbs, session: SessionKey) -> None:
    await verbs.append_events(
        session, turn("r1 h:a", "r1 a:b", "r2 h:c", "r1 a:late", "r2 a:d", "r2 h:and", "r2 a:e")
    )
    removed = await verbs.trim_conversations(session)
    assert texts(removed) == ["c", "d", "and", "e"]
    assert texts(await verbs.get_events(session)) == ["a", "b", "late"]
    assert texts(await verbs.trim_conversations(session)) == ["a", "b", "late"]
    assert await verbs.trim_conversations(session) == []
    assert await verbs.get_session(session) is not None


async def test_turns_without_a_request_id(verbs: Verbs, session: SessionKey) -> None:
    await verbs.append_events(
        session, turn("a:greeting", "h:one", "a:x", "a:y", "h:two", "h:three", "a:z")
    )
    assert texts(await verbs.trim_conversations(session)) == ["three", "z"]
    assert texts(await verbs.trim_conversations(session, count=2)) == ["one", "x", "y", "two"]
    assert texts(await verbs.get_events(session)) == ["greeting"]


async def test_events_without_one_belong_to_the_turn_that_a_user_opened(
    verbs: Verbs, session: SessionKey
) -> None:
    await verbs.append_events(session, turn("r1 h:a", "a:b", "r2 a:c", "a:d", "h:e", "a:f"))
    assert texts(await verbs.trim_conversations(session)) == ["e", "f"]
    assert texts(await verbs.trim_conversations(session)) == ["a", "b", "d"]
    assert texts(await verbs.trim_conversations(session)) == ["c"]


async def test_more_than_there_are(verbs: Verbs, session: SessionKey) -> None:
    await verbs.append_events(session, turn("h:a", "a:b", "h:c"))
    assert await verbs.trim_conversations(session, count=0) == []
    assert texts(await verbs.trim_conversations(session, count=99)) == ["a", "b", "c"]
    await verbs.append_events(session, turn("h:new"))
    assert texts(await verbs.get_events(session)) == ["new"]


async def test_trimming_leaves_the_rest_of_the_session(
    verbs: Verbs, session: SessionKey, redis_probe: RedisProbe, backend: Backend
) -> None:
    await verbs.append_messages(
        session, [HumanMessage("a", id="a")], state_delta={"k": 1, "user:k": 1}, once=True
    )
    await verbs.append_messages(session, [HumanMessage("b", id="b")], once=True)
    await verbs.append_track_event(session, "t", 1)
    before = snapshot(redis_probe)
    removed = await verbs.trim_conversations(session)
    after = snapshot(redis_probe)

    assert texts(removed) == ["b"]
    tag = tag_of(backend)
    events, index = f"event:{tag}:ann:s1", f"msgidx:{tag}:ann:s1"
    assert {name for name in before if before[name] != after.get(name)} == {events, index}
    assert after.keys() - before.keys() == {f"trimmed:{tag}:ann:s1"}
    assert len(after[events]) == 1
    assert [message_id for message_id, _ in after[index]] == [b"a"]
    await verbs.append_messages(session, [HumanMessage("b", id="b")], once=True)
    await verbs.append_messages(session, [HumanMessage("a", id="a")], once=True)
    assert texts(await verbs.get_events(session)) == ["a", "b"]


@one_server
@pytest.mark.parametrize("count", [-1, 1.5, "1", True])
async def test_counts_that_cannot_work(verbs: Verbs, session: SessionKey, count: object) -> None:
    await verbs.append_events(session, turn("h:a"))
    with pytest.raises(ConfigurationError):
        await verbs.trim_conversations(session, count=count)
    assert texts(await verbs.get_events(session)) == ["a"]
