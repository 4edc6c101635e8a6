"""A batch with a WAIT, on a cluster.

There a batch is redirected command by command, each on any connection: a WAIT that has lost
its write would confirm what it has not seen. So a write and its WAIT go to their node directly,
and again, together, once the client has learned that the slot has moved.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from redis import exceptions as redis_errors
from redis.client import NEVER_DECODE

from langchain_redis_session._flow.requests import (
    Command,
    Wait,
)
from langchain_redis_session._flow.translation import CLIENT_ERRORS, is_stumble

RAW: dict[str, Any] = {NEVER_DECODE: True}
"""The options of a command whose reply is wanted as bytes."""
_LOST = (redis_errors.AskError, redis_errors.ConnectionError, redis_errors.TimeoutError, OSError)

T = TypeVar("T")
_PAUSES_S = (0.0, 0.05, 0.2)


async def await_again(ask: Callable[[], Awaitable[T]]) -> T:
    """Await what redis-py does, again where it stumbled; whatever is asked may be sent twice."""
    for pause_s in _PAUSES_S:
        try:
            return await ask()
        except Exception as error:
            if not is_stumble(error):
                raise
        await asyncio.sleep(pause_s)
    return await ask()


def list_pools(client: Any) -> list[Any]:
    """The pools of a sync client: one, or one for each node that it knows."""
    if not hasattr(client, "get_primaries"):
        return [client.connection_pool]
    near = [node.redis_connection for node in client.get_nodes()]
    return [client.connection_pool for client in near if client is not None]


def open_pipeline(client: Any) -> Any:
    """Open a pipeline that is no transaction."""
    # A cluster's pipeline takes no `transaction`; a standalone's would send MULTI without.
    return (
        client.pipeline()
        if hasattr(client, "get_primaries")
        else client.pipeline(transaction=False)
    )


def add_command(pipeline: Any, command: Command | Wait, **address: Any) -> None:
    """Put a command into a pipeline."""
    if isinstance(command, Wait):
        pipeline.execute_command("WAIT", command.replicas, command.timeout_ms, **address, **RAW)
    else:
        pipeline.execute_command(*command, **address, **RAW)


def has_wait(batch: list[Command | Wait]) -> bool:
    """Whether a batch waits for replicas."""
    return any(isinstance(command, Wait) for command in batch)


def _pin(batch: list[Command | Wait], client: Any) -> dict[str, tuple[Any, list[int]]]:
    """Each node that must do a part of a batch, by name: with the places of its commands.

    The node "" does what belongs to no WAIT.
    """
    nodes: dict[str, tuple[Any, list[int]]] = {}
    for place, command in enumerate(batch):
        wait = command if isinstance(command, Wait) else (*batch, None)[place + 1]
        node = client.get_node_from_key(wait.key) if isinstance(wait, Wait) else None
        nodes.setdefault(node.name if node else "", (node, []))[1].append(place)
    return nodes


def _lost_keys(batch: list[Command | Wait], replies: list[Any]) -> set[bytes]:
    """The keys whose writes their nodes did not take, or whose replies got lost."""
    return {
        wait.key
        for wait, reply in zip(batch[1:], replies, strict=False)
        if isinstance(wait, Wait) and isinstance(reply, _LOST)
    }


def execute_pinned(batch: list[Command | Wait], client: Any) -> list[Any]:
    """Execute a batch with a WAIT on a cluster; errors stand among the replies."""
    replies = _send_pinned(batch, client)
    lost = _lost_keys(batch, replies)
    if not lost:
        return replies
    for key in lost:
        client.execute_command("EXISTS", key)  # the client follows, and knows the way then
    return _send_pinned(batch, client)


def _send_pinned(batch: list[Command | Wait], client: Any) -> list[Any]:
    replies: list[Any] = [None] * len(batch)
    for node, places in _pin(batch, client).values():
        near = client.get_redis_connection(node) if node else client
        pipeline = open_pipeline(near)
        for place in places:
            add_command(pipeline, batch[place])
        try:
            found = pipeline.execute(raise_on_error=False)
        except CLIENT_ERRORS as error:
            found = [error] * len(places)
        for place, reply in zip(places, found, strict=True):
            replies[place] = reply
    return replies


async def aexecute_pinned(batch: list[Command | Wait], client: Any) -> list[Any]:
    """Likewise, on an async client."""
    await client.initialize()  # it knows its nodes only then
    replies = await _asend_pinned(batch, client)
    lost = _lost_keys(batch, replies)
    if not lost:
        return replies
    for key in lost:
        await client.execute_command("EXISTS", key)
    return await _asend_pinned(batch, client)


async def _asend_pinned(batch: list[Command | Wait], client: Any) -> list[Any]:
    replies: list[Any] = [None] * len(batch)
    for node, places in _pin(batch, client).values():
        pipeline = client.pipeline()
        for place in places:
            add_command(pipeline, batch[place], **({"target_nodes": node} if node else {}))
        found = await pipeline.execute(raise_on_error=False, allow_redirections=node is None)
        for place, reply in zip(places, found, strict=True):
            replies[place] = reply
    return replies
