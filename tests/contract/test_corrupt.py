"""What can't be read is skipped, counted and told, and never in the way of the rest."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage

from langchain_redis_session import CorruptEventError, RedisSessionError, Session, SessionKey
from langchain_redis_session._times import to_datetime
from tests.contract.backends import Backend, RedisProbe, Verbs
from tests.contract.intercept import intercept
from tests.contract.narrow import each_server, one_mode, one_server
from tests.contract.store import NOON, STEP, make_event, make_events, snapshot, tag_of, texts
from tests.methods import READS

GARBAGE = [
    b"",
    b"secret",
    b"\xff\xfe secret",
    b"[1]",
    b'"secret"',
    b"null",
    b'{"id":"secret"',
    b'{"secret":1}',
    b'{"id":7,"author":"secret"}',
    b'{"id":"e","timestamp":"2026-13-01T00:00:00Z","author":"secret"}',
    b'{"id":"e","timestamp":"2026-01-01T00:00:00Z","choices":"secret"}',
    b'{"id":"e","timestamp":"2026-01-01T00:00:00Z","choices":["secret"]}',
    b'{"id":"e","stateDelta":{"secret":"!"}}',
    b'{"id":"e","extensions":{"langchain":{"v":1,"type":"unknown","data":{}}},'
    b'"choices":[{"message":{"role":"user","content":"secret"}}]}',
    b'{"id":"e","extensions":{"langchain":{"v":1,"type":"ai","data":{"tool_calls":"secret"}}},'
    b'"choices":[{"message":{"role":"assistant","content":"secret"}}]}',
    b"[" * 5000 + b"secret" + b"]" * 5000,
    b'{"id":"e","secret":' + b"[" * 1000 + b"]" * 1000 + b',"n":123456789012345678901234567890}',
]


@pytest.fixture
async def session(verbs: Verbs, key: SessionKey) -> SessionKey:
    await verbs.create_session("shop", "ann", "s1")
    return key


@pytest.fixture
def events_key(redis_probe: RedisProbe, backend: Backend) -> bytes:
    return redis_probe.key(f"event:{tag_of(backend)}:ann:s1")


@each_server
async def test_corrupt_entries_are_skipped_counted_and_logged_once(
    verbs: Verbs,
    make_verbs: Callable[..., Verbs],
    session: SessionKey,
    redis_probe: RedisProbe,
    events_key: bytes,
    caplog: pytest.LogCaptureFixture,
) -> None:
    await verbs.append_events(session, make_events(1, 100))
    for place, entry in enumerate(GARBAGE):
        redis_probe.zadd(events_key, {entry: NOON + (10 + place) * STEP})
    read = await verbs.get_session(session)
    assert texts(read.events) == ["m1", "m100"]
    assert verbs.service.stats().corrupt_entries == len(GARBAGE)
    assert texts(await verbs.get_messages(session)) == ["m1", "m100"]
    assert verbs.service.stats().corrupt_entries == 2 * len(GARBAGE)

    (record,) = caplog.records
    assert (record.name, record.levelno) == ("langchain_redis_session", logging.WARNING)
    assert events_key.decode() in record.getMessage()
    # What an entry says is nobody's business, in a log.
    for entry in GARBAGE:
        caplog.clear()
        redis_probe.unlink(events_key)
        redis_probe.zadd(events_key, {entry: 1})
        with pytest.raises(CorruptEventError) as raised:
            await verbs.get_events(session, strict=True)
        assert events_key.decode() in str(raised.value)
        assert "secret" not in str(raised.value), entry
        fresh = make_verbs()
        assert await fresh.get_events(session) == []
        (record,) = caplog.records
        assert "secret" not in record.getMessage(), entry


@one_server
async def test_a_timestamp_that_is_none_is_not_logged(
    verbs: Verbs,
    session: SessionKey,
    redis_probe: RedisProbe,
    events_key: bytes,
    caplog: pytest.LogCaptureFixture,
) -> None:
    redis_probe.zadd(events_key, {b'{"id":"e","timestamp":"secret"}': 1})
    assert await verbs.get_events(session) == []
    assert "secret" not in caplog.text


async def test_a_read_is_topped_up(
    backend: Backend,
    make_verbs: Callable[..., Verbs],
    session: SessionKey,
    redis_probe: RedisProbe,
    events_key: bytes,
) -> None:
    verbs, interceptor = intercept(backend, make_verbs)
    await verbs.append_events(session, make_events(1, 2, 3, 4, 5, 6))
    for number in (3, 5):
        redis_probe.zadd(events_key, {b"corrupt": NOON + number * STEP + 512})
    for number in (4, 6):
        redis_probe.zadd(events_key, {b"[corrupt]": NOON + number * STEP + 512})
    await verbs.get_messages(session, limit=3)
    for verb in (verbs.get_messages, verbs.get_events):
        interceptor.requests.clear()
        assert texts(await verb(session, limit=3)) == ["m4", "m5", "m6"]
        assert len(interceptor.requests) == 2
        assert texts(await verb(session, limit=2, offset=2)) == ["m3", "m4"]
    read = await verbs.get_session(session, limit=5)
    assert texts(read.events) == ["m2", "m3", "m4", "m5", "m6"]
    assert read.is_cut
    assert texts(await verbs.get_messages(session, limit=9)) == [f"m{n}" for n in range(1, 7)]


@pytest.mark.parametrize("read", READS)
async def test_strict_reads_raise_at_a_corrupt_entry(
    verbs: Verbs, session: SessionKey, redis_probe: RedisProbe, events_key: bytes, read: str
) -> None:
    await verbs.append_events(session, make_events(1, 2, 3))
    redis_probe.zadd(events_key, {b"corrupt": NOON + 1 * STEP + 512})
    with pytest.raises(CorruptEventError, match=r"event:.*strict=True") as raised:
        await getattr(verbs, read)(session, strict=True)
    assert isinstance(raised.value, ValueError)
    assert texts(await verbs.get_messages(session, strict=True, limit=2)) == ["m2", "m3"]
    assert verbs.service.stats().corrupt_entries == 0


async def test_a_corrupt_entry_is_not_in_the_way_of_other_verbs(
    verbs: Verbs, session: SessionKey, redis_probe: RedisProbe, events_key: bytes
) -> None:
    await verbs.append_event(session, make_event(1, AIMessage("m1", id="i1")))
    redis_probe.zadd(events_key, {b"corrupt": NOON + 1 * STEP + 512})
    await verbs.append_events(session, make_events(2, 3))
    messages = [AIMessage("again", id="i1"), HumanMessage("m4", id="i4")]
    await verbs.append_messages(session, messages, once=True)
    assert texts(await verbs.get_messages(session)) == ["m1", "m2", "m3", "m4"]
    assert texts(await verbs.get_event_window(session, f"{2:032x}", before=9, after=1)) == [
        *("m1", "m2", "m3"),
    ]
    assert texts(await verbs.search_events(session, "m1")) == ["m1"]
    assert texts(await verbs.trim_conversations(session)) == ["m4"]
    assert redis_probe.zscore(events_key, b"corrupt")  # not removed unasked
    assert await verbs.clear_events(session) == 4
    assert redis_probe.exists(events_key) == 0


async def test_a_corrupt_track_entry(
    verbs: Verbs, session: SessionKey, redis_probe: RedisProbe, backend: Backend
) -> None:
    for number in (1, 2):
        await verbs.append_track_event(session, "t", number)
    track_key = redis_probe.key(f"track:{tag_of(backend)}:ann:s1:t")
    redis_probe.zadd(track_key, {b"corrupt": 9e18, b"{}": 9.1e18})
    await verbs.append_track_event(session, "t", 3)
    payloads = [event.payload for event in await verbs.get_track_events(session, "t", limit=3)]
    assert payloads == [1, 2, 3]
    assert verbs.service.stats().corrupt_entries == 2
    with pytest.raises(CorruptEventError, match="track:"):
        await verbs.get_track_events(session, "t", strict=True)


RECORDS = [
    b"corrupt",
    b"[]",
    b'{"id":"s1"',
    b'{"id":"s1","state":7,"createdAt":"2026-01-01T00:00:00Z","updatedAt":"2026-01-01T00:00:00Z"}',
    b'{"id":"s1","state":{"k":7,"l":"!"},"createdAt":"x","updatedAt":"y"}',
    b'{"id":"s1","state":{"tracks":"!"},"createdAt":7,"updatedAt":null}',
    b'corrupt,"updatedAt":"2026-01-01T00:00:00Z"}',
    b'{"id":"s1","x":' + b"[" * 3000 + b"]" * 3000 + b"}",
    b'{"id":"s1","x":' + b"9" * 5000 + b"}",
]


def is_object(record: bytes) -> bool:
    try:
        return isinstance(json.loads(record), dict)
    except (ValueError, RecursionError):
        return False


async def check_missing(
    verbs: Verbs, read: Session, listed: list[Session], *, is_missing: bool
) -> None:
    """What a session says whose record, or only a part of it, can't be read."""
    for session in (read, next(each for each in listed if each.key == read.key)):
        assert session.missing == (("record",) if is_missing else ())
        if is_missing:
            assert session.created_at == to_datetime(int(read.events[0].score or 0))
            assert session.updated_at == to_datetime(int(read.events[-1].score or 0))
    if is_missing:
        with pytest.raises(CorruptEventError, match=r"the record of .* is gone or can't be read"):
            await verbs.get_session(read.key, strict=True)


