"""Ids as callers have them, and those of messages that come again."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any
from uuid import UUID, uuid4

from langchain_core.messages import AIMessage, BaseMessage

from langchain_redis_session._connections.checks import tell_of_client
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
    others -= {"user_id", "session_id", "thread_id", "app_name"}
    own = sorted(name for name in others if not name.startswith(("__", "checkpoint")))
    return f", only {', '.join(map(shorten, own[:5]))}" if own else ""


def find_session_id(configurable: Mapping[str, Any]) -> Any:
    """Give the session that a run's config names: as `session_id`, else as LangGraph's `thread_id`.

    A chain may run within a graph, whose thread is the checkpointer's and need not be the session.

    >>> find_session_id({"thread_id": "s1"}), find_session_id({"session_id": 7, "thread_id": "t1"})
    ('s1', '7')
    """
    return as_text(configurable.get("session_id")) or as_text(configurable.get("thread_id")) or None


def tell_of_run(name: str) -> str:
    """Say where a run's own ids, and options of clients, are given; "" for other names."""
    if name in ("user_id", "session_id", "thread_id"):
        return f"; each run names its own: config={{'configurable': {{{name!r}: …}}}}"
    return tell_of_client(name)


def name_anew(messages: Iterable[BaseMessage], known: Collection[str]) -> list[BaseMessage]:
    """Give answers that have the id of one before, as out of a cache, one of their own."""
    taken, named = set(known), []
    for message in messages:
        if isinstance(message, AIMessage) and message.id in taken:
            message = message.model_copy(update={"id": f"lc_run--{uuid4()}"})
        taken.add(message.id or "")
        named.append(message)
    return named
