"""Messages that the providers' own classes make, over fake transports, come back."""

from __future__ import annotations

import base64
import importlib.util
from collections.abc import Callable
from enum import Enum
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from langchain_redis_session import RedisSessionService, SessionKey
from tests.integration.conftest import MakeHistory
from tests.integration.providers import need
from tests.unit.messages import same, same_message

pytestmark = [pytest.mark.interop, pytest.mark.filterwarnings("ignore::DeprecationWarning")]


def answer_with(body: Any, library: str = "httpx") -> Any:
    """Make a transport that answers every request with `body`."""
    http = need(library)
    return http.MockTransport(lambda _request: http.Response(200, json=body))


class Mood(str, Enum):
    SUNNY = "sunny"


class Weather(BaseModel):
    city: str
    mood: Mood


USAGE = {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}


def openai_model(body: Any, **options: Any) -> Any:
    client = need("httpx").Client(transport=answer_with(body))
    return need("langchain_openai").ChatOpenAI(
        model="gpt", api_key="x", http_client=client, **options
    )


def openai_structured() -> AIMessage:
    """Structured output with the raw message, and log-probabilities."""
    token = {"token": "{", "logprob": -0.5, "bytes": [123], "top_logprobs": []}
    choice = {
        "index": 0,
        "finish_reason": "stop",
        "message": {"role": "assistant", "content": '{"city":"Paris","mood":"sunny"}'},
        "logprobs": {"content": [token], "refusal": None},
    }
    body = {
        "id": "c1",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt",
        "choices": [choice],
        "usage": USAGE,
    }
    model = openai_model(body, logprobs=True).with_structured_output(
        Weather, include_raw=True, method="json_schema"
    )
    raw: AIMessage = model.invoke("hi")["raw"]
    assert raw.additional_kwargs["parsed"] == Weather(city="Paris", mood=Mood.SUNNY)
    return raw


def openai_responses() -> AIMessage:
    """Reasoning and a tool call of the Responses API."""
    body = {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "model": "gpt",
        "status": "completed",
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "output": [
            {
                "id": "rs_1",
                "type": "reasoning",
                "summary": [{"type": "summary_text", "text": "hm"}],
                "encrypted_content": "AAEC",
            },
            {
                "id": "msg_1",
                "type": "message",
                "role": "assistant",
                "status": "completed",
                "content": [
                    {
                        "type": "output_text",
                        "text": "sunny",
                        "annotations": [
                            {
                                "type": "url_citation",
                                "url": "https://a.b",
                                "title": "t",
                                "start_index": 0,
                                "end_index": 5,
                            }
                        ],
                    }
                ],
            },
            {
                "id": "fc_1",
                "type": "function_call",
                "call_id": "call_1",
                "name": "find",
                "arguments": '{"q": "x"}',
                "status": "completed",
            },
        ],
        "usage": {
            "input_tokens": 3,
            "output_tokens": 5,
            "total_tokens": 8,
            "input_tokens_details": {"cached_tokens": 1},
            "output_tokens_details": {"reasoning_tokens": 2},
        },
    }
    message: AIMessage = openai_model(body, use_responses_api=True).invoke("hi")
    assert message.tool_calls
    return message


def anthropic_blocks() -> AIMessage:
    """Thinking, citations and a tool call."""
    anthropic = need("anthropic")
    citation = {
        "type": "char_location",
        "cited_text": "y",
        "document_index": 0,
        "document_title": "d",
        "start_char_index": 0,
        "end_char_index": 1,
        "file_id": None,
    }
    body = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude",
        "stop_reason": "tool_use",
        "stop_sequence": None,
        "content": [
            {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
            {"type": "text", "text": "yes", "citations": [citation]},
            {"type": "tool_use", "id": "toolu_1", "name": "find", "input": {"q": "x"}},
        ],
        "usage": {"input_tokens": 1, "output_tokens": 2},
    }
    model = need("langchain_anthropic").ChatAnthropic(model="claude", api_key="x")
    # The newer ones have an HTTP library of their own.
    library = "httpx2" if importlib.util.find_spec("httpx2") else "httpx"
    try:
        client = need(library).Client(transport=answer_with(body, library))
        model.__dict__["_client"] = anthropic.Anthropic(api_key="x", http_client=client)
    except TypeError:
        client = need("httpx").Client(transport=answer_with(body))
        model.__dict__["_client"] = anthropic.Anthropic(api_key="x", http_client=client)
    message: AIMessage = model.invoke("hi")
    assert message.tool_calls
    return message


