"""LangChain's SummarizationMiddleware in a real agent, with our summarizer."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.tools import tool

from langchain_redis_session import SessionSummarizer
from tests.integration.scripted import ScriptedModel
from tests.unit.summaries import calling

agents = pytest.importorskip("langchain.agents")
middleware = pytest.importorskip("langchain.agents.middleware")

pytestmark = pytest.mark.skipif(
    "summarizer" not in inspect.signature(middleware.SummarizationMiddleware).parameters,
    reason="this langchain's SummarizationMiddleware has no `summarizer`",
)
both_modes = pytest.mark.parametrize("mode", ["sync", "async"])


@tool
def add(a: int) -> int:
    """Add one."""
    return a + 1


async def talk(agent: Any, messages: list[BaseMessage], mode: str) -> list[BaseMessage]:
    state = {"messages": messages}
    result = agent.invoke(state) if mode == "sync" else await agent.ainvoke(state)
    found: list[BaseMessage] = result["messages"]
    return found


TURNS = ["I am Ann {Smith}.", "My cat is 3.", "How old will it be?"]


def answer(messages: list[BaseMessage]) -> AIMessage:
    """Use the tool where a turn asks how old; else agree."""
    if messages[-1].type == "human" and messages[-1].text == TURNS[2]:
        return calling("c1")
    return AIMessage("4." if messages[-1].type == "tool" else "I see.")


@both_modes
async def test_an_agent_s_old_messages_become_our_summary(mode: str) -> None:
    model = ScriptedModel(answer=answer)
    writer = ScriptedModel(answer=lambda _: AIMessage("  Ann Smith has a cat of 3.\n"))
    summarizer = SessionSummarizer(writer, prompt="{conversation_text}", max_input_tokens=10_000)
    condense = middleware.SummarizationMiddleware(
        model, trigger=("messages", 5), keep=("messages", 3), summarizer=summarizer
    )
    agent = agents.create_agent(model, tools=[add], middleware=[condense])
    messages: list[BaseMessage] = []
    for turn in TURNS:
        messages = await talk(agent, [*messages, HumanMessage(turn)], mode)

    # Two of five when the third turn came, four of six when the tool had answered.
    assert [prompt[0].text for prompt in writer.prompts] == [
        "User: I am Ann {Smith}.\n\nAssistant: I see.",
        "User: Here is a summary of the conversation to date:\n\nAnn Smith has a cat of 3.\n\n"
        "User: My cat is 3.\n\nAssistant: I see.",
    ]
    summary, question, call, tool_result, last = messages
    assert summary.text.endswith("Ann Smith has a cat of 3.")
    assert [question.text, tool_result.text, last.text] == [TURNS[2], "2", "4."]
    assert isinstance(call, AIMessage)
    assert call.tool_calls
    assert model.prompts[-1] == messages[:-1]


@both_modes
async def test_with_a_retry_and_the_default_prompt(mode: str) -> None:
    failures = [OSError("away")]

    def write(messages: list[BaseMessage]) -> AIMessage:
        if failures:
            raise failures.pop()
        assert "<conversation>\nUser: I am Ann {Smith}." in messages[0].text
        return AIMessage("Ann.")

    summarizer = SessionSummarizer(ScriptedModel(answer=write))
    model = ScriptedModel()
    condense = middleware.SummarizationMiddleware(
        model,
        trigger=("messages", 3),
        keep=("messages", 1),
        summarizer=summarizer.with_retry(wait_exponential_jitter=False),
    )
    agent = agents.create_agent(model, middleware=[condense])
    messages = [HumanMessage(turn) for turn in TURNS]
    first, second, _ = await talk(agent, list(messages), mode)
    assert first.text == "Here is a summary of the conversation to date:\n\nAnn."
    assert second.text == TURNS[2]
    assert not failures
