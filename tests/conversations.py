"""Conversations of any kind, and what providers want of those they are sent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)


def calling(*ids: str | None, text: str = "", invalid: Sequence[str | None] = ()) -> AIMessage:
    """An assistant message with calls, and with invalid ones."""
    return AIMessage(
        text,
        tool_calls=[{"name": "tool", "args": {}, "id": call_id} for call_id in ids],
        invalid_tool_calls=[
            {"name": "tool", "args": "{", "id": call_id, "error": None} for call_id in invalid
        ],
    )


def result(call_id: str, text: str = "result") -> ToolMessage:
    """A tool's result."""
    return ToolMessage(text, tool_call_id=call_id)


def find_fault(messages: Sequence[BaseMessage], *, may_be_running: bool = True) -> str:
    """Say what a provider would refuse in a window; "" for nothing.

    The rules of OpenAI, Anthropic and Gemini together: system messages in front, every call
    answered once directly behind its message, no result without a call.

    Args:
        messages: What the model would be sent.
        may_be_running: Whether the last message's calls may lack results: an agent is about
            to run the tools.
    """
    waiting: dict[str, None] = {}
    types = [message.type for message in messages]
    if "system" in types[types.count("system") :]:
        return f"a system message that is not in front: {types}"
    for place, message in enumerate(messages):
        if isinstance(message, ToolMessage):
            if message.tool_call_id not in waiting:
                return f"{place}: a result without its call directly before it, or a second one"
            del waiting[message.tool_call_id]
            continue
        if waiting:
            return f"{place}: calls without a result before it: {list(waiting)}"
        if isinstance(message, AIMessage):
            calls: list[Any] = [*message.tool_calls, *message.invalid_tool_calls]
            if any(not call["id"] for call in calls):
                return f"{place}: a call without an id"
            waiting = dict.fromkeys(call["id"] for call in calls)
            if len(waiting) < len(calls):
                return f"{place}: two calls of one id"
    if waiting and not may_be_running:
        return f"calls without a result at the end: {list(waiting)}"
    return ""


_IDS = st.sampled_from(["c1", "c2", "c3", "c4"])
_TEXTS = st.sampled_from(["", "yes", "a longer text of several words"])


@st.composite
def _callings(draw: st.DrawFn) -> AIMessage:
    ids = draw(st.lists(_IDS | st.none(), min_size=1, max_size=3))
    split = draw(st.integers(0, len(ids)))
    message = calling(*ids[:split], text=draw(_TEXTS), invalid=ids[split:])
    if draw(st.booleans()):  # as Anthropic's: the calls stand among the blocks too
        message.content = [
            {"type": "text", "text": "Let me see."},
            *({"type": "tool_use", "id": i, "name": "tool", "input": {}} for i in ids),
        ]
    return message


def conversations(*, most: int = 12) -> st.SearchStrategy[list[BaseMessage]]:
    """Lists of messages in any order: calls and results that fit, are late, missing or doubled."""
    return st.lists(
        st.one_of(
            st.builds(HumanMessage, _TEXTS),
            st.builds(AIMessage, _TEXTS),
            st.builds(SystemMessage, st.sampled_from(["Be brief.", "Be kind."])),
            _callings(),
            st.builds(result, _IDS, _TEXTS),
        ),
        max_size=most,
    )


OPTIONS: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {
        "max_messages": st.none() | st.integers(1, 8),
        "max_tokens": st.none() | st.integers(1, 60),
        "include_summary": st.booleans(),
    }
)
"""Limits of a history."""
