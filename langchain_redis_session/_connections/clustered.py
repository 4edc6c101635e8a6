"""Exchanges with a cluster: on a connection to the node that has the key, by the node's own pool.

What needs the client's own ways (a slot that moved, a node that is gone, patched clients) is left
to the client, out of reach of whatever may interrupt the caller: redis-py finishes what it began,
and its connections stay clean.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import redis
import redis.asyncio.cluster

from langchain_redis_session._connections.pooled import (
    BegunExchange,
    PooledExchanges,
)
from langchain_redis_session._connections.talk import atalk
from langchain_redis_session._connections.waiting import AsyncLine, refuse
from langchain_redis_session._flow.advice import UNKNOWN, Origin
from langchain_redis_session._flow.cluster import (
    RAW,
    aexecute_pinned,
    await_again,
    execute_pinned,
    has_wait,
    open_pipeline,
)
from langchain_redis_session._flow.exchange import Batch, to_commands
from langchain_redis_session._flow.requests import Command, Wait
from langchain_redis_session._signals import find_interruption
from langchain_redis_session.errors import RedisSessionError

T = TypeVar("T")
_HAS_WAY_PAST = hasattr(redis.asyncio.cluster.ClusterNode, "release")
"""Whether nodes of async clients take back what they lend out: from redis-py 6.2 on."""
_HAS_MARKS = hasattr(redis.asyncio.cluster.ClusterNode, "disconnect_if_needed")
"""Whether connections are marked that are to be made anew: from redis-py 7.2 on."""
_LOST = (
    redis.exceptions.RedisClusterException,
    redis.exceptions.ClusterError,
    redis.exceptions.AskError,  # MovedError too
    redis.exceptions.TryAgainError,
    redis.exceptions.ReadOnlyError,
    redis.ConnectionError,
    redis.TimeoutError,
    OSError,
    AttributeError,  # an async connection that the client has closed meanwhile
)
"""What the client has to answer to: by finding the node, and sending it again."""


def _find_key(command: Command | Wait) -> bytes | str | int:
    if isinstance(command, Wait):
        return command.key
    return command[3] if command[0] in ("EVALSHA", "EVAL") else command[1]


def _share_out(batch: Batch, client: Any) -> list[tuple[Any, list[int]]]:
    """The nodes, by name, each with the places of the commands that it has to do."""
    shares: dict[str, tuple[Any, list[int]]] = {}  # nodes have no hash before redis-py 7.2
    for place, command in enumerate(batch):
        node = client.get_node_from_key(_find_key(command))
        shares.setdefault(node.name, (node, []))[1].append(place)
    return [shares[name] for name in sorted(shares)]


def _find_lost(replies: list[Any]) -> list[int]:
    return [place for place, reply in enumerate(replies) if isinstance(reply, _LOST)]


def _is_lost(error: BaseException) -> bool:
    """Whether an exchange failed for what the client knows a way round.

    Not where no connection became free, nor where a signal's handler has ended it.
    """
    return (
        isinstance(error, _LOST)
        and not isinstance(error, RedisSessionError)
        and find_interruption(error) is None
    )


def _reads_replicas(client: Any) -> bool:
    return bool(
        getattr(client, "read_from_replicas", False)
        or getattr(client, "load_balancing_strategy", None)
    )


def call_aside(function: Callable[[], T]) -> T:
    """Call it in a thread of its own, where no signal's exception ends it halfway."""
    done: Future[T] = Future()
    context = contextvars.copy_context()

    def work() -> None:
        try:
            done.set_result(context.run(function))
        except BaseException as error:
            done.set_exception(error)

    threading.Thread(target=work, name="redis-session-aside", daemon=True).start()
    return done.result()


class ClusterExchanges:
    """Exchanges by a sync client of a cluster.

    Args:
        client: Of redis-py, or like it.
        is_plain: Whether its connections may be used past it.
    """

    origin: Origin = UNKNOWN

    def __init__(self, client: Any, *, is_plain: bool, timeout_s: float, name: str) -> None:
        self._client, self._timeout_s, self._name = client, timeout_s, name
        self._goes_past = is_plain and not _reads_replicas(client)
        self._pools: WeakKeyDictionary[Any, PooledExchanges] = WeakKeyDictionary()

    def send(self, command: Command, node: str = "") -> Any:
        """As of `Exchanges`."""
        if self._goes_past:
            try:
                return self._find_exchanges(command, node).send(command)
            except Exception as error:
                if not _is_lost(error):
                    raise
        address = {"target_nodes": self._client.get_node(node_name=node)} if node else {}
        return call_aside(lambda: self._client.execute_command(*command, **address, **RAW))

    def send_batch(self, batch: Batch) -> list[Any]:
        """As of `Exchanges`."""
        replies = self._send_past(batch) if self._goes_past else None
        if replies is None:
            return call_aside(lambda: self._send_by_client(batch))
        lost = _find_lost(replies)
        if not lost:
            return replies
        if has_wait(batch):
            return call_aside(lambda: self._send_by_client(batch))
        again = call_aside(lambda: self._send_by_client([batch[place] for place in lost]))
        for place, reply in zip(lost, again, strict=True):
            replies[place] = reply
        return replies

    def list_nodes(self) -> list[str]:
        """As of `Exchanges`."""
        return [node.name for node in self._client.get_primaries()]

    def _find_exchanges(self, command: Command, node: str = "") -> PooledExchanges:
        client = self._client
        at = (
            client.get_node(node_name=node)
            if node
            else client.get_node_from_key(_find_key(command))
        )
        return self._exchanges_at(at)

    def _exchanges_at(self, node: Any) -> PooledExchanges:
        pool = self._client.get_redis_connection(node).connection_pool
        exchanges = self._pools.get(pool)
        if exchanges is None:
            exchanges = PooledExchanges(pool, timeout_s=self._timeout_s, name=node.name)
            self._pools[pool] = exchanges
        return exchanges

    def _send_past(self, batch: Batch) -> list[Any] | None:
        """Give the replies of the nodes; None where they were not to be had."""
        replies: list[Any] = [None] * len(batch)
        try:
            with ExitStack() as stack:
                # In one order, so that callers who hold a connection don't wait for each other.
                asked = [
                    (stack.enter_context(self._begin(node, batch, places)), places)
                    for node, places in _share_out(batch, self._client)
                ]
                for begun, places in asked:
                    for place, reply in zip(places, begun.finish(), strict=True):
                        replies[place] = reply
        except RedisSessionError:
            raise
        except BaseException as error:
            if _is_lost(error):
                return None
            for exchanges in list(self._pools.values()):
                exchanges.clean_up(error)
            raise
        return replies

    def _begin(self, node: Any, batch: Batch, places: list[int]) -> BegunExchange:
        commands = to_commands([batch[place] for place in places])
        return BegunExchange(self._exchanges_at(node), commands)

    def _send_by_client(self, batch: Batch) -> list[Any]:
        if has_wait(batch):
            return execute_pinned(batch, self._client)
        pipeline = open_pipeline(self._client)
        for command in to_commands(batch):
            pipeline.execute_command(*command, **RAW)
        return list(pipeline.execute(raise_on_error=False))


