"""Every key name in Redis, and the escaping of ids in them.

The layout is trpc-agent-go's: `kind:{app}:user…`, where the braces are literal, the
hash tag of Redis Cluster. `%`, `:`, `{` and `}` in ids are percent-escaped, so that no
two sessions can meet in one key.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Literal, NamedTuple
from urllib.parse import unquote

from langchain_redis_session._keys.memory import MemoryKeys
from langchain_redis_session.errors import InvalidSessionKeyError
from langchain_redis_session.models import SessionKey

HashTag = Literal["app", "user"]

_ESCAPES = str.maketrans({"%": "%25", ":": "%3A", "{": "%7B", "}": "%7D"})
_GLOB_ESCAPES = str.maketrans({c: "\\" + c for c in "\\*?[]^-"})

_SESSION_KINDS = ("event", "track", "trackidx", "msgidx", "sumlease", "trimmed", "sessusage")
_MEMORY_KINDS = ("usermem", "usermemvec")
_USER_KINDS = ("sess", "userstate", "usermemidx")
_APP_KINDS = ("appstate", "appmemidx")


def escape_id(value: str) -> str:
    """Escape what has a meaning in keys.

    >>> escape_id("a:{b}%")
    'a%3A%7Bb%7D%25'
    """
    return value.translate(_ESCAPES)


def unescape_id(value: str) -> str:
    """Undo `escape_id`."""
    return unquote(value)


def escape_glob(value: str) -> str:
    """Escape what has a meaning in a SCAN pattern."""
    return value.translate(_GLOB_ESCAPES)


class SessionKeys(NamedTuple):
    """The keys that one session's data lives in."""

    sessions: bytes
    events: bytes
    message_index: bytes
    track_index: bytes
    summaries: bytes
    summary_lease: bytes
    removals: bytes
    user_state: bytes
    app_state: bytes
    usage: bytes
    session_usage: bytes
    track_prefix: str
    session_field: bytes
    """The session's field in `sessions`."""
    summary_field: bytes
    """That of the session's own summary in `summaries`; trpc-agent-go's is `session_field`."""

    @property
    def common(self) -> tuple[bytes, ...]:
        """Those that a script which writes to a session takes first."""
        return (self.sessions, self.events, self.message_index, self.track_index, self.summaries)

    def track(self, name: str) -> bytes:
        """The sorted set of one track."""
        return (self.track_prefix + escape_id(name)).encode()

    @property
    def summary_index(self) -> bytes:
        """The field that names the filter keys which the session has summaries for."""
        return b":" + self.summary_field[:-1]

    def summary(self, filter_key: str) -> bytes:
        """The field of one summary; the session's own has the empty filter key."""
        return self.summary_field + filter_key.encode() if filter_key else self.summary_field


