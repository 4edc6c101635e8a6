"""Checks of what methods are called with, each under the argument's own name."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from langchain_core.messages import BaseMessage

from langchain_redis_session._codec.message_input import FORMS, to_messages
from langchain_redis_session.config import check_filter_key
from langchain_redis_session.errors import (
    ConfigurationError,
    InvalidSessionKeyError,
    shorten,
)
from langchain_redis_session.models import Event, SessionKey, validate_id

T = TypeVar("T")
_MOST = 2**31 - 1
"""More than a session can hold, and what every server and script can count to."""


def check_key(key: object) -> SessionKey:
    """Refuse what is no session's key."""
    if not isinstance(key, SessionKey):
        raise InvalidSessionKeyError(f"key must be {tell_key(key)}")
    return key


def tell_key(key: object) -> str:
    """Say what a session's key is, in place of something else, and how to make one of that."""
    advice = ""
    if isinstance(getattr(key, "key", None), SessionKey):
        advice = "; give its .key"
    elif isinstance(getattr(key, "session_key", None), SessionKey):
        advice = "; give its .session_key"
    elif isinstance(key, (tuple, list)) and len(key) == 3:
        advice = "; put SessionKey(*…) around it"
    return f"a SessionKey(app_name, user_id, session_id), not {shorten(key)}{advice}"


def check_user(app_name: object, user_id: object) -> None:
    """Refuse what can't name a user."""
    validate_id(app_name, "app_name")
    validate_id(user_id, "user_id")


def check_count(name: str, value: object) -> int:
    """Refuse what does not say how many.

    >>> check_count("before", 5)
    5
    """
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _MOST:
        raise ConfigurationError(
            f"{name} must be a whole number from 0 to {_MOST}, not {shorten(value)}"
        )
    return value


def check_flags(**flags: object) -> None:
    """Refuse what is neither true nor false; a text such as "no" would count as true."""
    for name, value in flags.items():
        if not isinstance(value, bool):
            raise ConfigurationError(f"{name} must be True or False, not {shorten(value)}")


def check_texts(**texts: object) -> None:
    """Refuse what is no text that can be stored."""
    for name, value in texts.items():
        if not isinstance(value, str):
            raise ConfigurationError(f"{name} must be a string, not {shorten(value)}")
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ConfigurationError(
                f"{name} is not valid UTF-8 (a lone surrogate): {shorten(value)}"
            ) from None


def check_mapping(name: str, value: object) -> Mapping[str, Any]:
    """Refuse what is no dict."""
    if not isinstance(value, Mapping):
        raise ConfigurationError(f"{name} must be a dict, not {shorten(value)}")
    return value


def check_timeout(name: str, value: object) -> float | None:
    """Refuse what is no time to wait."""
    if value is None:
        return None
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < math.inf:
        return value
    raise ConfigurationError(
        f"{name} must be a number of seconds from 0, or None for as long as it takes, "
        f"not {shorten(value)}"
    )


def check_interval(name: str, value: object) -> float:
    """Refuse what is no time to wait between two looks.

    >>> check_interval("poll_s", 0.5)
    0.5
    """
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < math.inf:
        return value
    raise ConfigurationError(f"{name} must be a number of seconds above 0, not {shorten(value)}")


def check_filter(filter_key: object) -> str:
    """Refuse what can't be a filter key."""
    try:
        return check_filter_key(filter_key)
    except ValueError as error:
        raise ConfigurationError(f"filter_key={shorten(filter_key)}: {error}") from None


def check_event(event: object) -> Event:
    """Refuse what is no event."""
    if isinstance(event, Event):
        return event
    if isinstance(event, BaseMessage):
        raise ConfigurationError(
            f"event must be an Event, not the message {shorten(event)}; append_messages takes "
            "messages"
        )
    raise ConfigurationError(
        f"event must be an Event, not {shorten(event)}; append_messages takes messages"
    )


def list_events(name: str, events: object) -> list[Event]:
    """Give a list of events; one alone is one too."""
    return _list_of(Event, name, events, "event", "append_messages takes messages")


def list_messages(name: str, messages: object) -> list[BaseMessage]:
    """Give a list of messages, of what LangChain takes for them; one alone is one too."""
    if type(messages) is not list and (
        isinstance(messages, bytes) or not isinstance(messages, Iterable)
    ):
        raise ConfigurationError(
            f"{name} must be a list of messages, not {shorten(messages)}; for each, {FORMS}"
        )
    return to_messages(messages)


def list_payloads(name: str, payloads: object) -> Sequence[Any]:
    """Refuse what is no list of payloads; one alone may be a list itself."""
    if not isinstance(payloads, (list, tuple)):
        raise ConfigurationError(
            f"{name} must be a list of payloads, not {shorten(payloads)}; append_track_event "
            "takes one"
        )
    return payloads


def check_ids(name: str, ids: object) -> list[str]:
    """Give a list of ids; one alone is one too.

    >>> check_ids("event_ids", "e1")
    ['e1']
    """
    listed = _list_of(str, name, ids, "id", "an event's is its .id")
    return [validate_id(value, f"{name}[{place}]") for place, value in enumerate(listed)]


def _list_of(
    kind: type[T],
    name: str,
    values: object,
    noun: str,
    advice: str,
) -> list[T]:
    if isinstance(values, kind):
        return [values]
    if isinstance(values, (str, bytes, Mapping)) or not isinstance(values, Iterable):
        raise ConfigurationError(
            f"{name} must be a list of {noun}s, not {shorten(values)}; {advice}"
        )
    values = list(values)
    for place, value in enumerate(values):
        if not isinstance(value, kind):
            shown = "a string" if kind is str else f"an {kind.__name__}"
            raise ConfigurationError(
                f"{name}[{place}] must be {shown}, not {shorten(value)}; {advice}"
            )
    return values


def tell_of_call(name: str) -> str:
    """Say that an id belongs to a method, and not to a service; "" for other names."""
    if name not in ("app_name", "user_id", "session_id"):
        return ""
    return (
        "; a service is for all apps, users and sessions: give it to each call, as in "
        "create_session(app_name, user_id, session_id)"
    )
