"""App, user and session state."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, TypeVar

from langchain_redis_session._codec.conversions import Conversions
from langchain_redis_session._codec.session_record import TRACKS, measure_state
from langchain_redis_session._codec.sizes import estimate
from langchain_redis_session._codec.state_values import decode_state_value, encode_state_value
from langchain_redis_session._flow.fields import to_fields
from langchain_redis_session._flow.requests import LARGE_BYTES, Flow, Scope, compute
from langchain_redis_session._operations.context import Context
from langchain_redis_session.errors import ConfigurationError, StateTooLargeError, shorten
from langchain_redis_session.models import SessionKey
from langchain_redis_session.scripts import bindings

T = TypeVar("T")

APP_PREFIX, USER_PREFIX, TEMP_PREFIX = "app:", "user:", "temp:"

ScopeName = Literal["session", "user", "app"]


def find_scope(key: SessionKey, names: Collection[ScopeName]) -> Scope:
    """The narrowest scope that has the state of all these in it."""
    if "app" in names:
        return key.scope[:1]
    return key.scope[:2] if "user" in names else key.scope


@dataclass(slots=True)
class StateChange:
    """Encoded values to set, by scope."""

    session: dict[str, bytes] = field(default_factory=dict)
    user: dict[str, bytes] = field(default_factory=dict)
    app: dict[str, bytes] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.session or self.user or self.app)

    @property
    def scopes(self) -> list[ScopeName]:
        """Whose state it changes."""
        parts: dict[ScopeName, dict[str, bytes]]
        parts = {"session": self.session, "user": self.user, "app": self.app}
        return [name for name, values in parts.items() if values]

    @classmethod
    def merge(cls, changes: Iterable[StateChange]) -> StateChange:
        """Put changes together; the later one wins."""
        merged = cls()
        for change in changes:
            if change:
                merged.session |= change.session
                merged.user |= change.user
                merged.app |= change.app
        return merged


NO_CHANGE = StateChange()


def encode_state(
    state: Mapping[str, Any] | None, path: str, conversions: Conversions | None
) -> dict[str, bytes]:
    """Encode values, but for those of `temp:`, which nobody stores.

    Raises:
        ConfigurationError: A name is not a string or is empty.
        UnserializableMessageError: A value can't be carried by JSON, and there are no
            `conversions`.
    """
    if not state and (state is None or isinstance(state, Mapping)):
        return {}
    return {
        name: encode_state_value(value, f"{path}[{name!r}]", conversions)
        for name, value in _check_names(state, path)
        if not name.startswith(TEMP_PREFIX)
    }


def route_state(
    state: Mapping[str, Any] | None, path: str, conversions: Conversions | None
) -> StateChange:
    """Encode values and route them by the prefix of their names; `temp:` goes nowhere.

    Raises:
        ConfigurationError: A name is not a string, is empty or is reserved.
        UnserializableMessageError: A value can't be carried by JSON, and there are no
            `conversions`.
    """
    encoded = encode_state(state, path, conversions)
    return route_encoded(encoded, path) if encoded else NO_CHANGE


def route_encoded(values: Mapping[str, bytes], path: str = "state_delta") -> StateChange:
    """Route encoded values by the prefix of their names; `temp:` goes nowhere.

    Raises:
        ConfigurationError: A name is empty or reserved.
    """
    change = StateChange()
    for name, value in values.items():
        if name.startswith(APP_PREFIX):
            change.app[_check_name(name[len(APP_PREFIX) :], path)] = value
        elif name.startswith(USER_PREFIX):
            change.user[_check_name(name[len(USER_PREFIX) :], path)] = value
        elif not name.startswith(TEMP_PREFIX):
            check_not_reserved(name, path)
            change.session[name] = value
    return change


_ADVICE = {
    APP_PREFIX: "a name in the app's state; use {verb}_app_state",
    USER_PREFIX: "a name in the user's state; use {verb}_user_state",
    TEMP_PREFIX: "temporary and never stored; leave it out",
}


def _name_in_scope(name: str, prefix: str, path: str, verb: str) -> str:
    """Give a name of a scope without the scope's prefix, which it may have.

    Raises:
        ConfigurationError: It has another's, and would be hidden behind both.
    """
    if name.startswith(prefix) and prefix:
        return _check_name(name.removeprefix(prefix), path)
    for other, advice in _ADVICE.items():
        if name.startswith(other):
            raise ConfigurationError(f"{path}: {shorten(name)} is {advice.format(verb=verb)}")
    return name


def encode_scope(
    state: Mapping[str, Any], prefix: str, path: str, conversions: Conversions | None
) -> dict[str, bytes]:
    """Encode the state of one scope, whose prefix names may or may not have.

    Raises:
        ConfigurationError: A name is not a string, is empty, or has another scope's prefix.
        UnserializableMessageError: A value can't be carried by JSON, and there are no
            `conversions`.
    """
    return {
        _name_in_scope(name, prefix, path, "update"): encode_state_value(
            value, f"{path}[{name!r}]", conversions
        )
        for name, value in _check_names(state, path)
    }


def _check_names(state: Mapping[str, Any], path: str) -> Iterable[tuple[str, Any]]:
    if not isinstance(state, Mapping):
        raise ConfigurationError(f"{path} must be a dict, not {shorten(state)}")
    for name, value in state.items():
        yield _check_name(name, path), value


def _check_name(name: object, path: str) -> str:
    if not isinstance(name, str) or not name:
        raise ConfigurationError(
            f"{path}: a state name must be a string that is not empty, not {shorten(name)}"
        )
    try:
        name.encode()
    except UnicodeEncodeError:
        raise ConfigurationError(
            f"{path}: a state name must be valid UTF-8, this has a lone surrogate: {shorten(name)}"
        ) from None
    return name


def check_not_reserved(name: str, path: str) -> None:
    """Refuse the name that holds the index of tracks."""
    if name == TRACKS:
        raise ConfigurationError(
            f"{path}: the name {TRACKS!r} is taken in session state (it holds the names of the "
            "session's tracks); choose another"
        )


def list_names(names: Iterable[object], prefix: str = "") -> list[str]:
    """Give the names that are to be deleted from one scope, without its prefix.

    Raises:
        ConfigurationError: One is no name, or has another scope's prefix.
    """
    path = "names"
    for name in names:
        if isinstance(name, (list, tuple, set, frozenset)):
            raise ConfigurationError(
                f"{path} must be given one by one, not as {shorten(name)}; put a * before it"
            )
    return [_name_in_scope(_check_name(name, path), prefix, path, "delete") for name in names]


def encode(values: Any, function: Callable[[], T]) -> Flow[T]:
    """Encode values with a function."""
    return (yield from compute(function, estimate(values, LARGE_BYTES)))


Fields: TypeAlias = "Mapping[bytes, bytes] | Sequence[bytes]"
"""A hash, as a command replies it."""


def decode_shared_state(app_fields: Fields, user_fields: Fields) -> Flow[dict[str, Any]]:
    """Read the state that a user's sessions share, under prefixed names."""
    state = yield from _decode(app_fields, APP_PREFIX)
    return state | (yield from _decode(user_fields, USER_PREFIX))


