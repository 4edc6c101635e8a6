"""The errors of redis-py, as ours."""

from __future__ import annotations

import re

from redis import exceptions as redis_errors

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
# How a server's refusal begins that time or an operator can heal; inside a script's error too.
_REFUSALS = re.compile(
    r"\b(BUSY|CLUSTERDOWN|LOADING|MASTERDOWN|MISCONF|NOREPLICAS|OOM|READONLY|UNBLOCKED)\b"
)


def translate_error(error: Exception) -> RedisSessionError:
    """Give the error of our tree for one of redis-py; the cause is kept."""
    ours: RedisSessionError
    if isinstance(error, RedisSessionError):  # write-behind's; some of them are OSErrors too
        return error
    if isinstance(error, redis_errors.NoScriptError):
        return ScriptMissingError(str(error))
    if isinstance(error, _UNAVAILABLE) or _REFUSALS.search(str(error)[:300]):
        ours = BackendUnavailableError(
            f"Redis did not take the command ({type(error).__name__}: {error}); check that the "
            "server runs, can be reached, and accepts writes"
        )
    else:
        ours = RedisSessionError(f"Redis refused the command: {error}")
    ours.__cause__ = error
    return ours
