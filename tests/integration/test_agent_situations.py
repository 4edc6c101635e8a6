"""`RedisSessionMiddleware` in every situation an agent gets into: one table.

Each row says what is stored, in order, and what the model saw in its last call. Run with `-s` to
see the table.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

pytest.importorskip("langchain.agents.middleware")

from langchain.agents import create_agent
from langchain.agents import middleware as others
from langchain.agents.structured_output import (
    ProviderStrategy,
    StructuredOutputValidationError,
    ToolStrategy,
)
from langchain.tools import ToolRuntime
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.types import Command, interrupt
from pydantic import BaseModel

from langchain_redis_session import RedisSessionService, SessionSummarizer, session_state
from tests.integration.agent_bench import AgentBench, calling, make_sub_agent, say_all
from tests.integration.scripted import ScriptedModel, script
from tests.servers import RedisServer
from tests.waits import PATIENCE_S

Situation = Callable[[AgentBench], Awaitable[None]]
SITUATIONS: dict[str, Situation] = {}
ROWS: dict[str, tuple[list[str], list[str], int]] = {}

SUM: list[AIMessage | str] = [calling((1, 2)), "It is 3."]
SUM_STORED = ["1+2?", "add()", "= 3", "It is 3."]


def situation(function: Situation) -> Situation:
    SITUATIONS[function.__name__.replace("_", " ")] = function
    return function


@pytest.fixture(scope="module", autouse=True)
def table() -> Iterator[None]:
    yield
    print("\n| situation | stored | the model saw last | checkpoints |\n| --- | --- | --- | --- |")
    for name, (stored, saw, checkpoints) in sorted(ROWS.items()):
        print(f"| {name} | {' · '.join(stored)} | {' · '.join(saw)} | {checkpoints or '–'} |")


@pytest.fixture(scope="module")
def memory_service() -> Iterator[RedisSessionService]:
    with RedisSessionService("memory://agent-situations") as service:
        yield service


@pytest.fixture(scope="module")
def server_service(redis_server: RedisServer) -> Iterator[RedisSessionService]:
    with RedisSessionService(redis_server.url, key_prefix="agent-situations") as service:
        yield service


# --- Turns ----------------------------------------------------------------------------------------


@situation
async def without_a_checkpointer(bench: AgentBench) -> None:
    bench.make(*SUM, "Bye.")
    await bench.run("1+2")
    await bench.run("thanks")
    assert bench.stored == [*SUM_STORED, "thanks?", "Bye."]
    assert bench.saw == [["1+2?"], SUM_STORED[:3], [*SUM_STORED, "thanks?"]]


@situation
async def with_a_checkpointer(bench: AgentBench) -> None:
    bench.make(*SUM, "Bye.", saves=True)
    await bench.run("1+2")
    before = bench.checkpoints
    await bench.run("thanks")
    assert bench.checkpoints - before == 3  # as without this middleware
    assert bench.stored == [*SUM_STORED, "thanks?", "Bye."]
    assert bench.saw == [["1+2?"], SUM_STORED[:3], [*SUM_STORED, "thanks?"]]


@situation
async def a_checkpointer_is_added_later(bench: AgentBench) -> None:
    bench.make("Hello.")
    await bench.run("hi")
    bench.make(*SUM, "Bye.", saves=True)
    await bench.run("1+2")
    await bench.run("thanks")
    assert bench.stored == ["hi?", "Hello.", *SUM_STORED, "thanks?", "Bye."]
    assert bench.saw[-1] == bench.stored[:-1]


@situation
async def the_middleware_is_added_to_a_saved_thread(bench: AgentBench) -> None:
    bench.make("Hello.", saves=True)
    bench.agent = create_agent(bench.model, checkpointer=bench.saver)
    await bench.run("hi")
    bench.make(*SUM, saves=True)
    await bench.run("1+2")
    assert bench.stored == ["hi?", "Hello.", *SUM_STORED]
    requests = [event.request_id for event in bench.service.get_events(bench.key())]
    assert len(set(requests[:2])) == len(set(requests[2:])) == 1
    assert len(set(requests)) == 2


@situation
async def a_window_of_three(bench: AgentBench) -> None:
    options = {"max_messages": 3}
    bench.make(*SUM, "b", "d", saves=True, options=options)
    for text in ("1+2", "a", "c"):
        await bench.run(text)
    assert bench.stored == [*SUM_STORED, "a?", "b", "c?", "d"]
    assert bench.saw[-2:] == [["a?"], ["a?", "b", "c?"]]


@situation
async def a_stable_window_of_six(bench: AgentBench) -> None:
    texts = [f"q{number}" for number in range(7)]
    for number, text in enumerate(texts):  # as after a restart, each time
        options = {"max_messages": 6, "stable_window": True}
        bench.make(f"a{number}", saves=number > 3, options=options)
        await bench.run(text)
        first = ["q0?", "q0?", "q0?", "q2?", "q2?", "q4?", "q4?"][number]
        assert bench.saw[-1][0] == first
        assert bench.saw[-1][-1] == f"{text}?"
    session = bench.service.get_session(bench.key())
    assert session is not None
    assert session.state == {}  # where it begins is kept, and not shown


@situation
async def parallel_tools(bench: AgentBench) -> None:
    bench.make(calling((1, 2), (3, 4)), "3 and 7.", saves=True)
    await bench.run("both")
    assert sorted(bench.stored) == sorted(["both?", "add() add()", "= 3", "= 7", "3 and 7."])
    assert bench.saw[-1] == ["both?", "add() add()", "= 3", "= 7"]


@situation
async def calls_are_numbered_anew_in_each_answer(bench: AgentBench) -> None:
    bench.make(calling((1, 2)), calling((3, 4)), "7.")
    await bench.run("both")
    assert bench.stored == ["both?", "add()", "= 3", "add()", "= 7", "7."]


@situation
async def answers_that_come_out_of_a_cache(bench: AgentBench) -> None:
    cached = AIMessage("Hello.", id=f"a-{bench.session_id}")
    bench.make(*[cached] * 3, saves=True)
    for _ in range(3):
        await bench.run("hi")
    assert bench.stored == ["hi?", "Hello."] * 3


async def say_again_what_was_left_out(bench: AgentBench, **options: Any) -> None:
    """Have the model go round its answers, with their ids, beyond what is read of the session."""
    call = calling((1, 2))
    call.id = f"a-{bench.session_id}"
    others = [AIMessage(text, id=f"{text}-{bench.session_id}") for text in ("3.", "b", "d")]
    bench.make(*[call, *others] * 2, options=options)
    for text in ("1+2", "a", "c") * 2:
        await bench.run(text)
    stored = ["1+2?", "add()", "= 3", "3.", "a?", "b", "c?", "d"]
    assert bench.stored == stored * 2
    assert bench.saw[5][-3:] == stored[:3]
    messages = bench.service.get_messages(bench.key())
    assert len({message.id for message in messages}) == len(messages)


@situation
async def answers_of_before_a_window_of_three_come_again(bench: AgentBench) -> None:
    await say_again_what_was_left_out(bench, max_messages=3)


@situation
async def answers_of_before_a_stable_window_come_again(bench: AgentBench) -> None:
    await say_again_what_was_left_out(bench, max_messages=4, stable_window=True)


@situation
async def answers_of_before_a_window_of_few_tokens_come_again(bench: AgentBench) -> None:
    await say_again_what_was_left_out(bench, max_tokens=3, token_counter=len)


@situation
async def a_tool_s_results_all_have_one_id(bench: AgentBench) -> None:
    @tool
    def add(a: int, b: int, runtime: ToolRuntime) -> Command[Any]:
        """Add two numbers."""
        session_state(runtime)["sum"] = a + b
        said = ToolMessage(
            str(a + b), tool_call_id=runtime.tool_call_id, id=f"r-{bench.session_id}"
        )
        return Command(update={"messages": [said]})

    for options in ({}, {"max_messages": 3}):
        bench.session_id += "x"
        turns: list[AIMessage | str] = [calling((1, 2)), "3.", "b", calling((3, 4)), "7."]
        bench.make(*turns, tools=[add], options=options)
        for text in ("1+2", "a", "3+4"):
            await bench.run(text)
        assert bench.stored == [*SUM_STORED[:3], "3.", "a?", "b", "3+4?", "add()", "= 7", "7."]
        assert bench.saw[-1][-3:] == ["3+4?", "add()", "= 7"]
        session = bench.service.get_session(bench.key())
        assert session is not None
        assert session.state["sum"] == 7


@situation
async def a_call_that_fails_behind_its_result_is_made_again(bench: AgentBench) -> None:
    failed: list[str] = []

    class Failing(others.AgentMiddleware):
        async def awrap_tool_call(self, request: Any, handler: Any) -> Any:
            return self.fail_once(await handler(request))

        def wrap_tool_call(self, request: Any, handler: Any) -> Any:
            return self.fail_once(handler(request))

        def fail_once(self, result: Any) -> Any:
            if not failed:
                failed.append("")
                raise RuntimeError("the process ends")
            return result

    @tool
    def add(a: int, b: int, runtime: ToolRuntime) -> Command[Any]:
        """Add two numbers."""
        said = ToolMessage("3", tool_call_id=runtime.tool_call_id, id=f"r-{bench.session_id}")
        return Command(update={"messages": [said]})

    options = {"max_messages": 3}
    bench.make(*SUM, tools=[add], outer=[Failing()], saves=True, options=options)
    with pytest.raises(RuntimeError, match="the process ends"):
        await bench.run("1+2")
    bench.make("It is 3.", tools=[add], outer=[Failing()], saves=True, options=options)
    await bench.run(None)
    assert bench.stored == SUM_STORED


class Canned(others.AgentMiddleware):
    """Answers in the model's place, with messages as they are."""

    def __init__(self, *ids: str | None) -> None:
        self.ids = ids

    def wrap_model_call(self, request: Any, handler: Any) -> Any:
        return self.answer()

    async def awrap_model_call(self, request: Any, handler: Any) -> Any:
        return self.answer()

    def answer(self) -> Any:
        said: list[Any] = [
            AIMessage(f"part {number}", id=given) for number, given in enumerate(self.ids)
        ]
        return others.ModelResponse(result=said)


