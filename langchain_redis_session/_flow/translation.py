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


def translate_error(error: Exception) -> RedisSessionError:
    """Give the error of our tree for one of redis-py; the cause is kept."""
    ours: RedisSessionError
    if isinstance(error, RedisSessionError):  # write-behind's; some of them are OSErrors too
        return error
    if isinstance(error, redis_errors.NoScriptError):
        return ScriptMissingError(str(error))
    advice = _advise(f"{type(error).__name__} {error}")
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


PERMISSIONS = (
    "+@hash +@set +@sortedset +@string +del +unlink +exists +pttl +pexpire +persist +time +scan "
    "+eval +evalsha +wait +ping +echo +select +client|setname +cluster|slots +command +readonly "
    "+asking"
)
"""What a user of the server must be allowed to do, as `ACL SETUSER` takes it."""

# How errors tell that something is wrong which the caller can mend, and what to do.
_ADVICE = (
    (
        "noauth|authentication required|client already authenticated",
        "the server asks for a password: write it into the URL, percent-encoded "
        "(redis://user:password@host), or pass password=; for Sentinels sentinel_password=",
    ),
    (
        "without any password configured|no password is set",
        "the server knows no password for this user; leave it out, or name the user",
    ),
    (
        "wrongpass|invalid (username-)?password|authenticationerror",
        "check the user and the password (in a URL, percent-encoded; of Sentinels, "
        "sentinel_username= and sentinel_password=)",
    ),
    (
        "noperm|no permissions? to (access|run)|acl failure|can't run this command",
        "the user may not do that; allow it, as an administrator of the server: ACL SETUSER "
        f"<user> ~<key_prefix>:* {PERMISSIONS}. What a script wrote before it was stopped "
        "stays written; the same append may be sent again",
    ),
    (
        r"\bmoved(error)?\b",
        "that server is a node of a Redis Cluster: write redis+cluster://host:port, or give "
        "a redis.RedisCluster as client=",
    ),
    (
        "cluster mode is not enabled|cluster support disabled",
        "that server is no node of a cluster; write redis://host:port",
    ),
    (
        "unknown command .?sentinel",
        "that server is no Sentinel; write redis://host:port, or the Sentinels' port "
        "(commonly 26379)",
    ),
    (
        "db index is out of range|invalid db index",
        "the server has no database of this number (commonly there are 0 to 15; in a cluster "
        "only 0); write another behind the / in the URL, or as db=",
    ),
    (
        "unknown command .?evalsha",
        "the server has no EVALSHA; pass use_evalsha=False, which sends scripts with EVAL",
    ),
    (
        r"unknown command .?eval\b",
        "the server has no EVAL, and nothing can be stored safely without scripts",
    ),
    (
        r"wrong_version_number|wrong version number|record layer failure",
        "that port speaks no TLS; write redis:// in place of rediss://",
    ),
    (
        "certificate_verify_failed|certificate verify failed",
        "the server's certificate is not of an authority known here, or is another host's: "
        "pass ssl_ca_certs=, and use the host's name as in the certificate",
    ),
    (
        "certificate_required|certificate required|bad certificate",
        "the server asks for a certificate: pass ssl_certfile= and ssl_keyfile=",
    ),
    (
        "connection closed by server|connection reset|timeout connecting",
        "check that the server runs, can be reached, and accepts writes, and whether it wants "
        "TLS (rediss://)",
    ),
    (
        "masternotfounderror|no master found",
        "no Sentinel could be reached that knows a primary of this name; check the "
        "Sentinels' hosts and the name after the / in the URL",
    ),
)


def _advise(text: str) -> str:
    found = (advice for pattern, advice in _ADVICE if re.search(pattern, text, re.IGNORECASE))
    return next(found, "")
