"""Values by name, as LangChain's key-value stores have them, kept in state of three scopes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote

from langchain_redis_session._codec.plain_json import is_text
from langchain_redis_session._codec.session_record import TRACKS, read_state
from langchain_redis_session._codec.state_values import decode_state_value, encode_typed_value
from langchain_redis_session._flow.requests import Command, Flow, compute
from langchain_redis_session._flow.scripts import ScriptCall, call_batch
from langchain_redis_session._operations.append import write_state
from langchain_redis_session._operations.context import Context
from langchain_redis_session._operations.lifetime import refresh_lifetime
from langchain_redis_session._operations.state import (
    APP_PREFIX,
    NO_CHANGE,
    TEMP_PREFIX,
    USER_PREFIX,
    ScopeName,
    StateChange,
)
from langchain_redis_session.errors import ConfigurationError, SessionNotFoundError, shorten
from langchain_redis_session.models import SessionKey
from langchain_redis_session.scripts import bindings
from langchain_redis_session.scripts.bindings import Create

_PREFIXES: dict[ScopeName, str] = {"session": "", "user": USER_PREFIX, "app": APP_PREFIX}
_ESCAPE = "%"


@dataclass(frozen=True, slots=True)
class StateName:
    """Where a name of a store stands: any text, under a name that state takes.

    Attributes:
        scope: Whose state.
        field: The name in it.
    """

    scope: ScopeName
    field: str

    @classmethod
    def of(cls, name: object) -> StateName:
        """Find the place of a name.

        Raises:
            ConfigurationError: It is no string.

        >>> StateName.of("user:lang"), StateName.of("tracks")
        (StateName(scope='user', field='lang'), StateName(scope='session', field='%tracks'))
        """
        if not isinstance(name, str):
            raise ConfigurationError(f"a store's key must be a string, not {shorten(name)}")
        for scope in ("user", "app"):
            prefix = _PREFIXES[scope]
            if name.startswith(prefix):
                return cls(scope, _escape(name[len(prefix) :], scope))
        return cls("session", _escape(name, "session"))

    @property
    def name(self) -> str:
        """The name that it is the place of.

        >>> StateName.of("user:").name, StateName.of("%tracks").name
        ('user:', '%tracks')
        """
        original = _unescape(self.field, self.scope)
        return _PREFIXES[self.scope] + (self.field if original is None else original)


def _is_refused(name: str, scope: ScopeName) -> bool:
    """Whether state does not take a name, or it looks like one that was escaped."""
    if not name or not is_text(name):
        return True
    if scope == "session" and (name == TRACKS or name.startswith(TEMP_PREFIX)):
        return True
    return _unescape(name, scope) is not None


def _escape(name: str, scope: ScopeName) -> str:
    if not _is_refused(name, scope):
        return name
    return _ESCAPE + quote(name, safe="", errors="surrogatepass")


def _unescape(field: str, scope: ScopeName) -> str | None:
    """Undo `_escape`; None for a field that it does not make of another name."""
    if not field.startswith(_ESCAPE):
        return None
    try:
        name = unquote(field[1:], errors="surrogatepass")
    except UnicodeDecodeError:
        return None
    is_its_own = field == _ESCAPE + quote(name, safe="", errors="surrogatepass")
    return name if is_its_own and _is_refused(name, scope) else None


def match_scopes(prefix: str) -> Iterator[ScopeName]:
    """Which scopes have names that begin with a prefix.

    >>> list(match_scopes("us")), list(match_scopes("user:x"))
    (['session', 'user'], ['user'])
    """
    if not prefix.startswith((USER_PREFIX, APP_PREFIX)):
        yield "session"
    for scope in ("user", "app"):
        start = _PREFIXES[scope]
        if start.startswith(prefix) or prefix.startswith(start):
            yield scope


def encode_values(context: Context, values: Iterable[tuple[str, Any]]) -> StateChange:
    """Encode what is to be set; the last of a name counts.

    Raises:
        ConfigurationError: A name is no string, or an item is no pair.
        UnserializableMessageError: A value can't be carried by JSON, with
            `unserializable="raise"`.
    """
    change = StateChange()
    fields = {"session": change.session, "user": change.user, "app": change.app}
    for pair in values:
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise ConfigurationError(f"a store takes pairs (key, value), not {shorten(pair)}")
        name, value = pair
        place = StateName.of(name)
        data = encode_typed_value(value, f"values[{name!r}]", context.conversions)
        fields[place.scope][place.field] = data
    return change


def _state_key(context: Context, key: SessionKey, scope: ScopeName) -> bytes:
    """The hash of a user's or an app's state."""
    keys = context.keyspace.session(key)
    return keys.user_state if scope == "user" else keys.app_state


def _read_record(context: Context, key: SessionKey) -> list[ScriptCall[Any] | Command]:
    """What reads the session's record, if that lives."""
    options = context.options
    keys = context.keyspace.session(key)
    calls: list[ScriptCall[Any] | Command] = [
        bindings.get_session(keys, session_ttl_ms=options.session_ttl, count=0)
    ]
    if options.refresh_ttl_on_read:
        calls.append(refresh_lifetime(context, key))
    return calls


