"""docs/stored-format.md says what stands in Redis, how long, and who deletes it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langgraph.store.base import TTLConfig

from langchain_redis_session import RedisSessionMemoryStore, SessionKey
from tests.contract.backends import Backend, RedisProbe, Verbs
from tests.contract.narrow import each_server, one_mode, one_server
from tests.contract.store import make_answer, make_event, snapshot
from tests.stored_format import KEY_ROWS, MARK_ROW, read_example

LIFETIMES = {
    "session_ttl": 3600,
    "track_event_ttl": 2 * 3600,
    "user_state_ttl": 3 * 3600,
    "app_state_ttl": 4 * 3600,
    "summary_job_timeout": 1800,
    "default_ttl": 5 * 3600,
}
HALF = {name: seconds // 2 for name, seconds in LIFETIMES.items()}

Seen = dict[str, tuple[str, int]]


class Writer:
    """Writes everything that a session can have, and looks while it is there.

    Attributes:
        seen: Type and TTL in ms of every key, also of those that were there for a while.
    """

    def __init__(
        self, make_verbs: Callable[..., Verbs], probe: RedisProbe, lifetimes: dict[str, int]
    ) -> None:
        self.seen: Seen = {}
        self._probe = probe
        options = {**lifetimes}
        self._default_ttl = TTLConfig(default_ttl=options.pop("default_ttl") / 60)
        self.verbs = make_verbs(
            summarizer=self._summarize, auto_summarize=False, track_usage=True, **options
        )

    def _look(self) -> None:
        for name, ttl_ms in self._probe.ttls().items():
            self.seen[name] = (self._probe.type(self._probe.key(name)).decode(), ttl_ms)

    def _summarize(self, _: Any) -> str:
        self._look()
        return "They met."

    async def write(self, key: SessionKey, number: int = 1) -> None:
        appended = await self.verbs.append_messages(
            key,
            [HumanMessage(f"m{number}", id=f"i{number}"), AIMessage("hello"), AIMessage("!")],
            create=True,
            once=True,
            state_delta={"k": number, "user:k": 1, "app:k": 1},
        )
        await self.verbs.remove_events(key, [appended.events[-1].id])
        await self.verbs.append_track_event(key, "t", number)
        await self.verbs.create_summary(key, force=True)
        for user in (None, key.user_id):
            store = RedisSessionMemoryStore(
                self.verbs.service,
                app_name=key.app_name,
                user=user,
                index={"dims": 1, "embed": lambda texts: [[1.0] for _ in texts]},
                ttl=self._default_ttl,
            )
            await self.verbs.of(store).put(("t",), "k", {"likes": "tea"})
        self._look()


def is_near(ttl_ms: int, expected: int) -> bool:
    return expected - 60_000 < ttl_ms <= expected


@each_server
async def test_types_and_ttls_are_those_in_the_table(
    make_verbs: Callable[..., Verbs], redis_probe: RedisProbe, backend: Backend, key: SessionKey
) -> None:
    writer = Writer(make_verbs, redis_probe, LIFETIMES)
    await writer.write(key)
    rows = {row.key(key, backend.hash_tag): row for row in KEY_ROWS}
    assert {name: type_ for name, (type_, _) in writer.seen.items()} == {
        name: row.type for name, row in rows.items()
    }
    for name, (_, ttl_ms) in writer.seen.items():
        assert is_near(ttl_ms, rows[name].ttl_ms(LIFETIMES)), name

    shorter = Writer(make_verbs, redis_probe, HALF)
    await shorter.write(key, 2)
    assert shorter.seen.keys() == rows.keys()
    for name, (_, ttl_ms) in shorter.seen.items():
        only_grows = "only grows" in rows[name].ttl
        assert is_near(ttl_ms, rows[name].ttl_ms(LIFETIMES if only_grows else HALF)), name


def _is_of(session: SessionKey, field: bytes) -> bool:
    own = session.session_id.encode()
    return field == own or field.startswith(own + b":")


def _expect(fate: str, value: Any, session: SessionKey) -> Any:
    """Give what is left of a key's value; None if nothing is."""
    if fate == "field goes":
        return {field: v for field, v in value.items() if not _is_of(session, field)} or None
    return {"stays": value, "goes": None}[fate]