@situation
async def answers_without_ids_or_with_the_same(bench: AgentBench) -> None:
    parts = ["part 0", "part 1"]
    given: list[tuple[str | None, str | None]] = [(None, None), ("", ""), ("same", "same")]
    for number, ids in enumerate(given):
        bench.session_id += str(number)
        bench.make(inner=[Canned(*ids)], saves=True)
        await bench.run("a")
        result = await bench.run("b")
        assert bench.stored == ["a?", *parts, "b?", *parts]
        assert say_all(result["messages"]) == bench.stored
    bench.make("Bye.")
    await bench.run("c")


@tool
def tell(a: int, b: int, runtime: ToolRuntime) -> Any:
    """Say several things."""
    result = ToolMessage("told", tool_call_id=runtime.tool_call_id or "")
    return Command(update={"messages": [result, ("human", "also"), AIMessage("Well.")]})


@situation
async def a_tool_that_adds_messages_without_ids(bench: AgentBench) -> None:
    for saves in (False, True):
        bench.session_id += str(saves)
        bench.make(calling((1, 2), name="tell"), "Done.", "Bye.", tools=[tell], saves=saves)
        await bench.run("go")
        await bench.run("on")
        told = ["go?", "tell()", "= told", "also?", "Well.", "Done."]
        assert bench.stored == [*told, "on?", "Bye."]
        assert bench.saw[-1] == bench.stored[:-1]


