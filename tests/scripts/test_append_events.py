from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from typing import Any

import pytest

from langchain_redis_session._flow.scripts import ScriptCall
from langchain_redis_session._times import trim_time
from langchain_redis_session.scripts import bindings
from langchain_redis_session.scripts.bindings import Create, Entry, StateWrite, Use
from langchain_redis_session.scripts.replies import Appended, Fate, Status
from tests.scripts.store import (
    CORE,
    CORE_WITH_LIMIT,
    CREATED,
    MINUTE,
    UPDATED,
    YEAR,
    Store,
    make_event,
    make_foreign,
    make_summary,
)

FRESH, STORED, REPEATED, REMOVED = Fate
MISSING, INDEX = Appended(Status.MISSING), Appended(Status.INDEX)


def appending(
    store: Store,
    *sent: Any,
    create: Create = Create.NEVER,
    limit: int | None = None,
    first_us: int | None = None,
    ttl: int = 0,
    try_field_ttl: bool = True,
    once: bool = False,
    state: tuple[str, str] | None = None,
    made_for: tuple[int, ...] = (),
    user: dict[str, bytes] | None = None,
    user_ttl: int = 0,
    app: dict[str, bytes] | None = None,
    app_ttl: int = 0,
    build: str = "",
    counts: bool = False,
    filter_keys: tuple[str, ...] = (),
    with_app_state: bool = True,
    uses: list[Use] | None = None,
) -> ScriptCall[Appended]:
    """Call the script with events as (score, member, message id or nothing)."""
    write = None
    if state or made_for or user or app:
        expected, replacement = state or ("", "")
        write = StateWrite(
            changes_session=state is not None,
            expected=expected.encode(),
            replacement=replacement.encode(),
            made_for=made_for,
            user=user or {},
            user_ttl_ms=user_ttl,
            app=app or {},
            app_ttl_ms=app_ttl,
        )
    return bindings.append_events(
        store.keys,
        create=create,
        record_start=b'{"id":"s","state":{}',
        first_us=first_us,
        event_limit=limit,
        session_ttl_ms=ttl,
        try_field_ttl=try_field_ttl,
        once=once,
        index_build=build.encode(),
        count_unsummarized=counts,
        more_summaries=[store.keys.summary(name) for name in filter_keys],
        entries=make_entries(sent),
        with_app_state=with_app_state,
        uses=uses,
        state=write,
    )


def make_entries(sent: Sequence[Any]) -> list[Entry]:
    return [
        Entry(f"{score:.17g}", member.encode(), "".join(message_id).encode())
        for score, member, *message_id in sent
    ]


def append(store: Store, *sent: Any, **options: Any) -> Appended:
    return store.call(appending(store, *sent, **options))


def test_events_are_appended_in_order(store: Store) -> None:
    store.put_record()
    reply = append(store, (5, "a"), (3, "b"), (9, "c"))
    up = math.nextafter(5, 6)
    assert reply == Appended(
        Status.OK,
        removed=0,
        field_ttl=None,
        fates=[FRESH] * 3,
        scores=[5, up, 9],
        lost=0,
        unsummarized=None,
    )
    assert append(store, (1, "d")).scores == [math.nextafter(9, 10)]
    assert [member for member, _ in store.scored(store.events)] == ["a", "b", "c", "d"]
    assert store.names() == ["events", "sessions"]
    assert store.record.startswith(CORE + ',"updatedAt":"')
    assert store.record != CORE + UPDATED


def test_the_oldest_events_over_the_limit_are_removed(store: Store) -> None:
    store.put_record()
    for sent, limit, removed, left in (
        ("ab", 2, 0, "ab"),
        ("c", 2, 1, "bc"),
        ("defg", 2, 4, "fg"),
        ("h", None, 0, "fgh"),
        ("i", 1, 3, "i"),
    ):
        assert append(store, *((1, member) for member in sent), limit=limit).removed == removed
        assert "".join(member for member, _ in store.scored(store.events)) == left


