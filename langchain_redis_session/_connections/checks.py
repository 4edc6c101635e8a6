"""What is wrong with the options of clients, said before there is a client.

Of options that stand in a URL only a name that redis-py knows is told, and no value: what stands
there may be a piece of a password.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlencode

import redis
from redis.connection import parse_url

from langchain_redis_session._connections.addresses import Address
from langchain_redis_session._connections.driver import name_client
from langchain_redis_session._connections.options import ClientOptions, find_unknown
from langchain_redis_session.config import tell_owners
from langchain_redis_session.errors import ConfigurationError, shorten, suggest

T = TypeVar("T")
_ANYWHERE = Address("rediss", (("localhost", 6379),))
_TLS = frozenset(name for name in ClientOptions.__annotations__ if name.startswith("ssl_"))


def parse_url_options(address: Address) -> dict[str, Any]:
    """What a URL says beside where Redis is, as redis-py understands it."""
    options: dict[str, Any] = parse_url(address.url_of("localhost", 1))
    not_options = ("host", "port", "db", "connection_class")
    return {name: value for name, value in options.items() if name not in not_options}


def check_client_options(address: Address, what: str, options: Mapping[str, Any]) -> None:
    """Find wrong options of clients, beside a URL and in it.

    Raises:
        ConfigurationError: There is no such option, or its value can't work.
    """
    shown = f"{what}'{address}'"
    plain = replace(address, login=None, query="", name="/" if address.kind == "unix" else "")
    in_query = dict(parse_qsl(address.query))
    if not address.is_tls:
        _refuse_tls(address, shown, [*options, *in_query])
    check_options(options, shown, plain)
    for name, value in in_query.items():
        if find_unknown([name], address.kind):
            raise ConfigurationError(
                f"{shown} can't be used: redis-py's clients don't have the option in its query"
                + suggest(name, ClientOptions.__annotations__)
            )
        if _find_problem(replace(plain, query=urlencode({name: value})), {}) is not None:
            raise ConfigurationError(
                f"{shown} can't be used: the value of {name} in its query can't work"
            )


def _refuse_tls(address: Address, shown: str, names: list[str]) -> None:
    name = next((name for name in names if name in _TLS), None)
    if name is None:
        return
    raise ConfigurationError(
        f"{shown} can't be used: {name} is for TLS; "
        + (
            "a socket has none, so leave it out"
            if address.kind == "unix"
            else f"write {address.scheme.replace('redis', 'rediss', 1)}://"
        )
    )


def check_options(
    options: Mapping[str, Any],
    what: str = "the options for clients",
    address: Address = _ANYWHERE,
) -> None:
    """Find wrong options of clients before there is a client to make with them.

    Raises:
        ConfigurationError: There is no such option, or its value can't work.
    """
    if name := find_unknown(options, address.kind):
        whose = "redis-py's clients"
        if not find_unknown([name]):
            whose += f" for {address.kind}://"
        raise ConfigurationError(
            f"{what} can't be used: {whose} have no option {name!r}"
            + suggest(name, ClientOptions.__annotations__, tell_owners(name))
        )
    if (problem := _find_problem(address, options)) is not None:
        raise ConfigurationError(f"{what} can't be used: {problem}")


def check_together(
    make: Callable[[], T], address: Address, what: str, options: Mapping[str, Any]
) -> T:
    """Make a client, which connects to nothing, of a URL and options that are right alone.

    Raises:
        ConfigurationError: They don't go together.
    """
    try:
        return make()
    except (ValueError, TypeError, redis.RedisError):
        pass  # its text may hold a piece of the URL, and so it must be no error's context
    raise ConfigurationError(
        f"{what}'{address}' can't be used: the options in it don't go together with "
        + (", ".join(options) or "each other")
    )


def _find_problem(address: Address, options: Mapping[str, Any]) -> Exception | None:
    """What is wrong with options, as far as a standalone server's have them."""
    url = (
        "unix:///" if address.kind == "unix" else replace(address, query="").url_of("localhost", 1)
    )
    try:
        every = {**options, **parse_url_options(address)}
        if "connection_class" not in options:
            every = {n: value for n, value in every.items() if not find_unknown([n], "redis")}
        try_connection(name_client(redis.Redis.from_url(url, **every)))
    except (ValueError, TypeError, redis.RedisError) as error:
        return error
    return _find_wrong_time(every)


def _find_wrong_time(options: Mapping[str, Any]) -> Exception | None:
    # Clients find these only when they connect, and then with an error of the socket module.
    for name in ("socket_timeout", "socket_connect_timeout"):
        value = options.get(name)
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if value is not None and not (is_number and value > 0):
            return ValueError(f"{name}={shorten(value)} must be seconds above 0, or None for ever")
    value = options.get("health_check_interval", 0)
    if not isinstance(value, (int, float)):
        return ValueError(f"health_check_interval={shorten(value)} must be seconds, 0 for never")
    return None


def try_connection(client: redis.Redis) -> redis.Redis:
    """Make a connection of a client, without connecting; gives the client.

    Raises:
        Exception: The client has options that connections don't take.
    """
    pool = client.connection_pool
    pool.connection_class(**pool.connection_kwargs)
    return client


def tell_of_client(name: str) -> str:
    """Say how to pass an option that redis-py's clients have; "" where they have none."""
    if find_unknown([name]) is not None:
        return ""
    return f"; it is one of redis-py's clients: RedisSessionService(extra_options={{{name!r}: …}})"
