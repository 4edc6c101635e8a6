"""The two drivers of flows: the only code that talks to a Redis client.

Replies are asked for as raw bytes, whatever the client was made to decode; redis-py's
errors become ours before a flow sees them.
"""

from __future__ import annotations

import re
from typing import Any, Protocol, TypeVar

from redis import exceptions as redis_errors
from redis.client import NEVER_DECODE

from langchain_redis_session._figures import Figures
from langchain_redis_session._flow import (
    Call,
    Command,
    Flow,
    Request,
    ScanPage,
    Scope,
    ScriptMissingError,
    Settle,
    Submit,
    Wait,
)
from langchain_redis_session.errors import BackendUnavailableError, RedisSessionError

T = TypeVar("T")

_RAW: dict[str, Any] = {NEVER_DECODE: True}
_UNAVAILABLE = (
    redis_errors.ConnectionError,
    redis_errors.TimeoutError,
    redis_errors.ClusterError,
    redis_errors.ReadOnlyError,
    redis_errors.OutOfMemoryError,
    redis_errors.TryAgainError,
    redis_errors.AskError,  # MovedError too
    redis_errors.RedisClusterException,
    OSError,
)
_LOST = (redis_errors.AskError, redis_errors.ConnectionError, redis_errors.TimeoutError, OSError)
# How a server's refusal begins that time or an operator can heal; inside a script's error too.
_REFUSALS = re.compile(
    r"\b(BUSY|CLUSTERDOWN|LOADING|MASTERDOWN|MISCONF|NOREPLICAS|OOM|READONLY|UNBLOCKED)\b"
)
_NOBODYS_FIGURES = Figures()
_ERRORS = (
    RedisSessionError,
    redis_errors.RedisError,
    redis_errors.RedisClusterException,
    OSError,
)


class Engine(Protocol):
    """What flows hand their appends to, and wait for, with write-behind."""

    def settle(self, scope: Scope) -> None: ...

    async def asettle(self, scope: Scope) -> None: ...

    def submit(self, request: Submit) -> None: ...

    async def asubmit(self, request: Submit) -> None: ...


def translate_error(error: Exception) -> RedisSessionError:
    """Give the error of our tree for one of redis-py; the cause is kept."""
    ours: RedisSessionError
    if isinstance(error, RedisSessionError):  # the engine's; some of them are OSErrors too
        return error
    if isinstance(error, redis_errors.NoScriptError):
        return ScriptMissingError(str(error))
    if isinstance(error, _UNAVAILABLE) or _REFUSALS.search(str(error)[:300]):
        ours = BackendUnavailableError(
            f"Redis did not take the command ({type(error).__name__}: {error}); check that the "
            "server runs, can be reached, and accepts writes"
        )
    else:
        ours = RedisSessionError(f"Redis refused the command: {error}")
    ours.__cause__ = error
    return ours


def _to_throw(request: Request, error: Exception) -> Exception:
    """What a flow sees of an error."""
    is_ours_to_translate = isinstance(error, _ERRORS) and not isinstance(request, Call)
    return translate_error(error) if is_ours_to_translate else error


def _translate_replies(replies: list[Any]) -> list[Any]:
    return [translate_error(r) if isinstance(r, Exception) else r for r in replies]


def run(
    flow: Flow[T],
    client: Any,
    engine: Engine | None = None,
    figures: Figures = _NOBODYS_FIGURES,
) -> T:
    """Run a flow on a sync client (`redis.Redis`, `redis.RedisCluster`, fakeredis).

    Raises:
        RedisSessionError: What the flow raises; redis-py's errors as ours.
        Exception: What a `Call` raises, unless the flow handles it.
    """
    try:
        request = next(flow)
        while True:
            try:
                reply = _execute(request, client, engine, figures)
            except Exception as error:
                request = flow.throw(_to_throw(request, error))
            else:
                request = flow.send(reply)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]
    finally:
        flow.close()  # now, where the caller was interrupted, and not when it is collected


async def arun(
    flow: Flow[T],
    client: Any,
    engine: Engine | None = None,
    figures: Figures = _NOBODYS_FIGURES,
) -> T:
    """Run a flow on an async client; otherwise as `run`."""
    try:
        request = next(flow)
        while True:
            try:
                reply = await _aexecute(request, client, engine, figures)
            except Exception as error:
                request = flow.throw(_to_throw(request, error))
            else:
                request = flow.send(reply)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]
    finally:
        flow.close()


def _execute(request: Request, client: Any, engine: Engine | None, figures: Figures) -> Any:
    if isinstance(request, tuple):
        figures.round_trips += 1
        return client.execute_command(*request, **_RAW)
    if isinstance(request, Call):
        return request.function()
    if isinstance(request, ScanPage):
        return _scan(request, client, figures)
    if isinstance(request, (Settle, Submit)):
        assert engine is not None, "only flows of a service with write-behind ask for it"
        if isinstance(request, Settle):
            return engine.settle(request.scope)
        return engine.submit(request)
    figures.round_trips += 1
    if hasattr(client, "get_primaries") and _waits(request):
        return _translate_replies(_execute_pinned(request, client))
    pipeline = _open_pipeline(client)
    for command in request:
        _add_command(pipeline, command)
    return _translate_replies(pipeline.execute(raise_on_error=False))