def test_applied_twice_an_append_changes_nothing_more(store: Store) -> None:
    store.put_record()
    sent = [(1, "a", "ia"), (1, "b", ""), (1, "c", "ic")]
    options: dict[str, Any] = {"limit": 2, "once": True, "user": {"k": b"1"}, "made_for": (0, 1, 2)}
    first = append(store, *sent, **options)
    after = store.dump()
    again = append(store, *sent, **options)
    assert first.fates == [FRESH] * 3
    assert again == Appended(
        Status.OK,
        fates=[REMOVED, STORED, STORED],
        scores=[None, *first.scores[1:]],
        event_limit=2,
    )
    assert store.dump() == after


def test_one_event_twice_in_one_call(store: Store) -> None:
    store.put_record()
    store.put_events("x", "y")
    reply = append(store, (5, "a"), (5, "a"), limit=3)
    assert (reply.removed, reply.fates) == (0, [FRESH, REPEATED])
    assert [member for member, _ in store.scored(store.events)] == ["x", "y", "a"]


def test_thousands_of_events_are_appended_at_once(store: Store) -> None:
    store.put_record()
    reply = append(store, *((7, f"e{n:04}") for n in range(2500)), limit=2400)
    assert (reply.removed, reply.fates) == (100, [FRESH] * 2500)
    members = [member for member, _ in store.scored(store.events)]
    assert members == [f"e{n:04}" for n in range(100, 2500)]


def test_a_session_is_made(store: Store) -> None:
    assert append(store, (1, "a")) == MISSING
    assert store.names() == []
    append(store, (1, "a"), create=Create.MISSING)
    time = r'"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.'
    made = re.fullmatch(
        rf'{{"id":"s","state":{{}},"createdAt":({time}\d*Z"),"updatedAt":({time}\d{{9}}Z")}}',
        store.record,
    )
    assert made is not None
    assert made[1] == f'"{trim_time(made[2][1:-1])}"'
    before = store.record
    assert append(store, create=Create.ONLY) == Appended(Status.EXISTS)
    assert store.record == before
    assert append(store, create=Create.MISSING).status is Status.OK
    assert store.record.startswith(before[: before.index(',"updatedAt"')])


@pytest.mark.parametrize(
    ("first_us", "created"),
    [
        (1_790_000_000_123_450, "2026-09-21T14:13:20.12345Z"),
        (1_790_000_000_000_000, "2026-09-21T14:13:20Z"),
        (1_709_251_199_999_999, "2024-02-29T23:59:59.999999Z"),
        (0, "1970-01-01T00:00:00Z"),
        (-1, "1969-12-31T23:59:59.999999Z"),
        (-62_135_596_800_000_000, "0001-01-01T00:00:00Z"),
    ],
)
def test_a_session_is_as_old_as_its_first_event(store: Store, first_us: int, created: str) -> None:
    append(store, (1, "a"), create=Create.MISSING, first_us=first_us)
    assert json.loads(store.record)["createdAt"] == created


def test_a_session_is_not_of_the_future(store: Store) -> None:
    append(store, (1, "a"), create=Create.MISSING, first_us=2**52)
    record = json.loads(store.record)
    assert record["createdAt"] == trim_time(record["updatedAt"])


@pytest.mark.parametrize(
    ("score", "created"),
    [
        (1_790_000_000_000_000_000, "2026-09-21T14:13:19.999999Z"),  # it may be rounded up
        (5, "1969-12-31T23:59:59.999999Z"),
        ("-inf", "0001-01-01T00:00:00Z"),
    ],
)
def test_a_session_is_as_old_as_the_events_it_is_made_anew_for(
    store: Store, score: Any, created: str
) -> None:
    store.client.zadd(store.events, {"old": score})
    append(store, (2e18, "a"), create=Create.MISSING, first_us=1_800_000_000_000_000)
    assert json.loads(store.record)["createdAt"] == created


def test_a_session_that_lost_its_lifetime(store: Store) -> None:
    store.put_record()
    before = store.dump()
    assert append(store, (1, "a"), ttl=MINUTE, create=Create.MISSING) == Appended(Status.PURGE)
    assert append(store, create=Create.ONLY, ttl=MINUTE) == Appended(Status.PURGE)
    assert store.dump() == before
    assert append(store, (1, "a"), ttl=100 * YEAR).status is Status.OK


