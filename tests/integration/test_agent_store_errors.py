"""An agent whose Redis goes away, or refuses: no answer that was paid for is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

pytest.importorskip("langchain.agents.middleware")

import redis
from fakeredis import FakeAsyncRedis, FakeRedis, FakeServer
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage

from langchain_redis_session import (
    AppendEventContext,
    BackendUnavailableError,
    DeadLetter,
    Event,
    EventRejectedError,
    EventTooLargeError,
    PersistError,
    RedisSessionService,
    SessionCallbackHandler,
)
from langchain_redis_session._verbs import answers
from langchain_redis_session.models import list_messages
from tests.contract.intercept import AsyncInterceptor, Commands, Interceptor
from tests.integration.agent_bench import AgentBench, calling, make_sub_agent, say_all
from tests.integration.scripted import ScriptedModel, script
from tests.waits import PATIENCE_S, await_until

SUM: list[AIMessage | str] = [calling((1, 2)), "It is 3."]
SUM_STORED = ["1+2?", "add()", "= 3", "It is 3."]
STEPS = ["the read", "the question", "the call", "the result", "the answer"]
"""The requests of a turn with a tool."""

both_modes = pytest.mark.parametrize("mode", ["sync", "async"])


class Faults:
    """Lets requests fail: from the one of a number on, so many of them."""

    def __init__(self) -> None:
        self.heal()

    def heal(self) -> None:
        self.first, self.count, self.seen = 0, 0, 0

    def plan(self, first: int, count: int = 1) -> None:
        self.first, self.count, self.seen = first, count, 0

    def __call__(self, _: Commands) -> None:
        place, self.seen = self.seen, self.seen + 1
        if self.first <= place < self.first + self.count:
            raise redis.ConnectionError("away")


@asynccontextmanager
async def open_bench(mode: str, **options: Any) -> AsyncIterator[tuple[AgentBench, Faults]]:
    """Give an agent's bench on a store whose requests can be made to fail."""
    server, faults = FakeServer(), Faults()
    service = RedisSessionService(
        client=Interceptor(FakeRedis(server=server), before=faults),
        async_client=AsyncInterceptor(FakeAsyncRedis(server=server), before=faults),
        **options,
    )
    bench = AgentBench(service, is_async=mode == "async")
    bench.make("Hello.")
    await bench.run("hi")  # the session is there, and the scripts are loaded
    try:
        yield bench, faults
    finally:
        faults.heal()
        await service.aclose()


def messages_of(letter: DeadLetter) -> list[BaseMessage]:
    return list_messages([event for event in letter.events if isinstance(event, Event)])


@both_modes
@pytest.mark.parametrize("step", [0, 1], ids=STEPS[:2])
async def test_what_fails_before_the_model_has_answered_raises(mode: str, step: int) -> None:
    async with open_bench(mode) as (bench, faults):
        bench.make(*SUM)
        faults.plan(step)
        with pytest.raises(BackendUnavailableError):
            await bench.run("1+2")
        faults.heal()
        assert bench.saw == []
        assert bench.stored == ["hi?", "Hello."]
        assert bench.service.dead_letters() == []


@both_modes
@pytest.mark.parametrize("step", [2, 3, 4], ids=STEPS[2:])
async def test_what_fails_after_that_is_delivered_in_its_place(mode: str, step: int) -> None:
    told: list[DeadLetter] = []
    async with open_bench(mode, on_persist_error=told.append) as (bench, faults):
        bench.make(*SUM, "Bye.")
        faults.plan(step)
        await bench.run("1+2")
        assert [say_all(messages_of(letter)) for letter in told] == [[SUM_STORED[step - 1]]]
        assert len(bench.service.dead_letters()) == (step == 4)
        await bench.run("thanks")
        assert bench.stored == ["hi?", "Hello.", *SUM_STORED, "thanks?", "Bye."]
        assert bench.service.dead_letters() == []
        assert bench.service.flush()


@both_modes
async def test_redis_is_away_for_the_rest_of_a_run(mode: str) -> None:
    async with open_bench(mode) as (bench, faults):
        bench.make(*SUM, "Bye.")
        faults.plan(2, count=1000)
        result = await bench.run("1+2")
        assert result["messages"][-1].text == "It is 3."
        with pytest.raises(BackendUnavailableError):
            await bench.run("thanks")
        letters = bench.service.dead_letters()
        types = [message.type for letter in letters for message in messages_of(letter)]
        assert types == ["ai", "tool", "ai"]
        assert not bench.service.flush()
        faults.heal()
        await bench.run("thanks")
        assert bench.stored == ["hi?", "Hello.", *SUM_STORED, "thanks?", "Bye."]


