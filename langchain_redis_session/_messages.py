"""LangChain messages <-> Go's message, its usage, and `extensions.langchain`.

The natural form is what trpc-agent-go reads. The extension holds only what the natural
form can't: `{"v":1,"type":"ai","data":{field: value}}`, where a field in `data` stands
for the message's whole field, except that

- `additional_kwargs` leaves out the natural `reasoning_content`,
- `usage_metadata` leaves out the natural token counts.

Values in `data` may be tagged (see `_tags`). Reading takes the class from a fixed map
and sets the fields as they are: the classes' validators would change some (they fill
`tool_calls` from `additional_kwargs`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Literal, NamedTuple

from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
)
from pydantic_core import to_jsonable_python

from langchain_redis_session._content_parts import decode_parts, encode_parts
from langchain_redis_session._plain_json import (
    approximate_text,
    is_plain,
    is_text,
    refuse,
    show,
)
from langchain_redis_session._tags import Tagger, tag_items, untag
from langchain_redis_session._tool_calls import (
    decode_tool_calls,
    encode_tool_calls,
    parse_arguments,
    read_arguments,
)
from langchain_redis_session.errors import CorruptEventError, UnserializableMessageError

logger = logging.getLogger("langchain_redis_session")

EXTENSION_VERSION = 1

Artifacts = Literal["raise", "drop"]

_CLASSES: dict[str, type[BaseMessage]] = {
    "human": HumanMessage,
    "ai": AIMessage,
    "system": SystemMessage,
    "tool": ToolMessage,
    "function": FunctionMessage,
    "chat": ChatMessage,
}
_NAMES = {cls: name for name, cls in _CLASSES.items()}
_ROLES = {
    "human": "user",
    "ai": "assistant",
    "system": "system",
    "tool": "tool",
    "function": "tool",
}
_BY_ROLE = {"user": "human", "assistant": "ai", "system": "system", "tool": "tool"}

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


# --- What fields may hold. Checked on writing too: what is written must be readable. ---


def _is_content(value: Any) -> bool:
    return isinstance(value, str) or (
        isinstance(value, list) and all(isinstance(item, (str, dict)) for item in value)
    )


def _is_text_or_none(value: Any) -> bool:
    return value is None or isinstance(value, str)


def _is_tool_calls(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(call, dict)
        and isinstance(call.get("name"), str)
        and isinstance(call.get("args"), dict)
        and _is_text_or_none(call.get("id", 0))
        for call in value
    )


def _is_invalid_tool_calls(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(call, dict)
        and all(_is_text_or_none(call.get(k)) for k in ("name", "args", "id", "error"))
        for call in value
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


class _Shape:
    """The fields of a message class with their defaults, to make messages quickly."""

    def __init__(self, cls: type[BaseMessage]) -> None:
        self.cls = cls
        self.values: dict[str, Any] = {}
        self.factories: list[tuple[str, Any]] = []
        self.checks: dict[str, Callable[[Any], bool]] = {}
        for name, field in cls.model_fields.items():
            if field.default_factory is not None:
                self.values[name] = None  # keeps the order of the fields
                self.factories.append((name, field.default_factory))
            else:
                self.values[name] = None if field.is_required() else field.default
            if name in _CHECKS:
                self.checks[name] = _CHECKS[name]
        if cls is FunctionMessage:
            self.checks["name"] = lambda value: isinstance(value, str)

    def make(self, fields: dict[str, Any], extra: dict[str, Any]) -> BaseMessage:
        """Make a message of fields that are right, without running validators."""
        values = self.values.copy()
        for name, factory in self.factories:
            if name not in fields:
                values[name] = factory()
        values.update(fields)
        message = self.cls.__new__(self.cls)
        # As BaseModel.model_construct does, at a fifth of its time.
        set_attribute = object.__setattr__
        set_attribute(message, "__dict__", values)
        set_attribute(message, "__pydantic_fields_set__", {*fields, *extra})
        set_attribute(message, "__pydantic_extra__", extra)
        set_attribute(message, "__pydantic_private__", None)
        return message


_SHAPES = {name: _Shape(cls) for name, cls in _CLASSES.items()}


# --- Writing ---


def encode_message(message: BaseMessage, artifacts: Artifacts = "raise") -> EncodedMessage:
    """Write a message.

    Args:
        message: Any message or chunk of langchain-core, or a subclass of one.
        artifacts: What to do with an artifact that can't be made plain data.

    Raises:
        UnserializableMessageError: The message holds what JSON can't carry.

    >>> encode_message(HumanMessage("hi")).message
    {'role': 'user', 'content': 'hi'}
    >>> encode_message(AIMessage("", id="r1")).extension
    {'v': 1, 'type': 'ai', 'data': {'id': 'r1'}}
    """
    name = _NAMES.get(type(message))
    if name is not None:
        fields: dict[str, Any] = message.__dict__
        extra = message.__pydantic_extra__
    else:
        name, fields, extra = _as_base(message)
    shape = _SHAPES[name]
    for field, check in shape.checks.items():
        if not check(fields.get(field)):
            _refuse_field(shape, field, fields.get(field))
    return _Writer(name, fields, artifacts).write(extra)


def _as_base(message: Any) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Give a chunk or a custom message as the message of langchain-core that it is."""
    cls = type(message)
    base = next((c for c in cls.__mro__ if c in _NAMES), None)
    if base is None:
        if isinstance(message, RemoveMessage):
            reason = "RemoveMessage is an instruction, not part of a history; don't store it"
        else:
            reason = f"{cls.__name__} is not a message that can be stored; use one of " + ", ".join(
                c.__name__ for c in _CLASSES.values()
            )
        refuse("message", reason)
    dropped = {"type"}
    if isinstance(message, AIMessageChunk):
        dropped |= {"tool_call_chunks", "chunk_position"}
    fields: dict[str, Any] = {}
    extra = dict(message.__pydantic_extra__ or {})
    for name in cls.model_fields:
        if name not in dropped and name in message.__dict__:
            target = fields if name in base.model_fields else extra
            target[name] = message.__dict__[name]
    if isinstance(message, AIMessageChunk):
        # As `message_chunk_to_message` does: the constructor reads the tool calls that
        # only `additional_kwargs` holds.
        with suppress(Exception):  # of a message that was changed after it was made
            fields = AIMessage(**fields).__dict__
    return _NAMES[base], fields, extra


