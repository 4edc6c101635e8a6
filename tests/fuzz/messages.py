"""Odd messages, there and back: what is read equals what was written, in every field."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import orjson
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from langchain_redis_session import Event
from langchain_redis_session._codec.conversions import Conversions
from langchain_redis_session._codec.events import decode_event, encode_event
from tests.fuzz.findings import Finding
from tests.unit.messages import LONG, TAKES_SURROGATE_IDS, same_message

_TEXTS = [
    *("", "a", "\x00", "\ud800", "a\udfff", "\ud83d\ude00", "😀", "東京", "\u2028", "\ufffd", LONG),
    *(LONG + "\ud800", LONG * 3, '{"$lc":["int","0x1"]}', '{"a": 1}', "null", "eyJhIjoxfQ==", "{"),
]
_NUMBERS = [
    *(0, 1, -1, 2**53, 2**63 - 1, 2**63, 2**64, -(2**63) - 1, 10**40, True, False, None),
    *(0.0, -0.0, 1.5, 1e308, 5e-324, math.nan, math.inf, -math.inf),
]
_NAMES = ["", "a", "$lc", "type", "text", "reasoning_content", "tool_calls", "id", "\ud800", "é"]
_BASE64 = ["iVBORw0KGgo=", "AAAA", "not base64!", ""]
_KINDS = ["image", "audio", "video", "file", "text-plain", "reasoning", "tool_use", "text", "x"]


class Maker:
    """Makes messages from a seed."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)

    def text(self) -> str:
        """Give a text, of characters or from a list of odd ones."""
        random = self.random
        if random.random() < 0.6:
            return random.choice(_TEXTS)
        return "".join(
            chr(random.choice((random.randrange(128), random.randrange(0x11000))))
            for _ in range(random.randrange(12))
        )

    def value(self, depth: int = 0) -> Any:
        """Give anything that JSON or a tag can carry."""
        random, way = self.random, self.random.random()
        if depth > 3 or way < 0.3:
            return self.text()
        if way < 0.5:
            return random.choice(_NUMBERS)
        if way < 0.55:
            return random.choice(({"$lc": ["int", "0x1"]}, {"$lc": None}, {"$lc": ["map"], "b": 1}))
        if way < 0.75:
            return [self.value(depth + 1) for _ in range(random.randrange(4))]
        return self.names(depth)

    def names(self, depth: int = 0) -> dict[str, Any]:
        """Give a dict."""
        random = self.random
        return {
            random.choice((random.choice(_NAMES), self.text())): self.value(depth + 1)
            for _ in range(random.randrange(4))
        }

    def block(self) -> Any:
        """Give a content block."""
        random, way = self.random, self.random.random()
        if way < 0.1:
            return self.text()
        if way < 0.2:
            return self.names()
        if way < 0.4:
            return {"type": "text", "text": self.text()}
        if way < 0.5:
            return {"type": "image_url", "image_url": {"url": self.text(), "detail": self.text()}}
        block: dict[str, Any] = {"type": random.choice(_KINDS)}
        for name in (
            "id",
            "url",
            "file_id",
            "text",
            "reasoning",
            "mime_type",
            "source_type",
            "data",
        ):
            if random.random() < 0.2:
                block[name] = self.text()
        if random.random() < 0.4:
            block["base64"] = random.choice(_BASE64)
        if random.random() < 0.2:
            block["input"] = {"query": LONG}
        if random.random() < 0.2:
            block["extras"] = {"filename": self.text()}
        return block

    def content(self) -> Any:
        """Give a message's content."""
        if self.random.random() < 0.5:
            return self.text()
        return [self.block() for _ in range(self.random.randrange(5))]

    def tool_calls(self) -> list[Any]:
        """Give tool calls."""
        return [
            {
                "name": self.text(),
                "args": self.random.choice((self.names(), {"query": LONG})),
                "id": self.random.choice((None, "c1", self.text())),
                "type": "tool_call",
            }
            for _ in range(self.random.randrange(3))
        ]

    def messages(self) -> Iterator[BaseMessage]:
        """Give messages of two types, of the same members: to make these takes longest."""
        random = self.random
        fields: dict[str, Any] = {"content": self.content()}
        if random.random() < 0.4:
            fields["additional_kwargs"] = self.names()
            fields["additional_kwargs"].pop("tool_calls", None)
        if random.random() < 0.4:
            fields["response_metadata"] = self.names()
        for name in ("name", "id"):
            if random.random() < 0.4:
                fields[name] = self.text()
        if random.random() < 0.1:
            fields["extra_thing"] = self.value()
        if not TAKES_SURROGATE_IDS and "id" in fields:
            fields["id"] = fields["id"].encode("utf-8", "replace").decode()
        for make in random.sample(_TYPES, 2):
            yield make(self, fields)

    def _make_ai(self, fields: dict[str, Any]) -> BaseMessage:
        random = self.random
        counts = dict.fromkeys(("input_tokens", "output_tokens", "total_tokens"), 0)
        counts = {name: random.choice((0, 7, 2**64, -1)) for name in counts}
        usage: Any = random.choice((None, counts, {**counts, "input_token_details": {"audio": 1}}))
        return AIMessage(**fields, tool_calls=self.tool_calls(), usage_metadata=usage)

    def _make_tool(self, fields: dict[str, Any]) -> BaseMessage:
        return ToolMessage(**fields, tool_call_id=self.text(), artifact=self.value())

    def _make_chat(self, fields: dict[str, Any]) -> BaseMessage:
        return ChatMessage(**fields, role=self.random.choice(("user", "critic", self.text())))

    def _make_function(self, fields: dict[str, Any]) -> BaseMessage:
        return FunctionMessage(**{**fields, "name": self.text()})


_TYPES: list[Callable[[Maker, dict[str, Any]], BaseMessage]] = [
    Maker._make_ai,  # noqa: SLF001
    Maker._make_tool,  # noqa: SLF001
    Maker._make_chat,  # noqa: SLF001
    Maker._make_function,  # noqa: SLF001
    lambda _, fields: HumanMessage(**fields),
    lambda _, fields: SystemMessage(**fields),
]


def generate(seed: int) -> Iterator[BaseMessage]:
    """Give odd messages, without an end."""
    maker = Maker(seed)
    while True:
        yield from maker.messages()


def try_message(
    message: BaseMessage, view: Callable[[BaseMessage], BaseMessage] = lambda message: message
) -> Finding | None:
    """Write a message, read it, and compare, each in a view."""
    data = b""
    try:
        data = encode_event(Event(message, id="e", time_ns=0), conversions=Conversions())
        orjson.loads(data)
        read = decode_event(data).message
        if read is not None and same_message(view(read), view(message)):
            return None
        error = "Difference: it is read as something else"
    except Exception as caught:
        error = f"{type(caught).__name__}: {str(caught)[:200]}"
    return Finding("message", data or repr(message).encode("utf-8", "backslashreplace"), error)
