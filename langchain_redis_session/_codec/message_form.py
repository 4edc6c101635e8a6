"""What the writer and the reader of messages share: classes, fields, names.

A message is stored as Go's message, its usage, and `extensions.langchain`. The natural
form is what trpc-agent-go reads. The extension holds only what the natural form can't:
`{"v":1,"type":"ai","data":{field: value}}`, where a field in `data` stands for the
message's whole field, except that

- `additional_kwargs` leaves out the natural `reasoning_content`,
- `usage_metadata` leaves out the natural token counts.

Values in `data` may be tagged (see `_tags`).
"""

from __future__ import annotations

from collections.abc import Callable
from operator import itemgetter
from typing import Any, NamedTuple

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from pydantic import BaseModel

EXTENSION_VERSION = 1

MESSAGE_BYTES = 1500
"""About what a message takes in memory, but for what it says."""

CLASSES: dict[str, type[BaseMessage]] = {
    "human": HumanMessage,
    "ai": AIMessage,
    "system": SystemMessage,
    "tool": ToolMessage,
    "function": FunctionMessage,
    "chat": ChatMessage,
}
TYPES = {
    **{name: name for name in CLASSES},
    **{f"{cls.__name__}Chunk": name for name, cls in CLASSES.items()},
}
"""The values of a message's `type`, and the class that each names."""
NAMES = {cls: name for name, cls in CLASSES.items()}
ROLES = {
    "human": "user",
    "ai": "assistant",
    "system": "system",
    "tool": "tool",
    "function": "tool",
}
BY_ROLE = {"user": "human", "assistant": "ai", "system": "system", "tool": "tool"}

KNOWN_MEMBERS = frozenset(
    ("role", "content", "content_parts", "tool_id", "tool_name", "tool_calls", "reasoning_content")
)
"""The members of Go's message that stand for a field here."""

TOKEN_COUNTS = {
    "prompt_tokens": "input_tokens",
    "completion_tokens": "output_tokens",
    "total_tokens": "total_tokens",
}
"""Go's names of the token counts, and LangChain's."""


class EncodedMessage(NamedTuple):
    """A message as it stands in the stored event."""

    message: dict[str, Any]
    usage: dict[str, Any] | None
    extension: dict[str, Any] | None


def has_payload(natural: dict[str, Any]) -> bool:
    """Whether Go's message says anything; without an extension, one that doesn't is none."""
    return bool(
        natural.get("content")
        or natural.get("tool_calls")
        or natural.get("tool_id")
        or natural.get("content_parts")
        or natural.get("reasoning_content")
    )


# --- What fields may hold. Checked on writing too: what is written must be readable. ---


def _is_content(value: Any) -> bool:
    return isinstance(value, str) or (
        isinstance(value, list) and all(isinstance(item, (str, dict)) for item in value)
    )


def _is_text_or_none(value: Any) -> bool:
    return value is None or isinstance(value, str)


def _is_tool_calls(value: Any) -> bool:
    return isinstance(value, list) and (
        not value
        or all(
            isinstance(call, dict)
            and isinstance(call.get("name"), str)
            and isinstance(call.get("args"), dict)
            and _is_text_or_none(call.get("id", 0))
            for call in value
        )
    )


def _is_invalid_tool_calls(value: Any) -> bool:
    return isinstance(value, list) and (
        not value
        or all(
            isinstance(call, dict)
            and all(_is_text_or_none(call.get(k)) for k in ("name", "args", "id", "error"))
            for call in value
        )
    )


def _is_usage(value: Any) -> bool:
    return value is None or (
        isinstance(value, dict)
        and all(
            isinstance(value.get(name, {}), dict)
            for name in ("input_token_details", "output_token_details")
        )
    )


