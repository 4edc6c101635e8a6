"""The memories of `langchain_classic`, and a bare loop, over this history."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage

from tests.integration.conftest import MakeHistory
from tests.integration.scripted import ScriptedModel

memories = pytest.importorskip("langchain_classic.memory")

pytestmark = [
    pytest.mark.filterwarnings("ignore:The class `Conversation\\w+Memory` was deprecated"),
    pytest.mark.filterwarnings("ignore:The class `ConversationChain` was deprecated"),
]


def texts(messages: list[BaseMessage]) -> list[str]:
    return [message.text for message in messages]


async def take_turns(memory: Any, count: int, mode: str) -> None:
    for number in range(count):
        inputs, outputs = {"input": f"q{number}"}, {"output": f"a{number}"}
        if mode == "sync":
            memory.save_context(inputs, outputs)
        else:
            await memory.asave_context(inputs, outputs)


async def load(memory: Any, mode: str) -> Any:
    if mode == "sync":
        return memory.load_memory_variables({})["history"]
    return (await memory.aload_memory_variables({}))["history"]


both_modes = pytest.mark.parametrize("mode", ["sync", "async"])


@both_modes
async def test_a_buffer_memory_reads_and_clears_what_another_wrote(
    make_history: MakeHistory, mode: str
) -> None:
    memory = memories.ConversationBufferMemory(chat_memory=make_history(), return_messages=True)
    await take_turns(memory, 2, mode)
    again = memories.ConversationBufferMemory(chat_memory=make_history(), return_messages=True)
    assert await load(again, mode) == [
        HumanMessage("q0"),
        AIMessage("a0"),
        HumanMessage("q1"),
        AIMessage("a1"),
    ]
    await (again.aclear() if mode == "async" else _call(again.clear))
    assert await load(memory, mode) == []


async def _call(function: Any) -> None:
    function()


@both_modes
async def test_a_buffer_memory_gives_its_turns_as_text(
    make_history: MakeHistory, mode: str
) -> None:
    memory = memories.ConversationBufferMemory(chat_memory=make_history())
    await take_turns(memory, 1, mode)
    assert await load(memory, mode) == "Human: q0\nAI: a0"


@both_modes
async def test_a_window_memory_shows_its_last_turns_and_keeps_all(
    make_history: MakeHistory, mode: str
) -> None:
    memory = memories.ConversationBufferWindowMemory(
        chat_memory=make_history(), k=2, return_messages=True
    )
    await take_turns(memory, 5, mode)
    assert texts(await load(memory, mode)) == ["q3", "a3", "q4", "a4"]
    assert len(make_history()) == 10


@both_modes
async def test_a_token_buffer_memory_loses_no_message(make_history: MakeHistory, mode: str) -> None:
    """This one means to drop old messages from a list of its own: none is lost here."""
    memory = memories.ConversationTokenBufferMemory(
        chat_memory=make_history(), llm=ScriptedModel(), max_token_limit=4, return_messages=True
    )
    await take_turns(memory, 4, mode)
    assert len(make_history()) == 8


@both_modes
async def test_a_summary_buffer_memory_keeps_what_it_summarizes(
    make_history: MakeHistory, mode: str
) -> None:
    """What it summarizes it means to drop, likewise from a list of its own."""

    def summarize(_: list[BaseMessage]) -> AIMessage:
        return AIMessage("They talked.")

    memory = memories.ConversationSummaryBufferMemory(
        chat_memory=make_history(),
        llm=ScriptedModel(answer=summarize),
        max_token_limit=4,
        return_messages=True,
    )
    await take_turns(memory, 3, mode)
    seen = await load(memory, mode)
    assert seen[0] == SystemMessage("They talked.")
    assert texts(make_history().messages) == ["q0", "a0", "q1", "a1", "q2", "a2"]


def test_a_conversation_chain_goes_on_in_a_new_memory(make_history: MakeHistory) -> None:
    chains = pytest.importorskip("langchain_classic.chains")
    model = FakeListChatModel(responses=["Hello Ann!", "You are Ann."])
    for question, answer in (("I am Ann.", "Hello Ann!"), ("Who am I?", "You are Ann.")):
        memory = memories.ConversationBufferMemory(chat_memory=make_history())
        chain = chains.ConversationChain(llm=model, memory=memory)
        assert chain.invoke({"input": question})["response"] == answer
    assert texts(make_history().messages) == [
        "I am Ann.",
        "Hello Ann!",
        "Who am I?",
        "You are Ann.",
    ]


@both_modes
async def test_a_loop_without_a_framework_sees_all_earlier_turns(
    make_history: MakeHistory, mode: str
) -> None:
    model = ScriptedModel()
    for text in ("one", "two", "three"):
        history = make_history("s1", user_id="ann")  # as if for each request
        question = HumanMessage(text)
        if mode == "sync":
            answer = model.invoke([*history.messages, question])
            history.add_messages([question, answer])
        else:
            answer = await model.ainvoke([*await history.aget_messages(), question])
            await history.aadd_messages([question, answer])
    stored = make_history("s1", user_id="ann").messages
    assert [len(prompt) for prompt in model.prompts] == [1, 3, 5]
    assert model.prompts[-1] == stored[:-1]
    assert stored[-1] == answer
