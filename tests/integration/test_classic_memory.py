"""The memories of `langchain_classic`, and a bare loop, over this history."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from langchain_core.tools import tool

from langchain_redis_session import (
    ConfigurationError,
    RedisSessionMemory,
    RedisSessionService,
    SessionKey,
)
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


# --- RedisSessionMemory ---------------------------------------------------------------------------


@pytest.fixture
def service(make_history: MakeHistory) -> RedisSessionService:
    summarizer = FakeListChatModel(responses=["They talked."])
    return make_history(summarizer=summarizer, auto_summarize=False).service


KEY = SessionKey("default", "ann", "s1")


def make_memory(service: RedisSessionService, **options: Any) -> RedisSessionMemory:
    return RedisSessionMemory(service, "s1", user_id="ann", **options)


@both_modes
async def test_a_session_memory_gives_its_summary_and_what_came_since(
    service: RedisSessionService, mode: str
) -> None:
    await take_turns(make_memory(service), 2, mode)
    await service.acreate_summary(KEY, force=True)
    memory = make_memory(service, return_messages=True)
    await take_turns(memory, 1, mode)
    summary, *rest = await load(memory, mode)
    assert summary == SystemMessage("Summary of the conversation so far:\nThey talked.")
    assert texts(rest) == ["q0", "a0"]
    assert await load(make_memory(service, ai_prefix="Bot"), mode) == (
        f"System: {summary.text}\nHuman: q0\nBot: a0"
    )
    assert await service.acount_events(KEY) == 6


@both_modes
async def test_a_session_memory_gives_whole_turns_within_its_limits_and_keeps_all(
    service: RedisSessionService, mode: str
) -> None:
    memory = make_memory(service, return_messages=True, max_messages=3)
    await take_turns(memory, 4, mode)
    assert texts(await load(memory, mode)) == ["q3", "a3"]
    events = await service.aget_events(KEY)
    assert len({event.request_id for event in events}) == 4
    await (memory.aclear() if mode == "async" else _call(memory.clear))
    assert await load(memory, mode) == []


def test_a_session_memory_is_the_memory_of_a_chain(service: RedisSessionService) -> None:
    chains = pytest.importorskip("langchain_classic.chains")
    model = ScriptedModel()
    for text in ("one", "two"):
        chain = chains.ConversationChain(llm=model, memory=make_memory(service))
        chain.invoke({"input": text})
    assert "Human: one\nAI: 1 messages" in model.prompts[1][0].text
    assert len(service.get_messages(KEY)) == 4


@both_modes
async def test_a_session_memory_is_the_memory_of_an_agent_executor(
    service: RedisSessionService, mode: str
) -> None:
    agents = pytest.importorskip("langchain_classic.agents")
    prompt = ChatPromptTemplate(
        [
            MessagesPlaceholder("chat_history"),
            ("human", "{input}"),
            MessagesPlaceholder("agent_scratchpad"),
        ]
    )

    @tool
    def add(a: int, b: int) -> int:
        """Add."""
        return a + b

    def answer(messages: list[BaseMessage]) -> AIMessage:
        if messages[-1].type == "tool":
            return AIMessage(f"It is {messages[-1].text}.")
        call = {"name": "add", "args": {"a": 1, "b": 2}, "id": "c1"}
        return AIMessage("", tool_calls=[call])

    model = ScriptedModel(answer=answer)
    for _ in range(2):
        executor = agents.AgentExecutor(
            agent=agents.create_tool_calling_agent(model, [add], prompt),
            tools=[add],
            return_intermediate_steps=True,
            memory=make_memory(service, memory_key="chat_history", return_messages=True),
        )
        if mode == "sync":
            executor.invoke({"input": "1 + 2?"})
        else:
            await executor.ainvoke({"input": "1 + 2?"})
    said = [text.strip() for text in texts(service.get_messages(KEY))]
    assert said == ["1 + 2?", "It is 3."] * 2
    assert [text.strip() for text in texts(model.prompts[2])] == ["1 + 2?", "It is 3.", "1 + 2?"]


def test_a_session_memory_asks_what_the_message_is_where_that_is_not_clear(
    service: RedisSessionService,
) -> None:
    memory = make_memory(service)
    for inputs, outputs, name in (
        ({"a": "x", "b": "y"}, {"output": "z"}, "input_key"),
        ({"input": "x"}, {"a": "x", "b": "y"}, "output_key"),
    ):
        with pytest.raises(ConfigurationError, match=f"{name}= must name"):
            memory.save_context(inputs, outputs)
    chosen = make_memory(service, input_key="b", output_key="a")
    chosen.save_context({"a": "x", "b": "y"}, {"a": "z", "output": "no"})
    assert texts(service.get_messages(KEY)) == ["y", "z"]
    for option in ("memory_key", "input_key", "human_prefix", "return_messages", "max_messages"):
        with pytest.raises(ConfigurationError, match=option):
            make_memory(service, **{option: 0})
