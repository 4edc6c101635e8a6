"""What a run track says about values: short, plain JSON, whatever the value is.

Nothing here raises: a track that tells of a run must not be able to break it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from langchain_core.documents import Document
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.outputs import LLMResult
from pydantic import BaseModel

from langchain_redis_session._codec.plain_json import approximate_text
from langchain_redis_session.errors import attempt

_LONGEST_NAME = 200
_MOST_TAGS = 20
_DEEPEST = 20
_MOST_VALUES = 10_000
_LARGEST_INT = 2**63
_MAY_BE_EMPTY = (str, dict, list, tuple, set)
_USAGE = {
    "input_tokens": ("input_tokens", "prompt_tokens"),
    "output_tokens": ("output_tokens", "completion_tokens"),
    "total_tokens": ("total_tokens",),
}


def cut_text(text: str, most: int | None) -> str:
    """Give a text of at most `most` characters, and say how many were left out.

    >>> cut_text("abcdef", 4), cut_text("abcd", 4)
    ('abcd… (2 more characters)', 'abcd')
    """
    if most is None or len(text) <= most:
        return approximate_text(text)
    return f"{approximate_text(text[:most])}… ({len(text) - most:,} more characters)"


def show_value(value: object, most: int | None) -> Any:
    """Give a value as plain JSON; as text, cut, where that is longer than `most`.

    >>> show_value({"a": (1, 2.5)}, 100), show_value({"a": "bcdefgh"}, 8)
    ({'a': [1, 2.5]}, '{"a": "b… (8 more characters)')
    """
    if isinstance(value, str):
        return cut_text(str.__str__(value), most)
    shown = _Copier().copy(value)
    if most is None:
        return shown
    text = shown if isinstance(shown, str) else json.dumps(shown, ensure_ascii=False)
    return shown if len(text) <= most else cut_text(text, most)


def show_error(error: object, most: int | None) -> str:
    """Give an error's type and text.

    >>> show_error(ValueError("no such tea"), 100)
    'ValueError: no such tea'
    """
    if not isinstance(error, BaseException):
        return cut_text(_text_of(error), most)
    text = _text_of(error)
    name = type(error).__name__
    return cut_text(f"{name}: {text}" if text else name, most)


def show_name(*candidates: object) -> str:
    """Give the first that is a name."""
    for name in candidates:
        if isinstance(name, str) and name:
            return approximate_text(name[:_LONGEST_NAME])
    return ""


def show_tags(tags: object) -> list[str]:
    """Give the tags that are text."""
    if not isinstance(tags, (list, tuple)):
        return []
    return [show_name(tag) for tag in tags[:_MOST_TAGS] if isinstance(tag, str) and tag]


def serialized_name(serialized: object) -> str:
    """Give the name in what LangChain says about an object: its own, or its class's."""
    if not isinstance(serialized, Mapping):
        return ""
    path = serialized.get("id")
    last = path[-1] if isinstance(path, (list, tuple)) and path else None
    return show_name(serialized.get("name"), last)


def tool_failure(output: object, most: int | None) -> str:
    """Give the text of a tool's result that tells of an error; else ""."""
    if isinstance(output, ToolMessage) and output.status == "error":
        return cut_text(output.text, most) or "error"
    return ""


def model_answers(response: object) -> Any:
    """Give what a model said: messages or texts; one where it is only one."""
    found = [
        getattr(generation, "message", None) or generation.text
        for generations in _generations_of(response)
        for generation in generations
    ]
    return found[0] if len(found) == 1 else found


def count_tokens(response: object) -> dict[str, int]:
    """Add up the tokens that a model's answers took."""
    messages = [
        generation.message
        for generations in _generations_of(response)
        for generation in generations
        if isinstance(getattr(generation, "message", None), AIMessage)
    ]
    sources: Iterable[Any] = [m.usage_metadata for m in messages if m.usage_metadata]
    if not sources:  # as text models and older chat models say it
        output = getattr(response, "llm_output", None)
        known = output if isinstance(output, Mapping) else {}
        sources = [known.get("token_usage") or known.get("usage")]
    total: dict[str, int] = {}
    for source in sources:
        if not isinstance(source, Mapping):
            continue
        for name, spellings in _USAGE.items():
            counts = (source.get(spelling) for spelling in spellings)
            count = next((c for c in counts if isinstance(c, int)), 0)
            if 0 < count < _LARGEST_INT:
                total[name] = total.get(name, 0) + int(count)
    return total


def _generations_of(response: object) -> Sequence[Sequence[Any]]:
    return response.generations if isinstance(response, LLMResult) else []


def _text_of(value: object) -> str:
    return attempt(lambda: str(value), lambda: f"<{type(value).__name__}>")


class _Copier:
    """Copies a value into plain JSON; messages and documents in short."""

    def __init__(self) -> None:
        self._left = _MOST_VALUES

    def copy(self, value: Any, depth: int = 0) -> Any:
        self._left -= 1
        if self._left < 0 or depth > _DEEPEST:
            return "…"
        if value is None or value is True or value is False:
            return value
        kind = type(value)
        if kind is str:
            return approximate_text(value)
        if kind is int and -_LARGEST_INT <= value < _LARGEST_INT:
            return value
        if kind is float and math.isfinite(value):
            return value
        return attempt(  # some objects can't even be looked at
            lambda: self._copy_object(value, depth), lambda: f"<{kind.__name__}>"
        )

    def _copy_object(self, value: Any, depth: int) -> Any:
        if isinstance(value, BaseMessage):
            return self._copy_message(value, depth)
        if isinstance(value, Document):
            return self._copy_members(
                {"page_content": value.page_content, "metadata": value.metadata}, depth
            )
        if isinstance(value, Mapping):
            return {
                approximate_text(_text_of(key)): self.copy(part, depth + 1)
                for key, part in list(value.items())[: max(0, self._left)]
            }
        if is_dataclass(value) and not isinstance(value, type):
            return self._copy_members(
                {f.name: getattr(value, f.name) for f in fields(value)}, depth
            )
        if isinstance(value, BaseModel):
            return self._copy_members(dict(value), depth)
        if isinstance(value, (list, tuple, set, frozenset)):
            return [self.copy(part, depth + 1) for part in list(value)[: max(0, self._left)]]
        if isinstance(value, str):  # a subclass, perhaps an enum's member
            return approximate_text(str.__str__(value))
        return approximate_text(_text_of(value))

    def _copy_members(self, members: dict[str, Any], depth: int) -> Any:
        kept = {
            name: part
            for name, part in members.items()
            if part is not None and not (isinstance(part, _MAY_BE_EMPTY) and not part)
        }
        return self.copy(kept, depth)

    def _copy_message(self, message: BaseMessage, depth: int) -> Any:
        found: dict[str, Any] = {"type": message.type, "content": message.content}
        if isinstance(message, AIMessage) and message.tool_calls:
            found["tool_calls"] = [
                {"name": call["name"], "args": call["args"]} for call in message.tool_calls
            ]
        if isinstance(message, ToolMessage) and message.status == "error":
            found["status"] = "error"
        return self.copy(found, depth)
