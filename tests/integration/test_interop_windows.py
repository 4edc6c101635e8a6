"""What providers' own classes send of a window, over fake transports: nothing they refuse."""

from __future__ import annotations

import importlib.util
import json
import warnings
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from langchain_redis_session import RedisSessionChatMessageHistory, RedisSessionService
from tests.conversations import OPTIONS, conversations
from tests.effort import examples
from tests.integration.providers import need

pytestmark = [pytest.mark.interop, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

Send = Callable[[list[BaseMessage]], dict[str, Any]]


def make_transport(body: Any, library: str, sent: list[dict[str, Any]]) -> Any:
    http = need(library)

    def answer(request: Any) -> Any:
        sent.append(json.loads(request.content))
        return http.Response(200, json=body)

    return http.MockTransport(answer)


def make_sender(model: Any, sent: list[dict[str, Any]]) -> Send:
    def send(messages: list[BaseMessage]) -> dict[str, Any]:
        model.invoke(messages)
        return sent.pop()

    return send


def openai_sender() -> Send:
    sent: list[dict[str, Any]] = []
    answer = {"role": "assistant", "content": "yes"}
    body = {
        "id": "c1",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt",
        "choices": [{"index": 0, "finish_reason": "stop", "message": answer}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8},
    }
    client = need("httpx").Client(transport=make_transport(body, "httpx", sent))
    model = need("langchain_openai").ChatOpenAI(model="gpt", api_key="x", http_client=client)
    return make_sender(model, sent)


def anthropic_sender() -> Send:
    sent: list[dict[str, Any]] = []
    body = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude",
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "content": [{"type": "text", "text": "yes"}],
        "usage": {"input_tokens": 1, "output_tokens": 2},
    }
    anthropic = need("anthropic")
    model = need("langchain_anthropic").ChatAnthropic(model="claude", api_key="x")
    # The newer ones have an HTTP library of their own.
    library = "httpx2" if importlib.util.find_spec("httpx2") else "httpx"
    try:
        client = need(library).Client(transport=make_transport(body, library, sent))
        model.__dict__["_client"] = anthropic.Anthropic(api_key="x", http_client=client)
    except TypeError:
        client = need("httpx").Client(transport=make_transport(body, "httpx", sent))
        model.__dict__["_client"] = anthropic.Anthropic(api_key="x", http_client=client)
    return make_sender(model, sent)


def google_sender() -> Send:
    sent: list[dict[str, Any]] = []
    content = {"role": "model", "parts": [{"text": "yes"}]}
    body = {
        "candidates": [{"content": content, "finishReason": "STOP"}],
        "usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 2, "totalTokenCount": 3},
        "modelVersion": "gemini",
    }
    model = need("langchain_google_genai").ChatGoogleGenerativeAI(
        model="gemini",
        api_key="x",
        client_args={"transport": make_transport(body, "httpx", sent)},
    )
    return make_sender(model, sent)


Turns = list[tuple[list[str], list[str]]]
"""Of each message that is sent: the calls that it makes, and those whose results it brings."""


def openai_turns(payload: dict[str, Any]) -> Turns:
    turns: Turns = []
    for message in payload["messages"]:
        calls = [call["id"] for call in message.get("tool_calls") or ()]
        if message["role"] != "tool":
            turns.append((calls, []))
        elif turns and turns[-1][1]:  # its results stand in messages of their own
            turns[-1][1].append(message["tool_call_id"])
        else:
            turns.append(([], [message["tool_call_id"]]))
    return turns


def anthropic_turns(payload: dict[str, Any]) -> Turns:
    turns: Turns = []
    for message in payload["messages"]:
        content = message["content"]
        blocks = content if isinstance(content, list) else []
        turns.append(
            (
                [block["id"] for block in blocks if block["type"] == "tool_use"],
                [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"],
            )
        )
    return turns


def google_turns(payload: dict[str, Any]) -> Turns:
    """Its calls have no ids: as many results have to come as there are calls."""
    return [
        (
            [part["functionCall"]["name"] for part in message["parts"] if "functionCall" in part],
            [
                "tool"
                for part in message["parts"]
                if "functionResponse" in part and part["functionResponse"]["name"]
            ],
        )
        for message in payload["contents"]
    ]


PROVIDERS: list[tuple[Callable[[], Send], Callable[[dict[str, Any]], Turns]]] = [
    (openai_sender, openai_turns),
    (anthropic_sender, anthropic_turns),
    (google_sender, google_turns),
]


@pytest.mark.parametrize(("make", "read"), PROVIDERS, ids=["openai", "anthropic", "google"])
def test_what_is_sent_of_a_window_is_accepted(
    make: Callable[[], Send], read: Callable[[dict[str, Any]], Turns]
) -> None:
    send = make()

    service = RedisSessionService(
        "memory://interop", summarizer=lambda _: "much was said", auto_summarize=False
    )

    @examples(300)
    @given(conversations(), OPTIONS, st.none() | st.integers(0, 12))
    def check(messages: list[BaseMessage], options: dict[str, Any], moment: int | None) -> None:
        options["max_messages"] = options["max_messages"] or 9
        history = RedisSessionChatMessageHistory("w", service=service, **options)
        history.clear()
        # What has no text at all is another matter.
        history.add_messages([HumanMessage("hi"), *messages[:moment]])
        if moment is not None:
            service.create_summary(history.session_key, force=True)
            history.add_messages(messages[moment:])
        history.add_messages([HumanMessage("go on")])
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "the last user message")
            window = [
                message if message.content else message.model_copy(update={"content": "."})
                for message in history.messages
            ]
        turns = read(send(window))
        for (calls, _), (_, results) in zip(turns, [*turns[1:], ([], [])], strict=True):
            assert sorted(calls) == sorted(results), window
        assert not turns[0][1], window

    check()


def test_a_made_answer_reaches_the_model_as_a_failed_result() -> None:
    history = RedisSessionChatMessageHistory("w1", "memory://interop", max_messages=9)
    history.clear()
    call = {"name": "tool", "args": {}, "id": "c1"}
    history.add_messages([HumanMessage("hi"), AIMessage("", tool_calls=[call])])
    history.add_messages([HumanMessage("go on")])
    assert isinstance(history.messages[2], ToolMessage)
    assert openai_turns(openai_sender()(history.messages)) == [
        ([], []),
        (["c1"], []),
        ([], ["c1"]),
        ([], []),
    ]