def _refuse_field(shape: _Shape, field: str, value: Any) -> None:
    path = f"message.{field}"
    if field == "content" and isinstance(value, list):
        for index, item in enumerate(value):
            if not isinstance(item, (str, dict)):
                path, value = f"{path}[{index}]", item
                break
    refuse(
        path,
        f"{type(value).__name__} is not what {shape.cls.__name__} holds there: "
        f"{show(value)}; give it the documented type",
    )


class _Writer:
    """Writes one message: `natural` is what Go reads, `data` what else is needed."""

    def __init__(self, name: str, fields: dict[str, Any], artifacts: Artifacts) -> None:
        self.name = name
        self.fields = fields
        self.artifacts = artifacts
        self.natural: dict[str, Any] = {}
        self.data: dict[str, Any] = {}
        self.usage: dict[str, Any] | None = None
        self.spellings: list[bytes | None] = []

    def write(self, extra: dict[str, Any] | None) -> EncodedMessage:
        """Write all fields."""
        name, fields, natural, data = self.name, self.fields, self.natural, self.data
        natural["role"] = _ROLES.get(name) or self._write_role()
        content = fields["content"]
        content_is_natural = True
        if type(content) is str and is_text(content):
            if content:
                natural["content"] = content
        else:
            content_is_natural = self._write_content(content)
        if name == "tool":
            if fields["tool_call_id"]:
                self._write_text("tool_id", "tool_call_id")
            if fields["name"] is not None:
                self._write_text("tool_name", "name")
            if fields["status"] != "success":
                data["status"] = self._value(fields["status"], "message.status")
            if fields["artifact"] is not None:
                self._write_artifact(fields["artifact"])
        elif name == "function":
            if fields["name"]:
                self._write_text("tool_name", "name")
        elif fields["name"] is not None:
            data["name"] = self._value(fields["name"], "message.name")
        if fields["id"] is not None:
            data["id"] = self._value(fields["id"], "message.id")
        if name == "ai":
            if fields["tool_calls"] or fields["invalid_tool_calls"]:
                self._write_tool_calls(fields["tool_calls"], fields["invalid_tool_calls"])
            if fields["usage_metadata"] is not None:
                self._write_usage(fields["usage_metadata"])
        if not content_is_natural:
            # Not before the tool calls: its blocks may repeat their arguments.
            data["content"] = self._tag(content, "message.content")
        if fields["additional_kwargs"]:
            self._write_additional_kwargs(fields["additional_kwargs"])
        if fields["response_metadata"]:
            data["response_metadata"] = self._value(
                fields["response_metadata"], "message.response_metadata"
            )
        if extra:
            for key, value in extra.items():
                data[key] = self._value(value, f"message.{key}")
        return EncodedMessage(natural, self.usage, self._extension())

    def _extension(self) -> dict[str, Any] | None:
        data, natural = self.data, self.natural
        if data:
            if not is_plain(dict.fromkeys(data)):
                data = tag_items([(_TAGGER.copy_key(k, "message"), v) for k, v in data.items()])
            return {"v": EXTENSION_VERSION, "type": self.name, "data": data}
        if self.name == _BY_ROLE.get(natural["role"]) and has_payload(natural):
            return None
        return {"v": EXTENSION_VERSION, "type": self.name}

    def _value(self, value: Any, path: str) -> Any:
        """Give a value for `data`."""
        return value if is_plain(value) else _TAGGER.copy(value, path)

    def _tag(self, value: Any, path: str) -> Any:
        """Give a value for `data` that may repeat what the natural message holds."""
        calls = self.natural.get("tool_calls", ())
        arguments = [call["function"]["arguments"] for call in calls]
        tagger = Tagger(self.natural.get("content", ""), arguments, self.spellings)
        return tagger.copy(value, path)

    def _write_role(self) -> str:
        role = self._value(self.fields["role"], "message.role")
        if type(role) is str and role in _BY_ROLE:
            return role
        self.data["role"] = role
        return "user"

    def _write_text(self, member: str, field: str) -> None:
        """Write a field as a natural member, or what it can show of it."""
        value = self._value(self.fields[field], f"message.{field}")
        if type(value) is not str:
            self.data[field] = value
            value = approximate_text(self.fields[field])
        if value:
            self.natural[member] = value
        else:  # an absent member means None
            self.data[field] = value

    def _write_content(self, content: Any) -> bool:
        """Write content that is no plain string; tell whether reading gives it back."""
        if isinstance(content, str):
            exact = type(_TAGGER.copy(content, "message.content")) is str
            text = approximate_text(str.__str__(content))
        elif content and is_plain(content) and (encoded := encode_parts(content)):
            text, self.natural["content_parts"] = encoded
            exact = True
        else:
            text, exact = _joined_text(content), False
        if text:
            self.natural["content"] = text
        return exact

    def _write_tool_calls(self, calls: list[Any], invalid_calls: list[Any]) -> None:
        if not is_plain(calls):
            copied = _TAGGER.copy(calls, "message.tool_calls")
            # Without tags, only tuples or subclasses were odd, and the copy is as good.
            calls = [c if is_plain(c) else call for c, call in zip(copied, calls, strict=True)]
        natural, self.spellings, exact, exact_invalid = encode_tool_calls(
            calls, invalid_calls, self.fields["additional_kwargs"]
        )
        if natural:
            self.natural["tool_calls"] = natural
        if not exact:
            self.data["tool_calls"] = self._tag(calls, "message.tool_calls")
        if not exact_invalid:
            path = "message.invalid_tool_calls"
            self.data["invalid_tool_calls"] = self._tag(invalid_calls, path)

    def _write_usage(self, usage: dict[str, Any]) -> None:
        counts = [usage.get(name) for name in TOKEN_COUNTS.values()]
        rest: dict[str, Any] = usage
        # Go's int has 64 bits: it would refuse the whole event for a larger one.
        if all(type(n) is int and -(2**63) <= n < 2**63 for n in counts):
            self.usage = dict(zip(TOKEN_COUNTS, counts, strict=True))
            rest = {k: v for k, v in usage.items() if k not in _TOKEN_FIELDS}
            if not rest:
                return
        self.data["usage_metadata"] = self._value(rest, "message.usage_metadata")

    def _write_additional_kwargs(self, kwargs: dict[Any, Any]) -> None:
        path = "message.additional_kwargs"
        reasoning = kwargs.get("reasoning_content")
        if type(reasoning) is str and reasoning:
            self.natural["reasoning_content"] = text = approximate_text(reasoning)
            if text == reasoning:
                kwargs = {k: v for k, v in kwargs.items() if k != "reasoning_content"}
                if not kwargs:
                    return
        repeats = "tool_calls" in kwargs and "tool_calls" in self.natural
        self.data["additional_kwargs"] = (
            self._tag(kwargs, path) if repeats else self._value(kwargs, path)
        )

    def _write_artifact(self, artifact: Any) -> None:
        path = "message.artifact"
        try:
            self.data["artifact"] = self._value(artifact, path)
            return
        except UnserializableMessageError:
            pass
        try:
            self.data["artifact"] = self._value(to_jsonable_python(artifact), path)
        except Exception as error:  # it runs code of the artifact's class
            kind = type(artifact).__name__
            if self.artifacts == "drop":
                logger.warning("A tool's artifact (%s) can't be made JSON and is left out.", kind)
                return
            raise UnserializableMessageError(
                f"{path}: {kind} can't be made JSON; store plain data, or set "
                'unserializable_artifacts="drop" to leave such artifacts out'
            ) from error


