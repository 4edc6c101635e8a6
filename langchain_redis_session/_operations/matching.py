"""Tests of an event: its kind, its role, its filter key, its text."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import islice
from typing import Any

from langchain_core.messages import BaseMessage, ChatMessage

from langchain_redis_session.errors import ConfigurationError, shorten
from langchain_redis_session.models import Event, is_from_user

INTERRUPTED = "interrupted"
"""The label of an answer that was cut off, in `Event.tag`."""

_ROLES = {
    "human": "user",
    "ai": "assistant",
    "tool": "tool",
    "function": "tool",
    "system": "system",
}
_TERM = re.compile(r'"([^"]*)"|(\S+)')
_MOST_TERMS = 64
_PIECE = 1000
# Words in scripts that part them by spaces; where they don't (Chinese, Thai, …), a word is found
# wherever it stands.
_WORD = r"[0-9A-Za-z_\u00AA-\u0DFF\u10A0-\u177F\u1800-\u1FFF]+"


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


def is_whole(event: Event) -> bool:
    """Whether an event holds a message that was not cut off."""
    return has_message(event) and not (event.tag and INTERRUPTED in event.tag.split(";"))


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

    Case does not matter, nor how much white space parts the words of a phrase. A test takes as
    long as the text is long, for each word and phrase.

    Raises:
        ConfigurationError: The query holds no word, or too many.

    >>> matches = compile_query('berlin "cheap  hotel"')
    >>> matches("A cheap hotel in Berlin?"), matches("A hotel in Berlin, cheap")
    (True, False)
    """
    if not isinstance(query, str):
        raise ConfigurationError(f"query must be a string, not {shorten(query)}")
    found = ((match[1] or match[2] or "").casefold().split() for match in _TERM.finditer(query))
    terms = list(islice(filter(None, found), _MOST_TERMS + 1))
    if not terms:
        raise ConfigurationError(f"query={shorten(query)} holds no word to search for")
    if len(terms) > _MOST_TERMS:
        raise ConfigurationError(
            f"query={shorten(query)} holds over {_MOST_TERMS} words and phrases; search for the "
            "words that tell most"
        )
    longest = {max(words, key=len) for words in terms}
    marked = {_mark(words) for words in terms}

    def matches(text: str) -> bool:
        folded = text.casefold()
        # Most texts have not even these, and need not be looked at word by word.
        if not all(word in folded for word in longest):
            return False
        shown = _mark(folded.split())
        return all(term in shown for term in marked)

    return matches


def _mark(words: Sequence[str]) -> str:
    r"""Put words together so that a term is found where its words begin and end.

    >>> _mark(["c++", "東京2"])
    '\nc\n++ 東京\n2\n'
    """
    # Piece by piece: other threads have their turn in between.
    pieces = (" ".join(words[at : at + _PIECE]) for at in range(0, len(words), _PIECE))
    return " ".join(re.sub(_WORD, "\n\\g<0>\n", piece) for piece in pieces)


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