@dataclass(frozen=True)
class Keyspace:
    """Makes key names for one `key_prefix` and `hash_tag`.

    >>> keyspace = Keyspace()
    >>> keyspace.session(SessionKey("shop", "u:1", "s")).events
    b'event:{shop}:u%3A1:s'
    >>> Keyspace("p", "user").session(SessionKey("shop", "u", "s")).events
    b'p:event:{shop:u}:u:s'
    """

    key_prefix: str = ""
    hash_tag: HashTag = "app"

    def _start(self, kind: str) -> str:
        return f"{self.key_prefix}:{kind}:" if self.key_prefix else f"{kind}:"

    def _tag(self, app_name: str, user_id: str) -> str:
        app = escape_id(app_name)
        return f"{{{app}:{escape_id(user_id)}}}" if self.hash_tag == "user" else f"{{{app}}}"

    def _scoped(self, kind: str, app_name: str, user_id: str) -> str:
        return f"{self._start(kind)}{self._tag(app_name, user_id)}:{escape_id(user_id)}"

    def app_state(self, app_name: str) -> bytes:
        """The hash of an app's state."""
        return f"{self._start('appstate')}{{{escape_id(app_name)}}}".encode()

    def user_state(self, app_name: str, user_id: str) -> bytes:
        """The hash of a user's state."""
        return self._scoped("userstate", app_name, user_id).encode()

    def sessions(self, app_name: str, user_id: str) -> bytes:
        """The hash of a user's sessions."""
        return self._scoped("sess", app_name, user_id).encode()

    def summaries(self, app_name: str, user_id: str) -> bytes:
        """The hash of a user's summaries."""
        return self._scoped("sesssum", app_name, user_id).encode()

    def usage(self, app_name: str, user_id: str) -> bytes:
        """The hash of what models have used for a user."""
        return self._scoped("usage", app_name, user_id).encode()

    def erasure(self, app_name: str, user_id: str, session_id: str | None = None) -> bytes:
        """The mark of a deleted user, or of one deleted session; with the app's hash tag.

        >>> Keyspace().erasure("shop", "ann")[:27]
        b'erased:{shop}:49915e0d7d4b4'
        """
        ids = [user_id] if session_id is None else [user_id, session_id]
        # No escaped id holds a colon: no user shares a mark with another's session.
        digest = sha256(":".join(map(escape_id, ids)).encode()).hexdigest()
        return f"{self._start('erased')}{{{escape_id(app_name)}}}:{digest}".encode()

    def app_memory(self, app_name: str) -> MemoryKeys:
        """What belongs to an app of memory stores."""
        tag = f"{{{escape_id(app_name)}}}"
        index, items, vectors = (
            f"{self._start(kind)}{tag}" for kind in ("appmemidx", "appmem", "appmemvec")
        )
        return MemoryKeys(index.encode(), f"{items}:".encode(), f"{vectors}:".encode())

    def user_memory(self, app_name: str, user_id: str) -> MemoryKeys:
        """What belongs to a user of memory stores.

        >>> Keyspace().user_memory("shop", "ann").namespace(b"facts:").items
        b'usermem:{shop}:ann:facts:'
        """
        index, items, vectors = (
            self._scoped(kind, app_name, user_id)
            for kind in ("usermemidx", "usermem", "usermemvec")
        )
        return MemoryKeys(index.encode(), f"{items}:".encode(), f"{vectors}:".encode())

    def _pattern(self, kinds: Sequence[str], rest: str) -> str:
        """One SCAN pattern for several kinds of keys, and some others."""
        initials = "".join(sorted({kind[0] for kind in kinds}))
        prefix = f"{escape_glob(self.key_prefix)}:" if self.key_prefix else ""
        return f"{prefix}[{initials}]*:{rest}*"

    def app_pattern(self) -> str:
        """The SCAN pattern that finds, among others, a key of every app.

        >>> Keyspace("p").app_pattern()
        'p:[asu]*:{*'
        """
        return self._pattern((*_APP_KINDS, *_USER_KINDS), "{")

    def parse_app(self, key: bytes) -> str | None:
        """The app a key of whose, or of whose users, it is; None for one that tells of none.

        >>> Keyspace("p").parse_app(b"p:sess:{my%3Ashop}:ann")
        'my:shop'
        """
        match = re.search(r":\{([^:{}]+)[^{}]*\}", key.decode("utf-8", "replace"))
        app = unescape_id(match[1]) if match else ""
        own = (self.app_state(app), self.app_memory(app).index)
        is_apps = app and (key in own or self.parse_user(key, app) is not None)
        return app if is_apps else None

    def user_pattern(self, app_name: str) -> str:
        """The SCAN pattern that finds, among others, a key of every user of an app.

        >>> Keyspace().user_pattern("shop")
        '[su]*:{shop}:*'
        """
        app = escape_glob(escape_id(app_name))
        return self._pattern(_USER_KINDS, f"{{{app}:" if self.hash_tag == "user" else f"{{{app}}}:")

    def parse_user(self, key: bytes, app_name: str) -> str | None:
        """The user whose sessions, state or memory a key tells of; None for another key."""
        user = unescape_id(key.decode("utf-8", "replace").rpartition(":")[2])
        is_users = key in (
            self.sessions(app_name, user),
            self.user_state(app_name, user),
            self.user_memory(app_name, user).index,
        )
        return user if user and is_users else None

    def parse_session(self, key: bytes) -> SessionKey | None:
        """The session whose own key it is (not one that it shares); None for another.

        >>> Keyspace("p").parse_session(b"p:event:{shop}:u%3A1:s")
        SessionKey(app_name='shop', user_id='u:1', session_id='s')
        """
        text = key.decode("utf-8", "replace").removeprefix(f"{self.key_prefix}:")
        match = re.match(r"(?:event|track|trackidx|msgidx):\{([^:}]+)[^}]*\}:([^:]+):([^:]+)", text)
        try:
            return SessionKey(*map(unescape_id, match.groups())) if match else None
        except InvalidSessionKeyError:  # a foreign writer's
            return None

    def part_pattern(self, app_name: str, user_id: str) -> str:
        """The SCAN pattern that finds, among others, every key of a part of what a user has.

        That is one session, or one namespace of the memory.
        """
        rest = f"{self._tag(app_name, user_id)}:{escape_id(user_id)}:"
        return self._pattern(_SESSION_KINDS + _MEMORY_KINDS, escape_glob(rest))

    def part_prefixes(self, app_name: str, user_id: str) -> tuple[bytes, ...]:
        """How the keys begin that `part_pattern` is to find."""
        return tuple(
            f"{self._scoped(kind, app_name, user_id)}:".encode()
            for kind in _SESSION_KINDS + _MEMORY_KINDS
        )

    @lru_cache(maxsize=4096)  # noqa: B019 - a keyspace lives as long as its service
    def session(self, key: SessionKey) -> SessionKeys:
        """All keys of one session."""
        app, user = key.app_name, key.user_id
        session = escape_id(key.session_id)
        return SessionKeys(
            sessions=self.sessions(app, user),
            events=f"{self._scoped('event', app, user)}:{session}".encode(),
            message_index=f"{self._scoped('msgidx', app, user)}:{session}".encode(),
            track_index=f"{self._scoped('trackidx', app, user)}:{session}".encode(),
            summaries=self.summaries(app, user),
            summary_lease=f"{self._scoped('sumlease', app, user)}:{session}".encode(),
            removals=f"{self._scoped('trimmed', app, user)}:{session}".encode(),
            user_state=self.user_state(app, user),
            app_state=self.app_state(app),
            usage=self.usage(app, user),
            session_usage=f"{self._scoped('sessusage', app, user)}:{session}".encode(),
            track_prefix=f"{self._scoped('track', app, user)}:{session}:",
            session_field=key.session_id.encode(),
            summary_field=session.encode() + b":",
        )