@each_server
@one_mode
@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record[:30].decode())
async def test_a_corrupt_record_hides_nothing_else(
    verbs: Verbs,
    session: SessionKey,
    redis_probe: RedisProbe,
    backend: Backend,
    caplog: pytest.LogCaptureFixture,
    record: bytes,
) -> None:
    other = SessionKey("shop", "ann", "s2")
    await verbs.create_session("shop", "ann", "s2", state={"own": 1, "user:u": 1})
    await verbs.append_event(session, make_event(1))
    redis_probe.hset(redis_probe.key(f"sess:{tag_of(backend)}:ann"), "s1", record)

    for include_events in (False, True):
        listed = await verbs.list_sessions("shop", "ann", include_events=include_events)
        assert {each.key for each in listed} == {session, other}
        assert (await verbs.get_session(other)).state == {"own": 1, "user:u": 1}
    read = await verbs.get_session(session)
    assert texts(read.events) == ["m1"]
    assert read.state["user:u"] == 1
    await check_missing(verbs, read, listed, is_missing=not is_object(record))
    assert await verbs.list_tracks(session) == []
    assert verbs.service.stats().corrupt_entries > 0
    (warning,) = caplog.records
    assert "sess:" in warning.getMessage()

    # It can still be written to, and is sound again then.
    await verbs.append_event(session, make_event(2))
    await verbs.update_session_state(session, {"new": 1})
    await verbs.append_track_event(session, "t", 1)
    read = await verbs.get_session(session)
    assert texts(read.events) == ["m1", "m2"]
    assert read.state["new"] == 1
    assert read.tracks == ("t",)
    assert await verbs.delete_session(session)
    assert [each.key for each in await verbs.list_sessions("shop", "ann")] == [other]


