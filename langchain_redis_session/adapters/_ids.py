"""Ids as callers have them, and those of messages that come again."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any
from uuid import UUID, uuid4

from langchain_core.messages import AIMessage, BaseMessage

from langchain_redis_session.errors import shorten


def as_text(value: Any) -> Any:
    """Give an id of a database, often a number, as text; what is no id, `SessionKey` refuses.

    >>> as_text(7), as_text("ann"), as_text(None)
    ('7', 'ann', None)
    """
    is_number = isinstance(value, int | UUID) and not isinstance(value, bool)
    return str(value) if is_number else value


def tell_names(named: Mapping[str, Any]) -> str:
    """Give a part of a message on missing ids: what else was named, as it may be misspelled.

    >>> tell_names({"user": "ann", "thread_id": None, "__pregel_send": print})
    ", only 'user'"
    >>> tell_names({})
    ''
    """
    others = {str(name) for name, value in named.items() if value is not None}
    others -= {"user_id", "session_id", "app_name"}
    own = sorted(name for name in others if not name.startswith(("__", "checkpoint")))
    return f", only {', '.join(map(shorten, own[:5]))}" if own else ""


def name_anew(messages: Iterable[BaseMessage], known: Collection[str]) -> list[BaseMessage]:
    """Give answers that have the id of one before, as out of a cache, one of their own."""
    taken, named = set(known), []
    for message in messages:
        if isinstance(message, AIMessage) and message.id in taken:
            message = message.model_copy(update={"id": f"lc_run--{uuid4()}"})
        taken.add(message.id or "")
        named.append(message)
    return named
