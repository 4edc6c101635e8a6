"""Lifetimes: a session is gone when it has been idle, and takes nobody along."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage

from langchain_redis_session import SessionKey, SessionNotFoundError
from tests.contract.backends import Backend, RedisProbe, Verbs
from tests.contract.narrow import each_server, field_ttl_on_and_off, one_mode, one_server
from tests.contract.store import (
    Clock,
    expire_now,
    make_event,
    read_record,
    tag_of,
    texts,
)
from tests.methods import READS

MINUTE, HOUR = 60_000, 3_600_000


def is_near(ttl_ms: int, expected: int) -> bool:
    """Whether that is left of a TTL that was set in this test."""
    return expected - 30_000 < ttl_ms <= expected


def field_ttl(probe: RedisProbe, backend: Backend, key: SessionKey) -> int | None:
    """Give the milliseconds that a session's record has by itself, if the server has such."""
    name = probe.key(f"sess:{tag_of(backend)}:{key.user_id}")
    if backend.variant.server in ("redis_server", "redis_cluster"):
        return None
    (left,) = probe.execute_command("HPTTL", name, "FIELDS", 1, key.session_id)
    return int(left)


async def fill(verbs: Verbs, key: SessionKey) -> None:
    """Write everything that a session can have."""
    await verbs.append_messages(
        key,
        [HumanMessage("hi", id="i"), AIMessage("hello")],
        create=True,
        once=True,
        state_delta={"k": 1, "user:k": 1, "app:k": 1},
    )
    await verbs.append_track_event(key, "t", 1)


async def fill_in_time(verbs: Verbs, key: SessionKey) -> None:
    """Fill a session that lives for moments: again if it was gone before the end."""
    while True:
        with contextlib.suppress(SessionNotFoundError):
            return await fill(verbs, key)


def kinds(ttls: dict[str, int]) -> dict[str, int]:
    """Give TTLs by the first part of the key."""
    return {name.partition(":")[0]: ttl for name, ttl in ttls.items()}


# --- Every key has the TTL it should have --------------------------------------------------------

WRITES: dict[str, Callable[[Verbs, SessionKey], Any]] = {
    "append_event": lambda v, k: v.append_event(k, make_event(9)),
    "append_messages": lambda v, k: v.append_messages(k, [HumanMessage("x", id="x")]),
    "append_once": lambda v, k: v.append_messages(k, [HumanMessage("x", id="x")], once=True),
    "state_delta": lambda v, k: v.append_event(k, make_event(9, state_delta={"k": 2, "user:k": 2})),
    "update_session_state": lambda v, k: v.update_session_state(k, {"k": 3}),
    "delete_session_state": lambda v, k: v.delete_session_state(k, "k"),
    "append_track_event": lambda v, k: v.append_track_event(k, "t", 2),
    "another_track": lambda v, k: v.append_track_event(k, "u", 2),
    "clear_events": lambda v, k: v.clear_events(k),
    "remove_events": lambda v, k: v.remove_events(k, [make_event(1).id]),
    "trim_conversations": lambda v, k: v.trim_conversations(k),
}


