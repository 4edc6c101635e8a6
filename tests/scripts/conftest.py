"""Scripts run on real servers only: with and without TTLs per field."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.scripts.store import Store
from tests.servers import RedisServer, supports_field_ttl


@pytest.fixture(params=["redis_server", "field_ttl_redis_server"], ids=["standalone", "field-ttl"])
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    """The keys of one session on a server."""
    server: RedisServer = request.getfixturevalue(request.param)
    client = server.client()
    has_field_ttl = supports_field_ttl(server.binary)
    store = Store(client, has_field_ttl)
    yield store
    for name in store.names():
        client.unlink(store.key(name))
    client.close()
