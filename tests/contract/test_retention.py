"""Retention: how many events a session keeps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import HumanMessage

from langchain_redis_session import ConfigurationError, SessionKey
from tests.contract.backends import Backend, RedisProbe, Verbs
from tests.contract.hooks import make_handler
from tests.contract.narrow import each_server, one_server
from tests.contract.store import make_event, make_events, read_record, tag_of, texts


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


def make_history(verbs: Verbs, key: SessionKey) -> Verbs:
    """A history of this session."""
    from langchain_redis_session import RedisSessionChatMessageHistory

    return verbs.of(
        RedisSessionChatMessageHistory(
            key.session_id, user_id=key.user_id, app_name=key.app_name, service=verbs.service
        )
    )


def humans(count: int, start: int = 0) -> list[HumanMessage]:
    return [HumanMessage(f"m{number}") for number in range(start, start + count)]


@each_server
async def test_no_default_cuts_what_a_history_keeps(
    verbs: Verbs, make_verbs: Callable[..., Verbs], key: SessionKey, backend: Backend
) -> None:
    history = make_history(verbs, key)
    await history.add_messages(humans(1100))
    other = make_verbs()  # another program, with a service of its own
    result = await other.append_messages(key, humans(1, 1100))
    assert result.removed == 0
    assert len(await other.get_messages(key)) == 1101


@each_server
async def test_the_session_keeps_the_limit_that_it_was_made_with(
    make_verbs: Callable[..., Verbs], key: SessionKey, backend: Backend
) -> None:
    limited = make_verbs(session_event_limit=3)
    await limited.create_session("shop", "ann", "s1")
    verbs = make_verbs()
    await verbs.append_messages(key, humans(2))
    # A change of state, which rewrites the record, loses nothing of it.
    await verbs.update_session_state(key, {"k": 1})
    assert (await verbs.append_messages(key, humans(2, 2))).removed == 1
    history = make_history(verbs, key)
    await history.add_messages(humans(2, 4))
    assert texts(await verbs.get_messages(key)) == ["m3", "m4", "m5"]


@each_server
@pytest.mark.parametrize(("limit", "kept"), [(1000, 1000), (None, 1100), (2, 2)])
async def test_an_explicit_limit_wins_over_the_sessions(
    make_verbs: Callable[..., Verbs], key: SessionKey, limit: int | None, kept: int
) -> None:
    """Also one that equals the default."""
    made = make_verbs(session_event_limit=None if limit == 1000 else 1000)
    await made.create_session("shop", "ann", "s1")
    verbs = make_verbs(session_event_limit=limit)
    await verbs.append_messages(key, humans(1100))
    assert len(await verbs.get_messages(key)) == kept


@each_server
async def test_a_record_without_a_limit_is_cut_only_by_an_explicit_one(
    make_verbs: Callable[..., Verbs], key: SessionKey, redis_probe: RedisProbe, backend: Backend
) -> None:
    """trpc-agent-go's, or one of ours that it has rewritten."""
    verbs = make_verbs()
    await verbs.create_session("shop", "ann", "s1")
    record = read_record(redis_probe, key, tag_of(backend)).replace(b'"eventLimit":1000,', b"")
    assert b"eventLimit" not in record
    redis_probe.hset(redis_probe.key(f"sess:{tag_of(backend)}:ann"), "s1", record)
    assert (await verbs.append_messages(key, humans(1100))).removed == 0
    assert (await make_verbs(session_event_limit=500).append_messages(key, humans(1))).removed


@each_server
async def test_a_session_that_a_history_makes_has_its_services_explicit_limit(
    make_verbs: Callable[..., Verbs], key: SessionKey, backend: Backend
) -> None:
    verbs = make_verbs(session_event_limit=2)
    await make_history(verbs, key).add_messages(humans(3))
    assert len(await verbs.get_messages(key)) == 2
    assert len(await make_verbs().get_messages(key)) == 2
    await make_verbs().append_messages(key, humans(1, 3))
    assert texts(await verbs.get_messages(key)) == ["m2", "m3"]


@pytest.mark.parametrize("hook", ["append_event_start", "append_event_end", None])
@one_server
async def test_hooks_change_nothing_about_the_limit_of_a_new_session(
    make_verbs: Callable[..., Verbs], key: SessionKey, hook: str | None
) -> None:
    hooks: dict[str, Any] = {hook: lambda _context: None} if hook else {}
    verbs = make_verbs(callbacks=[make_handler("plain", **hooks)])
    await verbs.append_messages(key, humans(5), create=True, new_event_limit=3)
    await verbs.append_messages(key, humans(5))
    assert len(await verbs.get_events(key)) == 3


@one_server
async def test_a_session_that_is_made_again_has_the_limit_of_its_own_making(
    verbs: Verbs, key: SessionKey
) -> None:
    for limit in (3, 2):
        for number in range(3):
            await verbs.append_messages(key, humans(2, number), create=True, new_event_limit=limit)
        assert len(await verbs.get_events(key)) == limit
        await verbs.delete_session(key)


@each_server
async def test_a_large_cut_by_a_new_limit_is_spread_over_appends(
    make_verbs: Callable[..., Verbs], key: SessionKey
) -> None:
    verbs = make_verbs(session_event_limit=None)
    await verbs.create_session("shop", "ann", "s1")
    await verbs.append_messages(key, humans(2500))
    limited = make_verbs(session_event_limit=10)
    removed = [
        (await limited.append_messages(key, humans(1, 2500 + turn))).removed for turn in range(4)
    ]
    assert removed == [1001, 1001, 491, 1]
    assert len(await limited.get_messages(key)) == 10


@each_server
@pytest.mark.parametrize("limit", [0, -1, True, 1.5, "10"])
async def test_a_limit_for_new_sessions_that_cannot_work_is_refused(
    verbs: Verbs, key: SessionKey, limit: Any
) -> None:
    with pytest.raises(ConfigurationError, match="new_event_limit must be a whole number from 1"):
        await verbs.append_messages(key, humans(1), create=True, new_event_limit=limit)
    assert await verbs.get_session(key) is None