@each_server
@one_mode
async def test_times_of_a_record_that_no_calendar_has(
    verbs: Verbs, session: SessionKey, redis_probe: RedisProbe, backend: Backend
) -> None:
    record = (
        b'{"id":"s1","state":{},"createdAt":"0001-01-01T00:00:00+08:00",'
        b'"updatedAt":"9999-12-31T23:59:60Z"}'
    )
    redis_probe.hset(redis_probe.key(f"sess:{tag_of(backend)}:ann"), "s1", record)
    await verbs.create_session("shop", "ann", "s2")
    for include_events in (False, True):
        listed = await verbs.list_sessions("shop", "ann", include_events=include_events)
        assert {each.key.session_id for each in listed} == {"s1", "s2"}
    read = await verbs.create_session("shop", "ann", "s1")
    assert (read.created_at.year, read.updated_at.year, read.missing) == (1, 9999, ())
    assert await verbs.list_summaries(session) == []


@each_server
async def test_a_session_id_that_is_no_text(
    verbs: Verbs, session: SessionKey, redis_probe: RedisProbe, backend: Backend
) -> None:
    if backend.is_fake and version("fakeredis") == "2.32.1":
        pytest.skip("the HSCAN of this fakeredis reads UTF-8 only")
    sessions_key = redis_probe.key(f"sess:{tag_of(backend)}:ann")
    redis_probe.hset(sessions_key, mapping={b"\xff": b"{}", b"x" * 600: b"{}"})
    assert [each.key for each in await verbs.list_sessions("shop", "ann")] == [session]
    assert verbs.service.stats().corrupt_entries == 2


