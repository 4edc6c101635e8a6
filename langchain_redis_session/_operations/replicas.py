"""Acknowledging a write only when replicas have it, too."""

from __future__ import annotations

from typing import TypeVar

from langchain_redis_session._flow.requests import Flow, Wait
from langchain_redis_session._flow.scripts import ScriptCall, ScriptMissingError
from langchain_redis_session._operations.context import Context
from langchain_redis_session._operations.lifetime import refresh_lifetime
from langchain_redis_session.errors import BackendUnavailableError, RedisSessionError
from langchain_redis_session.models import SessionKey
from langchain_redis_session.scripts.replies import Appended, Fate, Status

R = TypeVar("R")


def call_append(context: Context, key: SessionKey, call: ScriptCall[Appended]) -> Flow[Appended]:
    """Run a script that appends; with `wait_replicas`, WAIT for them in the same round trip.

    Raises:
        BackendUnavailableError: Too few replicas have it. It is written, and may be sent again.
    """
    options = context.options
    if not options.wait_replicas:
        return (yield from call)
    wait = Wait(call.keys[0], options.wait_replicas, max(1, round(options.wait_timeout * 1000)))
    reply, confirmed = yield from _call_and_wait(call, wait)
    if reply.status is not Status.OK:
        return reply
    if reply.fates and Fate.FRESH not in reply.fates:
        # A try before this one has written it, on another connection: a write of ours makes
        # WAIT speak about that one too.
        _, confirmed = yield from _call_and_wait(refresh_lifetime(context, key), wait)
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


def _call_and_wait(call: ScriptCall[R], wait: Wait) -> Flow[tuple[R, int | RedisSessionError]]:
    """Run a script with a WAIT behind it; gives both replies.

    Where the server lacked the script, the WAIT has seen no write: the source gets its own.
    """
    reply, confirmed = yield [call.by_sha(), wait]
    if isinstance(reply, ScriptMissingError):
        reply, confirmed = yield [call.by_source(), wait]
    if isinstance(reply, RedisSessionError):
        raise reply
    return call.parse(reply), confirmed
