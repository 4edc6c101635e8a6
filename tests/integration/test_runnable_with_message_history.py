"""`RunnableWithMessageHistory` with this history: every way to run it keeps every message."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolCall,
    ToolMessage,
)
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from langchain_core.runnables import (
    ConfigurableFieldSpec,
    Runnable,
    RunnableConfig,
    RunnableLambda,
)

from tests.integration.conftest import MakeHistory
from tests.integration.scripted import USAGE, ScriptedModel, echo
from tests.waits import PATIENCE_S

history_module = pytest.importorskip("langchain_core.runnables.history")
RunnableWithMessageHistory = history_module.RunnableWithMessageHistory

pytestmark = pytest.mark.filterwarnings("ignore:RunnableWithMessageHistory is deprecated")

PROMPT = ChatPromptTemplate.from_messages(
    [("system", "Be brief."), MessagesPlaceholder("history"), ("human", "{question}")]
)
FIELDS = [
    ConfigurableFieldSpec(id="user_id", annotation=str),
    ConfigurableFieldSpec(id="session_id", annotation=str),
]

Run = Callable[[Runnable[Any, Any], Any, Any], Awaitable[None]]


async def invoke(chain: Runnable[Any, Any], value: Any, config: Any) -> None:
    await asyncio.to_thread(chain.invoke, value, config)


async def ainvoke(chain: Runnable[Any, Any], value: Any, config: Any) -> None:
    await chain.ainvoke(value, config)


async def stream(chain: Runnable[Any, Any], value: Any, config: Any) -> None:
    pieces = await asyncio.to_thread(lambda: list(chain.stream(value, config)))
    assert len(pieces) > 2


async def astream(chain: Runnable[Any, Any], value: Any, config: Any) -> None:
    pieces = [piece async for piece in chain.astream(value, config)]
    assert len(pieces) > 2


async def batch(chain: Runnable[Any, Any], value: Any, config: Any) -> None:
    await asyncio.to_thread(chain.batch, [value], [config])


async def abatch(chain: Runnable[Any, Any], value: Any, config: Any) -> None:
    await chain.abatch([value], [config])


async def astream_events(chain: Runnable[Any, Any], value: Any, config: Any) -> None:
    assert [event async for event in chain.astream_events(value, config, version="v2")]


every_way = pytest.mark.parametrize(
    "run", [invoke, ainvoke, stream, astream, batch, abatch, astream_events]
)


def config_of(user_id: str, session_id: str) -> RunnableConfig:
    return {"configurable": {"user_id": user_id, "session_id": session_id}}


@pytest.fixture
def model() -> ScriptedModel:
    return ScriptedModel()


@pytest.fixture
def with_keys(model: ScriptedModel, make_history: MakeHistory) -> Runnable[Any, Any]:
    """A chain whose input has a question, and whose prompt has a place for the history."""
    return keyed(PROMPT | model, make_history)


def keyed(chain: Runnable[Any, Any], make_history: MakeHistory, **keys: str) -> Runnable[Any, Any]:
    keys = {"input_messages_key": "question", "history_messages_key": "history", **keys}
    chain = RunnableWithMessageHistory(
        chain,
        lambda user_id, session_id: make_history(session_id, user_id=user_id),
        history_factory_config=FIELDS,
        **keys,
    )
    return chain


@every_way
async def test_turns_of_two_users(
    run: Run, with_keys: Runnable[Any, Any], model: ScriptedModel, make_history: MakeHistory
) -> None:
    await run(with_keys, {"question": "one"}, config_of("ann", "s1"))
    await run(with_keys, {"question": "two"}, config_of("ann", "s1"))
    await run(with_keys, {"question": "other"}, config_of("bob", "s1"))
    await run(with_keys, {"question": "new"}, config_of("ann", "s2"))

    assert [len(prompt) for prompt in model.prompts] == [2, 4, 2, 2]
    stored = make_history("s1", user_id="ann").messages
    assert [(type(message), message.text.strip()) for message in stored] == [
        (HumanMessage, "one"),
        (AIMessage, "2 messages, the last: one"),
        (HumanMessage, "two"),
        (AIMessage, "4 messages, the last: two"),
    ]
    assert model.prompts[1][1:3] == stored[:2]
    assert len(make_history("s1", user_id="bob")) == len(make_history("s2", user_id="ann")) == 2


@every_way
async def test_an_answer_is_stored_whole(
    run: Run, with_keys: Runnable[Any, Any], make_history: MakeHistory
) -> None:
    await run(with_keys, {"question": "one"}, config_of("ann", "s1"))
    answer = make_history("s1", user_id="ann").messages[-1]
    assert type(answer) is AIMessage
    assert answer.usage_metadata == USAGE
    assert answer.id is not None
    assert answer.id.startswith("lc_run-")
    if run in (stream, astream, astream_events):
        assert answer.response_metadata["finish_reason"] == "stop"


@every_way
async def test_a_bare_list_of_messages(
    run: Run, model: ScriptedModel, make_history: MakeHistory
) -> None:
    chain = RunnableWithMessageHistory(model, make_history)
    config = {"configurable": {"session_id": "s1"}}
    question: BaseMessage = HumanMessage("one", name="ann", id="q1")
    await run(chain, [SystemMessage("Be brief."), question], config)
    await run(chain, [HumanMessage("two")], config)
    stored = make_history("s1").messages
    assert [message.type for message in stored] == ["system", "human", "ai", "human", "ai"]
    assert stored[1] == question
    assert model.prompts[1] == stored[:4]


async def test_a_batch_of_sessions(
    with_keys: Runnable[Any, Any], make_history: MakeHistory
) -> None:
    users = [f"user-{number}" for number in range(12)]
    configs = [config_of(user, "s1") for user in users]
    await asyncio.to_thread(
        with_keys.batch, [{"question": f"{user} one"} for user in users], configs
    )
    await with_keys.abatch([{"question": f"{user} two"} for user in users], configs)
    for user in users:
        texts = [message.text for message in make_history("s1", user_id=user).messages]
        assert texts == [
            f"{user} one",
            f"2 messages, the last: {user} one",
            f"{user} two",
            f"4 messages, the last: {user} two",
        ]


@every_way
async def test_calls_and_results_of_an_agent_stay_together(
    run: Run, make_history: MakeHistory
) -> None:
    """What an agent gives is a list: calls and results stay together, artifacts too."""
    call = ToolCall(name="add", args={"a": 1, "b": 2}, id="c1")
    said: list[BaseMessage] = [
        AIMessage("", tool_calls=[call], id="a1"),
        ToolMessage("3", tool_call_id="c1", name="add", artifact={"rows": [1, 2]}, id="t1"),
        AIMessage("It is 3.", id="a2"),
    ]

    def act(_: Any) -> dict[str, Any]:
        return {"messages": said, "steps": 2}

    agent: Runnable[Any, Any] = RunnableLambda(act)
    if run in (stream, astream):
        run = ainvoke  # a function's answer comes in one piece
    chain = keyed(agent, make_history, output_messages_key="messages")
    await run(chain, {"question": "1 + 2?"}, config_of("ann", "s1"))
    assert make_history("s1", user_id="ann").messages == [HumanMessage("1 + 2?"), *said]


async def test_a_streamed_tool_call(make_history: MakeHistory) -> None:
    call = ToolCall(name="add", args={"a": 1, "b": 2}, id="c1", type="tool_call")
    model = ScriptedModel(answer=lambda _: AIMessage("", tool_calls=[call]))
    await astream(
        keyed(PROMPT | model, make_history), {"question": "1 + 2?"}, config_of("ann", "s1")
    )
    answer = make_history("s1", user_id="ann").messages[-1]
    assert type(answer) is AIMessage
    assert answer.tool_calls == [call]


@every_way
async def test_a_failing_model_saves_nothing(run: Run, make_history: MakeHistory) -> None:
    fails = threading.Event()

    def answer(messages: list[BaseMessage]) -> AIMessage:
        if fails.is_set():
            raise RuntimeError("overloaded")
        return echo(messages)

    chain = keyed(PROMPT | ScriptedModel(answer=answer), make_history)
    history = make_history("s1", user_id="ann")
    await run(chain, {"question": "one"}, config_of("ann", "s1"))
    before = history.messages
    fails.set()
    with pytest.raises(RuntimeError, match="overloaded"):
        await run(chain, {"question": "two"}, config_of("ann", "s1"))
    assert history.messages == before
    fails.clear()
    await run(chain, {"question": "three"}, config_of("ann", "s1"))
    assert [m.text.strip() for m in history.messages[2:]] == [
        "three",
        "4 messages, the last: three",
    ]


async def test_a_stream_that_breaks_saves_nothing(make_history: MakeHistory) -> None:
    class Breaking(ScriptedModel):
        def _stream(self, *args: Any, **kwargs: Any) -> Any:
            pieces = super()._stream(*args, **kwargs)
            yield next(pieces)
            raise RuntimeError("connection lost")

    chain = keyed(PROMPT | Breaking(), make_history)
    with pytest.raises(RuntimeError, match="connection lost"):
        await astream(chain, {"question": "one"}, config_of("ann", "s1"))
    assert make_history("s1", user_id="ann").messages == []


@pytest.mark.parametrize("mode", ["threads", "tasks"])
async def test_two_runs_at_once_on_one_session(mode: str, make_history: MakeHistory) -> None:
    """Each run's messages stand together, in the order in which the runs ended."""
    meeting = threading.Barrier(2)

    def answer(messages: list[BaseMessage]) -> AIMessage:
        meeting.wait(PATIENCE_S)  # both have read the history
        return echo(messages)

    chain = keyed(PROMPT | ScriptedModel(answer=answer), make_history)
    await asyncio.gather(
        *(
            (invoke if mode == "threads" else ainvoke)(
                chain, {"question": text}, config_of("ann", "s1")
            )
            for text in ("one", "two")
        )
    )
    texts = [message.text for message in make_history("s1", user_id="ann").messages]
    turns = [("one", "2 messages, the last: one"), ("two", "2 messages, the last: two")]
    assert [tuple(texts[:2]), tuple(texts[2:])] in (turns, turns[::-1])


