"""Hooks in LangChain's own runs: streamed chains, agents, and a busy event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any
from uuid import uuid4

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolCall
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from langchain_core.tools import tool

from langchain_redis_session import (
    AppendEventContext,
    AsyncSessionCallbackHandler,
    Event,
    GetSessionContext,
    RedisSessionService,
    SessionCallbackHandler,
    SessionKey,
)
from tests.integration.conftest import MakeHistory
from tests.integration.scripted import ScriptedModel, script
from tests.waits import MOMENT_S, PATIENCE_S, await_until

history_module = pytest.importorskip("langchain_core.runnables.history")
agents = pytest.importorskip("langchain.agents")

PROMPT = ChatPromptTemplate.from_messages([MessagesPlaceholder("history"), ("human", "{question}")])
SECRET = "PIN-4711"  # no part of any id


def redact(text: str) -> str:
    return text.replace(SECRET, "****")


class Redactor(SessionCallbackHandler):
    """Redacts what is stored, marks what is read, and keeps count."""

    def __init__(self) -> None:
        self.ended: list[str] = []

    def on_append_event_start(self, context: AppendEventContext) -> None:
        message = context.event.message
        assert message is not None
        message.content = redact(message.text)
        if isinstance(message, AIMessage):
            for call in message.tool_calls:
                call["args"] = {name: redact(str(arg)) for name, arg in call["args"].items()}

    def on_append_event_end(self, context: AppendEventContext) -> None:
        assert context.event.message is not None
        self.ended.append(context.event.message.type)

    def on_get_session_end(self, context: GetSessionContext) -> None:
        for event in context.session.events if context.session else ():
            assert event.message is not None
            event.message.additional_kwargs["read"] = True


class AsyncRedactor(AsyncSessionCallbackHandler):
    """The same for async code."""

    def __init__(self) -> None:
        self.plain = Redactor()
        self.ended = self.plain.ended

    async def on_append_event_start(self, context: AppendEventContext) -> None:
        await asyncio.sleep(0)
        self.plain.on_append_event_start(context)

    async def on_append_event_end(self, context: AppendEventContext) -> None:
        self.plain.on_append_event_end(context)

    async def on_get_session_end(self, context: GetSessionContext) -> None:
        self.plain.on_get_session_end(context)


every_handler = pytest.mark.parametrize(
    ("mode", "make_handler"),
    [("sync", Redactor), ("async", Redactor), ("async", AsyncRedactor)],
    ids=["sync", "async", "async-handler"],
)
MakeHandler = Callable[[], Any]


@pytest.mark.filterwarnings("ignore:RunnableWithMessageHistory is deprecated")
@every_handler
async def test_a_streamed_chain_stores_what_hooks_have_redacted(
    make_history: MakeHistory, mode: str, make_handler: MakeHandler
) -> None:
    handler, model = make_handler(), ScriptedModel()
    chain = history_module.RunnableWithMessageHistory(
        PROMPT | model,
        lambda session_id: make_history(session_id, callbacks=[handler]),
        input_messages_key="question",
        history_messages_key="history",
    )
    config: Any = {"configurable": {"session_id": "s1"}}
    for question in (f"My code is {SECRET}.", "And again?"):
        value = {"question": question}
        if mode == "sync":
            pieces = await asyncio.to_thread(list, chain.stream(value, config))
        else:
            pieces = [piece async for piece in chain.astream(value, config)]
        assert len(pieces) > 2
    stored = make_history("s1").messages
    assert [message.type for message in stored] == ["human", "ai"] * 2 == handler.ended
    assert stored[0].text == "My code is ****."
    assert (
        stored[1].text.strip() == "1 messages, the last: My code is ****."
    )  # the model saw it all
    assert model.prompts[0][0].text == f"My code is {SECRET}."
    assert [m.additional_kwargs.get("read") for m in model.prompts[1]] == [True, True, None]


@every_handler
async def test_hooks_redact_what_an_agent_and_its_tools_store(
    make_history: MakeHistory, mode: str, make_handler: MakeHandler
) -> None:
    """Its messages go through a hooked history, and what its tools note through the service."""
    handler = make_handler()
    history = make_history("s1", callbacks=[handler])
    key = history.session_key

    @tool
    def remember(text: str) -> str:
        """Note something in the session."""
        event = Event(HumanMessage(text), author="tool")
        history.service.append_event(key, event, callbacks=[handler])
        return "Noted."

    @tool
    async def aremember(text: str) -> str:
        """Note something in the session."""
        event = Event(HumanMessage(text), author="tool")
        await history.service.aappend_event(key, event, callbacks=[handler])
        return "Noted."

    remember = remember if mode == "sync" else aremember
    call = ToolCall(name=remember.name, args={"text": SECRET}, id="c", type="tool_call")
    model = ScriptedModel(answer=script([AIMessage("", tool_calls=[call]), AIMessage("Done.")]))
    agent = agents.create_agent(model, tools=[remember])
    question = {"messages": [HumanMessage(f"Note {SECRET}.")]}
    history.service.create_session(key.app_name, key.user_id, key.session_id)
    if mode == "sync":
        result = agent.invoke(question)
        history.add_messages(result["messages"])
    else:
        result = await agent.ainvoke(question)
        await history.aadd_messages(result["messages"])
    assert SECRET in str(result["messages"])  # the agent's own are not touched
    events = history.service.get_events(key)
    assert [event.author for event in events] == ["tool", "user", "assistant", "", "assistant"]
    assert SECRET not in str([event.message for event in events])
    assert len(handler.ended) == 5


class Meeting(SessionCallbackHandler):
    """Waits until so many are in its hook, or outside of it, at the same time."""

    def __init__(self, parties: int) -> None:
        self.barrier = threading.Barrier(parties)
        self.threads: set[str] = set()

    def on_append_event_start(self, context: AppendEventContext) -> None:
        self.threads.add(threading.current_thread().name)
        self.barrier.wait(PATIENCE_S)


async def test_plain_hooks_block_neither_the_loop_nor_each_other() -> None:
    handler = Meeting(4)
    async with RedisSessionService(f"memory://{uuid4().hex}") as service:
        key = (await service.acreate_session("shop", "ann", "s1")).key
        appends = [
            asyncio.create_task(
                service.aappend_messages(key, [HumanMessage("hi")], callbacks=[handler])
            )
            for _ in range(3)
        ]
        await await_until(lambda: handler.barrier.n_waiting == 3)
        assert not any(append.done() for append in appends)
        handler.barrier.wait(PATIENCE_S)  # from the loop that they would block
        await asyncio.gather(*appends)
        assert len(await service.aget_messages(key)) == 3
    assert not handler.barrier.broken
    assert "MainThread" not in handler.threads


current_user: ContextVar[str] = ContextVar("current_user", default="")


class Watcher(SessionCallbackHandler):
    """Looks at a context variable."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def on_append_event_start(self, context: AppendEventContext) -> None:
        self.seen.append(current_user.get())

    def on_append_event_end(self, context: AppendEventContext) -> None:
        self.seen.append(current_user.get())