def get_values(context: Context, key: SessionKey, places: Sequence[StateName]) -> Flow[list[Any]]:
    """Read values, None for those that are not there: in one round trip."""
    fields: dict[ScopeName, list[str]] = {}
    for place in places:
        fields.setdefault(place.scope, []).append(place.field)
    calls: list[ScriptCall[Any] | Command] = [
        ("HMGET", _state_key(context, key, scope), *(name.encode() for name in names))
        for scope, names in fields.items()
        if scope != "session"
    ]
    count = len(calls)
    if "session" in fields:
        calls += _read_record(context, key)
    if not calls:
        return []
    replies = yield from call_batch(calls)
    stored: dict[StateName, bytes | None] = {}
    shared = (scope for scope in fields if scope != "session")
    for scope, values in zip(shared, replies[:count], strict=True):
        for name, value in zip(fields[scope], values, strict=True):
            stored[StateName(scope, name)] = value
    if "session" in fields:
        state = yield from _read_state(replies[count].record)
        stored |= {StateName("session", name): state.get(name) for name in fields["session"]}
    size = sum(len(value) for value in stored.values() if value is not None)
    return (yield from compute(lambda: [_decode(stored[place]) for place in places], size))


def _read_state(record: bytes) -> Flow[dict[str, bytes | None]]:
    return (yield from compute(lambda: read_state(record), len(record)))


def _decode(value: bytes | None) -> Any:
    return None if value is None else decode_state_value(value)


def set_values(context: Context, key: SessionKey, change: StateChange) -> Flow[None]:
    """Set values; the session's own create it where there is none, without an event limit.

    Together with the session's own, all are set in one script; else in one for each scope, in one
    round trip.
    """
    if change.session:
        create = Create.MISSING
        yield from write_state(context, key, change, create=create, new_event_limit=None)
        return
    keys, options = context.keyspace.session(key), context.options
    scopes: list[tuple[bytes, Mapping[str, bytes], int]] = [
        (keys.user_state, change.user, options.user_state_ttl),
        (keys.app_state, change.app, options.app_state_ttl),
    ]
    calls = [
        bindings.update_state(state_key, values=values, ttl_ms=ttl_ms)
        for state_key, values, ttl_ms in scopes
        if values
    ]
    if calls:
        yield from call_batch(calls)


def drop_values(context: Context, key: SessionKey, places: Sequence[StateName]) -> Flow[None]:
    """Remove values; those that are not there are no error."""
    shared: dict[bytes, list[bytes]] = {}
    for place in places:
        if place.scope != "session":
            shared.setdefault(_state_key(context, key, place.scope), []).append(
                place.field.encode()
            )
    if shared:
        yield from call_batch([("HDEL", name, *fields) for name, fields in shared.items()])
    own = [place.field for place in places if place.scope == "session"]
    if own:
        try:
            yield from write_state(context, key, NO_CHANGE, drop_names=own)
        except SessionNotFoundError:
            return


def list_names(context: Context, key: SessionKey, prefix: str) -> Flow[list[str]]:
    """Give the names that begin with a prefix: in one round trip."""
    scopes = [*match_scopes(prefix)]
    shared = [scope for scope in scopes if scope != "session"]
    calls: list[ScriptCall[Any] | Command] = [
        ("HKEYS", _state_key(context, key, s)) for s in shared
    ]
    if "session" in scopes:
        calls += _read_record(context, key)
    replies = yield from call_batch(calls)
    places = [
        StateName(scope, field.decode("utf-8", "replace"))
        for scope, fields in zip(shared, replies, strict=False)
        for field in fields
    ]
    if "session" in scopes:
        state = yield from _read_state(replies[len(shared)].record)
        places += [StateName("session", name) for name in state]
    return sorted(place.name for place in places if place.name.startswith(prefix))
