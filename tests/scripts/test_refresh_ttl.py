from __future__ import annotations

import re

from langchain_redis_session._flow.scripts import ScriptCall
from langchain_redis_session.scripts import bindings
from langchain_redis_session.scripts.replies import Refreshed, Status
from tests.scripts.store import CORE, MINUTE, UPDATED, YEAR, Store

NAMES = ("sessions", "events", "index", "tracks", "summaries")


def refreshing(store: Store, ttl: int) -> ScriptCall[Refreshed]:
    return bindings.refresh_ttl(store.keys, session_ttl_ms=ttl, try_field_ttl=True)


def refresh(store: Store, ttl: int) -> Refreshed:
    return store.call(refreshing(store, ttl))


def fill(store: Store, *, expires: int | None) -> None:
    store.put_record(expires=expires)
    store.put_events("a")
    store.client.zadd(store.index, {"i": 1})
    store.client.sadd(store.tracks, "t")
    store.client.hset(store.summaries, "s:", "x")
    for key in store.keys.common:
        store.client.pexpire(key, MINUTE)


def test_the_ttl_of_every_key(store: Store) -> None:
    fill(store, expires=1_790_000_000_000)
    assert refresh(store, 3 * MINUTE) == Refreshed(Status.OK, store.has_field_ttl)
    assert store.ttls() == dict.fromkeys(NAMES, 3)
    assert store.field_minutes() in (None, 3)
    # Nothing else of the record changes: reading is no update.
    assert re.sub(r',"expiresAtMs":\d{13}', "", store.record) == CORE + UPDATED
    assert "1790000000000" not in store.record
    refresh(store, 2 * MINUTE)
    assert store.ttls() == dict.fromkeys(NAMES, 3) | {"events": 2, "index": 2}
    assert refresh(store, 0) == Refreshed(Status.OK, None)
    assert set(store.ttls().values()) == {-1}
    assert store.record == CORE + UPDATED


def test_no_session_or_an_expired_one(store: Store) -> None:
    assert refresh(store, MINUTE) == Refreshed(Status.MISSING)
    assert store.names() == []
    store.put_record(expires=1)
    before = store.dump()
    assert refresh(store, MINUTE) == Refreshed(Status.MISSING)
    assert (store.dump(), store.ttls()) == (before, {"sessions": -1})


def test_one_that_lost_its_lifetime(store: Store) -> None:
    store.put_record()
    assert refresh(store, MINUTE) == Refreshed(Status.MISSING)
    assert refresh(store, 100 * YEAR).status is Status.OK


def test_a_foreign_record_stays(store: Store) -> None:
    record = store.put_record(end=',"updatedAt":"x","generation":7}')
    assert refresh(store, MINUTE) == Refreshed(Status.OK, None)
    assert store.record == record


def test_a_key_of_the_wrong_type(store: Store) -> None:
    fill(store, expires=None)
    assert store.refuses(store.sessions, refreshing(store, MINUTE))
