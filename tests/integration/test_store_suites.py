"""LangChain's own tests of key-value stores, on every kind of server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest
from langchain_classic.embeddings import CacheBackedEmbeddings
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_tests.integration_tests import BaseStoreAsyncTests, BaseStoreSyncTests

from langchain_redis_session import RedisSessionService, RedisSessionStore, SessionKey

VALUES = ({"a": [1, "text"]}, b"[0.1, 0.2]", b"\x00\xff")
"""What the suites store."""


@dataclass
class Place:
    """A kind of server, and services on it."""

    server: Any
    key_prefix: str

    @contextmanager
    def sync_service(self) -> Iterator[RedisSessionService]:
        if self.server is None:
            with RedisSessionService(f"memory://{self.key_prefix}") as service:
                yield service
            return
        with (
            self.server.client() as client,
            RedisSessionService(client=client, key_prefix=self.key_prefix) as service,
        ):
            yield service

    @asynccontextmanager
    async def async_service(self) -> AsyncIterator[RedisSessionService]:
        if self.server is None:
            async with RedisSessionService(f"memory://{self.key_prefix}") as service:
                yield service
            return
        async with (
            self.server.async_client() as client,
            RedisSessionService(async_client=client, key_prefix=self.key_prefix) as service,
        ):
            yield service


@pytest.fixture(params=["memory", "redis_server", "redis_cluster"])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """Each kind of server; the keys of the test are removed after it."""
    prefix = f"t{uuid4().hex[:12]}"
    server = None if request.param == "memory" else request.getfixturevalue(request.param)
    yield Place(server, prefix)
    if server is not None:
        with server.client() as client:
            for key in [*client.scan_iter(f"{prefix}:*")]:
                client.unlink(key)


@pytest.fixture
def sync_store(place: Place) -> Iterator[RedisSessionStore]:
    """A store for sync code."""
    with place.sync_service() as service:
        yield RedisSessionStore(service, SessionKey("shop", "ann", "s1"))


class TestSync(BaseStoreSyncTests[Any]):
    """The suite for sync stores."""

    @pytest.fixture
    def kv_store(self, sync_store: RedisSessionStore) -> RedisSessionStore:
        return sync_store

    @pytest.fixture
    def three_values(self) -> tuple[Any, Any, Any]:
        return VALUES


class TestAsync(BaseStoreAsyncTests[Any]):
    """The suite for async stores."""

    @pytest.fixture
    async def kv_store(self, place: Place) -> AsyncIterator[RedisSessionStore]:
        async with place.async_service() as service:
            yield RedisSessionStore(service, SessionKey("shop", "ann", "s1"))

    @pytest.fixture
    def three_values(self) -> tuple[Any, Any, Any]:
        return VALUES


def test_embeddings_are_cached_in_it(sync_store: RedisSessionStore) -> None:
    model = DeterministicFakeEmbedding(size=4)
    cached = CacheBackedEmbeddings.from_bytes_store(
        model, sync_store, namespace="user:e", key_encoder="sha256", query_embedding_cache=True
    )
    texts = ["one", "two"]
    first = cached.embed_documents(texts)
    assert [name[:6] for name in sync_store.yield_keys()] == ["user:e"] * 2
    assert cached.embed_documents(texts) == first == model.embed_documents(texts)
    assert cached.embed_query("one") == model.embed_query("one")
