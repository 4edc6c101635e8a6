"""What callers give as messages: LangChain's own, and what LangChain takes for one."""

from __future__ import annotations

import sys
from typing import Any, TypeAlias, TypeGuard

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from langchain_redis_session._codec.plain_json import refuse, show
from langchain_redis_session.errors import fails_again

USUAL_CLASSES = frozenset((AIMessage, HumanMessage, SystemMessage, ToolMessage))
"""What most messages are. (For pydantic's classes, `isinstance` takes its time.)"""

MessageLike: TypeAlias = BaseMessage | list[str] | tuple[str, str] | str | dict[str, Any]
"""As LangChain's `MessageLikeRepresentation`, whose module loads much that is not needed."""

FORMS = (
    "give a message, a dict with role and content, a tuple (role, content), or a string for a "
    "user's message"
)
"""What may stand for a message."""

_ROLES = ("user", "human", "assistant", "ai", "system", "developer", "tool")


def to_messages(given: Any) -> list[BaseMessage]:
    """Give messages for what stands for them, as LangChain's `convert_to_messages` does.

    Args:
        given: Messages, dicts, tuples (role, content) and strings; or one of these; or a
            prompt's value.

    Raises:
        UnserializableMessageError: One of them is no message; the text says which.

    >>> to_messages(["hi", ("ai", "hello"), {"role": "user", "content": "bye"}])[1:]
    [AIMessage(content='hello', additional_kwargs={}, response_metadata={}, tool_calls=[], \
invalid_tool_calls=[]), HumanMessage(content='bye', additional_kwargs={}, response_metadata={})]
    """
    if _is_usual(given):
        return given.copy()
    if isinstance(given, BaseMessage):
        return [given]
    if _is_prompt_value(given):
        messages: list[BaseMessage] = given.to_messages()
        return messages
    if isinstance(given, (str, dict)) or _has_role(given):
        given = [given]
    return [
        message if isinstance(message, BaseMessage) else _to_message(message, place)
        for place, message in enumerate(given)
    ]


def lacks_converter(given: Any) -> bool:
    """Whether LangChain's converter may be needed for something, and is not loaded yet."""
    if _is_usual(given) or "langchain_core.prompt_values" in sys.modules:
        return False
    return type(given) not in (list, tuple) or not all(isinstance(m, BaseMessage) for m in given)


def _is_usual(given: Any) -> TypeGuard[list[BaseMessage]]:
    return type(given) is list and USUAL_CLASSES.issuperset(map(type, given))


def load_converter() -> None:
    """Import what `to_messages` needs for what is no message yet; that takes its time."""
    import langchain_core.prompt_values  # noqa: F401


def _is_prompt_value(given: Any) -> bool:
    prompts = sys.modules.get("langchain_core.prompt_values")  # else nobody has made one
    return prompts is not None and isinstance(given, prompts.PromptValue)


def _has_role(given: Any) -> bool:
    """Whether this is one message, a tuple (role, content), and not two texts."""
    return isinstance(given, tuple) and len(given) == 2 and given[0] in _ROLES


def _to_message(given: Any, place: int) -> BaseMessage:
    if isinstance(given, (str, dict, tuple, list)):
        from langchain_core.messages.utils import convert_to_messages

        try:
            (message,) = convert_to_messages([given])
            return message
        except Exception as error:  # of many types, and of the classes' validators
            if not fails_again(error, convert_to_messages, [given]):
                raise
    # Here, so that none of them stands in the traceback.
    refuse(
        f"messages[{place}]",
        f"{show(given)} is not a message; {FORMS}; roles are user, assistant, system, tool",
    )
