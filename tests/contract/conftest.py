"""One async test body for every backend, client and mode.

    async def test_appended_messages_are_read(verbs: Verbs, key: SessionKey) -> None:
        await verbs.append_messages(key, [HumanMessage("hi")], create=True)
        assert [m.text for m in await verbs.get_messages(key)] == ["hi"]

That runs with a sync client and `service.append_messages`, and with an async client and
`service.aappend_messages`, against each of `backends.VARIANTS`. Every test has keys of its own.
`@pytest.mark.parametrize("mode", ["async"], indirect=True)` narrows it down; so does `variant`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from tests.contract.backends import (
    VARIANTS,
    Backend,
    Mode,
    RedisProbe,
    SharedClients,
    Variant,
    Verbs,
)
from tests.contract.store import Clock

if TYPE_CHECKING:
    from langchain_redis_session.models import SessionKey


@pytest.fixture(params=VARIANTS, ids=str)
def variant(request: pytest.FixtureRequest) -> Variant:
    """Where the test runs, and with what client."""
    variant: Variant = request.param
    return variant


@pytest.fixture(params=["sync", "async"])
def mode(request: pytest.FixtureRequest) -> Mode:
    """Which half of the interface the test uses."""
    mode: Mode = request.param
    return mode


@pytest.fixture(scope="session")
def shared_clients() -> Iterator[SharedClients]:
    """The sync clients of the whole run."""
    clients = SharedClients()
    yield clients
    clients.close()


@pytest.fixture
async def backend(
    variant: Variant, mode: Mode, shared_clients: SharedClients, request: pytest.FixtureRequest
) -> AsyncIterator[Backend]:
    """A server, started if it is not there yet, and clients for it."""
    server = request.getfixturevalue(variant.server) if variant.server else None
    backend = Backend(variant, mode, server, shared_clients)
    yield backend
    await backend.aclose()


@pytest.fixture
def key_prefix() -> str:
    """A prefix that no other test has."""
    return f"t{uuid4().hex[:12]}"


@pytest.fixture
def key() -> SessionKey:
    """A session's key. (The prefix already makes it unique.)"""
    from langchain_redis_session.models import SessionKey

    return SessionKey("shop", "ann", "s1")


@pytest.fixture
async def redis_probe(backend: Backend, key_prefix: str) -> AsyncIterator[RedisProbe]:
    """Looks at the raw keys of this test, and removes them after it."""
    probe = RedisProbe(backend, key_prefix)
    yield probe
    for key in probe.keys():
        probe.unlink(key)


@pytest.fixture
def clock() -> Clock:
    """What this test's services stamp events with."""
    return Clock()


@pytest.fixture
async def make_verbs(
    backend: Backend, key_prefix: str, redis_probe: RedisProbe, clock: Clock
) -> AsyncIterator[Callable[..., Verbs]]:
    """Make services with other options, on the same keys: `make_verbs(session_ttl=60)`."""
    from langchain_redis_session import RedisSessionService

    made: list[Verbs] = []

    def make(**options: Any) -> Verbs:
        shared = {"key_prefix": key_prefix, "hash_tag": backend.hash_tag, "clock": clock}
        options = {**shared, **options}
        if not options.keys() & {"redis_url", "redis_instance", "client", "async_client"}:
            if backend.mode == "sync":
                options["client"] = backend.client
            else:
                options["async_client"] = backend.make_async_client()
        verbs = Verbs(RedisSessionService(**options), backend.mode)
        made.append(verbs)
        return verbs

    yield make
    for verbs in made:
        await verbs.close()


@pytest.fixture
async def verbs(make_verbs: Callable[..., Verbs]) -> Verbs:
    """A service with default options, called in this test's mode."""
    return make_verbs()
