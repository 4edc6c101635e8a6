"""Hypothesis strategies for every message of langchain-core, nasty values included."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import pydantic
from hypothesis import strategies as st
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ChatMessage,
    ChatMessageChunk,
    FunctionMessage,
    FunctionMessageChunk,
    HumanMessage,
    HumanMessageChunk,
    SystemMessage,
    SystemMessageChunk,
    ToolMessage,
    ToolMessageChunk,
)

LONG = "a text that is long enough to be referred to, not repeated"

NASTY_TEXTS = st.sampled_from(
    [
        "",
        "\x00",
        "\ud800",
        "a\udfff",
        "\ud83d\ude00",  # a pair, but as two surrogates
        "😀",
        '{"$lc":["int","0x1"]}',
        LONG,
        LONG + "\ud800",
        "\ufffd",
        '{"a": 1}',
        "null",
        "eyJhIjoxfQ==",
    ]
)
TEXTS = st.text(st.characters(exclude_categories=()), max_size=8) | NASTY_TEXTS
CLEAN_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
# With pydantic before 2.10 no message can be made with such an id.
TAKES_SURROGATE_IDS = tuple(map(int, pydantic.VERSION.split(".")[:2])) >= (2, 10)
MESSAGE_IDS = st.none() | (TEXTS if TAKES_SURROGATE_IDS else CLEAN_TEXTS)
NUMBERS = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from([math.nan, math.inf, -math.inf, -0.0, 0.0, 1e308, 5e-324, 1.0]),
    st.integers(),
    st.sampled_from([2**63 - 1, 2**63, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1, -(10**30)]),
)
KEYS = TEXTS | st.sampled_from(["$lc", "type", "text", "reasoning_content", "tool_calls"])
LOOKALIKES = st.sampled_from(
    [
        {"$lc": ["int", "0x1"]},
        {"$lc": None},
        {"$lc": ["map"], "other": 1},
        {"$lc": {"$lc": ["float", "nan"]}},
        ["$lc", "float", "nan"],
    ]
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | TEXTS | NUMBERS | LOOKALIKES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(KEYS, inner, max_size=3),
    ),
    max_leaves=8,
)
DICTS = st.dictionaries(KEYS, VALUES, max_size=3)

BASE64 = st.sampled_from(["iVBORw0KGgo=", "AAAA", "not base64!", ""])
BLOCKS: st.SearchStrategy[Any] = st.one_of(
    TEXTS,
    DICTS,
    st.builds(lambda t: {"type": "text", "text": t}, TEXTS),
    st.builds(lambda u: {"type": "image_url", "image_url": {"url": u}}, TEXTS),
    st.builds(
        lambda u, d: {"type": "image_url", "image_url": {"url": u, "detail": d}}, TEXTS, TEXTS
    ),
    st.builds(
        lambda kind, data, mime: {"type": kind, "base64": data, "mime_type": mime},
        st.sampled_from(["image", "audio", "video", "file"]),
        BASE64,
        st.sampled_from(["image/png", "audio/wav", "application/pdf", "png", ""]),
    ),
    st.fixed_dictionaries(
        {"type": st.sampled_from(["image", "audio", "video", "file", "text-plain"])},
        optional={
            "id": TEXTS,
            "url": TEXTS,
            "base64": BASE64,
            "file_id": TEXTS,
            "mime_type": st.sampled_from(["image/png", "video/image/png", "text/plain", ""]),
            "extras": DICTS | st.builds(lambda name: {"filename": name}, TEXTS),
            "source_type": st.sampled_from(["url", "base64", "id"]),
            "data": BASE64,
            "index": st.integers(0, 2),
        },
    ),
    st.builds(
        lambda name: {
            "type": "file",
            "base64": "AAAA",
            "mime_type": "application/pdf",
            "extras": {"filename": name},
        },
        TEXTS,
    ),
    st.builds(lambda i: {"type": "file", "file_id": i}, TEXTS),
    st.builds(lambda t: {"type": "reasoning", "reasoning": t}, TEXTS),
    st.builds(
        lambda a: {"type": "tool_use", "id": "c1", "name": "f", "input": a},
        st.fixed_dictionaries({"query": st.just(LONG)}, optional={"n": NUMBERS}),
    ),
)
CONTENTS = TEXTS | st.lists(BLOCKS, max_size=4)
ARGS = DICTS | st.just({"query": LONG})
ARGUMENTS = TEXTS | st.sampled_from(
    ["{", '{"a":1', '{"query":"' + LONG + '"}', '{"query": "' + LONG, "[1]", '{"n":1e400}']
)
IDS = st.none() | TEXTS | st.just("c1")
TOOL_CALLS = st.lists(
    st.builds(lambda n, a, i: {"name": n, "args": a, "id": i}, TEXTS, ARGS, IDS), max_size=3
)
INVALID_TOOL_CALLS = st.lists(
    st.builds(
        lambda n, a, i, e: {"name": n, "args": a, "id": i, "error": e},
        st.none() | TEXTS,
        st.none() | ARGUMENTS,
        IDS,
        st.none() | TEXTS,
    ),
    max_size=2,
)
TOOL_CALL_CHUNKS: st.SearchStrategy[Any] = st.lists(
    st.builds(
        lambda n, a, i, x: {"name": n, "args": a, "id": i, "index": x, "type": "tool_call_chunk"},
        st.none() | TEXTS,
        st.none() | ARGUMENTS,
        IDS,
        st.none() | st.integers(0, 3),
    ),
    max_size=2,
)


def _is_readable(arguments: str) -> bool:
    """Whether AIMessage's constructor takes these arguments in additional_kwargs."""
    try:
        return isinstance(json.loads(arguments) or {}, dict)
    except ValueError:
        return True


