"""`redis+sentinel://`: one URL for sync and async, passwords of both kinds, and a failover."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from langchain_redis_session import (
    BackendUnavailableError,
    ConfigurationError,
    RedisSessionService,
)
from tests.contract.backends import Mode, Verbs
from tests.effort import LOAD
from tests.integration.direct_load import DirectLoad, show
from tests.integration.failovers import wait_for_link
from tests.integration.persist_load import create_all, make_keys
from tests.methods import call_all_methods
from tests.servers import HOST, RedisSentinel, ServerBinary
from tests.waits import PATIENCE_S, wait_until

PATIENT: dict[str, Any] = {"socket_timeout": PATIENCE_S, "socket_connect_timeout": PATIENCE_S}
PASSWORD, SENTINEL_PASSWORD = "Wombat/1", "Quokka@2"


@pytest.fixture(scope="module")
def sentinel(redis_binary: ServerBinary) -> Iterator[RedisSentinel]:
    """Servers and a sentinel that ask for passwords, of this module's own."""
    with RedisSentinel(
        redis_binary, password=PASSWORD, sentinel_password=SENTINEL_PASSWORD
    ) as servers:
        wait_for_link(servers.replica)
        yield servers


@pytest.mark.parametrize("mode", ["sync", "async"])
async def test_every_method_works_on_a_sentinel_url(
    sentinel: RedisSentinel, key_prefix: str, mode: Mode
) -> None:
    service = RedisSessionService(
        sentinel.url,
        key_prefix=key_prefix,
        summarizer=lambda _: "s",
        extra_options={**PATIENT, "sentinel_password": SENTINEL_PASSWORD},
    )
    results = await call_all_methods(Verbs(service, mode))
    assert len(results["get_messages"]) > 0
    assert f"***@{HOST}:{sentinel.sentinel.port}/{sentinel.service}/0" in repr(service)


async def test_closing_leaves_no_connection_to_servers_and_sentinels(
    sentinel: RedisSentinel,
) -> None:
    options = {**PATIENT, "sentinel_password": SENTINEL_PASSWORD, "client_name": "shop"}

    def count() -> tuple[int, int]:
        counts = []
        for server in (sentinel.primary, sentinel.replica, sentinel.sentinel):
            with server.client() as client:
                counts.append(len([c for c in client.client_list() if c["name"] == "shop"]))
        return counts[0] + counts[1], counts[2]

    service = RedisSessionService(sentinel.url, extra_options=options)
    assert service.ping()
    assert await service.aping()
    assert count() == (2, 2)  # each once for sync, and once for async
    await service.aclose()
    wait_until(lambda: count() == (0, 0))


@pytest.mark.parametrize("mode", ["sync", "async"])
async def test_a_wrong_password_of_the_sentinels_is_not_shown(
    sentinel: RedisSentinel, mode: Mode
) -> None:
    service = RedisSessionService(
        sentinel.url, extra_options={**PATIENT, "sentinel_password": "Wallaby"}
    )
    async with Verbs(service, mode) as verbs:
        with pytest.raises(BackendUnavailableError) as raised:
            await verbs.ping()
    said = f"{raised.value!r} {raised.value.__cause__!r}"
    assert not [word for word in ("Wallaby", "Wombat", "Quokka") if word in said]


def test_an_option_for_sentinels_beside_a_plain_url() -> None:
    with pytest.raises(
        ConfigurationError, match=r"for redis:// have no option 'sentinel_password'"
    ):
        RedisSessionService("redis://db", extra_options={"sentinel_password": "x"})


def test_a_failover_under_eight_writers(sentinel: RedisSentinel) -> None:
    keys = make_keys(6)
    options = {"sentinel_password": SENTINEL_PASSWORD, "socket_timeout": 1}
    waiting: dict[str, Any] = {"wait_replicas": 1, "wait_timeout": 0.3}
    # It asks only every 10 s, and promotes no replica that had no link when it asked last.
    sentinel.sentinel.restart()
    with sentinel.sentinel.client() as asking:
        wait_until(lambda: sees_link(asking, sentinel.service))
        with RedisSessionService(
            sentinel.url, session_event_limit=None, extra_options=options, **waiting
        ) as service:
            create_all(service, keys)
            load = DirectLoad(service, keys)
            primary, replica = sentinel.primary, sentinel.replica
            with load.running():
                for _ in range(LOAD):
                    load.go_on(30 * LOAD)
                    primary.kill()
                    wait_until(lambda: find_port(asking, sentinel.service) == replica.port)  # noqa: B023
                    # The old one comes back as a replica, empty, before anything is acknowledged.
                    primary.args = [*sentinel.primary_args, "--replicaof", HOST, str(replica.port)]
                    primary.start()
                    wait_for_link(primary)
                    load.go_on(30 * LOAD)
                    primary, replica = replica, primary
                    wait_until(lambda: sees_link(asking, sentinel.service))
            assert load.refused
            outcome = load.look(service)
            show(outcome)
            assert outcome.is_good, outcome
            asyncio.run(service.aclose())


def sees_link(client: Any, service: str) -> bool:
    replicas = client.sentinel_slaves(service)
    return [replica["master-link-status"] for replica in replicas] == ["ok"]


def find_port(client: Any, service: str) -> int | None:
    address = client.sentinel_get_master_addr_by_name(service)
    return int(address[1]) if address else None
