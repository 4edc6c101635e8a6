"""Order: what is appended later reads later, whatever the clocks say."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import pytest
from langchain_core.messages import HumanMessage

from langchain_redis_session import Event, SessionKey
from tests.contract.backends import Backend, RedisProbe, Verbs
from tests.contract.narrow import each_server
from tests.contract.store import NOON, Clock, make_event, tag_of, texts

HOUR = 3600 * 1_000_000_000


@pytest.fixture
async def session(verbs: Verbs, key: SessionKey) -> SessionKey:
    await verbs.create_session("shop", "ann", "s1")
    return key


async def test_many_messages_in_one_millisecond(
    verbs: Verbs, session: SessionKey, clock: Clock
) -> None:
    expected = []
    for call in range(2):
        clock.stop_at(NOON + call)  # one double away, or none
        messages = [HumanMessage(f"{call}/{n}") for n in range(200)]
        await verbs.append_messages(session, messages)
        expected += texts(messages)
    assert texts(await verbs.get_messages(session)) == expected
    assert texts(await verbs.get_messages(session, limit=250)) == expected[-250:]


async def test_writers_whose_clocks_are_an_hour_apart(
    verbs: Verbs,
    make_verbs: Callable[..., Verbs],
    session: SessionKey,
    clock: Clock,
) -> None:
    ahead, behind = verbs, make_verbs()
    expected = []
    for turn in range(5):
        for writer, time_ns in ((ahead, NOON + HOUR), (behind, NOON)):
            clock.stop_at(time_ns + turn * 1_000_000)
            text = f"{turn} at {time_ns - NOON}"
            await writer.append_messages(session, [HumanMessage(text), HumanMessage(text + "+")])
            await writer.append_track_event(session, "t", text)
            expected += [text, text + "+"]
    assert texts(await verbs.get_messages(session)) == expected
    assert texts((await behind.get_session(session)).messages) == expected
    track = await verbs.get_track_events(session, "t")
    assert [event.payload for event in track] == expected[::2]


async def test_events_keep_their_own_times(verbs: Verbs, session: SessionKey) -> None:
    times = [NOON, NOON - HOUR, NOON, NOON + 1, 0, NOON + HOUR, -HOUR]
    events = [Event(HumanMessage(str(n)), time_ns=t) for n, t in enumerate(times)]
    await verbs.append_events(session, events[:3])
    await verbs.append_events(session, events[3:])
    read = await verbs.get_events(session)
    assert texts(read) == [str(n) for n in range(len(times))]
    assert [event.time_ns for event in read] == times


async def test_a_score_is_the_time_or_the_next_double(
    verbs: Verbs, session: SessionKey, redis_probe: RedisProbe, backend: Backend
) -> None:
    top = float(NOON)
    up = math.nextafter(top, math.inf)
    assert up - top == 256
    times = [NOON, NOON, NOON - HOUR, NOON + 10 * 256, NOON + 10 * 256 + 100]
    events = [Event(HumanMessage(str(n)), time_ns=t) for n, t in enumerate(times)]
    for event in events:
        await verbs.append_event(session, event)
    expected = [top, up, up + 256, top + 10 * 256, top + 11 * 256]
    assert [event.score for event in events] == expected
    assert [event.score for event in await verbs.get_events(session)] == expected
    stored = redis_probe.zrange(
        redis_probe.key(f"event:{tag_of(backend)}:ann:s1"), 0, -1, withscores=True
    )
    assert [score for _, score in stored] == expected


@each_server
@pytest.mark.parametrize(
    "start", [0.0, 1.0, -1.0, -(2.0**53), 2.0**60 - 128, 2.0**60, 2.0**61, -(2.0**60), 253e18]
)
async def test_the_next_double_at_the_edges(
    verbs: Verbs, session: SessionKey, redis_probe: RedisProbe, backend: Backend, start: float
) -> None:
    redis_probe.zadd(
        redis_probe.key(f"event:{tag_of(backend)}:ann:s1"),
        {b'{"id":"first","choices":[{"message":{"role":"user","content":"first"}}]}': start},
    )
    low = -(10**19)  # below every start
    events = [Event(HumanMessage(str(n)), time_ns=low) for n in range(3)]
    await verbs.append_events(session, events)
    scores = [event.score for event in await verbs.get_events(session)]
    assert texts(await verbs.get_events(session)) == ["first", "0", "1", "2"]
    assert all(one < other for one, other in pairwise(scores))
    if start > 0:
        assert scores[1] == math.nextafter(start, math.inf)


async def test_equal_texts_in_one_call(verbs: Verbs, session: SessionKey) -> None:
    result = await verbs.append_messages(session, [HumanMessage("same")] * 3)
    assert result.written == 3
    assert texts(await verbs.get_messages(session)) == ["same"] * 3


async def test_ids_do_not_order_events(verbs: Verbs, session: SessionKey) -> None:
    """Redis sorts equal scores by the members' bytes, which begin with the id."""
    events = [make_event(1, HumanMessage(i), id=i, time_ns=NOON) for i in "zyxabc"]
    await verbs.append_events(session, events[:4])
    await verbs.append_events(session, events[4:])
    assert texts(await verbs.get_events(session)) == list("zyxabc")
