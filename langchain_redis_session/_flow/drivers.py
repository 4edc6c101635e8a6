"""The two drivers of flows: what they ask for is exchanged with Redis, or done.

Replies are asked for as raw bytes, whatever the client was made to decode; redis-py's
errors become ours before a flow sees them.
"""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

from langchain_redis_session._flow.advice import UNKNOWN, Origin
from langchain_redis_session._flow.counters import Counters
from langchain_redis_session._flow.exchange import AsyncExchanges, Exchanges
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
from langchain_redis_session._flow.translation import is_of_client, translate_error
from langchain_redis_session._flow.unreadable import note_unreadable
from langchain_redis_session._signals import find_interruption

T = TypeVar("T")

_NOBODYS_COUNTERS = Counters()


class AppendQueue(Protocol):
    """What flows hand their appends to, and wait for, with write-behind."""

    def settle(self, scope: Scope) -> Flow[None]: ...

    def accept(self, request: Submit) -> bool: ...

    def submit(self, request: Submit) -> Flow[None]: ...


def _to_throw(
    request: Request, error: Exception, exchanges: Exchanges | AsyncExchanges | None
) -> BaseException:
    """What a flow sees of an error."""
    if isinstance(request, Call) or not is_of_client(error):
        return error
    origin = UNKNOWN if exchanges is None else exchanges.origin
    return find_interruption(error) or translate_error(error, origin)


def _translate_replies(replies: list[Any], origin: Origin) -> list[Any]:
    return [translate_error(r, origin) if isinstance(r, Exception) else r for r in replies]


def run(
    flow: Flow[T],
    exchanges: Exchanges | None,
    queue: AppendQueue | None = None,
    counters: Counters = _NOBODYS_COUNTERS,
) -> T:
    """Run a flow; without `exchanges`, one that asks for nothing of Redis.

    Raises:
        RedisSessionError: What the flow raises; redis-py's errors as ours.
        Exception: What a `Call` raises, unless the flow handles it.
    """
    try:
        request = next(flow)
        while True:
            try:
                if isinstance(request, tuple) and exchanges is not None:
                    counters.round_trips += 1
                    reply = exchanges.send(request)
                else:
                    reply = _execute(request, exchanges, queue, counters)
            except Exception as error:
                request = flow.throw(_to_throw(request, error, exchanges))
            else:
                request = flow.send(reply)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]
    finally:
        flow.close()  # now, where the caller was interrupted, and not when it is collected


async def arun(
    flow: Flow[T],
    exchanges: AsyncExchanges | None,
    queue: AppendQueue | None = None,
    counters: Counters = _NOBODYS_COUNTERS,
) -> T:
    """Run a flow in an event loop; as `run`."""
    try:
        request = next(flow)
        while True:
            try:
                if isinstance(request, tuple) and exchanges is not None:
                    counters.round_trips += 1
                    reply = await exchanges.send(request)
                else:
                    reply = await _aexecute(request, exchanges, queue, counters)
            except Exception as error:
                request = flow.throw(_to_throw(request, error, exchanges))
            else:
                request = flow.send(reply)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]
    finally:
        flow.close()


def _execute(
    request: Request, exchanges: Exchanges | None, queue: AppendQueue | None, counters: Counters
) -> Any:
    if type(request) is Submit and queue is not None and queue.accept(request):
        return None  # the usual case of it
    if isinstance(request, Call):
        return request.function()
    if isinstance(request, Unreadable):
        return note_unreadable(request, counters)
    if isinstance(request, (Settle, Submit)):
        return run(_ask(queue, request), None)
    assert exchanges is not None, "it needs Redis"
    assert not isinstance(request, tuple)
    if isinstance(request, ScanPage):
        return _scan(request, exchanges, counters)
    counters.round_trips += 1
    return _translate_replies(exchanges.send_batch(request), exchanges.origin)


async def _aexecute(
    request: Request,
    exchanges: AsyncExchanges | None,
    queue: AppendQueue | None,
    counters: Counters,
) -> Any:
    if type(request) is Submit and queue is not None and queue.accept(request):
        return None  # the usual case of it
    if isinstance(request, Call):
        return await request.async_function()
    if isinstance(request, Unreadable):
        return note_unreadable(request, counters)
    if isinstance(request, (Settle, Submit)):
        return await arun(_ask(queue, request), None)
    assert exchanges is not None, "it needs Redis"
    assert not isinstance(request, tuple)
    if isinstance(request, ScanPage):
        return await _ascan(request, exchanges, counters)
    counters.round_trips += 1
    return _translate_replies(await exchanges.send_batch(request), exchanges.origin)


def _ask(queue: AppendQueue | None, request: Settle | Submit) -> Flow[None]:
    assert queue is not None, "only flows of a service with write-behind ask for it"
    return queue.settle(request.scope) if isinstance(request, Settle) else queue.submit(request)


def _list_steps(page: ScanPage, nodes: list[str]) -> list[tuple[str, tuple[Any, ...]]]:
    """Each node that has more, with the command that goes on there."""
    cursors = dict.fromkeys(nodes, 0) if page.cursors is None else page.cursors
    return [
        (node, ("SCAN", cursors[node], "MATCH", page.pattern.encode(), "COUNT", page.count))
        for node in nodes
        if node in cursors
    ]


def _take_step(node: str, reply: Any, cursors: dict[str, int], found: list[bytes]) -> None:
    cursor, keys = reply
    # A cluster client gives {node: cursor}, even where one node was asked.
    if isinstance(cursor, dict):
        (cursor,) = cursor.values()
    found += keys
    if int(cursor):
        cursors[node] = int(cursor)


def _scan(
    page: ScanPage, exchanges: Exchanges, counters: Counters
) -> tuple[dict[str, int], list[bytes]]:
    cursors: dict[str, int] = {}
    found: list[bytes] = []
    for node, command in _list_steps(page, exchanges.list_nodes()):
        counters.round_trips += 1
        _take_step(node, exchanges.send(command, node), cursors, found)
    return cursors, found


async def _ascan(
    page: ScanPage, exchanges: AsyncExchanges, counters: Counters
) -> tuple[dict[str, int], list[bytes]]:
    cursors: dict[str, int] = {}
    found: list[bytes] = []
    for node, command in _list_steps(page, await exchanges.list_nodes()):
        counters.round_trips += 1
        _take_step(node, await exchanges.send(command, node), cursors, found)
    return cursors, found


class RunFlow(Protocol):
    """Runs a flow on a sync client."""

    def __call__(self, flow: Flow[T]) -> T: ...
