"""What servers refuse, and what the error says to do about it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any
from unittest.mock import MagicMock
from uuid import uuid4

import pytest
import redis
import redis.asyncio
import redis.sentinel
from redis.backoff import NoBackoff
from redis.retry import Retry

from langchain_redis_session import (
    BackendUnavailableError,
    ConfigurationError,
    RedisSessionChatMessageHistory,
    RedisSessionError,
    RedisSessionService,
    register_redis_instance,
    unregister_redis_instance,
)
from langchain_redis_session._flow.advice import PERMISSIONS, Origin
from langchain_redis_session._flow.translation import translate_error
from tests.contract.backends import Mode, Verbs
from tests.methods import call_all_methods
from tests.proxy import CuttingProxy
from tests.servers import HOST, RedisCluster, RedisServer, ServerBinary

PASSWORD = "Wombat:@/1"
MODES = ["sync", "async"]


@pytest.fixture(scope="module")
def guarded(redis_binary: ServerBinary) -> Iterator[RedisServer]:
    """A server with a password, without EVALSHA, and with users of tests."""
    with RedisServer(
        redis_binary, ["--rename-command", "EVALSHA", ""], password=PASSWORD
    ) as server:
        yield server


async def fail(service: RedisSessionService, mode: Mode) -> RedisSessionError:
    """Give the error of a write."""
    async with Verbs(service, mode) as verbs:
        with pytest.raises(RedisSessionError) as raised:
            await verbs.update_app_state("shop", {"k": 1})
    return raised.value


def count_refused(server: RedisServer) -> int:
    """How often a password was refused so far."""
    with server.client() as client:
        return int(client.info("errorstats").get("errorstat_WRONGPASS", {}).get("count", 0))


@pytest.mark.parametrize("mode", MODES)
async def test_a_wrong_password_is_sent_once_and_never_shown(
    guarded: RedisServer, mode: Mode, caplog: pytest.LogCaptureFixture
) -> None:
    before = count_refused(guarded)
    service = RedisSessionService(f"redis://default:Kangaroo@{HOST}:{guarded.port}/0")
    with caplog.at_level(logging.DEBUG):
        error = await fail(service, mode)
    assert isinstance(error, BackendUnavailableError)
    assert "check the user and the password" in str(error)
    assert count_refused(guarded) == before + 1
    said = f"{error!r} {error.__cause__!r} {error.__context__!r} {service!r} {caplog.text}"
    assert "Kangaroo" not in said


RETRY = Retry(NoBackoff(), 0)


def open_service(way: str, port: int, **options: Any) -> RedisSessionService:
    """A service on a server, named in one of several ways."""
    url, name = f"redis://{HOST}:{port}", uuid4().hex
    if way == "history":
        return RedisSessionChatMessageHistory("s1", url, **options).service
    if way == "client":
        return RedisSessionService(client=redis.Redis(HOST, port, retry=RETRY, **options))
    if way == "URL":
        return RedisSessionService(url, extra_options=options)
    register_redis_instance(name, url, **options)
    service = RedisSessionService(redis_instance=name)
    unregister_redis_instance(name)
    return service


IN_URL = "write it into the URL, percent-encoded (redis://user:password@host), or"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("way", "advice"),
    [
        ("URL", f"{IN_URL} pass password= (to a service in extra_options=)"),
        ("history", f"{IN_URL} pass password= (to a service in extra_options=)"),
        ("instance", f"{IN_URL} pass password= to register_redis_instance"),
        ("client", "make the client with password="),
    ],
)
async def test_without_a_password_the_error_says_where_to_give_it_and_that_helps(
    guarded: RedisServer, mode: Mode, way: str, advice: str
) -> None:
    error = await fail(open_service(way, guarded.port), mode)
    assert str(error).endswith(f"the server asks for a password: {advice}")
    async with Verbs(open_service(way, guarded.port, password=PASSWORD), mode) as verbs:
        assert await verbs.ping()


@pytest.mark.parametrize(
    ("way", "advice"),
    [
        ("URL", "(redis://user:password@host), or username= and password= (to a service in"),
        ("instance", "or username= and password= to register_redis_instance"),
        ("client", "check username= and password= of the client"),
    ],
)
async def test_a_wrong_password_is_to_be_looked_for_where_it_was_given(
    guarded: RedisServer, way: str, advice: str
) -> None:
    error = await fail(open_service(way, guarded.port, password="Kangaroo"), "sync")
    assert advice in str(error)


@pytest.mark.parametrize("mode", MODES)
async def test_a_password_that_nobody_asked_for(redis_server: RedisServer, mode: Mode) -> None:
    error = await fail(
        RedisSessionService(f"redis://:x@{HOST}:{redis_server.port}?protocol=2"), mode
    )
    assert "knows no password for this user" in str(error)


# --- What a user may do ---------------------------------------------------------------------------


@pytest.fixture
def add_user() -> Iterator[Callable[..., str]]:
    """Make a user with these permissions for keys with the prefix "acl"; gives a URL."""
    with ExitStack() as stack:

        def add(servers: RedisServer | RedisCluster, permissions: str) -> str:
            name = f"u{uuid4().hex[:8]}"
            rules = f"on >pw ~acl:* resetchannels {permissions}".split()
            for server in servers.nodes if isinstance(servers, RedisCluster) else [servers]:
                client = stack.enter_context(server.client())
                client.execute_command("ACL", "SETUSER", name, *rules)
                stack.callback(client.execute_command, "ACL", "DELUSER", name)
            return servers.url.replace("://", f"://{name}:pw@")

        yield add


@pytest.mark.parametrize("server", ["redis_server", "field_ttl_redis_server", "redis_cluster"])
@pytest.mark.parametrize("mode", MODES)
async def test_every_method_works_under_the_documented_permissions(
    add_user: Callable[..., str], server: str, mode: Mode, request: pytest.FixtureRequest
) -> None:
    service = RedisSessionService(
        add_user(request.getfixturevalue(server), PERMISSIONS),
        key_prefix="acl",
        summarizer=lambda _: "s",
        extra_options={"client_name": "shop"},
    )
    results = await call_all_methods(Verbs(service, mode))
    assert len(results["get_messages"]) > 0


@pytest.mark.parametrize("command", ["hset", "evalsha"])
@pytest.mark.parametrize("mode", MODES)
async def test_a_forbidden_command_is_named_with_the_permissions_needed(
    add_user: Callable[..., str], redis_server: RedisServer, mode: Mode, command: str
) -> None:
    url = add_user(redis_server, f"{PERMISSIONS} -{command}")
    error = await fail(RedisSessionService(url, key_prefix="acl"), mode)
    assert not isinstance(error, BackendUnavailableError)
    assert f"ACL SETUSER <user> ~<key_prefix>:* {PERMISSIONS}" in str(error)
    if command == "evalsha":
        assert "evalsha" in str(error).partition("ACL")[0]


async def test_a_key_that_is_not_the_users(
    add_user: Callable[..., str], redis_server: RedisServer
) -> None:
    url = add_user(redis_server, PERMISSIONS)
    error = await fail(RedisSessionService(url, key_prefix="other"), "sync")
    assert "ACL SETUSER" in str(error)


# --- Another kind of server -----------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
async def test_a_node_of_a_cluster_by_a_plain_url(redis_cluster: RedisCluster, mode: Mode) -> None:
    home = redis_cluster.node_of("shop")
    other = next(node for node in redis_cluster.nodes if node is not home)
    error = await fail(RedisSessionService(other.url), mode)
    assert "write redis+cluster://host:port" in str(error)


@pytest.mark.parametrize("mode", MODES)
async def test_a_plain_server_by_a_cluster_url(redis_server: RedisServer, mode: Mode) -> None:
    service = RedisSessionService(f"redis+cluster://{HOST}:{redis_server.port}")
    error = await fail(service, mode)
    assert "no node of a cluster; write redis://" in str(error)


@pytest.mark.parametrize("mode", MODES)
async def test_a_plain_server_by_a_sentinel_url(redis_server: RedisServer, mode: Mode) -> None:
    service = RedisSessionService(f"redis+sentinel://{HOST}:{redis_server.port}/main")
    error = await fail(service, mode)
    assert "no Sentinel; write redis://" in str(error)


@pytest.mark.parametrize("mode", MODES)
async def test_a_database_that_the_server_does_not_have(
    redis_server: RedisServer, mode: Mode
) -> None:
    error = await fail(RedisSessionService(f"redis://{HOST}:{redis_server.port}/9999"), mode)
    assert "the server has no database of this number" in str(error)


async def test_errors_do_not_write_out_whole_clients() -> None:
    error = translate_error(
        redis.sentinel.MasterNotFoundError(
            "No master found for 'main' : <redis.client.Redis(<x>)> - refused"
        )
    )
    assert "No master found for 'main' : <…> - refused); no Sentinel knows" in str(error)


ONCE: dict[str, Any] = {
    "retry": RETRY,
    "socket_timeout": 0.3,  # a plain server waits for the end of what it takes for a command
    "socket_connect_timeout": 0.3,
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", ["{}", "{}+cluster", "{}+sentinel", "client"])
@pytest.mark.parametrize("is_tls", [False, True], ids=["without TLS", "with TLS"])
async def test_a_port_that_speaks_tls_or_not(
    redis_server: RedisServer,
    tls_redis_server: RedisServer | CuttingProxy,
    mode: Mode,
    kind: str,
    is_tls: bool,
) -> None:
    """What was used is what the error says to change, whatever redis-py makes of it."""
    port = (redis_server if is_tls else tls_redis_server).port
    used, other = ("rediss", "redis") if is_tls else ("redis", "rediss")
    if kind == "client":
        service = RedisSessionService(client=redis.Redis(HOST, port, ssl=is_tls, **ONCE))
        change = f"make the client with ssl={not is_tls}"
    else:
        name = "/main" if "sentinel" in kind else ""
        service = RedisSessionService(
            f"{kind.format(used)}://{HOST}:{port}{name}", extra_options=ONCE
        )
        change = f"write {kind.format(other)}:// in place of {kind.format(used)}://"
    who, s = ("they", "") if "sentinel" in kind else ("it", "s")
    asked = f"{who} speak{s} TLS there; if not" if is_tls else f"{who} want{s} TLS there; if so"
    assert str(await fail(service, mode)).endswith(f", and whether {asked}, {change}")


@pytest.mark.parametrize(
    ("origin", "advice"),
    [
        (Origin("rediss"), "write redis:// in place of rediss://"),
        (Origin("rediss+cluster"), "write redis+cluster:// in place of rediss+cluster://"),
        (Origin(), "write redis:// in place of rediss://"),
        (Origin("rediss", "caller"), "make the client with ssl=False"),
        (Origin(maker="caller"), "make the client with ssl=False"),
    ],
    ids=str,
)
def test_an_answer_without_tls_is_known(origin: Origin, advice: str) -> None:
    error = redis.ConnectionError("Error 1: [SSL: WRONG_VERSION_NUMBER] wrong version number")
    assert str(translate_error(error, origin)).endswith(f"that port speaks no TLS; {advice}")


@pytest.mark.parametrize("mode", MODES)
async def test_a_certificate_of_an_unknown_authority(
    tls_redis_server: RedisServer | CuttingProxy, mode: Mode
) -> None:
    error = await fail(RedisSessionService(f"rediss://{HOST}:{tls_redis_server.port}"), mode)
    assert "pass ssl_ca_certs=" in str(error)


# --- Scripts --------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
async def test_without_evalsha_the_error_names_the_option_and_it_helps(
    guarded: RedisServer, mode: Mode
) -> None:
    error = await fail(RedisSessionService(guarded.url), mode)
    assert "pass use_evalsha=False" in str(error)
    for is_write_behind in (False, True):
        service = RedisSessionService(
            guarded.url,
            key_prefix=uuid4().hex[:8],
            summarizer=lambda _: "s",
            use_evalsha=False,
            enable_async_persist=is_write_behind,
        )
        results = await call_all_methods(Verbs(service, mode))
        assert len(results["get_messages"]) > 0
        assert results["flush"]


async def test_without_eval_there_is_nothing_to_do(
    make_redis_server: Callable[..., RedisServer],
) -> None:
    server = make_redis_server(["--rename-command", "EVAL", "", "--rename-command", "EVALSHA", ""])
    error = await fail(RedisSessionService(server.url, use_evalsha=False), "sync")
    assert "has no EVAL" in str(error)


# --- What is no client ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("client", "text"),
    [
        (redis.Redis().pipeline(), "the client that the pipeline was made by"),
        (redis.asyncio.Redis().pipeline(), "the client that the pipeline was made by"),
        (MagicMock(), "fakeredis"),
        (MagicMock(spec=redis.Redis), "fakeredis"),
        (redis.Redis().pubsub(), "must be"),
        (redis.sentinel.Sentinel([("localhost", 1)]), r"master_for\(…\)"),
        (redis.Redis, "an object of that class"),
        (object(), "must be"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_no_client_is_refused_at_once(client: Any, text: str) -> None:
    for name in ("client", "async_client"):
        with pytest.raises(ConfigurationError, match=text):
            RedisSessionService(**{name: client})
