"""The clients of one service: made when needed, one for each loop, closed by who made them."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import os
import sys
import threading
import weakref
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

from redis.exceptions import RedisClusterException, RedisError

from langchain_redis_session._connections.abandoned import abandon, close_fakes, list_fakes
from langchain_redis_session._connections.exchanges import (
    DEFAULT_TIMEOUT_S,
    open_async_exchanges,
    open_exchanges,
)
from langchain_redis_session._connections.forks import renew_in_child, renew_locks_within
from langchain_redis_session._connections.kept import KeptExchanges
from langchain_redis_session._flow.advice import UNKNOWN, Origin
from langchain_redis_session._flow.cluster import list_pools
from langchain_redis_session._flow.exchange import AsyncExchanges, Exchanges
from langchain_redis_session._flow.translation import translate_error
from langchain_redis_session.errors import ConfigurationError, RedisSessionError

_lock = threading.Lock()
renew_in_child(sys.modules[__name__])
Factory = Callable[[], Any]
_OF_MAKING = (RedisError, RedisClusterException, ConnectionError)


class Connections:
    """The clients of one service.

    Args:
        make_sync: Makes the sync client; None where there can't be one.
        make_async: Makes an async client for the running loop; None likewise. A coroutine
            function where something has to be loaded first, off the loop.
        owns_sync: Whether `close` closes the sync client.
        owns_async: Likewise; an async client not owned serves one loop only.
        description: What to call it in errors and reprs; without credentials.
        is_default: Whether nobody said where Redis is.
        keeps: Whether nobody else uses the clients' pools: sync connections may be kept out of
            them, and the tasks of a loop may share one.
        origin: Where the clients come from.

    Attributes:
        pool_timeout_s: How long callers wait for a connection where all are in use.
    """

    def __init__(
        self,
        make_sync: Factory | None,
        make_async: Factory | None,
        *,
        owns_sync: bool,
        owns_async: bool,
        description: str,
        is_default: bool = False,
        keeps: bool = False,
        origin: Origin = UNKNOWN,
    ) -> None:
        self._keeps = keeps
        self._origin = origin
        self._make_sync, self._make_async = make_sync, make_async
        self._owns_sync, self._owns_async = owns_sync, owns_async
        self._sync: Any = None
        self._exchanges: Exchanges | None = None
        self._bound: weakref.ref[asyncio.AbstractEventLoop] | None = None
        self.pool_timeout_s = DEFAULT_TIMEOUT_S
        self._is_closed = False
        self._async: WeakKeyDictionary[asyncio.AbstractEventLoop, _Kept] = WeakKeyDictionary()
        self.description = description
        self.is_default = is_default
        _all.add(self)

    @property
    def has_sync(self) -> bool:
        """Whether there can be a sync client."""
        return self._make_sync is not None

    def sync_client(self) -> Any:
        """The sync client, made when first asked for."""
        if self._sync is None:
            self.require_sync()
            assert self._make_sync is not None
            # Not with the lock held: it may take its time, and an event loop waits for the lock.
            try:
                made = self._make_sync()
            except RedisSessionError:
                raise
            except _OF_MAKING as error:  # a cluster's is made by asking its nodes
                raise translate_error(error, self._origin) from error
            with _lock:
                if self._sync is None:
                    self._sync = made
        return self._sync

    def lend_client(self) -> Any:
        """The sync client, for others; from now on its connections are in its pool, or in use."""
        self._keeps = False
        if isinstance(self._exchanges, KeptExchanges):
            self._exchanges.stop()
        return self.sync_client()

    def exchanges(self) -> Exchanges:
        """What carries out exchanges by the sync client."""
        if self._exchanges is None:
            made = open_exchanges(
                self.sync_client(),
                timeout_s=self.pool_timeout_s,
                name=self.description,
                keeps=self._keeps,
                origin=self._origin,
            )
            with _lock:
                if self._exchanges is None:
                    self._exchanges = made
        return self._exchanges

    def require_sync(self) -> None:
        """Make sure that there can be a sync client.

        Raises:
            ConfigurationError: There can't.
        """
        if self._make_sync is None:
            raise ConfigurationError(
                "only an async client was given, so only the methods with an `a` in front "
                "work; "
                "pass client= or redis_url= too for the others"
            )

    def any_client(self) -> Any:
        """A client that was made already, of either kind; None if there is none."""
        if self._sync is not None:
            return self._sync
        kept = next(iter(list(self._async.values())), None)
        return kept and kept.client

    def running_exchanges(self) -> AsyncExchanges | None:
        """What carries out exchanges of the running loop; None before `open_async`."""
        kept = self._async.get(asyncio.get_running_loop())
        return None if kept is None else kept.exchanges

    async def open_async(self) -> AsyncExchanges:
        """Make the running loop's async client, which is closed with the loop at the latest."""
        if self._make_async is None:
            raise ConfigurationError(
                "no async client can be made like the client that was given; pass "
                "async_client= too for the methods with an `a` in front"
            )
        loop = asyncio.get_running_loop()
        self._leave_closed_loops()
        if not self._owns_async:
            self._bind(loop)
        client = self._make_async()
        if inspect.iscoroutine(client):
            client = await client
            if (made := self.running_exchanges()) is not None:  # by another task, meanwhile
                return made
        exchanges = open_async_exchanges(
            client,
            timeout_s=self.pool_timeout_s,
            name=self.description,
            keeps=self._keeps,
            origin=self._origin,
        )
        keeper = _close_with_loop(client) if self._owns_async else None
        kept = _Kept(client, exchanges, keeper)
        with _lock:
            self._async[loop] = kept
        await kept.start()
        return exchanges

    def _bind(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let a client that was handed in serve one loop only: its connections are that one's."""
        with _lock:
            bound = self._bound and self._bound()
            if self._bound is None or bound is loop:
                self._bound = weakref.ref(loop)
                return
        raise ConfigurationError(
            "async_client= is used in a second event loop, and its connections belong to the "
            "first; pass redis_url= or client=, of which each loop gets a client of its own, or "
            "make a service for each loop"
        )

    def _leave_closed_loops(self) -> None:
        """Drop the clients of loops that were closed without a word, and so the loops."""
        with _lock:
            closed = [loop for loop in self._async if loop.is_closed()]
            left = [self._async.pop(loop) for loop in closed]
        for kept in left:
            if kept.keeper is not None:
                abandon(kept.client)

    def forget_parent(self) -> None:
        """In the child of a fork: nothing of the parent's is used, nor closed."""
        _parents.append((self._exchanges, self._async))
        self._exchanges, self._async = None, WeakKeyDictionary()
        if self._sync is not None:
            renew_locks_within(self._sync, ("redis",))

    def close(self) -> None:
        """Close the sync client if it is ours; other loops' async clients when they run next."""
        self._is_closed = True
        if self._owns_sync and self._sync is not None:
            self._sync.close()
        with _lock:
            others = list(self._async.items())
            self._async.clear()
        for loop, kept in others:
            with contextlib.suppress(RuntimeError):  # that loop has ended, and closed its client
                loop.call_soon_threadsafe(kept.close_soon, loop)

    def release(self) -> None:
        """After a use in the background: close what it has kept open beyond `close`."""
        if self._is_closed and self._owns_sync and self._sync is not None:
            if isinstance(self._exchanges, KeptExchanges):
                self._exchanges.give_back()
            # Not what others still use: they would connect again.
            for pool in list_pools(self._sync):
                pool.disconnect(inuse_connections=False)

    async def aclose(self) -> None:
        """Close what is ours; this loop's client before it returns."""
        kept = self._async.pop(asyncio.get_running_loop(), None)
        if kept is not None:
            await kept.close()
        self.close()


async def _close_with_loop(client: Any) -> AsyncGenerator[None, None]:
    # asyncio.run closes the generators that its loop has started: this is how a loop that
    # ends without our `aclose` leaves no connection open.
    try:
        yield
    finally:
        fakes = list_fakes(client)
        await client.aclose()
        close_fakes(fakes)


@dataclass(slots=True, eq=False)
class _Kept:
    """One loop's client, and what closes it; None where it is not ours."""

    client: Any
    exchanges: AsyncExchanges
    keeper: AsyncGenerator[None, None] | None

    async def start(self) -> None:
        if self.keeper is not None:
            await anext(self.keeper)

    async def close(self) -> None:
        if self.keeper is not None:
            await self.keeper.aclose()

    def close_soon(self, loop: asyncio.AbstractEventLoop) -> None:
        task = loop.create_task(self.close())
        _closing.add(task)  # a loop holds its tasks only weakly
        task.add_done_callback(_closing.discard)


_closing: set[asyncio.Task[None]] = set()


# Forks

_all: WeakSet[Connections] = WeakSet()
_parents: list[Any] = []  # kept, so that a child closes nothing that its parent uses


def _forget_parents() -> None:
    for connections in list(_all):
        connections.forget_parent()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_parents)