# --- Streams --------------------------------------------------------------------------------------

MODES = ["values", "updates", "messages", "custom", "debug", "tasks"]


@situation
async def streamed_in_every_mode(bench: AgentBench) -> None:
    bench.make("secret", *[answer for _ in MODES for answer in SUM])
    await bench.run("first")
    for mode in MODES:
        parts = await bench.stream("1+2", stream_mode=mode)
        assert "first" not in str(parts)  # what was read is in no stream
        assert "secret" not in str(parts)
    assert bench.stored == ["first?", "secret", *SUM_STORED * len(MODES)]


@situation
async def stream_events(bench: AgentBench) -> None:
    bench.make("secret", *SUM)
    await bench.run("first")
    given = {"messages": [("human", "1+2")]}
    events = [e async for e in bench.agent.astream_events(given, bench.config(), version="v2")]
    outputs = [e["data"] for e in events if e["name"] == "LangGraph"]
    assert outputs
    assert "secret" not in str(outputs)
    assert bench.stored == ["first?", "secret", *SUM_STORED]


# --- Interrupts -----------------------------------------------------------------------------------


@situation
async def an_interrupt_before_tools(bench: AgentBench) -> None:
    bench.make(*SUM, "Bye.", saves=True, interrupt_before=["tools"])
    await bench.run("1+2")
    assert bench.stored == SUM_STORED[:2]
    await bench.run(None)
    await bench.run("thanks")
    assert bench.stored == [*SUM_STORED, "thanks?", "Bye."]
    assert bench.saw[-2:] == [SUM_STORED[:3], [*SUM_STORED, "thanks?"]]


