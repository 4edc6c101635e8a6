"""Sessions as FastAPI serves them: `-> Session` is enough."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from pydantic import TypeAdapter

from langchain_redis_session import (
    AppendResult,
    Message,
    RedisSessionService,
    ServiceStats,
    Session,
    SessionKey,
)
from tests.servers import RedisServer

KEY = SessionKey("shop", "ann", "s1")
BYTES = b"\xff\x00"
JSON = {"content-type": "application/json"}
TURN: list[BaseMessage] = [
    HumanMessage("1 + 2?", id="h1"),
    AIMessage(
        "",
        id="a1",
        tool_calls=[{"name": "add", "args": {"a": 1, "b": 2**60}, "id": "c1"}],
        usage_metadata={"input_tokens": 1, "output_tokens": 2, "total_tokens": 3},
    ),
    ToolMessage("3", tool_call_id="c1", id="t1"),
]


def make_app(service: RedisSessionService) -> FastAPI:
    app = FastAPI()

    # The annotations are objects: FastAPI could not find names of this function.
    async def get_session() -> Any:
        return await service.aget_session(KEY)

    def get_messages() -> Any:
        return service.get_messages(KEY)

    def append(messages: Any) -> Any:
        return service.append_messages(KEY, messages, create=True)

    append.__annotations__["messages"] = list[Message]
    app.get("/session", response_model=Session)(get_session)
    app.get("/messages", response_model=list[Message])(get_messages)
    app.post("/messages", response_model=AppendResult)(append)
    app.get("/stats", response_model=ServiceStats)(service.stats)
    return app


@pytest.fixture
def service(redis_server: RedisServer) -> Iterator[RedisSessionService]:
    with RedisSessionService(redis_server.url, key_prefix=f"fastapi-{uuid4().hex}") as service:
        service.create_session("shop", "ann", "s1", state={"blob": BYTES, "big": 2**60})
        yield service
        service.delete_user("shop", "ann")


def test_sessions_and_messages_over_http(service: RedisSessionService) -> None:
    with TestClient(make_app(service)) as client:
        body = TypeAdapter(list[Message]).dump_json(TURN)
        result = client.post("/messages", content=body, headers=JSON)
        assert result.status_code == 200, result.text
        assert result.json()["written"] == 3

        shown = client.get("/session").json()
        assert shown["state"] == {"blob": {"$lc": ["bytes", "/wA="]}, "big": str(2**60)}
        call, answer = (event["message"] for event in shown["events"][1:])
        assert call["tool_calls"][0]["args"] == {"a": 1, "b": str(2**60)}
        assert call["usage_metadata"]["total_tokens"] == 3
        assert (call["type"], answer["type"], answer["tool_call_id"]) == ("ai", "tool", "c1")

        read = TypeAdapter(Session).validate_json(client.get("/session").content)
        stored = service.get_session(KEY)
        assert stored is not None
        assert read.state["blob"] == BYTES
        assert [e.time_ns for e in read.events] == [e.time_ns for e in stored.events]
        assert read.messages == stored.messages
        messages = client.get("/messages").content
        assert TypeAdapter(list[Message]).validate_json(messages) == stored.messages
        assert client.get("/stats").json()["operations"]["append_event"] == 1


def test_the_schema_shows_messages_with_their_members(service: RedisSessionService) -> None:
    with TestClient(make_app(service)) as client:
        schemas = client.get("/openapi.json").json()["components"]["schemas"]
    assert {"Session", "ServiceStats", "AppendResult"} <= schemas.keys()
    names = [name for name in schemas if name.startswith("AIMessage")]
    assert names
    for name in names:
        assert {"tool_calls", "usage_metadata"} <= schemas[name]["properties"].keys()
