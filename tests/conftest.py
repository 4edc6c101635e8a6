"""Real servers, each started when the first test asks for it.

No server to be found: those tests are skipped, but fail where `CI` is set.
"""

from __future__ import annotations

import faulthandler
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, NoReturn

import hypothesis
import pytest
from hypothesis import settings

from langchain_redis_session._connections import registry
from tests.effort import IN_CI, PROFILE
from tests.proxy import CuttingProxy
from tests.servers import (
    Certificates,
    RedisCluster,
    RedisSentinel,
    RedisServer,
    ServerBinary,
    ServerError,
    all_servers,
    find_field_ttl_server,
    find_redis_server,
    supports_tls,
)
from tests.waits import PATIENCE_S

# A test says itself what it connects to.
os.environ.pop("REDIS_URL", None)

settings.load_profile(PROFILE)


# --- No run without an end ------------------------------------------------------------------------
#
# pytest-timeout interrupts a test once, and does not look at what comes after a failure: what
# can't be interrupted (the wait for a thread that never ends) would go on for ever. So each
# phase of a test has a moment when its process ends, with a traceback of all threads. In a
# process of pytest-xdist, that fails the test, and the other tests go on.

_stderr = pytest.StashKey[int]()


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Remember where tracebacks go; give hypothesis the seed that the header tells."""
    config.stash[_stderr] = os.dup(2)
    if hypothesis.core.global_force_seed is None:
        hypothesis.core.global_force_seed = config.getoption("randomly_seed", None)


def end_later(config: pytest.Config) -> None:
    limit_s = float(config.getini("timeout")) + PATIENCE_S
    faulthandler.dump_traceback_later(limit_s, exit=True, file=config.stash[_stderr])


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Limit the setup of a test."""
    end_later(item.config)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> None:
    """Limit the test."""
    end_later(item.config)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> None:
    """Limit its teardown."""
    end_later(item.config)


def pytest_runtest_logfinish() -> None:
    """Leave the time between tests alone."""
    faulthandler.cancel_dump_traceback_later()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Limit the end of the process: threads that a failed test has left may hold it up."""
    if not hasattr(session.config, "workerinput"):  # pytest-xdist ends its own
        end_later(session.config)


# --- Servers --------------------------------------------------------------------------------------


def pytest_report_header() -> str:
    """Say which servers there are."""
    try:
        all_servers()
    except ServerError as error:
        raise pytest.UsageError(str(error)) from None
    return "redis servers: " + ("; ".join(map(str, all_servers())) or "none")


def skip_or_fail(reason: str) -> NoReturn:
    """Skip on a laptop, fail in CI."""
    if IN_CI:
        pytest.fail(f"{reason} (CI is set, so this is a failure)", pytrace=False)
    pytest.skip(reason)


@pytest.fixture(autouse=True)
def no_other_instances(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test leaves the name of a Redis instance to others, nor does a page that is run."""
    monkeypatch.setattr(registry, "_instances", {})


@pytest.fixture(autouse=True)
def no_stream_of_another_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test leaves its event loop to those that stream later (sse-starlette 1.8 keeps it)."""
    if (sse := sys.modules.get("sse_starlette.sse")) is not None:
        monkeypatch.setattr(sse.AppStatus, "should_exit_event", None, raising=False)


@pytest.fixture(scope="session")
def redis_binary() -> ServerBinary:
    """The server program that the other fixtures run."""
    return find_redis_server() or skip_or_fail("no redis-server found; set REDIS_SERVER_BIN")


@pytest.fixture(scope="session")
def field_ttl_binary() -> ServerBinary:
    """A server program that can expire single fields of a hash."""
    return find_field_ttl_server() or skip_or_fail(
        "no server with per-field TTL found (Redis 7.4, Valkey 9.0)"
    )


@pytest.fixture(scope="session")
def redis_server(redis_binary: ServerBinary) -> Iterator[RedisServer]:
    """One standalone server for all tests, also on a Unix socket. Don't stop or flush it."""
    with RedisServer(redis_binary, unix_socket=True) as server:
        yield server


@pytest.fixture(scope="session")
def redis_cluster(redis_binary: ServerBinary) -> Iterator[RedisCluster]:
    """A cluster of three primaries for all tests. Don't stop or flush it."""
    with RedisCluster(redis_binary) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def field_ttl_redis_server(field_ttl_binary: ServerBinary) -> Iterator[RedisServer]:
    """A standalone server that can expire single fields of a hash."""
    with RedisServer(field_ttl_binary) as server:
        yield server


@pytest.fixture(scope="session")
def tls_redis_server(
    redis_binary: ServerBinary, request: pytest.FixtureRequest
) -> Iterator[RedisServer | CuttingProxy]:
    """Something with `.url` (`rediss://…`), `.certificates` and clients that use them.

    Where the server was built without TLS, that is a proxy in front of it.
    """
    if supports_tls(redis_binary):
        with RedisServer(redis_binary, tls=True) as server:
            yield server
    else:
        target: RedisServer = request.getfixturevalue("redis_server")
        certificates = Certificates.make(target.directory)
        with CuttingProxy(target.port, certificates) as proxy:
            yield proxy


@pytest.fixture(scope="session")
def redis_sentinel(redis_binary: ServerBinary) -> Iterator[RedisSentinel]:
    """A primary and a replica under a sentinel, for all tests."""
    with RedisSentinel(redis_binary) as sentinel:
        yield sentinel


@pytest.fixture
def make_redis_server(redis_binary: ServerBinary) -> Iterator[Callable[..., RedisServer]]:
    """Start servers of one's own, to stop, kill or pause: `make_redis_server(args, **options)`."""
    with ExitStack() as stack:

        def make(*args: Any, binary: ServerBinary = redis_binary, **options: Any) -> RedisServer:
            return stack.enter_context(RedisServer(binary, *args, **options))

        yield make


@pytest.fixture
def make_redis_cluster(redis_binary: ServerBinary) -> Iterator[Callable[..., RedisCluster]]:
    """Start a cluster of one's own (two seconds): `make_redis_cluster(args, replicas=1)`."""
    with ExitStack() as stack:

        def make(*args: Any, binary: ServerBinary = redis_binary, **options: Any) -> RedisCluster:
            return stack.enter_context(RedisCluster(binary, *args, **options))

        yield make


@pytest.fixture
def make_cutting_proxy() -> Iterator[Callable[[int], CuttingProxy]]:
    """Put a proxy in front of a port: `make_cutting_proxy(server.port)`."""
    with ExitStack() as stack:

        def make(target_port: int) -> CuttingProxy:
            return stack.enter_context(CuttingProxy(target_port))

        yield make


@pytest.fixture
def cutting_proxy(
    redis_server: RedisServer, make_cutting_proxy: Callable[[int], CuttingProxy]
) -> CuttingProxy:
    """A proxy in front of `redis_server`."""
    return make_cutting_proxy(redis_server.port)
