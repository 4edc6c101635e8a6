"""An agent with a session as its memory, and what became of its messages: for tests."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing, closing
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from langchain.agents import create_agent
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver

from langchain_redis_session import (
    RedisSessionMiddleware,
    RedisSessionService,
    SessionKey,
)
from tests.integration.scripted import ScriptedModel, script


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def calling(*terms: tuple[int, int], name: str = "add") -> AIMessage:
    """Give an answer that calls a tool, once for each pair of terms."""
    calls = [
        {"name": name, "args": {"a": a, "b": b}, "id": f"c{number}"}
        for number, (a, b) in enumerate(terms, 1)
    ]
    return AIMessage("", tool_calls=calls)


def say(message: BaseMessage) -> str:
    """Write a message in few words."""
    if isinstance(message, ToolMessage):
        return f"= {message.text}"
    if isinstance(message, AIMessage) and message.tool_calls:
        return " ".join(f"{call['name']}()" for call in message.tool_calls)
    return (
        f"{message.text.strip()}{'?' * (message.type == 'human')}{'§' * (message.type == 'system')}"
    )


def say_all(messages: Sequence[BaseMessage]) -> list[str]:
    """Write messages in few words."""
    return [say(message) for message in messages]


@dataclass
class AgentBench:
    """A service, and agents on it whose runs are sync or async.

    Attributes:
        service: The service.
        is_async: Whether agents run asynchronously.
        model: What the agent asks.
        agent: The agent.
        session_id: Its session.
    """

    service: RedisSessionService
    is_async: bool
    model: ScriptedModel = field(default_factory=ScriptedModel)
    agent: Any = None
    saver: InMemorySaver | None = None
    session_id: str = field(default_factory=lambda: uuid4().hex)

    def make(
        self,
        *answers: AIMessage | str,
        tools: Sequence[Any] = (add,),
        outer: Sequence[Any] = (),
        inner: Sequence[Any] = (),
        saves: bool = False,
        model: ScriptedModel | None = None,
        options: dict[str, Any] | None = None,
        **more: Any,
    ) -> None:
        """Make the agent, whose model gives these answers."""
        said = [AIMessage(a) if isinstance(a, str) else a for a in answers]
        self.model = model or ScriptedModel(answer=script(said))
        self.saver = (self.saver or InMemorySaver()) if saves else None
        memory = RedisSessionMiddleware(self.service, **(options or {}))
        self.agent = create_agent(
            self.model,
            tools=list(tools),
            middleware=[*outer, memory, *inner],
            checkpointer=self.saver,
            **more,
        )

    def config(self, user_id: str = "ann", **more: Any) -> Any:
        """Give the config of a run."""
        return {"configurable": {"thread_id": self.session_id, "user_id": user_id, **more}}

    async def run(self, given: Any, config: Any = None, **options: Any) -> Any:
        """Invoke the agent with a user's text, with messages, or with what LangGraph takes."""
        if isinstance(given, str):
            given = [("human", given)]
        if isinstance(given, list):
            given = {"messages": given}
        config = config or self.config()
        if self.is_async:
            return await self.agent.ainvoke(given, config, **options)
        return self.agent.invoke(given, config, **options)

    async def stream(self, text: str, most: int | None = None, **options: Any) -> list[Any]:
        """Stream a run; `most` closes the stream after so many parts."""
        given, parts = {"messages": [("human", text)]}, []
        if self.is_async:
            async with aclosing(self.agent.astream(given, self.config(), **options)) as stream:
                async for part in stream:
                    parts.append(part)
                    if len(parts) == most:
                        break
            return parts
        with closing(self.agent.stream(given, self.config(), **options)) as stream:
            for part in stream:
                parts.append(part)
                if len(parts) == most:
                    break
        return parts

    def key(self, user_id: str = "ann") -> SessionKey:
        """Give the session's key."""
        return SessionKey("default", user_id, self.session_id)

    @property
    def stored(self) -> list[str]:
        """What the session holds."""
        messages = self.service.get_messages(self.key())
        ids = [message.id for message in messages]
        assert len(set(ids)) == len(ids), "a message is stored twice"
        return say_all(messages)

    @property
    def saw(self) -> list[list[str]]:
        """What the model was given, call by call."""
        return [say_all(prompt) for prompt in self.model.prompts]

    @property
    def checkpoints(self) -> int:
        """How many checkpoints there are."""
        return 0 if self.saver is None else len(list(self.saver.list(self.config())))


def make_sub_agent(bench: AgentBench, model: ScriptedModel, name: str | None) -> Any:
    """Give a tool that asks another agent, which has a middleware of its own."""
    memory = RedisSessionMiddleware(bench.service)
    sub_agent: Any = create_agent(model, tools=[add], middleware=[memory], name=name)

    @tool
    def research(a: int, b: int) -> str:
        """Ask another agent."""
        found = sub_agent.invoke({"messages": [("human", f"find {a}")]})
        return str(found["messages"][-1].text)

    @tool("research")
    async def aresearch(a: int, b: int) -> str:
        """Ask another agent."""
        found = await sub_agent.ainvoke({"messages": [("human", f"find {a}")]})
        return str(found["messages"][-1].text)

    return aresearch if bench.is_async else research