@field_ttl_on_and_off
async def test_every_key_expires_after_every_kind_of_write(
    make_verbs: Callable[..., Verbs],
    redis_probe: RedisProbe,
    backend: Backend,
    key: SessionKey,
    per_field_ttl: bool | None,
) -> None:
    options = {"user_state_ttl": 2 * 60, "app_state_ttl": timedelta(minutes=3)}
    brief = make_verbs(session_ttl=10, per_field_ttl=per_field_ttl, **options)
    verbs = make_verbs(session_ttl=60, per_field_ttl=per_field_ttl, **options)
    expected = {
        **{"event": MINUTE, "msgidx": MINUTE, "track": MINUTE, "trackidx": MINUTE},
        **{"sess": MINUTE, "userstate": 2 * MINUTE, "appstate": 3 * MINUTE},
        **{"trimmed": MINUTE},
    }
    for name, write in WRITES.items():
        await fill(brief, key)
        if name == "remove_events":
            await brief.append_event(key, make_event(1))
        await write(verbs, key)
        ttls = redis_probe.ttls()
        for key_name, ttl in ttls.items():
            kind = key_name.partition(":")[0]
            if kind == "track":  # written by the one or the other
                assert 0 < ttl <= MINUTE, (name, key_name)
            else:
                assert is_near(ttl, expected[kind]), (name, key_name, ttl)
        left = field_ttl(redis_probe, backend, key)
        if left is not None:
            assert left == -1 if per_field_ttl is False else is_near(left, MINUTE), name
        expires = re.search(
            rb',"expiresAtMs":(\d+),"updatedAt":"[^"]*"}$',
            read_record(redis_probe, key, tag_of(backend)),
        )
        assert expires is not None, name
        assert is_near(int(expires[1]) - int(time.time() * 1000), MINUTE + 1000), name
        await verbs.delete_session(key)


async def test_a_new_session_expires(
    make_verbs: Callable[..., Verbs], redis_probe: RedisProbe
) -> None:
    verbs = make_verbs(session_ttl=60)
    await verbs.create_session("shop", "ann", "s1", state={"k": 1})
    assert is_near(kinds(redis_probe.ttls())["sess"], MINUTE)


async def test_nothing_expires_without_a_ttl(
    verbs: Verbs, redis_probe: RedisProbe, backend: Backend, key: SessionKey
) -> None:
    await fill(verbs, key)
    await verbs.update_user_state("shop", "ann", {"l": 1})
    await verbs.update_app_state("shop", {"l": 1})
    ttls = redis_probe.ttls()
    assert len(ttls) == 7
    assert set(ttls.values()) == {-1}
    assert field_ttl(redis_probe, backend, key) in (None, -1)
    assert b"expiresAtMs" not in read_record(redis_probe, key, tag_of(backend))


async def test_each_kind_has_its_own_ttl(
    make_verbs: Callable[..., Verbs], redis_probe: RedisProbe, key: SessionKey
) -> None:
    verbs = make_verbs(session_ttl=60, track_event_ttl=3600, user_state_ttl=None, app_state_ttl=0)
    await fill(verbs, key)
    ttls = kinds(redis_probe.ttls())
    assert ttls["userstate"] == ttls["appstate"] == -1
    assert is_near(ttls["track"], HOUR)
    assert is_near(ttls["trackidx"], HOUR)
    assert is_near(ttls["event"], MINUTE)
    assert is_near(ttls["sess"], MINUTE)


async def test_tracks_that_live_shorter_or_for_ever(
    make_verbs: Callable[..., Verbs], redis_probe: RedisProbe, key: SessionKey
) -> None:
    verbs = make_verbs(session_ttl=60, track_event_ttl=10)
    await fill(verbs, key)
    ttls = kinds(redis_probe.ttls())
    assert ttls["track"] <= 10_000
    assert is_near(ttls["trackidx"], MINUTE)
    for_ever = make_verbs(session_ttl=60, track_event_ttl=None)
    await for_ever.append_track_event(key, "t", 2)
    ttls = kinds(redis_probe.ttls())
    assert ttls["track"] == ttls["trackidx"] == -1
    assert is_near(ttls["event"], MINUTE)


async def test_a_session_may_lose_its_ttl_and_get_another(
    make_verbs: Callable[..., Verbs], redis_probe: RedisProbe, backend: Backend, key: SessionKey
) -> None:
    brief, for_ever = make_verbs(session_ttl=60), make_verbs()
    await fill(brief, key)
    await for_ever.append_event(key, make_event(1))
    ttls = kinds(redis_probe.ttls())
    assert ttls["event"] == ttls["msgidx"] == ttls["sess"] == -1
    assert ttls["trackidx"] == -1
    assert field_ttl(redis_probe, backend, key) in (None, -1)
    assert b"expiresAtMs" not in read_record(redis_probe, key, tag_of(backend))
    await brief.append_event(key, make_event(2))
    ttls = kinds(redis_probe.ttls())
    assert is_near(ttls["event"], MINUTE)
    assert is_near(ttls["msgidx"], MINUTE)
    assert ttls["sess"] == -1
    left = field_ttl(redis_probe, backend, key)
    assert left is None or is_near(left, MINUTE)


