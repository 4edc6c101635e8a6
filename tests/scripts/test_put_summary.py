from __future__ import annotations

import json
import re
from typing import Any

import pytest

from langchain_redis_session._flow.scripts import ScriptCall
from langchain_redis_session.scripts import summary_bindings
from langchain_redis_session.scripts.replies import Status, StoredSummary
from tests.scripts.store import CORE, CREATED, CREATED_BY_GO, MINUTE, Store, make_summary

GONE = StoredSummary(Status.GONE)


def storing(
    store: Store,
    score: float = 2,
    *,
    token: str = "t",
    text: str = "new",
    created: str = CREATED,
    ttl: int = 0,
    idle: str = "",
    filter_key: str = "",
) -> ScriptCall[StoredSummary]:
    tail = f',"boundary":{{"version":1,"cutoff_score":"{score:.17g}"}}}}'
    head = f'{{"summary":"{text}"'
    return summary_bindings.put_summary(
        store.keys,
        filter_key=filter_key,
        token=token,
        session_ttl_ms=ttl,
        created=created.encode(),
        head=head.encode(),
        tail=tail.encode(),
        new_cutoff=f"{score:.17g}",
        try_field_ttl=True,
        idle_cutoff=idle.encode(),
    )


def put(store: Store, score: float = 2, **options: Any) -> StoredSummary:
    return store.call(storing(store, score, **options))


def fill(store: Store, *, lease: str = "t") -> None:
    store.put_record()
    store.put_events("a", "b", "c")
    store.client.set(store.lease, lease)


def stored(store: Store) -> bytes:
    value: bytes = store.client.hget(store.summaries, "s:")
    return value


def test_it_is_stored_and_the_lease_given_back(store: Store) -> None:
    fill(store)
    record = store.record
    status, value, field_ttl = put(store)
    assert (status, field_ttl) == (Status.OK, None)
    assert value == stored(store)
    expected = rb'\{"summary":"new","updated_at":"20\d\d-[^"]*Z","boundary":\{.*"2"\}\}'
    assert re.fullmatch(expected, value)
    assert store.names() == ["events", "sessions", "summaries"]
    assert store.record == record  # no use of the session


@pytest.mark.parametrize(("score", "is_newer"), [(1, False), (2, False), (2.5, True)])
def test_the_one_that_goes_further_wins(store: Store, score: float, is_newer: bool) -> None:
    fill(store)
    old = make_summary(2, "old")
    store.client.hset(store.summaries, "s:", old)
    reply = put(store, score)
    assert store.client.exists(store.lease) == 0
    if is_newer:
        assert reply.status is Status.OK
        assert b'"new"' in stored(store)
    else:
        assert reply == StoredSummary(Status.FURTHER, old.encode())
        assert stored(store) == old.encode()


@pytest.mark.parametrize("idle", ["", "2"])
def test_put_twice_a_summary_is_stored_once(store: Store, idle: str) -> None:
    fill(store)
    _, value, _ = put(store, idle=idle)
    after = store.dump()
    assert put(store, idle=idle) == StoredSummary(Status.FURTHER, value)
    assert store.dump() == after


def test_one_that_counts_for_nothing_gives_way(store: Store) -> None:
    fill(store)
    store.client.hset(store.summaries, "s:", make_summary(9, "old"))
    assert put(store, idle="8").status is Status.FURTHER
    store.client.set(store.lease, "t")
    assert put(store, idle="9").status is Status.OK
    assert b'"new"' in stored(store)


def test_it_is_not_older_than_its_session(store: Store) -> None:
    fill(store)
    later = "2099-01-01T08:00:00.0000005+08:00"  # of another clock, by another writer
    store.put_record(core=CORE.replace(CREATED, later))
    put(store, created=later)
    assert b',"updated_at":"2099-01-01T00:00:00.000001Z",' in stored(store)


def test_its_time_has_no_zeros_at_the_end(store: Store) -> None:
    for _ in range(20):
        fill(store)
        store.client.unlink(store.summaries)
        put(store)
        time = json.loads(stored(store))["updated_at"]
        assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{0,5}[1-9])?Z", time)


@pytest.mark.parametrize("created", [CREATED, CREATED_BY_GO, "2026-01-01T00:00:00.0Z"])
def test_a_record_that_was_written_anew_meanwhile(store: Store, created: str) -> None:
    fill(store)
    store.put_record(core=CORE.replace(CREATED, CREATED_BY_GO))
    assert put(store, created=created).status is Status.OK


