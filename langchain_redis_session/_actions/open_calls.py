"""Tool calls without a result, and results out of place: what models refuse, put right.

Providers want every tool call answered once, directly behind the message that makes it, and
no result without its call. A crash, a cancelled run or two writers leave histories that break
this, and every later request would be refused.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any, Literal, TypeAlias, get_args
from uuid import NAMESPACE_URL, uuid5

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from langchain_redis_session._codec.message_input import USUAL_CLASSES
from langchain_redis_session._codec.plain_json import approximate_text
from langchain_redis_session.errors import ConfigurationError, shorten

OpenToolCalls: TypeAlias = Literal["answer", "drop", "keep"]
"""What to do with calls that have no result: answer them with an error, drop or keep them."""

_MARK = "redis_session_open_tool_call"
_ANSWER = "This tool call has no result: the run ended before the tool gave one."
_THOUGHT_BLOCKS = {"reasoning", "reasoning_content", "thinking", "redacted_thinking"}
_CALL_BLOCKS = {"tool_use", "tool_call", "invalid_tool_call", "function_call", "functionCall"}


def check_open_tool_calls(value: object) -> None:
    """Refuse what says nothing about open calls."""
    if value not in get_args(OpenToolCalls):
        raise ConfigurationError(
            f'open_tool_calls must be "answer", "drop" or "keep", not {shorten(value)}'
        )


def is_made_answer(message: BaseMessage) -> bool:
    """Whether a message is an answer made here, which is never stored."""
    if type(message) is not ToolMessage and type(message) in USUAL_CLASSES:
        return False  # quickly
    return isinstance(message, ToolMessage) and _MARK in message.additional_kwargs


def close_calls(
    messages: Sequence[BaseMessage],
    how: OpenToolCalls,
    following: Sequence[BaseMessage] = (),
) -> list[BaseMessage]:
    """Put results behind their calls, and do with calls that have none as asked.

    The calls of the last assistant message are open only once something other than their
    results follows: until then their results may be on the way.

    Args:
        messages: A conversation, oldest first.
        following: What is to be put behind the messages that are returned, such as the next
            question: by it, the last calls are open too, but those that it begins with the
            results of.
        how: "answer" = put an error result behind each open call; "drop" = remove the open
            calls, and their message if nothing else is in it; "keep" = change nothing.

    Returns:
        The messages; unchanged ones are the same objects.

    >>> from langchain_core.messages import HumanMessage
    >>> call = {"name": "add", "args": {}, "id": "c1"}
    >>> talk = [HumanMessage("1+1?"), AIMessage("", tool_calls=[call]), HumanMessage("Well?")]
    >>> [message.type for message in close_calls(talk, "answer")]
    ['human', 'ai', 'tool', 'human']
    >>> [message.type for message in close_calls(talk, "drop")]
    ['human', 'human']
    """
    if how == "keep" or not _have_calls(messages):
        return list(messages)
    turns = _gather_turns(messages)
    awaited = _find_awaited(turns, following)
    closed: list[BaseMessage] = []
    for turn in turns:
        open_ids = [i for i in turn.open_ids if not (turn.is_pending and i in awaited)]
        message: BaseMessage | None = turn.message
        if open_ids and how == "drop":
            message = _drop_calls(turn.message, set(open_ids))
        if message is not None and turn.is_unanswerable:
            message = _drop_calls(message, {None})
        if message is None:
            continue
        closed.append(message)
        closed += turn.results.values()
        if how == "answer":
            closed += [_make_answer(call_id, turn.names[call_id]) for call_id in open_ids]
    return closed


@dataclass(slots=True, eq=False)
class _Turn:
    """A message that is no tool result, with the results of its calls.

    Attributes:
        message: The message.
        names: The called tool, by the id of the call.
        results: The first result of each call, in the order of their coming.
        is_unanswerable: Whether calls have no id, or that of another call in the message.
        is_pending: Whether results may be on the way.
    """

    message: BaseMessage
    names: dict[str, str] = field(default_factory=dict)
    results: dict[str, ToolMessage] = field(default_factory=dict)
    is_unanswerable: bool = False
    is_pending: bool = False

    @property
    def open_ids(self) -> list[str]:
        return [call_id for call_id in self.names if call_id not in self.results]


def _gather_turns(messages: Iterable[BaseMessage]) -> list[_Turn]:
    """Take each result to its call; doubled ones and those without a call are left out."""
    turns: list[_Turn] = []
    open_calls: dict[str, _Turn] = {}
    for message in messages:
        if isinstance(message, ToolMessage):
            turn = open_calls.pop(message.tool_call_id, None)
            if turn is not None:
                turn.results[message.tool_call_id] = message
            continue
        turn = _Turn(message)
        for call in _calls_of(message):
            call_id = call.get("id")
            if not call_id or call_id in turn.names:
                turn.is_unanswerable = True
            else:
                turn.names[call_id] = call.get("name") or ""
                open_calls[call_id] = turn
        turns.append(turn)
    if turns:
        turns[-1].is_pending = True
    return turns


def _find_awaited(turns: list[_Turn], following: Sequence[BaseMessage]) -> set[str]:
    """The last calls whose results may still come, or stand in what follows."""
    results = [*takewhile(lambda message: isinstance(message, ToolMessage), following)]
    if len(results) == len(following):
        return {call_id for turn in turns if turn.is_pending for call_id in turn.open_ids}
    return {str(getattr(message, "tool_call_id", "")) for message in results}


def _calls_of(message: BaseMessage) -> list[Any]:
    if not isinstance(message, AIMessage):
        return []
    return [*message.tool_calls, *message.invalid_tool_calls]


def _have_calls(messages: Iterable[BaseMessage]) -> bool:
    """Whether one of the messages makes calls, or is a result; most are neither."""
    for message in messages:
        if type(message) is HumanMessage:
            continue
        if isinstance(message, AIMessage):
            if message.tool_calls or message.invalid_tool_calls:
                return True
        elif isinstance(message, ToolMessage):
            return True
    return False


def _make_answer(call_id: str, name: str) -> ToolMessage:
    return ToolMessage(
        _ANSWER,
        tool_call_id=call_id,
        name=name or None,
        status="error",
        id=f"open-{uuid5(NAMESPACE_URL, approximate_text(call_id))}",
        additional_kwargs={_MARK: True},
    )


def _drop_calls(message: BaseMessage, ids: set[Any]) -> BaseMessage | None:
    """The message without these calls, wherever it names them; None if nothing is left.

    Of several calls with one id, the first is kept.
    """
    assert isinstance(message, AIMessage)
    is_kept = _make_filter(ids)
    update: dict[str, Any] = {
        "tool_calls": [call for call in message.tool_calls if is_kept(call)],
        "invalid_tool_calls": [call for call in message.invalid_tool_calls if is_kept(call)],
    }
    kwargs = dict(message.additional_kwargs)
    sent_calls = kwargs.pop("tool_calls", None)  # as OpenAI has sent them
    if isinstance(sent_calls, list):
        kept_calls = [*filter(_make_filter(ids), sent_calls)]
        update["additional_kwargs"] = {
            **kwargs,
            **({"tool_calls": kept_calls} if kept_calls else {}),
        }
    if isinstance(message.content, list):
        is_kept = _make_filter(ids)
        update["content"] = [b for b in message.content if not _is_call(b) or is_kept(b)]
    kept = message.model_copy(update=update)
    says_more = kept.tool_calls or kept.invalid_tool_calls or _says_something(kept.content)
    return kept if says_more else None


def _make_filter(ids: set[Any]) -> Callable[[Any], bool]:
    """Make a test of calls in one place: another id than these, and not seen before."""
    seen = set(ids)

    def is_kept(call: Any) -> bool:
        call_id = _text_of(call, "call_id") or _text_of(call, "id") or None
        is_new = call_id not in seen
        seen.add(call_id)
        return is_new

    return is_kept


def _is_call(block: Any) -> bool:
    return _text_of(block, "type") in _CALL_BLOCKS


def _text_of(block: Any, name: str) -> str:
    """A member of a block; "" where that is no text, or this no block."""
    value = block.get(name) if isinstance(block, dict) else None
    return value if isinstance(value, str) else ""


def _says_something(content: str | list[Any]) -> bool:
    """Whether there is more than thoughts and white space, which models refuse alone."""
    if isinstance(content, str):
        return bool(content.strip())
    return any(
        _says_something(block)
        if isinstance(block, str)
        else _text_of(block, "type") not in _THOUGHT_BLOCKS
        and (_text_of(block, "type") != "text" or _says_something(_text_of(block, "text")))
        for block in content
    )


def warn_of_open_calls(messages: Sequence[BaseMessage], *, stacklevel: int) -> None:
    """Warn if calls have no result and something else follows, and name the option.

    Args:
        messages: A conversation, oldest first.
        stacklevel: Where the warning points to, as seen from the caller.
    """
    if not _have_calls(messages):
        return
    turns = _gather_turns(messages)
    if any(turn.open_ids for turn in turns if not turn.is_pending):
        warnings.warn(
            "a tool call in this session has no result, which models refuse; read with "
            'open_tool_calls="answer" (an error stands in for it), "drop", or "keep"',
            stacklevel=stacklevel + 1,
        )
