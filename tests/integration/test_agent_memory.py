"""An agent with `store=RedisSessionMemoryStore(…)`, and what happens without langgraph."""

from __future__ import annotations

from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.tools import ToolRuntime, tool
from langchain_core.language_models import FakeMessagesListChatModel
from langchain_core.messages import AIMessage

from langchain_redis_session import RedisSessionMemoryStore
from tests.integration.places import Place, place
from tests.processes import run_python

__all__ = ["place"]


class Script(FakeMessagesListChatModel):
    """Says what is written."""

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        return self


@tool
def remember(fact: str, runtime: ToolRuntime) -> str:
    """Remember a fact."""
    assert runtime.store is not None
    runtime.store.put(("facts", "ann"), "tea", {"fact": fact})
    return "noted"


@tool
async def recall(runtime: ToolRuntime) -> str:
    """Recall what is known."""
    assert runtime.store is not None
    found = await runtime.store.asearch(("facts", "ann"), filter={"fact": "likes tea"})
    return found[0].value["fact"]  # type: ignore[no-any-return]


def call(name: str, **args: Any) -> AIMessage:
    return AIMessage("", tool_calls=[{"name": name, "args": args, "id": f"call-{name}"}])


@pytest.mark.parametrize("place", ["memory", "redis_server"], indirect=True)
async def test_what_an_agent_remembers_another_recalls(place: Place) -> None:
    with place.sync_service() as service:
        store = RedisSessionMemoryStore(service, user="ann")
        model = Script(responses=[call("remember", fact="likes tea"), AIMessage("ok")])
        agent: Any = create_agent(model, [remember], store=store)
        agent.invoke({"messages": [("human", "hi")]})
    async with place.async_service() as service:
        store = RedisSessionMemoryStore(service, user=lambda namespace: namespace[1])
        model = Script(responses=[call("recall"), AIMessage("ok")])
        agent = create_agent(model, [recall], store=store)
        result = await agent.ainvoke({"messages": [("human", "hi")]})
        assert result["messages"][2].content == "likes tea"


def test_without_langgraph_the_error_names_the_extra() -> None:
    program = (
        "import sys; sys.modules['langgraph'] = None\n"
        "from langchain_redis_session import RedisSessionService, RedisSessionStore\n"
        "try:\n    from langchain_redis_session import RedisSessionMemoryStore\n"
        "except ImportError as error:\n    print(error)"
    )
    done = run_python("-c", program)
    assert done.returncode == 0, done.stderr
    assert "'langchain-redis-session[agents]'" in done.stdout
