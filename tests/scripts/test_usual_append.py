"""The short way of `append_events` does what the full way does, to the byte."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from langchain_redis_session._flow.scripts import load_script
from langchain_redis_session.scripts.bindings import Create
from langchain_redis_session.scripts.replies import Appended, Status
from tests.effort import examples
from tests.scripts.store import CORE, CORE_WITH_LIMIT, MINUTE, UPDATED, Store, make_summary
from tests.scripts.test_append_events import appending
from tests.servers import RedisServer, supports_field_ttl

NOW_S = 1_790_000_000
FIRST, LAST = NOW_S * 10**9, NOW_S * 10**9 + 4096
SHORT_REPLY = 4


def freeze(source: str, *, full: bool) -> str:
    """The script at a fixed time; without its short way, if wanted."""
    edits = {"redis.call('TIME')": f"{{'{NOW_S}', '123456'}}"}
    if full:
        edits["local usual = append_usually(cursor)\n"] = "local usual = nil\n"
    for old, new in edits.items():
        assert source.count(old) == 1
        source = source.replace(old, new)
    return source


SOURCE = load_script("append_events").source
SHORT, FULL = freeze(SOURCE, full=False), freeze(SOURCE, full=True)


@dataclass(frozen=True)
class Case:
    """What stands there, and a call."""

    record: str | None
    events: list[tuple[str, float]]
    beside: dict[str, str]
    lifetimes: dict[str, int]
    sent: list[tuple[Any, ...]]
    options: dict[str, Any]

    def put(self, store: Store) -> None:
        if self.record is not None:
            store.client.hset(store.sessions, "s", self.record)
        if self.events:
            store.client.zadd(store.events, dict(self.events))
        for name, value in self.beside.items():
            key = store.key(name)
            if name == "index":
                store.client.zadd(key, {value: FIRST})
            elif name == "tracks":
                store.client.sadd(key, value)
            else:
                store.client.hset(key, "s:" if name == "summaries" else "other", value)
        for name, ttl_ms in self.lifetimes.items():
            store.client.pexpire(store.key(name), ttl_ms)


def run(client: Any, case: Case, source: str) -> tuple[Any, ...]:
    """What a call replies and leaves, and whether it went the short way."""
    store = Store(client, has_field_ttl=False)
    try:
        case.put(store)
        call = appending(store, *case.sent, **case.options)
        reply = client.execute_command("EVAL", source, len(call.keys), *call.keys, *call.args)
        short = reply[0] == b"OK" and len(reply) == SHORT_REPLY
        return call.parse(reply), store.dump(), store.ttls(), short
    finally:
        client.unlink(*store.keys.common, store.user, store.app)


EXPIRY_MS = st.sampled_from([NOW_S * 1000 - 1, NOW_S * 1000 + 123, NOW_S * 1000 + MINUTE, 77])
CORES = [CORE_WITH_LIMIT, CORE_WITH_LIMIT.replace('Limit":0', 'Limit":3'), CORE, '{"id":"s"']
ENDS = [UPDATED, ',"updatedAt":"2026-01-02T00:00:00Z"}', ',"x":"of another program, not of ours"}']
RECORDS = st.one_of(
    st.none(),
    st.builds(
        lambda core, expiry, end: core + (f',"expiresAtMs":{expiry}' if expiry else "") + end,
        st.sampled_from([*CORES[:1] * 4, *CORES]),
        st.none() | EXPIRY_MS,
        st.sampled_from([*ENDS[:1] * 4, *ENDS]),
    ),
)
MEMBERS = st.sampled_from("abcdef")
SCORES = st.sampled_from([0, 5, FIRST, FIRST, FIRST + 256, LAST, LAST])
TTLS = st.sampled_from([3 * MINUTE, 30 * MINUTE])
CASES = st.builds(
    Case,
    record=RECORDS,
    events=st.lists(st.tuples(MEMBERS, SCORES), max_size=4),
    beside=st.dictionaries(
        st.sampled_from(["sessions", "sessions", "index", "tracks", "summaries"]),
        st.sampled_from([make_summary(FIRST), "a"]),
        max_size=1,
    ),
    lifetimes=st.dictionaries(st.sampled_from(["sessions", "events"]), TTLS),
    sent=st.lists(
        st.tuples(SCORES, st.sampled_from("abghijk")) | st.tuples(SCORES, MEMBERS, st.just("i")),
        max_size=5,
    ),
    options=st.fixed_dictionaries(
        {},
        optional={
            "create": st.sampled_from(Create),
            "limit": st.sampled_from([None, 1, 2, 4, "session"]),
            "ttl": st.sampled_from([0, 10 * MINUTE]),
            "try_field_ttl": st.booleans(),
            "once": st.booleans(),
            "counts": st.booleans(),
            "filter_keys": st.sampled_from([(), (), ("tools",)]),
            "first_us": st.just(FIRST // 1000),
        },
    ),
)


@pytest.mark.parametrize("server", ["redis_server", "field_ttl_redis_server"])
def test_both_ways_reply_the_same_and_leave_the_same(
    server: str, request: pytest.FixtureRequest
) -> None:
    client = request.getfixturevalue(server).client()

    @settings(examples(1000))
    @given(CASES)
    def compare(case: Case) -> None:
        *shortly, short = run(client, case, SHORT)
        *fully, _ = run(client, case, FULL)
        event("short" if short else "full")
        assert shortly == fully

    compare()
    client.close()


USUAL = CORE_WITH_LIMIT + UPDATED
TIMED = CORE_WITH_LIMIT + f',"expiresAtMs":{NOW_S * 1000 + MINUTE}' + UPDATED
OLDER: list[tuple[str, float]] = [("a", FIRST)]
MANY: list[tuple[str, float]] = [(f"{number}", number) for number in range(2000)]
SENT = [(LAST, "x", "ix")]


@pytest.mark.parametrize(
    "case",
    [
        Case(USUAL, OLDER, {}, {}, SENT, {}),
        Case(USUAL, [], {}, {}, SENT, {"create": Create.MISSING}),
        Case(USUAL, OLDER, {"sessions": "x"}, {}, [(LAST, "x"), (LAST, "y")], {"limit": 1}),
        Case(TIMED, OLDER, {}, {"events": MINUTE}, SENT, {"ttl": MINUTE, "limit": "session"}),
        Case(TIMED, OLDER, {}, {"events": MINUTE}, SENT, {}),
        Case(USUAL, MANY, {}, {}, SENT, {"limit": 1}),
    ],
    ids=["plain", "first", "two", "ttl", "no more ttl", "large cut"],
)
def test_the_usual_cases_go_the_short_way(field_ttl_redis_server: RedisServer, case: Case) -> None:
    client = field_ttl_redis_server.client()
    reply, *left, short = run(client, case, SHORT)
    *fully, _ = run(client, case, FULL)
    client.close()
    assert short
    assert [reply, *left] == fully
    assert isinstance(reply, Appended)
    assert reply.status is Status.OK
    ttl = bool(case.options.get("ttl"))
    assert reply.field_ttl is (supports_field_ttl(field_ttl_redis_server.binary) if ttl else None)


@pytest.mark.parametrize(
    "case",
    [
        Case(USUAL, OLDER, {}, {}, [(LAST, "x"), (LAST, "y"), (LAST, "x")], {}),
        Case(USUAL, [], {}, {}, [(0, "x"), (0, "y")], {}),
        Case(USUAL, [("a", LAST)], {}, {}, SENT, {}),
        Case(USUAL, OLDER, {"summaries": make_summary(FIRST)}, {}, SENT, {}),
        Case(USUAL, OLDER, {"tracks": "t"}, {}, SENT, {}),
        Case(USUAL, OLDER, {"index": "i"}, {}, SENT, {}),
        Case(USUAL, OLDER, {"index": "i"}, {}, SENT, {"once": True}),
        Case(USUAL, OLDER, {}, {}, SENT, {"counts": True}),
        Case(USUAL, OLDER, {}, {}, SENT, {"filter_keys": ("tools",)}),
        Case(USUAL, OLDER, {}, {}, SENT, {"uses": []}),
        Case(USUAL, OLDER, {}, {}, SENT, {"user": {"k": b"1"}}),
    ],
    ids=[
        "a b a",
        "no time",
        "later",
        "summary",
        "track",
        "index",
        "once",
        "counts",
        "filter key",
        "usage",
        "state",
    ],
)
def test_what_is_not_usual_falls_through_in_the_same_call(
    redis_server: RedisServer, case: Case
) -> None:
    client = redis_server.client()
    *fell, short = run(client, case, SHORT)
    *fully, _ = run(client, case, FULL)
    client.close()
    assert not short
    assert fell == fully
    assert fell[0].status is Status.OK
