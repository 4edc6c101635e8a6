"""The bytes in Redis, which trpc-agent-go and others read: names, types, layout."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage

from langchain_redis_session import Event, SessionKey
from tests.contract.backends import Backend, RedisProbe, Verbs
from tests.contract.narrow import each_server, one_mode
from tests.contract.store import NOON, load, make_event, make_events, read_record, tag_of, texts

SECOND = r'"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d'
TIME = rf'{SECOND}\.\d{{9}}Z"'
TRIMMED_TIME = rf'{SECOND}(\.\d*[1-9])?Z"'
HUNDRED_YEARS = 100 * 365 * 24 * 3600


async def test_names_and_types_of_keys(
    verbs: Verbs, key: SessionKey, redis_probe: RedisProbe, backend: Backend
) -> None:
    await verbs.append_messages(
        key,
        [HumanMessage("hi", id="i")],
        create=True,
        once=True,
        state_delta={"k": 1, "user:k": [2], "app:k": "3"},
    )
    await verbs.append_track_event(key, "tools", {})
    tag = "{shop:ann}" if backend.hash_tag == "user" else "{shop}"
    types = {name: redis_probe.type(redis_probe.key(name)) for name in redis_probe.names()}
    assert types == {
        "appstate:{shop}": b"hash",
        f"userstate:{tag}:ann": b"hash",
        f"sess:{tag}:ann": b"hash",
        f"event:{tag}:ann:s1": b"zset",
        f"track:{tag}:ann:s1:tools": b"zset",
        f"trackidx:{tag}:ann:s1": b"set",
        f"msgidx:{tag}:ann:s1": b"zset",
    }
    assert redis_probe.hgetall(redis_probe.key("appstate:{shop}")) == {b"k": b'"3"'}
    assert redis_probe.hgetall(redis_probe.key(f"userstate:{tag}:ann")) == {b"k": b"[2]"}
    assert redis_probe.smembers(redis_probe.key(f"trackidx:{tag}:ann:s1")) == {b"tools"}
    events = redis_probe.zrange(redis_probe.key(f"event:{tag}:ann:s1"), 0, -1, withscores=True)
    index = redis_probe.zrange(redis_probe.key(f"msgidx:{tag}:ann:s1"), 0, -1, withscores=True)
    assert [tuple(pair) for pair in index] == [(b"i", events[0][1])]


async def test_a_plain_session_has_two_keys(
    verbs: Verbs, key: SessionKey, redis_probe: RedisProbe, backend: Backend
) -> None:
    await verbs.append_messages(key, [HumanMessage("hi")], create=True)
    tag = tag_of(backend)
    assert redis_probe.names() == [f"event:{tag}:ann:s1", f"sess:{tag}:ann"]


@pytest.mark.parametrize("session_ttl", [None, 3600], ids=["", "ttl"])
async def test_the_layout_of_a_record(
    make_verbs: Callable[..., Verbs],
    key: SessionKey,
    redis_probe: RedisProbe,
    backend: Backend,
    session_ttl: float | None,
) -> None:
    verbs = make_verbs(session_ttl=session_ttl)
    tag = tag_of(backend)
    expires = r',"expiresAtMs":\d{13}' if session_ttl else ""
    ending = rf',"eventLimit":1000,"createdAt":{TRIMMED_TIME}{expires},"updatedAt":{TIME}}}'
    await verbs.create_session("shop", "ann", "s1", state={"k": "v", "n": None})
    state = f'{{"k":"{b64encode(b"v").decode()}"'
    state = '{"k":"InYi","n":"bnVsbA=="'
    record = read_record(redis_probe, key, tag).decode()
    assert re.fullmatch(re.escape(f'{{"id":"s1","state":{state}}}') + ending, record)

    await verbs.append_events(key, make_events(1, 2))
    await verbs.update_session_state(key, {"raw": b"\xff"})
    await verbs.append_track_event(key, "tools", 1)
    await verbs.append_track_event(key, "a:b", 1)
    await verbs.clear_events(key)
    tracks = b64encode(b'["tools","a:b"]').decode()
    state += f',"raw":"/w==","tracks":"{tracks}"'
    record = read_record(redis_probe, key, tag).decode()
    assert re.fullmatch(re.escape(f'{{"id":"s1","state":{state}}}') + ending, record)


async def test_the_layout_of_an_event(
    verbs: Verbs, key: SessionKey, redis_probe: RedisProbe, backend: Backend
) -> None:
    tag = tag_of(backend)
    await verbs.create_session("shop", "ann", "s1")
    event = Event(
        AIMessage(
            "five",
            tool_calls=[{"name": "add", "args": {"a": 1}, "id": "c1"}],
            usage_metadata={"input_tokens": 3, "output_tokens": 5, "total_tokens": 8},
        ),
        author="bot",
        request_id="r",
        branch="b",
        tag="t",
        filter_key="f",
        state_delta={"k": 1, "temp:x": 1},
        id="e" * 32,
        time_ns=NOON + 5,
    )
    await verbs.append_event(key, event)
    ((member, score),) = redis_probe.zrange(
        redis_probe.key(f"event:{tag}:ann:s1"), 0, -1, withscores=True
    )
    assert score == float(NOON + 5)
    call = {"type": "function", "id": "c1", "function": {"name": "add", "arguments": '{"a":1}'}}
    message = {"role": "assistant", "content": "five", "tool_calls": [call]}
    assert load(member) == {
        "id": "e" * 32,
        "timestamp": "2026-09-21T14:13:20.000000005Z",
        "author": "bot",
        "requestID": "r",
        "choices": [{"message": message}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8},
        "stateDelta": {"k": "MQ=="},
        "branch": "b",
        "tag": "t",
        "filterKey": "f",
        "version": 1,
    }


async def test_the_layout_of_a_track_event(
    verbs: Verbs, key: SessionKey, redis_probe: RedisProbe, backend: Backend
) -> None:
    await verbs.create_session("shop", "ann", "s1")
    made = await verbs.append_track_event(key, "tools", {"ms": 3}, NOON)
    ((member, score),) = redis_probe.zrange(
        redis_probe.key(f"track:{tag_of(backend)}:ann:s1:tools"), 0, -1, withscores=True
    )
    assert score == float(NOON)
    assert load(member) == {
        "id": made.id,
        "track": "tools",
        "payload": {"ms": 3},
        "timestamp": "2026-09-21T14:13:20.000000000Z",
    }


# --- Records that trpc-agent-go wrote ------------------------------------------------------------

CREATED, UPDATED = "2026-09-21T14:13:20.5Z", "2026-09-21T16:13:20+02:00"
STATE = {"k": b64encode(b"1").decode(), "raw": b64encode(b"\xfe").decode(), "none": None}
FOREIGN: dict[str, dict[str, Any]] = {
    "as-ours": {"id": "s1", "state": STATE, "createdAt": CREATED, "updatedAt": UPDATED},
    "other-order": {"updatedAt": UPDATED, "state": STATE, "createdAt": CREATED, "id": "s1"},
    "generation-before": {
        **{"id": "s1", "generation": 7, "state": STATE},
        **{"createdAt": CREATED, "updatedAt": UPDATED},
    },
    "generation-after": {
        **{"id": "s1", "state": STATE, "createdAt": CREATED},
        **{"updatedAt": UPDATED, "generation": 7},
    },
    "unknown": {
        **{"appName": "shop", "x": {"updatedAt": UPDATED, "y": [1.5, 2**60]}, "id": "s1"},
        **{"state": STATE, "createdAt": CREATED, "updatedAt": UPDATED, "z": {"updatedAt": "z"}},
    },
    "tracks": {
        **{"id": "s1", "state": {**STATE, "tracks": b64encode(b'["go"]').decode()}},
        **{"createdAt": CREATED, "updatedAt": UPDATED},
    },
}
REST = ("id", "state", "createdAt", "updatedAt", "expiresAtMs")

CHANGES: dict[str, Callable[[Verbs, SessionKey], Any]] = {
    "append": lambda v, k: v.append_event(k, make_event(2)),
    "append_state": lambda v, k: v.append_event(k, make_event(2, state_delta={"new": 1})),
    "update_state": lambda v, k: v.update_session_state(k, {"new": 1}),
    "delete_state": lambda v, k: v.delete_session_state(k, "missing"),
    "clear": lambda v, k: v.clear_events(k),
    "remove": lambda v, k: v.remove_events(k, [make_event(1).id]),
    "trim": lambda v, k: v.trim_conversations(k),
    "track": lambda v, k: v.append_track_event(k, "go", 1),
    "create": lambda v, _: v.create_session("shop", "ann", "s1", state={"k": 9}),
    "read": lambda v, k: v.get_session(k),
}


@each_server
@one_mode
@pytest.mark.parametrize("spaces", [False, True], ids=["", "spaces"])
@pytest.mark.parametrize("name", FOREIGN)
async def test_a_foreign_record_keeps_its_members(
    make_verbs: Callable[..., Verbs],
    key: SessionKey,
    redis_probe: RedisProbe,
    backend: Backend,
    name: str,
    spaces: bool,
) -> None:
    verbs = make_verbs(session_ttl=HUNDRED_YEARS, refresh_ttl_on_read=True)
    tag, foreign = tag_of(backend), FOREIGN[name]
    members = {name: value for name, value in foreign.items() if name not in REST}
    had_tracks = name == "tracks"
    separators = None if spaces else (",", ":")
    for change, call in CHANGES.items():
        sessions_key = redis_probe.key(f"sess:{tag}:ann")
        redis_probe.hset(sessions_key, "s1", json.dumps(foreign, separators=separators))
        await verbs.append_event(key, make_event(1)) if change in (
            "clear",
            "remove",
            "trim",
        ) else None
        read = await verbs.get_session(key)
        assert read.state == {"k": 1, "raw": b"\xfe", "none": None}
        assert read.tracks == (("go",) if had_tracks else ())
        assert read.created_at.isoformat() == "2026-09-21T14:13:20.500000+00:00"

        await call(verbs, key)
        record = load(read_record(redis_probe, key, tag))
        assert {name: record[name] for name in record if name not in REST} == members, change
        assert record["id"] == "s1"
        assert record["createdAt"] == CREATED
        if change in ("read", "create"):
            assert record["updatedAt"] == UPDATED
        else:
            assert record["updatedAt"] != UPDATED, change
            assert list(record)[-2:] == ["expiresAtMs", "updatedAt"], change
        expected = {"k": 1, "raw": b"\xfe", "none": None}
        if change in ("append_state", "update_state"):
            expected["new"] = 1
        read = await verbs.get_session(key)
        assert read.state == expected, change
        assert read.tracks == (("go",) if had_tracks or change == "track" else ())
        expected_texts = ["m2"] if change.startswith("append") else []
        assert texts(read.events) == expected_texts, change
        (listed,) = await verbs.list_sessions("shop", "ann")
        assert listed.key == key
        await verbs.delete_user("shop", "ann")


async def test_foreign_records_are_listed_by_their_times(
    verbs: Verbs, redis_probe: RedisProbe, backend: Backend
) -> None:
    sessions_key = redis_probe.key(f"sess:{tag_of(backend)}:ann")
    for number, updated in enumerate(
        ["2026-09-21T14:13:20Z", "2026-09-21T13:13:20.5-02:00", "2026-09-21T14:13:20.25Z"]
    ):
        record = {"updatedAt": updated, "id": f"s{number}", "state": {}, "createdAt": updated}
        redis_probe.hset(sessions_key, f"s{number}", json.dumps(record))
    listed = await verbs.list_sessions("shop", "ann")
    assert [session.key.session_id for session in listed] == ["s1", "s2", "s0"]


@each_server
@one_mode
async def test_an_empty_record_is_written_anew(
    verbs: Verbs, key: SessionKey, redis_probe: RedisProbe, backend: Backend
) -> None:
    redis_probe.hset(redis_probe.key(f"sess:{tag_of(backend)}:ann"), "s1", b"")
    await verbs.append_event(key, make_event(1, state_delta={"k": 1}))
    session = await verbs.get_session(key)
    assert texts(session.events) == ["m1"]
    assert session.state == {"k": 1}


@each_server
@one_mode
async def test_reading_refreshes_a_session_that_only_others_write(
    make_verbs: Callable[..., Verbs], key: SessionKey, redis_probe: RedisProbe, backend: Backend
) -> None:
    verbs, tag = make_verbs(session_ttl=3600, refresh_ttl_on_read=True), tag_of(backend)
    await make_verbs(session_ttl=10).append_messages(key, [HumanMessage("hi")], create=True)
    sessions_key = redis_probe.key(f"sess:{tag}:ann")
    redis_probe.hset(sessions_key, "s1", json.dumps(FOREIGN["generation-after"]))
    redis_probe.pexpire(sessions_key, 10_000)
    assert len(await verbs.get_messages(key)) == 1
    assert redis_probe.pttl(redis_probe.key(f"event:{tag}:ann:s1")) > 3_000_000
    assert redis_probe.pttl(sessions_key) > 3_000_000
