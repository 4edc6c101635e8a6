"""A cluster with replicas, and what tests do to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import redis
from redis.crc import key_slot

from langchain_redis_session import SessionKey
from tests.integration.persist_load import make_keys
from tests.servers import HOST, RedisCluster, RedisServer
from tests.waits import wait_until


def wait_for_link(server: RedisServer) -> None:
    """Wait until a replica has all that its primary has."""
    with server.client() as client:
        wait_until(lambda: client.info("replication").get("master_link_status") == "up")


def slot_of(key: SessionKey) -> int:
    """The slot of all keys of a session's app."""
    return key_slot(key.app_name.encode())


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


def kill_primary(lost: RedisServer, heir: RedisServer) -> None:
    """Kill a primary, wait until its replica has taken over, and let it follow that one."""
    lost.kill()
    with heir.client() as client:
        wait_until(lambda: client.info("replication")["role"] == "master")
    lost.start()
    wait_for_link(lost)


def migrate_slot(
    slot: int, old: RedisServer, new: RedisServer, others: Sequence[RedisServer]
) -> None:
    """Move a slot with its keys as `redis-cli --cluster reshard` does, a few keys at a time."""
    with old.client() as old_client, new.client() as new_client:
        old_id, new_id = (
            client.execute_command("CLUSTER", "MYID") for client in (old_client, new_client)
        )
        new_client.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", old_id)
        old_client.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", new_id)
        while keys := old_client.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 2):
            # One by one: meanwhile some of a session's keys are here, and some there.
            for key in keys:
                target: tuple[Any, ...] = (HOST, new.port, key, 0, 5000)
                old_client.execute_command("MIGRATE", *target)
        for client in (new_client, old_client):
            client.execute_command("CLUSTER", "SETSLOT", slot, "NODE", new_id)
    for node in others:
        with node.client() as client:
            client.execute_command("CLUSTER", "SETSLOT", slot, "NODE", new_id)
