"""Conversations: which events make a turn, and taking the last ones back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage

from langchain_redis_session import ConfigurationError, Event, SessionKey
from langchain_redis_session._codec.events import encode_event
from tests.contract.backends import Backend, RedisProbe, Verbs
from tests.contract.intercept import Commands, intercept
from tests.contract.narrow import each_server, one_server
from tests.contract.store import NOON, STEP, snapshot, tag_of, texts
from tests.effort import RACES
from tests.waits import PATIENCE_S


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


async def test_two_trims_at_the_same_time_get_two_conversations(
    backend: Backend, make_verbs: Callable[..., Verbs], session: SessionKey
) -> None:
    both = make_verbs(), make_verbs()
    for number in range(RACES):
        for name in ("a", "b", "c"):
            await both[0].append_messages(
                session, [HumanMessage(f"{name}{number}"), AIMessage("so")], create=True
            )
        if backend.mode == "async":
            taken = await asyncio.gather(*(verbs.trim_conversations(session) for verbs in both))
        else:
            with ThreadPoolExecutor(2) as pool:
                trims = [pool.submit(v.service.trim_conversations, session) for v in both]
                taken = [trim.result(PATIENCE_S) for trim in trims]
        assert sorted(map(texts, taken)) == [[f"b{number}", "so"], [f"c{number}", "so"]]
        assert texts(await both[0].trim_conversations(session)) == [f"a{number}", "so"]
    assert await both[0].count_events(session) == 0


@each_server
async def test_a_turn_that_comes_while_a_trim_looks_is_the_last_one(
    backend: Backend,
    make_verbs: Callable[..., Verbs],
    session: SessionKey,
    redis_probe: RedisProbe,
) -> None:
    events = redis_probe.key(f"event:{tag_of(backend)}:ann:s1")
    new = Event(HumanMessage("new"), time_ns=NOON * 2)

    def come(commands: Commands) -> None:
        if commands[0][0].startswith("EVAL") and events in commands[0]:
            redis_probe.zadd(events, {encode_event(new): new.time_ns})

    verbs, interceptor = intercept(backend, make_verbs)
    await verbs.append_events(session, turn("h:a", "a:b", "h:c"))
    interceptor.before = come
    assert texts(await verbs.trim_conversations(session)) == ["new"]
    interceptor.before = None
    assert texts(await verbs.get_events(session)) == ["a", "b", "c"]


@each_server
async def test_turns_that_are_longer_than_a_page(verbs: Verbs, session: SessionKey) -> None:
    long = [f"a:{number}" for number in range(150)]
    lines = ["h:first", *long, "r h:second", *(f"r {line}" for line in long), "h:third", "a:last"]
    await verbs.append_events(session, turn(*lines))
    removed = await verbs.trim_conversations(session, count=2)
    assert texts(removed) == ["second", *map(str, range(150)), "third", "last"]
    assert texts(await verbs.trim_conversations(session)) == ["first", *map(str, range(150))]


@one_server
async def test_a_request_of_two_user_messages_goes_as_a_whole(
    verbs: Verbs, session: SessionKey
) -> None:
    """Wherever a page ends that is read."""
    answers = [f"r a:{number}" for number in range(63)]
    await verbs.append_events(session, turn("h:a", "r h:b", "r a:c", "r h:d", *answers))
    assert len(await verbs.trim_conversations(session)) == 66


@pytest.mark.parametrize("request_id", ["", "r "])
@one_server
async def test_what_no_user_has_opened_goes_a_thousand_at_a_time(
    make_verbs: Callable[..., Verbs], session: SessionKey, request_id: str
) -> None:
    verbs = make_verbs(session_event_limit=None)
    await verbs.append_events(session, turn(*(f"{request_id}a:{n}" for n in range(1200))))
    removed = await verbs.trim_conversations(session)
    assert texts(removed) == [str(number) for number in range(200, 1200)]
    assert len(await verbs.trim_conversations(session)) == 200


@each_server
async def test_the_newest_entry_cannot_be_read(
    verbs: Verbs, session: SessionKey, redis_probe: RedisProbe, backend: Backend
) -> None:
    await verbs.append_events(session, turn("h:a", "a:b"))
    events = redis_probe.key(f"event:{tag_of(backend)}:ann:s1")
    redis_probe.zadd(events, {b"no JSON": NOON * 2})
    assert texts(await verbs.trim_conversations(session)) == ["a", "b"]
    assert redis_probe.zrange(events, 0, -1) == [b"no JSON"]