_TAGGER = Tagger()
_TOKEN_FIELDS = frozenset(TOKEN_COUNTS.values())


def _joined_text(content: list[Any]) -> str:
    """Give the text of content blocks, for readers that know only text."""
    texts = []
    for block in content:
        text = block
        if isinstance(block, dict):
            text = block.get("text") if block.get("type") == "text" else None
        if isinstance(text, str):
            texts.append(approximate_text(str.__str__(text)))
    return "".join(texts)


def has_payload(natural: dict[str, Any]) -> bool:
    """Whether Go's message says anything; without an extension, one that doesn't is none."""
    return bool(
        natural.get("content")
        or natural.get("tool_calls")
        or natural.get("tool_id")
        or natural.get("content_parts")
    )


# --- Reading ---


class _References:
    """What the references in an extension point into: the natural message."""

    def __init__(self, natural: dict[str, Any]) -> None:
        self._natural = natural
        self._arguments: list[str] | None = None

    def content(self, start: int, length: int) -> str:
        content = text_member(self._natural, "content")
        if start + length > len(content):
            raise LookupError
        return content[start : start + length]

    def arguments(self, index: int) -> str:
        if self._arguments is None:
            self._arguments = read_arguments(self._natural.get("tool_calls"))
        return self._arguments[index]

    def args(self, index: int) -> Any:
        args = parse_arguments(self.arguments(index))
        if args is None:
            raise LookupError
        return args


