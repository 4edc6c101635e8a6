"""`langchain.agents.create_agent` with its messages kept in a history."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    ToolCall,
    ToolMessage,
)
from langchain_core.tools import tool

from tests.integration.conftest import MakeHistory
from tests.integration.scripted import USAGE, ScriptedModel, script

agents = pytest.importorskip("langchain.agents")


@tool(response_format="content_and_artifact")
def add(a: int, b: int) -> tuple[str, dict[str, Any]]:
    """Add two numbers."""
    return str(a + b), {"terms": [a, b], "sum": a + b}


@tool
def divide(a: int, b: int) -> float:
    """Divide two numbers."""
    return a / b


def calls(*terms: tuple[int, int], start: int = 0, name: str = "add") -> AIMessage:
    return AIMessage(
        "",
        tool_calls=[
            ToolCall(name=name, args={"a": a, "b": b}, id=f"c{number}", type="tool_call")
            for number, (a, b) in enumerate(terms, start)
        ],
        usage_metadata=USAGE,
    )


ANSWERS = [
    calls((1, 2), (3, 4)),  # two at once
    AIMessage("3 and 7.", usage_metadata=USAGE),
    calls((3, 7), start=2),
    calls((10, 10), start=3),
    AIMessage("20."),
    AIMessage("You are welcome."),
]
TURNS = ["1 + 2 and 3 + 4?", "Add these, and double it.", "Thanks!"]
TYPES = [
    *("human", "ai", "tool", "tool", "ai"),
    *("human", "ai", "tool", "ai", "tool", "ai"),
    *("human", "ai"),
]


async def take_turns(make_history: MakeHistory, model: ScriptedModel, mode: str) -> None:
    agent = agents.create_agent(model, tools=[add, divide])
    for text in TURNS:
        history = make_history("s1", user_id="ann")
        if mode == "sync":
            before = history.messages
            result = agent.invoke({"messages": [*before, HumanMessage(text)]})
            history.add_messages(result["messages"][len(before) :])
        else:
            before = await history.aget_messages()
            result = await agent.ainvoke({"messages": [*before, HumanMessage(text)]})
            await history.aadd_messages(result["messages"][len(before) :])
        assert history.messages == result["messages"]


both_modes = pytest.mark.parametrize("mode", ["sync", "async"])


@both_modes
async def test_every_turn_of_an_agent_sees_all_before_it(
    make_history: MakeHistory, mode: str
) -> None:
    model = ScriptedModel(answer=script(ANSWERS))
    await take_turns(make_history, model, mode)
    messages = make_history("s1", user_id="ann").messages
    assert [message.type for message in messages] == TYPES
    assert [len(prompt) for prompt in model.prompts] == [1, 4, 6, 8, 10, 12]
    assert model.prompts[-1] == messages[:-1]
    assert_paired(messages)


@both_modes
async def test_what_tools_gave_besides(make_history: MakeHistory, mode: str) -> None:
    await take_turns(make_history, ScriptedModel(answer=script(ANSWERS)), mode)
    messages = make_history("s1", user_id="ann").messages
    results = [message for message in messages if isinstance(message, ToolMessage)]
    assert [(result.content, result.artifact, result.name) for result in results] == [
        ("3", {"terms": [1, 2], "sum": 3}, "add"),
        ("7", {"terms": [3, 4], "sum": 7}, "add"),
        ("10", {"terms": [3, 7], "sum": 10}, "add"),
        ("20", {"terms": [10, 10], "sum": 20}, "add"),
    ]
    answers = [message for message in messages if isinstance(message, AIMessage)]
    assert [answer.usage_metadata for answer in answers[:4]] == [USAGE] * 4
    assert all(message.id for message in messages)
    assert len({message.id for message in messages}) == len(messages)


def test_a_window_of_a_long_run(make_history: MakeHistory) -> None:
    """It begins at a question, the newest is in it, and each result has its call."""
    agent = agents.create_agent(ScriptedModel(answer=script(ANSWERS)), tools=[add])
    history = make_history()
    for text in TURNS:
        before = history.messages
        result = agent.invoke({"messages": [*before, HumanMessage(text)]})
        history.add_messages(result["messages"][len(before) :])
    for most in range(2, len(TYPES) + 1):
        window = make_history(max_messages=most).messages
        assert window[0].type == "human"
        assert [message.type for message in window[-2:]] == ["human", "ai"]
        assert window == history.messages[len(TYPES) - len(window) :]
        assert len(window) == max(n for n in (2, 8, 13) if n <= most)
        assert_paired(window)


def test_a_run_that_fails_stores_nothing(make_history: MakeHistory) -> None:
    history = make_history()
    model = ScriptedModel(answer=script([calls((1, 0), name="divide")]))
    agent = agents.create_agent(model, tools=[divide])
    with pytest.raises(ZeroDivisionError):
        history.add_messages(agent.invoke({"messages": [HumanMessage("1 / 0?")]})["messages"])
    assert history.messages == []


def assert_paired(messages: list[BaseMessage]) -> None:
    """Each call is answered before the next message of another kind, and each answer was asked."""
    open_calls: set[str | None] = set()
    for message in messages:
        if isinstance(message, ToolMessage):
            assert message.tool_call_id in open_calls
            open_calls.remove(message.tool_call_id)
        else:
            assert not open_calls
            if isinstance(message, AIMessage):
                open_calls = {call["id"] for call in message.tool_calls}
    assert not open_calls
