"""Retention: how many events a session keeps."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from langchain_core.messages import HumanMessage

from langchain_redis_session import SessionKey
from tests.contract.backends import Backend, RedisProbe, Verbs
from tests.contract.narrow import each_server
from tests.contract.store import make_event, make_events, tag_of, texts


async def test_the_oldest_events_are_removed_from_redis(
    make_verbs: Callable[..., Verbs], key: SessionKey, redis_probe: RedisProbe, backend: Backend
) -> None:
    verbs = make_verbs(session_event_limit=3)
    await verbs.create_session("shop", "ann", "s1")
    counts = []
    for numbers in ((1, 2), (3, 4), (5,), (6, 7, 8, 9, 10)):
        result = await verbs.append_events(key, make_events(*numbers))
        counts.append((result.written, result.removed))
    assert counts == [(2, 0), (2, 1), (1, 1), (5, 5)]
    assert texts(await verbs.get_events(key)) == ["m8", "m9", "m10"]
    assert redis_probe.zcard(redis_probe.key(f"event:{tag_of(backend)}:ann:s1")) == 3


async def test_the_oldest_are_those_appended_first(
    make_verbs: Callable[..., Verbs], key: SessionKey
) -> None:
    verbs = make_verbs(session_event_limit=2)
    await verbs.create_session("shop", "ann", "s1")
    for number in (9, 1, 5):  # clocks that go back
        await verbs.append_events(key, make_events(number))
    assert texts(await verbs.get_events(key)) == ["m1", "m5"]


async def test_one_is_the_smallest_limit(make_verbs: Callable[..., Verbs], key: SessionKey) -> None:
    verbs = make_verbs(session_event_limit=1)
    await verbs.create_session("shop", "ann", "s1")
    for number in (1, 2):
        await verbs.append_event(key, make_event(number, state_delta={f"k{number}": number}))
    session = await verbs.get_session(key)
    assert texts(session.events) == ["m2"]
    assert session.state == {"k1": 1, "k2": 2}


@each_server
@pytest.mark.parametrize(("limit", "kept"), [(None, 1205), (1000, 1000)])
async def test_no_limit_and_the_default(
    make_verbs: Callable[..., Verbs], key: SessionKey, limit: int | None, kept: int
) -> None:
    verbs = make_verbs(session_event_limit=None) if limit is None else make_verbs()
    await verbs.create_session("shop", "ann", "s1")
    result = await verbs.append_events(key, make_events(*range(1205)))
    assert (result.written, result.removed) == (1205, 1205 - kept)
    assert texts(await verbs.get_events(key)) == [f"m{n}" for n in range(1205 - kept, 1205)]


async def test_another_limit_on_the_same_session(
    make_verbs: Callable[..., Verbs], key: SessionKey
) -> None:
    wide, narrow = make_verbs(), make_verbs(session_event_limit=2)
    await wide.create_session("shop", "ann", "s1")
    await wide.append_events(key, make_events(1, 2, 3, 4, 5))
    assert len(await narrow.get_events(key)) == 5
    result = await narrow.append_events(key, make_events(6))
    assert result.removed == 4
    assert texts(await wide.get_events(key)) == ["m5", "m6"]


async def test_the_index_of_message_ids_is_trimmed_too(
    make_verbs: Callable[..., Verbs], key: SessionKey, redis_probe: RedisProbe, backend: Backend
) -> None:
    verbs = make_verbs(session_event_limit=2)
    messages = [HumanMessage(f"m{n}", id=f"i{n}") for n in range(5)]
    index = redis_probe.key(f"msgidx:{tag_of(backend)}:ann:s1")
    for message in messages[:4]:
        await verbs.append_messages(key, [message], create=True, once=True)
    assert redis_probe.zrange(index, 0, -1) == [b"i2", b"i3"]
    await verbs.append_messages(key, messages[4:])  # without once: it is kept all the same
    assert redis_probe.zrange(index, 0, -1) == [b"i3", b"i4"]
    await verbs.append_messages(key, [HumanMessage("no id")])
    assert redis_probe.zrange(index, 0, -1) == [b"i4"]


async def test_state_and_tracks_are_not_counted(
    make_verbs: Callable[..., Verbs], key: SessionKey
) -> None:
    verbs = make_verbs(session_event_limit=1)
    await verbs.append_messages(key, [HumanMessage("a")], create=True)
    for number in range(3):
        await verbs.update_session_state(key, {f"k{number}": number})
        await verbs.append_track_event(key, "t", number)
    session = await verbs.get_session(key)
    assert texts(session.events) == ["a"]
    assert len(session.state) == 3
    assert len(await verbs.get_track_events(key, "t")) == 3


@each_server
async def test_a_result_names_only_what_is_there(
    make_verbs: Callable[..., Verbs], key: SessionKey
) -> None:
    verbs = make_verbs(session_event_limit=2)
    await verbs.create_session("shop", "ann", "s1")
    result = await verbs.append_events(key, make_events(1, 2, 3))
    assert texts(result.events) == ["m2", "m3"]
    assert (result.written, result.removed) == (3, 1)
