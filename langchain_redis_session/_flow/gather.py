"""Flows run side by side: what they ask for at the same time is one round trip."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_redis_session._flow.requests import Call, Command, Flow, T, Unreadable, Wait
from langchain_redis_session.errors import RedisSessionError


def gather_all(flows: Sequence[Flow[T]]) -> Flow[list[T]]:
    """As `gather`, for flows that all have to succeed.

    Raises:
        RedisSessionError: The error of the first that did not.
    """
    results: list[T] = []
    for result in (yield from gather(flows)):
        if isinstance(result, RedisSessionError):
            raise result
        results.append(result)
    return results


def gather(flows: Sequence[Flow[T]]) -> Flow[list[T | RedisSessionError]]:
    """Run flows side by side: what they ask for at the same time is one round trip.

    Each flow's result stands in its place, or the error that ended it.

    >>> def size(key: bytes) -> Flow[int]:
    ...     return (yield ("ZCARD", key))
    >>> both = gather([size(b"a"), size(b"b")])
    >>> next(both)
    [('ZCARD', b'a'), ('ZCARD', b'b')]
    >>> try:
    ...     both.send([3, RedisSessionError("no")])
    ... except StopIteration as stop:
    ...     print(stop.value)
    [3, RedisSessionError('no')]
    """
    results: list[Any] = [None] * len(flows)
    waiting: dict[int, Command | list[Command | Wait]] = {}

    def advance(place: int, reply: Any) -> Flow[None]:
        flow = flows[place]
        try:
            is_error = isinstance(reply, RedisSessionError)
            request = flow.throw(reply) if is_error else flow.send(reply)
            while isinstance(request, (Call, Unreadable)):  # which are not for Redis
                try:
                    answer = yield request
                except Exception as error:
                    request = flow.throw(error)
                else:
                    request = flow.send(answer)
        except StopIteration as stop:
            results[place] = stop.value
        except RedisSessionError as error:
            results[place] = error
        else:
            assert isinstance(request, (tuple, list)), "only commands can share a round trip"
            waiting[place] = request

    for place in range(len(flows)):
        yield from advance(place, None)
    while waiting:
        asked = dict(waiting)
        waiting.clear()
        batch: list[Command | Wait] = []
        for request in asked.values():
            batch += request if isinstance(request, list) else [request]
        try:
            replies = iter((yield batch))
        except RedisSessionError as error:
            for place in asked:
                yield from advance(place, error)
            continue
        for place, request in asked.items():
            if isinstance(request, list):
                yield from advance(place, [next(replies) for _ in request])
            else:
                yield from advance(place, next(replies))
    return results