OPENAI_CALLS = st.lists(
    st.builds(
        lambda n, a, i: {"id": i, "type": "function", "function": {"name": n, "arguments": a}},
        TEXTS,
        ARGUMENTS.filter(_is_readable),
        IDS,
    ),
    min_size=1,
    max_size=2,
)
COUNTS = st.integers(-(2**70), 2**70) | st.integers(0, 100)
DETAILS = st.dictionaries(
    st.sampled_from(["audio", "cache_read", "reasoning"]), st.integers(0, 9), max_size=2
)
USAGES = st.none() | st.fixed_dictionaries(
    {"input_tokens": COUNTS, "output_tokens": COUNTS, "total_tokens": COUNTS},
    optional={"input_token_details": DETAILS, "output_token_details": DETAILS},
)


@st.composite
def _common(draw: st.DrawFn) -> dict[str, Any]:
    kwargs = draw(DICTS)
    if draw(st.booleans()):
        kwargs["reasoning_content"] = draw(TEXTS | VALUES)
    fields: dict[str, Any] = {
        "content": draw(CONTENTS),
        "additional_kwargs": kwargs,
        "response_metadata": draw(DICTS),
        "name": draw(st.none() | TEXTS),
        "id": draw(MESSAGE_IDS),
    }
    if draw(st.booleans()):
        fields["example"] = draw(st.booleans())
    if draw(st.booleans()):
        fields["extra_thing"] = draw(VALUES)
    if draw(st.booleans()):
        fields["$lc"] = draw(VALUES)
    return fields


@st.composite
def messages(draw: st.DrawFn) -> BaseMessage:
    """Any message or chunk, with any field."""
    common = draw(_common())
    kind = draw(st.sampled_from(["human", "system", "ai", "tool", "function", "chat"]))
    chunk = draw(st.booleans())
    if kind == "human":
        return (HumanMessageChunk if chunk else HumanMessage)(**common)
    if kind == "system":
        return (SystemMessageChunk if chunk else SystemMessage)(**common)
    if kind == "chat":
        role = draw(TEXTS | st.sampled_from(["user", "assistant", "critic"]))
        return (ChatMessageChunk if chunk else ChatMessage)(**common, role=role)
    if kind == "function":
        common["name"] = draw(TEXTS)
        return (FunctionMessageChunk if chunk else FunctionMessage)(**common)
    if kind == "tool":
        return (ToolMessageChunk if chunk else ToolMessage)(
            **common,
            tool_call_id=draw(TEXTS),
            status=draw(st.sampled_from(["success", "error"])),
            artifact=draw(VALUES),
        )
    common["additional_kwargs"].pop("tool_calls", None)
    if draw(st.booleans()):
        common["additional_kwargs"]["tool_calls"] = draw(OPENAI_CALLS)
    common["usage_metadata"] = draw(USAGES)
    message: AIMessage
    if chunk:
        message = AIMessageChunk(
            **common,
            tool_call_chunks=draw(TOOL_CALL_CHUNKS),
            chunk_position=draw(st.sampled_from([None, "last"])),
        )
    else:
        message = AIMessage(
            **common,
            tool_calls=draw(TOOL_CALLS),
            invalid_tool_calls=draw(INVALID_TOOL_CALLS),
        )
        if draw(st.booleans()):
            message.tool_calls = []  # as after a middleware that removed them
    return message


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal in type, sign and NaN too; tuples are lists."""
    if isinstance(one, tuple):
        one = list(one)
    if isinstance(other, tuple):
        other = list(other)
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        return repr(one) == repr(other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def same_message(one: BaseMessage, other: BaseMessage) -> bool:
    """Whether two messages are the same in every field and extra."""
    return (
        type(one) is type(other)
        and same(one.__dict__, other.__dict__)
        and same(one.__pydantic_extra__, other.__pydantic_extra__)
    )


def outcome(
    function: Callable[..., Any], *arguments: Any, error: type[Exception]
) -> tuple[Any, str]:
    """Give a call's result, or the text of the only error that it may raise."""
    try:
        return function(*arguments), ""
    except error as caught:
        return None, str(caught)