@pytest.mark.parametrize("is_write_behind", [False, True])
async def test_hooks_see_the_callers_context(is_write_behind: bool) -> None:
    handler = Watcher()
    async with RedisSessionService(
        f"memory://{uuid4().hex}", callbacks=[handler], enable_async_persist=is_write_behind
    ) as service:
        key = SessionKey("shop", "ann", "s1")
        current_user.set("ann")
        await service.aappend_messages(key, [HumanMessage("hi")], create=True)
        service.append_messages(key, [HumanMessage("hi")])
        await service.aflush()
    assert handler.seen == ["ann"] * 4


async def test_a_cancelled_call_writes_nothing() -> None:
    """Cancelled while a hook runs, an append is not made; the hook's thread ends by itself."""
    handler = Meeting(2)
    async with RedisSessionService(f"memory://{uuid4().hex}") as service:
        key = (await service.acreate_session("shop", "ann", "s1")).key
        append = asyncio.create_task(
            service.aappend_messages(key, [HumanMessage("hi")], callbacks=[handler])
        )
        await await_until(lambda: handler.barrier.n_waiting == 1)
        append.cancel()
        with pytest.raises(asyncio.CancelledError):
            await append
        handler.barrier.wait(PATIENCE_S)
        await asyncio.sleep(MOMENT_S)
        assert await service.aget_messages(key) == []
