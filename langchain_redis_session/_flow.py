"""Flows: operations on Redis as generators, without I/O.

A flow yields what it wants from Redis and receives the reply; it opens no connection,
reads no clock and makes no id. A driver (`_drivers.run`, `_drivers.arun`) carries the
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
the list of replies, in which an error stands as a value), a `ScanPage`, or a `Call` of somebody
else's code. Replies are raw: bytes, ints, None and lists of them. Errors are thrown in at the
`yield`, already of our tree; those of a `Call` as they are.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Awaitable, Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any, TypeAlias, TypeVar

from langchain_redis_session.errors import RedisSessionError
from langchain_redis_session.models import SessionKey

Argument: TypeAlias = "bytes | str | int"
Command: TypeAlias = "tuple[Argument, ...]"


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
class Settle:
    """Wait until the appends that write-behind has accepted in a scope are in Redis."""

    scope: Scope


@dataclass(frozen=True, slots=True)
class Wait:
    """In a batch, right after a write: WAIT for replicas to have it.

    On another connection it would confirm nothing, so it goes to the node of the write's key.
    Its reply is how many replicas have it.
    """

    key: bytes
    replicas: int
    timeout_ms: int


@dataclass(frozen=True, slots=True)
class Submit:
    """Let write-behind append to a session; replied to once it is accepted.

    `on_settled` is called in a worker's thread when it is in Redis (with None) or given up
    (with the error); `on_given_up` then with the `DeadLetter`.
    """

    key: SessionKey
    write: Any
    on_settled: Callable[[Exception | None], Any] | None = None
    on_given_up: Callable[[Any], Any] | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """Call code that is not ours, such as a hook or a model; its reply is what that gives.

    Attributes:
        function: What the sync driver calls.
        async_function: What the async driver calls and awaits.
    """

    function: Callable[[], Any]
    async_function: Callable[[], Awaitable[Any]]


Request: TypeAlias = "Command | list[Command | Wait] | ScanPage | Settle | Submit | Call"
T = TypeVar("T")
Flow: TypeAlias = Generator[Request, Any, T]


class ScriptMissingError(RedisSessionError):
    """The server does not have the script cached (NOSCRIPT). Never leaves a flow."""


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script and the SHA-1 that EVALSHA calls it by."""

    source: str
    sha: str = field(init=False)

    def __post_init__(self) -> None:
        digest = hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()
        object.__setattr__(self, "sha", digest)

    def by_sha(self, keys: Sequence[bytes], args: Iterable[Argument]) -> Command:
        """The command that runs it if the server has it."""
        return ("EVALSHA", self.sha, len(keys), *keys, *args)

    def by_source(self, keys: Sequence[bytes], args: Iterable[Argument]) -> Command:
        """The command that runs it, and leaves it with the server."""
        # As bytes: the client may have another encoding than UTF-8.
        return ("EVAL", self.source.encode(), len(keys), *keys, *args)


@cache
def load_script(name: str) -> Script:
    """Read `scripts/{name}.lua`, with the files that its `--#include` lines name."""
    folder = files("langchain_redis_session") / "scripts"

    def include(match: re.Match[str]) -> str:
        return (folder / f"{match[1]}.lua").read_text("utf-8")

    text = (folder / f"{name}.lua").read_text("utf-8")
    return Script(re.sub(r"^--#include (\w+)$", include, text, flags=re.MULTILINE))


def call_script(name: str, keys: Sequence[bytes], args: Sequence[Argument]) -> Flow[Any]:
    """Run a script; send its source only where the server lacks it.

    >>> flow = call_script("find_event", [b"k"], ["x", 1])
    >>> next(flow)[0]
    'EVALSHA'
    >>> flow.throw(ScriptMissingError())[0]
    'EVAL'
    """
    script = load_script(name)
    try:
        return (yield script.by_sha(keys, args))
    except ScriptMissingError:
        return (yield script.by_source(keys, args))


@dataclass(frozen=True, slots=True)
class ScriptCall:
    """A script with its keys and arguments, for a batch."""

    name: str
    keys: Sequence[bytes]
    args: Sequence[Argument]


def call_batch(calls: Sequence[ScriptCall | Command | Wait]) -> Flow[list[Any]]:
    """Run scripts and commands in one round trip.

    Raises:
        RedisSessionError: The first error among the replies.
    """
    replies: list[Any] = yield [
        load_script(call.name).by_sha(call.keys, call.args)
        if isinstance(call, ScriptCall)
        else call
        for call in calls
    ]
    missing = [
        (place, load_script(call.name).by_source(call.keys, call.args))
        for place, (call, reply) in enumerate(zip(calls, replies, strict=True))
        if isinstance(call, ScriptCall) and isinstance(reply, ScriptMissingError)
    ]
    if missing:
        again = yield [command for _, command in missing]
        for (place, _), reply in zip(missing, again, strict=True):
            replies[place] = reply
    for reply in replies:
        if isinstance(reply, RedisSessionError):
            raise reply
    return replies


def gather(flows: Sequence[Flow[T]]) -> Flow[list[T | RedisSessionError]]:
    """Run flows side by side: what they ask for at the same time is one round trip.

    Each flow's result stands in its place, or the error that ended it.

    >>> both = gather(
    ...     [call_script("find_event", [b"a"], []), call_script("find_event", [b"b"], [])]
    ... )
    >>> len(next(both))
    2
    >>> try:
    ...     both.send([["one"], RedisSessionError("no")])
    ... except StopIteration as stop:
    ...     print(stop.value)
    [['one'], RedisSessionError('no')]
    """
    results: list[Any] = [None] * len(flows)
    waiting: dict[int, Command | list[Command | Wait]] = {}

    def advance(place: int, reply: Any) -> None:
        flow = flows[place]
        try:
            is_error = isinstance(reply, RedisSessionError)
            request = flow.throw(reply) if is_error else flow.send(reply)
        except StopIteration as stop:
            results[place] = stop.value
        except RedisSessionError as error:
            results[place] = error
        else:
            assert isinstance(request, (tuple, list)), "only commands can share a round trip"
            waiting[place] = request

    for place in range(len(flows)):
        advance(place, None)
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
                advance(place, error)
            continue
        for place, request in asked.items():
            if isinstance(request, list):
                advance(place, [next(replies) for _ in request])
            else:
                advance(place, next(replies))
    return results
