"""A chain with a session: every way to run it stores every message, once, under its run."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any
from uuid import UUID, uuid4

import blockbuster
import pytest
from langchain.agents import create_agent
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    HumanMessage,
    SystemMessage,
)
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from langchain_core.runnables import (
    ConfigurableFieldSpec,
    Runnable,
    RunnableConfig,
    RunnableLambda,
)

from langchain_redis_session import (
    BackendUnavailableError,
    ConfigurationError,
    InvalidSessionKeyError,
    RedisSessionService,
    SessionKey,
    UnserializableMessageError,
    with_session,
)
from tests.integration.scripted import USAGE, ScriptedModel, echo
from tests.processes import run_python
from tests.servers import RedisServer
from tests.waits import PATIENCE_S, await_until

PROMPT = ChatPromptTemplate(
    [("system", "Be brief."), MessagesPlaceholder("history"), ("human", "{question}")]
)
KEYS: dict[str, Any] = {"input_messages_key": "question", "history_messages_key": "history"}
KEY = SessionKey("default", "ann", "s1")
Run = Callable[[Runnable[Any, Any], Any, Any], Awaitable[None]]


async def invoke(chain: Runnable[Any, Any], value: Any, config: Any) -> None:
    await asyncio.to_thread(chain.invoke, value, config)


async def ainvoke(chain: Runnable[Any, Any], value: Any, config: Any) -> None:
    await chain.ainvoke(value, config)


async def stream(chain: Runnable[Any, Any], value: Any, config: Any) -> None:
    pieces = await asyncio.to_thread(lambda: list(chain.stream(value, config)))
    assert len(pieces) > 2


async def astream(chain: Runnable[Any, Any], value: Any, config: Any) -> None:
    assert len([piece async for piece in chain.astream(value, config)]) > 2


async def astream_events(chain: Runnable[Any, Any], value: Any, config: Any) -> None:
    events = [event async for event in chain.astream_events(value, config, version="v2")]
    kinds = [event["event"] for event in events]
    assert kinds.count("on_chat_model_stream") > 2
    assert (kinds[0], kinds[-1]) == ("on_chain_start", "on_chain_end")


async def batch(chain: Runnable[Any, Any], value: Any, config: Any) -> None:
    await asyncio.to_thread(chain.batch, [value], [config])


async def abatch(chain: Runnable[Any, Any], value: Any, config: Any) -> None:
    await chain.abatch([value], [config])


every_way = pytest.mark.parametrize(
    "run", [invoke, ainvoke, stream, astream, astream_events, batch, abatch]
)


def config_of(user_id: Any = "ann", session_id: Any = "s1") -> RunnableConfig:
    return {"configurable": {"user_id": user_id, "session_id": session_id}}


ANN = config_of()


@pytest.fixture
def model() -> ScriptedModel:
    return ScriptedModel()


@pytest.fixture
def service(redis_url: str, key_prefix: str) -> Iterator[RedisSessionService]:
    with RedisSessionService(redis_url, key_prefix=key_prefix) as service:
        yield service


def texts(messages: list[BaseMessage]) -> list[str]:
    return [message.text.strip() for message in messages]


@every_way
async def test_turns_of_two_users(
    run: Run, model: ScriptedModel, service: RedisSessionService
) -> None:
    chain = with_session(PROMPT | model, service, **KEYS)
    await run(chain, {"question": "one"}, config_of("ann", "s1"))
    await run(chain, {"question": "two"}, config_of("ann", "s1"))
    await run(chain, {"question": "other"}, config_of("bob", "s1"))
    await run(chain, {"question": "new"}, config_of("ann", "s2"))

    assert [len(prompt) for prompt in model.prompts] == [2, 4, 2, 2]
    events = await service.aget_events(KEY)
    stored = [event.message for event in events if event.message is not None]
    assert [(type(message), message.text.strip()) for message in stored] == [
        (HumanMessage, "one"),
        (AIMessage, "2 messages, the last: one"),
        (HumanMessage, "two"),
        (AIMessage, "4 messages, the last: two"),
    ]
    assert model.prompts[1][1:3] == stored[:2]
    answer: Any = stored[1]
    assert answer.usage_metadata == USAGE
    first, second = events[0].request_id, events[2].request_id
    assert [event.request_id for event in events] == [first, first, second, second]
    assert UUID(first) != UUID(second)
    assert {event.tag for event in events} == {""}


async def test_the_request_id_is_the_runs(
    model: ScriptedModel, service: RedisSessionService
) -> None:
    run_id = uuid4()
    chain = with_session(model, service)
    ids = {
        event["run_id"]
        async for event in chain.astream_events("one", {**ANN, "run_id": run_id}, version="v2")
    }
    assert ids == {str(run_id)}
    assert {event.request_id for event in await service.aget_events(KEY)} == {str(run_id)}


async def test_three_questions_at_once_are_answered_and_shown_in_pairs_later(
    model: ScriptedModel, service: RedisSessionService
) -> None:
    meeting = threading.Barrier(3)

    def meet(messages: list[BaseMessage]) -> AIMessage:
        meeting.wait(PATIENCE_S)  # all have read the session
        return AIMessage(f"to {messages[-1].text}")

    asked = ["one", "two", "three"]
    chain = with_session(RunnableLambda(meet), service)
    await asyncio.to_thread(chain.batch, asked, ANN)
    events = await service.aget_events(KEY)
    by_run: dict[str, list[str]] = {}
    for event in events:
        assert event.message is not None
        by_run.setdefault(event.request_id, []).append(event.message.text)
    assert sorted(by_run.values()) == sorted([text, f"to {text}"] for text in asked)

    await with_session(model, service).ainvoke("and?", ANN)
    shown = texts(model.prompts[0])
    assert sorted(zip(shown[:6:2], shown[1:6:2], strict=True)) == sorted(
        (text, f"to {text}") for text in asked
    )
    assert shown[6] == "and?"


# --- Runs that don't end --------------------------------------------------------------------------


def is_interrupted(service: RedisSessionService) -> bool:
    return [event.tag for event in service.get_events(KEY)] == ["", "interrupted"]


async def close_stream(chain: Runnable[Any, Any]) -> None:
    pieces: Any = chain.stream("one", ANN)
    assert [next(pieces).content, next(pieces).content] == ["1 ", "messages, "]
    pieces.close()


async def aclose_stream(chain: Runnable[Any, Any]) -> None:
    pieces: Any = chain.astream("one", ANN)
    assert [(await anext(pieces)).content for _ in range(2)] == ["1 ", "messages, "]
    await pieces.aclose()


async def cancel_task(chain: Runnable[Any, Any]) -> None:
    came = asyncio.Event()

    async def read() -> None:
        count = 0
        async for _ in chain.astream("one", ANN):
            count += 1
            if count == 2:
                came.set()
                await asyncio.sleep(PATIENCE_S)

    task = asyncio.ensure_future(read())
    await asyncio.wait_for(came.wait(), PATIENCE_S)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize("cut_off", [close_stream, aclose_stream, cancel_task])
async def test_what_was_streamed_until_a_client_left_is_kept_and_not_shown_again(
    cut_off: Callable[[Runnable[Any, Any]], Awaitable[None]],
    model: ScriptedModel,
    service: RedisSessionService,
) -> None:
    await cut_off(with_session(model, service))
    await await_until(lambda: is_interrupted(service))
    assert texts(await service.aget_messages(KEY)) == ["one", "1 messages,"]
    await with_session(model, service).ainvoke("two", ANN)
    assert texts(model.prompts[-1]) == ["one", "two"]
    await with_session(model, service, include_interrupted=True).ainvoke("three", ANN)
    assert texts(model.prompts[-1])[:2] == ["one", "1 messages,"]


async def hang_up(_: Any) -> AsyncIterator[AIMessageChunk]:
    yield AIMessageChunk(content="Let me ")
    yield AIMessageChunk(content="see")
    raise RuntimeError("connection lost")


async def drain(chain: Runnable[Any, Any], value: Any, config: Any) -> None:
    async for _ in chain.astream(value, config):
        pass


async def test_what_was_streamed_until_a_model_failed_is_kept(
    service: RedisSessionService,
) -> None:
    chain = with_session(RunnableLambda(hang_up), service)
    with pytest.raises(RuntimeError, match="connection lost"):
        await drain(chain, "one", ANN)
    assert texts(await service.aget_messages(KEY)) == ["one", "Let me see"]
    assert is_interrupted(service)


async def test_a_request_that_is_repeated_after_a_failure_is_stored_once(
    model: ScriptedModel, service: RedisSessionService
) -> None:
    def fail(_: Any) -> Any:
        raise RuntimeError("overloaded")

    question = HumanMessage("one", id="q1")
    with pytest.raises(RuntimeError, match="overloaded"):
        await with_session(fail, service).ainvoke(question, ANN)
    await with_session(model, service).ainvoke(question, ANN)
    events = await service.aget_events(KEY)
    assert [event.message.type for event in events if event.message] == ["human", "ai"]
    assert len({event.request_id for event in events}) == 1
    assert texts(model.prompts[0]) == ["one"]


@pytest.mark.parametrize("limit", [None, 2])
@pytest.mark.parametrize("run", [invoke, ainvoke])
async def test_an_answer_whose_id_an_older_one_has_is_stored(
    service: RedisSessionService, run: Run, limit: int | None
) -> None:
    answers = iter([AIMessage(text, id=text) for text in "abab"])
    chain = with_session(lambda _: next(answers), service, max_messages=limit)
    for question in ("1", "2", "3", "4"):
        await run(chain, question, ANN)
    messages = await service.aget_messages(KEY)
    assert texts(messages) == ["1", "a", "2", "b", "3", "a", "4", "b"]
    assert len({message.id for message in messages}) == 8


@pytest.mark.parametrize("limit", [None, 2])
async def test_a_request_made_again_whose_answer_has_its_id_is_stored_once(
    service: RedisSessionService, limit: int | None
) -> None:
    chain = with_session(
        lambda given: AIMessage("a", id=f"a-{given[-1].id}"), service, max_messages=limit
    )
    for number in "1223145":  # the one before, and one that is older than the window
        await chain.ainvoke(HumanMessage(number, id=number), ANN)
    assert texts(await service.aget_messages(KEY)) == [*"1a2a3a4a5a"]


async def test_an_old_answer_that_a_chain_gives_back_is_not_stored_again(
    service: RedisSessionService,
) -> None:
    chain = with_session(
        lambda given: given[-2] if len(given) > 1 else AIMessage("a", id="a"), service
    )
    for question in ("1", "2"):
        await chain.ainvoke(question, ANN)
    assert texts(await service.aget_messages(KEY)) == ["1", "a", "2"]


async def test_without_redis_no_model_is_asked(model: ScriptedModel) -> None:
    service = RedisSessionService("redis://127.0.0.1:1", extra_options={"retry": None})
    chain = with_session(model, service)
    with pytest.raises(BackendUnavailableError):
        await chain.ainvoke("one", ANN)
    with pytest.raises(BackendUnavailableError):
        await asyncio.to_thread(chain.invoke, "one", ANN)
    with pytest.raises(BackendUnavailableError):
        await anext(chain.astream("one", ANN))
    assert not model.prompts


@pytest.mark.parametrize("mode", ["sync", "async"])
async def test_an_answer_that_redis_does_not_take_raises_or_is_delivered_later(
    mode: str, make_redis_server: Callable[..., RedisServer]
) -> None:
    server = make_redis_server()
    service = RedisSessionService(server.url, extra_options={"retry": None})

    def answer(messages: list[BaseMessage]) -> AIMessage:
        if messages[-1].text != "again":
            server.stop()
        return echo(messages)

    async def ask(text: str, on_store_error: Any) -> Any:
        chain = with_session(ScriptedModel(answer=answer), service, on_store_error=on_store_error)
        if mode == "sync":
            return await asyncio.to_thread(chain.invoke, text, ANN)
        return await chain.ainvoke(text, ANN)

    with pytest.raises(BackendUnavailableError):
        await ask("one", "raise")
    assert service.dead_letters() == []
    server.start()
    given = await ask("two", "report")
    assert given.text.endswith("the last: two")
    (letter,) = service.dead_letters()
    assert letter.events[0].message == given  # type: ignore[union-attr]
    server.start()
    await ask("again", "raise")
    kept = texts(await service.aget_messages(KEY))
    assert kept[-3:] == [given.text, "again", kept[-1]]
    assert service.dead_letters() == []
    await service.aclose()


# --- What the chain is given ----------------------------------------------------------------------


async def test_the_newest_messages_only(model: ScriptedModel, service: RedisSessionService) -> None:
    chain = with_session(PROMPT | model, service, max_messages=3, **KEYS)
    for text in ("one", "two", "three"):
        await chain.ainvoke({"question": text}, ANN)
    assert [len(prompt) for prompt in model.prompts] == [2, 4, 4]
    assert texts(model.prompts[-1])[1::2] == ["two", "three"]
    assert len(await service.aget_messages(KEY)) == 6


async def test_a_stable_window_begins_where_the_one_before_did(
    model: ScriptedModel, service: RedisSessionService
) -> None:
    chain = with_session(model, service, max_messages=8, stable_window=True)
    for number in range(12):
        await chain.ainvoke(f"q{number}", ANN)
    begins = [prompt[0].text for prompt in model.prompts]
    assert begins == ["q0"] * 4 + ["q3"] * 3 + ["q6"] * 3 + ["q9"] * 2, begins
    session = await service.aget_session(KEY)
    assert session is not None
    assert session.state == {}


async def test_a_summary_stands_for_what_it_covers(
    model: ScriptedModel, redis_url: str, key_prefix: str
) -> None:
    def summarize(request: Any) -> str:
        return f"{len(request.messages)} messages"

    options: dict[str, Any] = {"summarizer": summarize, "auto_summarize": False}
    async with RedisSessionService(redis_url, key_prefix=key_prefix, **options) as service:
        chain = with_session(PROMPT | model, service, include_summary=True, **KEYS)
        await chain.ainvoke({"question": "one"}, ANN)
        await service.acreate_summary(KEY, force=True)
        await chain.ainvoke({"question": "two"}, ANN)
    assert texts(model.prompts[-1]) == [
        "Be brief.",
        "Summary of the conversation so far:\n2 messages",
        "two",
    ]


async def test_a_call_without_a_result_is_answered(
    model: ScriptedModel, service: RedisSessionService
) -> None:
    call = AIMessage("", id="a1", tool_calls=[{"name": "add", "args": {}, "id": "c1"}])
    await service.aappend_messages(KEY, [HumanMessage("1 + 2?"), call], create=True)
    await with_session(model, service).ainvoke("well?", ANN)
    assert [message.type for message in model.prompts[0]] == ["human", "ai", "tool", "human"]
    assert len(await service.aget_messages(KEY)) == 4


async def test_system_messages_of_the_input_are_in_front_and_stored(
    model: ScriptedModel, service: RedisSessionService
) -> None:
    chain = with_session(model, service)
    await chain.ainvoke([SystemMessage("Be brief."), HumanMessage("one")], ANN)
    await chain.ainvoke("two", ANN)
    assert [message.type for message in model.prompts[1]] == ["system", "human", "ai", "human"]


async def test_an_agents_calls_and_results_are_stored_and_nothing_twice(
    service: RedisSessionService,
) -> None:
    def add(a: int, b: int) -> int:
        """Add."""
        return a + b

    call = {"name": "add", "args": {"a": 1, "b": 2}, "id": "c1"}

    def answer(messages: list[BaseMessage]) -> AIMessage:
        done = messages[-1].type == "tool"
        return AIMessage(messages[-1].text) if done else AIMessage("", tool_calls=[call])

    agent = create_agent(ScriptedModel(answer=answer), [add])
    keys: dict[str, Any] = {
        "input_messages_key": "messages",
        "output_messages_key": "messages",
    }
    # As another program has left it, without ids.
    await service.aappend_messages(KEY, [HumanMessage("hi"), AIMessage("hello")], create=True)
    chain = with_session(agent, service, **keys)
    for _ in range(2):
        await chain.ainvoke({"messages": "1 + 2?"}, ANN)
    stored = await service.aget_messages(KEY)
    turn = ["human", "ai", "tool", "ai"]
    assert [message.type for message in stored] == ["human", "ai", *turn, *turn]
    assert stored[-1].text == "3"


async def test_a_chain_may_go_on_behind_it(
    model: ScriptedModel, service: RedisSessionService
) -> None:
    chain = with_session(model, service) | StrOutputParser()
    pieces = [piece async for piece in chain.astream("one", ANN)]
    assert len(pieces) > 2
    assert "".join(pieces).strip() == (await service.aget_messages(KEY))[-1].text.strip()


# --- Sessions and configs -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("configurable", "named"),
    [
        ({}, "no user_id and no session_id"),
        ({"user_id": "ann"}, "no session_id"),
        ({"session_id": "s1"}, "no user_id"),
        ({"user_id": None, "session_id": "s1"}, "no user_id"),
        ({"user_id": "ann", "session_id": ""}, "no session_id"),
        ({"user_id": "ann", "session_id": "x" * 600}, "session_id has 600 bytes"),
        ({"user_id": ["ann"], "session_id": "s1"}, "user_id must be a string"),
    ],
)
def test_a_run_without_a_session_is_told_what_is_missing(
    configurable: dict[str, Any], named: str, model: ScriptedModel
) -> None:
    chain = with_session(model, RedisSessionService("memory://with-session-missing"))
    with pytest.raises(InvalidSessionKeyError, match=named) as raised:
        chain.invoke("one", {"configurable": configurable})
    assert isinstance(raised.value, ValueError)
    assert not model.prompts


@pytest.mark.parametrize(
    "names",
    [
        {"thread_id": "s1"},
        {"session_id": "s1", "thread_id": "t1"},  # a graph's
        {"session_id": "", "thread_id": "s1"},
    ],
)
async def test_a_thread_is_a_session(
    names: dict[str, Any], model: ScriptedModel, service: RedisSessionService
) -> None:
    await with_session(model, service).ainvoke("one", {"configurable": {"user_id": "ann", **names}})
    assert await service.acount_events(KEY) == 2


async def test_ids_that_are_numbers_are_texts(
    model: ScriptedModel, service: RedisSessionService
) -> None:
    user_id = uuid4()
    await with_session(model, service).ainvoke("one", config_of(user_id, 7))
    assert await service.acount_events(SessionKey("default", str(user_id), "7")) == 2


def test_the_config_shows_user_session_and_thread(model: ScriptedModel) -> None:
    service = RedisSessionService("memory://with-session-specs")
    chain = with_session(PROMPT | model, service, **KEYS)
    schema = chain.config_schema().model_json_schema()
    shown = schema["$defs"]["Configurable"]["properties"].keys()
    assert shown == {"user_id", "session_id", "thread_id"}
    asked = chain.get_input_schema().model_json_schema()
    assert asked["properties"].keys() == {"question"}
    assert asked["required"] == ["question"]
    assert with_session(model, service).get_input_schema().model_json_schema()["anyOf"]
    assert chain.get_output_schema().model_json_schema()
    assert "memory://" in repr(chain)


def test_names_that_the_chain_has_itself_stay_its_own() -> None:
    class Threaded(RunnableLambda[Any, Any]):
        @property
        def config_specs(self) -> list[ConfigurableFieldSpec]:
            return [ConfigurableFieldSpec(id="thread_id", annotation=int)]

    chain = with_session(Threaded(echo), RedisSessionService("memory://with-session-specs"))
    specs = {spec.id: spec.annotation for spec in chain.config_specs}
    assert specs == {"thread_id": int, "user_id": str, "session_id": str}


@pytest.mark.parametrize(("limit", "kept"), [(None, 1200), (10, 10)])
async def test_its_sessions_have_no_limit_unless_it_was_given_one(
    limit: int | None, kept: int, model: ScriptedModel, service: RedisSessionService
) -> None:
    chain = with_session(model, service, session_event_limit=limit)
    await chain.ainvoke([HumanMessage(f"m{number}") for number in range(1199)], ANN)
    assert await service.acount_events(KEY) == kept


@pytest.mark.parametrize(
    "options",
    [
        {"input_messages_key": 5},
        {"history_messages_key": ""},
        {"on_store_error": "ignore"},
        {"include_summary": "yes"},
        {"include_interrupted": 1},
        {"max_messages": 0},
        {"max_tokens": "5"},
        {"stable_window": True},
        {"session_event_limit": 0},
        {"app_name": ""},
        {"open_tool_calls": "close"},
    ],
)
def test_an_option_that_cannot_be_is_refused(options: dict[str, Any]) -> None:
    service = RedisSessionService("memory://with-session-options")
    with pytest.raises(ValueError, match=next(iter(options))):
        with_session(echo, service, **options)
    with pytest.raises(ConfigurationError, match="service= must be a RedisSessionService"):
        with_session(echo, "redis://")  # type: ignore[arg-type]


def test_the_history_in_the_questions_place_is_refused() -> None:
    service = RedisSessionService("memory://with-session-options")
    with pytest.raises(ConfigurationError, match="are both 'messages'"):
        with_session(echo, service, input_messages_key="messages", history_messages_key="messages")


@pytest.mark.parametrize(
    ("value", "keys", "told"),
    [
        (5, {}, "the input must be a string"),
        ({"a": 1, "b": 2}, {}, "the input has no 'input'"),
        ({"q": "one"}, {"input_messages_key": "question"}, "the input has no 'question'"),
        ("one", {"history_messages_key": "history"}, "the input must be a dict"),
        ([5], {}, "5"),
    ],
)
def test_an_input_without_messages_is_refused(
    value: Any, keys: dict[str, Any], told: str, model: ScriptedModel
) -> None:
    service = RedisSessionService("memory://with-session-input")
    with pytest.raises(UnserializableMessageError, match=told):
        with_session(model, service, **keys).invoke(value, ANN)
    assert not model.prompts
    assert service.get_session(KEY) is None


@pytest.mark.parametrize("output", [5, None, {"a": 1, "b": "x"}, {"output": 1}, [5]])
@pytest.mark.parametrize("run", [invoke, ainvoke, drain])
async def test_an_answer_that_is_no_message_is_a_type_error(
    run: Run, output: Any, service: RedisSessionService
) -> None:
    def give(_: Any) -> Any:
        return output

    with pytest.raises(TypeError):
        await run(with_session(give, service), "one", ANN)
    assert texts(await service.aget_messages(KEY)) == ["one"]


async def test_a_chain_with_a_session_does_not_hold_up_the_loop(
    redis_server: RedisServer, key_prefix: str, model: ScriptedModel
) -> None:
    async with RedisSessionService(redis_server.url, key_prefix=key_prefix) as service:
        chain = with_session(model, service)
        await chain.ainvoke("warm", ANN)
        with blockbuster.blockbuster_ctx("langchain_core"):
            await chain.ainvoke("one", ANN)
            async for _ in chain.astream("two", ANN):
                pass
        await service.adelete_session(KEY)


def test_it_loads_neither_deprecated_class() -> None:
    program = (
        "import sys; from langchain_redis_session import with_session; "
        "print(*(m for m in sys.modules if m.endswith(('chat_history', 'runnables.history'))))"
    )
    assert run_python("-c", program).stdout.strip() == ""
