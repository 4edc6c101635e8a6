"""Clients of the one server that a URL names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlencode

import redis
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

from langchain_redis_session._connections.addresses import Address
from langchain_redis_session._connections.clients import Factory
from langchain_redis_session._connections.driver import name_client
from langchain_redis_session._connections.options import ClientOptions, find_unknown
from langchain_redis_session._connections.twins import make_twin_factory
from langchain_redis_session.errors import ConfigurationError, suggest

_RETRIES = 4
_ANYWHERE = Address("rediss", (("localhost", 6379),))
_TLS = frozenset(name for name in ClientOptions.__annotations__ if name.startswith("ssl_"))


def make_factories(
    address: Address, what: str, options: Mapping[str, Any]
) -> tuple[Factory, Factory | None]:
    """How to make the clients of a URL.

    Raises:
        ConfigurationError: It, or an option, can't be used.
    """
    # Every write may be sent twice, so a lost connection is no reason to bother the caller.
    retrying = {
        "retry": Retry(ExponentialBackoff(cap=0.5, base=0.02), _RETRIES),
        # Before redis-py 6, `retry` alone was for connecting only.
        "retry_on_error": [redis.ConnectionError, redis.TimeoutError],
    }
    check_client_options(address, what, options)
    problem = _find_problem(address.url, {**retrying, **options})
    if problem is not None:  # whose text may hold a piece of the URL
        raise ConfigurationError(
            f"{what}'{address}' can't be used: its options don't go together with "
            + (", ".join(options) or "each other")
        )
    client = _make_client(address.url, {**retrying, **options})
    return lambda: client, make_twin_factory(client)


def check_client_options(address: Address, what: str, options: Mapping[str, Any]) -> None:
    """Find wrong options of clients, beside a URL and in it.

    Raises:
        ConfigurationError: There is no such option, or its value can't work. Of those in the
            URL nothing is told that may be a piece of a password.
    """
    shown = f"{what}'{address}' can't be used"
    plain = replace(address, login=None, query="", name="/" if address.kind == "unix" else "")
    in_query = dict(parse_qsl(address.query))
    if not address.is_tls and (name := next((n for n in (*options, *in_query) if n in _TLS), "")):
        raise ConfigurationError(
            f"{shown}: {name} is for TLS; write {plain.scheme.replace('redis', 'rediss', 1)}://"
            if address.kind != "unix"
            else f"{shown}: {name} is for TLS, which a socket doesn't have; leave it out"
        )
    check_options(options, shown.removesuffix(" can't be used"), plain)
    for name, value in in_query.items():
        if find_unknown([name]):
            raise ConfigurationError(
                f"{shown}: redis-py's clients don't have the option in its query"
                + suggest(name, ClientOptions.__annotations__)
            )
        if _find_problem(replace(plain, query=urlencode({name: value})).url, {}) is not None:
            raise ConfigurationError(f"{shown}: the value of {name} in its query can't work")


def check_options(
    options: Mapping[str, Any],
    what: str = "the options for clients",
    address: Address = _ANYWHERE,
) -> None:
    """Find wrong options of clients before there is a client to make with them.

    Raises:
        ConfigurationError: There is no such option, or its value can't work.
    """
    if name := find_unknown(options):
        raise ConfigurationError(
            f"{what} can't be used: redis-py's clients have no option {name!r}"
            + suggest(name, ClientOptions.__annotations__)
        )
    if (problem := _find_problem(address.url, options)) is not None:
        raise ConfigurationError(f"{what} can't be used: {problem}")


def _find_problem(url: str, options: Mapping[str, Any]) -> Exception | None:
    """What is wrong with a URL and options; no `raise` within shall have it as its context."""
    try:
        _make_client(url, options)
    except (ValueError, TypeError, redis.RedisError) as error:
        return error
    return None


def _make_client(url: str, options: Mapping[str, Any]) -> redis.Redis:
    """Make a client that connects to nothing yet; tells what is wrong with its options now."""
    client = name_client(redis.Redis.from_url(url, **options))
    client.connection_pool.connection_class(**client.connection_pool.connection_kwargs)
    return client  # type: ignore[no-any-return]
