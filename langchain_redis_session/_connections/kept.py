"""Exchanges on connections that are kept out of their pool from one use to the next.

A pool counts, locks and looks at a connection each time, which costs more than the rest of a
short exchange. None of that is needed on one that has just brought a whole reply. So those lie
on a stack: whoever comes next, in whichever thread, takes the one that was used last, and holds
it as long as the exchange lasts. For the pool they are in use, so there are never more than it
may have. What is unusual (there is none, callers wait, one has lain for long, was lost or is to be
renewed) goes by the pool.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from threading import get_ident
from time import monotonic
from typing import Any

import redis
from redis.sentinel import SentinelConnectionPool

from langchain_redis_session._connections.pooled import PooledExchanges, is_interruption
from langchain_redis_session._connections.talk import talk_briefly
from langchain_redis_session._flow.requests import Command

_FRESH_S = 1.0
"""How long one may lie until the pool is to look whether it was closed. Servers close what is idle
after a second at the least."""
_HAS_MARKS = hasattr(redis.Connection, "should_reconnect")  # from redis-py 7.1 on
_OWN_WAYS = ("credential_provider", "command_packer", "cache", "cache_config")
"""Options by which connections are looked after, or used, in another way."""


def can_keep(pool: Any) -> bool:
    """Whether a pool, and its connections, are redis-py's, and need not see each use.

    One with a provider of credentials renews them on connections that are given back.
    """
    options = pool.connection_kwargs
    return (
        type(pool) in (redis.ConnectionPool, SentinelConnectionPool)
        and pool.connection_class.__module__.partition(".")[0] == "redis"
        and all(options.get(name) is None for name in _OWN_WAYS)
        and getattr(pool, "cache", None) is None
    )


class KeptExchanges(PooledExchanges):
    """Exchanges on kept connections of a sync pool, of which `can_keep` is true."""

    _converse = staticmethod(talk_briefly)

    def __init__(self, pool: Any, *, timeout_s: float, name: str) -> None:
        super().__init__(pool, timeout_s=timeout_s, name=name)
        self._kept: deque[tuple[Any, float]] = deque()
        """Only such as have no reply to come, and since when they lie here."""
        self._keeps = True

    def stop(self) -> None:
        """Keep none from now on: others use the pool too."""
        self._keeps = False
        self.give_back()

    def give_back(self) -> None:
        """Give the pool all that lie here, the one used last at the end, which it takes first."""
        while self._kept:
            try:
                connection, _ = self._kept.popleft()
            except IndexError:  # another thread was quicker
                return
            self.give(connection)

    def clean_up(self, interruption: BaseException) -> None:
        """As of `PooledExchanges`."""
        try:
            self.give_back()
        finally:
            super().clean_up(interruption)

    def _exchange(
        self, commands: Sequence[Command], failures: list[Exception] | None = None
    ) -> list[Any]:
        connection = None if self._line else self._take_kept()
        if connection is None:
            return super()._exchange(commands)
        failures = []
        try:
            replies = self._talk(connection, commands)
        except BaseException as error:
            # First of all: what comes next may be interrupted too.
            connection.disconnect()
            self.give(connection)
            if is_interruption(error):
                raise
            if isinstance(error, redis.TimeoutError):
                failures.append(error)
            elif not isinstance(error, redis.ConnectionError):
                raise
            # Else it was lost while it lay here, which is no failure of this exchange.
        else:
            self._put_away(connection)
            return replies
        self.give_back()  # the others may be lost too, which the pool will see
        return super()._exchange(commands, failures)

    def _take_kept(self) -> Any:
        """Take the one that was used last; None where there is none, or it has lain for long."""
        try:
            connection, since_s = self._kept.pop()
        except IndexError:
            return None
        if monotonic() - since_s < _FRESH_S:
            self._held[get_ident()] = connection
            return connection
        self.give_back()
        self.give(connection)
        return None

    def _try_to_take(self) -> Any:
        return self._take_kept() or super()._try_to_take()

    def _put_away(self, connection: Any) -> None:
        if (
            not self._keeps
            or (_HAS_MARKS and connection.should_reconnect())
            or not self._pool.owns_connection(connection)  # of Sentinels: the server is another
        ):
            self.give(connection)
            return
        self._held.pop(get_ident(), None)
        self._kept.append((connection, monotonic()))
        if self._line:
            self._line.wake()
