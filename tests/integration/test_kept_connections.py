"""Connections that are kept out of their pool between two uses: whose, how many, for how long."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import wraps
from typing import Any
from urllib.parse import quote

import pytest
import redis
import redis.connection
from langchain_core.messages import HumanMessage
from redis.backoff import NoBackoff
from redis.retry import Retry

from langchain_redis_session import (
    BackendUnavailableError,
    RedisSessionChatMessageHistory,
    RedisSessionService,
    SessionKey,
    register_redis_instance,
    unregister_redis_instance,
)
from langchain_redis_session._connections import exchanges, kept, waiting
from tests.effort import LOAD
from tests.servers import PATIENT, RedisSentinel, RedisServer
from tests.waits import PATIENCE_S, still_waits, wait_until

KEY = SessionKey("kept", "u", "s")
NO_RETRY: dict[str, Any] = {"retry": Retry(NoBackoff(), 0), **PATIENT}


class Pools:
    """Counts how often a pool was asked for a connection."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked = 0
        own = redis.ConnectionPool.get_connection

        @wraps(own)  # older ones want arguments
        def get_connection(pool: Any, *args: Any, **options: Any) -> Any:
            self.asked += 1
            return own(pool, *args, **options)

        monkeypatch.setattr(redis.ConnectionPool, "get_connection", get_connection)


@pytest.fixture
def pools(monkeypatch: pytest.MonkeyPatch) -> Pools:
    return Pools(monkeypatch)


@pytest.fixture
def name(key_prefix: str) -> str:
    """What connections of a test call themselves."""
    return quote(key_prefix)


def kill_connections(server: RedisServer, name: str) -> None:
    with server.client() as client:
        for found in server.list_connections(name):
            client.client_kill_filter(_id=found)


def append(service: RedisSessionService, text: str) -> None:
    service.append_messages(KEY, [HumanMessage(text)], create=True)


def read(service: RedisSessionService) -> list[Any]:
    return [message.content for message in service.get_messages(KEY)]


@contextmanager
def open_service(server: RedisServer, name: str, **options: Any) -> Iterator[RedisSessionService]:
    pool_timeout = options.pop("pool_timeout", PATIENCE_S)
    options = {"client_name": name, **PATIENT, **options}
    with RedisSessionService(
        server.url,
        key_prefix=name,
        session_event_limit=None,
        pool_timeout=pool_timeout,
        extra_options=options,
    ) as service:
        append(service, "first")
        yield service


# Whose


@pytest.mark.parametrize("kind", ["redis", "unix", "sentinel"])
def test_clients_of_urls_ask_their_pool_once(
    request: pytest.FixtureRequest, key_prefix: str, pools: Pools, kind: str
) -> None:
    if kind == "sentinel":
        sentinel: RedisSentinel = request.getfixturevalue("redis_sentinel")
        url = sentinel.url
    else:
        server: RedisServer = request.getfixturevalue("redis_server")
        url = server.url if kind == "redis" else server.unix_url
    with RedisSessionService(url, key_prefix=key_prefix) as service:
        append(service, "first")
        asked = pools.asked
        append(service, "second")
        assert service.get_session(KEY)  # a batch
        assert pools.asked == asked


class OwnConnection(redis.Connection):
    """As a user's, which may look after its uses."""


@pytest.mark.parametrize("kind", ["client", "factory", "provider", "class", "lent"])
def test_other_pools_see_each_use(
    redis_server: RedisServer, key_prefix: str, pools: Pools, kind: str
) -> None:
    given: dict[str, Any] = {"redis_url": redis_server.url}
    if kind == "client":
        given = {"client": redis_server.client()}
    elif kind == "factory":
        register_redis_instance("kept-factory", factory=redis_server.client)
        given = {"redis_instance": "kept-factory"}
    elif kind == "provider":
        with redis_server.client() as client:
            client.acl_setuser("kept", enabled=True, passwords=["+x"], commands=["+@all"], keys="*")
        provider = redis.UsernamePasswordCredentialProvider("kept", "x")
        given["extra_options"] = {"credential_provider": provider}
    elif kind == "class":
        given["extra_options"] = {"connection_class": OwnConnection}
    with RedisSessionService(key_prefix=key_prefix, **given) as service:
        if kind == "lent":
            RedisSessionChatMessageHistory("s", service=service).redis_client  # noqa: B018
        append(service, "first")
        asked = pools.asked
        append(service, "second")
        append(service, "third")
        assert pools.asked == asked + 2
    if kind == "client":
        given["client"].close()
    if kind == "provider":
        with redis_server.client() as client:
            client.acl_deluser("kept")
    if kind == "factory":
        unregister_redis_instance("kept-factory")