def test_what_theirs_covers_is_counted_out(store: Store) -> None:
    store.put_record()
    store.put_events(*map(make_event, "abcd"), at=5_000_000_000)
    store.client.hset(store.summaries, "s", json.dumps(make_foreign("1970-01-01T00:00:05Z", "c")))
    assert append(store, (6e9, "x"), counts=True).unsummarized == 2
    store.client.hset(store.summaries, "s:", make_summary(5_000_000_000))
    assert append(store, (7e9, "y"), counts=True).unsummarized == 3
    store.client.hset(store.summaries, "s:", make_summary(5_000_000_003))
    found = append(store, (8e9, "z"), counts=True, limit=2)
    assert (found.unsummarized, found.removed, found.lost) == (2, 5, 1)


def test_state_is_compared_and_set(store: Store) -> None:
    record = store.put_record()
    core = CORE.replace("{}", '{"k":"x"}')
    options: dict[str, Any] = {"user": {"u": b"1"}, "app": {"a": b"2"}, "made_for": (0,)}
    before = store.dump()
    for expected in ("", "other", record):
        reply = append(store, (1, "a"), state=(expected, core), **options)
        assert reply == Appended(Status.STATE, record=record.encode())
        assert store.dump() == before
    assert append(store, (1, "a"), state=(CORE, core), **options).status is Status.OK
    assert store.record.startswith(core + ',"updatedAt":"')
    assert store.client.hgetall(store.user) == {b"u": b"1"}
    assert store.client.hgetall(store.app) == {b"a": b"2"}


def test_the_state_of_other_events(store: Store) -> None:
    store.put_record()
    store.put_events("a")
    before = store.dump()
    reply = append(store, (1, "a"), (2, "b"), user={"u": b"1"}, made_for=(0, 1))
    assert reply == Appended(Status.FATES, fates=[STORED, FRESH])
    assert store.dump() == before
    assert append(store, (1, "a"), (2, "b"), user={"u": b"1"}, made_for=(1,)).status is Status.OK


@pytest.mark.parametrize(
    "record",
    [
        '{"updatedAt":"x","id":"s"}',
        '{"id":"s","updatedAt":"x","generation":7}',
        '{"id":"s", "updatedAt": "x"}',
        '{"id":"s","deep":{"updatedAt":"x"}}',
    ],
)
def test_a_foreign_record_is_rewritten(store: Store, record: str) -> None:
    store.client.hset(store.sessions, "s", record)
    assert append(store, (1, "a")) == Appended(Status.STATE, record=record.encode())
    assert append(store, (1, "a"), state=(record, CORE)).status is Status.OK
    assert store.record.startswith(CORE + ',"updatedAt":"')


def test_messages_with_known_ids_are_not_stored_again(store: Store) -> None:
    store.put_record()
    store.put_events("old", "older")
    before = store.dump()
    assert append(store, (9, "a", "i"), once=True) == INDEX
    assert append(store, (9, "a", "i"), once=True, build="building 1") == INDEX
    assert store.dump() == before
    store.client.zadd(store.index, {"x": 1, "building 1": "inf"})
    assert append(store, (9, "a", "i"), once=True, build="building 2") == INDEX
    reply = append(
        store,
        *((9, "a", "x"), (9, "b", "i"), (9, "c", "i"), (9, "d", ""), (9, "e", "")),
        once=True,
        build="building 1",
    )
    assert reply.fates == [REPEATED, FRESH, REPEATED, FRESH, FRESH]
    assert store.scored(store.index) == [("x", 1), ("i", 9)]
    append(store, (9, "f", "j"))  # kept where it is, asked or not
    assert [name for name, _ in store.scored(store.index)] == ["x", "i", "j"]
    append(store, (99, "g", ""), limit=2)
    assert [name for name, _ in store.scored(store.index)] == ["j"]
    full = append(store, (99, "h", "gone"), (99, "k", "j"), (99, "l", "m"), once=True, limit=2)
    assert full.fates == [REMOVED, REPEATED, FRESH]


