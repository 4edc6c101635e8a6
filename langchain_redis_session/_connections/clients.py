"""The clients of one service: made when needed, one for each loop, closed by who made them."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import threading
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from langchain_redis_session._flow.cluster import list_pools
from langchain_redis_session.errors import ConfigurationError

_lock = threading.Lock()
Factory = Callable[[], Any]


class Connections:
    """The clients of one service.

    Args:
        make_sync: Makes the sync client; None where there can't be one.
        make_async: Makes an async client for the running loop; None likewise. A coroutine
            function where something has to be loaded first, off the loop.
        owns_sync: Whether `close` closes the sync client.
        owns_async: Likewise; an async client not owned serves every loop.
        description: What to call it in errors and reprs; without credentials.
        is_default: Whether nobody said where Redis is.
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
    ) -> None:
        self._make_sync, self._make_async = make_sync, make_async
        self._owns_sync, self._owns_async = owns_sync, owns_async
        self._sync: Any = None
        self._is_closed = False
        self._async: WeakKeyDictionary[asyncio.AbstractEventLoop, _Kept] = WeakKeyDictionary()
        self.description = description
        self.is_default = is_default

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
            made = self._make_sync()
            with _lock:
                if self._sync is None:
                    self._sync = made
        return self._sync

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

    def running_client(self) -> Any:
        """The running loop's async client; None before `open_async_client`."""
        kept = self._async.get(asyncio.get_running_loop())
        return kept and kept.client

    async def open_async_client(self) -> Any:
        """Make the running loop's async client, which is closed with the loop at the latest."""
        if self._make_async is None:
            raise ConfigurationError(
                "no async client can be made like the client that was given; pass "
                "async_client= too for the methods with an `a` in front"
            )
        client = self._make_async()
        if inspect.iscoroutine(client):
            client = await client
            if (made := self.running_client()) is not None:  # by another task, meanwhile
                return made
        kept = _Kept(client, _close_with_loop(client) if self._owns_async else None)
        with _lock:
            self._async[asyncio.get_running_loop()] = kept
        await kept.start()
        return client

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
        await client.aclose()


@dataclass(slots=True)
class _Kept:
    """One loop's client, and what closes it; None where it is not ours."""

    client: Any
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
