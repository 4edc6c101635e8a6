from __future__ import annotations

from typing import Any

import pytest

from langchain_redis_session._flow.scripts import ScriptCall
from langchain_redis_session.scripts import summary_bindings
from langchain_redis_session.scripts.replies import Claim, Status
from tests.scripts.store import CORE, CREATED, CREATED_BY_GO, MINUTE, Store, make_summary

OK, CHANGED = Claim(Status.OK), Claim(Status.CHANGED)


def claiming(
    store: Store,
    token: str = "t1",
    *,
    created: str = CREATED,
    cutoff: str = "",
    last: float = 2,
) -> ScriptCall[Claim]:
    return summary_bindings.claim_summary(
        store.keys,
        filter_key="",
        token=token,
        lease_ms=MINUTE,
        created=created.encode(),
        stored_cutoff=cutoff.encode(),
        last_score=f"{last:.17g}",
    )


def claim(store: Store, token: str = "t1", **options: Any) -> Claim:
    return store.call(claiming(store, token, **options))


def fill(store: Store) -> None:
    store.put_record()
    store.put_events("a", "b", "c")


def test_one_owner_at_a_time(store: Store) -> None:
    fill(store)
    assert claim(store) == OK
    assert store.client.get(store.lease) == b"t1"
    assert store.ttls()["lease"] == 1
    before = store.dump()
    status, left = claim(store, "t2")
    assert (status, 0 < left <= MINUTE) == (Status.BUSY, True)
    assert store.dump() == before
    store.client.pexpire(store.lease, 5)
    assert claim(store) == OK  # the owner's again: a second try starts it anew
    assert store.ttls()["lease"] == 1
    store.client.unlink(store.lease)  # as if it had run out
    assert claim(store, "t2") == OK


@pytest.mark.parametrize("created", [CREATED, CREATED_BY_GO, "2026-01-01T00:00:00.0Z"])
def test_a_record_that_was_written_anew_meanwhile(store: Store, created: str) -> None:
    fill(store)
    store.put_record(core=CORE.replace(CREATED, CREATED_BY_GO))
    assert claim(store, created=created) == OK


def test_of_what_was_read_only(store: Store) -> None:
    assert claim(store) == CHANGED
    store.put_events("a", "b", "c")
    assert claim(store) == CHANGED
    store.put_record(expires=1)
    assert claim(store) == OK  # it has events, so it lives
    store.client.unlink(store.lease)
    assert claim(store, created="2020-01-01T00:00:00Z") == CHANGED
    assert claim(store, last=4) == CHANGED
    assert claim(store, cutoff="1") == CHANGED
    store.client.hset(store.summaries, "s:", make_summary(1))
    assert claim(store) == CHANGED
    assert claim(store, cutoff="2") == CHANGED
    assert store.names() == ["events", "sessions", "summaries"]
    assert claim(store, cutoff="1") == OK


@pytest.mark.parametrize("value", ['{"":{"summary":"x"}}', "x", ""])
def test_a_claim_leaves_another_programs_value_alone(store: Store, value: str) -> None:
    fill(store)
    store.client.hset(store.summaries, "s:", value)
    assert claim(store) == Claim(Status.FOREIGN)
    assert store.names() == ["events", "sessions", "summaries"]


def test_a_claim_of_an_expired_session_is_refused(store: Store) -> None:
    store.put_record(expires=1)
    assert claim(store) == CHANGED
    assert store.names() == ["sessions"]


@pytest.mark.parametrize("wrong", ["sessions", "events", "summaries", "lease"])
def test_a_key_of_the_wrong_type(store: Store, wrong: str) -> None:
    fill(store)
    if wrong == "lease":  # here the test's own wrong value would be a lease
        store.client.unlink(store.lease)
        store.client.sadd(store.lease, "x")
        with pytest.raises(Exception, match="WRONGTYPE"):
            claim(store)
        return
    assert store.refuses(store.key(wrong), claiming(store))
