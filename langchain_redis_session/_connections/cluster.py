"""Clients of the Redis Cluster that a URL names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import redis
import redis.asyncio
from redis.asyncio.cluster import ClusterNode as AsyncClusterNode
from redis.cluster import REDIS_ALLOWED_KEYS, ClusterNode

from langchain_redis_session._connections.addresses import Address
from langchain_redis_session._connections.checks import (
    check_client_options,
    check_together,
    parse_url_options,
)
from langchain_redis_session._connections.clients import Factory
from langchain_redis_session._connections.defaults import add_defaults
from langchain_redis_session._connections.driver import name_driver
from langchain_redis_session._connections.twins import (
    loses_tls_options,
    parameters_of,
    to_async_options,
)

_SYNC = parameters_of(redis.RedisCluster.__init__) | frozenset(REDIS_ALLOWED_KEYS)
_ASYNC = parameters_of(redis.asyncio.RedisCluster.__init__)


def make_cluster_factories(
    address: Address, what: str, options: Mapping[str, Any]
) -> tuple[Factory, Factory | None]:
    """How to make the clients of a cluster's URL.

    The sync one asks the nodes who has which slots when it is made, the async one later.

    Raises:
        ConfigurationError: It, or an option, can't be used.
    """
    check_client_options(address, what, options)
    chosen = {**options, **parse_url_options(address)}
    given = name_driver(add_defaults(chosen, address.kind))
    if address.is_tls:
        given["ssl"] = True

    def make_sync() -> Any:
        make_node: Any = ClusterNode  # has no annotations
        nodes = [make_node(*node) for node in address.nodes]
        taken = {name: value for name, value in given.items() if name in _SYNC}
        return redis.RedisCluster(startup_nodes=nodes, **taken)

    def make_async() -> Any:
        nodes = [AsyncClusterNode(*node) for node in address.nodes]
        return redis.asyncio.RedisCluster(startup_nodes=nodes, **to_async_options(given, _ASYNC))

    check_together(make_async, address, what, options)
    return make_sync, None if loses_tls_options(given, _ASYNC) else make_async
