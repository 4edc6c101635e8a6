"""The short way of `append_events` does what the full way does, to the byte."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langchain_redis_session._flow.scripts import load_script
from langchain_redis_session.scripts.bindings import Create
from langchain_redis_session.scripts.replies import Appended, Status
from tests.effort import examples
from tests.scripts.store import CORE, CORE_WITH_LIMIT, MINUTE, UPDATED, Store, make_summary
from tests.scripts.test_append_events import appending
from tests.servers import RedisServer, ServerBinary, supports_field_ttl

NOW_S = 1_790_000_000
FIRST, LAST = NOW_S * 10**9, NOW_S * 10**9 + 4096


def freeze(source: str, *, full: bool) -> str:
    """The script at a fixed time; without its short way, if wanted."""
    edits = {"redis.call('TIME')": f"{{'{NOW_S}', '123456'}}"}
    if full:
        edits["if string.byte(flags) ~= 115 then break end"] = "do break end"
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


def tell(reply: Appended, case: Case) -> Appended:
    """What a caller acts upon: a limit that the events are below, and a server that has TTLs per
    field, it need not be told of."""
    limit = reply.event_limit
    return reply._replace(
        field_ttl=False if reply.field_ttl is False else None,
        event_limit=limit if limit and limit < len(case.sent) else None,
    )


def run(client: Any, case: Case, source: str) -> tuple[Any, ...]:
    """What a call replies and leaves, and whether it went the short way."""
    store = Store(client, has_field_ttl=False)
    try:
        case.put(store)
        call = appending(store, *case.sent, **case.options)
        reply = client.execute_command("EVAL", source, len(call.keys), *call.keys, *call.args)
        return tell(call.parse(reply), case), store.dump(), store.ttls(), isinstance(reply, int)
    finally:
        client.unlink(*store.keys.common, store.user, store.app)


EXPIRY_MS = st.sampled_from([NOW_S * 1000 - 1, NOW_S * 1000 + 123, NOW_S * 1000 + MINUTE, 77])
CORES = [CORE_WITH_LIMIT, CORE_WITH_LIMIT.replace('Limit":0', 'Limit":3'), CORE, '{"id":"s"']
ENDS = [UPDATED, ',"updatedAt":"2026-01-02T00:00:00Z"}', ',"x":"of another program, not of ours"}']


def records(cores: list[str], expiries: st.SearchStrategy[int], ends: list[str]) -> Any:
    return st.builds(
        lambda core, expiry, end: core + (f',"expiresAtMs":{expiry}' if expiry else "") + end,
        st.sampled_from(cores),
        st.none() | expiries,
        st.sampled_from(ends),
    )


MEMBERS = st.sampled_from("abcdef")
SCORES = st.sampled_from([0, 5, FIRST, FIRST, FIRST + 256, LAST, LAST])
TTLS = st.sampled_from([3 * MINUTE, 30 * MINUTE])
OPTIONS = {
    "create": st.sampled_from([Create.NEVER, Create.MISSING]),
    "limit": st.sampled_from([None, 1, 2, 4, "session"]),
    "ttl": st.sampled_from([0, 10 * MINUTE]),
    "try_field_ttl": st.booleans(),
    "first_us": st.just(FIRST // 1000),
}
USUAL_PARTS: dict[str, st.SearchStrategy[Any]] = {
    "record": records(CORES[:2], EXPIRY_MS.filter(lambda ms: ms > NOW_S * 1000), ENDS[:1]),
    "events": st.lists(st.tuples(MEMBERS, SCORES.filter(lambda score: score < LAST)), max_size=4),
    "beside": st.sampled_from([{}, {"sessions": "a"}]),
    "lifetimes": st.dictionaries(st.sampled_from(["sessions", "events"]), TTLS),
    "sent": st.lists(
        st.tuples(st.sampled_from([LAST, LAST, LAST + 256, LAST + 4096]), st.sampled_from("ghijk")),
        min_size=1,
        unique_by=lambda sent: sent[1],
    ).map(sorted),
    "options": st.fixed_dictionaries({}, optional=OPTIONS),
}
ANY_PARTS: dict[str, st.SearchStrategy[Any]] = {
    "record": st.none() | records(CORES, EXPIRY_MS, ENDS),
    "events": st.lists(st.tuples(MEMBERS, SCORES), max_size=4),
    "beside": st.dictionaries(
        st.sampled_from(["sessions", "index", "tracks", "summaries"]),
        st.sampled_from([make_summary(FIRST), "a"]),
        max_size=1,
    ),
    "sent": st.lists(
        st.tuples(SCORES, st.sampled_from("abghijk")) | st.tuples(SCORES, MEMBERS, st.just("i")),
        max_size=5,
    ),
    "options": st.fixed_dictionaries(
        {},
        optional=OPTIONS
        | {
            "create": st.sampled_from(Create),
            "once": st.booleans(),
            "counts": st.booleans(),
            "filter_keys": st.sampled_from([(), (), ("tools",)]),
        },
    ),
}


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Usual cases, and those that are not for some reason."""
    odd = draw(st.sets(st.sampled_from(sorted(ANY_PARTS)), max_size=3))
    parts = USUAL_PARTS | {name: ANY_PARTS[name] for name in odd}
    return Case(**{name: draw(part) for name, part in parts.items()})


@pytest.mark.parametrize("server", ["redis_server", "field_ttl_redis_server"])
def test_both_ways_reply_the_same_and_leave_the_same(
    server: str, request: pytest.FixtureRequest
) -> None:
    client = request.getfixturevalue(server).client()

    @settings(examples(1000))
    @given(cases())
    def compare(case: Case) -> None:
        *shortly, short = run(client, case, SHORT)
        *fully, _ = run(client, case, FULL)
        ways[short] += 1
        assert shortly == fully

    ways = Counter[bool]()
    compare()
    client.close()
    # So that it compares something, and the rest falls through.
    assert min(ways[True], ways[False]) * 10 > ways.total()


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
        Case(USUAL, OLDER, {"sessions": "x"}, {}, [(LAST, "x"), (LAST, "y")], {"limit": 2}),
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
    assert reply.status is Status.OK


@pytest.mark.parametrize("removed", [0, 1])
def test_the_usual_case_finds_out_that_a_server_lacks_ttls_per_field(
    redis_server: RedisServer, redis_binary: ServerBinary, removed: int
) -> None:
    client = redis_server.client()
    older = [("a", float(FIRST)), ("b", float(FIRST + 256))]
    options = {"ttl": MINUTE, "limit": 3 - removed}
    reply, *_, short = run(client, Case(TIMED, older, {}, {}, SENT, options), SHORT)
    client.close()
    assert short
    assert reply.removed == removed
    assert reply.field_ttl is (None if supports_field_ttl(redis_binary) else False)


@pytest.mark.parametrize(
    "case",
    [
        Case(USUAL, OLDER, {}, {}, [(LAST, "x"), (LAST, "y"), (LAST, "x")], {}),
        Case(USUAL, [], {}, {}, [(0, "x"), (0, "y")], {}),
        Case(USUAL, OLDER, {}, {}, [(LAST, "x"), (LAST - 512, "y")], {}),
        Case(USUAL, OLDER, {}, {}, [(LAST, "x"), (LAST, "y")], {"limit": 1}),
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
        "backwards",
        "over the limit",
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
