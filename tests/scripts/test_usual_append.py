"""The short way of `append_events` does what the full way does, to the byte."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langchain_redis_session._flow.requests import Command
from langchain_redis_session._flow.scripts import load_script
from langchain_redis_session.scripts import usual_append
from langchain_redis_session.scripts.bindings import Create
from langchain_redis_session.scripts.replies import Appended, Fate, Status
from tests.effort import examples
from tests.scripts.store import CORE, CORE_WITH_LIMIT, MINUTE, UPDATED, Store, make_summary
from tests.scripts.test_append_events import appending, make_entries
from tests.servers import RedisServer, ServerBinary, supports_field_ttl

NOW_S = 1_790_000_000
FIRST, LAST = NOW_S * 10**9, NOW_S * 10**9 + 4096


def freeze(source: str) -> str:
    """The script at a fixed time."""
    assert source.count("redis.call('TIME')") == 1
    return source.replace("redis.call('TIME')", f"{{'{NOW_S}', '123456'}}")


SOURCE = freeze(load_script("append_events").source)


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


def call_usually(store: Store, case: Case) -> tuple[Command, Sequence[float]] | None:
    """The call for what may be the usual case; None where the options alone say that it isn't."""
    options = dict(case.options)
    create, limit = options.pop("create", Create.NEVER), options.pop("limit", None)
    ttl, try_field_ttl = options.pop("ttl", 0), options.pop("try_field_ttl", True)
    first_us = options.pop("first_us", None)
    if any(options.values()) or "uses" in options or create is Create.ONLY or not case.sent:
        return None
    full = appending(store, *case.sent, **case.options)
    beginning = usual_append.begin_call(
        store.keys,
        create=create,
        record_start=cast(bytes, full.args[2]),
        event_limit=limit,
        session_ttl_ms=ttl,
        try_field_ttl=try_field_ttl,
    )
    return usual_append.end_call(beginning, make_entries(case.sent), first_us)


def run(client: Any, case: Case, *, shortly: bool) -> tuple[Any, ...]:
    """What a call tells its caller and leaves in Redis, whether it went the short way, and the
    scores that it asked for."""
    store = Store(client, has_field_ttl=False)
    try:
        case.put(store)
        call = appending(store, *case.sent, **case.options)
        command, scores = call.by_sha(), cast(Sequence[float], ())
        if shortly and (usual := call_usually(store, case)) is not None:
            command, scores = usual
        reply = client.execute_command("EVAL", SOURCE, *command[2:])
        short = isinstance(reply, int)
        if short:
            removed, field_ttl = usual_append.read_reply(reply)
            fates = [Fate.FRESH] * len(scores)
            told = Appended(Status.OK, removed, field_ttl, fates, list(scores))
        else:
            told = call.parse(reply)
        return shorten(told, case), store.dump(), store.ttls(), short, scores
    finally:
        client.unlink(*store.keys.common, store.user, store.app)


def shorten(told: Appended, case: Case) -> Appended:
    """What a caller acts upon: it need not know a limit that the events are below, nor that the
    server has TTLs per field."""
    limit = told.event_limit
    return told._replace(
        field_ttl=False if told.field_ttl is False else None,
        event_limit=limit if limit and limit < len(case.sent) else None,
    )


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
    case = Case(**{name: draw(part) for name, part in parts.items()})
    # An event wants its own time: it is stored at that score or above it, never below.
    stored = dict(case.events)
    sent = [(min(score, stored.get(text, score)), text, *rest) for score, text, *rest in case.sent]
    return replace(case, sent=sent)


@pytest.mark.parametrize("server", ["redis_server", "field_ttl_redis_server"])
def test_both_ways_reply_the_same_and_leave_the_same(
    server: str, request: pytest.FixtureRequest
) -> None:
    client = request.getfixturevalue(server).client()

    @settings(examples(1000))
    @given(cases())
    def compare(case: Case) -> None:
        *shortly, short, scores = run(client, case, shortly=True)
        if not short and scores:  # asked for with raised scores, it is as if they were wanted
            sent = [(score, *rest) for score, (_, *rest) in zip(scores, case.sent, strict=True)]
            case = replace(case, sent=sent)
        *fully, _, _ = run(client, case, shortly=False)
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
UPPER = ',"upper":1'
NOT_LAST = ',"updatedAt":"2026-01-02T00:00:00Z","y":"123"}'
"""As long as `UPDATED`."""


