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
the list of replies, in which an error stands as a value), or a `ScanPage`. Replies are raw:
bytes, ints, None and lists of them. Errors are thrown in at the `yield`, already of our tree.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any, TypeAlias, TypeVar

from langchain_redis_session.errors import RedisSessionError

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


Request: TypeAlias = "Command | list[Command] | ScanPage"
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
        return ("EVAL", self.source, len(keys), *keys, *args)


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


def call_batch(calls: Sequence[ScriptCall | Command]) -> Flow[list[Any]]:
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
