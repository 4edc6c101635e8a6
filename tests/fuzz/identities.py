"""Names and URLs that hostile users choose: tenants never meet, and no error tells a secret."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from langchain_redis_session import RedisSessionError, SessionKey
from langchain_redis_session._connections.addresses import parse_address
from langchain_redis_session._keys.zset import Keyspace
from tests.fuzz.findings import Finding

_PIECES = [
    "a",
    "b",
    ":",
    "{",
    "}",
    "%",
    "%3A",
    "*",
    "?",
    "[",
    "\\",
    "\x00",
    "\n",
    "é",
    "😀",
    " ",
    "/",
]
_FIELD = b"\xff"
"""Stands in no key, between that of a hash and a field."""
SECRET = "Kangaroo"
_FORMS = [
    *("redis://", "rediss://", "unix://", "redis+cluster://", "redis+sentinel://", "memory://", ""),
    *("u", ":", f":{SECRET}@", f"u:{SECRET}@", "h", "h1:1,h2:2", "[::1]", "/0", "/x", "?a=b", "#"),
    *("@", "%", "%zz", f"?password={SECRET}", ":99999", "\n", "é", "/svc/1", "//"),
]


def generate_keys(seed: int) -> Iterator[SessionKey]:
    """Give names of sessions that are easily taken for each other."""
    random = Random(seed)
    while True:
        ids = ("".join(random.choices(_PIECES, k=random.randrange(1, 4))) for _ in range(3))
        yield SessionKey(*ids)


class Tenants:
    """Notes whose each Redis key is, and finds those of two."""

    def __init__(self) -> None:
        self._spaces = [Keyspace("", "app"), Keyspace("p", "user")]
        self._owners: dict[bytes, tuple[str, ...]] = {}

    def try_key(self, key: SessionKey) -> Finding | None:
        """Look whether somebody else has one of a session's keys or fields."""
        app, user, _ = key.scope
        for place, space in enumerate(self._spaces):
            keys = space.session(key)
            owned = {
                keys.events: key.scope,
                keys.track("t"): (*key.scope, "t"),
                keys.sessions: (app, user),
                keys.user_state: (app, user),
                keys.app_state: (app,),
                keys.summaries + _FIELD + keys.summary("f"): (*key.scope, "f"),
                keys.sessions + _FIELD + keys.session_field: key.scope,
            }
            for name, owner in owned.items():
                known = self._owners.setdefault(b"%d" % place + name, owner)
                if known != owner:
                    return Finding("id", name, f"Meeting: of {known!r} and {owner!r}")
            if space.parse_session(keys.events) != key:
                return Finding("id", keys.events, f"Name: not read as {key!r}")
        return None


def generate_urls(seed: int) -> Iterator[str]:
    """Give what somebody may write where a URL belongs."""
    random = Random(seed)
    while True:
        yield "".join(random.choices(_FORMS, k=random.randrange(1, 6)))


def try_url(url: str) -> Finding | None:
    """Parse a URL; errors are ours and tell no secret, nor does what is shown of it."""
    try:
        shown = str(parse_address(url))
    except RedisSessionError as error:
        shown = str(error)
    except Exception as error:
        return Finding("url", url.encode(), f"{type(error).__name__}: {error}")
    if SECRET in shown:
        return Finding("url", url.encode(), f"Secret: {shown}")
    return None
