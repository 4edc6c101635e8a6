"""What is ours through pydantic: as JSON for browsers and other services, and back."""

from __future__ import annotations

import dataclasses
import json
import math
from datetime import datetime, timezone
from enum import Enum
from typing import Any

import pytest
from hypothesis import given
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ChatMessage,
    HumanMessage,
    HumanMessageChunk,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
    ToolMessageChunk,
)
from pydantic import BaseModel, TypeAdapter, ValidationError

from langchain_redis_session import (
    AppendResult,
    DeadLetter,
    Event,
    Message,
    PersistError,
    Session,
    SessionKey,
    SummarizedMessages,
    Summary,
    SummaryBoundary,
    SummaryRequest,
    TrackEvent,
)
from langchain_redis_session._wire.values import pack, unpack
from tests.unit.messages import VALUES, messages, same

NOW = datetime(2026, 11, 26, 12, tzinfo=timezone.utc)
TIME_NS = 1_795_432_380_123_456_789
KEY = SessionKey("shop", "ann", "s1")
BYTES = b"\xff\x00?"
MESSAGES: list[BaseMessage] = [
    SystemMessage("be kind"),
    HumanMessage([{"type": "text", "text": "hi"}, {"type": "image", "data": BYTES}], id="h1"),
    AIMessage(
        "",
        tool_calls=[{"name": "add", "args": {"a": 1}, "id": "c1"}],
        invalid_tool_calls=[{"name": "f", "args": "{", "id": "c2", "error": "cut"}],
        usage_metadata={
            "input_tokens": 1,
            "output_tokens": 2,
            "total_tokens": 3,
            "input_token_details": {"cache_read": 1},
        },
        response_metadata={"model_name": "m", "logprob": -math.inf},
        additional_kwargs={"signature": BYTES},
    ),
    ToolMessage("3", tool_call_id="c1", artifact={"raw": BYTES}, status="error", name="add"),
    ChatMessage(content="x", role="critic"),
]
SUMMARY = Summary("short", "a/b", SummaryBoundary(1.5e18, "e1", TIME_NS), NOW, ("cats",))
EVENTS = [
    *(
        Event(message, author="a", id=f"{n}", time_ns=TIME_NS + n)
        for n, message in enumerate(MESSAGES)
    ),
    Event(
        state_delta={"blob": BYTES, "nan": [math.inf]},
        extensions={"mine": {"$lc": 1}},
        extra={"error": None},
        score=1.795432380123456e18,
        time_ns=-1,
    ),
]
SESSION = Session(
    key=KEY,
    state={"blob": BYTES, "user:n": [1, 2.5, None], "$lc": {"$lc": ["bytes", "no"]}},
    events=EVENTS,
    tracks=("t",),
    created_at=NOW,
    updated_at=NOW,
    summary=SUMMARY,
    event_count=6,
    last_message=MESSAGES[-1],
)  # fmt: skip
OBJECTS: list[Any] = [
    SESSION,
    *EVENTS,
    TrackEvent("t", {"blob": [BYTES]}, time_ns=TIME_NS),
    SUMMARY,
    AppendResult(EVENTS, written=6, removed=0, unsummarized=2),
    SummarizedMessages(SUMMARY, MESSAGES),
    SummaryRequest(MESSAGES, "before", SESSION),
]


def through_json(value: Any, kind: Any = None) -> Any:
    adapter: TypeAdapter[Any] = TypeAdapter(kind or type(value))
    return adapter.validate_json(adapter.dump_json(value))


def to_json(value: Any) -> Any:
    adapter: TypeAdapter[Any] = TypeAdapter(type(value))
    return json.loads(adapter.dump_json(value))


@pytest.mark.parametrize("value", OBJECTS, ids=lambda value: type(value).__name__)
def test_everything_comes_back_equal(value: Any) -> None:
    assert through_json(value) == value


@pytest.mark.parametrize("value", OBJECTS, ids=lambda value: type(value).__name__)
def test_what_fastapi_makes_of_it_first_is_the_same(value: Any) -> None:
    """It takes dataclasses apart and validates the parts; of a request it parses the JSON."""
    adapter: TypeAdapter[Any] = TypeAdapter(type(value))
    assert adapter.validate_python(dataclasses.asdict(value)) == value
    assert adapter.validate_python(json.loads(adapter.dump_json(value))) == value
    assert adapter.validate_python(value) is value


def test_members_of_messages_are_there_for_browsers() -> None:
    shown = [event["message"] for event in to_json(SESSION)["events"]]
    assert [one and one["type"] for one in shown] == [
        "system", "human", "ai", "tool", "chat", None
    ]  # fmt: skip
    assert shown[2]["tool_calls"] == [
        {"name": "add", "args": {"a": 1}, "id": "c1", "type": "tool_call"}
    ]
    assert shown[2]["usage_metadata"]["total_tokens"] == 3
    assert (shown[3]["tool_call_id"], shown[3]["status"]) == ("c1", "error")
    assert to_json(SESSION)["last_message"]["role"] == "critic"


def test_bytes_go_out_under_their_tag() -> None:
    shown = to_json(SESSION)
    tag = {"$lc": ["bytes", "/wA/"]}
    assert shown["state"]["$lc"][:3] == ["map", "blob", tag]
    assert shown["events"][3]["message"]["artifact"] == {"raw": tag}
    assert shown["events"][5]["state_delta"]["blob"] == tag