def decode_message(
    natural: dict[str, Any],
    usage: dict[str, Any] | None,
    extension: Any,
    *,
    author: str = "",
    tagged: bool = True,
) -> BaseMessage | None:
    """Read a message.

    Args:
        natural: Go's message; empty if there is none.
        usage: Go's usage.
        extension: The stored `extensions.langchain`, or None.
        author: The event's author, which stands for a missing role.
        tagged: Whether the extension may hold tags.

    Returns:
        The message; None if Go's message is empty and there is no extension.

    Raises:
        CorruptEventError: Nothing that `encode_message` or Go writes.
    """
    data: dict[str, Any] = {}
    role = text_member(natural, "role")
    if extension is None:
        if not has_payload(natural):
            return None
        by_author = "human" if author == "user" else "ai"
        name = _BY_ROLE.get(role, "chat") if role else by_author
    else:
        name, data = _read_extension(extension, natural, tagged)
    fields = _natural_fields(name, role, natural, usage)
    shape = _SHAPES[name]
    extra: dict[str, Any] = {}
    if data:
        checks, known = shape.checks, shape.values
        for key, value in data.items():
            if key not in known:
                extra[key] = value
                continue
            if key == "type" or (key in checks and not checks[key](value)):
                raise CorruptEventError(f"extensions.langchain.data.{key} has a wrong type")
            if key == "additional_kwargs" and "reasoning_content" not in value:
                fields[key] = {**fields.get(key, {}), **value}
            elif key == "usage_metadata" and value is not None and key in fields:
                fields[key].update(value)
            else:
                fields[key] = value
    if name == "function" and fields.get("name") is None:
        fields["name"] = ""
    return shape.make(fields, extra)