@every_way
async def test_the_newest_messages_only(
    run: Run, model: ScriptedModel, make_history: MakeHistory
) -> None:
    """`max_messages` limits what the model sees, to whole turns; all is kept."""
    chain = RunnableWithMessageHistory(
        model, lambda session_id: make_history(session_id, max_messages=3)
    )
    for text in ("one", "two", "three"):
        await run(chain, [HumanMessage(text)], {"configurable": {"session_id": "s1"}})
    assert [len(prompt) for prompt in model.prompts] == [1, 3, 3]
    assert [m.text for m in make_history("s1").messages if m.type == "human"] == [
        "one",
        "two",
        "three",
    ]


async def test_what_it_does_not_say(
    make_history: MakeHistory, caplog: pytest.LogCaptureFixture
) -> None:
    """What fails to be saved is only logged: a listener's error does not reach the caller."""
    broken = AIMessage("ok", additional_kwargs={"raw": object()})
    strict = partial(make_history, unserializable="raise")
    chain = keyed(RunnableLambda(lambda _: broken), strict)
    with caplog.at_level(logging.WARNING, "langchain_core"):
        await ainvoke(chain, {"question": "one"}, config_of("ann", "s1"))
    assert "UnserializableMessageError" in caplog.text
    assert strict("s1", user_id="ann").messages == []


async def test_a_turn_with_what_json_cannot_carry_is_kept(make_history: MakeHistory) -> None:
    answer = AIMessage("ok", additional_kwargs={"raw": Decimal("1.5"), "blob": b"\xff"})
    chain = keyed(RunnableLambda(lambda _: answer), make_history)
    await ainvoke(chain, {"question": "one"}, config_of("ann", "s1"))
    question, stored = make_history("s1", user_id="ann").messages
    assert question.text == "one"
    assert stored.additional_kwargs == {"raw": "1.5", "blob": b"\xff"}