_aside: set[asyncio.Future[Any]] = set()


async def await_aside(ask: Callable[[], Awaitable[T]]) -> T:
    """Await it in a task of its own, which goes on to its end if the caller is cancelled."""
    task = asyncio.ensure_future(await_again(ask))
    _aside.add(task)  # a loop holds its tasks only weakly
    task.add_done_callback(_forget)
    return await asyncio.shield(task)


def _forget(task: asyncio.Future[Any]) -> None:
    _aside.discard(task)
    if not task.cancelled():
        task.exception()  # was seen, if there is anybody to see it


class AsyncClusterExchanges:
    """Exchanges by an async client of a cluster; as `ClusterExchanges`."""

    origin: Origin = UNKNOWN

    def __init__(self, client: Any, *, is_plain: bool, timeout_s: float, name: str) -> None:
        self._client, self._timeout_s, self._name = client, timeout_s, name
        self._goes_past = _HAS_WAY_PAST and is_plain and not _reads_replicas(client)
        self._line = AsyncLine()

    async def send(self, command: Command, node: str = "") -> Any:
        """As of `AsyncExchanges`."""
        client = self._client
        await await_aside(client.initialize)  # it knows its nodes only then
        at = client.get_node(node_name=node) if node else None
        if self._goes_past:
            try:
                near = at or client.get_node_from_key(_find_key(command))
                (reply,) = await self._exchange(near, [command])
            except Exception as error:
                if not _is_lost(error):
                    raise
            else:
                if not isinstance(reply, Exception):
                    return reply
                if not isinstance(reply, _LOST):
                    raise reply
        address = {"target_nodes": at} if at else {}
        return await await_aside(lambda: client.execute_command(*command, **address, **RAW))

    async def send_batch(self, batch: Batch) -> list[Any]:
        """As of `AsyncExchanges`."""
        await await_aside(self._client.initialize)
        replies = await self._send_past(batch) if self._goes_past else None
        if replies is None:
            return await await_aside(lambda: self._send_by_client(batch))
        lost = _find_lost(replies)
        if not lost:
            return replies
        if has_wait(batch):
            return await await_aside(lambda: self._send_by_client(batch))
        again = await await_aside(lambda: self._send_by_client([batch[place] for place in lost]))
        for place, reply in zip(lost, again, strict=True):
            replies[place] = reply
        return replies

    async def list_nodes(self) -> list[str]:
        """As of `AsyncExchanges`."""
        await await_aside(self._client.initialize)
        return [node.name for node in self._client.get_primaries()]

    async def _send_past(self, batch: Batch) -> list[Any] | None:
        replies: list[Any] = [None] * len(batch)
        try:
            shares = _share_out(batch, self._client)
            asked = [
                self._exchange(node, to_commands([batch[place] for place in places]))
                for node, places in shares
            ]
            found = [await asked[0]] if len(asked) == 1 else await gather_all(asked)
        except Exception as error:
            if not _is_lost(error):
                raise
            return None
        for (_, places), some in zip(shares, found, strict=True):
            for place, reply in zip(places, some, strict=True):
                replies[place] = reply
        return replies

    async def _exchange(self, node: Any, commands: Sequence[Command]) -> list[Any]:
        connection = await self._take(node)
        try:
            if _HAS_MARKS:
                await node.disconnect_if_needed(connection)
            replies = await atalk(connection, commands)
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        finally:
            node.release(connection)
            self._line.wake()
        return replies

    async def _take(self, node: Any) -> Any:
        async def try_to_take() -> Any:
            try:
                return node.acquire_connection()
            except redis.exceptions.MaxConnectionsError:
                return None

        connection = None if self._line else await try_to_take()
        if connection is None:
            connection = await self._line.wait(try_to_take, self._timeout_s)
        if connection is None:
            raise refuse(self._timeout_s, node.max_connections, node.name)
        return connection

    async def _send_by_client(self, batch: Batch) -> list[Any]:
        if has_wait(batch):
            return await aexecute_pinned(batch, self._client)
        pipeline = open_pipeline(self._client)
        for command in to_commands(batch):
            pipeline.execute_command(*command, **RAW)
        return list(await pipeline.execute(raise_on_error=False))


async def gather_all(coroutines: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Await all; none goes on when one fails or the caller is cancelled."""
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
