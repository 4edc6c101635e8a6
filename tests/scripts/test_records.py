"""What scripts and Python find at the end of a session's record: they must agree."""

from __future__ import annotations

import pytest

from langchain_redis_session._codec.session_record import (
    TAIL_BYTES,
    get_core,
    get_created_text,
    parse_times,
)
from langchain_redis_session.scripts import bindings
from langchain_redis_session.scripts.replies import Status
from tests.scripts.store import CORE, CREATED, MINUTE, UPDATED, Store

LIMITED = CORE.replace(',"createdAt"', ',"eventLimit":0,"createdAt"')
LARGE = '{"x":"' + "QUJD" * 1000 + '","\\"createdAt\\":\\"y\\",\\"updatedAt\\":\\"":""}'
NOON_MS = 1_767_312_000_000  # UPDATED


@pytest.mark.parametrize("state", ["{}", LARGE])
@pytest.mark.parametrize(
    ("record", "expires_ms"),
    [
        (CORE + UPDATED, NOON_MS + MINUTE),
        (CORE + ',"updatedAt":"2026-01-02T01:00:00.0019+01:00"}', NOON_MS + 1 + MINUTE),
        (CORE + ',"updatedAt":"2026-01-01T23:59:59-00:00"}', NOON_MS - 1000 + MINUTE),
        (CORE + ',"updatedAt":"2024-02-29T00:00:00z"}', 1_709_164_800_000 + MINUTE),
        (CORE + ',"updatedAt":"1969-12-31T23:59:59.5Z"}', -500 + MINUTE),
        (CORE + ',"updatedAt":"x"}', None),
        (CORE + ',"updatedAt":"' + "x" * TAIL_BYTES + '"}', None),
        (CORE + ',"expiresAtMs":5' + UPDATED, 5),
        (LIMITED + ',"expiresAtMs":5' + UPDATED, 5),
        ('{"updatedAt":"2026-01-02T00:00:00Z","state":{},"id":"f"}', NOON_MS + MINUTE),
        ('{"updatedAt": "2026-01-02T00:00:00Z", "state":{}, "id": "f"}', NOON_MS + MINUTE),
        (LIMITED + UPDATED, None),
        (CORE.replace("{}", '{"eventLimit":"MQ=="}') + UPDATED, NOON_MS + MINUTE),
    ],
)
def test_when_a_session_expires(
    store: Store, record: str, expires_ms: int | None, state: str
) -> None:
    record = record.replace('"state":{}', '"state":' + state)
    assert parse_times(record.encode(), MINUTE)[1] == expires_ms
    store.client.hset(store.sessions, "s", record)
    if expires_ms == 5:  # whatever the TTL
        assert store.call(bindings.get_session(store.keys, session_ttl_ms=0)).status is (
            Status.MISSING
        )
        return
    written_ms = None if expires_ms is None else expires_ms - MINUTE
    age_ms = store.call(bindings.get_time(store.sessions)) - (written_ms or 0)
    for ttl_ms, is_dead in ((age_ms - MINUTE, True), (age_ms + MINUTE, False)):
        read = store.call(bindings.get_session(store.keys, session_ttl_ms=ttl_ms))
        assert (read.status is Status.MISSING) == (is_dead and written_ms is not None)
    assert store.record == record


@pytest.mark.parametrize("state", ["{}", LARGE])
@pytest.mark.parametrize("limit", ["", ',"eventLimit":7'])
@pytest.mark.parametrize("expiry", ["", ',"expiresAtMs":99999999999999'])
def test_the_core_that_a_change_of_state_is_made_for(
    store: Store, expiry: str, limit: str, state: str
) -> None:
    core = CORE.replace("{}", state).replace(',"createdAt"', limit + ',"createdAt"')
    record = (core + expiry + UPDATED).encode()
    assert get_core(record) == core.encode()
    assert get_created_text(record) == CREATED.encode()
    assert parse_times(record, 0)[0] == NOON_MS * 1_000_000
    store.client.hset(store.sessions, "s", record)
    call = bindings.refresh_ttl(store.keys, session_ttl_ms=0, try_field_ttl=False)
    assert store.call(call).status is Status.OK
    assert store.record == core + UPDATED
