"""LangChain's own tests of key-value stores, on every kind of server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from langchain_classic.embeddings import CacheBackedEmbeddings
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_tests.integration_tests import BaseStoreAsyncTests, BaseStoreSyncTests

from langchain_redis_session import RedisSessionStore, SessionKey
from tests.integration.places import Place, place

__all__ = ["place"]

VALUES = ({"a": [1, "text"]}, b"[0.1, 0.2]", b"\x00\xff")
"""What the suites store."""


on_kinds = pytest.mark.parametrize(
    "place", ["memory", "redis_server", "redis_cluster"], indirect=True
)


@pytest.fixture
def sync_store(place: Place) -> Iterator[RedisSessionStore]:
    """A store for sync code."""
    with place.sync_service() as service:
        yield RedisSessionStore(service, SessionKey("shop", "ann", "s1"))


@on_kinds
@pytest.mark.usefixtures("place")
class TestSync(BaseStoreSyncTests[Any]):
    """The suite for sync stores."""

    @pytest.fixture
    def kv_store(self, sync_store: RedisSessionStore) -> RedisSessionStore:
        return sync_store

    @pytest.fixture
    def three_values(self, place: Place) -> tuple[Any, Any, Any]:
        return VALUES


@on_kinds
@pytest.mark.usefixtures("place")
class TestAsync(BaseStoreAsyncTests[Any]):
    """The suite for async stores."""

    @pytest.fixture
    async def kv_store(self, place: Place) -> AsyncIterator[RedisSessionStore]:
        async with place.async_service() as service:
            yield RedisSessionStore(service, SessionKey("shop", "ann", "s1"))

    @pytest.fixture
    def three_values(self, place: Place) -> tuple[Any, Any, Any]:
        return VALUES


@on_kinds
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
