"""Write-behind while another server takes over: with `wait_replicas`, nothing is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from langchain_core.messages import HumanMessage
from redis.backoff import NoBackoff
from redis.crc import key_slot
from redis.exceptions import MovedError, ResponseError
from redis.retry import Retry
from redis.sentinel import MasterNotFoundError, Sentinel

from langchain_redis_session import BackendUnavailableError, Event, RedisSessionService, SessionKey
from tests.integration.persist_load import (
    Load,
    check_complete,
    create_all,
    make_keys,
    make_service,
)
from tests.servers import HOST, RedisCluster, RedisSentinel, RedisServer, ServerBinary
from tests.waits import MOMENT_S, PATIENCE_S, wait_until

WAIT: dict[str, Any] = {"wait_replicas": 1, "wait_timeout": PATIENCE_S}
HASTY: dict[str, Any] = {"wait_replicas": 1, "wait_timeout": 0.3}


def wait_for_link(server: RedisServer) -> None:
    with server.client() as client:
        wait_until(lambda: client.info("replication").get("master_link_status") == "up")


# Sentinel


def test_a_sentinel_failover_under_load(redis_binary: ServerBinary) -> None:
    keys = make_keys(8)
    with RedisSentinel(redis_binary) as servers:
        wait_for_link(servers.replica)
        sentinel = Sentinel([(HOST, servers.sentinel.port)])
        # It asks only every 10 s, and promotes no replica that had no link when it asked last.
        servers.sentinel.restart()
        wait_until(lambda: sees_link(sentinel.sentinels[0], servers.service))
        options: Any = {"retry": Retry(NoBackoff(), 0), "socket_timeout": 1}
        with (
            sentinel.master_for(servers.service, **options) as client,
            sentinel.sentinels[0],
            make_service(client=client, async_client=make_unused_client(), **HASTY) as service,
        ):
            create_all(service, keys)
            load = Load(service, keys)
            with load.running():
                load.go_on(50)
                servers.primary.kill()
                wait_until(lambda: find_primary(sentinel, servers.service) == servers.replica.port)
                # The old one comes back as a replica, empty, before anything is acknowledged.
                follow = ["--replicaof", HOST, str(servers.replica.port)]
                servers.primary.args = [*servers.primary.args, *follow]
                servers.primary.start()
                wait_for_link(servers.primary)
                load.go_on(50)
            assert service.flush(PATIENCE_S)
            stats = service.stats().persist
            assert stats is not None
            assert stats.retried > 0
            assert stats.written == load.count
        with RedisSessionService(servers.replica.url) as reader:
            check_complete(load, reader)
        with RedisSessionService(servers.primary.url) as reader:  # the replica has it all, too
            check_complete(load, reader)


def sees_link(sentinel: Any, service: str) -> bool:
    replicas = sentinel.sentinel_slaves(service)
    return [replica["master-link-status"] for replica in replicas] == ["ok"]


def find_primary(sentinel: Sentinel, service: str) -> int | None:
    """Ask for the primary's port; None while there is none."""
    try:
        return int(sentinel.discover_master(service)[1])
    except MasterNotFoundError:
        return None


def make_unused_client() -> redis.asyncio.Redis:
    """What async appends need to be called; write-behind sends nothing through it."""
    return redis.asyncio.Redis(port=1)


# Cluster


@pytest.fixture(scope="module")
def cluster(redis_binary: ServerBinary) -> Iterator[RedisCluster]:
    """A cluster of this module's own; each test leaves every primary with a replica."""
    options = ["--repl-diskless-sync-delay", "0"]
    with RedisCluster(redis_binary, options, replicas=1, node_timeout=3000) as cluster:
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


def count_events(node: RedisServer, key: SessionKey) -> int:
    """Count the events that one node has, a replica too."""
    with node.client(single_connection_client=True) as client:
        client.execute_command("READONLY")
        return int(client.zcard(f"event:{{{key.app_name}}}:{key.user_id}:{key.session_id}"))


def test_a_cluster_waits_at_the_node_of_the_key(cluster: RedisCluster) -> None:
    """One primary's replica is paused: that node's sessions wait, the others' don't."""
    with cluster.client() as client:
        keys = keys_on_each_primary(client)
        replicas = [replica_of(cluster, primary_of(cluster, client, key)) for key in keys]
        with (
            RedisSessionService(client=client, **WAIT) as service,
            RedisSessionService(client=client, **HASTY) as hasty,
            make_service(client=client, async_persister_num=1, **HASTY) as behind,
        ):
            create_all(service, keys)
            replicas[0].pause()
            try:
                event = Event(HumanMessage("a"))
                for _ in range(2):
                    with pytest.raises(BackendUnavailableError, match="only 0 of 1 replicas"):
                        hasty.append_event(keys[0], event)
                for key, replica in zip(keys[1:], replicas[1:], strict=True):
                    service.append_event(key, Event(HumanMessage("a")))
                    assert count_events(replica, key) == 1
                for key in keys:
                    behind.append_event(key, Event(HumanMessage("b")))
                for key, replica in zip(keys[1:], replicas[1:], strict=True):
                    assert len(behind.get_events(key)) == count_events(replica, key) == 2
                assert not behind.flush(MOMENT_S)
            finally:
                replicas[0].resume()
            wait_for_link(replicas[0])
            assert behind.flush(PATIENCE_S)
            assert service.append_event(keys[0], event).written == 0
            assert count_events(replicas[0], keys[0]) == 2