@situation
async def an_interrupt_after_tools(bench: AgentBench) -> None:
    bench.make(*SUM, saves=True, interrupt_after=["tools"])
    await bench.run("1+2")
    assert bench.stored == SUM_STORED[:3]
    await bench.run(None)
    assert bench.stored == SUM_STORED
    assert bench.saw[-1] == SUM_STORED[:3]


@situation
async def resumed_in_another_process(bench: AgentBench) -> None:
    bench.make("Hello.", calling((1, 2)), saves=True, interrupt_before=["tools"])
    await bench.run("hi")
    await bench.run("1+2")
    bench.make("It is 3.", saves=True)
    await bench.run(None)
    assert bench.stored == ["hi?", "Hello.", *SUM_STORED]
    assert bench.saw[-1] == ["hi?", "Hello.", *SUM_STORED[:3]]
    requests = [event.request_id for event in bench.service.get_events(bench.key())]
    assert len(set(requests[2:])) == 1


@tool
def confirm(a: int, b: int) -> str:
    """Ask the user."""
    return str(interrupt(f"{a} and {b}?"))


@situation
async def an_interrupt_in_a_tool(bench: AgentBench) -> None:
    bench.make(calling((1, 2), name="confirm"), "Done.", tools=[confirm], saves=True)
    await bench.run("ask")
    assert bench.stored == ["ask?", "confirm()"]
    await bench.run(Command(resume="yes"))
    assert bench.stored == ["ask?", "confirm()", "= yes", "Done."]
    assert bench.saw[-1] == ["ask?", "confirm()", "= yes"]


REJECTED = "= User rejected the tool call for `add` with reason: No."


@situation
async def a_human_rejects_a_call(bench: AgentBench) -> None:
    human = others.HumanInTheLoopMiddleware(interrupt_on={"add": True})
    bench.make(*SUM, inner=[human], saves=True)
    await bench.run("1+2")
    assert bench.stored == SUM_STORED[:2]
    decision = {"decisions": [{"type": "reject", "message": "No."}]}
    await bench.run(Command(resume=decision))
    assert bench.stored == ["1+2?", "add()", REJECTED, "It is 3."]


@situation
async def a_human_rejects_one_of_two_calls(bench: AgentBench) -> None:
    human = others.HumanInTheLoopMiddleware(interrupt_on={"add": True})
    for number, rejected in enumerate((0, 1)):
        bench.session_id += str(number)
        answers: list[AIMessage | str] = [calling((1, 2), (3, 4)), "Well.", "Bye."]
        bench.make(*answers, inner=[human], saves=True)
        await bench.run("both")
        decisions: list[Any] = [{"type": "approve"}, {"type": "approve"}]
        decisions[rejected] = {"type": "reject", "message": "No."}
        await bench.run(Command(resume={"decisions": decisions}))
        approved = "= 7" if rejected == 0 else "= 3"
        assert bench.stored == ["both?", "add() add()", approved, REJECTED, "Well."]
        bench.saver = None  # what the session holds is all there is
        bench.make("Bye.")
        await bench.run("on")
        assert bench.saw[-1] == [*bench.stored[:-1]]


@situation
async def beside_a_limit_of_tool_calls(bench: AgentBench) -> None:
    limit = others.ToolCallLimitMiddleware(run_limit=1)
    bench.make(calling((1, 2), (3, 4)), "3.", inner=[limit])
    await bench.run("both")
    refused = "= Tool call limit exceeded. Do not make additional tool calls."
    assert bench.stored == ["both?", "add() add()", "= 3", refused, "3."]