@pytest.mark.parametrize("method", ["clear_events", "delete_session", "delete_user"])
@each_server
async def test_deletes_leave_what_the_table_says(
    make_verbs: Callable[..., Verbs],
    redis_probe: RedisProbe,
    backend: Backend,
    key: SessionKey,
    method: str,
) -> None:
    writer = Writer(make_verbs, redis_probe, LIFETIMES)
    other, stranger = SessionKey("shop", "ann", "s11"), SessionKey("shop", "bob", "s1")
    names = {row.name: row.key(key, backend.hash_tag) for row in KEY_ROWS}
    for each in (key, other, stranger):
        await writer.write(each)
    redis_probe.set(redis_probe.key(names["summary lease"]), "token", px=600_000)
    theirs = '{"":{"summary":"x"}}'  # trpc-agent-go's
    redis_probe.hset(redis_probe.key(names["summaries"]), key.session_id, theirs)
    before = snapshot(redis_probe)
    assert before.keys() > set(names.values())

    if method == "delete_user":
        await writer.verbs.delete_user("shop", "ann")
    else:
        await getattr(writer.verbs, method)(key)

    expected = dict(before)
    for session in (other, key) if method == "delete_user" else (key,):
        for row in KEY_ROWS:
            name = row.key(session, backend.hash_tag)
            if name in before:
                expected[name] = _expect(getattr(row, method), before[name], session)
    left = {name: value for name, value in expected.items() if value is not None}
    assert snapshot(redis_probe) == left


@pytest.mark.parametrize("method", ["clear_events", "delete_session", "delete_user"])
@each_server
async def test_deletes_leave_the_mark_that_the_table_says(
    make_verbs: Callable[..., Verbs], redis_probe: RedisProbe, key: SessionKey, method: str
) -> None:
    verbs = make_verbs()
    await verbs.create_session(*key.scope)
    await getattr(verbs, method)(*(key.scope[:2] if method == "delete_user" else [key]))

    marks = redis_probe.keys("erased:*")
    assert len(marks) == {"stays": 0, "is set": 1}[getattr(MARK_ROW, method)]
    for mark in marks:
        assert redis_probe.type(mark).decode() == MARK_ROW.type
        assert MARK_ROW.ttl == "30 days"
        assert is_near(redis_probe.pttl(mark), 30 * 86_400_000)


def _members(value: Any) -> Any:
    """Give the names of an object's members in their order, and of those in it."""
    if isinstance(value, dict):
        return [(name, _members(member)) for name, member in value.items()]
    return _members(value[0]) if isinstance(value, list) and value else None


@one_server
@one_mode
async def test_the_examples_have_the_members_that_are_stored(
    make_verbs: Callable[..., Verbs], redis_probe: RedisProbe, backend: Backend, key: SessionKey
) -> None:
    verbs = Writer(make_verbs, redis_probe, LIFETIMES).verbs
    await verbs.create_session("shop", "ann", "s1", {"city": "Paris"})
    await verbs.append_track_event(key, "tools", 1)
    message = AIMessage(
        "hi",
        id="r1",
        tool_calls=[{"name": "add", "args": {"a": 1}, "id": "c1"}],
        usage_metadata={"input_tokens": 3, "output_tokens": 5, "total_tokens": 8},
    )
    named = dict.fromkeys(["request_id", "invocation_id", "branch", "tag"], "x")
    event = make_event(1, message, filter_key="f", state_delta={"city": "Rome"}, **named)
    result = make_event(2, ToolMessage("1", tool_call_id="c1"))
    await verbs.append_events(key, [event, result, make_answer(3)])
    await verbs.create_summary(key, force=True)
    store = RedisSessionMemoryStore(verbs.service, app_name="shop", user="ann")
    await verbs.of(store).put(("t",), "k", {"likes": "tea"}, ttl=60)

    names = {row.name: redis_probe.key(row.key(key, backend.hash_tag)) for row in KEY_ROWS}
    entry, *_ = redis_probe.zrange(names["events"], 0, -1)
    stored = {
        "Sessions": redis_probe.hget(names["sessions"], "s1"),
        "Events": entry,
        "Memory": redis_probe.hget(names["user memory"], "k"),
        "Summaries": redis_probe.hget(names["summaries"], "s1:"),
    }
    for heading, value in stored.items():
        assert _members(json.loads(value)) == _members(read_example(heading)), heading
