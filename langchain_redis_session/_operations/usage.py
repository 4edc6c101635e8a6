"""What models used: measured in stored messages, added up by the append script, and read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime, timezone
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage

from langchain_redis_session._flow.fields import to_fields
from langchain_redis_session._flow.requests import Flow
from langchain_redis_session._operations.context import Context
from langchain_redis_session.models import Event, SessionKey, Usage
from langchain_redis_session.scripts.bindings import Use

_MOST = 2**53
_MAX_MODEL_CHARACTERS = 200

# The kinds that are counted, and where a message tells of them.
_TOKENS: dict[str, tuple[str, ...]] = {
    "input": ("input_tokens",),
    "output": ("output_tokens",),
    "total": ("total_tokens",),
    "cached": ("input_token_details", "cache_read"),
    "reasoning": ("output_token_details", "reasoning"),
}

KINDS = ("messages", *_TOKENS)


def measure(events: Sequence[Event]) -> list[Use]:
    """What models used for events, as the assistant messages in them tell.

    >>> message = AIMessage(
    ...     "hi", usage_metadata={"input_tokens": 3, "output_tokens": 5, "total_tokens": 8}
    ... )
    >>> [(use.field, use.number) for use in measure([Event(message)])]
    [(b'messages:', 1), (b'input:', 3), (b'output:', 5), (b'total:', 8)]
    """
    uses = []
    for place, event in enumerate(events):
        message = event.message
        if isinstance(message, AIMessage):
            day = day_of(event)
            model = _name_model(message)
            for kind, number in _count(message):
                field = f"{kind}:{model}".encode("utf-8", "replace")
                uses.append(Use(place, day, field, number))
    return uses


def day_of(event: Event) -> str:
    """The day of an event in UTC, as ISO 8601 writes it."""
    try:
        return datetime.fromtimestamp(event.time_ns // 10**9, timezone.utc).date().isoformat()
    except (ValueError, OverflowError, OSError):  # a time that nothing can hold
        return date.min.isoformat()


def _count(message: AIMessage) -> Iterator[tuple[str, int]]:
    yield "messages", 1
    for kind, path in _TOKENS.items():
        found: Any = message.usage_metadata
        for name in path:
            found = found.get(name) if isinstance(found, dict) else None
        if isinstance(found, int) and 0 < found < _MOST:
            yield kind, int(found)


def _name_model(message: BaseMessage) -> str:
    data = message.response_metadata
    name = data.get("model_name") or data.get("model") if isinstance(data, dict) else None
    return name[:_MAX_MODEL_CHARACTERS] if isinstance(name, str) else ""


def get_usage(
    context: Context, app_name: str, user_id: str, *, since: str, until: str
) -> Flow[Usage]:
    """Read what was used for a user, on the days from one to another."""
    fields = to_fields((yield ("HGETALL", context.keyspace.usage(app_name, user_id))))
    usage = Usage()
    for name, number in _parse(fields):
        day, _, rest = name.partition(":")
        if since <= day <= until:
            _add(usage, rest, number)
            _add(usage.by_day.setdefault(day, Usage()), rest, number)
    return usage


def get_session_usage(context: Context, key: SessionKey) -> Flow[Usage]:
    """Read what was used for a session."""
    fields = to_fields((yield ("HGETALL", context.keyspace.session(key).session_usage)))
    usage = Usage()
    for name, number in _parse(fields):
        _add(usage, name, number)
    return usage


def _parse(fields: Any) -> Iterator[tuple[str, int]]:
    for name, value in sorted(fields.items()):
        try:
            yield name.decode(), int(value)
        except ValueError:  # another program's
            continue


def _add(usage: Usage, name: str, number: int) -> None:
    kind, _, model = name.partition(":")
    if kind not in KINDS:
        return
    for part in (usage, usage.by_model.setdefault(model, Usage())):
        setattr(part, kind, getattr(part, kind) + number)
