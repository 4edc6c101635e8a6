"""Write-behind while another server takes over: with `wait_replicas`, nothing is lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from langchain_core.messages import HumanMessage
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

from langchain_redis_session import (
    BackendUnavailableError,
    Event,
    RedisSessionService,
    SessionKey,
)
from tests.integration.persist_load import (
    Load,
    check_complete,
    create_all,
    make_keys,
    make_service,
)
from tests.servers import HOST, RedisCluster, RedisSentinel, RedisServer, ServerBinary

WAIT: dict[str, Any] = {"wait_replicas": 1, "wait_timeout": 0.3}


def wait_until(condition: Callable[[], bool], timeout_s: float = 15) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def wait_for_link(server: RedisServer) -> None:
    with server.client() as client:
        wait_until(lambda: client.info("replication").get("master_link_status") == "up")


# Sentinel


def test_a_sentinel_failover_under_load(redis_binary: ServerBinary) -> None:
    keys = make_keys(8)
    with RedisSentinel(redis_binary) as servers:
        wait_for_link(servers.replica)
        sentinel = Sentinel([(HOST, servers.sentinel.port)])
        options: Any = {"retry": Retry(NoBackoff(), 0), "socket_timeout": 1}
        with (
            sentinel.master_for(servers.service, **options) as client,
            sentinel.sentinels[0],
            make_service(client=client, async_client=make_unused_client(), **WAIT) as service,
        ):
            create_all(service, keys)
            load = Load(service, keys)
            with load.running():
                time.sleep(0.4)
                servers.primary.kill()
                promoted = (HOST, servers.replica.port)
                wait_until(lambda: sentinel.discover_master(servers.service) == promoted)
                # The old one comes back as a replica, empty, before anything is acknowledged.
                servers.primary.args = ["--replicaof", HOST, str(servers.replica.port)]
                servers.primary.start()
                wait_for_link(servers.primary)
                time.sleep(0.3)
            assert service.flush(15)
            stats = service.stats().persist
            assert stats is not None
            assert stats.retried > 0
            assert stats.written == load.count
        with RedisSessionService(servers.replica.url) as reader:
            check_complete(load, reader)
        with RedisSessionService(servers.primary.url) as reader:  # the replica has it all, too
            check_complete(load, reader)


def make_unused_client() -> redis.asyncio.Redis:
    """What async appends need to be called; write-behind sends nothing through it."""
    return redis.asyncio.Redis(port=1)


# Cluster


@pytest.fixture(scope="module")
def cluster(redis_binary: ServerBinary) -> Iterator[RedisCluster]:
    """A cluster of this module's own; each test leaves every primary with a replica."""
    options = ["--repl-diskless-sync-delay", "0"]
    with RedisCluster(redis_binary, options, replicas=1, node_timeout=1000) as cluster:
        yield cluster


def replica_of(cluster: RedisCluster, primary: RedisServer) -> RedisServer:
    """Find the replica that a primary has now."""
    with primary.client() as client:
        link = client.info("replication")["slave0"]
    return next(node for node in cluster.nodes if node.port == int(link["port"]))


def primary_of(cluster: RedisCluster, client: redis.RedisCluster, key: SessionKey) -> RedisServer:
    """Find the node that an app's keys are on now."""
    port = client.get_node_from_key(f"{{{key.app_name}}}").port
    return next(node for node in cluster.nodes if node.port == port)


def keys_on_each_primary(client: redis.RedisCluster) -> list[SessionKey]:
    """Make keys of sessions on three nodes."""
    found: dict[int, SessionKey] = {}
    while len(found) < 3:
        key = make_keys(1)[0]
        found.setdefault(client.get_node_from_key(f"{{{key.app_name}}}").port, key)
    return list(found.values())


def replica_texts(replica: RedisServer, key: SessionKey) -> list[bytes]:
    with replica.client() as client:
        client.execute_command("READONLY")
        name = f"event:{{{key.app_name}}}:{key.user_id}:{key.session_id}"
        return client.zrange(name, 0, -1)


def test_a_cluster_waits_at_the_node_of_the_key(cluster: RedisCluster) -> None:
    """One primary's replica is paused: that node's sessions wait, the others' don't."""
    with cluster.client() as client:
        keys = keys_on_each_primary(client)
        slow, *others = keys
        replicas = [replica_of(cluster, primary_of(cluster, client, key)) for key in keys]
        options: Any = {**WAIT, "wait_timeout": 0.1}
        with RedisSessionService(client=client, **options) as service:
            create_all(service, keys)
            replicas[0].pause()
            try:
                event = Event(HumanMessage("a"))
                for _ in range(2):
                    with pytest.raises(BackendUnavailableError, match="only 0 of 1 replicas"):
                        service.append_event(slow, event)
                for key, replica in zip(others, replicas[1:], strict=True):
                    service.append_event(key, Event(HumanMessage("a")))
                    assert len(replica_texts(replica, key)) == 1

                async def body() -> None:
                    await service.aappend_event(others[0], Event(HumanMessage("b")))
                    with pytest.raises(BackendUnavailableError, match="only 0 of 1 replicas"):
                        await service.aappend_event(slow, event)

                with make_service(client=client, async_persister_num=1, **options) as behind:
                    for key in keys:
                        behind.append_event(key, Event(HumanMessage("c")))
                    assert not behind.flush(0.5)
                    assert len(behind.get_events(others[0])) == 2
                    replicas[0].resume()
                    assert behind.flush(10)
                asyncio.run(body_without_error(service, others[0]))
            finally:
                replicas[0].resume()
            wait_for_link(replicas[0])
            assert service.append_event(slow, event).written == 0
            assert len(replica_texts(replicas[0], slow)) == 2


async def body_without_error(service: RedisSessionService, key: SessionKey) -> None:
    await service.aappend_event(key, Event(HumanMessage("b")))
