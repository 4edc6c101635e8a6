"""`make demo`, as people run it."""

from __future__ import annotations

import os
import time

import pytest

from langchain_redis_session import RedisSessionService, SessionKey
from tests.processes import Ended, run_python
from tests.servers import RedisServer

MODULE = "demo.travel_desk"


def demo(*arguments: str, url: str = "", code: str = "") -> Ended:
    """Run the demo; with `code`, run that instead."""
    environment = {name: value for name, value in os.environ.items() if name != "FORCE_COLOR"}
    environment |= {
        "COLUMNS": "100",
        "PYTHONIOENCODING": "utf-8",
        "PYTHONWARNINGS": "error",
        "REDIS_URL": url,
    }
    command = ["-c", code] if code else ["-m", MODULE, *arguments]
    return run_python(*command, env=environment)


# What can only come from the session: the trip is from two turns before, the sky from a tool.
REMEMBERED = [
    "desk  Sunglasses, Ann: it will be sunny in Lisbon.",
    "desk  That I don't know, Bob. I only know of your trip, to Oslo.",
    "desk  You are Ann, you are going to Lisbon on Friday, and it will be sunny.",
    "desk  Hello Ann! Where are you going this time?",
    "desk  An umbrella, Cora: it will be rainy in Oslo.",
]
SHOWN = [
    "desk  calls forecast(city='Lisbon', day='Friday')",
    "Session ann/trip: 10 events",
    "Track “tools” of ann/trip",
    '{"tool": "forecast", "city": "Lisbon", "day": "Friday", "gave": {"sky": "sunny"',
    "Summary of ann/trip, made now",
    "10 Ann is going to Lisbon on Friday, where it will be sunny.",
    'user ann name "Ann"',
    'session bob/trip destination "Oslo"',
    'app travel units "°C"',
    "ann trip 10 tools",
    "cora trip 8 –",
    "demo:event:{travel}:ann:trip zset 10",
    "demo:sess:{travel}:ann hash 2",
    "demo:sesssum:{travel}:ann hash 1",
    "demo:trackidx:{travel}:ann:trip set 1 5",
]


def check(result: Ended) -> str:
    assert (result.returncode, result.stderr) == (0, "")
    assert max(map(len, result.stdout.splitlines())) <= 100
    squeezed = " ".join(result.stdout.split())
    for line in REMEMBERED + SHOWN:
        assert " ".join(line.split()) in squeezed
    assert " none" not in squeezed, "a key without TTL"
    for part in ("1. Two", "2. The", "3. An agent", "4. What", "5. The"):
        assert part in result.stdout
    return result.stdout


@pytest.mark.parametrize("url", ["", "memory://elsewhere"])
def test_the_demo_runs_without_a_server(url: str) -> None:
    shown = check(demo(url=url))
    assert "in a new service" in shown
    assert "make demo REDIS_URL=redis://" in shown


def test_on_a_server_across_processes_and_again(redis_server: RedisServer) -> None:
    key = SessionKey("travel", "ann", "trip")
    begun_s = time.time()
    for _ in range(2):
        shown = check(demo(url=redis_server.url))
        assert "in a new process" in shown
        assert "for an hour" in shown
    with RedisSessionService(redis_server.url, key_prefix="demo") as service:
        session = service.get_session(key)
        assert session is not None
        assert len(session.messages) == 10
        assert session.created_at.timestamp() > begun_s
        for user in ("ann", "bob", "cora"):
            service.delete_user("travel", user)
        service.delete_app_state("travel", "units")
    with redis_server.client() as client:
        left = set(client.scan_iter("demo:*"))
        assert left == set(client.scan_iter("demo:erased:*"))  # what says that they were deleted
        client.unlink(*left)


def test_resuming_what_is_not_there_is_no_error(redis_server: RedisServer) -> None:
    result = demo("--resume", url=redis_server.url)
    assert (result.returncode, result.stderr) == (0, "")
    with RedisSessionService(redis_server.url, key_prefix="demo") as service:
        service.delete_user("travel", "ann")


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("redis://:pa55@127.0.0.1:1/0", "Connection refused"),
        ("redis://:wo@pa55@127.0.0.1:1/0", "Connection refused"),
        ("redis://:pa55/wo@127.0.0.1:1/0", "percent-encode"),
        ("redis://127.0.0.1:1/0?password=pa55", "Connection refused"),
        ("http://:pa55/wo@127.0.0.1:1/0", "must begin with one of redis://"),
    ],
)
def test_no_server_is_said_in_a_line(url: str, reason: str) -> None:
    result = demo(url=url)
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr.startswith("demo: ")
    assert result.stderr.count("\n") == 1
    assert reason in result.stderr
    assert "pa55" not in result.stderr


def test_a_password_is_never_shown(redis_server: RedisServer) -> None:
    with redis_server.client() as client:
        client.acl_setuser(
            "demo-user", enabled=True, passwords="+pa55", keys="*", commands=["+@all"]
        )
        try:
            result = demo(url=redis_server.url.replace("//", "//demo-user:pa55@"))
        finally:
            client.acl_deluser("demo-user")
    shown = check(result)
    assert "redis://***@" in shown
    assert "pa55" not in shown + result.stderr


@pytest.mark.parametrize("missing", ["rich", "fakeredis"])
def test_a_missing_extra_is_said_in_a_line(missing: str) -> None:
    code = f"import runpy, sys; sys.modules[{missing!r}] = None; sys.argv[1:] = []; "
    code += f"runpy.run_module({MODULE!r}, run_name='__main__', alter_sys=True)"
    result = demo(code=code)
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert "pip install 'langchain-redis-session[" in result.stderr


def test_the_help_names_the_servers_variable() -> None:
    result = demo("--help")
    assert result.returncode == 0
    assert "REDIS_URL" in result.stdout
