"""Histories on a real server and in memory, each test with keys of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from tests.servers import RedisServer

if TYPE_CHECKING:
    from langchain_redis_session import RedisSessionChatMessageHistory


@pytest.fixture
def key_prefix() -> str:
    """A prefix that no other test has."""
    return f"t{uuid4().hex[:12]}"


@pytest.fixture(params=["standalone", "memory"])
def redis_url(request: pytest.FixtureRequest, key_prefix: str) -> Iterator[str]:
    """A URL, whose keys with `key_prefix` are removed after the test."""
    if request.param == "memory":
        yield f"memory://{key_prefix}"
        return
    server: RedisServer = request.getfixturevalue("redis_server")
    yield server.url
    with server.client() as client:
        for key in client.scan_iter(f"{key_prefix}:*"):
            client.unlink(key)


MakeHistory = Callable[..., "RedisSessionChatMessageHistory"]


@pytest.fixture
def make_history(redis_url: str, key_prefix: str) -> Iterator[MakeHistory]:
    """Make histories that are alike but for the options given: `make_history("s2", ttl=60)`."""
    from langchain_redis_session import RedisSessionChatMessageHistory

    made: list[RedisSessionChatMessageHistory] = []

    def make(session_id: str = "s1", **options: Any) -> RedisSessionChatMessageHistory:
        options = {"redis_url": redis_url, "key_prefix": key_prefix, **options}
        history = RedisSessionChatMessageHistory(session_id, **options)
        made.append(history)
        return history

    yield make
    for history in made:
        history.service.close()