def test_of_a_session_that_lost_its_lifetime(store: Store) -> None:
    fill(store)
    assert put(store, ttl=MINUTE).status is Status.OK
    store.client.unlink(store.events)
    store.client.set(store.lease, "t")
    assert put(store, 3, ttl=MINUTE) == GONE


@pytest.mark.parametrize("lease", [None, "another's"])
def test_nothing_is_stored_without_the_lease(store: Store, lease: str | None) -> None:
    fill(store, lease=lease or "")
    if lease is None:
        store.client.unlink(store.lease)
    before = store.dump()
    assert put(store) == GONE
    assert store.dump() == before
    store.client.hset(store.summaries, "s:", make_summary(9))
    assert put(store).status is Status.FURTHER
    assert store.client.get(store.lease) == (lease.encode() if lease else None)


def test_no_session_or_another_one(store: Store) -> None:
    fill(store)
    assert put(store, created="2020-01-01T00:00:00Z") == GONE
    assert not store.client.exists(store.lease)  # it does not keep others from a later session
    store.client.unlink(store.sessions)
    assert put(store) == GONE
    store.put_record(expires=1)
    store.client.unlink(store.events)
    assert put(store) == GONE
    assert not store.client.exists(store.summaries)


@pytest.mark.parametrize("value", ['{"":{"summary":"x"}}', "x", ""])
def test_another_programs_value_stays(store: Store, value: str) -> None:
    fill(store)
    store.client.hset(store.summaries, "s:", value)
    assert put(store) == put(store) == StoredSummary(Status.FOREIGN)
    assert stored(store) == value.encode()
    assert not store.client.exists(store.lease)


def test_what_is_ours_and_broken_is_replaced(store: Store) -> None:
    fill(store)
    store.client.hset(store.summaries, "s:", '{"summary":"broken')
    assert put(store).status is Status.OK


def test_it_lives_as_long_as_the_session(store: Store) -> None:
    fill(store)
    store.client.pexpire(store.events, 3 * MINUTE)
    assert put(store).field_ttl is store.has_field_ttl
    assert store.ttls() == {"events": 3, "sessions": -1, "summaries": 3}
    if store.has_field_ttl:
        (left,) = store.client.execute_command("HPTTL", store.summaries, "FIELDS", 1, "s:")
        assert round(left / MINUTE) == 3


def test_a_neighbours_life_is_not_shortened(store: Store) -> None:
    fill(store)
    store.client.hset(store.summaries, "s2:", "x")
    store.client.pexpire(store.summaries, 9 * MINUTE)
    store.client.pexpire(store.events, 3 * MINUTE)
    put(store)
    assert store.ttls()["summaries"] == 9
    store.client.persist(store.summaries)
    store.client.set(store.lease, "t")
    put(store, 3)
    assert store.ttls()["summaries"] == -1
    store.client.pexpire(store.summaries, MINUTE)
    store.client.persist(store.events)
    store.client.set(store.lease, "t")
    put(store, 4)
    assert store.ttls()["summaries"] == -1


@pytest.mark.parametrize("wrong", ["sessions", "summaries"])
def test_a_key_of_the_wrong_type(store: Store, wrong: str) -> None:
    fill(store)
    assert store.refuses(store.key(wrong), storing(store))


def test_filter_keys_are_noted_once_and_live_as_long(store: Store) -> None:
    """So that a session's summaries are found without a look at the user's others."""
    for filter_key in ("", "a", "é/b", "a"):
        fill(store)
        store.client.pexpire(store.events, MINUTE)
        score = 2 if filter_key else 1
        put(store, score, filter_key=filter_key, idle=f"{score}")
    assert sorted(store.client.hkeys(store.summaries)) == [b":s", b"s:", b"s:a", "s:é/b".encode()]
    assert store.client.hget(store.summaries, ":s") == "1:a4:é/b".encode()
    if store.has_field_ttl:
        assert store.summary_minutes(":s") == store.summary_minutes("s:a") == 1


@pytest.mark.parametrize("theirs", ['{"":{"summary":"x"}}', "1x", "2:"])
def test_another_programs_value_where_filter_keys_are_noted(store: Store, theirs: str) -> None:
    """trpc-agent-go's summaries of a session whose id begins with a colon."""
    fill(store)
    store.client.hset(store.summaries, ":s", theirs)
    assert put(store, filter_key="a").status is Status.OK
    assert store.client.hget(store.summaries, ":s") == theirs.encode()
