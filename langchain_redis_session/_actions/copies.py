"""Copies of events for hooks, which may change them."""

from __future__ import annotations

import copy
from operator import attrgetter
from typing import Any

from langchain_core.messages import (
    AIMessageChunk,
    BaseMessage,
    BaseMessageChunk,
)

from langchain_redis_session._codec.chunks import list_calls
from langchain_redis_session._wire.fields import to_whole
from langchain_redis_session.errors import attempt
from langchain_redis_session.models import Event

_get_members = attrgetter(*Event.__match_args__)


def copy_event(event: Event) -> Event:
    is_plain = type(event) is Event  # which is made again in a fifth of the time
    twin = Event(*_get_members(event)) if is_plain else copy.copy(event)
    if isinstance(event.message, BaseMessage):
        twin.message = _to_whole_message(_copy_message(event.message))
    for name in ("state_delta", "extensions", "extra"):
        setattr(twin, name, _copy_container(getattr(event, name)))
    return twin


def _copy_message(message: BaseMessage) -> BaseMessage:
    """A copy to its depths; a tool's artifact, which may be anything, is shared."""
    twin = copy.copy(message)
    for fields in (twin.__dict__, twin.__pydantic_extra__ or {}):
        for name, value in fields.items():
            if name != "artifact":
                fields[name] = _copy_container(value)
    return twin


def _copy_container(value: Any) -> Any:
    if value is None or isinstance(value, (str, int)):
        return value
    if not value and isinstance(value, (dict, list)):
        return type(value)()
    # The codec tells what in it is wrong.
    return attempt(lambda: copy.deepcopy(value), lambda: copy.copy(value))


def _to_whole_message(message: BaseMessage) -> BaseMessage:
    """A streamed chunk as the message that is stored of it."""
    if isinstance(message, BaseMessageChunk):
        # A subclass may have ideas of its own; the codec knows.
        return attempt(lambda: _join(message), lambda: message)
    return message


def _join(chunk: BaseMessageChunk) -> BaseMessage:
    whole: BaseMessage = to_whole(chunk)
    if isinstance(chunk, AIMessageChunk):
        whole = whole.model_copy(update=list_calls(chunk))
    return whole