@pytest.mark.parametrize(
    "case",
    [
        Case(USUAL, OLDER, {}, {}, SENT, {}),
        Case(USUAL, [], {}, {}, SENT, {"create": Create.MISSING}),
        Case(USUAL, OLDER, {"sessions": "x"}, {}, [(LAST, "x"), (LAST, "y")], {"limit": 2}),
        Case(TIMED, OLDER, {}, {"events": MINUTE}, SENT, {"ttl": MINUTE, "limit": "session"}),
        Case(TIMED, OLDER, {}, {"events": MINUTE}, SENT, {}),
        Case(USUAL, MANY[:4], {}, {}, SENT, {"limit": 2}),
        Case(USUAL, MANY, {}, {}, SENT, {"limit": 1}),
    ],
    ids=["plain", "first", "two", "ttl", "no more ttl", "small cut", "large cut"],
)
def test_the_usual_cases_go_the_short_way(field_ttl_redis_server: RedisServer, case: Case) -> None:
    client = field_ttl_redis_server.client()
    reply, *left, short, _ = run(client, case, shortly=True)
    *fully, _, _ = run(client, case, shortly=False)
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
    case = Case(TIMED, older, {}, {}, SENT, options)
    reply, *_, short, _ = run(client, case, shortly=True)
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
        Case(USUAL, OLDER, {}, {}, [(LAST, f"{number}") for number in range(4100)], {}),
        Case(USUAL, [("a", LAST)], {}, {}, SENT, {}),
        Case(USUAL, OLDER, {"summaries": make_summary(FIRST)}, {}, SENT, {}),
        Case(USUAL, OLDER, {"tracks": "t"}, {}, SENT, {}),
        Case(USUAL, OLDER, {"index": "i"}, {}, SENT, {}),
        Case(USUAL, OLDER, {"index": "i"}, {}, SENT, {"once": True}),
        Case(USUAL, OLDER, {}, {}, SENT, {"counts": True}),
        Case(USUAL, OLDER, {}, {}, SENT, {"filter_keys": ("tools",)}),
        Case(USUAL, OLDER, {}, {}, SENT, {"uses": []}),
        Case(USUAL, OLDER, {}, {}, SENT, {"user": {"k": b"1"}}),
        Case(CORE_WITH_LIMIT + UPPER + UPDATED, OLDER, {}, {}, SENT, {}),
        Case(TIMED.removesuffix(UPDATED) + UPPER + UPDATED, OLDER, {}, {}, SENT, {"ttl": MINUTE}),
    ],
    ids=[
        "a b a",
        "no time",
        "backwards",
        "over the limit",
        "thousands",
        "later",
        "summary",
        "track",
        "index",
        "once",
        "counts",
        "filter key",
        "usage",
        "state",
        "member of another program",
        "member of another program behind the expiry",
    ],
)
def test_what_is_not_usual_falls_through_in_the_same_call(
    redis_server: RedisServer, case: Case
) -> None:
    client = redis_server.client()
    *fell, short, _ = run(client, case, shortly=True)
    *fully, _, _ = run(client, case, shortly=False)
    client.close()
    assert not short
    assert fell == fully
    assert fell[0].status is Status.OK


def test_the_end_of_a_record_that_looks_like_ours_is_not_cut_off(redis_server: RedisServer) -> None:
    case = Case(CORE_WITH_LIMIT + NOT_LAST, OLDER, {}, {}, SENT, {})
    client = redis_server.client()
    *fell, short, _ = run(client, case, shortly=True)
    *fully, _, _ = run(client, case, shortly=False)
    client.close()
    assert not short
    assert fell == fully
    assert fell[0].status is Status.STATE  # it is written anew, as a whole
