"""Messages as the packages of OpenAI, Anthropic and Google make them, with all that is in them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

TEXT = "The parcel left the warehouse on Monday and should be with you by Thursday. " * 5
THOUGHT = "The user asks for the parcel; find_order tells where it is, and when it comes."
SIGNATURE = "CpwBAdHtim9XzK3q" * 12
TOKENS = {"input_tokens": 1210, "output_tokens": 109, "total_tokens": 1319}


def make_question(place: int) -> HumanMessage:
    return HumanMessage(f"{place}: {TEXT}", id=_uuid(place))


def make_result(place: int) -> ToolMessage:
    items = [{"sku": "X1", "count": 2}] * 4
    return ToolMessage(
        json.dumps({"order": f"A-{place}", "status": "shipped", "items": items}),
        name="find_order",
        tool_call_id=f"call_{place:024d}",
        id=_uuid(place),
    )


def make_failed_result(place: int) -> ToolMessage:
    return ToolMessage(
        "no such order",
        name="find_order",
        tool_call_id=f"call_{place:024d}",
        status="error",
        artifact={"code": 404, "places": [1, 2]},
    )


def make_openai_answer(place: int, text: str = TEXT, **fields: Any) -> AIMessage:
    """An answer of chat completions."""
    return AIMessage(
        text,
        additional_kwargs={"refusal": None},
        response_metadata={
            "token_usage": {
                "completion_tokens": 109,
                "prompt_tokens": 1210,
                "total_tokens": 1319,
                "completion_tokens_details": {
                    "accepted_prediction_tokens": 0,
                    "audio_tokens": 0,
                    "reasoning_tokens": 64,
                    "rejected_prediction_tokens": 0,
                },
                "prompt_tokens_details": {"audio_tokens": 0, "cached_tokens": 1024},
            },
            "model_provider": "openai",
            "model_name": "gpt-5-mini-2025-08-07",
            "system_fingerprint": "fp_0392822090",
            "id": f"chatcmpl-{place:024d}",
            "service_tier": "default",
            "finish_reason": "stop",
            "logprobs": None,
        },
        id=f"lc_run--{_uuid(place)}-0",
        usage_metadata={
            **TOKENS,
            "input_token_details": {"audio": 0, "cache_read": 1024},
            "output_token_details": {"audio": 0, "reasoning": 64},
        },
        **fields,
    )


def make_openai_calls(place: int) -> AIMessage:
    calls = [_call(f"call_{place:024d}", place), _call(f"call_{place + 1:024d}", place + 1)]
    return make_openai_answer(place, "", tool_calls=calls)


def make_openai_response(place: int) -> AIMessage:
    """An answer of the Responses API: reasoning, text with annotations, a call."""
    args = {"order_id": f"A-{place}", "with_items": True, "note": THOUGHT}
    call_id = f"call_{place:024d}"
    return AIMessage(
        [
            {
                "id": f"rs_{place:048d}",
                "summary": [{"type": "summary_text", "text": THOUGHT}],
                "encrypted_content": SIGNATURE,
                "type": "reasoning",
            },
            {
                "type": "text",
                "text": TEXT,
                "annotations": [{"type": "url_citation", "url": "https://a.b", "title": "t"}],
                "id": f"msg_{place:048d}",
            },
            {
                "type": "function_call",
                "name": "find_order",
                "arguments": json.dumps(args, separators=(",", ":")),
                "call_id": call_id,
                "id": f"fc_{place:048d}",
                "status": "completed",
            },
        ],
        response_metadata={
            "id": f"resp_{place:048d}",
            "created_at": 1763890000.0,
            "metadata": {},
            "model": "gpt-5-mini-2025-08-07",
            "object": "response",
            "service_tier": "default",
            "status": "completed",
            "model_provider": "openai",
            "model_name": "gpt-5-mini-2025-08-07",
        },
        id=f"resp_{place:048d}",
        tool_calls=[{"name": "find_order", "args": args, "id": call_id, "type": "tool_call"}],
        usage_metadata={
            **TOKENS,
            "input_token_details": {"cache_read": 0},
            "output_token_details": {"reasoning": 64},
        },
    )


def make_anthropic_answer(place: int) -> AIMessage:
    """Thinking, text and two calls, one with short arguments."""
    longer = _call(f"toolu_{place:020d}", place, note=THOUGHT)
    calls = [longer, _call(f"toolu_{place + 1:020d}", place)]
    return AIMessage(
        [
            {"signature": SIGNATURE, "thinking": THOUGHT, "type": "thinking"},
            {"text": TEXT, "type": "text"},
            *(
                {"id": call["id"], "input": call["args"], "name": call["name"], "type": "tool_use"}
                for call in calls
            ),
        ],
        response_metadata={
            "id": f"msg_{place:020d}",
            "model": "claude-sonnet-4-5-20250929",
            "stop_reason": "tool_use",
            "stop_sequence": None,
            "usage": {
                "cache_creation": {
                    "ephemeral_1h_input_tokens": 0,
                    "ephemeral_5m_input_tokens": 0,
                },
                "cache_creation_input_tokens": 0,
                "cache_read_input_tokens": 0,
                "input_tokens": 1210,
                "output_tokens": 109,
                "server_tool_use": None,
                "service_tier": "standard",
            },
            "model_name": "claude-sonnet-4-5-20250929",
            "model_provider": "anthropic",
        },
        id=f"lc_run--{_uuid(place)}-0",
        tool_calls=calls,
        usage_metadata={
            **TOKENS,
            "input_token_details": {
                "cache_read": 0,
                "cache_creation": 0,
                "ephemeral_5m_input_tokens": 0,
                "ephemeral_1h_input_tokens": 0,
            },
        },
    )


def make_google_answer(place: int) -> AIMessage:
    """Text with a thought's signature."""
    return _make_google(place, [{"type": "text", "text": TEXT, "extras": {"signature": SIGNATURE}}])


def make_google_call(place: int) -> AIMessage:
    call = _call(_uuid(place), place)
    return _make_google(
        place,
        "",
        additional_kwargs={
            "function_call": {"name": call["name"], "arguments": json.dumps(call["args"])},
            "__gemini_function_call_thought_signatures__": {call["id"]: SIGNATURE},
        },
        tool_calls=[call],
    )


def _make_google(place: int, content: Any, **fields: Any) -> AIMessage:
    return AIMessage(
        content,
        response_metadata={
            "prompt_feedback": {"block_reason": 0, "safety_ratings": []},
            "finish_reason": "STOP",
            "model_name": "gemini-2.5-flash",
            "safety_ratings": [],
            "model_provider": "google_genai",
        },
        id=f"lc_run--{_uuid(place)}-0",
        usage_metadata={
            **TOKENS,
            "input_token_details": {"cache_read": 0},
            "output_token_details": {"reasoning": 1024},
        },
        **fields,
    )


def _call(call_id: str, place: int, **args: Any) -> dict[str, Any]:
    args = {"order_id": f"A-{place}", "with_items": True, **args}
    return {"name": "find_order", "args": args, "id": call_id, "type": "tool_call"}


def _uuid(place: int) -> str:
    return f"019ac2d1-7c3e-7f10-9a1b-{place:012d}"


MAKERS: list[Callable[[int], BaseMessage]] = [
    make_question,
    make_result,
    make_failed_result,
    make_openai_answer,
    make_openai_calls,
    make_openai_response,
    make_anthropic_answer,
    make_google_answer,
    make_google_call,
]