@both_modes
@pytest.mark.parametrize("step", [1, 2, 3], ids=STEPS[2:])
async def test_what_a_sub_agent_said_is_delivered_in_its_place(mode: str, step: int) -> None:
    told: list[DeadLetter] = []
    async with open_bench(mode, on_persist_error=told.append) as (bench, faults):
        bench.service.append_track_event(bench.key(), "other", "")  # the script is loaded
        model = ScriptedModel(answer=script([calling((1, 2)), AIMessage("Found.")]))
        research = make_sub_agent(bench, model, None)
        bench.make(calling((1, 2), name="research"), "Done.", tools=[research])
        faults.plan(4 + step)  # a track is made by two requests
        await bench.run("go")
        assert len(told) == 1
        assert bench.stored == ["hi?", "Hello.", "go?", "research()", "= Found.", "Done."]
        track = bench.service.get_track_events(bench.key(), "agent")
        assert [event.payload["type"] for event in track] == ["human", "ai", "tool", "ai"]
        assert bench.service.dead_letters() == []


@both_modes
async def test_dead_letters_are_tried_again_by_hand(mode: str) -> None:
    async with open_bench(mode) as (bench, faults):
        bench.make(*SUM)
        faults.plan(2, count=1000)
        await bench.run("1+2")
        service = bench.service
        with pytest.raises(BackendUnavailableError):
            await retry(bench)
        assert len(service.dead_letters()) == 3
        faults.heal()
        assert await retry(bench) == 3
        assert await retry(bench) == 0
        assert service.flush()
        assert bench.stored == ["hi?", "Hello.", *SUM_STORED]


async def retry(bench: AgentBench) -> int:
    if bench.is_async:
        return await bench.service.aretry_dead_letters()
    return bench.service.retry_dead_letters()


@both_modes
async def test_a_letter_of_a_deleted_session_is_dropped(mode: str) -> None:
    async with open_bench(mode) as (bench, faults):
        bench.make("Lost.", "Bye.")
        faults.plan(2, count=1000)
        await bench.run("go")
        faults.heal()
        bench.service.delete_session(bench.key())
        await bench.run("again")
        assert bench.stored == ["again?", "Bye."]
        assert bench.service.dead_letters() == []


@both_modes
async def test_an_agent_that_wants_errors_has_them_raised(mode: str) -> None:
    async with open_bench(mode) as (bench, faults):
        bench.make(*SUM, options={"on_store_error": "raise"})
        faults.plan(2)
        with pytest.raises(BackendUnavailableError):
            await bench.run("1+2")
        assert bench.service.dead_letters() == []
        assert bench.stored == ["hi?", "Hello.", "1+2?"]


async def test_a_hundred_letters_are_kept_and_the_next_raises() -> None:
    async with open_bench("sync") as (bench, faults):
        bench.make(*["a"] * 101)
        for number in range(101):
            bench.session_id = f"s{number}"
            faults.plan(3, count=1000)  # a new session is read twice
            if number < 100:
                await bench.run("q")
            else:
                with pytest.raises(BackendUnavailableError):
                    await bench.run("q")
            faults.heal()
        assert len(bench.service.dead_letters()) == 100


@both_modes
async def test_an_answer_that_is_too_large_is_a_letter_that_blocks_nothing(mode: str) -> None:
    async with open_bench(mode, max_event_bytes=2000) as (bench, _):
        bench.make("x" * 3000, "Bye.")
        await bench.run("go")
        (letter,) = bench.service.dead_letters()
        assert isinstance(letter.error, EventTooLargeError)
        assert await retry(bench) == 0
        await bench.run("on")
        assert bench.stored == ["hi?", "Hello.", "go?", "on?", "Bye."]
        assert len(bench.service.dead_letters()) == 1


class Guard(SessionCallbackHandler):
    """Refuses some messages, changes others, and notes what was given up."""

    run_inline = True

    def __init__(self) -> None:
        self.given_up: list[DeadLetter] = []

    def on_append_event_start(self, context: AppendEventContext) -> None:
        message = context.event.message
        assert message is not None
        if "secret" in message.text:
            raise ValueError("no secrets")
        if message.text == "My PIN is 4711.":
            message.content = "My PIN is ****."

    def on_persist_error(self, letter: DeadLetter) -> None:
        self.given_up.append(letter)


