"""Lua scripts in flows: called by their SHA-1, sent whole only where the server lacks them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Generic, NamedTuple, TypeVar

from langchain_redis_session._flow.interception import intercept
from langchain_redis_session._flow.requests import Argument, Command, Flow, Request, set_apart
from langchain_redis_session.errors import RedisSessionError


class ScriptMissingError(RedisSessionError):
    """The server does not have the script cached (NOSCRIPT). Never leaves a flow."""


class Script(NamedTuple):
    """A Lua script and the SHA-1 that EVALSHA calls it by."""

    source: str
    sha: str


@cache
def load_script(name: str) -> Script:
    """Read `scripts/{name}.lua`, with the files that its `--#include` lines name."""
    source = re.sub(r"--#include (\w+)\n", lambda line: _read(line[1]), _read(name))
    encoded = source.encode()
    script = Script(source, hashlib.sha1(encoded, usedforsecurity=False).hexdigest())
    _sources[script.sha] = encoded
    return script


@cache
def _read(name: str) -> str:
    return (_folder / f"{name}.lua").read_text("utf-8")


_folder = files("langchain_redis_session") / "scripts"
_sources: dict[str, bytes] = {}


def _load_all() -> None:
    for file in _folder.iterdir():
        name, _, ending = file.name.rpartition(".")
        if ending == "lua" and not name.startswith("_"):
            load_script(name)


_load_all()  # now: where they are used, an event loop may run, which must not wait for files


R = TypeVar("R")


def send_sources(flow: Flow[R]) -> Flow[R]:
    """Let a flow send its scripts whole, for servers that forbid EVALSHA.

    >>> flow = send_sources(iter(ScriptCall("find_event", [b"k"], ["x", 1], lambda reply: reply)))
    >>> next(flow)[0]
    'EVAL'
    """
    return intercept(flow, _answer_with_sources)


def _answer_with_sources(request: Request) -> Flow[Any]:
    if isinstance(request, list):
        return (yield [_to_source(command) for command in request])
    return (yield _to_source(request))


def _to_source(request: Any) -> Any:
    is_call = isinstance(request, tuple) and request[0] == "EVALSHA"
    return with_source(request) if is_call else request


def with_source(command: Command) -> Command:
    """Give a call of a script with its source in place of its SHA-1."""
    kind = type(command)  # apart or not
    return kind(("EVAL", _sources[str(command[1])], *command[2:]))


@dataclass(slots=True, eq=False)
class ScriptCall(Generic[R]):
    """A call of a script, and what makes its reply a named tuple.

    In a flow, `yield from call` runs it and gives that; in a batch it stands as it is.

    >>> call = ScriptCall("find_event", [b"k"], ["x", 1], lambda reply: reply[0])
    >>> flow = iter(call)
    >>> next(flow)[0]
    'EVALSHA'
    >>> flow.throw(ScriptMissingError())[0]
    'EVAL'
    """

    name: str
    keys: Sequence[bytes]
    args: Sequence[Argument]
    parse: Callable[[list[Any]], R]
    most: int = 0
    """How many entries its reply may bring, where these may be many."""

    def by_sha(self) -> Command:
        """The command that runs it if the server has the script."""
        sha = load_script(self.name).sha
        return set_apart(("EVALSHA", sha, len(self.keys), *self.keys, *self.args), self.most)

    def by_source(self) -> Command:
        """The command that runs it, and leaves the script with the server."""
        # As bytes: the client may have another encoding than UTF-8.
        source = load_script(self.name).source.encode()
        return set_apart(("EVAL", source, len(self.keys), *self.keys, *self.args), self.most)

    def __iter__(self) -> Flow[R]:
        try:
            reply = yield self.by_sha()
        except ScriptMissingError:
            reply = yield self.by_source()
        return self.parse(reply)


def call_batch(calls: Sequence[ScriptCall[Any] | Command]) -> Flow[list[Any]]:
    """Run scripts and commands in one round trip; gives what each replies.

    Raises:
        RedisSessionError: The first error among the replies.
    """
    replies: list[Any] = yield [
        call.by_sha() if isinstance(call, ScriptCall) else call for call in calls
    ]
    missing = [
        (place, call.by_source())
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
    return [
        call.parse(reply) if isinstance(call, ScriptCall) else reply
        for call, reply in zip(calls, replies, strict=True)
    ]
