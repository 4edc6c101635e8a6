"""Sessions whose record is gone: evicted by the server, or lost in another program's rewrite."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone

import pytest
from langchain_core.messages import HumanMessage

from langchain_redis_session import CorruptEventError, SessionKey, SessionNotFoundError
from langchain_redis_session._times import to_datetime
from tests.contract.backends import Backend, RedisProbe, Verbs
from tests.contract.store import NOON, make_events, read_record, tag_of, texts


def evict_record(probe: RedisProbe, backend: Backend, key: SessionKey) -> None:
    sessions = probe.key(f"sess:{tag_of(backend)}:{key.user_id}")
    assert probe.hdel(sessions, key.session_id) == 1


async def test_the_session_is_read_counted_and_says_so(
    make_verbs: Callable[..., Verbs],
    key: SessionKey,
    redis_probe: RedisProbe,
    backend: Backend,
    caplog: pytest.LogCaptureFixture,
) -> None:
    verbs = make_verbs()
    await verbs.create_session("shop", "ann", "s1", state={"own": 1, "user:u": 1})
    await verbs.append_events(key, make_events(1, 2))
    evict_record(redis_probe, backend, key)
    for _ in range(2):
        session = await verbs.get_session(key)
        assert session.missing == ("record",)
        assert texts(session.events) == ["m1", "m2"]
        assert session.state == {"user:u": 1}
        first, last = session.events[0].score, session.events[-1].score
        assert session.created_at == to_datetime(int(first or 0))
        assert session.updated_at == to_datetime(int(last or 0))
    assert texts(await verbs.get_events(key)) == ["m1", "m2"]
    assert verbs.service.stats().corrupt_entries == 2
    assert len(caplog.records) == 1
    with pytest.raises(CorruptEventError, match=r"the record of .* is gone"):
        await verbs.get_session(key, strict=True)
    # Where there is a TTL, they have expired.
    assert await make_verbs(session_ttl=3600).get_session(key) is None
    await verbs.append_messages(key, [HumanMessage("new")])
    assert (await verbs.get_session(key)).missing == ()


@pytest.mark.parametrize("create", [False, True])
async def test_the_events_are_kept_and_the_next_append_makes_the_record_anew(
    verbs: Verbs, key: SessionKey, redis_probe: RedisProbe, backend: Backend, create: bool
) -> None:
    await verbs.create_session("shop", "ann", "s1")
    await verbs.append_events(key, make_events(1, 2))
    evict_record(redis_probe, backend, key)
    await verbs.append_messages(key, [HumanMessage("new")], create=create)
    session = await verbs.get_session(key)
    assert texts(session.events) == ["m1", "m2", "new"]
    oldest = datetime.fromtimestamp(NOON // 10**9, timezone.utc)
    assert 0 <= (oldest - session.created_at).total_seconds() < 1
    # Nobody knows what limit it had, so that none is made up.
    assert b'"eventLimit":0,' in read_record(redis_probe, key, tag_of(backend))


@pytest.mark.parametrize("create", [False, True])
async def test_events_older_than_the_ttl_have_expired_and_go_first(
    make_verbs: Callable[..., Verbs],
    key: SessionKey,
    redis_probe: RedisProbe,
    backend: Backend,
    create: bool,
) -> None:
    verbs = make_verbs()
    await verbs.create_session("shop", "ann", "s1")
    await verbs.append_events(key, make_events(1, 2))  # of months ago
    evict_record(redis_probe, backend, key)
    limited = make_verbs(session_ttl=3600)
    if create:
        await limited.append_messages(key, [HumanMessage("new")], create=True)
        assert texts(await limited.get_messages(key)) == ["new"]
    else:
        with pytest.raises(SessionNotFoundError):
            await limited.append_messages(key, [HumanMessage("new")])
        assert redis_probe.names("event:*") == []


async def test_young_events_live_on_under_a_ttl(
    make_verbs: Callable[..., Verbs], key: SessionKey, redis_probe: RedisProbe, backend: Backend
) -> None:
    verbs = make_verbs(session_ttl=3600)
    await verbs.append_messages(key, [HumanMessage("old")], create=True)
    evict_record(redis_probe, backend, key)
    await verbs.append_messages(key, [HumanMessage("new")])
    assert texts(await verbs.get_messages(key)) == ["old", "new"]
    assert all(0 < ttl <= 3_600_000 for ttl in redis_probe.ttls().values())


async def test_tracks_without_record_and_events_are_left_out_of_a_new_session(
    verbs: Verbs, key: SessionKey, redis_probe: RedisProbe, backend: Backend
) -> None:
    await verbs.create_session("shop", "ann", "s1")
    await verbs.append_track_event(key, "tools", 1)
    evict_record(redis_probe, backend, key)
    await verbs.append_messages(key, [HumanMessage("new")], create=True)
    assert await verbs.list_tracks(key) == []
    assert await verbs.get_track_events(key, "tools") == []


async def test_deleting_a_session_without_its_record_removes_its_events(
    verbs: Verbs, key: SessionKey, redis_probe: RedisProbe, backend: Backend
) -> None:
    await verbs.append_messages(key, [HumanMessage("m", id="i")], create=True, once=True)
    await verbs.append_track_event(key, "tools", 1)
    evict_record(redis_probe, backend, key)
    assert await verbs.delete_session(key) is True
    assert [name for name in redis_probe.names() if "erased:" not in name] == []
    assert await verbs.delete_session(key) is False
