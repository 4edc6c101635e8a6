"""The keyword arguments of redis-py's clients that go with a URL."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any

import redis
from typing_extensions import TypedDict


class ClientOptions(TypedDict, total=False):
    """Keyword arguments of redis-py's clients; what each is for stands in its documentation."""

    cache: Any
    cache_config: Any
    cache_factory: Any
    client_name: str | None
    command_packer: Any
    connection_class: type
    credential_provider: Any
    db: int | str
    decode_responses: bool
    driver_info: Any
    encoding: str
    encoding_errors: str
    event_dispatcher: Any
    health_check_interval: float
    host: str
    legacy_responses: bool
    lib_name: str | None
    lib_version: str | None
    maint_notifications_config: Any
    max_connections: int | None
    parser_class: type
    password: str | None
    path: str
    port: int | str
    protocol: int | None
    redis_connect_func: Callable[..., Any] | None
    retry: Any
    retry_on_error: list[type[Exception]]
    retry_on_timeout: bool
    single_connection_client: bool
    socket_connect_timeout: float | None
    socket_keepalive: bool | None
    socket_keepalive_options: Mapping[int, int | bytes] | None
    socket_read_size: int
    socket_timeout: float | None
    socket_type: int
    ssl: bool
    ssl_ca_certs: str | None
    ssl_ca_data: str | None
    ssl_ca_path: str | None
    ssl_cert_reqs: Any
    ssl_certfile: str | None
    ssl_check_hostname: bool
    ssl_ciphers: str | None
    ssl_exclude_verify_flags: Any
    ssl_include_verify_flags: Any
    ssl_keyfile: str | None
    ssl_min_version: Any
    ssl_ocsp_context: Any
    ssl_ocsp_expected_cert: str | None
    ssl_password: str | None
    ssl_validate_ocsp: bool
    ssl_validate_ocsp_stapled: bool
    username: str | None


def find_unknown(options: Iterable[str]) -> str | None:
    """Give the first name that redis-py's clients don't take; None if they take all."""
    names = list(options)
    if "connection_class" in names:  # which may take what it likes
        return None
    return next((name for name in names if name not in _list_names()), None)


@cache
def _list_names() -> frozenset[str]:
    """What the redis-py that is installed takes, by its signatures."""
    takers = (
        redis.Redis,
        redis.ConnectionPool,
        *redis.SSLConnection.__mro__[:-1],
        *redis.UnixDomainSocketConnection.__mro__[:-1],
    )
    return frozenset(
        name
        for taker in takers
        for name, parameter in inspect.signature(taker).parameters.items()
        if parameter.kind is parameter.POSITIONAL_OR_KEYWORD
    )
