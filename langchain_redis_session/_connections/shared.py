"""Exchanges of all tasks of an event loop on one connection, which it shares."""

from __future__ import annotations

import asyncio
import copy
from typing import Any

import redis
from redis.asyncio.sentinel import SentinelManagedConnection

from langchain_redis_session._connections.pipelining import PipeliningConnection
from langchain_redis_session._connections.pooled import AsyncPooledExchanges
from langchain_redis_session._connections.talk import pack, shape
from langchain_redis_session._flow.advice import UNKNOWN, Origin
from langchain_redis_session._flow.exchange import Batch
from langchain_redis_session._flow.requests import LARGE_BYTES, Command

_LOST = (redis.ConnectionError, redis.TimeoutError)
_MOST_IDLE = 7
_LONGEST_OPENING_S = 30.0
"""After that, whoever makes the connection has surely been interrupted. All its tries take 25 s, by
default."""


class SharedExchanges:
    """Exchanges on one connection of an async pool, in a pipeline.

    Those that would hold up others go on a connection of their own: where a reply may be long, a
    request is large, or a batch waits for replicas.

    Args:
        pool: Of redis-py, for two connections at least; this loop's own.
        timeout_s: How long callers wait for a connection where all are in use.
        name: What to call the pool's server in errors.
    """

    origin: Origin = UNKNOWN

    def __init__(self, pool: Any, *, timeout_s: float, name: str) -> None:
        self._pooled = AsyncPooledExchanges(
            pool, timeout_s=timeout_s, name=name, most_idle=_MOST_IDLE
        )
        self._shared: PipeliningConnection | None = None
        self._opening: asyncio.Future[Exception | None] | None = None

    async def send(self, command: Command, node: str = "") -> Any:
        """As of `AsyncExchanges`."""
        if type(command) is not tuple:
            return await self._pooled.send(command)
        shared = self._shared
        if shared is None or not shared.is_open:
            shared = await self._open()
        packed = pack(shared.connection, command)
        if len(packed) > LARGE_BYTES:
            return await self._pooled.send(command)
        (reply,) = await self._exchange(shared, packed, 1)
        if isinstance(reply, Exception):
            raise reply
        return shape(command, reply)

    async def send_batch(self, batch: Batch) -> list[Any]:
        """As of `AsyncExchanges`."""
        commands = [command for command in batch if type(command) is tuple]
        if len(commands) < len(batch) or not commands:
            return await self._pooled.send_batch(batch)
        shared = self._shared
        if shared is None or not shared.is_open:
            shared = await self._open()
        packed = b"".join([pack(shared.connection, command) for command in commands])
        if len(packed) > LARGE_BYTES:
            return await self._pooled.send_batch(batch)
        replies = await self._exchange(shared, packed, len(commands))
        return list(map(shape, commands, replies))

    async def list_nodes(self) -> list[str]:
        """As of `AsyncExchanges`."""
        return [""]

    async def _exchange(self, shared: PipeliningConnection, packed: bytes, count: int) -> list[Any]:
        try:
            return _check(shared, await shared.exchange(packed, count))
        except _LOST as error:
            return await self._send_again(shared, packed, count, error)

    async def _send_again(
        self, shared: PipeliningConnection, packed: bytes, count: int, error: Exception
    ) -> list[Any]:
        """As often as the client's retry policy says."""
        first: list[Exception] = [error]

        async def send() -> list[Any]:
            if first:
                raise first.pop()
            shared = await self._open()
            return _check(shared, await shared.exchange(packed, count))

        async def note(_error: Exception) -> None:
            pass

        # A backoff may count, so each call has its own.
        retry = copy.deepcopy(shared.connection.retry)
        replies: list[Any] = await retry.call_with_retry(send, note)
        return replies

    async def _open(self) -> PipeliningConnection:
        """Give the connection; where there is none, the first who asks makes it for all."""
        patience_s = _LONGEST_OPENING_S
        while self._shared is None or not self._shared.is_open:
            opening = self._opening
            if opening is None:
                return await self._lead()
            await asyncio.wait([opening], timeout=patience_s)
            if not opening.done():
                patience_s *= 2  # or, where it just takes long, each who waits would try in turn
                if self._opening is opening:
                    self._opening = None
            elif (error := opening.result()) is not None:
                raise error.with_traceback(None)
        return self._shared

    async def _lead(self) -> PipeliningConnection:
        opening = self._opening = asyncio.get_running_loop().create_future()
        failure: Exception | None = None
        try:
            await self._drop()
            made = await self._connect()
            await self._drop()  # that of one who took over, if it was not left after all
            self._shared = made
            return made
        except BaseException as error:
            self._pooled.note(error)
            failure = error if isinstance(error, Exception) else None
            raise
        finally:
            if self._opening is opening:
                self._opening = None
            opening.set_result(failure)

    async def _connect(self) -> PipeliningConnection:
        connection = await self._pooled.take_for_long()
        try:
            return PipeliningConnection(connection)
        except BaseException:
            await connection.disconnect(nowait=True)
            await self._pooled.give(connection)
            raise

    async def _drop(self) -> None:
        """Give back what is closed."""
        shared, self._shared = self._shared, None
        if shared is not None:
            await shared.connection.disconnect(nowait=True)
            await self._pooled.give(shared.connection)


def _check(shared: PipeliningConnection, replies: list[Any]) -> list[Any]:
    """Leave a primary that is one no longer, where Sentinels know the new one."""
    for reply in replies:
        if type(reply) is redis.exceptions.ReadOnlyError and isinstance(
            shared.connection, SentinelManagedConnection
        ):
            reason = "The previous master is now a slave"
            shared.close(redis.ConnectionError, reason)
            raise redis.ConnectionError(reason)
    return replies