def _natural_fields(
    name: str, role: str, natural: dict[str, Any], usage: dict[str, Any] | None
) -> dict[str, Any]:
    """Read the fields that the natural message holds."""
    fields: dict[str, Any] = {"content": text_member(natural, "content")}
    parts = natural.get("content_parts")
    if parts is not None and parts != []:
        fields["content"] = decode_parts(fields["content"], parts)
    calls = natural.get("tool_calls")
    if calls is not None:
        valid, invalid = decode_tool_calls(calls)
        if valid and name == "ai":
            fields["tool_calls"] = valid
        if invalid and name == "ai":
            fields["invalid_tool_calls"] = invalid
    if name == "tool" or name == "function":
        if name == "tool":
            fields["tool_call_id"] = text_member(natural, "tool_id")
        if tool_name := text_member(natural, "tool_name"):
            fields["name"] = tool_name
    elif name == "chat":
        fields["role"] = role
    elif name == "ai" and usage and (counts := _token_counts(usage)):
        fields["usage_metadata"] = counts
    if reasoning := text_member(natural, "reasoning_content"):
        fields["additional_kwargs"] = {"reasoning_content": reasoning}
    return fields


def _read_extension(
    extension: Any, natural: dict[str, Any], tagged: bool
) -> tuple[str, dict[str, Any]]:
    if type(extension) is not dict:
        raise CorruptEventError("extensions.langchain is not an object")
    version, name = extension.get("v"), extension.get("type")
    if type(version) is not int or version != EXTENSION_VERSION:
        raise CorruptEventError(
            f"extensions.langchain has the unknown version {show(version)}; "
            "a newer langchain-redis-session may read it"
        )
    if type(name) is not str or name not in _CLASSES:
        raise CorruptEventError(
            f"extensions.langchain has the unknown message type {show(name)}; "
            "a newer langchain-redis-session may read it"
        )
    data = extension.get("data")
    if data is None:
        return name, {}
    if tagged:
        data = untag(data, _References(natural))
    if type(data) is not dict:
        raise CorruptEventError("extensions.langchain.data is not an object")
    return name, data


def _token_counts(usage: dict[str, Any]) -> dict[str, Any] | None:
    counts = {}
    found = False
    for theirs, ours in TOKEN_COUNTS.items():
        count = usage.get(theirs)
        if count is None:
            count = 0
        elif type(count) is int:
            found = True
        else:
            raise CorruptEventError(f"usage.{theirs} is {type(count).__name__}, not an integer")
        counts[ours] = count
    return counts if found else None


def text_member(body: dict[str, Any], name: str) -> str:
    """Give a text member; absent and null mean empty, as in Go.

    Raises:
        CorruptEventError: It is something else.
    """
    value = body.get(name)
    if value is None:
        return ""
    if type(value) is not str:
        raise CorruptEventError(f"{name} is {type(value).__name__}, not a string")
    return value
