"""Tests of an event: its kind, its role, its filter key, its text."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable
from typing import Any

from langchain_core.messages import BaseMessage, ChatMessage

from langchain_redis_session.errors import ConfigurationError, shorten
from langchain_redis_session.models import Event, is_from_user

_ROLES = {
    "human": "user",
    "ai": "assistant",
    "tool": "tool",
    "function": "tool",
    "system": "system",
}
_TERM = re.compile(r'"([^"]*)"|(\S+)')
# Letters of scripts that part words by spaces; where they don't (Chinese, Thai, …), a word
# is found wherever it stands.
_LETTER = r"[0-9A-Za-z_\u00AA-\u0DFF\u10A0-\u177F\u1800-\u1FFF]"


def is_human(item: Any) -> bool:
    """Whether an event holds a user's message."""
    message = getattr(item, "message", None)
    return message is not None and is_from_user(message)


def is_result(item: Any) -> bool:
    """Whether an event holds a tool's result."""
    message = getattr(item, "message", None)
    return message is not None and message.type == "tool"


def is_system(item: Any) -> bool:
    """Whether an event holds a system message."""
    message = getattr(item, "message", None)
    return message is not None and message.type == "system"


def has_message(event: Event) -> bool:
    """Whether an event holds a message."""
    return event.message is not None


def find_newest_message(newest_first: Iterable[Event]) -> BaseMessage | None:
    """Give the newest message of events; None if they hold none."""
    for event in newest_first:
        if event.message is not None:
            return (event.message, *event.further_messages)[-1]
    return None


def is_below(filter_key: str, other: str) -> bool:
    """Whether a filter key is the other one or lies below it, segment by segment.

    >>> is_below("app/tools/search", "app/tools"), is_below("app/toolbox", "app/tool")
    (True, False)
    >>> is_below("app", "")  # the whole session
    True
    """
    return not other or filter_key == other or filter_key.startswith(other + "/")


def compile_query(query: str) -> Callable[[str], bool]:
    """Make a test of a query: every word and every "quoted phrase" must stand in the text.

    Case does not matter, nor how much white space parts the words of a phrase.

    Raises:
        ConfigurationError: The query holds no word.

    >>> matches = compile_query('berlin "cheap  hotel"')
    >>> matches("A cheap hotel in Berlin?"), matches("A hotel in Berlin, cheap")
    (True, False)
    """
    if not isinstance(query, str):
        raise ConfigurationError(f"query must be a string, not {shorten(query)}")
    terms = [(phrase or word).casefold().split() for phrase, word in _TERM.findall(query)]
    patterns = [_compile_term(words) for words in terms if words]
    if not patterns:
        raise ConfigurationError(f"query={query!r} holds no word to search for")

    def matches(text: str) -> bool:
        folded = text.casefold()
        return all(pattern.search(folded) for pattern in patterns)

    return matches


def _compile_term(words: list[str]) -> re.Pattern[str]:
    term = r"\s+".join(map(re.escape, words))
    before = f"(?<!{_LETTER})" if re.match(_LETTER, words[0][0]) else ""
    behind = f"(?!{_LETTER})" if re.match(_LETTER, words[-1][-1]) else ""
    return re.compile(before + term + behind)


def compile_roles(roles: Collection[str] | None) -> Callable[[Event], bool]:
    """Make a test of an event's role; without roles, every event passes.

    Raises:
        ConfigurationError: A role does not exist.
    """
    if roles is None:
        return lambda _event: True
    known = sorted(set(_ROLES.values()))
    wanted = list(roles) if isinstance(roles, Iterable) and not isinstance(roles, str) else [roles]
    if isinstance(roles, str) or any(role not in known for role in wanted):
        raise ConfigurationError(
            f"roles must be a list of {', '.join(known)}; not {shorten(roles)}"
        )
    return lambda event: event.message is not None and _role_of(event.message) in wanted


def _role_of(message: BaseMessage) -> str | None:
    return message.role if isinstance(message, ChatMessage) else _ROLES.get(message.type)
