"""A stand-in for a chat model, so that the servers run without a key."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

_WORDS_OF_A_SLOW_ANSWER = 100
_PAUSE_S = 0.1


class Parrot(BaseChatModel):
    """Repeats all that the user has said, word by word; slowly, where "slowly" is the last."""

    @property
    def _llm_type(self) -> str:
        return "parrot"

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=AIMessage(_answer(messages)))])

    def _stream(
        self, messages: list[BaseMessage], *_: Any, **__: Any
    ) -> Iterator[ChatGenerationChunk]:
        for chunk, pause_s in _cut(messages):
            time.sleep(pause_s)
            yield chunk

    async def _astream(
        self, messages: list[BaseMessage], *_: Any, **__: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        for chunk, pause_s in _cut(messages):
            await asyncio.sleep(pause_s)
            yield chunk


def _answer(messages: list[BaseMessage]) -> str:
    said = [message.text for message in messages if message.type == "human"]
    return f"You said: {'; '.join(said)}."


def _cut(messages: list[BaseMessage]) -> Iterator[tuple[ChatGenerationChunk, float]]:
    words, pause_s = _answer(messages).split(" "), 0.0
    if messages[-1].text.endswith("slowly"):
        words, pause_s = [*words, *["and"] * _WORDS_OF_A_SLOW_ANSWER], _PAUSE_S
    for place, word in enumerate(words):
        text = word if place == 0 else f" {word}"
        yield ChatGenerationChunk(message=AIMessageChunk(content=text)), pause_s
