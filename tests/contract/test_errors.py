"""What is said when something can't work: the right error, with what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import fakeredis
import pytest
import redis
import redis.asyncio
import redis.exceptions
from langchain_core.messages import HumanMessage
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

import langchain_redis_session
from langchain_redis_session import (
    BackendUnavailableError,
    ConfigurationError,
    RedisSessionError,
    RedisSessionService,
    SessionServiceClosedError,
    connections,
)
from tests.contract.backends import Backend, Mode, RedisProbe, Verbs
from tests.contract.intercept import Commands, intercept
from tests.contract.narrow import each_server, one_server, server_kinds
from tests.contract.store import snapshot
from tests.methods import KEY, call_method, method_names, public_names
from tests.servers import free_port


def test_no_method_has_gone() -> None:
    wanted = """
        append_event append_events append_messages append_track_event clear_events
        count_events create_session delete_app_state delete_session delete_session_state delete_user
        delete_user_state get_app_state get_event_window get_events get_messages get_session
        get_track_events get_user_state list_apps list_sessions list_tracks list_users ping
        remove_events search_events trim_conversations update_app_state update_session_state
        update_user_state
    """
    assert set(wanted.split()) <= set(public_names())


@each_server
async def test_a_closed_service_writes_no_more_and_leaves_the_client_open(
    verbs: Verbs, redis_probe: RedisProbe, backend: Backend
) -> None:
    await verbs.append_messages(KEY, [HumanMessage("x")], create=True)
    before = snapshot(redis_probe)
    await verbs.close()
    assert verbs.is_closed
    with pytest.raises(SessionServiceClosedError):
        await verbs.append_messages(KEY, [HumanMessage("y")])
    await verbs.close()  # again is no error
    assert snapshot(redis_probe) == before
    if backend.mode == "sync":
        assert backend.client.ping()  # it was ours, and stays open


@one_server
@pytest.mark.parametrize("name", method_names())
async def test_every_method_of_a_closed_service_says_so(verbs: Verbs, name: str) -> None:
    await verbs.close()
    with pytest.raises(SessionServiceClosedError, match="closed"):
        await call_method(verbs, name)


@one_server
async def test_leaving_the_context_closes_the_service(
    make_verbs: Callable[..., Verbs], mode: Mode
) -> None:
    service = make_verbs().service
    if mode == "sync":
        with service as entered:
            assert entered is service
    else:
        async with service as entered:
            assert entered is service
    assert service.is_closed


# --- Options -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"session_tll": 5}, "there is no option 'session_tll'.*session_ttl"),
        ({"session_ttl": -1}, "session_ttl=-1 can't work"),
        ({"user_state_ttl": -0.5}, "user_state_ttl=-0.5 can't work"),
        ({"app_state_ttl": "1h"}, "app_state_ttl='1h' can't work.*timedelta"),
        ({"session_ttl": float("nan")}, "session_ttl=nan can't work"),
        ({"session_ttl": float("inf")}, "session_ttl=inf can't work"),
        ({"session_ttl": True}, "session_ttl=True can't work"),
        ({"track_event_ttl": -1}, "track_event_ttl=-1 can't work"),
        ({"session_event_limit": 0}, "session_event_limit=0 can't work.*1"),
        ({"session_event_limit": 1.5}, "session_event_limit=1.5 can't work"),
        ({"track_event_limit": -3}, "track_event_limit=-3 can't work"),
        ({"max_event_bytes": 0}, "max_event_bytes=0 can't work"),
        ({"key_prefix": "{a}"}, "key_prefix='{a}' can't work.*braces"),
        ({"key_prefix": "a}"}, "key_prefix='a}' can't work.*braces"),
        ({"key_prefix": "\ud800"}, "key_prefix=.*UTF-8"),
        ({"hash_tag": "session"}, "hash_tag='session' can't work.*'app'.*'user'"),
        ({"unserializable": "drop"}, "unserializable='drop' can't work.*convert"),
        ({"redis_url": "http://x"}, "must begin with one of redis://"),
        ({"redis_url": "redis://h:port"}, "can't be used"),
        ({"redis_url": 7}, "must be a string, not int"),
        ({"redis_url": "redis://x", "extra_options": {"no_such": 1}}, "no_such"),
        ({"redis_url": fakeredis.FakeRedis()}, "must be a string.*a client goes to client="),
        (
            {"redis_url": "redis://x", "extra_options": {"socket_timeout": "5"}},
            "socket_timeout='5' must be seconds above 0",
        ),
        (
            {"redis_url": "redis://x", "extra_options": {"socket_connect_timeout": 0}},
            "socket_connect_timeout=0 must be seconds above 0",
        ),
        (
            {"redis_url": "redis://x", "extra_options": {"health_check_interval": "x"}},
            "health_check_interval='x' must be seconds",
        ),
        ({"host": "localhost"}, "'host'; it is one of redis-py's clients: .*extra_options="),
        ({"redis_client": None}, "'redis_client'; did you mean 'client'"),
        ({"client": fakeredis.FakeRedis}, "client= must be .*, not the class FakeRedis; give an"),
        ({"client": object()}, "client= must be a sync client"),
        ({"async_client": object()}, "async_client= must be a client of redis.asyncio"),
    ],
    ids=lambda value: next(iter(value.items()))[0] if isinstance(value, dict) else "",
)
def test_options_that_cannot_work(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigurationError, match=text) as raised:
        RedisSessionService(**{"redis_url": "memory://options", **options})
    assert isinstance(raised.value, ValueError)


def test_clients_in_each_others_place() -> None:
    with pytest.raises(ConfigurationError, match="an async one goes to async_client="):
        RedisSessionService(client=redis.asyncio.Redis())
    with pytest.raises(ConfigurationError, match="a sync one goes to client="):
        RedisSessionService(async_client=redis.Redis())


# --- No server -----------------------------------------------------------------------------------


@pytest.fixture
def dead_port() -> int:
    return free_port()


@pytest.fixture(params=["sync", "async"])
def mode(request: pytest.FixtureRequest) -> Mode:
    mode: Mode = request.param
    return mode


def once_only(mode: Mode) -> dict[str, Any]:
    """Options for a client that gives up at once."""
    return {"retry": Retry(NoBackoff(), 0) if mode == "sync" else AsyncRetry(NoBackoff(), 0)}


def everything_said(error: BaseException, service: RedisSessionService) -> str:
    """Give all texts that a log could show of an error, but redis-py's own."""
    parts = [str(error), repr(error), repr(service), repr(error.__context__)]
    return " ".join(parts)