# --- What sessions share -------------------------------------------------------------------------


async def test_the_ttl_of_what_is_shared_only_grows(
    make_verbs: Callable[..., Verbs], redis_probe: RedisProbe, key: SessionKey
) -> None:
    other = SessionKey("shop", "ann", "s2")
    ttl = {name: seconds for name, seconds in (("short", 60), ("long", 3600), ("never", None))}
    services = {
        name: make_verbs(session_ttl=s, user_state_ttl=s, app_state_ttl=s)
        for name, s in ttl.items()
    }
    shared = ("sess", "userstate", "appstate")

    async def write(name: str, session: SessionKey) -> list[int]:
        await services[name].append_messages(
            session, [HumanMessage("x")], create=True, state_delta={"user:k": 1, "app:k": 1}
        )
        ttls = kinds(redis_probe.ttls())
        return [ttls[kind] for kind in shared]

    assert all(is_near(left, MINUTE) for left in await write("short", key))
    assert all(is_near(left, HOUR) for left in await write("long", other))
    assert all(is_near(left, HOUR) for left in await write("short", key))
    assert await write("never", other) == [-1] * 3
    assert await write("long", other) == [-1] * 3
    assert await write("short", key) == [-1] * 3
    await services["short"].update_user_state("shop", "ann", {"l": 1})
    await services["short"].update_app_state("shop", {"l": 1})
    ttls = kinds(redis_probe.ttls())
    assert [ttls[kind] for kind in shared] == [-1] * 3


async def test_state_of_user_and_app_by_itself(
    make_verbs: Callable[..., Verbs], redis_probe: RedisProbe
) -> None:
    short = make_verbs(user_state_ttl=60, app_state_ttl=60)
    long = make_verbs(user_state_ttl=3600, app_state_ttl=3600)
    for verbs, expected in ((short, MINUTE), (long, HOUR), (short, HOUR)):
        await verbs.update_user_state("shop", "ann", {"k": 1})
        await verbs.update_app_state("shop", {"k": 1})
        await verbs.delete_user_state("shop", "ann", "x")
        assert all(is_near(left, expected) for left in redis_probe.ttls().values())


# --- What time does ------------------------------------------------------------------------------


@field_ttl_on_and_off
@one_mode
async def test_a_short_lived_session_takes_nobody_along(
    make_verbs: Callable[..., Verbs],
    redis_probe: RedisProbe,
    key: SessionKey,
    per_field_ttl: bool | None,
) -> None:
    """Half a second beside for ever, and beside a minute; with events, and with state only."""
    brief = make_verbs(session_ttl=0.3, per_field_ttl=per_field_ttl)
    minute = make_verbs(session_ttl=60, per_field_ttl=per_field_ttl)
    for_ever = make_verbs(per_field_ttl=per_field_ttl)
    await for_ever.create_session("shop", "ann", "for ever", state={"k": 1})
    await fill(minute, SessionKey("shop", "ann", "minute"))
    await minute.create_session("shop", "bob", "minute", state={"k": 1})
    await for_ever.create_session("shop", "cat", "for ever", state={"k": 1})
    gone = [key, *(SessionKey("shop", user, "state only") for user in ("ann", "bob", "cat"))]
    for other in gone[1:]:
        await brief.create_session("shop", other.user_id, other.session_id, state={"k": 1})
    await fill_in_time(brief, key)
    await asyncio.sleep(0.35)

    for other in gone:
        assert await brief.get_session(other) is None
        assert await brief.get_messages(other) == []
        assert await brief.list_tracks(other) == []
        for write in (
            for_ever.append_event(other, make_event(1)),
            for_ever.update_session_state(other, {"k": 2}),
            for_ever.append_track_event(other, "t", 2),
        ):
            with pytest.raises(SessionNotFoundError):
                await write
        assert await for_ever.clear_events(other) == 0

    alive = {"ann": ["minute", "for ever"], "bob": ["minute"], "cat": ["for ever"]}
    for user, names in alive.items():
        for include_events in (False, True):
            listed = await minute.list_sessions("shop", user, include_events=include_events)
            assert [session.key.session_id for session in listed] == names
            assert all(session.state["k"] == 1 for session in listed)
    assert texts(await minute.get_messages(SessionKey("shop", "ann", "minute"))) == ["hi", "hello"]
    # Listing has removed what was left.
    for name in redis_probe.names("sess:*"):
        fields = {field.decode() for field in redis_probe.hkeys(redis_probe.key(name))}
        assert fields == set(alive[name.rpartition(":")[2]])
    assert not [name for name in redis_probe.names() if name.endswith((":s1", "state only"))]


