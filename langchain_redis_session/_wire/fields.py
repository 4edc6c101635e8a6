"""Types of fields for pydantic: a message, any value, a time in nanoseconds, an error.

They change nothing for anybody else: a `Message` is a `BaseMessage`.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    BaseMessageChunk,
    ChatMessage,
    ChatMessageChunk,
    FunctionMessage,
    FunctionMessageChunk,
    HumanMessage,
    HumanMessageChunk,
    SystemMessage,
    SystemMessageChunk,
    ToolMessage,
    ToolMessageChunk,
)
from pydantic import (
    Field,
    GetCoreSchemaHandler,
    PlainSerializer,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
)
from pydantic_core import CoreSchema, core_schema

from langchain_redis_session._wire.values import pack, unpack
from langchain_redis_session.errors import PersistError

_AnyMessage = Annotated[
    HumanMessage | AIMessage | SystemMessage | ToolMessage | ChatMessage | FunctionMessage,
    Field(discriminator="type"),
]
_CHUNKS: dict[Any, type[BaseMessageChunk]] = {
    "AIMessageChunk": AIMessageChunk,
    "ChatMessageChunk": ChatMessageChunk,
    "FunctionMessageChunk": FunctionMessageChunk,
    "HumanMessageChunk": HumanMessageChunk,
    "SystemMessageChunk": SystemMessageChunk,
    "ToolMessageChunk": ToolMessageChunk,
}


class _MessageForm:
    def __get_pydantic_core_schema__(
        self, source: object, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_wrap_validator_function(
            _read_message,
            handler.generate_schema(_AnyMessage),
            serialization=core_schema.plain_serializer_function_ser_schema(
                _write_message, info_arg=True
            ),
        )


def _read_message(value: Any, validate: ValidatorFunctionWrapHandler) -> Any:
    if isinstance(value, dict):
        value = unpack(value)
        chunk = _CHUNKS.get(value.get("type"))
        message = validate(to_whole(chunk(**value)) if chunk else value)
        for name in ("tool_calls", "invalid_tool_calls"):
            if value.get(name) == []:  # LangChain makes some of what else it finds
                setattr(message, name, [])
        return message
    return validate(value.model_dump() if type(value) is BaseMessage else to_whole(value))


def to_whole(message: Any) -> Any:
    """The message that a chunk is a chunk of; anything else as it is.

    As LangChain's `message_chunk_to_message`, whose module loads much that is not needed.

    >>> to_whole(AIMessageChunk("hi", id="m1", chunk_position="last"))
    AIMessage(content='hi', additional_kwargs={}, response_metadata={}, id='m1', tool_calls=[], \
invalid_tool_calls=[])
    """
    if not isinstance(message, BaseMessageChunk):
        return message
    dropped = {"type"}
    if isinstance(message, AIMessageChunk):
        dropped |= {"tool_call_chunks", "chunk_position"}
    whole = type(message).__mro__[1]
    return whole(**{name: v for name, v in message.__dict__.items() if name not in dropped})


def _write_message(message: Any, info: core_schema.SerializationInfo) -> Any:
    # What is no message was put there by hand.
    is_message = isinstance(message, BaseMessage)
    members = to_whole(message).model_dump(warnings=False) if is_message else message
    return pack(members) if info.mode_is_json() else members


class _ValueForm:
    def __get_pydantic_core_schema__(
        self, source: object, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_before_validator_function(
            unpack,
            handler(source),
            serialization=core_schema.plain_serializer_function_ser_schema(pack, when_used="json"),
        )


class _ErrorForm:
    def __get_pydantic_core_schema__(
        self, source: object, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_before_validator_function(
            lambda value: PersistError(value) if isinstance(value, str) else value,
            core_schema.is_instance_schema(Exception),
            serialization=core_schema.plain_serializer_function_ser_schema(
                _write_error, return_schema=core_schema.str_schema(), when_used="json"
            ),
        )

    def __get_pydantic_json_schema__(self, schema: object, handler: object) -> dict[str, Any]:
        return {"type": "string"}


def _write_error(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _write_number(number: int) -> str:
    return str(number)  # not `str` itself: pydantic before 2.8 asks for a signature


T = TypeVar("T")

Message = Annotated[BaseMessage, _MessageForm()]
"""A message with all fields of its type, which pydantic alone would leave out: chunks become
whole messages."""
Portable = Annotated[T, _ValueForm()]
"""Any value, or a dict of them."""
Nanoseconds = Annotated[
    int,
    PlainSerializer(_write_number, return_type=str, when_used="json"),
    WithJsonSchema(
        {"anyOf": [{"type": "integer"}, {"type": "string", "pattern": "^-?[0-9]+$"}]},
        mode="validation",
    ),
]
"""A time, as text in JSON: JavaScript would round it."""
Failure = Annotated[Exception, _ErrorForm()]
"""An error, as its text in JSON; a `PersistError` when it comes back."""
