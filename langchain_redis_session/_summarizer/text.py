"""The text that a summary is made of: a conversation, one block for each message."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    ToolCall,
    ToolMessage,
)

from langchain_redis_session._codec.plain_json import approximate_text
from langchain_redis_session._runs.values import show_value
from langchain_redis_session.errors import ConfigurationError, shorten

FormatToolCall = Callable[[ToolCall], str]
FormatToolResult = Callable[[ToolMessage], str]

_ROLES = {"human": "User", "ai": "Assistant", "system": "System", "tool": "Tool"}
_PARTS = {
    "image_url": "image",
    "input_image": "image",
    "input_audio": "audio",
    "document": "file",
    "input_file": "file",
    "text-plain": "file",
}
# Thoughts are not part of what was said; calls stand in `tool_calls`.
_LEFT_OUT = {
    "reasoning",
    "reasoning_content",
    "redacted_thinking",
    "thinking",
    "custom_tool_call",
    "function_call",
    "input_json_delta",
    "invalid_tool_call",
    "tool_call",
    "tool_call_chunk",
    "tool_use",
}


def format_tool_call(tool_call: ToolCall) -> str:
    """Show a call as a line.

    >>> format_tool_call({"name": "add", "args": {"a": 1}, "id": "c1"})
    '[calls add({"a": 1})]'
    """
    args = json.dumps(show_value(tool_call["args"], None), ensure_ascii=False)
    return f"[calls {tool_call['name']}({args})]"


def format_tool_result(message: ToolMessage) -> str:
    """Show what a tool gave, or that it failed.

    >>> format_tool_result(ToolMessage("no such tea", status="error", tool_call_id="c1"))
    '[failed] no such tea'
    """
    text = content_text(message.content) or "(empty)"
    return f"[failed] {text}" if message.status == "error" else text


def content_text(content: Any) -> str:
    r"""Give a message's text; what is not text is named in brackets.

    >>> content_text([{"type": "text", "text": "Look:"}, {"type": "image", "base64": "AAAA"}])
    'Look:\n[image]'
    """
    if isinstance(content, list):
        return "\n".join(filter(None, map(_part_text, content))).strip()
    return str(content).strip()


def _part_text(part: Any) -> str:
    if not isinstance(part, dict):
        return str(part)
    kind = part.get("type")
    text = part.get("text")
    if kind in ("text", None) and isinstance(text, str):
        return text
    if not isinstance(kind, str) or kind in _LEFT_OUT:
        return ""
    return f"[{_PARTS.get(kind, kind[:40])}]"


def conversation_text(
    messages: Iterable[BaseMessage],
    call_formatter: FormatToolCall,
    result_formatter: FormatToolResult,
    shorten: Callable[[str], str] = str,
) -> str:
    """Write messages as blocks of text, each shortened; one that says nothing is left out.

    >>> answer = AIMessage("{Yes}", name="maths")
    >>> conversation_text([answer, AIMessage("")], format_tool_call, format_tool_result)
    'Assistant (maths): {Yes}'
    """
    blocks = (_block(message, call_formatter, result_formatter) for message in messages)
    # A lone surrogate could not be sent to a model.
    return approximate_text("\n\n".join(map(shorten, filter(None, blocks))))


def _block(
    message: BaseMessage, call_formatter: FormatToolCall, result_formatter: FormatToolResult
) -> str:
    if isinstance(message, ToolMessage):
        lines = [_formatted("format_tool_result", result_formatter(message))]
    else:
        lines = [content_text(message.content)]
    if isinstance(message, AIMessage):
        lines += [
            _formatted("format_tool_call", call_formatter(call)) for call in message.tool_calls
        ]
        lines += [
            f"[calls {call.get('name') or 'a tool'}, not as JSON: {call.get('args') or ''}]"
            for call in message.invalid_tool_calls
        ]
    text = "\n".join(filter(None, lines))
    return f"{_label(message)}: {text}" if text else ""


def _formatted(name: str, text: object) -> str:
    if not isinstance(text, str):
        raise ConfigurationError(f"{name} has to give a str, it gave {shorten(text)}")
    return text


def _label(message: BaseMessage) -> str:
    if isinstance(message, ChatMessage):
        role = message.role
    elif isinstance(message, FunctionMessage):
        role = "Tool"
    else:
        role = _ROLES.get(message.type, message.type)
    return f"{role} ({message.name})" if message.name else role


def cut_middle(text: str, kept: int) -> str:
    r"""Keep `kept` characters of a text, from both its ends, and say how many are missing.

    >>> cut_middle("abcdefghij", 4)
    'ab\n[… 6 characters left out …]\nij'
    """
    tail = text[len(text) - kept // 2 :]
    return f"{text[: kept - kept // 2]}\n[… {len(text) - kept:,} characters left out …]\n{tail}"


def shorten_to_fit(
    text: str, count: Callable[[str], int], most: int, *, longest: int | None = None
) -> str:
    """Cut a text's middle until `count` of it is at most `most`, and to `longest` characters.

    Counts seldom, as that may be slow. Gives the mere note where nothing fits.

    >>> 70 < len(shorten_to_fit("x" * 1000, len, 100)) <= 100
    True
    """
    kept = len(text) if longest is None else min(len(text), longest)
    shortened = text if kept == len(text) else cut_middle(text, kept)
    tokens = count(shortened)
    if tokens <= most:
        return shortened
    empty = count(cut_middle(text, 0))
    while kept and tokens > most:
        # In proportion, and each time by some more, so that it ends soon.
        share = max(0.0, (most - empty) / max(1, tokens - empty))
        kept = int(kept * min(share, 1.0) * 0.97)
        tokens = count(cut_middle(text, kept))
    return cut_middle(text, kept)
