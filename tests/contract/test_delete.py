"""Deleting a session, or everything of a user; who the users are."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from langchain_core.messages import HumanMessage
from redis.exceptions import ConnectionError as RedisConnectionError

from langchain_redis_session import BackendUnavailableError, DeletedUser, SessionKey
from langchain_redis_session._operations import users
from tests.contract.backends import Backend, RedisProbe, Verbs
from tests.contract.intercept import Commands, intercept
from tests.contract.narrow import each_server, one_mode
from tests.contract.store import make_event, snapshot, tag_of, texts


async def fill(verbs: Verbs, key: SessionKey) -> None:
    await verbs.append_messages(
        key,
        [HumanMessage("hi", id="i")],
        create=True,
        once=True,
        state_delta={"k": 1, "user:k": 1, "app:k": 1},
    )
    for track in ("t", "a:b"):
        await verbs.append_track_event(key, track, 1)


def add_summaries(probe: RedisProbe, tag: str) -> None:
    """Add those of ours and of trpc-agent-go for two sessions."""
    ours, theirs = '{"summary":"x"}', '{"":{"summary":"x"}}'
    fields = {"s1:": ours, "s1:a/b": ours, "s1": theirs, "s2:": ours, "s2": theirs, "s11:": ours}
    fields |= {":s1": "3:a/b", ":s2": "1:x"}
    probe.hset(probe.key(f"sesssum:{tag}:ann"), mapping=fields)


async def test_a_deleted_session_leaves_nothing(
    verbs: Verbs, key: SessionKey, redis_probe: RedisProbe, backend: Backend
) -> None:
    other = SessionKey("shop", "ann", "s2")
    tag = tag_of(backend)
    for each in (other, SessionKey("shop", "ann", "s11"), SessionKey("shop", "bob", "s1")):
        await fill(verbs, each)
    without = snapshot(redis_probe)
    await fill(verbs, key)
    add_summaries(redis_probe, tag)
    assert await verbs.delete_session(key) is True

    summaries = redis_probe.key(f"sesssum:{tag}:ann")
    assert set(redis_probe.hkeys(summaries)) == {b"s2:", b"s2", b"s11:", b":s2"}
    redis_probe.unlink(summaries)
    assert snapshot(redis_probe) == without
    assert await verbs.get_session(key) is None
    assert await verbs.delete_session(key) is False
    assert texts(await verbs.get_messages(other)) == ["hi"]
    assert await verbs.get_user_state("shop", "ann") == {"k": 1}


async def test_a_session_id_may_be_used_again(verbs: Verbs, key: SessionKey) -> None:
    await fill(verbs, key)
    await verbs.append_event(key, make_event(1))
    await verbs.delete_session(key)
    await verbs.append_messages(key, [HumanMessage("new", id="i")], create=True, once=True)
    session = await verbs.get_session(key)
    assert texts(session.events) == ["new"]
    assert (session.tracks, session.state) == ((), {"user:k": 1, "app:k": 1})
    assert await verbs.get_track_events(key, "t") == []


@each_server
async def test_tracks_that_only_the_record_names(
    verbs: Verbs, key: SessionKey, redis_probe: RedisProbe, backend: Backend
) -> None:
    """As trpc-agent-go writes them."""
    await fill(verbs, key)
    redis_probe.unlink(redis_probe.key(f"trackidx:{tag_of(backend)}:ann:s1"))
    await verbs.delete_session(key)
    assert redis_probe.names("track*") == []


async def test_everything_of_a_user(
    verbs: Verbs, redis_probe: RedisProbe, backend: Backend
) -> None:
    tag = tag_of(backend)
    keep = [
        *(SessionKey("shop", "bob", "s1"), SessionKey("shop2", "ann", "s1")),
        *(SessionKey("shop", "ann2", "s1"), SessionKey("shop", "an", "n:s1")),
    ]
    for key in keep:
        await fill(verbs, key)
    without = snapshot(redis_probe)
    for session in ("s1", "s2"):
        await fill(verbs, SessionKey("shop", "ann", session))
    await verbs.create_session("shop", "ann", "s3")
    add_summaries(redis_probe, tag)
    # What no session owns any more.
    for orphan in ("event:{}:ann:gone", "track:{}:ann:gone:t", "msgidx:{}:ann:gone"):
        redis_probe.zadd(redis_probe.key(orphan.format(tag)), {"x": 1})
    redis_probe.sadd(redis_probe.key(f"trackidx:{tag}:ann:gone"), "t")

    # 2 × (event, msgidx, trackidx, 2 tracks), 4 orphans, sess, userstate, sesssum
    expected = DeletedUser(sessions=3, keys=17)
    assert await verbs.delete_user("shop", "ann") == expected
    assert snapshot(redis_probe) == without
    assert await verbs.delete_user("shop", "ann") == DeletedUser(sessions=0, keys=0)
    assert await verbs.get_app_state("shop") == {"k": 1}
    assert await verbs.list_sessions("shop", "ann") == []


async def test_keys_without_a_session_are_deleted_too(
    verbs: Verbs, redis_probe: RedisProbe, backend: Backend
) -> None:
    redis_probe.zadd(redis_probe.key(f"event:{tag_of(backend)}:ann:s1"), {"x": 1})
    assert await verbs.delete_user("shop", "ann") == DeletedUser(sessions=0, keys=1)
    assert redis_probe.names() == []


@each_server
async def test_a_delete_that_was_cut_short_can_be_repeated(
    backend: Backend,
    make_verbs: Callable[..., Verbs],
    redis_probe: RedisProbe,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(users, "_MOST_KEYS", 3)
    verbs, interceptor = intercept(backend, make_verbs)
    for number in range(3):
        await fill(verbs, SessionKey("shop", "ann", f"s{number}"))
    left = 2

    def break_down(commands: Commands) -> None:
        nonlocal left
        if commands[0][0] == "UNLINK":
            left -= 1
            if left < 0:
                raise RedisConnectionError("gone")

    interceptor.before = break_down
    with pytest.raises(BackendUnavailableError):
        await verbs.delete_user("shop", "ann")
    assert 0 < len(redis_probe.names("*:ann*")) < 17
    assert await verbs.list_users("shop") == ["ann"]  # so that it is found again
    interceptor.before = None
    deleted = await verbs.delete_user("shop", "ann")
    assert deleted.keys == 17 - 6
    assert redis_probe.names("*:ann*") == []
    assert await verbs.list_users("shop") == []


@each_server
@one_mode
async def test_a_user_is_deleted_among_many_keys_of_others(
    verbs: Verbs, redis_probe: RedisProbe, backend: Backend
) -> None:
    tag = tag_of(backend)
    for number in range(1100):
        key = f"event:{tag}:ann:s{number}"
        if number % 2 == 0:
            key = f"userstate:{tag_of(backend, user=f'u{number}')}:u{number}"
        redis_probe.hset(redis_probe.key(key), "k", "1")
    assert (await verbs.delete_user("shop", "ann")).keys == 550
    users = await verbs.list_users("shop")
    assert users == sorted(f"u{number}" for number in range(0, 1100, 2))


async def test_who_the_users_are(verbs: Verbs, redis_probe: RedisProbe) -> None:
    assert await verbs.list_users("shop") == []
    await verbs.create_session("shop", "bob", "s1")
    await verbs.create_session("shop", "ann", "s1")
    await verbs.create_session("shop", "ann", "s2")
    await verbs.update_user_state("shop", "only state", {"k": 1})
    await verbs.create_session("shop:x", "cat", "s1")
    await verbs.create_session("shopping", "dan", "s1")
    await verbs.update_app_state("shop", {"k": 1})
    assert await verbs.list_users("shop") == ["ann", "bob", "only state"]
    assert await verbs.list_users("shop:x") == ["cat"]
    assert await verbs.list_users("sho*") == []
    await verbs.delete_session(SessionKey("shop", "bob", "s1"))
    assert await verbs.list_users("shop") == ["ann", "only state"]


async def test_which_apps_there_are(verbs: Verbs, redis_probe: RedisProbe) -> None:
    assert await verbs.list_apps() == []
    await verbs.create_session("shop", "bob", "s1")
    await verbs.create_session("shop", "ann", "s1")
    await verbs.append_messages(SessionKey("a:{b}%*", "x", "s"), [HumanMessage("m")], create=True)
    await verbs.update_user_state("only user state", "ann", {"k": 1})
    await verbs.update_app_state("only state", {"k": 1})
    for foreign in ("app{no}", "sess:no", "sess:{no", "sess:{no}:", "x:sess:{no}:ann", "asu:{no}"):
        redis_probe.set(redis_probe.key(foreign), b"of another program")
    assert await verbs.list_apps() == ["a:{b}%*", "only state", "only user state", "shop"]
    await verbs.delete_user("shop", "ann")
    assert "shop" in await verbs.list_apps()
    await verbs.delete_user("shop", "bob")
    assert "shop" not in await verbs.list_apps()


@each_server
async def test_keys_with_another_prefix_are_others(
    verbs: Verbs, redis_probe: RedisProbe, backend: Backend
) -> None:
    """One pattern finds all kinds of keys, and what only looks like one of them."""
    tag = tag_of(backend)
    kinds = ("event", "events", "e", "p:event", "trackid", "sumlease:x", "msgidxevent", "mess")
    for kind in kinds:
        redis_probe.set(redis_probe.key(f"{kind}:{tag}:ann:s1"), b"x")
    assert (await verbs.delete_user("shop", "ann")).keys == 1
    assert len(redis_probe.names(f"*:{tag}:ann:s1")) == len(kinds) - 1


@each_server
@one_mode
async def test_one_walk_over_the_database_for_each_call(
    backend: Backend, make_verbs: Callable[..., Verbs], redis_probe: RedisProbe
) -> None:
    verbs, interceptor = intercept(backend, make_verbs)
    for number in range(3):
        await fill(verbs, SessionKey("shop", "ann", f"s{number}"))

    async def count_scans(call: object) -> int:
        interceptor.requests.clear()
        await call  # type: ignore[misc]
        return sum(command[0] == "SCAN" for batch in interceptor.requests for command in batch)

    apps = await count_scans(verbs.list_apps())
    assert await count_scans(verbs.list_users("shop")) == apps
    assert await count_scans(verbs.delete_user("shop", "ann")) == apps
