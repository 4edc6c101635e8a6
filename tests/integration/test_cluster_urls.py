"""`redis+cluster://`: every method, slots that move, primaries that die; sync and async."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from typing import Any, Literal

import pytest
import redis.asyncio
from langchain_core.messages import HumanMessage
from redis.asyncio.cluster import ClusterNode
from redis.crc import key_slot

from langchain_redis_session import (
    BackendUnavailableError,
    Event,
    RedisSessionService,
    SessionCallbackHandler,
    SessionKey,
)
from langchain_redis_session._keys.zset import Keyspace
from tests.contract.backends import Mode, Verbs
from tests.effort import LOAD
from tests.integration.direct_load import DirectLoad, show
from tests.integration.failovers import (
    keys_on_each_primary,
    kill_primary,
    migrate_slot,
    primary_of,
    replica_of,
    slot_of,
    wait_for_link,
)
from tests.integration.persist_load import create_all, make_keys
from tests.methods import call_all_methods
from tests.servers import CLUSTER_SLOTS, LENDS_CONNECTIONS, RedisCluster, ServerBinary, free_port
from tests.waits import PATIENCE_S

PATIENT: dict[str, Any] = {"socket_timeout": PATIENCE_S, "socket_connect_timeout": PATIENCE_S}


@pytest.mark.parametrize("hash_tag", ["app", "user"])
@pytest.mark.parametrize("mode", ["sync", "async"])
async def test_every_method_works_on_a_cluster_url(
    redis_cluster: RedisCluster, key_prefix: str, mode: Mode, hash_tag: Literal["app", "user"]
) -> None:
    service = RedisSessionService(
        redis_cluster.url,
        key_prefix=key_prefix,
        hash_tag=hash_tag,
        summarizer=lambda _: "s",
        extra_options=PATIENT,
    )
    results = await call_all_methods(Verbs(service, mode))
    assert len(results["get_messages"]) > 0
    with redis_cluster.client() as client:
        for node in client.get_primaries():
            for key in client.scan_iter(f"{key_prefix}:*", target_nodes=node):
                client.unlink(key)


def test_a_service_of_a_cluster_url_connects_only_when_it_is_used() -> None:
    service = RedisSessionService("redis+cluster://127.0.0.1:1,127.0.0.1:2")
    assert repr(service) == "RedisSessionService('redis+cluster://127.0.0.1:1,127.0.0.1:2')"
    with pytest.raises(BackendUnavailableError, match="check that the server runs"):
        service.ping()
    with pytest.raises(BackendUnavailableError, match="check that the server runs"):
        asyncio.run(service.aping())


class Watching(SessionCallbackHandler):
    """Notes the errors that it is told of."""

    def __init__(self) -> None:
        self.errors: list[str] = []

    def on_append_event_error(self, context: Any, error: Exception) -> None:
        self.errors.append(type(error).__name__)


@pytest.mark.parametrize("mode", ["sync", "async"])
async def test_hooks_are_told_that_no_node_can_be_reached(mode: Mode) -> None:
    watching, key = Watching(), SessionKey("cluster", "u", "s")
    service = RedisSessionService(f"redis+cluster://127.0.0.1:{free_port()}", callbacks=[watching])
    with pytest.raises(BackendUnavailableError):
        await Verbs(service, mode).append_messages(key, [HumanMessage("hi")], create=True)
    assert watching.errors == ["BackendUnavailableError"]
    await service.aclose()


def test_write_behind_accepts_what_no_node_can_take_yet() -> None:
    key = SessionKey("cluster", "u", "s")
    service = RedisSessionService(
        f"redis+cluster://127.0.0.1:{free_port()}",
        enable_async_persist=True,
        persist_close_timeout=0.01,
    )
    accepted = service.append_messages(key, [HumanMessage("hi")], create=True)
    service.close()
    (letter,) = service.dead_letters()
    assert accepted.queued
    assert [event.id for event in letter.events] == [event.id for event in accepted.events]


def test_one_node_of_those_in_the_url_is_enough(redis_cluster: RedisCluster) -> None:
    url = f"redis+cluster://127.0.0.1:1,127.0.0.1:{redis_cluster.nodes[1].port}"
    with RedisSessionService(url) as service:
        assert service.ping()
        assert asyncio.run(service.aping())


def test_users_spread_evenly_over_the_nodes() -> None:
    """By a chi-squared test with 2 degrees of freedom, at p = 0.001."""
    keyspace = Keyspace("", "user")
    counts: Counter[int] = Counter()
    for number in range(1000):
        keys = keyspace.session(SessionKey("shop", f"user-{number}", "s"))
        slots = {key_slot(name) for name in (keys.events, keys.sessions, keys.user_state)}
        assert len(slots) == 1  # what a script touches is on one node
        counts[slots.pop() * 3 // CLUSTER_SLOTS] += 1
    expected = 1000 / 3
    assert sum((counts[node] - expected) ** 2 / expected for node in range(3)) < 13.8


# --- What breaks under load -----------------------------------------------------------------------


def test_slots_migrate_under_eight_writers(redis_cluster: RedisCluster) -> None:
    nodes = redis_cluster.nodes
    keys = make_keys(6)
    with RedisSessionService(
        redis_cluster.url, session_event_limit=None, extra_options=PATIENT
    ) as service:
        create_all(service, keys)
        load = DirectLoad(service, keys)
        slots = {slot_of(key) for key in keys}
        with load.running():
            load.go_on(20 * LOAD)
            for slot in sorted(slots):
                home = nodes.index(redis_cluster.node_of_slot(slot))
                for step in range(1, 1 + 3 * LOAD):  # in the end it is at home again
                    old, new = nodes[(home + step - 1) % 3], nodes[(home + step) % 3]
                    migrate_slot(slot, old, new, [n for n in nodes if n not in (old, new)])
                    load.go_on(8 * LOAD)
        outcome = load.look(service)
        show(outcome)
        assert outcome.is_good, outcome
        for key in keys:
            service.delete_session(key)


@pytest.fixture(scope="module")
def replicated(redis_binary: ServerBinary) -> Iterator[RedisCluster]:
    """Three primaries with a replica each; a test leaves them so."""
    options = ["--repl-diskless-sync-delay", "0"]
    with RedisCluster(redis_binary, options, replicas=1, node_timeout=2000) as cluster:
        yield cluster


@pytest.mark.skipif(not LENDS_CONNECTIONS, reason="redis-py before 6.2 leaves nodes open by itself")
def test_a_primary_dies_under_eight_writers_that_wait_for_replicas(
    replicated: RedisCluster,
) -> None:
    with replicated.client() as client:
        keys = [*keys_on_each_primary(client), *make_keys(5)]
    options: Any = {"wait_replicas": 1, "wait_timeout": 0.3, "session_event_limit": None}
    with RedisSessionService(replicated.url, **options) as service:
        create_all(service, keys)
        load = DirectLoad(service, keys)
        with load.running():
            load.go_on(30 * LOAD)
            for _ in range(LOAD):
                with replicated.client() as client:
                    lost = primary_of(replicated, client, keys[0])
                kill_primary(lost, replica_of(replicated, lost))
                load.go_on(30 * LOAD)
        assert load.refused  # there was a time without a primary
        outcome = load.look(service)
        show(outcome)
        assert outcome.is_good, outcome
    for node in replicated.nodes:
        with node.client() as node_client:
            if node_client.info("replication")["role"] == "slave":
                wait_for_link(node)


@pytest.mark.skipif(
    not hasattr(ClusterNode, "disconnect_if_needed"),
    reason="redis-py before 7.2 connects again by itself",
)
def test_a_connection_that_the_client_has_closed_is_no_bare_error(
    redis_cluster: RedisCluster, key_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As redis-py's async cluster does to other tasks when a node is gone."""
    key = SessionKey("shop", "ann", "s")
    times = 0

    async def close_before_send(self: Any) -> None:
        nonlocal times
        times -= 1
        if times >= 0:
            await self.disconnect(nowait=True)

    async def body(service: RedisSessionService) -> None:
        nonlocal times
        await service.acreate_session(key.app_name, key.user_id, key.session_id)
        monkeypatch.setattr(redis.asyncio.Connection, "check_health", close_before_send)
        times = 2
        await service.aappend_event(key, Event(HumanMessage("a")))
        times = 2
        assert len(await service.aget_messages(key)) == 1
        times = 1000
        with pytest.raises(BackendUnavailableError, match="AttributeError"):
            await service.aappend_event(key, Event(HumanMessage("a")))
        times = 0
        await service.adelete_session(key)

    async def main() -> None:
        async with RedisSessionService(redis_cluster.url, key_prefix=key_prefix) as service:
            await body(service)

    asyncio.run(main())
