"""The errors of redis-py, as ours."""

from __future__ import annotations

import re

from redis import exceptions as redis_errors

from langchain_redis_session._flow.advice import UNKNOWN, Origin
from langchain_redis_session._flow.scripts import ScriptMissingError
from langchain_redis_session.errors import BackendUnavailableError, RedisSessionError

CLIENT_ERRORS = (
    RedisSessionError,
    redis_errors.RedisError,
    redis_errors.RedisClusterException,
    OSError,
)

_UNAVAILABLE = (
    redis_errors.ConnectionError,
    redis_errors.TimeoutError,
    redis_errors.ClusterError,
    redis_errors.ReadOnlyError,
    redis_errors.OutOfMemoryError,
    redis_errors.TryAgainError,
    redis_errors.AskError,  # MovedError too
    redis_errors.RedisClusterException,
    OSError,
)
_STUMBLES = (AttributeError, KeyError, IndexError)
# How a server's refusal begins that time or an operator can heal; inside a script's error too.
_REFUSALS = r"\b(BUSY|CLUSTERDOWN|LOADING|MASTERDOWN|MISCONF|NOREPLICAS|OOM|READONLY|UNBLOCKED)\b"


def is_of_client(error: Exception) -> bool:
    """Whether redis-py has raised it."""
    return isinstance(error, CLIENT_ERRORS) or is_stumble(error)


def is_stumble(error: Exception) -> bool:
    """Whether redis-py fell over its own feet.

    Its async clients of clusters close, when a node is gone, also those connections that other
    tasks are just about to write to: `'NoneType' object has no attribute 'writelines'`.
    """
    if not isinstance(error, _STUMBLES):
        return False
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    name = trace.tb_frame.f_globals.get("__name__", "") if trace is not None else ""
    return str(name).partition(".")[0] == "redis"


def translate_error(error: Exception, origin: Origin = UNKNOWN) -> RedisSessionError:
    """Give the error of our tree for one of redis-py; the cause is kept.

    Args:
        error: Of redis-py.
        origin: Where the client comes from.
    """
    ours: RedisSessionError
    if isinstance(error, RedisSessionError):  # write-behind's; some of them are OSErrors too
        return error
    if isinstance(error, redis_errors.NoScriptError):
        return ScriptMissingError(str(error))
    advice = origin.advise(f"{type(error).__name__} {error}")
    if isinstance(error, (*_UNAVAILABLE, *_STUMBLES)) or re.search(_REFUSALS, str(error)[:300]):
        advice = advice or "check that the server runs, can be reached, and accepts writes"
        ours = BackendUnavailableError(
            f"Redis did not take the command ({type(error).__name__}: {_tell(error)}); {advice}"
        )
    else:
        ours = RedisSessionError(
            f"Redis refused the command: {_tell(error)}" + (advice and f"; {advice}")
        )
    ours.__cause__ = error
    return ours


def _tell(error: Exception) -> str:
    """Give an error's text without the clients that redis-py writes out in it, of 2 kB each."""
    return re.sub(r"<redis\..*>", "<…>", str(error), flags=re.DOTALL)