def test_numbers_that_javascript_cannot_hold_are_text() -> None:
    numbers = [2**53, 2**53 + 1, -(2**53), -(2**53) - 1, 2**64]
    event = Event(AIMessage("", additional_kwargs={"n": 2**60}), time_ns=TIME_NS)
    event.state_delta = {"numbers": numbers}
    shown = to_json(event)
    assert shown["time_ns"] == str(TIME_NS)
    assert shown["message"]["additional_kwargs"] == {"n": str(2**60)}
    assert shown["state_delta"]["numbers"] == [
        2**53, str(2**53 + 1), -(2**53), str(-(2**53) - 1), str(2**64)
    ]  # fmt: skip
    back = through_json(event)
    assert back.time_ns == TIME_NS  # where a number is expected
    assert back.state_delta["numbers"][1] == str(2**53 + 1)
    assert to_json(SUMMARY)["boundary"]["cutoff_ns"] == str(TIME_NS)
    assert to_json(TrackEvent("t", 10**5000))["payload"] == hex(10**5000)


@pytest.mark.parametrize(
    ("chunk", "whole"),
    [
        (HumanMessageChunk(content="a", id="h"), HumanMessage("a", id="h")),
        (ToolMessageChunk(content="a", tool_call_id="c"), ToolMessage("a", tool_call_id="c")),
        (
            AIMessageChunk(
                content="a",
                tool_call_chunks=[{"name": "f", "args": "{}", "id": "c", "index": 0}]
            ),
            AIMessage("a", tool_calls=[{"name": "f", "args": {}, "id": "c"}]),
        ),
    ],
    ids=lambda message: message.type,
)  # fmt: skip
def test_chunks_become_whole_messages(chunk: BaseMessage, whole: BaseMessage) -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(Message)
    assert through_json(chunk, Message) == whole
    assert adapter.validate_python(chunk) == whole
    assert adapter.validate_python(chunk.model_dump()) == whole


def test_a_list_of_messages() -> None:
    assert through_json(MESSAGES, list[Message]) == MESSAGES
    assert through_json(BaseMessage("x", type="ai"), Message) == AIMessage("x")


def test_calls_that_somebody_removed_stay_removed() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    message = AIMessage("", additional_kwargs={"tool_calls": [call]})
    message.tool_calls = []
    assert through_json(message, Message) == message


@pytest.mark.parametrize("value", [RemoveMessage(id="x").model_dump(), {"type": "odd"}, 3, "hi"])
def test_what_is_no_message_is_refused(value: Any) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Message).validate_python(value)


def test_an_error_goes_out_as_its_text() -> None:
    letter = DeadLetter(KEY, (EVENTS[2], TrackEvent("t", 1)), ValueError("no room"), TIME_NS)
    assert to_json(letter)["error"] == "ValueError: no room"
    back = through_json(letter)
    assert isinstance(back.error, PersistError)
    assert str(back.error) == "ValueError: no room"
    assert dataclasses.replace(back, error=letter.error) == letter


@pytest.mark.parametrize("mode", ["validation", "serialization"])
def test_the_schema_tells_the_kinds_of_messages(mode: Any) -> None:
    schema = TypeAdapter(Session).json_schema(mode=mode)
    message = schema["$defs"]["Event"]["properties"]["message"]["anyOf"][0]
    assert message["discriminator"]["propertyName"] == "type"
    assert message["discriminator"]["mapping"].keys() == {
        "ai", "chat", "function", "human", "system", "tool"
    }  # fmt: skip
    assert "tool_calls" in schema["$defs"]["AIMessage"]["properties"]


class Color(Enum):
    RED = "red"


class Parsed(BaseModel):
    blob: bytes


def test_objects_become_plain() -> None:
    packed = pack({"e": Color.RED, "m": Parsed(blob=BYTES), "t": NOW, 1: {2}, "o": object})
    assert packed["e"] == "red"
    assert packed["m"] == {"blob": {"$lc": ["bytes", "/wA/"]}}
    assert (packed["t"], packed["1"]) == ("2026-11-26T12:00:00Z", [2])
    assert isinstance(packed["o"], str)


def test_what_holds_itself_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(ValueError, match="holds itself"):
        pack(endless)


@pytest.mark.parametrize(
    "value", [{"$lc": 1}, {"$lc": []}, {"$lc": ["odd"]}, {"$lc": ["bytes", "é"]}, {"$lc": {}}]
)
def test_what_only_looks_like_a_tag_stays(value: Any) -> None:
    assert unpack(value) == value
    assert unpack(json.loads(json.dumps(pack(value)))) == value


def with_text_for_big(value: Any) -> Any:
    """Give a value as it comes back where nobody expects a number."""
    if isinstance(value, dict):
        return {key: with_text_for_big(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [with_text_for_big(item) for item in value]
    if type(value) is int and abs(value) > 2**53:
        return str(value) if value.bit_length() < 14_000 else hex(value)
    return value


@given(VALUES)
def test_any_value_comes_back(value: Any) -> None:
    back = unpack(json.loads(json.dumps(pack(value))))
    assert same(back, with_text_for_big(value))


@given(messages())
def test_any_message_comes_back(message: BaseMessage) -> None:
    back = through_json(message, Message)
    assert type(back) is type(message) or isinstance(message, type(back))
    expected = TypeAdapter(Message).validate_python(message)
    assert same(
        with_text_for_big(back.model_dump(warnings=False)),
        with_text_for_big(expected.model_dump(warnings=False)),
    )