@field_ttl_on_and_off
@one_mode
async def test_an_idle_session_expires_while_others_are_busy(
    make_verbs: Callable[..., Verbs],
    redis_probe: RedisProbe,
    backend: Backend,
    per_field_ttl: bool | None,
) -> None:
    verbs = make_verbs(session_ttl=0.3, per_field_ttl=per_field_ttl)
    idle, busy = SessionKey("shop", "ann", "idle"), SessionKey("shop", "ann", "busy")
    await fill_in_time(verbs, idle)
    for number in range(7):  # for longer than it lives
        await verbs.append_messages(busy, [HumanMessage(str(number))], create=True)
        await asyncio.sleep(0.05)
    await fill(make_verbs(session_ttl=60, per_field_ttl=per_field_ttl), busy)

    assert await verbs.get_session(idle) is None
    (listed,) = await verbs.list_sessions("shop", "ann")
    assert listed.key == busy
    assert redis_probe.names("*:idle*") == []
    assert redis_probe.hkeys(redis_probe.key(f"sess:{tag_of(backend)}:ann")) == [b"busy"]


@field_ttl_on_and_off
async def test_an_append_to_an_expired_session_starts_anew(
    make_verbs: Callable[..., Verbs],
    redis_probe: RedisProbe,
    backend: Backend,
    key: SessionKey,
    per_field_ttl: bool | None,
) -> None:
    verbs = make_verbs(session_ttl=60, track_event_ttl=3600, per_field_ttl=per_field_ttl)
    tag = tag_of(backend)
    for write in (
        verbs.append_messages(key, [HumanMessage("new", id="i")], create=True, once=True),
        verbs.create_session("shop", "ann", "s1", state={"new": 1}),
    ):
        await fill(verbs, key)
        summaries = redis_probe.key(f"sesssum:{tag}:ann")
        redis_probe.hset(summaries, mapping={"s1:": '{"summary":"old"}', "s2:": '{"summary":"x"}'})
        expire_now(redis_probe, key, tag, keep=("track", "trackidx"))
        if per_field_ttl is None and field_ttl(redis_probe, backend, key) is not None:
            redis_probe.hdel(redis_probe.key(f"sess:{tag}:ann"), "s1")
        assert await verbs.get_session(key) is None
        await write

        session = await verbs.get_session(key)
        assert texts(session.events) in (["new"], [])
        assert session.tracks == ()
        assert "k" not in session.state
        assert redis_probe.names("track*") == []
        assert redis_probe.hkeys(summaries) == [b"s2:"]
        await verbs.append_track_event(key, "t", "new")
        track = await verbs.get_track_events(key, "t")
        assert [event.payload for event in track] == ["new"]
        await verbs.delete_session(key)