def test_an_append_that_stores_nothing_ends_the_build(store: Store) -> None:
    store.put_record()
    store.put_events("old")
    build = {"x": 1, "building 1": "inf"}
    store.client.zadd(store.index, build)
    state = ("other", CORE)
    reply = append(store, (9, "a", "y"), once=True, build="building 1", state=state)
    assert (reply.status, len(store.scored(store.index))) == (Status.STATE, 2)
    assert append(store, (9, "a", "x"), once=True, build="building 1").fates == [REPEATED]
    assert store.scored(store.index) == [("x", 1)]


def test_remains_of_an_expired_session(store: Store) -> None:
    store.put_record(expires=1)
    for options in ({}, {"create": Create.MISSING}, {"create": Create.ONLY}):
        assert append(store, (1, "a"), **options) == Appended(Status.PURGE)
    store.put_events("x")  # while it has events it lives
    assert append(store, (1, "a")).status is Status.OK
    store.client.unlink(store.sessions, store.events)
    store.client.sadd(store.tracks, "t")
    assert append(store, (1, "a"), create=Create.MISSING) == Appended(Status.PURGE)
    assert append(store, (1, "a")) == MISSING
    assert store.names() == ["tracks"]


def test_the_ttl_of_every_key(store: Store) -> None:
    store.client.sadd(store.tracks, "t")
    store.client.pexpire(store.tracks, MINUTE)
    store.put_record(core=CORE_WITH_LIMIT)
    store.client.pexpire(store.sessions, MINUTE)
    everything: dict[str, Any] = {"once": True, "user": {"u": b"1"}, "app": {"a": b"1"}}
    reply = append(
        store, (1, "a", "i"), ttl=2 * MINUTE, user_ttl=3 * MINUTE, app_ttl=4 * MINUTE, **everything
    )
    assert reply.field_ttl is store.has_field_ttl
    assert store.ttls() == {
        **{"events": 2, "index": 2, "sessions": 2, "tracks": 2, "user": 3, "app": 4},
    }
    assert store.field_minutes() in (None, 2)
    # The own keys get just that; what is shared never less.
    append(store, (2, "b", "j"), ttl=MINUTE, user_ttl=MINUTE, app_ttl=MINUTE, **everything)
    assert store.ttls() == {
        **{"events": 1, "index": 1, "sessions": 2, "tracks": 2, "user": 3, "app": 4},
    }
    assert store.field_minutes() in (None, 1)
    assert append(store, (3, "c"), ttl=2 * MINUTE, try_field_ttl=False).field_ttl is None
    assert store.field_minutes() in (None, -1)
    assert append(store, (4, "d", "l"), **everything).field_ttl is None
    assert set(store.ttls().values()) == {-1}
    append(store, (5, "e", "m"), ttl=MINUTE, user_ttl=MINUTE, app_ttl=MINUTE, **everything)
    assert store.ttls() == {
        **{"events": 1, "index": 1, "sessions": -1, "tracks": -1, "user": -1, "app": -1},
    }
    assert re.search(r',"expiresAtMs":\d{13},"updatedAt":"[^"]*"}$', store.record)


@pytest.mark.parametrize(
    "wrong", ["sessions", "events", "index", "user", "app", "usage", "session usage"]
)
def test_a_key_of_the_wrong_type(store: Store, wrong: str) -> None:
    store.put_record()
    store.put_events("x")
    state: dict[str, Any] = {"user": {"u": b"1"}, "app": {"a": b"1"}, "made_for": (0,)}
    call = appending(store, (1, "a", "i"), create=Create.MISSING, ttl=MINUTE, uses=USES, **state)
    assert store.refuses(store.key(wrong), call)


def test_an_append_works_where_app_state_lives_elsewhere(store: Store) -> None:
    store.put_record()
    reply = append(store, (1, "a"), user={"u": b"1"}, made_for=(0,), with_app_state=False)
    assert reply.status is Status.OK
    assert CREATED in store.record


