"""What names a Redis: which URLs are understood, and that no error or repr tells a secret."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import example, given

from langchain_redis_session import ConfigurationError, RedisSessionService
from tests.effort import examples
from tests.unit.connections.urls import FORMS, HOST, WORDS, make_url, urls


def all_texts(value: object) -> Iterator[str]:
    """Give all that a log may show of an error, of what it came from, or of a service."""
    seen = set()
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        yield f"{value} {value!r}"
        if isinstance(value, BaseException):
            waiting += [value.__cause__, value.__context__, *value.args]


def options_of(service: RedisSessionService) -> dict[str, Any]:
    """Give what a service's connections are made with."""
    client = service._connections.sync_client()  # noqa: SLF001
    options: dict[str, Any] = client.connection_pool.connection_kwargs
    return options


@given(parts=urls)
@example(parts=(FORMS[0], "Kangaroo", "\n"))
@example(parts=(FORMS[0], "Kangaroo/Wombat", ""))
@example(parts=(FORMS[0], "Kangaroo?Wombat", ""))
@example(parts=(FORMS[0], "12/Kangaroo?a=b", ""))
@example(parts=("redis://ann:{}", "Kangaroo", ""))
@examples(1500)
def test_no_piece_of_a_secret_is_shown_of_any_url(parts: tuple[str, str, str]) -> None:
    url = make_url(*parts)
    shown: object
    try:
        shown = service = RedisSessionService(url)
    except ConfigurationError as error:
        shown = error
    else:
        if not url.startswith(("memory", "redis+", "rediss+")):
            # redis-py's errors tell where it connects to.
            options = options_of(service)
            assert options.get("host", HOST) == HOST
            assert options.get("path", "/tmp/redis.sock") == "/tmp/redis.sock"
    assert not re.search("|".join(WORDS), " ".join(all_texts(shown)))


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://db", "redis://db:6379"),
        ("redis://", "redis://localhost:6379"),
        ("redis://:pw@/2", "redis://***@localhost:6379/2"),
        (" redis://:pw@db:6380/2\n", "redis://***@db:6380/2"),
        ("rediss://ann:p%2Fw@redis_cache:1?db=3", "rediss://***@redis_cache:1/3"),
        ("redis://[::1]:6380/1?protocol=3", "redis://[::1]:6380/1"),
        ("redis://[::1]", "redis://[::1]:6379"),
        ("unix://:pw@/tmp/r-1.sock?db=2", "unix://***@/tmp/r-1.sock?db=2"),
        ("memory://demo-1", "memory://demo-1"),
    ],
)
def test_good_urls_are_shown_without_what_is_secret(url: str, shown: str) -> None:
    assert repr(RedisSessionService(url)) == f"RedisSessionService({shown!r})"


def test_a_password_is_what_stands_before_the_newline_of_a_file() -> None:
    service = RedisSessionService("redis://ann:p%40w:x@db:6380/2\n")
    options = options_of(service)
    found = [options[name] for name in ("username", "password", "host", "port", "db")]
    assert found == ["ann", "p@w:x", "db", 6380, 2]


@pytest.mark.parametrize(
    "url",
    [
        "redis://:6379",
        "redis://db:0",
        "redis://db:65536",
        "redis://db/one",
        "redis://db/0/1",
        "redis://db?protocol",
        "redis://a b",
        "redis://a,b",
        "redis+cluster://",
        "redis+cluster://a/one",
        "redis+sentinel://a",
        "redis+sentinel://a/",
        "unix://tmp/x",
    ],
)
def test_an_error_about_a_url_shows_the_form_that_it_should_have(url: str) -> None:
    scheme = url.split(":")[0]
    with pytest.raises(ConfigurationError, match=r"does not have the form") as raised:
        RedisSessionService(url)
    assert f"'{scheme}://…'" in str(raised.value)
    assert "percent-encode" in str(raised.value)


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        ({"host": "db"}, "redis://db:6379/0"),
        ({"port": "6380", "db": 3}, "redis://localhost:6380/3"),
        ({"db": 2}, "redis://localhost:6379/2"),
        ({"host": "::1"}, "redis://[::1]:6379/0"),
        ({"host": "db", "ssl": True, "ssl_cert_reqs": "none"}, "rediss://db:6379/0"),
        ({"host": "db", "ssl": False}, "redis://db:6379/0"),
        ({"path": "/tmp/x", "db": 1}, "unix:///tmp/x?db=1"),
        ({"password": "pw"}, "redis://localhost:6379/0"),
    ],
)
def test_without_a_url_the_options_say_where_redis_is(options: dict[str, Any], shown: str) -> None:
    service = RedisSessionService(extra_options=options)
    assert repr(service) == f"RedisSessionService({shown!r})"
    assert options_of(service)["db"] == options.get("db", 0)


def test_a_host_beats_the_environment_and_a_lone_database_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://:Wombat@elsewhere")
    assert "redis://db:" in repr(RedisSessionService(extra_options={"host": "db"}))
    with pytest.raises(ConfigurationError, match=r"db= beside the environment's REDIS_URL="):
        RedisSessionService(extra_options={"db": 1})


@pytest.mark.parametrize(
    ("url", "options", "text"),
    [
        ("redis://a", {"host": "b"}, "host= beside redis_url='redis://a:6379'.*both say where"),
        ("redis://a", {"port": 1}, "port= beside"),
        ("redis://a/1", {"db": 1}, "db= beside"),
        ("memory://a", {"path": "/x"}, "path= beside"),
        ("redis://a", {"ssl": True}, "ssl=True beside.*write rediss://"),
        ("rediss://a", {"ssl": False}, "ssl=False beside.*write redis://"),
        ("redis+cluster://a", {"ssl": True}, r"write rediss\+cluster://"),
        ("unix:///x", {"ssl": True}, "has no TLS"),
        ("redis://a", {"ssl_ca_certs": "/x"}, "ssl_ca_certs is for TLS; write rediss://"),
        ("redis://a?ssl_ca_certs=/x", {}, "ssl_ca_certs is for TLS; write rediss://"),
        (None, {"host": "ann:pw@db"}, "^host= must be the name or the IP address"),
        (None, {"port": 70000}, "port=70000 can't work"),
        (None, {"port": "x"}, "port='x' can't work"),
        (None, {"db": -1}, "db=-1 can't work"),
        (None, {"path": "/x", "host": "a"}, "path= names a socket; leave out host="),
    ],
)
def test_two_addresses_or_one_that_cannot_work(
    url: str | None, options: dict[str, Any], text: str
) -> None:
    with pytest.raises(ConfigurationError, match=text):
        RedisSessionService(url, extra_options=options)
