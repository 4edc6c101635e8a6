"""LangChain messages -> Go's message, its usage, and `extensions.langchain`."""

from __future__ import annotations

from typing import Any

from langchain_core.messages import AIMessageChunk, BaseMessage, RemoveMessage

from langchain_redis_session._codec.chunks import list_calls
from langchain_redis_session._codec.content_blocks import join_texts, refer
from langchain_redis_session._codec.content_parts import encode_parts, iterate_texts
from langchain_redis_session._codec.conversions import Conversions
from langchain_redis_session._codec.message_conversion import convert_fields
from langchain_redis_session._codec.message_form import (
    BY_ROLE,
    CLASSES,
    EXTENSION_VERSION,
    NAMES,
    ROLES,
    SHAPES,
    TOKEN_COUNTS,
    TYPES,
    EncodedMessage,
    Shape,
    has_payload,
)
from langchain_redis_session._codec.plain_form import make_plain
from langchain_redis_session._codec.plain_json import (
    approximate_text,
    is_plain,
    is_text,
    refuse,
    show,
)
from langchain_redis_session._codec.tags import Tagger, tag_items
from langchain_redis_session._codec.tool_calls import encode_tool_calls
from langchain_redis_session.errors import UnserializableMessageError, attempt, fails_again


def encode_message(message: BaseMessage, conversions: Conversions | None = None) -> EncodedMessage:
    """Write a message.

    Args:
        message: Any message or chunk of langchain-core, or a subclass of one.
        conversions: Who hears of what JSON can't carry; None = it is refused.

    Raises:
        UnserializableMessageError: It is no message; or it holds what JSON can't carry, and
            there are no `conversions`.

    >>> from langchain_core.messages import AIMessage, HumanMessage
    >>> encode_message(HumanMessage("hi")).message
    {'role': 'user', 'content': 'hi'}
    >>> encode_message(AIMessage("", id="r1")).extension
    {'v': 1, 'type': 'ai', 'data': {'id': 'r1'}}
    """
    name = NAMES.get(type(message))
    if name is not None:
        fields: dict[str, Any] = message.__dict__
        extra = message.__pydantic_extra__
    else:
        name, fields, extra = _as_base(message)
    try:
        return _write(name, fields, extra, converts_artifact=conversions is None)
    except Exception as error:  # it may run code of the values' classes
        if conversions is None or not fails_again(error, _write, name, fields, extra):
            raise
    fields, extra = convert_fields(name, fields, extra or {}, conversions)
    return _write(name, fields, extra)


def _write(
    name: str,
    fields: dict[str, Any],
    extra: dict[str, Any] | None,
    *,
    converts_artifact: bool = False,
) -> EncodedMessage:
    shape = SHAPES[name]
    for field, check in shape.checks.items():
        if not check(fields.get(field)):
            _refuse_field(shape, field, fields.get(field))
    if not extra and fields["id"] is None and shape.is_only_content(fields):
        content = fields["content"]
        if content and type(content) is str and is_text(content):  # not worth a writer
            return EncodedMessage({"role": ROLES[name], "content": content}, None, None)
    return _Writer(name, fields, converts_artifact).write(extra)