# --- Errors ---------------------------------------------------------------------------------------


@tool
def fail(a: int, b: int) -> str:
    """Fail."""
    raise OSError("broken")


@situation
async def a_tool_that_raises(bench: AgentBench) -> None:
    bench.make(calling((1, 2), name="fail"), "Sorry.", tools=[fail], saves=True)
    with pytest.raises(OSError, match="broken"):
        await bench.run("go")
    await bench.run("well")
    assert bench.stored == ["go?", "fail()", "well?", "Sorry."]
    call, answer = bench.saw[-1][1:3]
    assert (call, answer[:19]) == ("fail()", "= This tool call ha")


@situation
async def a_call_with_bad_arguments(bench: AgentBench) -> None:
    bad = AIMessage("", tool_calls=[{"name": "add", "args": {"a": "x"}, "id": "c1"}])
    bench.make(bad, "Sorry.")
    await bench.run("go")
    question, call, result, answer = bench.stored
    assert (question, call, answer) == ("go?", "add()", "Sorry.")
    assert result.startswith("= Error")


@situation
async def a_call_that_is_no_json(bench: AgentBench) -> None:
    calls: Any = [{"name": "add", "args": "{", "id": "c1", "error": None}]
    bad = AIMessage("Well", invalid_tool_calls=calls)
    bench.make(bad, "Bye.", saves=True)
    await bench.run("go")
    await bench.run("on")
    assert [m for m in bench.stored if not m.startswith("=")] == ["go?", "Well", "on?", "Bye."]
    assert len([m for m in bench.saw[-1] if m.startswith("=")]) == 1  # as models want it


def failing_once(*answers: str) -> ScriptedModel:
    given, failures = script([AIMessage(answer) for answer in answers]), [OSError("overloaded")]

    def answer(messages: list[BaseMessage]) -> AIMessage:
        if failures:
            raise failures.pop()
        return given(messages)

    return ScriptedModel(answer=answer)


@situation
async def a_model_that_raises_is_asked_again(bench: AgentBench) -> None:
    bench.make(model=failing_once("Hello.", "Bye."), saves=True)
    with pytest.raises(OSError, match="overloaded"):
        await bench.run("hi")
    assert bench.stored == ["hi?"]
    await bench.run(None)
    await bench.run("on")
    assert bench.stored == ["hi?", "Hello.", "on?", "Bye."]
    assert bench.saw[1:] == [["hi?"], ["hi?", "Hello.", "on?"]]


@situation
async def a_model_that_raises_then_a_new_question(bench: AgentBench) -> None:
    bench.make(model=failing_once("Bye."))
    with pytest.raises(OSError, match="overloaded"):
        await bench.run("hi")
    await bench.run("on")
    assert bench.stored == ["hi?", "on?", "Bye."]
    assert bench.saw[-1] == ["hi?", "on?"]


@situation
async def the_same_question_sent_again_by_its_id(bench: AgentBench) -> None:
    bench.make("One.", "Two.")
    for _ in range(2):
        await bench.run([HumanMessage("hi", id=f"q-{bench.session_id}")])
    assert bench.stored == ["hi?", "One.", "Two."]
    assert bench.saw == [["hi?"], ["hi?"]]


@situation
async def an_old_question_sent_again_by_its_id(bench: AgentBench) -> None:
    bench.make("One.", "Two.", "Three.", options={"max_messages": 2})
    for number in (0, 1, 0):  # the last one is beyond what is read
        await bench.run([HumanMessage(f"q{number}", id=f"q{number}-{bench.session_id}")])
    assert bench.stored == ["q0?", "One.", "q1?", "Two.", "Three."]
    assert bench.saw[-1][-1] == "q0?"


@situation
async def retry_around(bench: AgentBench) -> None:
    bench.make(model=failing_once("Hello."), outer=[quick_retry()])
    await bench.run("hi")
    assert bench.stored == ["hi?", "Hello."]
    assert bench.saw[-1] == ["hi?"]


