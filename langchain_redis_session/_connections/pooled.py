"""Exchanges on connections that are taken from a client's pool, by its public calls."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Sequence
from functools import cache
from threading import get_ident
from typing import Any
from weakref import WeakSet

import redis
from typing_extensions import Self

from langchain_redis_session._connections.recovery import let_go, recover
from langchain_redis_session._connections.retries import atry_repeatedly, try_repeatedly
from langchain_redis_session._connections.talk import (
    atalk,
    check_proof,
    finish_talk,
    make_proof,
    start_talk,
    talk,
)
from langchain_redis_session._connections.waiting import AsyncLine, Line, refuse
from langchain_redis_session._flow.advice import UNKNOWN, Origin
from langchain_redis_session._flow.exchange import Batch, to_commands
from langchain_redis_session._flow.requests import Command
from langchain_redis_session._signals import find_interruption

_USUAL = (redis.RedisError, OSError)
"""What redis-py raises, with its pools in order."""


@cache
def _take_arguments(get_connection: Callable[..., Any]) -> tuple[str, ...]:
    """What `get_connection` wants: the command's name, before redis-py 5.3; now that warns."""
    name = inspect.signature(get_connection).parameters.get("command_name")
    return ("_",) if name is not None and name.default is inspect.Parameter.empty else ()


def is_exhausted(error: Exception) -> bool:
    """Whether all connections of a pool are in use."""
    return isinstance(error, redis.exceptions.MaxConnectionsError) or str(error) in (
        "Too many connections",  # before redis-py 6
        "No connection available.",  # of a pool that has waited itself
    )


def is_interruption(error: BaseException) -> bool:
    """Whether an error may have landed anywhere, in the pool's own code too."""
    return not isinstance(error, _USUAL) or find_interruption(error) is not None


class PooledExchanges:
    """Exchanges on the connections of a sync pool.

    Args:
        pool: Of redis-py; what is made here knows nothing of the client, only this.
        timeout_s: How long callers wait where all connections are in use.
        name: What to call the pool's server in errors.
    """

    origin: Origin = UNKNOWN
    _converse = staticmethod(talk)

    def __init__(self, pool: Any, *, timeout_s: float, name: str) -> None:
        self._pool, self._timeout_s, self._name = pool, timeout_s, name
        self._arguments = _take_arguments(type(pool).get_connection)
        self._line = Line()
        self._held: dict[int, Any] = {}
        """What threads hold, as far as that is known; only a hint."""
        self._proven: WeakSet[Any] | None = None
        """After an interruption: the connections that have shown since that they are clean."""

    def send(self, command: Command, node: str = "") -> Any:
        """As of `Exchanges`."""
        try:
            (reply,) = self._exchange((command,))
        except BaseException as error:
            if is_interruption(error):
                self.clean_up(error)
            raise
        if isinstance(reply, Exception):
            raise reply
        return reply

    def send_batch(self, batch: Batch) -> list[Any]:
        """As of `Exchanges`."""
        try:
            return self._exchange(to_commands(batch))
        except BaseException as error:
            if is_interruption(error):
                self.clean_up(error)
            raise

    def list_nodes(self) -> list[str]:
        """As of `Exchanges`."""
        return [""]

    def _exchange(
        self, commands: Sequence[Command], failures: list[Exception] | None = None
    ) -> list[Any]:
        """Exchange, with the retries of the client; `failures` are those of tries before."""
        connection = self.take()

        def try_once() -> list[Any]:
            if failures:
                raise failures.pop()
            return self._talk(connection, commands)

        try:
            replies = try_repeatedly(
                connection.retry.call_with_retry, try_once, lambda _: connection.disconnect()
            )
        except BaseException:
            # First of all: what comes next may be interrupted too.
            connection.disconnect()
            self.give(connection)
            raise
        self._put_away(connection)
        return replies

    def _talk(self, connection: Any, commands: Sequence[Command]) -> list[Any]:
        proven = self._proven
        if proven is None or connection in proven:
            return self._converse(connection, commands)
        proof, token = make_proof()
        replies = check_proof(self._converse(connection, [*commands, proof]), token)
        proven.add(connection)
        return replies

    def take(self) -> Any:
        """Take a connection, or wait for one."""
        connection = None if self._line else self._try_to_take()
        if connection is None:
            if self._proven is not None:
                recover(self._pool, list(self._held.values()))
            connection = self._line.wait(self._try_to_take, self._timeout_s)
        if connection is None:
            raise refuse(self._timeout_s, self._pool.max_connections, self._name)
        self._held[get_ident()] = connection
        return connection

    def _try_to_take(self) -> Any:
        try:
            return self._pool.get_connection(*self._arguments)
        except redis.ConnectionError as error:
            if is_exhausted(error):
                return None
            raise

    def give(self, connection: Any) -> None:
        """Give a connection back; one with a reply to come must have been closed."""
        self._held.pop(get_ident(), None)
        self._pool.release(connection)
        if self._line:
            self._line.wake()

    def _put_away(self, connection: Any) -> None:
        """Have done with a connection that has brought all replies."""
        self.give(connection)

    def clean_up(self, interruption: BaseException) -> None:
        """Leave the pool whole after an exception that may have landed in its own code."""
        # A connection that was about to be made may lie in the pool now, with a reply to come.
        self._proven = WeakSet()
        self._pool.disconnect(inuse_connections=False)
        self._held.pop(get_ident(), None)
        let_go(interruption)  # which may be the last to hold one
        recover(self._pool, list(self._held.values()))
        self._line.wake()