async def _aexecute(request: Request, client: Any, engine: Engine | None, figures: Figures) -> Any:
    if isinstance(request, tuple):
        figures.round_trips += 1
        return await client.execute_command(*request, **_RAW)
    if isinstance(request, Call):
        return await request.async_function()
    if isinstance(request, ScanPage):
        return await _ascan(request, client, figures)
    if isinstance(request, (Settle, Submit)):
        assert engine is not None, "only flows of a service with write-behind ask for it"
        if isinstance(request, Settle):
            return await engine.asettle(request.scope)
        return await engine.asubmit(request)
    figures.round_trips += 1
    if hasattr(client, "get_primaries") and _waits(request):
        return _translate_replies(await _aexecute_pinned(request, client))
    pipeline = _open_pipeline(client)
    for command in request:
        _add_command(pipeline, command)
    return _translate_replies(await pipeline.execute(raise_on_error=False))


def _open_pipeline(client: Any) -> Any:
    # A cluster's pipeline takes no `transaction`; a standalone's would send MULTI without.
    return (
        client.pipeline()
        if hasattr(client, "get_primaries")
        else client.pipeline(transaction=False)
    )


def _add_command(pipeline: Any, command: Command | Wait, **address: Any) -> None:
    if isinstance(command, Wait):
        pipeline.execute_command("WAIT", command.replicas, command.timeout_ms, **address, **_RAW)
    else:
        pipeline.execute_command(*command, **address, **_RAW)


# On a cluster, a batch is redirected command by command, each on any connection: a WAIT that
# has lost its write would confirm what it has not seen. So a write and its WAIT go to their
# node directly, and again, together, once the client has learned that the slot has moved.


def _waits(batch: list[Command | Wait]) -> bool:
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


def _execute_pinned(batch: list[Command | Wait], client: Any) -> list[Any]:
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
        pipeline = _open_pipeline(near)
        for place in places:
            _add_command(pipeline, batch[place])
        try:
            found = pipeline.execute(raise_on_error=False)
        except _ERRORS as error:
            found = [error] * len(places)
        for place, reply in zip(places, found, strict=True):
            replies[place] = reply
    return replies


async def _aexecute_pinned(batch: list[Command | Wait], client: Any) -> list[Any]:
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
            _add_command(pipeline, batch[place], **({"target_nodes": node} if node else {}))
        found = await pipeline.execute(raise_on_error=False, allow_redirections=node is None)
        for place, reply in zip(places, found, strict=True):
            replies[place] = reply
    return replies


def _scan_command(page: ScanPage, cursor: int) -> tuple[Any, ...]:
    return ("SCAN", cursor, "MATCH", page.pattern.encode(), "COUNT", page.count)


def _take_scan(reply: Any) -> tuple[int, list[bytes]]:
    cursor, keys = reply
    # A cluster client gives {node: cursor}, even where one node was asked.
    if isinstance(cursor, dict):
        (cursor,) = cursor.values()
    return int(cursor), keys


def _nodes_to_scan(page: ScanPage, client: Any) -> list[tuple[str, int, dict[str, Any]]]:
    """Each node that has more: its name, where to go on, and how to address it."""
    if not hasattr(client, "get_primaries"):
        nodes: list[tuple[str, dict[str, Any]]] = [("", {})]
    else:
        nodes = [(node.name, {"target_nodes": node}) for node in client.get_primaries()]
    if page.cursors is None:
        return [(name, 0, address) for name, address in nodes]
    return [(name, page.cursors[name], to) for name, to in nodes if name in page.cursors]


def _scan(page: ScanPage, client: Any, figures: Figures) -> tuple[dict[str, int], list[bytes]]:
    cursors, found = {}, []
    for name, start, address in _nodes_to_scan(page, client):
        figures.round_trips += 1
        cursor, keys = _take_scan(
            client.execute_command(*_scan_command(page, start), **address, **_RAW)
        )
        found += keys
        if cursor:
            cursors[name] = cursor
    return cursors, found


async def _ascan(
    page: ScanPage, client: Any, figures: Figures
) -> tuple[dict[str, int], list[bytes]]:
    if hasattr(client, "get_primaries"):
        await client.initialize()  # it knows its nodes only then
    cursors, found = {}, []
    for name, start, address in _nodes_to_scan(page, client):
        figures.round_trips += 1
        cursor, keys = _take_scan(
            await client.execute_command(*_scan_command(page, start), **address, **_RAW)
        )
        found += keys
        if cursor:
            cursors[name] = cursor
    return cursors, found