@situation
async def retry_within(bench: AgentBench) -> None:
    bench.make(model=failing_once("Hello."), inner=[quick_retry()])
    await bench.run("hi")
    assert bench.stored == ["hi?", "Hello."]


def quick_retry() -> Any:
    return others.ModelRetryMiddleware(initial_delay=0, jitter=False)


@situation
async def fallback_to_another_model(bench: AgentBench) -> None:
    other = ScriptedModel(answer=script([AIMessage("Hello.")]))
    bench.make(model=failing_once(), outer=[others.ModelFallbackMiddleware(other)])
    await bench.run("hi")
    assert bench.stored == ["hi?", "Hello."]
    assert say_all(other.prompts[-1]) == ["hi?"]


# --- Structured output ----------------------------------------------------------------------------


class Sum(BaseModel):
    """A sum."""

    total: int


@situation
async def structured_output_by_a_tool(bench: AgentBench) -> None:
    call = {"name": "Sum", "args": {"total": 3}, "id": "c1"}
    bench.make(AIMessage("", tool_calls=[call]), "Bye.", response_format=ToolStrategy(Sum))
    result = await bench.run("1+2")
    assert result["structured_response"] == Sum(total=3)
    assert bench.stored == ["1+2?", "Sum()", "= Returning structured response: total=3"]


@situation
async def structured_output_that_is_none(bench: AgentBench) -> None:
    call = {"name": "Sum", "args": {"total": "x"}, "id": "c1"}
    strategy = ToolStrategy(Sum, handle_errors=False)
    bench.make(AIMessage("", tool_calls=[call]), response_format=strategy)
    with pytest.raises(StructuredOutputValidationError, match="Sum"):
        await bench.run("1+2")
    assert bench.stored == ["1+2?", "Sum()"]  # it is paid for


@situation
async def structured_output_by_the_provider(bench: AgentBench) -> None:
    bench.make('{"total": 3}', tools=[], response_format=ProviderStrategy(Sum))
    result = await bench.run("1+2")
    assert result["structured_response"] == Sum(total=3)
    assert bench.stored == ["1+2?", '{"total": 3}']


# --- Sub-agents -----------------------------------------------------------------------------------


@situation
async def a_sub_agent(bench: AgentBench) -> None:
    for number, name in enumerate(("scout", None)):
        model = ScriptedModel(answer=script([calling((1, 2)), AIMessage("Found 3.")]))
        research = make_sub_agent(bench, model, name)
        bench.make(calling((1, 2), name="research"), "Done.", tools=[research], saves=number == 0)
        await bench.run("go")
        assert [say_all(prompt) for prompt in model.prompts] == [
            ["find 1?"],
            ["find 1?", "add()", "= 3"],
        ]
        tracks = bench.service.list_tracks(bench.key())
        track = "agent:scout" if name and "agent:scout" in tracks else "agent"
        payloads = [e.payload for e in bench.service.get_track_events(bench.key(), track)]
        assert [payload["type"] for payload in payloads][-4:] == ["human", "ai", "tool", "ai"]
    assert bench.stored == ["go?", "research()", "= Found 3.", "Done."] * 2


# --- Other middlewares ----------------------------------------------------------------------------


@situation
async def beside_summarization(bench: AgentBench) -> None:
    for place in ("outer", "inner"):
        await condense(bench, place)


async def condense(bench: AgentBench, place: str) -> None:
    bench.session_id += place
    writer = ScriptedModel(answer=lambda _: AIMessage("SUMMARY"))
    condenser = others.SummarizationMiddleware(
        writer, trigger=("messages", 5), keep=("messages", 3)
    )
    around: dict[str, Any] = {place: [condenser]}
    bench.make(*SUM, "b", "d", "f", saves=True, **around)
    for text in ("1+2", "a", "c", "e"):
        await bench.run(text)
    assert bench.stored == [*SUM_STORED, "a?", "b", "c?", "d", "e?", "f"]
    assert "SUMMARY" in bench.saw[-1][0]  # and nothing older in front of it
    assert bench.saw[-1][-1] == "e?"
    assert len(bench.saw[-1]) <= 5


