"""Exchanges by a client's own pipelines, whose replies are proven to be theirs.

For clients whose `execute_command` is not redis-py's, so that whoever patched or wrapped them
goes on seeing what they do, and for those that keep a single connection. What redis-py leaves
on a connection after an interruption is found out before anybody sees it.
"""

from __future__ import annotations

from typing import Any

import redis

from langchain_redis_session._connections.pooled import is_exhausted
from langchain_redis_session._connections.talk import check_proof, make_proof
from langchain_redis_session._connections.waiting import AsyncLine, Line, refuse
from langchain_redis_session._flow.advice import UNKNOWN, Origin
from langchain_redis_session._flow.cluster import RAW, open_pipeline
from langchain_redis_session._flow.exchange import Batch, to_commands
from langchain_redis_session._flow.requests import Command


def _find_pool_size(client: Any) -> object:
    return getattr(getattr(client, "connection_pool", None), "max_connections", "connections")


class ProvenExchanges:
    """Exchanges by the pipelines of a sync client."""

    origin: Origin = UNKNOWN

    def __init__(self, client: Any, *, timeout_s: float, name: str) -> None:
        self._client, self._timeout_s, self._name = client, timeout_s, name
        self._line = Line()

    def send(self, command: Command, node: str = "") -> Any:
        """As of `Exchanges`."""
        (reply,) = self.send_batch([command])
        if isinstance(reply, Exception):
            raise reply
        return reply

    def send_batch(self, batch: Batch) -> list[Any]:
        """As of `Exchanges`."""
        replies = None if self._line else self._try_to_send(batch)
        if replies is None:
            replies = self._line.wait(lambda: self._try_to_send(batch), self._timeout_s)
        elif self._line:
            self._line.wake()
        if replies is None:
            raise refuse(self._timeout_s, _find_pool_size(self._client), self._name)
        return replies

    def list_nodes(self) -> list[str]:
        """As of `Exchanges`."""
        return [""]

    def _try_to_send(self, batch: Batch) -> list[Any] | None:
        proof, token = make_proof()
        pipeline = open_pipeline(self._client)
        for command in (*to_commands(batch), proof):
            pipeline.execute_command(*command, **RAW)
        try:
            return check_proof(pipeline.execute(raise_on_error=False), token)
        except redis.ConnectionError as error:
            if is_exhausted(error):
                return None
            self._close_idle()
            raise

    def _close_idle(self) -> None:
        pool = getattr(self._client, "connection_pool", None)
        if pool is not None:
            pool.disconnect(inuse_connections=False)


class AsyncProvenExchanges:
    """Exchanges by the pipelines of an async client."""

    origin: Origin = UNKNOWN

    def __init__(self, client: Any, *, timeout_s: float, name: str) -> None:
        self._client, self._timeout_s, self._name = client, timeout_s, name
        self._line = AsyncLine()

    async def send(self, command: Command, node: str = "") -> Any:
        """As of `AsyncExchanges`."""
        (reply,) = await self.send_batch([command])
        if isinstance(reply, Exception):
            raise reply
        return reply

    async def send_batch(self, batch: Batch) -> list[Any]:
        """As of `AsyncExchanges`."""
        replies = None if self._line else await self._try_to_send(batch)
        if replies is None:
            replies = await self._line.wait(lambda: self._try_to_send(batch), self._timeout_s)
        elif self._line:
            self._line.wake()
        if replies is None:
            raise refuse(self._timeout_s, _find_pool_size(self._client), self._name)
        return replies

    async def list_nodes(self) -> list[str]:
        """As of `AsyncExchanges`."""
        return [""]

    async def _try_to_send(self, batch: Batch) -> list[Any] | None:
        proof, token = make_proof()
        pipeline = open_pipeline(self._client)
        for command in (*to_commands(batch), proof):
            pipeline.execute_command(*command, **RAW)
        try:
            return check_proof(await pipeline.execute(raise_on_error=False), token)
        except redis.ConnectionError as error:
            if is_exhausted(error):
                return None
            await self._close_idle()
            raise

    async def _close_idle(self) -> None:
        pool = getattr(self._client, "connection_pool", None)
        if pool is not None:
            await pool.disconnect(inuse_connections=False)
