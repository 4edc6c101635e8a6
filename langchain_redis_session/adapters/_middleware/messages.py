"""An agent's messages: which are stored, by which ids, and which of them a session has."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage

_STORED_TYPES = ("human", "ai", "tool")


def is_stored(message: BaseMessage) -> bool:
    """Whether a message belongs into a session: what was said, and no middleware's summary."""
    return message.type in _STORED_TYPES and not is_summary(message)


def is_summary(message: BaseMessage) -> bool:
    """Whether LangChain's SummarizationMiddleware has made it."""
    return message.additional_kwargs.get("lc_source") == "summarization"


def find_question(messages: Sequence[BaseMessage]) -> BaseMessage | None:
    """The user message that the run is about; without any, what the run began with."""
    for message in reversed(messages):
        if message.type == "human" and not is_summary(message):
            return message
    return messages[0] if messages else None


def name_results(
    messages: Iterable[BaseMessage], before: Sequence[BaseMessage] = ()
) -> list[BaseMessage]:
    """Give tool results that have no id one that is made of their call.

    Args:
        messages: Messages, of which those that lack an id are copied.
        before: What precedes them.
    """
    seen, named = list(before), []
    for message in messages:
        if isinstance(message, ToolMessage) and not message.id:
            message = message.model_copy(update={"id": make_result_id(message, seen)})
        seen.append(message)
        named.append(message)
    return named


def make_result_id(result: ToolMessage, before: Sequence[BaseMessage]) -> str:
    """The id of a tool's result: the same whoever makes it.

    Some models number their calls anew in each answer, so the answer's id is part of it.
    """
    for message in reversed(before):
        if isinstance(message, AIMessage) and _has_call(message, result.tool_call_id):
            return str(uuid5(NAMESPACE_URL, f"{message.id}/{result.tool_call_id}"))
    return str(uuid5(NAMESPACE_URL, result.tool_call_id))


def _has_call(message: AIMessage, call_id: str) -> bool:
    calls = [*message.tool_calls, *message.invalid_tool_calls]
    return any(call.get("id") == call_id for call in calls)


def find_ids(
    messages: Sequence[BaseMessage], stored: Sequence[BaseMessage], known: Collection[str]
) -> list[str]:
    """The id that each message has in the session, or will have there.

    Args:
        messages: A run's messages.
        stored: The session's, as far as they were read.
        known: Ids that the session has.
    """
    ids: list[str] = []
    for place, message in enumerate(messages):
        found = message.id or ""
        if isinstance(message, ToolMessage) and found not in known:
            # Another middleware may have made it anew, with an id of its own.
            made = make_result_id(message, messages[:place])
            found = made if made in known or not found else found
        ids.append(found)
    for place, message_id in _match_sent_again(messages, ids, stored, known):
        ids[place] = message_id
    return ids


def _match_sent_again(
    messages: Sequence[BaseMessage],
    ids: Sequence[str],
    stored: Sequence[BaseMessage],
    known: Collection[str],
) -> list[tuple[int, str]]:
    """Find what a client that keeps the conversation itself has sent once more, without ids.

    It begins its messages with those of the session, or the session's end. A user alone may
    say the same thing again, so an answer has to be among them.
    """
    said = [place for place, message in enumerate(messages) if is_stored(message)]
    had = [message for message in stored if is_stored(message)]
    if not said or not had or any(ids[place] in known for place in said):
        return []
    contents = [_content_of(messages[place]) for place in said]
    had_contents = [_content_of(message) for message in had]
    for count in range(len(said), 1, -1):
        length = min(count, len(had))
        is_same = contents[count - length : count] == had_contents[len(had) - length :]
        if is_same and any(messages[place].type == "ai" for place in said[count - length : count]):
            ends = zip(said[count - length : count], had[len(had) - length :], strict=True)
            # What lies before the session's part is older than what was read of it.
            older = [(place, had[-length].id or "") for place in said[: count - length]]
            return [*older, *((place, message.id or "") for place, message in ends)]
    return []


def _content_of(message: BaseMessage) -> tuple[Any, ...]:
    calls = [(call["name"], call["args"]) for call in getattr(message, "tool_calls", ())]
    return message.type, message.content, calls