@pytest.mark.parametrize("how", ["metrics", "instrumented"])
def test_who_watches_the_client_sees_each_command(
    redis_server: RedisServer, key_prefix: str, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    seen: list[Any] = []
    own = redis.client.Pipeline.execute

    def execute(pipeline: Any, *args: Any, **options: Any) -> Any:
        seen.append(pipeline)
        return own(pipeline, *args, **options)

    monkeypatch.setattr(redis.client.Pipeline, "execute", execute)
    if how == "metrics":
        monkeypatch.setattr(exchanges, "_are_metrics_on", lambda: True)
    else:
        plain: Any = redis.Redis.execute_command

        def execute_command(client: Any, *args: Any, **options: Any) -> Any:
            return plain(client, *args, **options)

        monkeypatch.setattr(redis.Redis, "execute_command", execute_command)
    with RedisSessionService(redis_server.url, key_prefix=key_prefix) as service:
        append(service, "first")
    assert seen


def test_a_client_that_is_lent_finds_its_connections_in_its_pool(
    redis_server: RedisServer, name: str
) -> None:
    with open_service(redis_server, name, max_connections=1) as service:
        client = RedisSessionChatMessageHistory("s", service=service).redis_client
        for text in "12":
            assert client.ping()
            append(service, text)
        assert client.ping()
        assert len(redis_server.list_connections(name)) == 1


def test_the_pool_gets_what_was_used_last_at_the_end_where_it_takes_it_first(
    redis_server: RedisServer, name: str
) -> None:
    with open_service(redis_server, name) as service:
        last = keep(service, 3)
        client = RedisSessionChatMessageHistory("s", service=service).redis_client
        assert client.client_id() == last
        assert len(redis_server.list_connections(name)) == 3


def keep(service: RedisSessionService, count: int) -> int:
    """Keep so many connections; gives the id of the one that was used last."""
    opened: Any = service._connections.exchanges()  # noqa: SLF001
    for connection in [opened.take() for _ in range(count)]:
        opened._put_away(connection)  # noqa: SLF001
    assert len(opened._kept) == count  # noqa: SLF001
    found: int = opened.send(("CLIENT", "ID"))
    return found


# How many


def test_threads_that_end_leave_one_connection(redis_server: RedisServer, name: str) -> None:
    with open_service(redis_server, name) as service:
        for number in range(100 * LOAD):
            thread = threading.Thread(target=append, args=(service, str(number)))
            thread.start()
            thread.join(PATIENCE_S)
        assert len(redis_server.list_connections(name)) == 1
    wait_until(lambda: not redis_server.list_connections(name))


def test_services_on_an_instance_share_what_is_kept(redis_server: RedisServer, name: str) -> None:
    register_redis_instance("kept", redis_server.url, client_name=name, max_connections=1)
    first, second = (RedisSessionService(redis_instance="kept", key_prefix=name) for _ in "12")
    append(first, "0")
    append(second, "1")
    first.close()
    append(second, "2")
    assert read(second) == [*"012"]
    assert len(redis_server.list_connections(name)) == 1
    second.close()
    wait_until(lambda: not redis_server.list_connections(name))
    unregister_redis_instance("kept")


def test_who_has_waited_longest_gets_what_a_thread_in_a_hurry_gives_back(
    redis_server: RedisServer, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # They are told: nobody looks for himself.
    monkeypatch.setattr(waiting, "_LOOK_S", 2 * PATIENCE_S)
    monkeypatch.setattr(waiting, "_MOVE_UP_S", 2 * PATIENCE_S)
    with (
        open_service(redis_server, name, pool_timeout=2 * PATIENCE_S, max_connections=1) as service,
        ThreadPoolExecutor(4) as threads,
    ):
        is_sent, may_read = threading.Event(), threading.Event()
        own = redis.connection.AbstractConnection.read_response

        def read_response(connection: Any, *args: Any, **options: Any) -> Any:
            is_sent.set()
            assert may_read.wait(PATIENCE_S)
            return own(connection, *args, **options)

        monkeypatch.setattr(redis.connection.AbstractConnection, "read_response", read_response)
        send = service._connections.exchanges().send  # noqa: SLF001
        key = f"{name}:list"
        calls = [threads.submit(lambda: [send(("RPUSH", key, text)) for text in ("a", "z")])]
        assert is_sent.wait(PATIENCE_S)
        for text in "bcd":
            calls.append(threads.submit(send, ("RPUSH", key, text)))
            assert still_waits(*calls)
        may_read.set()
        wait_until(lambda: all(call.done() for call in calls))
        assert [call.exception() for call in calls] == [None] * 4
        assert send(("LRANGE", key, 0, -1)) == [b"a", b"b", b"c", b"d", b"z"]
        send(("DEL", key))


def test_what_works_on_after_the_end_leaves_nothing_open(
    redis_server: RedisServer, name: str
) -> None:
    with open_service(redis_server, name) as service:
        connections = service._connections  # noqa: SLF001
    assert connections.exchanges().send(("PING",)) == b"PONG"
    assert len(redis_server.list_connections(name)) == 1
    connections.release()
    wait_until(lambda: not redis_server.list_connections(name))


# How long


def test_a_killed_connection_is_no_failure(redis_server: RedisServer, name: str) -> None:
    """Not even where the client is not to try again: nobody can know that it was dead."""
    with open_service(redis_server, name, **NO_RETRY) as service:
        for number in range(3):
            kill_connections(redis_server, name)
            append(service, str(number))
        keep(service, 3)
        kill_connections(redis_server, name)
        assert read(service) == ["first", *"012"]
        assert len(redis_server.list_connections(name)) == 1


def test_the_pool_looks_at_a_connection_that_has_lain_for_long(
    redis_server: RedisServer, name: str, pools: Pools, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that one which the server has closed meanwhile is not even tried."""
    with open_service(redis_server, name) as service:
        sent: list[Any] = []
        own: Any = redis.Connection.send_packed_command

        def send(connection: Any, command: Any, *args: Any, **options: Any) -> Any:
            sent.extend(part for part in command if b"EVALSHA" in part)
            return own(connection, command, *args, **options)

        monkeypatch.setattr(redis.Connection, "send_packed_command", send)
        kill_connections(redis_server, name)
        asked = pools.asked
        monkeypatch.setattr(kept, "_FRESH_S", 0)
        append(service, "second")
        assert pools.asked == asked + 1
        assert len(sent) == 1
        assert len(redis_server.list_connections(name)) == 1


@pytest.mark.parametrize("why", ["marked", "of another server"])
def test_a_connection_that_is_to_be_renewed_goes_back_to_its_pool(
    redis_server: RedisServer, name: str, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    with open_service(redis_server, name) as service:
        opened: Any = service._connections.exchanges()  # noqa: SLF001
        ((connection, _),) = opened._kept  # noqa: SLF001
        if why == "marked":
            monkeypatch.setattr(kept, "_HAS_MARKS", True)
            monkeypatch.setattr(connection, "should_reconnect", lambda: True, raising=False)
        else:  # as pools of Sentinels say, once they know of a new primary
            monkeypatch.setattr(opened._pool, "owns_connection", lambda _: False)  # noqa: SLF001
        append(service, "second")
        assert not opened._kept  # noqa: SLF001
        monkeypatch.undo()
        append(service, "third")
        assert opened._kept  # noqa: SLF001


@pytest.mark.parametrize(("error", "tries"), [(redis.TimeoutError, 3), (redis.ConnectionError, 4)])
def test_a_time_out_is_the_first_of_the_failures_that_the_client_may_have(
    redis_server: RedisServer,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    error: type[Exception],
    tries: int,
) -> None:
    """And a lost connection is not: it may have been lost while it lay."""
    options = {"retry": Retry(NoBackoff(), 2)}
    with open_service(redis_server, name, **options) as service:
        tried: list[int] = []

        def read_response(*_: Any, **__: Any) -> Any:
            tried.append(1)
            raise error("gone")

        with monkeypatch.context() as patch:
            patch.setattr(redis.connection.AbstractConnection, "read_response", read_response)
            patch.setattr(redis.connection.AbstractConnection, "connect", lambda *_, **__: None)
            patch.setattr(redis.connection.AbstractConnection, "can_read", lambda *_, **__: False)
            patch.setattr(
                redis.connection.AbstractConnection,
                "send_packed_command",
                lambda *_, **__: None,
            )
            with pytest.raises(BackendUnavailableError):
                service.count_events(KEY)
        assert len(tried) == tries
        assert read(service) == ["first"]


@pytest.mark.parametrize("tries", [0, 1])
def test_a_reply_that_comes_after_the_time_out_reaches_no_other_call(
    redis_server: RedisServer, name: str, monkeypatch: pytest.MonkeyPatch, tries: int
) -> None:
    options = {"retry": Retry(NoBackoff(), tries), "max_connections": 2}
    with open_service(redis_server, name, **options) as service:
        keep(service, 2)
        own = redis.connection.AbstractConnection.read_response
        late = [redis.TimeoutError("late")]

        def read_response(connection: Any, *args: Any, **options: Any) -> Any:
            if late:
                raise late.pop()
            return own(connection, *args, **options)

        monkeypatch.setattr(redis.connection.AbstractConnection, "read_response", read_response)
        # It comes after the pool has looked whether there is one.
        monkeypatch.setattr(redis.connection.AbstractConnection, "can_read", lambda *_, **__: False)
        if tries:
            assert service.count_events(KEY) == 1
        else:
            with pytest.raises(BackendUnavailableError):
                service.count_events(KEY)
        assert service.count_events(SessionKey("kept", "u", "nobody's")) == 0
        assert len(redis_server.list_connections(name)) == 1  # the late one is closed
        keep(service, 2)  # and given back


def test_a_connection_is_checked_as_often_as_was_asked_for(
    redis_server: RedisServer, name: str
) -> None:
    with (
        open_service(redis_server, name, health_check_interval=1) as service,
        redis_server.client() as client,
    ):
        client.config_resetstat()
        ((connection, _),) = service._connections.exchanges()._kept  # type: ignore[attr-defined] # noqa: SLF001
        connection.next_health_check = 0
        for text in ("second", "third"):
            append(service, text)
            assert client.info("commandstats")["cmdstat_ping"]["calls"] == 1


# In the midst of an exchange


@pytest.mark.parametrize("ask", [RedisSessionService.get_messages, RedisSessionService.get_session])
def test_a_handler_that_calls_between_send_and_reply_gets_its_own(
    redis_server: RedisServer,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    ask: Callable[..., Any],
) -> None:
    """As a signal's handler does, or an object's end."""
    with open_service(redis_server, name, max_connections=2) as service:
        own = redis.connection.AbstractConnection.read_response
        found: list[Any] = []
        is_inside = False

        def read_response(connection: Any, *args: Any, **options: Any) -> Any:
            nonlocal is_inside
            if not is_inside:
                is_inside = True
                found.append(service.count_events(SessionKey("kept", "u", "nobody's")))
            return own(connection, *args, **options)

        monkeypatch.setattr(redis.connection.AbstractConnection, "read_response", read_response)
        assert ask(service, KEY)
        assert found == [0]
        assert read(service) == ["first"]


def test_appends_go_on_while_all_connections_are_killed(
    redis_server: RedisServer, name: str
) -> None:
    kills, writers = 3 * LOAD, 8
    with open_service(redis_server, name) as service:
        stop = threading.Event()
        written = [0] * writers

        def write(writer: int) -> None:
            while not stop.is_set():
                append(service, f"{writer}:{written[writer]}")
                written[writer] += 1

        with ThreadPoolExecutor(writers) as threads:
            calls = [threads.submit(write, writer) for writer in range(writers)]
            for _ in range(kills):
                enough = [count + 5 for count in written]
                wait_until(
                    lambda: (
                        all(map(int.__ge__, written, enough))  # noqa: B023
                        or any(call.done() for call in calls)
                    )
                )
                with redis_server.client() as client:
                    client.client_kill_filter(_type="normal", skipme=True)
            stop.set()
        assert [call.exception() for call in calls] == [None] * writers
        texts = read(service)[1:]
        for writer in range(writers):
            own = [text for text in texts if text.startswith(f"{writer}:")]
            assert own == [f"{writer}:{number}" for number in range(written[writer])]
        print(f"{kills} kills, {len(texts)} appends by {writers} threads, each stored once")
