from __future__ import annotations

import time

from langchain_redis_session.scripts import bindings
from tests.scripts.store import Store


def test_the_time_of_the_server_in_milliseconds(store: Store) -> None:
    begun_ms = time.time_ns() // 1_000_000
    now_ms = store.call(bindings.get_time(store.sessions))
    assert begun_ms <= now_ms <= time.time_ns() // 1_000_000
    assert store.names() == []