class BegunExchange:
    """An exchange in two steps, so that several servers can be at work at the same time.

    Without retries. Commands are sent on entry; `finish` reads their replies.
    """

    def __init__(self, exchanges: PooledExchanges, commands: Sequence[Command]) -> None:
        self._exchanges, self._commands = exchanges, commands
        self._is_finished = False

    def __enter__(self) -> Self:
        self._connection = self._exchanges.take()
        try:
            start_talk(self._connection, self._commands)
        except BaseException:
            self._end()
            raise
        return self

    def finish(self) -> list[Any]:
        """Give the replies."""
        replies = finish_talk(self._connection, self._commands)
        self._is_finished = True
        return replies

    def __exit__(self, *_: object) -> None:
        self._end()

    def _end(self) -> None:
        if not self._is_finished:
            self._connection.disconnect()
        self._exchanges.give(self._connection)


class AsyncPooledExchanges:
    """Exchanges on the connections of an async pool; as `PooledExchanges`.

    Args:
        pool: Of redis-py.
        timeout_s: How long callers wait where all connections are in use.
        name: What to call the pool's server in errors.
        most_idle: How many connections stay open once none is in use; None = all of them.
    """

    origin: Origin = UNKNOWN

    def __init__(
        self, pool: Any, *, timeout_s: float, name: str, most_idle: int | None = None
    ) -> None:
        self._pool, self._timeout_s, self._name = pool, timeout_s, name
        self._arguments = _take_arguments(type(pool).get_connection)
        self._line = AsyncLine()
        self._proven: WeakSet[Any] | None = None
        self._most_idle, self._under_way = most_idle, 0
        self._idle: set[Any] = set()

    async def send(self, command: Command, node: str = "") -> Any:
        """As of `AsyncExchanges`."""
        (reply,) = await self._exchange((command,))
        if isinstance(reply, Exception):
            raise reply
        return reply

    async def send_batch(self, batch: Batch) -> list[Any]:
        """As of `AsyncExchanges`."""
        return await self._exchange(to_commands(batch))

    async def list_nodes(self) -> list[str]:
        """As of `AsyncExchanges`."""
        return [""]

    async def _exchange(self, commands: Sequence[Command]) -> list[Any]:
        self._under_way += 1
        try:
            return await self._take_and_talk(commands)
        finally:
            self._under_way -= 1
            if self._most_idle is not None and not self._under_way:
                await self._close_surplus(self._most_idle)

    async def _close_surplus(self, most_idle: int) -> None:
        """After many at once, leave few open; not in between, when they are needed again."""
        while len(self._idle) > most_idle:
            await self._idle.pop().disconnect(nowait=True)

    async def _take_and_talk(self, commands: Sequence[Command]) -> list[Any]:
        try:
            connection = await self.take()
            try:
                replies = await atry_repeatedly(
                    connection.retry.call_with_retry,
                    lambda: self._talk(connection, commands),
                    lambda _: connection.disconnect(),
                )
            except BaseException:
                await connection.disconnect(nowait=True)
                await self.give(connection)
                raise
            await self.give(connection)
            return replies
        except BaseException as error:
            self.note(error)
            raise

    def note(self, error: BaseException) -> None:
        """Trust connections less after a signal's exception, which may have hit the pool's code."""
        if is_interruption(error) and not isinstance(error, asyncio.CancelledError):
            self._proven = WeakSet()

    async def _talk(self, connection: Any, commands: Sequence[Command]) -> list[Any]:
        proven = self._proven
        if proven is None or connection in proven:
            return await atalk(connection, commands)
        proof, token = make_proof()
        replies = check_proof(await atalk(connection, [*commands, proof]), token)
        proven.add(connection)
        return replies

    async def take(self) -> Any:
        """Take a connection, or wait for one."""
        connection = None if self._line else await self._try_to_take()
        if connection is None:
            connection = await self._line.wait(self._try_to_take, self._timeout_s)
        if connection is None:
            raise refuse(self._timeout_s, self._pool.max_connections, self._name)
        self._idle.discard(connection)
        return connection

    async def take_for_long(self) -> Any:
        """Take a connection that surely has no reply to come."""
        self._under_way += 1
        try:
            connection = await self.take()
            if self._proven is None:
                return connection
            try:
                await connection.disconnect(nowait=True)
                await connection.connect()
            except BaseException:
                await connection.disconnect(nowait=True)
                await self.give(connection)
                raise
            return connection
        finally:
            self._under_way -= 1

    async def _try_to_take(self) -> Any:
        try:
            return await self._pool.get_connection(*self._arguments)
        except redis.ConnectionError as error:
            if is_exhausted(error):
                return None
            raise

    async def give(self, connection: Any) -> None:
        """Give a connection back; one with a reply to come must have been closed."""
        try:
            await self._pool.release(connection)
            if self._most_idle is not None:
                self._idle.add(connection)
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        finally:
            self._line.wake()
