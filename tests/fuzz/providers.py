"""Messages that providers' own packages make of odd replies, over fake transports."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from langchain_core.messages import BaseMessage
from pydantic_core import to_jsonable_python

from tests.fuzz.messages import Maker

_USAGE = {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}
_ARGUMENTS = ['{"a": 1}', "{", "[1]", "", '{"a": 1e400}', '{"a": {"b": [null, "é"]}}', "null"]
_LINK = {"url": "https://a.b", "title": "t", "start_index": 0, "end_index": 5}

MakeReply = Callable[[Maker], Any]


class Provider:
    """A model whose server answers what it is told.

    Args:
        make_model: Makes the model, for a function that answers requests.
        make_reply: Makes an odd reply.
    """

    def __init__(self, make_model: Callable[[Callable[[], Any]], Any], make_reply: MakeReply):
        self._make_reply = make_reply
        self._reply: Any = None
        self._model = make_model(lambda: self._reply)

    def make(self, maker: Maker) -> BaseMessage | None:
        """Give a message; None where the package does not take the reply."""
        self._reply = self._make_reply(maker)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                message: BaseMessage = self._model.invoke("hi")
        except Exception:  # theirs
            return None
        return message


def generate(seed: int) -> Iterator[BaseMessage]:
    """Give messages, without an end; none where no package is installed."""
    maker, providers = Maker(seed), [*_find_providers()]
    while providers:
        message = maker.random.choice(providers).make(maker)
        if message is not None:
            yield message


def _find_providers() -> Iterator[Provider]:
    for package, make_model, make_reply in (
        ("langchain_openai", _openai, _chat_completion),
        ("langchain_openai", _openai_responses, _response),
        ("langchain_anthropic", _anthropic, _anthropic_reply),
        ("langchain_google_genai", _google, _google_reply),
        ("langchain_mistralai", _mistral, _mistral_reply),
    ):
        if importlib.util.find_spec(package):
            yield Provider(make_model, make_reply)


def make_plain(message: BaseMessage) -> BaseMessage:
    """Give the message with what pydantic makes of its fields, as is stored; bytes as text."""
    names = ("content", "additional_kwargs", "response_metadata")
    return message.model_copy(
        update={
            name: to_jsonable_python(getattr(message, name), bytes_mode="base64") for name in names
        }
    )


def _transport(answer: Callable[[], Any], library: str = "httpx") -> Any:
    http = importlib.import_module(library)
    return http.MockTransport(lambda _request: http.Response(200, json=answer()))


def _openai(answer: Callable[[], Any], **options: Any) -> Any:
    import httpx
    from langchain_openai import ChatOpenAI

    client = httpx.Client(transport=_transport(answer))
    make: Any = ChatOpenAI
    return make(model="gpt", api_key="x", http_client=client, max_retries=0, **options)


def _openai_responses(answer: Callable[[], Any]) -> Any:
    return _openai(answer, use_responses_api=True, output_version="responses/v1")


def _anthropic(answer: Callable[[], Any]) -> Any:
    import anthropic
    from langchain_anthropic import ChatAnthropic

    make: Any = ChatAnthropic
    model = make(model="claude", api_key="x")
    # The newer ones have an HTTP library of their own.
    library = "httpx2" if importlib.util.find_spec("httpx2") else "httpx"
    client = importlib.import_module(library).Client(transport=_transport(answer, library))
    model.__dict__["_client"] = anthropic.Anthropic(api_key="x", http_client=client, max_retries=0)
    return model


def _google(answer: Callable[[], Any]) -> Any:
    from langchain_google_genai import ChatGoogleGenerativeAI

    make: Any = ChatGoogleGenerativeAI
    return make(
        model="gemini", api_key="x", max_retries=1, client_args={"transport": _transport(answer)}
    )


def _mistral(answer: Callable[[], Any]) -> Any:
    import httpx
    from langchain_mistralai import ChatMistralAI

    client = httpx.Client(base_url="https://x/v1", transport=_transport(answer))
    make: Any = ChatMistralAI
    return make(model="m", api_key="x", client=client, max_retries=1)


def _text(maker: Maker) -> str:
    """Give a text that a server can send."""
    return maker.text().encode("utf-8", "replace").decode()


def _some(maker: Maker, parts: Sequence[Any]) -> list[Any]:
    return [maker.random.choice(parts) for _ in range(maker.random.randrange(5))]


def _calls(maker: Maker) -> list[Any]:
    return [
        {
            "id": f"call_{n}",
            "type": "function",
            "function": {"name": "f", "arguments": maker.random.choice(_ARGUMENTS)},
        }
        for n in range(maker.random.randrange(3))
    ]


def _chat_completion(maker: Maker) -> Any:
    random = maker.random
    message = {
        "role": "assistant",
        "content": random.choice((None, "", _text(maker), [{"type": "text", "text": "x"}])),
        "tool_calls": _calls(maker) or None,
        "refusal": random.choice((None, "no")),
        "audio": random.choice((None, {"id": "a", "data": "AAAA", "transcript": _text(maker)})),
        "reasoning_content": random.choice((None, _text(maker))),
        "annotations": random.choice((None, [{"type": "url_citation", "url_citation": _LINK}])),
    }
    token = {"token": _text(maker), "logprob": -0.5, "bytes": [123], "top_logprobs": []}
    choice = {
        "index": 0,
        "finish_reason": random.choice(("stop", "tool_calls", "length", "content_filter", None)),
        "message": message,
        "logprobs": random.choice((None, {"content": [token], "refusal": None})),
    }
    details = {"prompt_tokens_details": {"cached_tokens": 1, "audio_tokens": None}}
    return {
        "id": random.choice(("c1", _text(maker))),
        "object": "chat.completion",
        "created": 1,
        "model": "gpt",
        "choices": [choice],
        "usage": random.choice((None, _USAGE, {**_USAGE, **details})),
        "system_fingerprint": random.choice((None, "fp")),
        "service_tier": random.choice((None, "flex")),
    }


def _response(maker: Maker) -> Any:
    text, random = _text(maker), maker.random
    citation = {"type": "url_citation", **_LINK}
    output_text = {
        "type": "output_text",
        "text": text,
        "annotations": random.choice(([], [citation])),
        "logprobs": [],
    }
    output = _some(
        maker,
        [
            {
                "id": "rs_1",
                "type": "reasoning",
                "summary": random.choice(([], [{"type": "summary_text", "text": text}])),
                "encrypted_content": random.choice((None, "AAEC")),
            },
            {
                "id": "msg_1",
                "type": "message",
                "role": "assistant",
                "status": "completed",
                "content": random.choice(
                    ([output_text], [output_text] * 2, [{"type": "refusal", "refusal": text}])
                ),
            },
            {
                "id": "fc_1",
                "type": "function_call",
                "call_id": "call_1",
                "name": "find",
                "arguments": random.choice(_ARGUMENTS),
                "status": "completed",
            },
            {
                "id": "ws_1",
                "type": "web_search_call",
                "status": "completed",
                "action": {"type": "search", "query": text},
            },
            {"id": "ig_1", "type": "image_generation_call", "status": "completed", "result": "AA"},
            {
                "id": "ci_1",
                "type": "code_interpreter_call",
                "status": "completed",
                "code": text,
                "container_id": "c",
                "outputs": [{"type": "logs", "logs": text}],
            },
            {
                "id": "ct_1",
                "type": "custom_tool_call",
                "call_id": "call_2",
                "name": "say",
                "input": text,
            },
            {
                "id": "mcp_1",
                "type": "mcp_call",
                "name": "f",
                "arguments": "{}",
                "server_label": "s",
                "output": text,
                "error": None,
            },
        ],
    )
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "model": "gpt",
        "status": random.choice(("completed", "incomplete")),
        "incomplete_details": random.choice((None, {"reason": "max_output_tokens"})),
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "metadata": random.choice((None, {"k": text})),
        "output": output,
        "usage": {
            "input_tokens": 3,
            "output_tokens": 5,
            "total_tokens": 8,
            "input_tokens_details": {"cached_tokens": 1},
            "output_tokens_details": {"reasoning_tokens": 2},
        },
    }


def _anthropic_reply(maker: Maker) -> Any:
    text, random = _text(maker), maker.random
    citation = {
        "type": "char_location",
        "cited_text": text,
        "document_index": 0,
        "document_title": random.choice((None, "d")),
        "start_char_index": 0,
        "end_char_index": 1,
        "file_id": None,
    }
    result = {
        "type": "web_search_result",
        "title": text,
        "url": "https://a.b",
        "encrypted_content": "AA",
        "page_age": None,
    }
    content = _some(
        maker,
        [
            {"type": "thinking", "thinking": text, "signature": "c2ln"},
            {"type": "redacted_thinking", "data": "AAEC"},
            {"type": "text", "text": text},
            {"type": "text", "text": text, "citations": random.choice((None, [], [citation]))},
            {"type": "tool_use", "id": "toolu_1", "name": "find", "input": {"q": text}},
            {"type": "tool_use", "id": "toolu_2", "name": "find", "input": {}},
            {
                "type": "server_tool_use",
                "id": "srvtoolu_1",
                "name": "web_search",
                "input": {"query": text},
            },
            {
                "type": "web_search_tool_result",
                "tool_use_id": "srvtoolu_1",
                "content": random.choice(
                    (
                        [result],
                        {
                            "type": "web_search_tool_result_error",
                            "error_code": "unavailable",
                        },
                    )
                ),
            },
        ],
    )
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude",
        "stop_reason": random.choice(("tool_use", "end_turn", "max_tokens", "refusal", None)),
        "stop_sequence": random.choice((None, text)),
        "content": content,
        "usage": {
            "input_tokens": 1,
            "output_tokens": 2,
            "cache_read_input_tokens": random.choice((None, 1)),
            "cache_creation": random.choice(
                (None, {"ephemeral_5m_input_tokens": 1, "ephemeral_1h_input_tokens": 0})
            ),
        },
    }


def _google_reply(maker: Maker) -> Any:
    text, random = _text(maker), maker.random
    parts = _some(
        maker,
        [
            {"text": text, "thought": True},
            {"text": text, "thoughtSignature": "AAEC/w=="},
            {"text": text},
            {"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}},
            {"inlineData": {"mimeType": "audio/wav", "data": "AAAA"}},
            {"functionCall": {"name": "find", "args": {"q": text, "n": [1.5, None]}}},
            {"functionCall": {"name": "find"}, "thoughtSignature": "AAEC/w=="},
            {"executableCode": {"language": "PYTHON", "code": text}},
            {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": text}},
        ],
    )
    rating = {"category": "HARM_CATEGORY_HARASSMENT", "probability": "NEGLIGIBLE"}
    grounding = {
        "webSearchQueries": [text],
        "groundingChunks": [{"web": {"uri": "https://a.b", "title": text}}],
        "groundingSupports": [{"segment": {"endIndex": 2}, "groundingChunkIndices": [0]}],
    }
    candidate: dict[str, Any] = {
        "content": {"role": "model", "parts": parts},
        "finishReason": random.choice(("STOP", "MAX_TOKENS", "SAFETY", "OTHER")),
        "avgLogprobs": -0.1,
    }
    for name, value in (
        ("safetyRatings", [rating]),
        ("citationMetadata", {"citations": [{"endIndex": 2, "uri": "https://a.b"}]}),
        (
            "logprobsResult",
            {"chosenCandidates": [{"token": text, "logProbability": -0.1}]},
        ),
        ("groundingMetadata", grounding),
    ):
        if random.random() < 0.4:
            candidate[name] = value
    return {
        "candidates": [candidate],
        "usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 2, "totalTokenCount": 3},
        "modelVersion": "gemini",
    }


def _mistral_reply(maker: Maker) -> Any:
    text, random = _text(maker), maker.random
    answer = {
        "role": "assistant",
        "content": random.choice(
            (
                "",
                text,
                [{"type": "text", "text": text}],
                [
                    {"type": "thinking", "thinking": [{"type": "text", "text": text}]},
                    {"type": "text", "text": text},
                    {"type": "reference", "reference_ids": [1]},
                ],
            )
        ),
        "tool_calls": _calls(maker) or None,
    }
    return {
        "id": "m1",
        "object": "chat.completion",
        "created": 1,
        "model": "mistral",
        "choices": [{"index": 0, "finish_reason": "stop", "message": answer}],
        "usage": _USAGE,
    }
