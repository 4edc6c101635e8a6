"""Where messages stand in what a runnable takes and gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage

from langchain_redis_session._verbs.arguments import list_messages
from langchain_redis_session.errors import UnserializableMessageError, shorten

_FORMS = "a string, a message, a list of messages, or a dict with one of them"


@dataclass(frozen=True, slots=True)
class Forms:
    """The names under which messages stand in dicts.

    Attributes:
        input_key: Of the user's messages in the input; None = the only one there is, or "input".
        history_key: Where the runnable expects what came before; None = with these.
        output_key: Of the answer in the output; None = the only one there is, or "output".
    """

    input_key: str | None = None
    history_key: str | None = None
    output_key: str | None = None

    def read_input(self, value: Any) -> list[BaseMessage]:
        """Give what the user says.

        Raises:
            UnserializableMessageError: That is no message.
        """
        if self.history_key is not None and not isinstance(value, Mapping):
            raise UnserializableMessageError(
                f"the input must be a dict, as history_messages_key={self.history_key!r} is added "
                f"to it, not {shorten(value)}"
            )
        found = _pick(value, self.input_key, "input")
        if isinstance(found, str):
            return [HumanMessage(found)]
        if isinstance(found, (list, tuple)) and len(found) == 1 and isinstance(found[0], list):
            found = found[0]  # as chat models batch their inputs
        return _list("input", found)

    def make_input(
        self, value: Any, history: Sequence[BaseMessage], new: Sequence[BaseMessage]
    ) -> Any:
        """Give what the runnable takes.

        Args:
            value: The input.
            history: What came before.
            new: What the user says.
        """
        if self.history_key is not None:
            return {**value, self.history_key: [*history]}
        if self.input_key is not None:
            return {**value, self.input_key: [*history, *new]}
        return [*history, *new]

    def read_output(self, value: Any) -> list[BaseMessage]:
        """Give what was answered.

        Raises:
            UnserializableMessageError: That is no message.
        """
        if value is None:
            raise UnserializableMessageError(
                f"the output must be {_FORMS}, not None: the chain, or its model, gave no answer"
            )
        found = _pick(value, self.output_key, "output")
        return [AIMessage(found)] if isinstance(found, str) else _list("output", found)


def merge_chunks(chunks: Sequence[Any]) -> Any:
    """Put together what was streamed, as LangChain does; None for nothing.

    >>> merge_chunks(["Hel", "lo"]), merge_chunks([1, {"a": 2}])
    ('Hello', {'a': 2})
    """
    if not chunks:
        return None
    if all(isinstance(chunk, str) for chunk in chunks):
        return "".join(chunks)
    first, *rest = chunks
    if rest and all(isinstance(chunk, AIMessageChunk) for chunk in chunks):
        return first + rest  # at once: one by one takes time by the square
    return reduce(_add, rest, first)


def _add(before: Any, chunk: Any) -> Any:
    try:
        return before + chunk
    except TypeError:  # whole values, each in place of the one before
        return chunk


def _pick(value: Any, key: str | None, default: str) -> Any:
    if not isinstance(value, Mapping):
        return value
    if key is None:
        key = next(iter(value)) if len(value) == 1 else default
    if {"role", "content"} <= value.keys() and key not in value:
        raise UnserializableMessageError(
            f"the {default} is a dict, but names no {key!r}: {shorten(dict(value))}; a message "
            "that is a dict goes into a list"
        )
    if key not in value:
        raise UnserializableMessageError(
            f"the {default} has no {key!r}, only {shorten(list(value))}; {default}_messages_key= "
            "says where its messages stand"
        )
    return value[key]


def _list(name: str, value: Any) -> list[BaseMessage]:
    if not isinstance(value, (BaseMessage, list, tuple)):
        raise UnserializableMessageError(f"the {name} must be {_FORMS}, not {shorten(value)}")
    return list_messages(name, value)
