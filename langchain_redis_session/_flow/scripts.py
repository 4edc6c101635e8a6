"""Lua scripts in flows: called by their SHA-1, sent whole only where the server lacks them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

from langchain_redis_session._flow.requests import Argument, Command, Flow, Wait
from langchain_redis_session.errors import RedisSessionError


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


def _load_all() -> None:
    for file in (files("langchain_redis_session") / "scripts").iterdir():
        name, _, ending = file.name.rpartition(".")
        if ending == "lua" and not name.startswith("_"):
            load_script(name)


_load_all()  # now: where they are used, an event loop may run, which must not wait for files


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
