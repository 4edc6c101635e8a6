"""The two drivers of flows: the only code that talks to a Redis client.

Replies are asked for as raw bytes, whatever the client was made to decode; redis-py's
errors become ours before a flow sees them.
"""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

from langchain_redis_session._counters import Counters
from langchain_redis_session._flow.cluster import (
    RAW,
    add_command,
    aexecute_pinned,
    execute_pinned,
    has_wait,
    open_pipeline,
)
from langchain_redis_session._flow.requests import (
    Call,
    Flow,
    Request,
    ScanPage,
    Scope,
    Settle,
    Submit,
    Unreadable,
)
from langchain_redis_session._flow.translation import CLIENT_ERRORS, translate_error
from langchain_redis_session._flow.unreadable import note_unreadable

T = TypeVar("T")

_NOBODYS_COUNTERS = Counters()


class AppendQueue(Protocol):
    """What flows hand their appends to, and wait for, with write-behind."""

    def settle(self, scope: Scope) -> Flow[None]: ...

    def submit(self, request: Submit) -> Flow[None]: ...


def _to_throw(request: Request, error: Exception) -> Exception:
    """What a flow sees of an error."""
    is_ours_to_translate = isinstance(error, CLIENT_ERRORS) and not isinstance(request, Call)
    return translate_error(error) if is_ours_to_translate else error


def _translate_replies(replies: list[Any]) -> list[Any]:
    return [translate_error(r) if isinstance(r, Exception) else r for r in replies]


def run(
    flow: Flow[T],
    client: Any,
    queue: AppendQueue | None = None,
    counters: Counters = _NOBODYS_COUNTERS,
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
                reply = _execute(request, client, queue, counters)
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
    queue: AppendQueue | None = None,
    counters: Counters = _NOBODYS_COUNTERS,
) -> T:
    """Run a flow on an async client; otherwise as `run`."""
    try:
        request = next(flow)
        while True:
            try:
                reply = await _aexecute(request, client, queue, counters)
            except Exception as error:
                request = flow.throw(_to_throw(request, error))
            else:
                request = flow.send(reply)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]
    finally:
        flow.close()


def _execute(request: Request, client: Any, queue: AppendQueue | None, counters: Counters) -> Any:
    if isinstance(request, tuple):
        counters.round_trips += 1
        return client.execute_command(*request, **RAW)
    if isinstance(request, Call):
        return request.function()
    if isinstance(request, Unreadable):
        return note_unreadable(request, counters)
    if isinstance(request, ScanPage):
        return _scan(request, client, counters)
    if isinstance(request, (Settle, Submit)):
        return run(_ask(queue, request), None)
    counters.round_trips += 1
    if hasattr(client, "get_primaries") and has_wait(request):
        return _translate_replies(execute_pinned(request, client))
    pipeline = open_pipeline(client)
    for command in request:
        add_command(pipeline, command)
    return _translate_replies(pipeline.execute(raise_on_error=False))


async def _aexecute(
    request: Request, client: Any, queue: AppendQueue | None, counters: Counters
) -> Any:
    if isinstance(request, tuple):
        counters.round_trips += 1
        return await client.execute_command(*request, **RAW)
    if isinstance(request, Call):
        return await request.async_function()
    if isinstance(request, Unreadable):
        return note_unreadable(request, counters)
    if isinstance(request, ScanPage):
        return await _ascan(request, client, counters)
    if isinstance(request, (Settle, Submit)):
        return await arun(_ask(queue, request), None)
    counters.round_trips += 1
    if hasattr(client, "get_primaries") and has_wait(request):
        return _translate_replies(await aexecute_pinned(request, client))
    pipeline = open_pipeline(client)
    for command in request:
        add_command(pipeline, command)
    return _translate_replies(await pipeline.execute(raise_on_error=False))


def _ask(queue: AppendQueue | None, request: Settle | Submit) -> Flow[None]:
    assert queue is not None, "only flows of a service with write-behind ask for it"
    return queue.settle(request.scope) if isinstance(request, Settle) else queue.submit(request)


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


def _scan(page: ScanPage, client: Any, counters: Counters) -> tuple[dict[str, int], list[bytes]]:
    cursors, found = {}, []
    for name, start, address in _nodes_to_scan(page, client):
        counters.round_trips += 1
        cursor, keys = _take_scan(
            client.execute_command(*_scan_command(page, start), **address, **RAW)
        )
        found += keys
        if cursor:
            cursors[name] = cursor
    return cursors, found


async def _ascan(
    page: ScanPage, client: Any, counters: Counters
) -> tuple[dict[str, int], list[bytes]]:
    if hasattr(client, "get_primaries"):
        await client.initialize()  # it knows its nodes only then
    cursors, found = {}, []
    for name, start, address in _nodes_to_scan(page, client):
        counters.round_trips += 1
        cursor, keys = _take_scan(
            await client.execute_command(*_scan_command(page, start), **address, **RAW)
        )
        found += keys
        if cursor:
            cursors[name] = cursor
    return cursors, found


class RunFlow(Protocol):
    """Runs a flow on a sync client."""

    def __call__(self, flow: Flow[T]) -> T: ...