def test_an_append_prolongs_the_summaries_of_its_session_alone(store: Store) -> None:
    store.put_record(core=CORE_WITH_LIMIT)
    values = {name: make_summary(1) for name in ("s:", "s:a", "s:b", "s2:")}
    store.client.hset(store.summaries, mapping=values)
    store.client.pexpire(store.summaries, MINUTE)
    if store.has_field_ttl:
        names = list(values)
        store.client.execute_command("HPEXPIRE", store.summaries, MINUTE, "FIELDS", 4, *names)
    append(store, (1, "a"), ttl=3 * MINUTE, filter_keys=("a",))
    assert store.ttls()["summaries"] == 3
    if store.has_field_ttl:
        assert [store.summary_minutes(name) for name in values] == [3, 3, 1, 1]
    append(store, (2, "b"), ttl=2 * MINUTE)
    assert store.ttls()["summaries"] == 3
    append(store, (3, "c"), filter_keys=("b",))
    assert store.ttls()["summaries"] == -1
    if store.has_field_ttl:
        assert [store.summary_minutes(name) for name in values] == [-1, 3, -1, 1]


@pytest.mark.parametrize("covered", [None, 0, 2, 9])
def test_what_no_summary_covers_is_counted(store: Store, covered: int | None) -> None:
    store.put_record()
    store.put_events("a", "b", "c", "d")
    if covered is not None:
        store.client.hset(store.summaries, "s:", make_summary(covered))
    reply = append(store, (8, "e"), (9, "f"), limit=3, counts=True)
    assert (reply.removed, reply.lost) == (3, {None: 3, 0: 3, 2: 1, 9: 0}[covered])
    assert reply.unsummarized == {None: 3, 0: 3, 2: 3, 9: 0}[covered]
    again = append(store, (8, "e"), (9, "f"), limit=3, counts=True)
    assert (again.lost, again.unsummarized) == (0, None)  # a second try
    unasked = append(store, (10, "g"), limit=3)
    assert (unasked.lost, unasked.unsummarized) == (0, None)


USES = [Use(0, "2026-11-23", b"total:m:1", 5), Use(1, "2026-11-24", b"total:m:1", 7)]
SUMS = {b"2026-11-23:total:m:1": b"5", b"2026-11-24:total:m:1": b"7"}


@pytest.mark.parametrize("with_app_state", [True, False])
def test_what_models_used_is_added_up_once_for_each_event(
    store: Store, with_app_state: bool
) -> None:
    events = [(1, "a"), (2, "b")]
    state: dict[str, Any] = {"user": {"u": b"1"}} | ({"app": {"a": b"1"}} if with_app_state else {})
    for _ in range(2):
        append(
            store,
            *events,
            create=Create.MISSING,
            ttl=MINUTE,
            uses=USES,
            with_app_state=with_app_state,
            **state,
        )
        assert store.client.hgetall(store.key("usage")) == SUMS
        assert store.client.hgetall(store.key("session usage")) == {b"total:m:1": b"12"}
    assert store.ttls()["usage"] == -1
    assert store.ttls()["session usage"] == 1
    append(store, (3, "c"), ttl=2 * MINUTE, uses=[])
    assert store.ttls()["session usage"] == 2
    assert ("app" in store.names()) == with_app_state


def test_what_models_used_for_events_that_are_not_stored_is_not_counted(store: Store) -> None:
    append(store, (1, "a", "i"), create=Create.MISSING, once=True, uses=USES[:1])
    append(store, (2, "b", "i"), (3, "c", "j"), once=True, uses=USES)
    assert store.client.hgetall(store.key("session usage")) == {b"total:m:1": b"12"}
    assert append(store, (4, "d"), create=Create.ONLY, uses=USES[:1]).status is Status.EXISTS
    assert store.client.hgetall(store.key("usage")) == SUMS


def test_a_sum_that_can_not_be_made_does_not_stop_an_append(store: Store) -> None:
    store.client.hset(store.key("usage"), "2026-11-23:total:m:1", "text")
    reply = append(store, (1, "a"), (2, "b"), create=Create.MISSING, uses=USES)
    assert reply.fates == [Fate.FRESH, Fate.FRESH]
    assert store.client.hget(store.key("usage"), "2026-11-24:total:m:1") == b"7"
