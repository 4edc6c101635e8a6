from __future__ import annotations

import json
from typing import Any

import pytest

from langchain_redis_session._flow.scripts import ScriptCall
from langchain_redis_session.scripts import bindings
from langchain_redis_session.scripts.replies import Page, Status, StoredSession
from tests.scripts.store import MINUTE, YEAR, Store, make_event, make_foreign, make_summary

FOREIGN = '{"":{"summary":"x"}}'


def reading(
    store: Store,
    *,
    ttl: int = 0,
    with_user_state: bool = True,
    with_app_state: bool = True,
    **options: Any,
) -> ScriptCall[StoredSession]:
    return bindings.get_session(
        store.keys,
        session_ttl_ms=ttl,
        with_user_state=with_user_state,
        with_app_state=with_app_state,
        **options,
    )


def read(store: Store, **options: Any) -> StoredSession:
    return store.call(reading(store, **options))


def test_record_state_and_page_are_read_at_once(store: Store) -> None:
    record = store.put_record().encode()
    store.put_events("a", "b", "c")
    store.client.hset(store.user, "u", "1")
    store.client.hset(store.app, "a", "2")
    before = store.dump()
    whole = read(store)
    assert whole == StoredSession(
        Status.OK,
        record=record,
        summary=b"",
        foreign=b"",
        page=Page(3, older=0, entries=[b"c", b"b", b"a"], scores=[b"3", b"2", b"1"]),
        user_state={b"u": b"1"},
        app_state={b"a": b"2"},
    )
    only_b = Page(3, older=1, entries=[b"b"], scores=[b"2"])
    assert read(store, count=1) == whole._replace(page=Page(3, 2, [b"c"], [b"3"]))
    assert read(store, skip=1, count=1) == whole._replace(page=only_b)
    assert read(store, highest="2", lowest="2") == whole._replace(page=only_b)
    assert read(store, count=0) == whole._replace(page=Page(3, 0, [], []))
    assert read(store, lowest="9") == whole._replace(page=Page(3, 0, [], []))
    assert store.dump() == before


@pytest.mark.parametrize("with_user_state", [True, False])
def test_only_the_state_asked_for_is_read(store: Store, with_user_state: bool) -> None:
    store.put_record()
    store.client.hset(store.user, "u", "1")
    store.client.hset(store.app, "a", "2")
    found = read(store, with_user_state=with_user_state, with_app_state=False)
    assert found.user_state == ({b"u": b"1"} if with_user_state else {})
    assert found.app_state == {}


def test_the_summary_is_read_and_events_since_it(store: Store) -> None:
    store.put_record()
    store.put_events("a", "b", "c")
    ours, other = make_summary(2), make_summary(1)
    store.client.hset(store.summaries, mapping={"s:": ours, "s:b": other, "s": FOREIGN})
    whole = read(store)
    assert (whole.summary, whole.foreign) == (ours.encode(), FOREIGN.encode())
    assert len(whole.page.entries) == 3
    assert read(store, filter_key="b").summary == other.encode()
    newest, nothing = Page(3, 2, [b"c"], [b"3"]), Page(3, 0, [], [])
    assert read(store, since_summary=True).page == newest
    assert read(store, since_summary=True, at_least=1).page == newest
    assert read(store, since_summary=True, at_least=2).page == nothing
    store.client.hset(store.summaries, "s:", make_summary(3))
    assert read(store, since_summary=True).page == nothing


def test_how_far_theirs_goes(store: Store) -> None:
    store.put_record()
    store.put_events(*map(make_event, "abcd"), at=5_000_000_000)
    foreign = {
        **make_foreign("1970-01-01T00:00:05Z", "b"),
        **make_foreign("1970-01-01T00:00:05.000000001Z", "c", "b"),
    }
    store.client.hset(store.summaries, "s", json.dumps(foreign))
    assert read(store).foreign_cutoff == 5_000_000_001
    assert read(store, filter_key="b").foreign_cutoff == 5_000_000_002
    assert read(store, filter_key="c").foreign_cutoff is None
    assert len(read(store, since_summary=True).page.entries) == 2
    assert len(read(store, since_summary=True, filter_key="b").page.entries) == 1
    store.client.hset(store.summaries, "s:", make_summary(5_000_000_000))
    assert len(read(store, since_summary=True).page.entries) == 2
    store.client.hset(store.summaries, "s:", make_summary(5_000_000_002))
    assert len(read(store, since_summary=True).page.entries) == 1
    assert read(store, since_summary=True, at_least=2).page.entries == []


def test_the_id_of_something_inside_is_not_the_last_event(store: Store) -> None:
    store.put_record()
    events = [make_event("a", inside={"id": "b"}), make_event("b"), '"id":"b"']
    store.put_events(*events, at=5_000_000_000)
    store.client.hset(store.summaries, "s", json.dumps(make_foreign("1970-01-01T00:00:05Z", "b")))
    assert read(store).foreign_cutoff == 5_000_000_001


def test_the_last_event_is_not_looked_for_for_ever(store: Store) -> None:
    store.put_record()
    names = [f"e{number}" for number in range(2000)]
    store.put_events(*map(make_event, names), at=5_000_000_000)
    for place, is_found in ((0, True), (200, True), (999, False), (1800, True), (1999, True)):
        foreign = make_foreign("1970-01-01T00:00:05Z", names[place])
        store.client.hset(store.summaries, "s", json.dumps(foreign))
        assert read(store, count=0).foreign_cutoff == 5_000_000_000 + (place if is_found else 0)
    # Nor through megabytes.
    store.client.unlink(store.events)
    large = [make_event(name, text="x" * 1_000_000) for name in names[:20]]
    store.put_events(*large, at=5_000_000_000)
    for place, is_found in ((0, True), (9, False), (19, True)):
        foreign = make_foreign("1970-01-01T00:00:05Z", names[place])
        store.client.hset(store.summaries, "s", json.dumps(foreign))
        assert read(store, count=0).foreign_cutoff == 5_000_000_000 + (place if is_found else 0)


def test_one_that_lost_its_lifetime(store: Store) -> None:
    store.put_record()
    assert read(store, ttl=MINUTE) == StoredSession(Status.MISSING)
    assert read(store, ttl=100 * YEAR).status is Status.OK
    assert read(store).status is Status.OK
    store.put_events("a")
    assert read(store, ttl=MINUTE).status is Status.OK


@pytest.mark.parametrize("value", [None, FOREIGN, "x", '{"summary":"', make_summary(2) + " "])
def test_what_is_no_summary_of_ours_covers_nothing(store: Store, value: str | None) -> None:
    store.put_record()
    store.put_events("a", "b", "c")
    if value is not None:
        store.client.hset(store.summaries, "s:", value)
    assert len(read(store, since_summary=True).page.entries) == 3


def test_an_expired_session_is_told_from_none(store: Store) -> None:
    store.client.hset(store.summaries, "s:", make_summary(2))
    assert read(store) == StoredSession(Status.OK, page=Page(0, 0, [], []))
    store.put_record(expires=1)
    before = store.dump()
    assert read(store) == StoredSession(Status.MISSING)
    assert store.dump() == before
    store.put_events("a")
    assert read(store).page.size == 1
    store.client.unlink(store.sessions)
    assert read(store) == StoredSession(Status.OK, page=Page(1, 0, [b"a"], [b"1"]))


@pytest.mark.parametrize("wrong", ["sessions", "events", "summaries", "user", "app"])
def test_a_key_of_the_wrong_type(store: Store, wrong: str) -> None:
    store.put_record()
    assert store.refuses(store.key(wrong), reading(store))