def _decode(reply: Fields, prefix: str) -> Flow[dict[str, Any]]:
    fields = to_fields(reply)

    def decode() -> dict[str, Any]:
        return {
            prefix + name.decode("utf-8", "replace"): decode_state_value(value)
            for name, value in fields.items()
        }

    return (yield from compute(decode, sum(map(len, fields.values()))))


def check_state(context: Context, change: StateChange) -> None:
    """Refuse new values that no session has room for.

    Raises:
        StateTooLargeError: They alone are over `max_state_bytes`.
    """
    if change.session:
        check_record_size(context, measure_state(change.session))


def check_record_size(context: Context, size: int, *, before: int = 0) -> None:
    """Refuse a change that makes a session's record too large; not one that makes it smaller.

    Raises:
        StateTooLargeError: The record grows, beyond `max_state_bytes`.
    """
    most = context.options.max_state_bytes
    if most is not None and size > max(most, before):
        raise StateTooLargeError(
            f"the record of the session, which holds its state, would have {size:,} bytes, the "
            f"most is {most:,}; keep large values elsewhere and a link in the state, delete names "
            "(delete_session_state), or raise max_state_bytes"
        )


def get_state(state_key: bytes) -> Flow[dict[str, Any]]:
    """Read an app's or a user's state."""
    return (yield from _decode((yield ("HGETALL", state_key)), ""))


def update_state(state_key: bytes, values: Mapping[str, bytes], ttl_ms: int) -> Flow[None]:
    """Set names in an app's or a user's state."""
    if values:
        yield from bindings.update_state(state_key, values=values, ttl_ms=ttl_ms)


def update_app_state(context: Context, app_name: str, values: Mapping[str, bytes]) -> Flow[None]:
    """Set names in an app's state."""
    key = context.keyspace.app_state(app_name)
    yield from update_state(key, values, context.options.app_state_ttl)


def update_user_state(
    context: Context, app_name: str, user_id: str, values: Mapping[str, bytes]
) -> Flow[None]:
    """Set names in a user's state."""
    key = context.keyspace.user_state(app_name, user_id)
    yield from update_state(key, values, context.options.user_state_ttl)


def delete_state(state_key: bytes, names: list[str]) -> Flow[int]:
    """Remove names from an app's or a user's state; gives how many there were."""
    if not names:
        return 0
    return int((yield ("HDEL", state_key, *(name.encode() for name in names))))
