"""An agent's messages: which are stored, by which ids, and which of them a session has."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any
from uuid import NAMESPACE_URL, uuid4, uuid5

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage

from langchain_redis_session._codec.plain_json import approximate_text
from langchain_redis_session.models import is_from_user

_SUMMARY = "Here is a summary of the conversation to date:"


def is_stored(message: BaseMessage) -> bool:
    """Whether a message belongs into a session: what was said, and no middleware's summary."""
    is_said = is_from_user(message) or isinstance(message, AIMessage | ToolMessage)
    return is_said and not is_summary(message)


def is_summary(message: BaseMessage) -> bool:
    """Whether LangChain's SummarizationMiddleware has made it; the first ones did not say so."""
    return message.additional_kwargs.get("lc_source") == "summarization" or (
        is_from_user(message) and message.text.startswith(_SUMMARY)
    )


def find_question(messages: Sequence[BaseMessage]) -> BaseMessage | None:
    """The user message that the run is about; without any, what the run began with."""
    for message in reversed(messages):
        if is_from_user(message) and not is_summary(message):
            return message
    return messages[0] if messages else None


def name_all(
    messages: Iterable[BaseMessage], before: Sequence[BaseMessage] = ()
) -> list[BaseMessage]:
    """Give messages that have no id one: a tool's result one that is made of its call.

    Args:
        messages: Messages, of which those that lack an id are copied.
        before: What precedes them.
    """
    seen, named = list(before), []
    for message in messages:
        if not message.id:
            if isinstance(message, ToolMessage):
                made = make_result_id(message, seen)
            else:
                made = str(uuid4())
            message = message.model_copy(update={"id": made})
        seen.append(message)
        named.append(message)
    return named


def list_calls(messages: Iterable[BaseMessage]) -> dict[str, str]:
    """Give the id of the call that each message is the result of, by its own; "" for none."""
    return {message.id: getattr(message, "tool_call_id", "") for message in messages if message.id}


def unname_result(
    messages: Iterable[BaseMessage], call_id: str, taken: Collection[str]
) -> list[BaseMessage]:
    """Take its id from the result of a call where an older message has it.

    What else a tool gives may well stand for older messages, by their ids.
    """
    return [
        message.model_copy(update={"id": None})
        if isinstance(message, ToolMessage)
        and message.tool_call_id == call_id
        and message.id in taken
        else message
        for message in messages
    ]


def make_result_id(result: ToolMessage, before: Sequence[BaseMessage]) -> str:
    """The id of a tool's result: the same whoever makes it.

    Some models number their calls anew in each answer, so the answer's id is part of it.
    """
    for message in reversed(before):
        if isinstance(message, AIMessage) and _has_call(message, result.tool_call_id):
            return str(
                uuid5(NAMESPACE_URL, approximate_text(f"{message.id}/{result.tool_call_id}"))
            )
    return str(uuid5(NAMESPACE_URL, approximate_text(result.tool_call_id)))


def _has_call(message: AIMessage, call_id: str) -> bool:
    calls = [*message.tool_calls, *message.invalid_tool_calls]
    return any(call.get("id") == call_id for call in calls)


def find_ids(
    messages: Sequence[BaseMessage], known: Collection[str], aliases: Mapping[str, str]
) -> list[str]:
    """The id that each message has in the session, or will have there.

    Args:
        messages: A run's messages.
        known: Ids that the session has.
        aliases: The ids of messages that are stored under another one.
    """
    ids: list[str] = []
    for place, message in enumerate(messages):
        found = aliases.get(message.id or "", message.id or "")
        if isinstance(message, ToolMessage) and found not in known:
            # Another middleware may have made it anew, with an id of its own.
            made = make_result_id(message, messages[:place])
            found = made if made in known or not found else found
        ids.append(found)
    return ids


def find_first_new(
    messages: Sequence[BaseMessage], ids: Sequence[str], known: Collection[str]
) -> int:
    """Find where the messages begin that a session may lack: behind those that it has.

    Of the results of one answer's calls, the session may have the later ones only: those that
    another middleware gave in a tool's place stand first.
    """
    last = max((place for place, found in enumerate(ids) if found in known), default=-1)
    while last > 0 and isinstance(messages[last], ToolMessage):
        last -= 1
    return last + 1


def find_aliases(
    messages: Sequence[BaseMessage], stored: Sequence[BaseMessage], known: Collection[str]
) -> dict[str, str]:
    """Find what a client that keeps the conversation itself has sent once more, with new ids.

    It begins its messages with those of the session, or the session's end. A user alone may
    say the same thing again, so an answer has to be among them.

    Args:
        messages: A run's messages.
        stored: The session's, as far as they were read.
        known: Ids that the session has.

    Returns:
        The ids that they are stored under, by those that they have now.
    """
    said = [message for message in messages if is_stored(message)]
    had = [message for message in stored if is_stored(message)]
    if not said or not had or any(message.id in known for message in said):
        return {}
    contents, had_contents = [*map(_content_of, said)], [*map(_content_of, had)]
    for count in range(len(said), 1, -1):
        length = min(count, len(had))
        first = count - length
        is_same = contents[first:count] == had_contents[len(had) - length :]
        if is_same and any(isinstance(message, AIMessage) for message in said[first:count]):
            # What lies before the session's part is older than what was read of it.
            twins = [had[-length]] * first + had[len(had) - length :]
            pairs = zip(said[:count], twins, strict=True)
            return {message.id or "": twin.id or "" for message, twin in pairs}
    return {}


def _content_of(message: BaseMessage) -> tuple[Any, ...]:
    calls = [(call["name"], call["args"]) for call in getattr(message, "tool_calls", ())]
    return message.type, message.content, calls
