"""Commands out on a connection, their replies in: what an exchange is once it has one."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from typing import Any

import redis

from langchain_redis_session._flow.requests import Command

try:
    from hiredis import pack_command
except ImportError:
    pack_command = None  # type: ignore[assignment]

_numbers = itertools.count()


def talk(connection: Any, commands: Sequence[Command]) -> list[Any]:
    """Send commands, and read their replies; the server's errors stand among them."""
    start_talk(connection, commands)
    return finish_talk(connection, commands)


def talk_briefly(connection: Any, commands: Sequence[Command]) -> list[Any]:
    """Likewise, without redis-py's own packing: on a connection that has no other."""
    if len(commands) == 1:
        (command,) = commands
        connection.send_packed_command((pack(connection, command),))
        return [shape(command, _read(connection))]
    connection.send_packed_command((b"".join([pack(connection, c) for c in commands]),))
    return finish_talk(connection, commands)


def start_talk(connection: Any, commands: Sequence[Command]) -> None:
    """Send commands."""
    connection.send_packed_command(_pack_all(connection, commands))


def finish_talk(connection: Any, commands: Sequence[Command]) -> list[Any]:
    """Read their replies."""
    return [shape(command, _read(connection)) for command in commands]


def _pack_all(connection: Any, commands: Sequence[Command]) -> Any:
    if len(commands) == 1:
        return connection.pack_command(*commands[0])
    return connection.pack_commands(commands)


def shape(command: Command, reply: Any) -> Any:
    """Give a hash as a mapping, which in RESP2 is a list; redis-py's clients do so."""
    if command[0] == "HGETALL" and isinstance(reply, list):
        return dict(zip(reply[::2], reply[1::2], strict=True))
    return reply


def _read(connection: Any) -> Any:
    try:
        return connection.read_response(disable_decoding=True)
    except redis.ResponseError as error:
        return error


async def atalk(connection: Any, commands: Sequence[Command]) -> list[Any]:
    """Likewise, on an async connection."""
    await connection.send_packed_command(_pack_all(connection, commands))
    return [shape(command, await _aread(connection)) for command in commands]


async def _aread(connection: Any) -> Any:
    try:
        return await connection.read_response(disable_decoding=True)
    except redis.ResponseError as error:
        return error


def pack(connection: Any, command: Command) -> bytes:
    """Give the bytes that are sent for a command."""
    if pack_command is not None:
        packed: bytes = pack_command(command)  # type: ignore[arg-type]
        return packed
    return b"".join(connection.pack_command(*command))


def make_proof() -> tuple[Command, bytes]:
    """A command, and its reply, which no other has.

    At the end of a batch it shows whose the replies are: where one was left over on the
    connection, each is that of the command before, and the last is not this.
    """
    token = b"%d-%d" % (os.getpid(), next(_numbers))
    return ("ECHO", token), token


def check_proof(replies: list[Any], token: bytes) -> list[Any]:
    """Give the replies without that of the proof.

    Raises:
        ConnectionError: They are another exchange's.
    """
    *others, last = replies
    is_forbidden = isinstance(last, redis.exceptions.NoPermissionError) and "'echo'" in str(last)
    if last != token and not is_forbidden:
        raise redis.ConnectionError(
            "the replies were those of an exchange that somebody had interrupted; the "
            "connection was closed"
        )
    return others
