"""A chat model that answers by a function, and streams its answer in pieces."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ToolCallChunk,
)
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable

USAGE = UsageMetadata(input_tokens=3, output_tokens=5, total_tokens=8)


def echo(messages: list[BaseMessage]) -> AIMessage:
    """Say how many messages there were, and the last one's text."""
    return AIMessage(
        f"{len(messages)} messages, the last: {messages[-1].text}", usage_metadata=USAGE
    )


class ScriptedModel(BaseChatModel):
    """A model for tests.

    Attributes:
        answer: Makes the answer to the messages.
        prompts: The messages of every call so far.
    """

    answer: Callable[[list[BaseMessage]], AIMessage] = echo
    prompts: list[list[BaseMessage]] = []  # noqa: RUF012  (pydantic copies it)

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        self.prompts.append(messages)
        return ChatResult(generations=[ChatGeneration(message=self.answer(messages))])

    def _stream(
        self, messages: list[BaseMessage], *_: Any, **__: Any
    ) -> Iterator[ChatGenerationChunk]:
        self.prompts.append(messages)
        for piece in split(self.answer(messages)):
            yield ChatGenerationChunk(message=piece)

    def bind_tools(self, *_: Any, **__: Any) -> Runnable[Any, AIMessage]:
        return self

    def get_num_tokens_from_messages(self, messages: list[BaseMessage], *_: Any) -> int:
        return sum(len(message.text.split()) for message in messages)


def split(message: AIMessage) -> Iterator[AIMessageChunk]:
    """Cut a message into chunks, as a provider would stream it."""
    for word in message.text.split(" "):
        yield AIMessageChunk(content=f"{word} " if word else "")
    for index, call in enumerate(message.tool_calls):
        text = json.dumps(call["args"])
        half = len(text) // 2
        for name, args in ((call["name"], text[:half]), (None, text[half:])):
            part = ToolCallChunk(name=name, args=args, id=call["id"] if name else None, index=index)
            yield AIMessageChunk(content="", tool_call_chunks=[part])
    yield AIMessageChunk(
        content="",
        usage_metadata=message.usage_metadata,
        response_metadata={"finish_reason": "stop"},
        chunk_position="last",
    )


def script(answers: Sequence[AIMessage]) -> Callable[[list[BaseMessage]], AIMessage]:
    """Give these answers, one after the other."""
    turn = count()
    return lambda _messages: answers[next(turn)].model_copy()