def google_grounded() -> AIMessage:
    """Enums in the ratings, grounding, an image, a thought with its signature, a tool call."""
    image = {"mimeType": "image/png", "data": base64.b64encode(b"\x89PNG\xff").decode()}
    rating = {"category": "HARM_CATEGORY_HARASSMENT", "probability": "NEGLIGIBLE"}
    grounding = {
        "webSearchQueries": ["x"],
        "groundingChunks": [{"web": {"uri": "https://a.b", "title": "t"}}],
        "groundingSupports": [{"segment": {"endIndex": 2}, "groundingChunkIndices": [0]}],
    }
    candidate = {
        "content": {
            "role": "model",
            "parts": [
                {"text": "hm", "thought": True},
                {"text": "ok", "thoughtSignature": "AAEC/w=="},
                {"inlineData": image},
                {"functionCall": {"name": "find", "args": {"q": "x"}}},
            ],
        },
        "finishReason": "STOP",
        "avgLogprobs": -0.1,
        "safetyRatings": [rating],
        "citationMetadata": {"citations": [{"endIndex": 2, "uri": "https://a.b"}]},
        "logprobsResult": {"chosenCandidates": [{"token": "ok", "logProbability": -0.1}]},
        "groundingMetadata": grounding,
    }
    body = {
        "candidates": [candidate],
        "usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 2, "totalTokenCount": 3},
        "modelVersion": "gemini",
    }
    model = need("langchain_google_genai").ChatGoogleGenerativeAI(
        model="gemini", api_key="x", client_args={"transport": answer_with(body)}
    )
    message: AIMessage = model.invoke("hi")
    assert isinstance(message.response_metadata["safety_ratings"][0]["category"], Enum)
    return message


def mistral_tool_call() -> AIMessage:
    function = {"name": "find", "arguments": '{"q": "x"}'}
    answer = {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"id": "abc123456", "type": "function", "function": function}],
    }
    body = {
        "id": "m1",
        "object": "chat.completion",
        "created": 1,
        "model": "mistral",
        "choices": [{"index": 0, "finish_reason": "tool_calls", "message": answer}],
        "usage": USAGE,
    }
    client = need("httpx").Client(base_url="https://x/v1", transport=answer_with(body))
    model = need("langchain_mistralai").ChatMistralAI(model="m", api_key="x", client=client)
    message: AIMessage = model.invoke("hi")
    assert message.tool_calls
    return message


def numpy_artifact() -> ToolMessage:
    np = need("numpy")

    @tool(response_format="content_and_artifact")
    def embed(text: str) -> tuple[str, Any]:
        """Embed."""
        return text, {"vector": np.linspace(0, 1, 3), "norm": np.float32(1.5), "n": np.int64(3)}

    call = {"name": "embed", "args": {"text": "x"}, "id": "c", "type": "tool_call"}
    message: ToolMessage = embed.invoke(call)
    return message


def plain(message: BaseMessage) -> BaseMessage:
    """The message with what pydantic makes of its fields."""
    fields = {
        name: to_jsonable_python(getattr(message, name))
        for name in ("content", "additional_kwargs", "response_metadata")
    }
    return message.model_copy(update=fields)


MAKERS: list[Callable[[], BaseMessage]] = [
    openai_structured,
    openai_responses,
    anthropic_blocks,
    google_grounded,
    mistral_tool_call,
]


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
async def test_messages_of_providers_are_read_back_and_stored_again(
    make_history: MakeHistory, make: Any
) -> None:
    message = make()
    history = make_history("h", open_tool_calls="keep")
    history.add_messages([HumanMessage("hi"), message])
    await history.aadd_messages([message])
    question, stored, again = history.messages
    assert question == HumanMessage("hi")
    assert same_message(stored, plain(message))
    assert same_message(again, stored)
    # What was read is stored as it is.
    other = make_history("other")
    other.add_messages([stored])
    assert other.service.stats().converted_values == history.service.stats().converted_values
    assert same_message(other.messages[0], stored)


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
async def test_messages_of_providers_in_a_service(
    redis_url: str, key_prefix: str, make: Any
) -> None:
    message = make()
    key = SessionKey("shop", "ann", "s1")
    with RedisSessionService(redis_url, key_prefix=key_prefix) as service:
        await service.aappend_messages(
            key, [message], create=True, state_delta={"answer": message.additional_kwargs}
        )
        session = await service.aget_session(key)
        assert session is not None
        assert same_message(session.messages[0], plain(message))
        assert same(session.state["answer"], to_jsonable_python(message.additional_kwargs))
        await service.aclose()


def test_an_artifact_of_numpy(make_history: MakeHistory) -> None:
    history = make_history()
    call = {"name": "embed", "args": {}, "id": "c"}
    history.add_messages([AIMessage("", tool_calls=[call]), numpy_artifact()])
    _, stored = history.messages
    assert isinstance(stored, ToolMessage)
    assert stored.artifact == {"vector": [0.0, 0.5, 1.0], "norm": 1.5, "n": 3}