@situation
async def beside_context_editing(bench: AgentBench) -> None:
    for place in ("outer", "inner"):
        bench.session_id += place
        edit = others.ClearToolUsesEdit(trigger=1, keep=0, placeholder="[cleared]")
        around: dict[str, Any] = {place: [others.ContextEditingMiddleware(edits=[edit])]}
        bench.make(*SUM, "b", saves=True, **around)
        await bench.run("1+2")
        await bench.run("a")
        assert bench.stored == [*SUM_STORED, "a?", "b"]
        assert bench.saw[-1] == ["1+2?", "add()", "= [cleared]", "It is 3.", "a?"]


@situation
async def what_another_middleware_shows_for_one_call(bench: AgentBench) -> None:
    class Weather(others.AgentMiddleware):
        def wrap_model_call(self, request: Any, handler: Any) -> Any:
            return handler(self.change(request))

        async def awrap_model_call(self, request: Any, handler: Any) -> Any:
            return await handler(self.change(request))

        def change(self, request: Any) -> Any:
            return request.override(messages=[*request.messages, HumanMessage("It rains.")])

    bench.make(*SUM, outer=[Weather()])
    await bench.run("1+2")
    assert bench.stored == SUM_STORED
    assert bench.saw[-1] == [*SUM_STORED[:3], "It rains.?"]


# --- Clients --------------------------------------------------------------------------------------


@situation
async def a_client_that_sends_everything_each_time(bench: AgentBench) -> None:
    bench.make("b", "d", "f")
    said: list[Any] = []
    for text, answer in (("a", "b"), ("c", "d"), ("e", "f")):
        said.append({"role": "user", "content": text})
        await bench.run(list(said))
        said.append({"role": "assistant", "content": answer})
    assert bench.stored == ["a?", "b", "c?", "d", "e?", "f"]
    assert bench.saw[-1] == ["a?", "b", "c?", "d", "e?"]


@situation
async def a_client_that_sends_everything_with_ids(bench: AgentBench) -> None:
    bench.make(*SUM, "b", options={"max_messages": 3})
    result = await bench.run("1+2")
    await bench.run([*result["messages"], ("human", "a")])
    assert bench.stored == [*SUM_STORED, "a?", "b"]
    assert bench.saw[-1] == ["a?"]


@situation
async def two_users_of_one_agent(bench: AgentBench) -> None:
    bench.make("Hi Ann.", "Hi Bob.", "Ann.", "Bob.", saves=False)
    for text in ("hello", "who"):
        for user_id in ("ann", "bob"):
            await bench.run(f"{user_id} {text}", bench.config(user_id))
    assert bench.stored == ["ann hello?", "Hi Ann.", "ann who?", "Ann."]
    bobs = say_all(bench.service.get_messages(bench.key("bob")))
    assert bobs == ["bob hello?", "Hi Bob.", "bob who?", "Bob."]
    assert bench.saw[-1] == bobs[:3]


@situation
async def eight_runs_at_once(bench: AgentBench) -> None:
    bench.make(model=ScriptedModel(answer=lambda messages: AIMessage(f"re {messages[-1].text}")))
    config, texts = bench.config(), [f"q{number}" for number in range(8)]
    given = [{"messages": [("human", text)]} for text in texts]
    if bench.is_async:
        await asyncio.gather(*(bench.agent.ainvoke(one, config) for one in given))
    else:
        bench.agent.batch(given, config)
    assert sorted(bench.stored) == sorted([f"{t}?" for t in texts] + [f"re {t}" for t in texts])


@situation
async def time_travel(bench: AgentBench) -> None:
    bench.make("b", "d", "f", "h", saves=True)
    await bench.run("a")
    past = bench.agent.get_state(bench.config()).config["configurable"]["checkpoint_id"]
    await bench.run("c")
    await bench.run("e", bench.config(checkpoint_id=past))
    assert bench.stored == ["a?", "b", "c?", "d", "e?", "f"]
    assert bench.saw[-1] == ["a?", "b", "e?"]
    requests = [event.request_id for event in bench.service.get_events(bench.key())]
    assert len(set(requests)) == 3


@situation
async def time_travel_to_before_the_window(bench: AgentBench) -> None:
    bench.make("b", "d", "f", "h", saves=True, options={"max_messages": 3})
    await bench.run("a")
    past = bench.agent.get_state(bench.config()).config["configurable"]["checkpoint_id"]
    await bench.run("c")
    await bench.run("e")
    bench.make("h", options={"max_messages": 3}, saves=True)  # as in another process
    await bench.run("g", bench.config(checkpoint_id=past))
    assert bench.saw[-1] == ["a?", "b", "g?"]


