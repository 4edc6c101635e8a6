"""The servers that other tests rely on."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.processes import is_alive, start_python
from tests.proxy import CuttingProxy
from tests.servers import (
    RedisCluster,
    RedisSentinel,
    RedisServer,
    ServerBinary,
    ServerError,
    all_servers,
    supports_field_ttl,
)
from tests.waits import wait_until

NO_RETRY = Retry(NoBackoff(), 0)

MakeServer = Callable[..., RedisServer]
MakeCluster = Callable[..., RedisCluster]


def test_standalone_answers_on_port_and_socket(redis_server: RedisServer) -> None:
    assert redis_server.socket_path is not None
    with redis_server.client() as client, redis.Redis.from_url(redis_server.unix_url) as other:
        client.set("smoke:a", "1", px=10_000)
        assert other.get("smoke:a") == b"1"


async def test_async_clients_reach_the_server(redis_server: RedisServer) -> None:
    async with redis_server.async_client() as client:
        assert await client.ping()


def test_cluster_has_every_slot(redis_cluster: RedisCluster) -> None:
    with redis_cluster.client() as client:
        for i in range(30):
            key = f"smoke:{i}"
            client.set(key, i, px=10_000)
            with redis_cluster.node_of(key).client() as node:
                assert node.get(key) == str(i).encode()


async def test_async_clients_reach_the_cluster(redis_cluster: RedisCluster) -> None:
    async with redis_cluster.async_client() as client:
        assert await client.get("smoke:none") is None


def test_clients_check_the_certificate_of_the_server(
    tls_redis_server: RedisServer | CuttingProxy,
) -> None:
    assert tls_redis_server.url.startswith("rediss://")
    with tls_redis_server.client() as client:
        assert client.ping()
    with (
        redis.Redis(port=tls_redis_server.port, ssl=True, retry=NO_RETRY) as stranger,
        pytest.raises(redis.ConnectionError, match=r"(?i)certificate"),
    ):
        stranger.ping()


def test_the_server_with_field_ttls_expires_single_fields(
    field_ttl_redis_server: RedisServer,
) -> None:
    with field_ttl_redis_server.client() as client:
        client.hset("smoke:h", mapping={"a": "1", "b": "2"})
        client.expire("smoke:h", 10)
        assert client.execute_command("HPEXPIRE", "smoke:h", 5000, "FIELDS", 1, "a") == [1]
        ttl, forever = client.execute_command("HPTTL", "smoke:h", "FIELDS", 2, "a", "b")
        assert 0 < ttl <= 5000
        assert forever == -1


def test_field_ttl_is_known_by_version() -> None:
    for binary in all_servers():
        with RedisServer(binary) as server, server.client() as client:
            client.hset("h", "a", "1")
            try:
                known = client.execute_command("HPEXPIRE", "h", 5000, "FIELDS", 1, "a") == [1]
            except redis.ResponseError:
                known = False
            assert known is supports_field_ttl(binary)


def test_sentinel_names_the_primary(redis_sentinel: RedisSentinel) -> None:
    with redis_sentinel.sentinel.client() as client:
        host, port = client.sentinel_get_master_addr_by_name(redis_sentinel.service)
    assert (host, port) == (b"127.0.0.1", redis_sentinel.primary.port)


def test_replicas_of_a_cluster_follow_their_primaries(make_redis_cluster: MakeCluster) -> None:
    cluster = make_redis_cluster(primaries=3, replicas=1)
    with cluster.nodes[3].client() as client:
        assert client.info("replication")["role"] == "slave"


def test_a_server_with_a_password_refuses_strangers(make_redis_server: MakeServer) -> None:
    server = make_redis_server(password="p:w@/%")
    with server.client() as client:
        assert client.ping()
    with (
        redis.Redis(port=server.port, retry=NO_RETRY) as stranger,
        pytest.raises(redis.AuthenticationError),
    ):
        stranger.ping()


def test_nothing_survives_a_kill_unless_asked_to(make_redis_server: MakeServer) -> None:
    plain = make_redis_server()
    durable = make_redis_server(["--appendonly", "yes", "--appendfsync", "always"])
    for server, expected in ((plain, None), (durable, b"1")):
        port = server.port
        with server.client() as client:
            client.set("a", "1")
        server.kill()
        server.start()
        assert server.port == port
        with server.client() as client:
            assert client.get("a") == expected


def test_a_paused_server_is_silent(make_redis_server: MakeServer) -> None:
    server = make_redis_server()
    with server.client() as client, server.client(socket_timeout=0.05, retry=NO_RETRY) as hasty:
        client.ping()
        server.pause()
        with pytest.raises(redis.TimeoutError):
            hasty.ping()
        server.resume()
        assert client.ping()


def test_a_server_that_does_not_start_says_why(redis_binary: ServerBinary) -> None:
    with (
        pytest.raises(ServerError, match="nonsense"),
        RedisServer(redis_binary, ["--nonsense", "1"]),
    ):
        pass


def test_no_server_is_an_error_that_helps() -> None:
    with pytest.raises(ServerError, match="REDIS_SERVER_BIN"):
        RedisServer(None)


def test_a_taken_port_is_given_up(
    redis_server: RedisServer, make_redis_server: MakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tests.servers

    ports = iter([redis_server.port, tests.servers.free_port()])
    monkeypatch.setattr(tests.servers, "free_port", lambda: next(ports))
    assert make_redis_server().port != redis_server.port


def test_a_closed_server_leaves_no_process_and_no_files(redis_binary: ServerBinary) -> None:
    with RedisServer(redis_binary) as server:
        pid, directory = server.pid, server.directory
        server.pause()
    assert not directory.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux kills orphans")
def test_servers_die_with_a_killed_parent(redis_binary: ServerBinary) -> None:
    code = f"""
        import sys
        from tests.servers import RedisServer, all_servers
        binary = next(b for b in all_servers() if str(b.path) == {str(redis_binary.path)!r})
        server = RedisServer(binary)
        server.start()
        print(server.pid, server.directory, flush=True)
        sys.stdin.read()
    """
    with start_python("-c", textwrap.dedent(code)) as parent:
        pid, directory = parent.read_line().split()
        assert is_alive(int(pid))
        parent.kill()
        wait_until(lambda: not is_alive(int(pid)))
    for file in Path(directory).iterdir():
        file.unlink()
    Path(directory).rmdir()
