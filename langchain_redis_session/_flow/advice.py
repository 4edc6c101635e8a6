"""What to do about an error of redis-py, as far as whoever meets it can mend it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

PERMISSIONS = (
    "+@hash +@set +@sortedset +@string +del +unlink +exists +pttl +pexpire +persist +time +scan "
    "+eval +evalsha +wait +ping +echo +select +client|setname +cluster|slots +command +readonly "
    "+asking"
)
"""What a user of the server must be allowed to do, as `ACL SETUSER` takes it."""


@dataclass(frozen=True)
class Origin:
    """Where a client comes from, which decides what its user can change.

    Attributes:
        scheme: Of its URL; of a client that was handed in, redis or rediss; "" = unknown.
        maker: Who passes it its options.
    """

    scheme: str = ""
    maker: Literal["service", "instance", "caller"] = "service"

    def advise(self, text: str) -> str:
        """What to do about an error with this text; "" where nothing is known."""
        found = (advice for pattern, advice in _ADVICE if re.search(pattern, text, re.IGNORECASE))
        return next(found, "").format_map(self._words())

    def _words(self) -> dict[str, str]:
        if self.maker == "caller":
            words = {
                "log_in": "",
                "credentials": "username= and password= of the client",
                "database": "",
                "pass": "make the client with",
                "to": "",
            }
        else:
            server = "/path" if self.scheme == "unix" else "host"
            url = f"{self.scheme or 'redis'}://user:password@{server}"
            to = (
                " to register_redis_instance"
                if self.maker == "instance"
                else " (to a service in extra_options=)"
            )
            words = {
                "log_in": f"write it into the URL, percent-encoded ({url}), or ",
                "credentials": f"the user and the password, percent-encoded in the URL ({url}), or "
                f"username= and password={to}",
                "database": "write another behind the / in the URL, or ",
                "pass": "pass",
                "to": to,
            }
        is_sentinel = "sentinel" in self.scheme
        return words | {
            "sentinels": "; for Sentinels sentinel_username= and sentinel_password="
            if is_sentinel
            else "",
            "speaking": self._tell_of_tls("they" if is_sentinel else "it"),
            "without_tls": self._tell_other(is_tls=True),
        }

    def _tell_of_tls(self, whom: str) -> str:
        if not self.scheme.startswith("redis"):
            return ""
        s = "" if whom == "they" else "s"
        if is_tls := self.scheme.startswith("rediss"):
            asked = f"{whom} speak{s} TLS there; if not"
        else:
            asked = f"{whom} want{s} TLS there; if so"
        return f", and whether {asked}, {self._tell_other(is_tls=is_tls)}"

    def _tell_other(self, *, is_tls: bool) -> str:
        """How to connect with TLS in place of without, or the other way round."""
        if self.maker == "caller":
            return f"make the client with ssl={not is_tls}"
        used, other = ("rediss", "redis") if is_tls else ("redis", "rediss")
        scheme = self.scheme or used
        return f"write {scheme.replace(used, other, 1)}:// in place of {scheme}://"


UNKNOWN = Origin()

# How errors tell that something is wrong which the caller can mend, and what to do.
_ADVICE = (
    (
        "noauth|authentication required|client already authenticated",
        "the server asks for a password: {log_in}{pass} password={to}{sentinels}",
    ),
    (
        "without any password configured|no password is set",
        "the server knows no password for this user; leave it out, or name the user",
    ),
    (
        "wrongpass|invalid (username-)?password|authenticationerror",
        "check {credentials}{sentinels}",
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
        "only 0); {database}{pass} db={to}",
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
        "that port speaks no TLS; {without_tls}",
    ),
    (
        "certificate_verify_failed|certificate verify failed",
        "the server's certificate is not of an authority known here, or is another host's: "
        "{pass} ssl_ca_certs={to}, and use the host's name as in the certificate",
    ),
    (
        "certificate_required|certificate required|bad certificate",
        "the server asks for a certificate: {pass} ssl_certfile= and ssl_keyfile={to}",
    ),
    (
        "(?s)no master found.*(timeout|connection)error",
        "no Sentinel could be reached that knows a primary of this name; check the Sentinels' "
        "hosts and the primary's name{speaking}",
    ),
    (
        "masternotfounderror|no master found",
        "no Sentinel knows a primary of this name; check the Sentinels' hosts and the primary's "
        "name",
    ),
    (
        r"connection (closed by server|reset)|timeout connecting|eof occurred|unexpected.eof",
        "check that the server runs, can be reached, and accepts writes{speaking}",
    ),
)