@pytest.mark.parametrize(
    "name",
    [n for n in method_names() if n not in ("enqueue_summary", "flush", "retry_dead_letters")],
)
async def test_without_a_server_the_error_says_what_to_do_and_no_password(
    dead_port: int, mode: Mode, name: str
) -> None:
    url = f"redis://ann:s3cret@127.0.0.1:{dead_port}/0?password=s3cret"
    service = RedisSessionService(
        url, extra_options=once_only(mode), summarizer=lambda _: "s", auto_summarize=False
    )
    async with Verbs(service, mode) as verbs:
        with pytest.raises(BackendUnavailableError) as raised:
            await call_method(verbs, name)
    error = raised.value
    assert isinstance(error, ConnectionError)
    assert isinstance(error.__cause__, redis.ConnectionError)
    assert str(dead_port) in str(error)
    assert "check that the server runs" in str(error)
    assert "s3cret" not in everything_said(error, service)
    assert "memory://" not in str(error)


async def test_nobody_answers_at_the_default_url(
    dead_port: int, mode: Mode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REDIS_URL", raising=False)
    monkeypatch.setattr(connections, "DEFAULT_URL", f"redis://localhost:{dead_port}/0")
    async with Verbs(RedisSessionService(extra_options=once_only(mode)), mode) as verbs:
        with pytest.raises(BackendUnavailableError, match=r"memory://.*without a server") as raised:
            await verbs.ping()
        assert isinstance(raised.value.__cause__, redis.ConnectionError)
        assert f"localhost:{dead_port}" in str(raised.value)


async def test_the_url_of_the_environment(
    dead_port: int, mode: Mode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", f"redis://:s3cret@127.0.0.1:{dead_port}/0")
    service = RedisSessionService(extra_options=once_only(mode))
    async with Verbs(service, mode) as verbs:
        with pytest.raises(BackendUnavailableError, match=str(dead_port)) as raised:
            await verbs.ping()
        assert "s3cret" not in everything_said(raised.value, service)


@pytest.mark.parametrize(
    "url",
    [
        "redis://:s3cret@host:port/0",
        "http://ann:s3cret@host/0",
        "redis+sentinel://ann:s3cret@host/x?pasword=s3cret",
        "redis://host:1:2/0?password=s3cret",
        "redis://ann:s3@s3cret@host:port",
    ],
)
def test_no_error_about_a_url_tells_the_password(url: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        RedisSessionService(url)
    assert "s3cret" not in f"{raised.value!s} {raised.value!r} {raised.value.__cause__!r}"


@server_kinds
@pytest.mark.parametrize("name", ["append_messages", "list_users", "delete_session"])
@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (redis.ConnectionError("gone"), BackendUnavailableError),
        (redis.TimeoutError("slow"), BackendUnavailableError),
        (redis.BusyLoadingError("LOADING Redis is loading"), BackendUnavailableError),
        (redis.ReadOnlyError("You can't write against a replica"), BackendUnavailableError),
        (redis.OutOfMemoryError("command not allowed"), BackendUnavailableError),
        (redis.exceptions.ClusterDownError("CLUSTERDOWN"), BackendUnavailableError),
        (redis.ResponseError("MISCONF can't persist"), BackendUnavailableError),
        (redis.ResponseError("OOM command not allowed"), BackendUnavailableError),
        (ConnectionResetError("reset"), BackendUnavailableError),
        (redis.AuthenticationError("WRONGPASS"), BackendUnavailableError),
        (redis.ResponseError("ERR something else"), RedisSessionError),
        (redis.DataError("bad input"), RedisSessionError),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
async def test_redis_py_errors_become_ours(
    backend: Backend,
    make_verbs: Callable[..., Verbs],
    name: str,
    error: Exception,
    kind: type[Exception],
) -> None:
    """In one command, in a scan, and in a batch."""

    def fail(_: Commands) -> None:
        raise error

    verbs, _ = intercept(backend, make_verbs, before=fail)
    with pytest.raises(RedisSessionError) as raised:
        await call_method(verbs, name)
    assert type(raised.value) is kind
    assert raised.value.__cause__ is error


def test_one_root_for_all_errors() -> None:
    def leaves(root: type[Exception]) -> Iterator[type[Exception]]:
        for child in root.__subclasses__():
            yield child
            yield from leaves(child)

    builtins = {
        "ConfigurationError": ValueError,
        "InvalidSessionKeyError": ValueError,
        "SessionNotFoundError": LookupError,
        "UnserializableMessageError": TypeError,
        "EventTooLargeError": ValueError,
        "StateTooLargeError": ValueError,
        "CorruptEventError": ValueError,
        "BackendUnavailableError": ConnectionError,
    }
    for name, builtin in builtins.items():
        error = getattr(langchain_redis_session, name)
        assert issubclass(error, builtin)
        assert error in set(leaves(RedisSessionError))