WRONG: dict[str, list[str]] = {
    "sess:{tag}:ann": [
        *("create", "append", "append_state", "update_state", "track", "clear", "get", "list"),
        *("delete",),
    ],
    "event:{tag}:ann:s1": ["append", "append_state", "clear", "get", "messages", "trim"],
    "msgidx:{tag}:ann:s1": ["append", "once", "clear"],
    "userstate:{tag}:ann": ["append_state", "get", "list", "user"],
    "appstate:{{shop}}": ["append_state", "get", "list", "app"],
    "track:{tag}:ann:s1:t": ["track", "get_track"],
    "trackidx:{tag}:ann:s1": ["track", "delete"],
    "sesssum:{tag}:ann": ["clear", "delete"],
}
STATE: dict[str, Any] = {"k": 9, "user:k": 9, "app:k": 9}
CALLS: dict[str, Callable[[Verbs, SessionKey], Any]] = {
    "create": lambda v, k: v.create_session("shop", "ann", "s2", state=STATE),
    "append": lambda v, k: v.append_events(k, make_events(8, 9)),
    "append_state": lambda v, k: v.append_event(k, make_event(9, state_delta=STATE)),
    "once": lambda v, k: v.append_messages(k, [HumanMessage("x", id="x")], once=True),
    "update_state": lambda v, k: v.update_session_state(k, STATE),
    "track": lambda v, k: v.append_track_event(k, "t", 9),
    "get_track": lambda v, k: v.get_track_events(k, "t"),
    "clear": lambda v, k: v.clear_events(k),
    "trim": lambda v, k: v.trim_conversations(k),
    "get": lambda v, k: v.get_session(k),
    "messages": lambda v, k: v.get_messages(k),
    "list": lambda v, k: v.list_sessions("shop", "ann"),
    "user": lambda v, k: v.update_user_state("shop", "ann", {"k": 9}),
    "app": lambda v, k: v.update_app_state("shop", {"k": 9}),
    "delete": lambda v, k: v.delete_session(k),
}


@each_server
@pytest.mark.parametrize("name", WRONG)
async def test_a_key_of_the_wrong_type(
    verbs: Verbs, session: SessionKey, redis_probe: RedisProbe, backend: Backend, name: str
) -> None:
    await verbs.append_messages(
        session, [HumanMessage("m")], state_delta={"k": 1, "user:k": 1, "app:k": 1}
    )
    await verbs.append_track_event(session, "other", 1)
    key = redis_probe.key(name.format(tag=tag_of(backend)))
    redis_probe.unlink(key)
    redis_probe.set(key, "of another program")
    before = snapshot(redis_probe)
    calls = WRONG[name]
    if backend.hash_tag == "user" and name.startswith("appstate"):
        calls = ["get", "list", "app"]  # for the others it is a second command
    for call in calls:
        with pytest.raises(RedisSessionError, match="WRONGTYPE"):
            await CALLS[call](verbs, session)
        assert snapshot(redis_probe) == before, call
