"""Flows around flows: who stands between a flow and its driver."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from langchain_redis_session._flow.requests import Flow, Request, ScanPage, T
from langchain_redis_session.errors import RedisSessionError


def intercept(flow: Flow[T], answer: Callable[[Request], Flow[Any]]) -> Flow[T]:
    """Run a flow whose requests another one answers, or passes on.

    >>> def flow():
    ...     return [(yield ("GET", b"k")), (yield ("PING",))]
    >>> def answer(request):
    ...     return b"pong" if request == ("PING",) else (yield request)
    >>> intercepted = intercept(flow(), answer)
    >>> next(intercepted)
    ('GET', b'k')
    >>> try:
    ...     intercepted.send(b"v")
    ... except StopIteration as stop:
    ...     print(stop.value)
    [b'v', b'pong']
    """
    reply: Any = None
    error: Exception | None = None
    try:
        while True:
            request = flow.send(reply) if error is None else flow.throw(error)
            reply, error = None, None
            try:
                reply = yield from answer(request)
            except Exception as raised:
                error = raised
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]
    finally:
        flow.close()


def cut_off(flow: Flow[T], error: RedisSessionError) -> Flow[T]:
    """Let all that a flow asks of Redis fail; who watches it, or queues its writes, goes on.

    >>> def flow():
    ...     try:
    ...         yield ("GET", b"k")
    ...     except RedisSessionError as error:
    ...         return str(error)
    >>> try:
    ...     next(cut_off(flow(), RedisSessionError("no server")))
    ... except StopIteration as stop:
    ...     print(stop.value)
    no server
    """

    def answer(request: Request) -> Flow[Any]:
        if isinstance(request, (tuple, list, ScanPage)):
            raise error
        return (yield request)

    return intercept(flow, answer)
