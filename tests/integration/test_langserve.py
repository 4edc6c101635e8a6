"""A chain with a history for each user, served over HTTP by LangServe."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from langchain_core.runnables import ConfigurableFieldSpec
from typing_extensions import TypedDict

from tests.integration.conftest import MakeHistory
from tests.integration.scripted import ScriptedModel

history_module = pytest.importorskip("langchain_core.runnables.history")
langserve = pytest.importorskip("langserve")
fastapi = pytest.importorskip("fastapi")
httpx = pytest.importorskip("httpx")
testclient = pytest.importorskip("fastapi.testclient")
pytest.importorskip("sse_starlette")

pytestmark = pytest.mark.filterwarnings("ignore:RunnableWithMessageHistory is deprecated")

PROMPT = ChatPromptTemplate.from_messages(
    [MessagesPlaceholder("history"), ("human", "{human_input}")]
)
ANN = {"x-user-id": "ann"}


class InputChat(TypedDict):
    """What the chain takes."""

    human_input: str


def take_user(config: dict[str, Any], request: Any) -> dict[str, Any]:
    """Let the header say who it is, whatever the body says."""
    user_id = request.headers.get("x-user-id")
    if not user_id:
        raise fastapi.HTTPException(401, "no x-user-id")
    config["configurable"] = {**config.get("configurable", {}), "user_id": user_id}
    return config


@pytest.fixture
def app(make_history: MakeHistory) -> Any:
    chain = history_module.RunnableWithMessageHistory(
        PROMPT | ScriptedModel(),
        lambda user_id, session_id: make_history(session_id, user_id=user_id),
        input_messages_key="human_input",
        history_messages_key="history",
        history_factory_config=[
            ConfigurableFieldSpec(id="user_id", annotation=str),
            ConfigurableFieldSpec(id="session_id", annotation=str),
        ],
    ).with_types(input_type=InputChat)
    app = fastapi.FastAPI()
    for path, runnable in (("/chat", chain), ("/text", chain | StrOutputParser())):
        langserve.add_routes(
            app,
            runnable,
            path=path,
            config_keys=["configurable"],
            per_req_config_modifier=take_user,
        )
    return app


@pytest.fixture
def client(app: Any) -> Iterator[Any]:
    with testclient.TestClient(app) as client:
        yield client


def body(text: str, session_id: str = "s1", **configurable: str) -> dict[str, Any]:
    return {
        "input": {"human_input": text},
        "config": {"configurable": {"session_id": session_id, **configurable}},
    }


def texts(history: Any) -> list[str]:
    return [message.text.strip() for message in history.messages]


def test_invoked_turns_go_on_in_their_session(client: Any, make_history: MakeHistory) -> None:
    answers = [
        client.post("/chat/invoke", json=body(text), headers=ANN).json()["output"]["content"]
        for text in ("one", "two")
    ]
    assert answers == ["1 messages, the last: one", "3 messages, the last: two"]
    stored = make_history("s1", user_id="ann").messages
    assert [type(message) for message in stored] == [HumanMessage, AIMessage] * 2
    assert [message.text for message in stored[1::2]] == answers


def test_the_header_says_who(client: Any, make_history: MakeHistory) -> None:
    client.post("/chat/invoke", json=body("mine", user_id="bob"), headers=ANN)
    assert make_history("s1", user_id="bob").messages == []
    assert texts(make_history("s1", user_id="ann"))[0] == "mine"
    assert client.post("/chat/invoke", json=body("whose?")).status_code == 401


@pytest.mark.parametrize("path", ["/chat", "/text"])
def test_streamed_turns_are_stored_whole(client: Any, make_history: MakeHistory, path: str) -> None:
    for text in ("one", "two"):
        with client.stream("POST", f"{path}/stream", json=body(text), headers=ANN) as response:
            assert response.status_code == 200
            pieces = [
                json.loads(line.removeprefix("data: "))
                for line in response.iter_lines()
                if line.startswith("data: ") and "run_id" not in line
            ]
    said = "".join(piece if path == "/text" else piece["content"] for piece in pieces)
    assert said.strip() == "3 messages, the last: two"
    assert len(pieces) > 3
    history = make_history("s1", user_id="ann")
    assert texts(history) == [
        "one",
        "1 messages, the last: one",
        "two",
        "3 messages, the last: two",
    ]
    assert [type(message) for message in history.messages] == [HumanMessage, AIMessage] * 2


def test_each_input_of_a_batch_goes_to_its_own_session(
    client: Any, make_history: MakeHistory
) -> None:
    sessions = [f"s{number}" for number in range(5)]
    response = client.post(
        "/chat/batch",
        json={
            "inputs": [{"human_input": session} for session in sessions],
            "config": [body("", session)["config"] for session in sessions],
        },
        headers=ANN,
    )
    assert response.status_code == 200
    for session in sessions:
        assert texts(make_history(session, user_id="ann")) == [
            session,
            f"1 messages, the last: {session}",
        ]


def test_a_session_is_needed(client: Any) -> None:
    with pytest.raises(ValueError, match="session_id"):
        client.post("/chat/invoke", json={"input": {"human_input": "hi"}}, headers=ANN)


def test_the_schemas_name_the_inputs_and_the_ids(client: Any) -> None:
    assert "human_input" in client.get("/chat/input_schema").text
    schema = client.get("/chat/config_schema").json()
    assert {"session_id", "user_id"} <= schema["$defs"]["Configurable"]["properties"].keys()
    assert client.get("/openapi.json").status_code == 200
    assert client.get("/chat/playground/").status_code == 200


class Transport(httpx.ASGITransport):  # type: ignore[misc, name-defined]
    def close(self) -> None:
        """What its unused sync client calls."""


async def test_turns_of_a_remote_runnable_are_stored(app: Any, make_history: MakeHistory) -> None:
    remote = langserve.RemoteRunnable(
        "http://test/chat",
        headers=ANN,
        client_kwargs={"transport": Transport(app=app)},
    )
    config: Any = body("")["config"]
    answer = await remote.ainvoke({"human_input": "one"}, config)
    assert answer.content == "1 messages, the last: one"
    pieces = [piece async for piece in remote.astream({"human_input": "two"}, config)]
    assert len(pieces) > 3
    await remote.abatch([{"human_input": "three"}], [config])
    assert texts(make_history("s1", user_id="ann"))[::2] == ["one", "two", "three"]