# --- Cut off --------------------------------------------------------------------------------------


@situation
async def a_run_that_is_cut_off(bench: AgentBench) -> None:
    def answer(_: list[BaseMessage]) -> AIMessage:
        return AIMessage("one two three four")

    bench.make(model=HangingModel(answer=answer, hangs_after=2))
    if bench.is_async:
        run = asyncio.create_task(bench.stream("count", stream_mode="messages"))
        await asyncio.wait_for(bench.model.reached.wait(), PATIENCE_S)  # type: ignore[attr-defined]
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
    else:
        with pytest.raises(KeyboardInterrupt):
            await bench.stream("count", stream_mode="messages")
    events = bench.service.get_events(bench.key())
    assert [event.tag for event in events] == ["", "interrupted"]
    assert bench.stored == ["count?", "one two"]
    for seen, options in ((["count?", "on?"], {}), (["count?", "one two", "on?"], {"include": 1})):
        bench.make("Bye.", options={"include_interrupted": bool(options)})
        await bench.run([HumanMessage("on", id=f"on-{bench.session_id}")])
        assert bench.saw[-1][:3] == seen


@situation
async def a_stream_that_is_closed(bench: AgentBench) -> None:
    bench.make("one two three four")
    await bench.stream("count", most=2, stream_mode="messages")
    (_, tag) = [event.tag for event in bench.service.get_events(bench.key())]
    question, answer = bench.stored
    # A thread goes on to the end; a task is cancelled.
    assert tag == ("interrupted" if bench.is_async else "")
    assert "one two three four".startswith(answer)
    assert len(answer) > 3
    assert question == "count?"


class HangingModel(ScriptedModel):
    """Says some words, and then nothing more until it is cancelled."""

    hangs_after: int
    reached: Any = None

    def model_post_init(self, _: Any) -> None:
        self.reached = asyncio.Event()

    def _stream(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        for number, chunk in enumerate(super()._stream(*args, **kwargs)):
            if number == self.hangs_after:
                raise KeyboardInterrupt
            yield chunk

    async def _astream(self, *args: Any, **kwargs: Any) -> Any:
        for number, chunk in enumerate(super()._stream(*args, **kwargs)):
            if number == self.hangs_after:
                self.reached.set()
                await asyncio.wait_for(asyncio.Event().wait(), PATIENCE_S)
            yield chunk


# --- All of them ----------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["sync", "async"])
@pytest.mark.parametrize("name", SITUATIONS)
async def test_each_situation_in_memory(
    memory_service: RedisSessionService, name: str, mode: str
) -> None:
    await try_out(memory_service, name, mode)


@pytest.mark.parametrize("mode", ["sync", "async"])
@pytest.mark.parametrize("name", SITUATIONS)
async def test_each_situation_on_a_server(
    server_service: RedisSessionService, name: str, mode: str
) -> None:
    await try_out(server_service, name, mode)


async def try_out(service: RedisSessionService, name: str, mode: str) -> None:
    bench = AgentBench(service, is_async=mode == "async")
    await SITUATIONS[name](bench)
    ROWS[name] = (bench.stored, bench.saw[-1], bench.checkpoints)
    assert not service.dead_letters()


@pytest.mark.parametrize("mode", ["sync", "async"])
async def test_an_answer_that_a_summary_covers_comes_again(mode: str) -> None:
    summarizer = SessionSummarizer(ScriptedModel(), skip_recent=2)
    url = f"memory://agent-summary-{mode}"
    with RedisSessionService(url, summarizer=summarizer) as service:
        bench = AgentBench(service, is_async=mode == "async")
        said = AIMessage("b", id="b")
        bench.make(said, "d", said, options={"include_summary": True})
        await bench.run("a")
        await bench.run("c")
        await service.acreate_summary(bench.key(), force=True)
        await bench.run("e")
        assert bench.stored == ["a?", "b", "c?", "d", "e?", "b"]
        assert "b" not in bench.saw[-1]
