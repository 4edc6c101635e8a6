"""Whether a model's answer is a whole one, and what of it is no thought."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatGeneration, Generation

# Where providers say why a model ended, and the reasons that leave no whole answer, in small
# letters: OpenAI's, Anthropic's, Google's, and of those that follow them.
_REASONS = ("finish_reason", "finishReason", "stop_reason", "stopReason", "done_reason", "reason")
_PARTS = ("incomplete_details", "prompt_feedback")
_CUT_OFF = {
    "length",
    "max_length",
    "max_output_tokens",
    "max_tokens",
    "model_context_window_exceeded",
    "model_length",
}
_WITHHELD = {
    "blocklist",
    "content_filter",
    "content_filtered",
    "error_toxic",
    "guardrail_intervened",
    "image_safety",
    "prohibited_content",
    "recitation",
    "refusal",
    "safety",
    "spii",
}
_THOUGHT = re.compile(r"<think>.*?</think>", re.DOTALL | re.IGNORECASE)
# Templates of some models have the first tag already; and a thought may have taken all the room.
_REST_OF_THOUGHT = re.compile(
    r"\A(?:(?!<think>).)*?</think>[ \t]*(?:\n|\Z)|\A\s*<think>.*", re.DOTALL | re.IGNORECASE
)


def find_fault(answer: BaseMessage | Generation) -> str:
    """Say why an answer is no whole one; "" if it is.

    >>> from langchain_core.messages import AIMessage
    >>> find_fault(AIMessage("Ann has", response_metadata={"finish_reason": "length"}))
    "was cut off ('length')"
    >>> find_fault(AIMessage("Ann has a cat.", response_metadata={"finish_reason": "stop"}))
    ''
    """
    sources: list[Any] = []
    if isinstance(answer, Generation):
        sources.append(answer.generation_info)
    message = answer.message if isinstance(answer, ChatGeneration) else answer
    if isinstance(message, BaseMessage):
        sources += [message.response_metadata, message.additional_kwargs]
        if _is_refused(message):
            return "was refused"
    for source in sources:
        if fault := _find_fault_in(source):
            return fault
    return ""


def _find_fault_in(source: Any) -> str:
    if not isinstance(source, Mapping):
        return ""
    for name in _REASONS:
        # An enum's member shows as "FinishReason.SAFETY".
        reason = str(source.get(name) or "").rpartition(".")[2].lower()
        if reason in _CUT_OFF:
            return f"was cut off ({reason!r})"
        if reason in _WITHHELD:
            return f"was withheld ({reason!r})"
    if source.get("block_reason"):
        return "was withheld (the prompt was blocked)"
    return next(filter(None, (_find_fault_in(source.get(part)) for part in _PARTS)), "")


def _is_refused(message: BaseMessage) -> bool:
    blocks = message.content if isinstance(message.content, list) else []
    return bool(message.additional_kwargs.get("refusal")) or any(
        isinstance(block, dict) and (block.get("type") == "refusal" or block.get("refusal"))
        for block in blocks
    )


def drop_thoughts(text: str) -> str:
    r"""Take out what a model wrote down as its thoughts.

    >>> drop_thoughts("<think>A cat?</think>\nAnn has a cat.")
    'Ann has a cat.'
    >>> drop_thoughts("<think>A cat, or")
    ''
    """
    return _REST_OF_THOUGHT.sub("", _THOUGHT.sub("", text)).strip()
