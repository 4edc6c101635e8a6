"""The keyword arguments of redis-py's clients that go with a URL."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any

import redis
import redis.asyncio
from redis.cluster import REDIS_ALLOWED_KEYS
from typing_extensions import TypedDict


class ClientOptions(TypedDict, total=False):
    """Keyword arguments of redis-py's clients; what each is for stands in its documentation."""

    address_remap: Any
    cache: Any
    cache_config: Any
    cache_factory: Any
    client_name: str | None
    cluster_error_retry_attempts: int
    command_packer: Any
    connection_class: type
    credential_provider: Any
    db: int | str
    decode_responses: bool
    driver_info: Any
    dynamic_startup_nodes: bool
    encoding: str
    encoding_errors: str
    event_dispatcher: Any
    health_check_interval: float
    host: str
    legacy_responses: bool
    lib_name: str | None
    lib_version: str | None
    load_balancing_strategy: Any
    maint_notifications_config: Any
    max_connections: int | None
    parser_class: type
    password: str | None
    path: str
    port: int | str
    protocol: int | None
    read_from_replicas: bool
    redis_connect_func: Callable[..., Any] | None
    reinitialize_steps: int
    require_full_coverage: bool
    retry: Any
    retry_on_error: list[type[Exception]]
    retry_on_timeout: bool
    sentinel_password: str | None
    sentinel_username: str | None
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


def find_unknown(options: Iterable[str], kind: str = "") -> str | None:
    """Give the first name that redis-py's clients don't take; None if they take all.

    Args:
        options: The names.
        kind: For which addresses (`Address.kind`); "" = for any.
    """
    names = list(options)
    if "connection_class" in names and "cluster" not in kind:  # which may take what it likes
        return None
    return next((name for name in names if name not in _list_names(kind)), None)


@cache
def _list_names(kind: str) -> frozenset[str]:
    """What the redis-py that is installed takes, by its signatures."""
    if kind == "redis+cluster":
        return _list_cluster_names()
    if kind == "redis+sentinel":
        return _list_names("redis") | _SENTINEL_NAMES
    if not kind:
        return _list_names("redis+cluster") | _list_names("redis+sentinel")
    return _parameters_of(
        redis.Redis,
        redis.ConnectionPool,
        *redis.SSLConnection.__mro__[:-1],
        *redis.UnixDomainSocketConnection.__mro__[:-1],
    )


_SENTINEL_NAMES = frozenset(("sentinel_username", "sentinel_password"))


def _list_cluster_names() -> frozenset[str]:
    """Without what the sync client leaves out silently, where that would weaken TLS."""
    asynchronous = _parameters_of(redis.asyncio.RedisCluster.__init__)
    names = {name for name in asynchronous if not name.startswith("ssl_")}
    names |= {*REDIS_ALLOWED_KEYS, *_parameters_of(redis.RedisCluster.__init__)}
    return frozenset(names - {"url", "startup_nodes", "connection_pool", "connection_pool_class"})


def _parameters_of(*takers: Callable[..., Any]) -> frozenset[str]:
    return frozenset(
        name
        for taker in takers
        for name, parameter in inspect.signature(taker).parameters.items()
        if parameter.kind is parameter.POSITIONAL_OR_KEYWORD
    )
