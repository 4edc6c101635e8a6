"""Acknowledging a write only when replicas have it, too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_redis_session._flow.requests import Argument, Flow, Wait
from langchain_redis_session._flow.scripts import (
    ScriptCall,
    ScriptMissingError,
    call_script,
    load_script,
)
from langchain_redis_session._operations.context import Context
from langchain_redis_session._operations.window import refresh_call
from langchain_redis_session.errors import BackendUnavailableError, RedisSessionError
from langchain_redis_session.models import SessionKey

_FRESH = 1


def call_write(
    context: Context,
    key: SessionKey,
    script: str,
    keys: Sequence[bytes],
    args: Sequence[Argument],
) -> Flow[Any]:
    """Run a script that appends; with `wait_replicas`, WAIT for them in the same round trip.

    Raises:
        BackendUnavailableError: Too few replicas have it. It is written, and may be sent again.
    """
    options = context.options
    if not options.wait_replicas:
        return (yield from call_script(script, keys, args))
    wait = Wait(keys[0], options.wait_replicas, max(1, round(options.wait_timeout * 1000)))
    reply, confirmed = yield from _call_and_wait(ScriptCall(script, keys, args), wait)
    if reply[0] != b"OK":
        return reply
    fates = reply[3]
    if fates and _FRESH not in fates:
        # A try before this one has written it, on another connection: a write of ours makes
        # WAIT speak about that one too.
        _, confirmed = yield from _call_and_wait(refresh_call(context, key), wait)
    if isinstance(confirmed, RedisSessionError):
        raise BackendUnavailableError(
            "the primary has the write, but its replicas could not be waited for (wait_replicas): "
            f"{confirmed}; sending it again does not double it"
        ) from confirmed
    if confirmed < options.wait_replicas:
        raise BackendUnavailableError(
            f"only {confirmed} of {options.wait_replicas} replicas (wait_replicas) had the write "
            f"after {options.wait_timeout} s; the primary has it, and sending it again does not "
            "double it"
        )
    return reply


def _call_and_wait(call: ScriptCall, wait: Wait) -> Flow[tuple[Any, int | RedisSessionError]]:
    """Run a script with a WAIT behind it; gives both replies.

    Where the server lacked the script, the WAIT has seen no write: the source gets its own.
    """
    script = load_script(call.name)
    reply, confirmed = yield [script.by_sha(call.keys, call.args), wait]
    if isinstance(reply, ScriptMissingError):
        reply, confirmed = yield [script.by_source(call.keys, call.args), wait]
    if isinstance(reply, RedisSessionError):
        raise reply
    return reply, confirmed
