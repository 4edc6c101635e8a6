"""A database that trpc-agent-go's service has written, read here: nothing of it is lost.

`expected.json` says what a LangChain reader should give; `hashidx.jsonl`, the same sessions in
trpc-agent-go's newer layout, is not read yet.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import BaseMessage

from langchain_redis_session import Session, SessionKey
from langchain_redis_session._codec.events import decode_event, encode_event
from langchain_redis_session._times import parse_time, to_datetime
from tests.contract.backends import RedisProbe, Verbs
from tests.contract.narrow import one_server

pytestmark = one_server

FOLDER = Path(__file__).parents[1] / "fixtures" / "trpc"
EXPECTED = json.loads((FOLDER / "expected.json").read_text())["layouts"]["zset"]
KEY = SessionKey(*EXPECTED["session"])


def load_store(probe: RedisProbe, file: str) -> None:
    """Write a stored database: every key with its type, members, scores and TTL."""
    for line in (FOLDER / file).read_text().splitlines():
        stored = json.loads(line)
        key = probe.key(stored["key"])
        if stored["type"] == "hash":
            values = {name: b64decode(value) for name, value in stored["fields"].items()}
            probe.hset(key, mapping=values)
        elif stored["type"] == "zset":
            for member, score in stored["members"]:
                probe.execute_command("ZADD", key, score, b64decode(member))
        elif stored["type"] == "set":
            probe.sadd(key, *map(b64decode, stored["members"]))
        else:
            raise AssertionError(f"an unknown type: {stored['type']}")
        if stored["pttl"] >= 0:
            probe.pexpire(key, stored["pttl"])


@pytest.fixture
def verbs(make_verbs: Callable[..., Verbs], redis_probe: RedisProbe) -> Verbs:
    """Verbs on what the Go service has stored."""
    load_store(redis_probe, "zset.jsonl")
    return make_verbs(session_event_limit=None)


def show_value(value: Any) -> Any:
    return {"bytes_base64": b64encode(value).decode()} if isinstance(value, bytes) else value


def show_message(message: BaseMessage) -> list[Any]:
    """A message as `expected.json` has it: what differs from an empty one of its type."""
    fields = {
        name: value
        for name, value in message.model_dump().items()
        if value not in (None, [], {}) and (name, value) != ("status", "success")
    }
    kind, content = fields.pop("type"), fields.pop("content")
    for name in ("tool_calls", "invalid_tool_calls"):
        if name in fields:
            calls = fields[name]
            fields[name] = [[call["id"], call["name"], call["args"]] for call in calls]
    return [kind, content, fields]


def moment(text: str) -> Any:
    return to_datetime(parse_time(text))


def check_session(session: Session) -> None:
    assert session.created_at == moment(EXPECTED["createdAt"])
    assert session.updated_at == moment(EXPECTED["updatedAt"])
    assert {name: show_value(v) for name, v in session.state.items()} == EXPECTED["state"]
    assert sorted(session.tracks) == sorted(EXPECTED["tracks"])


async def test_sessions_of_a_go_service_are_listed_and_read(verbs: Verbs) -> None:
    for name, expected in EXPECTED["sessions"].items():
        app, user = name.split("/")
        listed = await verbs.list_sessions(app, user)
        assert sorted(session.key.session_id for session in listed) == expected
        for session in listed:
            read = await verbs.get_session(session.key)
            assert (read.state, read.created_at) == (session.state, session.created_at)
    check_session(await verbs.get_session(KEY))
    listed = await verbs.list_sessions(KEY.app_name, KEY.user_id)
    check_session(next(session for session in listed if session.key == KEY))


async def test_users_of_a_go_service_are_listed(verbs: Verbs) -> None:
    users = [name.split("/")[1] for name in EXPECTED["sessions"]]
    assert sorted(await verbs.list_users(KEY.app_name)) == users


async def test_events_and_messages_of_a_go_service_are_read(verbs: Verbs) -> None:
    session = await verbs.get_session(KEY, strict=True)
    assert [event.id for event in session.events] == EXPECTED["event_ids"]
    assert not {event.id for event in session.events} & {*EXPECTED["not_stored_by_go"]}
    shown = [
        [event.id, [show_message(m) for m in (event.message, *event.further_messages)]]
        for event in session.events
        if event.message is not None
    ]
    assert shown == EXPECTED["messages"]
    messages = [message for _, messages in EXPECTED["messages"] for message in messages]
    assert [show_message(message) for message in session.messages] == messages
    assert [show_message(message) for message in await verbs.get_messages(KEY)] == messages


async def test_events_written_again_are_the_same(verbs: Verbs) -> None:
    for event in await verbs.get_events(KEY):
        again = decode_event(encode_event(event))
        again.score = event.score
        again.state_delta |= {k: v for k, v in event.state_delta.items() if k.startswith("temp:")}
        assert again == event
        assert again.further_messages == event.further_messages


async def test_tracks_of_a_go_service_are_read(verbs: Verbs) -> None:
    assert sorted(await verbs.list_tracks(KEY)) == sorted(EXPECTED["tracks"])
    for name, payloads in EXPECTED["tracks"].items():
        events = await verbs.get_track_events(KEY, name, strict=True)
        assert [event.payload for event in events] == payloads
        assert [event.track for event in events] == [name] * len(payloads)


async def test_summaries_of_a_go_service_are_read(verbs: Verbs) -> None:
    listed = await verbs.list_summaries(KEY)
    assert {summary.filter_key for summary in listed} == {*EXPECTED["summaries"]}
    last = (await verbs.get_events(KEY))[-1]
    for summary in listed:
        expected = EXPECTED["summaries"][summary.filter_key]
        assert summary.text == expected["text"]
        assert summary.updated_at == moment(expected["updated_at"])
        assert summary.boundary.last_event_id == expected["last_event_id"] == last.id
        assert summary.boundary.cutoff_score == last.score
        assert await verbs.get_summary(KEY, summary.filter_key) == summary
    assert (await verbs.get_session(KEY)).summary == listed[0]
    found = await verbs.get_summarized_messages(KEY)
    assert (found.summary, found.messages) == (listed[0], [])
