"""`wait_replicas`: what is acknowledged is on replicas, and what is not can be sent again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest
from langchain_core.messages import HumanMessage

from langchain_redis_session import (
    BackendUnavailableError,
    Event,
    PersistStats,
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
from tests.proxy import CuttingProxy
from tests.servers import HOST, RedisServer
from tests.waits import PATIENCE_S, still_waits, wait_until


@dataclass
class Pair:
    """A primary and its replica."""

    primary: RedisServer
    replica: RedisServer

    def replica_has(self, key: SessionKey) -> list[str]:
        """Say which events the replica has."""
        with RedisSessionService(self.replica.url) as service:
            return [str(message.content) for message in service.get_messages(key)]


def wait_for_link(replica: RedisServer) -> None:
    with replica.client() as client:
        wait_until(lambda: client.info("replication").get("master_link_status") == "up")


@pytest.fixture(scope="module", params=["redis_binary", "field_ttl_binary"])
def servers(request: pytest.FixtureRequest) -> Iterator[Pair]:
    binary = request.getfixturevalue(request.param)
    with ExitStack() as stack:
        primary = stack.enter_context(RedisServer(binary, ["--repl-diskless-sync-delay", "0"]))
        replica = RedisServer(binary, ["--replicaof", HOST, str(primary.port)])
        stack.enter_context(replica)
        wait_for_link(replica)
        yield Pair(primary, replica)


@pytest.fixture
def pair(servers: Pair) -> Iterator[Pair]:
    try:
        yield servers
    finally:
        servers.replica.resume()
    wait_for_link(servers.replica)


@pytest.fixture
def key() -> SessionKey:
    return make_keys(1)[0]


def persist_stats(service: RedisSessionService) -> PersistStats:
    stats = service.stats().persist
    assert stats is not None
    return stats


def event_of(text: str) -> Event:
    return Event(HumanMessage(text, id=text))


def test_an_append_waits_until_the_replica_has_it(pair: Pair, key: SessionKey) -> None:
    options: Any = {"wait_replicas": 1, "wait_timeout": PATIENCE_S}
    with RedisSessionService(pair.primary.url, **options) as service:
        create_all(service, [key])
        service.append_event(key, event_of("a"))
        assert pair.replica_has(key) == ["a"]
        pair.replica.pause()
        with ThreadPoolExecutor(1) as pool:
            events = [event_of("b"), event_of("c")]
            appending = pool.submit(service.append_events, key, events)
            assert still_waits(appending)
            pair.replica.resume()
            appending.result(PATIENCE_S)
        assert pair.replica_has(key) == ["a", "b", "c"]

        async def body() -> None:
            await service.aappend_event(key, event_of("d"))
            assert pair.replica_has(key) == ["a", "b", "c", "d"]

        asyncio.run(body())


def test_without_a_replica_the_error_tells_and_sending_again_waits(
    pair: Pair, key: SessionKey
) -> None:
    options: Any = {"wait_replicas": 1, "wait_timeout": 0.05}
    message = r"only 0 of 1 replicas \(wait_replicas\) had the write after 0.05 s"
    with RedisSessionService(pair.primary.url) as service:
        create_all(service, [key])
    pair.replica.pause()
    with pair.primary.client() as client:
        client.script_flush()  # the first call brings its script along
    event = event_of("a")
    for _ in range(2):
        # Each time on a new connection, which knows nothing of the write.
        with RedisSessionService(pair.primary.url, **options) as service:
            for _ in range(2):
                with pytest.raises(BackendUnavailableError, match=message):
                    service.append_event(key, event)
            with pytest.raises(BackendUnavailableError, match=message):
                service.append_messages(key, [HumanMessage("a", id="a")], once=True)
            with pytest.raises(BackendUnavailableError, match=message):
                service.append_track_event(key, "t", 1)
    with RedisSessionService(pair.primary.url, **options) as service:
        with pytest.raises(BackendUnavailableError, match=message):
            asyncio.run(append_async(service, key, event))
        # The primary has it.
        assert len(service.get_events(key)) == 1
    pair.replica.resume()
    wait_for_link(pair.replica)
    options["wait_timeout"] = PATIENCE_S
    with RedisSessionService(pair.primary.url, **options) as service:
        assert service.append_event(key, event).written == 0
        assert pair.replica_has(key) == ["a"]


async def append_async(service: RedisSessionService, key: SessionKey, event: Event) -> None:
    await service.aappend_event(key, event)


def test_write_behind_tries_until_the_replica_has_it(pair: Pair, key: SessionKey) -> None:
    options: Any = {"wait_replicas": 1, "wait_timeout": 0.05, "persist_put_timeout": PATIENCE_S}
    with make_service(pair.primary.url, **options) as service:
        create_all(service, [key])
        pair.replica.pause()
        for number in range(5):
            service.append_event(key, event_of(str(number)))
            service.append_track_event(key, "t", number)
        wait_until(lambda: persist_stats(service).retried > 1)
        assert not service.flush(0)
        stats = persist_stats(service)
        assert "only 0 of 1 replicas" in stats.last_error
        assert service.dead_letters() == []
        pair.replica.resume()
        assert service.flush(PATIENCE_S)
        assert pair.replica_has(key) == [*"01234"]
        with RedisSessionService(pair.replica.url) as reader:
            assert [e.payload for e in reader.get_track_events(key, "t")] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("wait_replicas", [0, 1])
def test_a_promoted_replica_lacks_only_what_nobody_waited_for(
    make_redis_server: Callable[..., RedisServer],
    make_cutting_proxy: Callable[[int], CuttingProxy],
    wait_replicas: int,
) -> None:
    """What the primary sent to the replica gets lost on the way; then the primary does."""
    primary = make_redis_server(["--repl-diskless-sync-delay", "0"])
    link, front = make_cutting_proxy(primary.port), make_cutting_proxy(primary.port)
    replica = make_redis_server(["--replicaof", HOST, str(link.port)])
    wait_for_link(replica)
    keys = make_keys(6)
    options: Any = {"wait_replicas": wait_replicas, "wait_timeout": 0.2}
    with make_service(front.url, **options) as service, replica.client() as client:
        create_all(service, keys)
        wait_until(lambda: client.dbsize() > 0)
        load = Load(service, keys, threads=3, tasks=3)
        with load.running():
            load.go_on(30)
            link.stall()
            load.go_on(30)
            primary.kill()
            link.refuse()
            client.execute_command("REPLICAOF", "NO", "ONE")
            front.target_port = replica.port
            follower = make_redis_server(["--replicaof", HOST, str(replica.port)])
            wait_for_link(follower)
            load.go_on(30)
        assert service.flush(PATIENCE_S)
    with RedisSessionService(replica.url) as reader:
        if wait_replicas:
            check_complete(load, reader)
            return
        found = sum(len(reader.get_events(key)) for key in keys)
        assert found < sum(map(len, load.accepted.values()))
