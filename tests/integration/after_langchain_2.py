"""Uses all of the package where langchain-core's deprecated history classes are gone.

As a program it prints what worked, a name a line: `python -m tests.integration.after_langchain_2`.
"""

from __future__ import annotations

import asyncio
import sys
import warnings
from typing import Any

# What langchain-core 2.0 no longer has.
GONE = ("langchain_core.chat_history", "langchain_core.runnables.history")
if __name__ == "__main__":  # pytest imports it too, to look for examples
    for name in GONE:
        sys.modules[name] = None  # type: ignore[assignment]
    warnings.simplefilter("error")

import langchain_redis_session as package  # noqa: E402
from langchain_redis_session import (  # noqa: E402
    RedisSessionChatMessageHistory,
    RedisSessionMemory,
    RedisSessionMiddleware,
    RedisSessionService,
    SessionKey,
    TrackCallbackHandler,
    install_error_handlers,
    session_router,
    with_session,
)

KEY = SessionKey("default", "ann", "s1")


def use_history(service: RedisSessionService) -> None:
    history = RedisSessionChatMessageHistory("s1", service=service, user_id="ann")
    history.add_user_message("hi")
    history.add_ai_message("hello")
    assert [message.text for message in history.messages] == ["hi", "hello"]
    bases = [base.__module__ for base in RedisSessionChatMessageHistory.__mro__]
    assert not any(base.startswith("langchain_core") for base in bases)


def use_a_chain(service: RedisSessionService) -> None:
    from langchain_core.language_models import FakeListChatModel

    model = FakeListChatModel(responses=["hello"])
    config: Any = {"configurable": {"user_id": "ann", "session_id": "s2"}}
    chain = with_session(model, service)
    handler = TrackCallbackHandler(service, KEY)
    traced: Any = {**config, "callbacks": [handler]}
    assert chain.invoke("hi", traced).text == "hello"

    async def stream() -> list[str]:
        return [piece.text async for piece in chain.astream("hi", config)]

    assert "".join(asyncio.run(stream())) == "hello"
    assert service.count_events(SessionKey("default", "ann", "s2")) == 4


def use_an_agent(service: RedisSessionService) -> None:
    from langchain.agents import create_agent
    from langchain_core.language_models import FakeListChatModel
    from langchain_core.messages import HumanMessage

    model = FakeListChatModel(responses=["hello"])
    agent = create_agent(model, middleware=[RedisSessionMiddleware(service)])
    config: Any = {"configurable": {"user_id": "ann", "thread_id": "s3"}}
    agent.invoke({"messages": [HumanMessage("hi")]}, config)
    assert service.count_events(SessionKey("default", "ann", "s3")) == 2


def use_classic_memory(service: RedisSessionService) -> None:
    memory = RedisSessionMemory(service, "s4")
    memory.save_context({"input": "hi"}, {"output": "hello"})
    assert memory.load_memory_variables({}) == {"history": "Human: hi\nAI: hello"}


def use_http(service: RedisSessionService) -> None:
    from fastapi import FastAPI
    from fastapi.testclient import TestClient

    app = FastAPI()
    install_error_handlers(app)
    app.include_router(session_router(service, user=lambda: "ann"))
    with TestClient(app) as client:
        assert client.get("/s1").json()["events"][0]["message"]["content"] == "hi"


def use_every_name(service: RedisSessionService) -> None:
    for name in package.__all__:
        assert getattr(package, name) is not None


def main() -> None:
    """Use all."""
    service = RedisSessionService("memory://after-langchain-2")
    for use in (
        use_history,
        use_a_chain,
        use_an_agent,
        use_classic_memory,
        use_http,
        use_every_name,
    ):
        use(service)
        print(use.__name__)
    service.close()


if __name__ == "__main__":
    main()
