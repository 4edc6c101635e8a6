"""A picture or a document does not push what was said out of a window, on any surface."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage

from langchain_redis_session import (
    RedisSessionChatMessageHistory,
    RedisSessionMemory,
    RedisSessionMiddleware,
    RedisSessionService,
    SessionKey,
    with_session,
)
from tests.integration.scripted import ScriptedModel

KEY = SessionKey("default", "ann", "s1")
CONFIG: Any = {"configurable": {"user_id": "ann", "session_id": "s1", "thread_id": "s1"}}
PDF = {"type": "file", "base64": "QUJD" * 50_000, "mime_type": "application/pdf"}
LIMIT: Any = {"max_tokens": 3000}


def see_by_history(service: RedisSessionService) -> list[BaseMessage]:
    return RedisSessionChatMessageHistory("s1", user_id="ann", service=service, **LIMIT).messages


def see_by_agent(service: RedisSessionService) -> list[BaseMessage]:
    model = ScriptedModel()
    agent = create_agent(model, middleware=[RedisSessionMiddleware(service, **LIMIT)])
    agent.invoke({"messages": [HumanMessage("And?")]}, CONFIG)
    return model.prompts[0]


def see_by_chain(service: RedisSessionService) -> list[BaseMessage]:
    model = ScriptedModel()
    with_session(model, service, **LIMIT).invoke("And?", CONFIG)
    return model.prompts[0]


def see_by_memory(service: RedisSessionService) -> list[BaseMessage]:
    memory = RedisSessionMemory(service, "s1", user_id="ann", return_messages=True, **LIMIT)
    (seen,) = memory.load_memory_variables({}).values()
    return list(seen)


@pytest.mark.parametrize("see", [see_by_history, see_by_agent, see_by_chain, see_by_memory])
def test_a_document_has_a_fixed_cost(
    see: Callable[[RedisSessionService], list[BaseMessage]],
) -> None:
    with RedisSessionService(f"memory://media-{see.__name__}") as service:
        question = HumanMessage([{"type": "text", "text": "What does it say?"}, PDF])
        talk = [HumanMessage("I am Ann."), AIMessage("Hello!"), question, AIMessage("Nothing.")]
        service.append_messages(KEY, talk, create=True)
        assert see(service)[0].text == "I am Ann."
