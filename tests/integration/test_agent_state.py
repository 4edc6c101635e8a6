"""`session_state` in tools and prompts; which session an agent has; what it must be given."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import pytest

pytest.importorskip("langchain.agents.middleware")

from langchain.agents import create_agent
from langchain.agents import middleware as others
from langchain.tools import ToolRuntime
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver

import langchain_redis_session
from langchain_redis_session import (
    AppendEventContext,
    ConfigurationError,
    InvalidSessionKeyError,
    RedisSessionMiddleware,
    RedisSessionService,
    SessionCallbackHandler,
    SessionKey,
    session_state,
)
from tests.integration.agent_bench import AgentBench, calling
from tests.integration.scripted import ScriptedModel, script
from tests.processes import run_python

both_modes = pytest.mark.parametrize("mode", ["sync", "async"])


@pytest.fixture
def service() -> Iterator[RedisSessionService]:
    with RedisSessionService(f"memory://{uuid4()}") as service:
        yield service


@tool
def put(a: int, b: int, runtime: ToolRuntime) -> str:
    """Put numbers into the cart."""
    state = session_state(runtime)
    state["cart"] = [*state.get("cart", []), a, b]
    state.update({"user:seen": True, "temp:x": 1})
    return f"{len(state['cart'])} in the cart"


@tool
def push(a: int, b: int, runtime: ToolRuntime) -> str:
    """Change the cart in place."""
    session_state(runtime)["cart"].append(a)
    return "done"


@dataclass
class Prompt:
    """Prompts that were made."""

    texts: list[str]

    @property
    def middleware(self) -> Any:
        @others.dynamic_prompt
        def make(request: Any) -> str:
            state = session_state(request.runtime)
            self.texts.append(f"lang={state.get('user:lang')} cart={state.get('cart')}")
            state["prompts"] = state.get("prompts", 0) + 1
            return self.texts[-1]

        return make


@both_modes
async def test_what_a_tool_changes_is_stored_with_its_result(
    service: RedisSessionService, mode: str
) -> None:
    bench, prompt = AgentBench(service, is_async=mode == "async"), Prompt([])
    service.update_user_state("default", "ann", {"lang": "de"})
    answers: list[AIMessage | str] = [
        calling((1, 2), name="put"),
        calling((3, 4), name="push"),
        "Done.",
        "Bye.",
    ]
    bench.make(*answers, tools=[put, push], inner=[prompt.middleware])
    await bench.run("go")
    session = service.get_session(bench.key())
    assert session is not None
    assert session.state == {"cart": [1, 2, 3], "user:lang": "de", "user:seen": True, "prompts": 3}
    deltas = [event.state_delta for event in session.events]
    assert [sorted(delta) for delta in deltas] == [
        [],
        ["prompts"],
        ["cart", "user:seen"],
        ["prompts"],
        ["cart"],
        ["prompts"],
    ]
    service.update_session_state(bench.key(), {"cart": []})  # by somebody else
    await bench.run("and")
    assert prompt.texts == [
        "lang=de cart=None",
        "lang=de cart=[1, 2]",
        "lang=de cart=[1, 2, 3]",
        "lang=de cart=[]",
    ]


@both_modes
@pytest.mark.parametrize("fails", [True, False])
async def test_a_question_asked_again_has_the_state_of_now(
    service: RedisSessionService, mode: str, fails: bool
) -> None:
    def answer(_: list[BaseMessage]) -> AIMessage:
        if fails and len(prompt.texts) == 1:
            raise OSError("overloaded")
        return AIMessage("Hello.")

    bench, prompt = AgentBench(service, is_async=mode == "async"), Prompt([])
    bench.make(model=ScriptedModel(answer=answer), inner=[prompt.middleware])
    for cart in (1, 2):
        service.create_session(*bench.key().scope)
        service.update_session_state(bench.key(), {"cart": cart})
        with suppress(OSError):
            await bench.run([HumanMessage("hi", id="q1")])
    assert prompt.texts == ["lang=None cart=1", "lang=None cart=2"]


class Refusing(SessionCallbackHandler):
    """Refuses tool results."""

    run_inline = True

    def on_append_event_start(self, context: AppendEventContext) -> None:
        if isinstance(context.event.message, ToolMessage):
            raise ValueError("no results")


@both_modes
async def test_what_a_tool_changes_is_stored_also_where_its_result_is_refused(mode: str) -> None:
    with RedisSessionService(f"memory://{uuid4()}", callbacks=[Refusing()]) as service:
        bench = AgentBench(service, is_async=mode == "async")
        bench.make(calling((1, 2), name="put"), "Done.", tools=[put])
        await bench.run("go")
        session = service.get_session(bench.key())
        assert session is not None
        assert session.state == {"cart": [1, 2], "user:seen": True}
        assert bench.stored == ["go?", "put()", "Done."]


@both_modes
async def test_a_sub_agent_s_tools_have_the_state_of_the_session(
    service: RedisSessionService, mode: str
) -> None:
    bench = AgentBench(service, is_async=mode == "async")
    model = ScriptedModel(answer=script([calling((1, 2), name="put"), AIMessage("Found.")]))
    memory = RedisSessionMiddleware(service)
    sub_agent: Any = create_agent(model, tools=[put], middleware=[memory])

    @tool
    def ask(a: int, b: int) -> str:
        """Ask another agent."""
        return str(sub_agent.invoke({"messages": [("human", "go")]})["messages"][-1].text)

    bench.make(calling((1, 2), name="ask"), "Done.", tools=[ask])
    await bench.run("go")
    session = service.get_session(bench.key())
    assert session is not None
    assert session.state == {"cart": [1, 2], "user:seen": True}
    assert [sorted(event.state_delta) for event in session.events][2] == ["cart", "user:seen"]


def test_state_without_the_middleware_around_is_an_error(service: RedisSessionService) -> None:
    bench, prompt = AgentBench(service, is_async=False), Prompt([])
    bench.make("Hello.", outer=[prompt.middleware])
    with pytest.raises(ConfigurationError, match="list that middleware before"):
        bench.agent.invoke({"messages": [("human", "hi")]}, bench.config())


def test_state_is_a_mapping_that_says_what_it_can_t(service: RedisSessionService) -> None:
    seen: list[Any] = []

    @tool
    def look(a: int, b: int, runtime: ToolRuntime) -> str:
        """Look."""
        state = session_state(runtime)
        seen.append((dict(state), len(state), repr(state)))
        wrong: Any = 3
        with pytest.raises(ConfigurationError, match="strings, not 3"):
            state[wrong] = 1
        return ""

    bench = AgentBench(service, is_async=False)
    service.create_session("default", "ann", bench.session_id, state={"n": 1})
    bench.make(calling((1, 2), name="look"), "Done.", tools=[look])
    bench.agent.invoke({"messages": [("human", "hi")]}, bench.config())
    assert seen == [({"n": 1}, 1, "SessionState({'n': 1})")]


# --- Which session --------------------------------------------------------------------------------


@dataclass
class Context:
    user_id: Any = "ann"
    session_id: Any = "s1"
    app_name: Any = None


AGENT_KEYS = [
    (Context(), {}, ("default", "ann", "s1")),
    (Context(app_name="shop"), {}, ("shop", "ann", "s1")),
    ({"user_id": "ann", "session_id": "s1", "app_name": "shop"}, {}, ("shop", "ann", "s1")),
    ({"user_id": "ann"}, {"thread_id": "t1"}, ("default", "ann", "t1")),
    (None, {"thread_id": "t1", "user_id": "ann"}, ("default", "ann", "t1")),
    (None, {"session_id": "s2", "user_id": "ann"}, ("default", "ann", "s2")),
    (None, {"session_id": 7, "thread_id": "t1", "user_id": "ann"}, ("default", "ann", "7")),
    (Context(), {"thread_id": "t1", "user_id": "bob"}, ("default", "ann", "s1")),
    (Context(7, UUID(int=1)), {}, ("default", "7", str(UUID(int=1)))),
]


@both_modes
@pytest.mark.parametrize(("context", "configurable", "key"), AGENT_KEYS)
async def test_the_context_names_the_session_else_the_config(
    service: RedisSessionService, context: Any, configurable: Any, key: Any, mode: str
) -> None:
    agent: Any = create_agent(ScriptedModel(), middleware=[RedisSessionMiddleware(service)])
    given: dict[str, Any] = {"messages": [("human", "hi")]}
    config: Any = {"configurable": configurable}
    if mode == "sync":
        agent.invoke(given, config, context=context)
    else:
        await agent.ainvoke(given, config, context=context)
    assert service.delete_session(SessionKey(*key))


@pytest.mark.parametrize(
    ("configurable", "missing"),
    [
        ({}, "user_id"),
        ({"thread_id": "t1"}, "user_id"),
        ({"user_id": "ann"}, r"session_id \(or thread_id\)"),
        ({"user": "ann", "thread_id": "t1"}, "user_id, only 'user'"),
    ],
)
def test_a_run_without_a_session_is_an_error(
    service: RedisSessionService, configurable: Any, missing: str
) -> None:
    model = ScriptedModel()
    agent: Any = create_agent(model, middleware=[RedisSessionMiddleware(service)])
    with pytest.raises(
        InvalidSessionKeyError, match=f"this run names no {missing}.*; pass context="
    ):
        agent.invoke({"messages": [("human", "hi")]}, {"configurable": configurable})
    assert model.prompts == []


@pytest.mark.parametrize("user_id", ["", 1.5, True, b"ann"])
def test_an_id_that_can_t_be_one_is_an_error(service: RedisSessionService, user_id: Any) -> None:
    agent: Any = create_agent(ScriptedModel(), middleware=[RedisSessionMiddleware(service)])
    with pytest.raises(InvalidSessionKeyError):
        agent.invoke(
            {"messages": [("human", "hi")]},
            {"configurable": {"thread_id": "t", "user_id": user_id}},
        )


def test_a_function_of_the_runtime_chooses_the_session(service: RedisSessionService) -> None:
    def choose(runtime: Any) -> SessionKey:
        return SessionKey("shop", runtime.context["tenant"], "s1")

    memory = RedisSessionMiddleware(service, session=choose)
    agent: Any = create_agent(ScriptedModel(), middleware=[memory])
    agent.invoke({"messages": [("human", "hi")]}, context={"tenant": "acme"})
    assert len(service.get_messages(SessionKey("shop", "acme", "s1"))) == 2
    wrong: Any = lambda _: "s1"  # noqa: E731
    agent = create_agent(
        ScriptedModel(), middleware=[RedisSessionMiddleware(service, session=wrong)]
    )
    with pytest.raises(ConfigurationError, match=r"must be a SessionKey\(.*, not 's1'"):
        agent.invoke({"messages": [("human", "hi")]})


def test_a_session_of_its_own_makes_a_sub_agent_an_agent(service: RedisSessionService) -> None:
    memory = RedisSessionMiddleware(service)
    model = ScriptedModel(answer=script([AIMessage("One."), AIMessage("Two.")]))
    other: Any = create_agent(model, middleware=[memory])

    @tool
    def ask(a: int, b: int) -> str:
        """Ask another agent."""
        config: Any = {"configurable": {"thread_id": "its own", "user_id": "ann"}}
        return str(other.invoke({"messages": [("human", "go")]}, config)["messages"][-1].text)

    bench = AgentBench(service, is_async=False)
    for _ in range(2):
        bench.make(calling((1, 2), name="ask"), "Done.", tools=[ask])
        bench.agent.invoke({"messages": [("human", "hi")]}, bench.config())
    own = service.get_messages(SessionKey("default", "ann", "its own"))
    assert [message.text for message in own] == ["go", "One.", "go", "Two."]
    assert len(model.prompts[-1]) == 3


# --- Options --------------------------------------------------------------------------------------


def test_sessions_have_no_limit_unless_one_is_given(service: RedisSessionService) -> None:
    bench = AgentBench(service, is_async=False)
    bench.make("a", "b", options={"session_event_limit": 2})
    for text in ("x", "y"):
        bench.agent.invoke({"messages": [("human", text)]}, bench.config())
    assert bench.stored == ["y?", "b"]
    bench.session_id += "2"
    bench.make("a", saves=False)
    many = [("human" if n % 2 else "ai", str(n)) for n in range(1, 1102)]
    bench.agent.invoke({"messages": many}, bench.config())
    assert len(bench.stored) == 1102


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"on_store_error": "ignore"}, 'on_store_error must be "report" or "raise"'),
        ({"session": "s1"}, "session must be a function, not 's1'"),
        ({"max_messages": 0}, "max_messages must be a whole number from 1"),
        ({"stable_window": True}, "stable_window=True needs max_messages or max_tokens"),
        ({"stable_window": "yes", "max_messages": 3}, "stable_window must be True or False"),
        ({"include_summary": 1}, "include_summary must be True or False"),
        ({"include_interrupted": None}, "include_interrupted must be True or False"),
        ({"open_tool_calls": "?"}, "open_tool_calls must be"),
        ({"session_event_limit": 0}, "session_event_limit"),
        ({"app_name": ""}, "app_name is empty"),
        ({"service": "redis://"}, "service= must be a RedisSessionService"),
    ],
)
def test_options_that_can_t_work_are_refused(
    service: RedisSessionService, options: dict[str, Any], error: str
) -> None:
    given: dict[str, Any] = {"service": service, **options}
    with pytest.raises(ValueError, match=error):
        RedisSessionMiddleware(**given)


def test_without_langchain_the_error_names_the_extra() -> None:
    program = (
        "import sys; sys.modules['langchain'] = None\n"
        "import langchain_redis_session as package\n"
        "package.RedisSessionService\n"
        "try: package.RedisSessionMiddleware\n"
        "except ImportError as error: print(error)\n"
    )
    done = run_python("-c", program)
    assert "pip install 'langchain-redis-session[agents]'" in done.stdout, done.stderr


def test_the_public_names_are_the_module_s() -> None:
    module = sys.modules["langchain_redis_session.adapters.middleware"]
    assert langchain_redis_session.session_state is module.session_state


def test_one_middleware_serves_a_checkpointer_and_none(service: RedisSessionService) -> None:
    memory = RedisSessionMiddleware(service)
    model = ScriptedModel()
    config: Any = {"configurable": {"thread_id": "both", "user_id": "ann"}}
    for saver in (None, InMemorySaver(), None):
        agent: Any = create_agent(model, middleware=[memory], checkpointer=saver)
        agent.invoke({"messages": [("human", "hi")]}, config)
    assert [len(prompt) for prompt in model.prompts] == [1, 3, 5]
