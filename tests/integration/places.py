"""Services on each kind of server, in sync and async code, for what is tried the same on all."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest

from langchain_redis_session import RedisSessionService

SERVERS = ["memory", "redis_server", "redis_cluster", "field_ttl_redis_server"]


@dataclass
class Place:
    """A kind of server, and services on it.

    Attributes:
        server: None for one in memory.
        key_prefix: What no other test has.
    """

    server: Any
    key_prefix: str

    @contextmanager
    def sync_service(self, **options: Any) -> Iterator[RedisSessionService]:
        if self.server is None:
            with RedisSessionService(f"memory://{self.key_prefix}", **options) as service:
                yield service
            return
        options = {"key_prefix": self.key_prefix, **options}
        with self.server.client() as client, RedisSessionService(client=client, **options) as made:
            yield made

    @asynccontextmanager
    async def async_service(self, **options: Any) -> AsyncIterator[RedisSessionService]:
        if self.server is None:
            async with RedisSessionService(f"memory://{self.key_prefix}", **options) as service:
                yield service
            return
        options = {"key_prefix": self.key_prefix, **options}
        async with (
            self.server.async_client() as client,
            RedisSessionService(async_client=client, **options) as made,
        ):
            yield made

    def clear(self) -> None:
        """Remove what stands there."""
        if self.server is not None:
            with self.server.client() as client:
                for key in [*client.scan_iter(f"{self.key_prefix}:*", count=1000)]:
                    client.unlink(key)


@pytest.fixture(params=SERVERS)
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """Each kind of server; the keys of the test are removed after it."""
    server = None if request.param == "memory" else request.getfixturevalue(request.param)
    place = Place(server, f"t{uuid4().hex[:12]}")
    yield place
    place.clear()