_CHECKS: dict[str, Callable[[Any], bool]] = {
    "content": _is_content,
    "additional_kwargs": lambda value: isinstance(value, dict),
    "response_metadata": lambda value: isinstance(value, dict),
    "name": _is_text_or_none,
    "id": _is_text_or_none,
    "tool_calls": _is_tool_calls,
    "invalid_tool_calls": _is_invalid_tool_calls,
    "usage_metadata": _is_usage,
    "tool_call_id": lambda value: isinstance(value, str),
    "status": lambda value: isinstance(value, str) and value in ("success", "error"),
    "role": lambda value: isinstance(value, str),
}


class Shape:
    """The fields of a message class with their defaults, to make messages quickly."""

    def __init__(self, cls: type[BaseMessage]) -> None:
        self.cls = cls
        self.values: dict[str, Any] = {}
        self.factories: list[tuple[str, Any]] = []
        self.checks: dict[str, Callable[[Any], bool]] = {}
        for name, field in cls.model_fields.items():
            factory: Any = field.default_factory
            if isinstance(field.default, (list, dict)):  # in langchain-core 1.0
                factory = field.default.copy
            if factory is not None:
                self.values[name] = None  # keeps the order of the fields
                self.factories.append((name, factory))
            else:
                self.values[name] = None if field.is_required() else field.default
            if name in _CHECKS:
                self.checks[name] = _CHECKS[name]
        if cls is FunctionMessage:
            self.checks["name"] = lambda value: isinstance(value, str)
        self._get_others = itemgetter(*(name for name in self.checks if name != "content"))
        self._no_others = self._get_others(self.make({}, {}).__dict__)
        self._dicts = [name for name, factory in self.factories if type(factory()) is dict]
        self._lists = [name for name, factory in self.factories if type(factory()) is list]
        self._needs_others = len([f for f in cls.model_fields.values() if f.is_required()]) > 1

    def is_only_content(self, fields: dict[str, Any]) -> bool:
        """Whether all other fields, whose types are right, are there and have their defaults."""
        try:
            return not self._needs_others and self._get_others(fields) == self._no_others
        except KeyError:
            return False

    def make(self, fields: dict[str, Any], extra: dict[str, Any]) -> BaseMessage:
        """Make a message of fields that are right, without running validators."""
        values = {**self.values, **fields}
        for name, factory in self.factories:
            if name not in fields:
                values[name] = factory()
        return self.construct(values, {*fields, *extra}, extra)

    def make_text(self, content: str) -> BaseMessage:
        """Make a message of nothing but a text; as `make`, quicker."""
        values = self.values.copy()
        values["content"] = content
        for name in self._dicts:
            values[name] = {}
        for name in self._lists:
            values[name] = []
        message: BaseMessage = object.__new__(self.cls)
        _set_values(message, values)
        _set_fields_set(message, {"content"})
        _set_extra(message, {})
        _set_private(message, None)
        return message

    def start(self, content: str) -> dict[str, Any]:
        """Give all fields of a message of nothing but a text."""
        values = self.values.copy()
        values["content"] = content
        for name in self._dicts:
            values[name] = {}
        for name in self._lists:
            values[name] = []
        return values

    def construct(
        self, values: dict[str, Any], fields_set: set[str], extra: dict[str, Any]
    ) -> BaseMessage:
        """Make a message of all its fields; which of them were set counts for `model_dump`."""
        # As BaseModel.model_construct does, at a fraction of its time.
        message: BaseMessage = object.__new__(self.cls)
        _set_values(message, values)
        _set_fields_set(message, fields_set)
        _set_extra(message, extra)
        _set_private(message, None)
        return message


_set_values, _set_fields_set, _set_extra, _set_private = (
    vars(BaseModel)[name].__set__
    for name in (
        "__dict__",
        "__pydantic_fields_set__",
        "__pydantic_extra__",
        "__pydantic_private__",
    )
)


SHAPES = {name: Shape(cls) for name, cls in CLASSES.items()}
SHAPE_OF = {shape.cls: shape for shape in SHAPES.values()}