def test_a_cluster_waits_for_async_callers_too(cluster: RedisCluster) -> None:
    with cluster.client() as client:
        keys = keys_on_each_primary(client)
        replicas = [replica_of(cluster, primary_of(cluster, client, key)) for key in keys]

        async def body() -> None:
            async with (
                RedisSessionService(client=client, **WAIT) as service,
                RedisSessionService(client=client, **HASTY) as hasty,
            ):
                for key, replica in zip(keys, replicas, strict=True):
                    await service.aappend_messages(key, [HumanMessage("a")], create=True)
                    assert count_events(replica, key) == 1
                await hasty.aping()  # so that its client asks no silent node about the cluster
                replicas[0].pause()
                with pytest.raises(BackendUnavailableError, match="only 0 of 1 replicas"):
                    await hasty.aappend_messages(keys[0], [HumanMessage("b")])

        try:
            asyncio.run(body())
        finally:
            replicas[0].resume()
        wait_for_link(replicas[0])


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_a_cluster_waits_where_a_slot_has_moved_to(cluster: RedisCluster, mode: str) -> None:
    """The client hears of it only by the write: no other node's WAIT may count for it."""
    with cluster.client() as client:
        old_key, new_key, _ = keys_on_each_primary(client)
        old, new = (primary_of(cluster, client, key) for key in (old_key, new_key))
        replica = replica_of(cluster, new)

        async def body() -> None:
            async with (
                RedisSessionService(client=client, **WAIT) as service,
                RedisSessionService(client=client, **HASTY) as hasty,
            ):

                async def append(
                    service: RedisSessionService, key: SessionKey, event: Event
                ) -> None:
                    if mode == "sync":
                        service.append_event(key, event)
                    else:
                        await service.aappend_event(key, event)

                with RedisSessionService(client=client) as creator:
                    create_all(creator, [new_key])
                await append(service, new_key, Event())  # that node knows the script then
                key = make_keys(1)[0]
                while primary_of(cluster, client, key) is not old:
                    key = make_keys(1)[0]
                move_slot(key_slot(key.app_name.encode()), old, new)
                with RedisSessionService(new.url) as creator:  # unseen by the cluster's client
                    create_all(creator, [key])
                wait_until(lambda: knows_slot(replica, key) and has_caught_up(replica, new))
                replica.pause()
                event = Event(HumanMessage("a"))
                for _ in range(2):
                    with pytest.raises(BackendUnavailableError, match="only 0 of 1 replicas"):
                        await append(hasty, key, event)
                replica.resume()
                await append(service, key, event)
                assert count_events(replica, key) == 1

        try:
            asyncio.run(body())
        finally:
            replica.resume()
        wait_for_link(replica)


def move_slot(slot: int, old: RedisServer, new: RedisServer) -> None:
    """Move an empty slot."""
    with old.client() as old_client, new.client() as new_client:
        new_id = new_client.execute_command("CLUSTER", "MYID")
        new_client.execute_command("CLUSTER", "BUMPEPOCH")  # else the others don't believe it
        new_client.execute_command("CLUSTER", "SETSLOT", slot, "NODE", new_id)
        old_client.execute_command("CLUSTER", "SETSLOT", slot, "NODE", new_id)


def knows_slot(replica: RedisServer, key: SessionKey) -> bool:
    try:
        return count_events(replica, key) == 0
    except ResponseError as error:  # a class of its own from redis-py 6 on
        if not isinstance(error, MovedError) and not str(error).startswith("MOVED"):
            raise
        return False


def has_caught_up(replica: RedisServer, primary: RedisServer) -> bool:
    with replica.client() as replica_client, primary.client() as primary_client:
        behind = replica_client.info("replication")["slave_repl_offset"]
        return bool(behind >= primary_client.info("replication")["master_repl_offset"])


def test_a_cluster_failover_under_load(cluster: RedisCluster) -> None:
    with cluster.client() as client:
        keys = [*keys_on_each_primary(client), *make_keys(6)]
        lost = primary_of(cluster, client, keys[0])
        heir = replica_of(cluster, lost)
        with make_service(client=client, **HASTY) as service:
            create_all(service, keys)
            load = Load(service, keys)
            with load.running():
                load.go_on(50)
                lost.kill()
                with heir.client() as heir_client:
                    wait_until(lambda: heir_client.info("replication")["role"] == "master")
                lost.start()  # it becomes a replica, and gets all data anew
                wait_for_link(lost)
                load.go_on(50)
            assert service.flush(PATIENCE_S)
            stats = service.stats().persist
            assert stats is not None
            assert stats.retried > 0
            assert stats.written == load.count
            assert service.dead_letters() == []
        with RedisSessionService(client=client) as reader:
            check_complete(load, reader)
        for key in keys:
            primary = primary_of(cluster, client, key)
            assert count_events(replica_of(cluster, primary), key) == count_events(primary, key)