@both_modes
async def test_what_a_hook_refuses_is_no_letter(mode: str) -> None:
    async with open_bench(mode, callbacks=[Guard()]) as (bench, _):
        bench.make("the secret", "Bye.")
        await bench.run("go")
        with pytest.raises(EventRejectedError):
            await bench.run("secret")
        assert bench.stored == ["hi?", "Hello.", "go?"]
        assert bench.service.dead_letters() == []
        bench.make("the secret", options={"on_store_error": "raise"})
        with pytest.raises(EventRejectedError):
            await bench.run("go")


@both_modes
async def test_what_a_hook_refused_once_ends_no_later_run(mode: str) -> None:
    async with open_bench(mode, callbacks=[Guard()]) as (bench, _):
        bench.make("the secret", "Fine.", saves=True)  # whose state has the refused answer
        await bench.run("go")
        await bench.run("on")
        assert bench.stored == ["hi?", "Hello.", "go?", "on?", "Fine."]
        with pytest.raises(EventRejectedError):
            await bench.run("secret")
        bench.make("the secret", saves=True, options={"on_store_error": "raise"})
        with pytest.raises(EventRejectedError):
            await bench.run([AIMessage("the secret"), HumanMessage("a")])


@both_modes
async def test_a_letter_holds_what_a_hook_has_made_of_it(mode: str) -> None:
    guard = Guard()
    async with open_bench(mode, callbacks=[guard]) as (bench, faults):
        bench.make("My PIN is 4711.", "My PIN is 4711.", "Bye.")
        faults.plan(2, count=1000)
        await bench.run("go")
        assert len(guard.given_up) == 1
        faults.heal()
        await bench.run("on")
        assert bench.stored[3:] == ["My PIN is ****.", "on?", "My PIN is ****."]


@both_modes
async def test_with_write_behind_an_answer_waits_in_its_queue(mode: str) -> None:
    async with open_bench(mode, enable_async_persist=True) as (bench, faults):
        bench.make(*SUM, "Bye.")
        assert bench.service.flush(PATIENCE_S)
        faults.plan(1, count=6)  # after the read; some are tries
        await bench.run("1+2")
        await bench.run("thanks")
        assert bench.service.flush(PATIENCE_S)
        assert bench.stored == ["hi?", "Hello.", *SUM_STORED, "thanks?", "Bye."]


@both_modes
async def test_an_answer_that_a_full_queue_refuses_is_a_letter(
    mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_bench(mode, enable_async_persist=True) as (bench, _):
        bench.make("One.", "Two.")
        assert bench.service.flush(PATIENCE_S)
        engine: Any = vars(bench.service)["_write_behind"]
        accept: Callable[..., bool] = vars(type(engine))["_accept"].__get__(engine)

        def refuse(worker: Any, job: Any) -> bool:
            if isinstance(job.write.events[0].message, AIMessage):
                raise PersistError("full")
            return accept(worker, job)

        monkeypatch.setattr(engine, "_accept", refuse)
        await bench.run("a")
        assert len(bench.service.dead_letters()) == 1
        monkeypatch.undo()
        await bench.run("b")
        assert bench.service.flush(PATIENCE_S)
        assert bench.stored == ["hi?", "Hello.", "a?", "One.", "b?", "Two."]


async def test_an_answer_is_stored_to_the_end_where_the_run_is_cancelled_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with open_bench("async") as (bench, _):
        started, goes_on = asyncio.Event(), asyncio.Event()
        append = answers.aappend_messages

        async def slow(*arguments: Any, **options: Any) -> Any:
            if options["keeps"]:
                started.set()
                await asyncio.wait_for(goes_on.wait(), PATIENCE_S)
            return await append(*arguments, **options)

        monkeypatch.setattr(answers, "aappend_messages", slow)
        bench.make("The answer.")
        run = asyncio.create_task(bench.run("go"))
        await asyncio.wait_for(started.wait(), PATIENCE_S)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        goes_on.set()
        await await_until(lambda: bench.stored[-1] == "The answer.")
        assert [event.tag for event in bench.service.get_events(bench.key())][-1] == ""


async def test_changed_state_is_not_lost_with_a_question_that_fails() -> None:
    async with open_bench("sync") as (bench, faults):
        bench.make("Hello.")
        faults.plan(1)
        with pytest.raises(BackendUnavailableError):
            await bench.run([HumanMessage("q", id="q1")])
        faults.heal()
        await bench.run([HumanMessage("q", id="q1")])
        assert bench.stored[2:] == ["q?", "Hello."]
