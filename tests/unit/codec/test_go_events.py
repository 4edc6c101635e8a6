"""Events as trpc-agent-go writes them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from langchain_core.messages import (
    AIMessage,
    ChatMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from langchain_redis_session._codec.events import decode_event, encode_event
from langchain_redis_session.models import Event, list_messages
from tests.unit.messages import same_message

EMPTY_DELTA = {"role": "", "content": ""}


def go_event(*choices: dict[str, Any], **changes: Any) -> bytes:
    document = {
        "id": "5b1f6c0e-7a43-4f6e-9d0e-1f2a3b4c5d6e",
        "object": "chat.completion",
        "created": 1795432380,
        "model": "deepseek-chat",
        "choices": list(choices),
        "timestamp": "2026-11-23T19:13:00.1234567+08:00",
        "done": True,
        "is_partial": False,
        "requestID": "r1",
        "invocationId": "i1",
        "author": "assistant",
        "branch": "assistant",
        "filterKey": "app/assistant",
        "version": 1,
    }
    document.update(changes)
    return json.dumps({k: v for k, v in document.items() if v is not ...}).encode()


def choice(role: str, content: str = "", **message: Any) -> dict[str, Any]:
    body = {"role": role, "content": content, **message}
    return {"index": 0, "message": body, "delta": EMPTY_DELTA}


def rewritten(event: Event) -> Event:
    """Give the event as it comes back from being stored by us."""
    return decode_event(encode_event(event))


def test_a_flattened_response_of_go_is_read_and_kept() -> None:
    event = decode_event(
        go_event(
            choice("assistant", "hello", reasoning_content="hm") | {"finish_reason": "stop"},
            usage={
                "prompt_tokens": 3,
                "completion_tokens": 5,
                "total_tokens": 8,
                "prompt_tokens_details": {"cached_tokens": 2},
            },
            stateDelta={"k": "eyJhIjoxfQ==", "none": None, "raw": "/w=="},
        )
    )
    assert event.message == AIMessage(
        "hello",
        additional_kwargs={"reasoning_content": "hm"},
        usage_metadata={"input_tokens": 3, "output_tokens": 5, "total_tokens": 8},
    )
    assert event.id == "5b1f6c0e-7a43-4f6e-9d0e-1f2a3b4c5d6e"
    assert event.timestamp.isoformat() == "2026-11-23T11:13:00.123456+00:00"
    assert event.time_ns % 10**9 == 123_456_700
    assert (event.author, event.request_id, event.invocation_id) == ("assistant", "r1", "i1")
    assert (event.branch, event.filter_key) == ("assistant", "app/assistant")
    assert event.state_delta == {"k": {"a": 1}, "none": None, "raw": b"\xff"}
    assert event.extensions == {}
    assert event.extra == {
        "object": "chat.completion",
        "created": 1795432380,
        "model": "deepseek-chat",
        "done": True,
        "is_partial": False,
        "choices": [{"finish_reason": "stop"}],
        "usage": {"prompt_tokens_details": {"cached_tokens": 2}},
    }
    assert rewritten(event) == event
    stored = json.loads(encode_event(event))
    assert stored["choices"][0]["finish_reason"] == "stop"
    assert stored["choices"][0]["message"]["content"] == "hello"
    assert stored["usage"]["prompt_tokens_details"] == {"cached_tokens": 2}
    assert stored["usage"]["total_tokens"] == 8
    assert "extensions" not in stored


def test_a_nested_response_of_go_is_read_and_kept() -> None:
    nested = {"id": "resp-1", "timestamp": "2026-11-23T11:13:00Z"}
    event = decode_event(go_event(choice("user", "hi"), response=nested, author="user"))
    assert event.message == HumanMessage("hi")
    assert event.id != "resp-1"
    assert event.extra["response"] == nested
    assert rewritten(event) == event


@pytest.mark.parametrize(
    "arguments", ['{"a": 1, "b": 2}', "eyJhIjoxLCJiIjoyfQ=="], ids=["text", "base64"]
)
def test_a_tool_call_of_go_is_read_and_kept(arguments: str) -> None:
    call = {
        "type": "function",
        "function": {"name": "add", "arguments": arguments, "strict": True},
        "id": "c1",
        "index": 0,
    }
    event = decode_event(go_event(choice("assistant", tool_calls=[call])))
    assert event.message == AIMessage(
        "", tool_calls=[{"name": "add", "args": {"a": 1, "b": 2}, "id": "c1"}]
    )
    assert rewritten(event) == event
    stored = json.loads(encode_event(event))["choices"][0]["message"]["tool_calls"]
    assert stored[0]["function"] == {"name": "add", "arguments": '{"a":1,"b":2}', "strict": True}


def test_tool_call_without_arguments_and_id() -> None:
    call = {"type": "function", "function": {"name": "now"}}
    event = decode_event(go_event(choice("assistant", tool_calls=[call])))
    assert event.message == AIMessage("", tool_calls=[{"name": "now", "args": {}, "id": None}])


@pytest.mark.parametrize("arguments", ['{"a":', "[1]", "hello", "aGVsbG8="])
def test_a_tool_call_with_invalid_arguments_keeps_its_text(arguments: str) -> None:
    call = {"type": "function", "function": {"name": "add", "arguments": arguments}, "id": "c1"}
    event = decode_event(go_event(choice("assistant", tool_calls=[call])))
    assert isinstance(event.message, AIMessage)
    assert event.message.tool_calls == []
    assert event.message.invalid_tool_calls == [
        {"name": "add", "args": arguments, "id": "c1", "error": None, "type": "invalid_tool_call"}
    ]
    assert rewritten(event) == event


def test_exact_numbers_in_arguments() -> None:
    arguments = f'{{"n":{2**70}}}'
    call = {"type": "function", "function": {"name": "f", "arguments": arguments}, "id": "c"}
    event = decode_event(go_event(choice("assistant", tool_calls=[call])))
    assert isinstance(event.message, AIMessage)
    assert event.message.tool_calls[0]["args"] == {"n": 2**70}


def test_a_tool_result_of_go_is_read_and_kept() -> None:
    event = decode_event(go_event(choice("tool", "3", tool_id="c1", tool_name="add")))
    assert event.message == ToolMessage("3", tool_call_id="c1", name="add")
    assert rewritten(event) == event


def test_empty_tool_result_is_a_result() -> None:
    event = decode_event(go_event(choice("tool", tool_id="c1")))
    assert event.message == ToolMessage("", tool_call_id="c1")


def test_results_of_parallel_calls_in_one_event() -> None:
    event = decode_event(
        go_event(
            choice("tool", "3", tool_id="c1", tool_name="add"),
            choice("tool", "7", tool_id="c2", tool_name="mul") | {"index": 1},
            author="tool",
        )
    )
    assert event.message == ToolMessage("3", tool_call_id="c1", name="add")
    assert event.further_messages == (ToolMessage("7", tool_call_id="c2", name="mul"),)
    again = rewritten(event)
    assert again == event
    assert again.further_messages == event.further_messages
    assert list_messages([again]) == [again.message, *again.further_messages]
    assert decode_event(encode_event(Event(HumanMessage("hi")))).further_messages == ()


def test_an_error_of_go_is_kept_without_a_message() -> None:
    error = {"message": "rate limit", "type": "api_error"}
    event = decode_event(go_event(object="error", choices=None, error=error))
    assert event.message is None
    assert event.extra["error"] == error
    assert rewritten(event) == event


def test_only_a_state_delta() -> None:
    event = decode_event(go_event(object="state.update", stateDelta={"k": "MQ=="}))
    assert event.message is None
    assert event.state_delta == {"k": 1}
    assert rewritten(event) == event


@pytest.mark.parametrize(
    "choices", [..., None, [], [choice("assistant")], [{"index": 0}], [{"message": None}]]
)
def test_an_event_without_a_message_is_read(choices: Any) -> None:
    event = decode_event(go_event(choices=choices))
    assert event.message is None
    assert "choices" not in event.extra
    assert rewritten(event) == event


def test_partial_delta_survives() -> None:
    part = {"index": 0, "message": EMPTY_DELTA, "delta": {"role": "assistant", "content": "he"}}
    event = decode_event(go_event(part, is_partial=True))
    assert event.message is None
    assert event.extra["choices"] == [part]
    assert rewritten(event) == event


def test_delta_alone_is_the_message() -> None:
    call = {
        "id": "c1",
        "type": "function",
        "function": {"name": "f", "arguments": "{}"},
        "extra_fields": {"signature": "s"},
    }
    part = {
        "index": 0,
        "message": EMPTY_DELTA,
        "delta": {"role": "assistant", "content": "hello", "tool_calls": [call], "new": 1},
        "finish_reason": "stop",
    }
    further = {"index": 1, "message": EMPTY_DELTA, "delta": {"role": "user", "content": "two"}}
    event = decode_event(go_event(part, further))
    assert event.message == AIMessage("hello", tool_calls=[{"name": "f", "args": {}, "id": "c1"}])
    assert event.further_messages == (HumanMessage("two"),)
    again = rewritten(event)
    assert again == event
    assert again.further_messages == event.further_messages
    stored = json.loads(encode_event(event))["choices"]
    assert stored[0]["message"]["content"] == "hello"
    assert stored[0]["message"]["tool_calls"][0]["extra_fields"] == {"signature": "s"}
    assert (stored[0]["message"]["new"], stored[0]["finish_reason"]) == (1, "stop")
    assert encode_event(event).count(b"hello") == 1


def test_delta_beside_a_message_is_not_a_second_one() -> None:
    part = choice("assistant", "hello") | {"delta": {"role": "assistant", "content": "lo"}}
    event = decode_event(go_event(part))
    assert event.message == AIMessage("hello")
    assert event.extra["choices"] == [{"delta": {"role": "assistant", "content": "lo"}}]
    assert rewritten(event) == event


def test_reasoning_alone_is_a_message() -> None:
    event = decode_event(go_event(choice("assistant", reasoning_content="hm")))
    assert event.message == AIMessage("", additional_kwargs={"reasoning_content": "hm"})
    assert rewritten(event) == event
    assert "extensions" not in json.loads(encode_event(event))


@pytest.mark.parametrize(
    ("role", "author", "expected"),
    [
        ("user", "assistant", HumanMessage("x")),
        ("system", "assistant", SystemMessage("x")),
        ("assistant", "user", AIMessage("x")),
        ("", "user", HumanMessage("x")),
        ("", "agent", AIMessage("x")),
        ("critic", "agent", ChatMessage(content="x", role="critic")),
    ],
)
def test_each_role_of_go_becomes_its_message_type(role: str, author: str, expected: Any) -> None:
    event = decode_event(go_event(choice(role, "x"), author=author))
    assert event.message is not None
    assert same_message(event.message, expected)


def test_content_parts_of_go_become_langchains_and_go_back() -> None:
    parts = [
        {"type": "image", "image": {"url": "https://a.b/c", "data": None, "detail": "auto"}},
        {"type": "image", "image": {"url": "", "data": "AAAA", "format": "png"}},
        {"type": "audio", "audio": {"data": "AAAA", "format": "wav"}},
        {
            "type": "file",
            "file": {"filename": "a.pdf", "data": "AAAA", "file_id": "", "format": "m"},
        },
        {"type": "file", "file": {"filename": "", "data": None, "file_id": "f1"}},
        {
            "type": "file",
            "file": {"url": "https://a.b/r", "data": None, "filename": "r", "format": "m"},
        },
        {"type": "file", "file": {"file_id": "f2", "filename": "b.pdf", "format": "m"}},
        {"type": "audio", "audio": {"url": "https://a.b/s", "data": None, "format": "mp3"}},
        {"type": "video", "video": {"url": "https://a.b/v", "format": "video/webm"}},
        {"type": "video", "video": {"url": "https://a.b/v", "data": "AAAA", "format": "mp4"}},
        {"type": "text", "text": "and?"},
    ]
    event = decode_event(go_event(choice("user", "What?", content_parts=parts)))
    assert event.message is not None
    assert event.message.content == [
        {"type": "text", "text": "What?"},
        {"type": "image_url", "image_url": {"url": "https://a.b/c", "detail": "auto"}},
        {"type": "image", "base64": "AAAA", "mime_type": "image/png"},
        {"type": "audio", "base64": "AAAA", "mime_type": "audio/wav"},
        {
            "type": "file",
            "base64": "AAAA",
            "mime_type": "m",
            "extras": {"filename": "a.pdf"},
        },
        {"type": "file", "file_id": "f1"},
        {
            "type": "file",
            "url": "https://a.b/r",
            "mime_type": "m",
            "extras": {"filename": "r"},
        },
        {"type": "file", "file_id": "f2", "mime_type": "m", "extras": {"filename": "b.pdf"}},
        {"type": "audio", "url": "https://a.b/s", "mime_type": "audio/mp3"},
        {"type": "video", "url": "https://a.b/v", "mime_type": "video/webm"},
        {"type": "video", "url": "https://a.b/v", "base64": "AAAA", "mime_type": "video/mp4"},
        {"type": "text", "text": "and?"},
    ]
    assert rewritten(event) == event
    assert "extensions" not in json.loads(encode_event(event))


def test_the_zero_time_of_go_comes_back() -> None:
    event = decode_event(go_event(timestamp="0001-01-01T00:00:00Z"))
    assert event.time_ns == -62_135_596_800 * 10**9
    assert rewritten(event) == event