def _as_base(message: Any) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Give a chunk or a custom message as the message of langchain-core that it is."""
    cls = type(message)
    base = next((c for c in cls.__mro__ if c in NAMES), None) or _class_of_type(message)
    if base is None:
        if isinstance(message, RemoveMessage):
            reason = "RemoveMessage is an instruction, not part of a history; don't store it"
        else:
            reason = f"{cls.__name__} is not a message that can be stored; use one of " + ", ".join(
                c.__name__ for c in CLASSES.values()
            )
        refuse("message", reason)
    dropped = {"type"}
    if isinstance(message, AIMessageChunk):
        dropped |= {"tool_call_chunks", "chunk_position"}
    fields: dict[str, Any] = {}
    extra: dict[str, Any] = {}
    values = {name: message.__dict__[name] for name in cls.model_fields if name in message.__dict__}
    for name, value in {**values, **(message.__pydantic_extra__ or {})}.items():
        if name not in dropped:
            target = fields if name in base.model_fields else extra
            target[name] = value
    if isinstance(message, AIMessageChunk):
        # It may have been changed after it was made.
        fields |= attempt(lambda: list_calls(message), dict)
    if isinstance(message, AIMessageChunk) or not isinstance(message, base):
        # As `message_chunk_to_message` and `messages_from_dict` do: the constructor reads the
        # tool calls that only `additional_kwargs` holds.
        made = attempt(lambda: base(**fields), lambda: None)
        if made is not None:
            return NAMES[base], made.__dict__, extra
    if not isinstance(message, base):
        fields = SHAPES[NAMES[base]].make(fields, {}).__dict__
    return NAMES[base], fields, extra


def _class_of_type(message: Any) -> type[BaseMessage] | None:
    """Give the class that the `type` of a `BaseMessage` names."""
    if not isinstance(message, BaseMessage):
        return None
    name = getattr(message, "type", None)
    return CLASSES.get(TYPES.get(name, "")) if isinstance(name, str) else None


def _refuse_field(shape: Shape, field: str, value: Any) -> None:
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

    def __init__(self, name: str, fields: dict[str, Any], converts_artifact: bool) -> None:
        self.name = name
        self.fields = fields
        self.converts_artifact = converts_artifact
        self.natural: dict[str, Any] = {}
        self.data: dict[str, Any] = {}
        self.usage: dict[str, Any] | None = None
        self.pieces: dict[str, int] = {}
        self.spellings: list[bytes | None] = []
        self.shapes: set[tuple[str, ...]] = set()
        self._tagger: Tagger | None = None

    def write(self, extra: dict[str, Any] | None) -> EncodedMessage:
        """Write all fields."""
        name, fields, natural, data = self.name, self.fields, self.natural, self.data
        natural["role"] = ROLES.get(name) or self._write_role()
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
            data["content"] = self._refer(content)
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
        if self.name == BY_ROLE.get(natural["role"]) and has_payload(natural):
            return None
        return {"v": EXTENSION_VERSION, "type": self.name}

    def _value(self, value: Any, path: str) -> Any:
        """Give a value for `data`."""
        return value if is_plain(value) else _TAGGER.copy(value, path)

    def _make_tagger(self) -> Tagger:
        calls = self.natural.get("tool_calls", ())
        arguments = [call["function"]["arguments"] for call in calls]
        parts = self.natural.get("content_parts", [])
        texts = {text: (place, name) for place, name, text in iterate_texts(parts)}
        return Tagger(
            self.natural.get("content", ""),
            pieces=self.pieces,
            arguments=arguments,
            args=self.spellings,
            shapes=self.shapes,
            parts=texts,
        )

    def _tag(self, value: Any, path: str) -> Any:
        """Give a value for `data` that may repeat what the natural message holds.

        Not before that has its content and its tool calls.
        """
        if self._tagger is None:  # no cached_property: before Python 3.12 it has a lock
            self._tagger = self._make_tagger()
        return self._tagger.copy(value, path)

    def _refer(self, content: Any) -> Any:
        """Give content that refers to the natural message; not before that has its tool calls."""
        path = "message.content"
        if "content_parts" in self.natural or isinstance(content, str):
            return self._tag(content, path)
        calls = self.natural.get("tool_calls", ())
        arguments = [call["function"]["arguments"] for call in calls]
        return refer(self._value(content, path), self.pieces, arguments, self.spellings)

    def _write_role(self) -> str:
        role = self._value(self.fields["role"], "message.role")
        if type(role) is str and role in BY_ROLE:
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
        elif encoded := encode_parts(content):
            text, self.natural["content_parts"], exact = encoded
            exact = exact and is_plain(content)
        else:
            text, self.pieces = join_texts(content)
            exact = False
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
        self.shapes = {
            tuple(call["args"])
            for call, spelled in zip(calls, self.spellings)  # noqa: B905 - invalid ones follow
            if spelled is not None
        }
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
        except UnserializableMessageError:
            if not self.converts_artifact:
                raise
            self.data["artifact"] = _TAGGER.copy(make_plain(artifact, path, None), path)


_TAGGER = Tagger()
_TOKEN_FIELDS = frozenset(TOKEN_COUNTS.values())