@each_server
async def test_a_session_lives_while_it_has_events(
    make_verbs: Callable[..., Verbs], redis_probe: RedisProbe, backend: Backend, key: SessionKey
) -> None:
    """Their key has a TTL of its own; the record is asked only where there are none."""
    verbs = make_verbs(session_ttl=60, per_field_ttl=False)
    await fill(verbs, key)
    expire_now(redis_probe, key, tag_of(backend), keep=("event", "msgidx", "track", "trackidx"))
    assert texts((await verbs.get_session(key)).events) == ["hi", "hello"]
    assert len(await verbs.list_sessions("shop", "ann")) == 1
    await verbs.append_event(key, make_event(1))
    assert texts(await verbs.get_events(key)) == ["hi", "hello", "m1"]
    assert (await verbs.get_session(key)).tracks == ("t",)


async def test_a_writer_whose_clock_is_an_hour_behind(
    make_verbs: Callable[..., Verbs], clock: Clock, key: SessionKey
) -> None:
    verbs = make_verbs(session_ttl=timedelta(minutes=30))
    now = time.time_ns()
    other = SessionKey("shop", "ann", "s2")
    await fill(verbs, other)
    for hours in (-1, 0, 1, -1):
        clock.stop_at(now + hours * HOUR * 1_000_000)
        await verbs.append_messages(key, [HumanMessage(f"{hours}")], create=True)
        await verbs.append_track_event(key, "t", hours)
        await verbs.update_session_state(key, {f"k{hours}": hours})
        await verbs.create_session("shop", "ann", f"state only {hours}", state={"k": 1})

    for name in ("state only -1", "state only 0", "state only 1"):
        assert (await verbs.get_session(SessionKey("shop", "ann", name))).state["k"] == 1
    assert texts(await verbs.get_messages(key)) == ["-1", "0", "1", "-1"]
    assert texts(await verbs.get_messages(other)) == ["hi", "hello"]
    assert len(await verbs.list_sessions("shop", "ann")) == 5
    assert [e.payload for e in await verbs.get_track_events(key, "t")] == [-1, 0, 1, -1]


# --- Reading -------------------------------------------------------------------------------------


@field_ttl_on_and_off
@pytest.mark.parametrize("read", READS)
async def test_reading_refreshes_where_asked_to(
    make_verbs: Callable[..., Verbs],
    redis_probe: RedisProbe,
    backend: Backend,
    key: SessionKey,
    per_field_ttl: bool | None,
    read: str,
) -> None:
    brief = make_verbs(session_ttl=10, per_field_ttl=per_field_ttl)
    plain = make_verbs(session_ttl=60, per_field_ttl=per_field_ttl)
    refreshing = make_verbs(session_ttl=60, per_field_ttl=per_field_ttl, refresh_ttl_on_read=True)
    await fill(brief, key)
    before = await brief.get_session(key)
    assert texts((await plain.get_session(key)).events) == ["hi", "hello"]
    await getattr(plain, read)(key)
    assert max(kinds(redis_probe.ttls())[k] for k in ("event", "msgidx", "sess")) <= 10_000

    await getattr(refreshing, read)(key)
    ttls = kinds(redis_probe.ttls())
    for kind in ("event", "msgidx", "sess", "trackidx"):
        assert is_near(ttls[kind], MINUTE), kind
    left = field_ttl(redis_probe, backend, key)
    if left is not None:
        assert left == -1 if per_field_ttl is False else is_near(left, MINUTE)
    assert await plain.get_session(key) == before  # updated_at too
    await plain.delete_session(key)
    assert await refreshing.get_session(key) is None
    assert await refreshing.get_messages(key) == []
    assert redis_probe.names("*:ann:*") == []


@one_server
async def test_a_lifetime_that_is_too_short_is_not_for_ever(
    make_verbs: Callable[..., Verbs], redis_probe: RedisProbe, key: SessionKey
) -> None:
    verbs = make_verbs(session_ttl=0.0001)
    await verbs.append_messages(key, [HumanMessage("x")], create=True)
    assert -1 not in redis_probe.ttls().values()
    await asyncio.sleep(0.02)
    assert await verbs.get_session(key) is None
