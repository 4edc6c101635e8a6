"""Flows: operations on Redis as generators, without I/O.

A flow yields what it wants from Redis and receives the reply; it opens no connection,
reads no clock and makes no id. A driver (`run` or `arun` of `_flow.drivers`) carries the
requests to a client, so that sync and async callers share one body:

>>> def count_and_drop(key: bytes) -> Flow[int]:
...     size, _ = yield [("ZCARD", key), ("DEL", key)]
...     return size
>>> flow = count_and_drop(b"k")
>>> next(flow)
[('ZCARD', b'k'), ('DEL', b'k')]
>>> try:
...     flow.send([3, 1])
... except StopIteration as stop:
...     print(stop.value)
3

A request is one command (a tuple), a batch of them (a list: one round trip; its reply is
the list of replies, in which an error stands as a value) or a `ScanPage`; or what is not Redis's
to answer: a `Call` of somebody else's code, what write-behind or who counts has to know. Replies
are raw: bytes, ints, None and lists of them. Errors are thrown in at the `yield`, already of our
tree; those of a `Call` as they are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from langchain_redis_session.models import SessionKey

Argument: TypeAlias = "bytes | str | int"
Command: TypeAlias = "tuple[Argument, ...]"


class Apart(tuple[Argument, ...]):
    """A command that goes on a connection of its own, since its reply may be long.

    On one that several tasks share it would hold up the others.
    """

    __slots__ = ()


MANY = 200
"""A reply with more entries than that is long."""


def set_apart(command: Command, count: int) -> Command:
    """Give a command whose reply has so many entries; apart from others where they are many.

    >>> type(set_apart(("ZRANGE", "k", 0, 49), 50)).__name__
    'tuple'
    >>> type(set_apart(("ZRANGE", "k", 0, 4999), 5000)).__name__
    'Apart'
    """
    return Apart(command) if count > MANY else command


@dataclass(slots=True, eq=False)
class ScanPage:
    """One step of a SCAN over every primary.

    Attributes:
        pattern: The glob that keys must match.
        cursors: What the last step replied, None to start.

    Its reply is `(cursors, keys)`; cursors are empty when all has been seen.
    """

    pattern: str
    cursors: Mapping[str, int] | None = None
    count: int = 1000


Scope: TypeAlias = "tuple[str, ...]"
"""Whose data: `(app,)`, `(app, user)` or `(app, user, session)`; `()` for everybody's."""


@dataclass(slots=True, eq=False)
class Settle:
    """Wait until the appends that write-behind has accepted in a scope are in Redis."""

    scope: Scope


@dataclass(slots=True, eq=False)
class Wait:
    """In a batch, right after a write: WAIT for replicas to have it.

    On another connection it would confirm nothing, so it goes to the node of the write's key.
    Its reply is how many replicas have it.
    """

    key: bytes
    replicas: int
    timeout_ms: int


@dataclass(slots=True, eq=False)
class Submit:
    """Let write-behind append to a session; replied to once it is accepted.

    `on_settled` is called in a worker's thread when it is in Redis (with None) or given up
    (with the error); `on_given_up` then with the `DeadLetter`.
    """

    key: SessionKey
    write: Any
    on_settled: Callable[[Exception | None], Any] | None = None
    on_given_up: Callable[[Any], Any] | None = None


@dataclass(slots=True, eq=False)
class Unreadable:
    """Take note of entries that can't be read, and are skipped.

    Attributes:
        session: Whose they are; None where the key is several sessions'.
        key: The key that they stand under.
        what: What each of them is.
        count: How many they are.
    """

    session: SessionKey | None
    key: bytes
    what: str = "an entry"
    count: int = 1


@dataclass(slots=True, eq=False)
class Call:
    """Call code that is not ours, such as a hook or a model; its reply is what that returns.

    Attributes:
        function: What the sync driver calls.
        async_function: What the async driver calls and awaits.
    """

    function: Callable[[], Any]
    async_function: Callable[[], Awaitable[Any]]


Request: TypeAlias = (
    "Command | list[Command | Wait] | ScanPage | Settle | Submit | Unreadable | Call"
)
T = TypeVar("T")
Flow: TypeAlias = Generator[Request, Any, T]


def off_loop(function: Callable[[], T]) -> Flow[T]:
    """Call what may take its time; in async code it does not hold the event loop."""
    result: T = yield Call(function, lambda: asyncio.to_thread(function))
    return result


async def _let_others_run() -> None:
    await asyncio.sleep(0)


TAKE_TURNS = Call(lambda: None, _let_others_run)
"""In async code, other tasks have their turn; quicker than to hand work to a thread."""

LARGE_BYTES = 64 * 1024


def compute(function: Callable[[], T], size_bytes: int, quick_bytes: int = LARGE_BYTES) -> Flow[T]:
    """Call what takes the longer the more bytes it reads or writes.

    Up to `quick_bytes` that is quicker than to hand it to a thread; beyond, async code does so.

    >>> next(compute(lambda: 7, 100))
    Traceback (most recent call last):
    StopIteration: 7
    >>> type(next(compute(lambda: 7, 100_000))).__name__
    'Call'
    """
    if size_bytes <= quick_bytes:
        return function()
    return (yield from off_loop(function))
