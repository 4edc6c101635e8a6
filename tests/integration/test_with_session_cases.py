"""`with_session` and `RunnableWithMessageHistory` in the same cases: what is stored by each.

`pytest -s` prints the table.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from langchain_core.runnables import ConfigurableFieldSpec, Runnable, RunnableLambda
from langchain_core.runnables.history import RunnableWithMessageHistory

from langchain_redis_session import (
    RedisSessionChatMessageHistory,
    RedisSessionService,
    SessionCallbackHandler,
    SessionKey,
    with_session,
)
from tests.integration.scripted import ScriptedModel
from tests.waits import PATIENCE_S, wait_until

pytestmark = [
    pytest.mark.filterwarnings("ignore:RunnableWithMessageHistory is deprecated"),
    pytest.mark.filterwarnings("ignore:.*Streaming with RunnableWithMessageHistory"),
]

FIELDS = [ConfigurableFieldSpec(id=name, annotation=str) for name in ("user_id", "session_id")]
CONFIG: Any = {"configurable": {"user_id": "ann", "session_id": "s1"}}
KEYS = {"input_messages_key": "question", "history_messages_key": "history"}
PROMPT = ChatPromptTemplate([MessagesPlaceholder("history"), ("human", "{question}")])


class Refusing(SessionCallbackHandler):
    """Refuses to write answers."""

    raise_error = True

    def on_append_event_start(self, context: Any) -> None:
        if context.event.message.type == "ai":
            raise ValueError("no room")


@dataclass
class Kit:
    """A case's tools, for one of the two."""

    is_original: bool
    callbacks: list[Any] = field(default_factory=list)
    model: ScriptedModel = field(default_factory=lambda: ScriptedModel(answer=reply))

    def __post_init__(self) -> None:
        url = f"memory://{uuid4().hex}"
        self.service = RedisSessionService(url, callbacks=self.callbacks)
        self.reader = RedisSessionService(url)

    def wrap(self, runnable: Any, **keys: Any) -> Runnable[Any, Any]:
        if not self.is_original:
            return with_session(runnable, self.service, **keys)
        chain = RunnableLambda(runnable) if callable(runnable) else runnable
        return RunnableWithMessageHistory(
            chain,
            lambda user_id, session_id: RedisSessionChatMessageHistory(
                session_id, user_id=user_id, service=self.service
            ),
            history_factory_config=FIELDS,
            **keys,
        )

    def stored(self) -> str:
        events = self.reader.get_events(SessionKey("default", "ann", "s1"))
        return show([event.message for event in events if event.message is not None]) + "".join(
            f" ({event.tag})" for event in events if event.tag
        )

    def run(self, runnable: Any, value: Any, **keys: Any) -> str:
        self.wrap(runnable, **keys).invoke(value, CONFIG)
        return self.stored()


def reply(messages: list[BaseMessage]) -> AIMessage:
    return AIMessage(f"to {messages[-1].text} of {len(messages)}")


def show(messages: list[BaseMessage]) -> str:
    return ", ".join(f"{message.type[0]}:{message.text.strip()}" for message in messages) or "-"


def say(output: Any) -> Any:
    return lambda _: output


def twice(kit: Kit, make: Callable[[str], Any], runnable: Any, **keys: Any) -> str:
    chain = kit.wrap(runnable, **keys)
    for text in ("one", "two"):
        chain.invoke(make(text), CONFIG)
    return kit.stored()


def fail(_: Any) -> Any:
    raise RuntimeError("overloaded")


def a_model_fails(kit: Kit) -> str:
    with pytest.raises(RuntimeError, match="overloaded"):
        kit.run(fail, "one")
    return kit.stored()


def break_after_a_word(_: Any) -> Iterator[AIMessageChunk]:
    yield AIMessageChunk(content="to ")
    yield AIMessageChunk(content="one")
    raise RuntimeError("connection lost")


def a_stream_breaks(kit: Kit) -> str:
    with pytest.raises(RuntimeError, match="connection lost"):
        list(kit.wrap(RunnableLambda(break_after_a_word)).stream("one", CONFIG))
    return kit.stored()


def a_stream_is_closed(kit: Kit) -> str:
    stream: Any = kit.wrap(kit.model).stream("one", CONFIG)
    next(stream)
    stream.close()
    return kit.stored()


def a_stream_ends(kit: Kit) -> str:
    list(kit.wrap(kit.model).stream("one", CONFIG))
    last = kit.reader.get_messages(SessionKey("default", "ann", "s1"))[-1]
    return f"{kit.stored()} as {type(last).__name__}"


def three_in_a_batch(kit: Kit) -> str:
    meeting = threading.Barrier(3)

    def meet(messages: list[BaseMessage]) -> AIMessage:
        meeting.wait(PATIENCE_S)
        if messages[-1].text != "one":  # so that the first has ended before the others do
            wait_until(lambda: any(m.type == "ai" for m in kit.reader.get_messages(KEY)))
        return AIMessage(f"to {messages[-1].text}")

    kit.wrap(meet).batch(["one", "two", "three"], CONFIG)
    kinds = [message.type for message in kit.reader.get_messages(KEY)]
    return f"questions {kinds.count('human')}, answers {kinds.count('ai')}"


KEY = SessionKey("default", "ann", "s1")


def somebody_writes_meanwhile(kit: Kit) -> str:
    def write(messages: list[BaseMessage]) -> AIMessage:
        kit.reader.append_messages(KEY, [HumanMessage("from afar")], create=True)
        return AIMessage("to one")

    return kit.run(write, "one")


def an_agent_gives_all_back(kit: Kit) -> str:
    def act(value: dict[str, Any]) -> dict[str, Any]:
        messages = value["messages"]
        return {"messages": [*messages, reply(messages)]}

    keys = {"input_messages_key": "messages", "output_messages_key": "messages"}
    return twice(kit, lambda text: {"messages": [HumanMessage(text)]}, act, **keys)


def an_answer_is_a_number(kit: Kit) -> str:
    return attempt(kit, lambda: kit.run(say(5), "one"))


def an_input_is_a_number(kit: Kit) -> str:
    return attempt(kit, lambda: kit.run(say("1"), 5))


def no_session_is_named(kit: Kit) -> str:
    return attempt(kit, lambda: kit.wrap(say("1")).invoke("one"))


def an_answer_can_not_be_stored(kit: Kit) -> str:
    kit.callbacks.append(Refusing())
    kit.__post_init__()
    return attempt(kit, lambda: kit.run(say("1"), "one"))


def attempt(kit: Kit, call: Callable[[], Any]) -> str:
    try:
        call()
    except Exception as error:
        kinds = [kind.__name__ for kind in type(error).__mro__ if kind.__module__ == "builtins"]
        named = next(
            (kind for kind in kinds if kind not in ("Exception", "BaseException", "object")),
            "our error",
        )
        return f"{named}; {kit.stored()}"
    return f"no error; {kit.stored()}"


MESSAGE, NAMED = HumanMessage("one"), HumanMessage("one", name="ann", id="q1")
ONE = "h:one, a:to one of 1"
BOTH = "h:one, a:to one of 1, h:two, a:to two of 3"

SAME: dict[str, tuple[Callable[[Kit], str], str]] = {
    "input: a string": (lambda k: twice(k, str, k.model), BOTH),
    "input: a message": (lambda k: twice(k, HumanMessage, k.model), BOTH),
    "input: a list": (lambda k: twice(k, lambda t: [HumanMessage(t)], k.model), BOTH),
    "input: a tuple": (lambda k: k.run(k.model, (MESSAGE,)), ONE),
    "input: a list in a list": (lambda k: k.run(k.model, [[MESSAGE]]), ONE),
    "input: two messages": (
        lambda k: k.run(k.model, [MESSAGE, AIMessage("so"), HumanMessage("two")]),
        "h:one, a:so, h:two, a:to two of 3",
    ),
    "input: an empty list": (lambda k: k.run(say("hello"), []), "a:hello"),
    "input: a dict with one key": (lambda k: k.run(k.model, {"any": "one"}), ONE),
    "input: a dict with input": (lambda k: k.run(k.model, {"input": "one", "more": 1}), ONE),
    "input: a key, a string": (
        lambda k: twice(k, lambda t: {"question": t}, PROMPT | k.model, **KEYS),
        BOTH,
    ),
    "input: a key, a message": (
        lambda k: k.run(
            PROMPT | k.model,
            {"question": [NAMED]},
            input_messages_key="question",
            history_messages_key="history",
        )[:6],
        "h:one,",
    ),
    "input: a key, without one for the history": (
        lambda k: twice(
            k,
            lambda t: {"question": t, "lang": "en"},
            RunnableLambda(lambda value: value["question"]) | k.model,
            input_messages_key="question",
        ),
        BOTH,
    ),
    "output: a string": (lambda k: k.run(say("hello"), "one"), "h:one, a:hello"),
    "output: a message": (lambda k: k.run(say(AIMessage("hello")), "one"), "h:one, a:hello"),
    "output: a list": (
        lambda k: k.run(say([AIMessage("hello"), AIMessage("Ann")]), "one"),
        "h:one, a:hello, a:Ann",
    ),
    "output: an empty list": (lambda k: k.run(say([]), "one"), "h:one"),
    "output: a dict with one key": (
        lambda k: k.run(say({"any": AIMessage("hello")}), "one"),
        "h:one, a:hello",
    ),
    "output: a dict with output": (
        lambda k: k.run(say({"output": "hello", "steps": 2}), "one"),
        "h:one, a:hello",
    ),
    "output: a key": (
        lambda k: k.run(
            say({"said": ["x"], "answer": "hello"}), "one", output_messages_key="answer"
        ),
        "h:one, a:hello",
    ),
}

DIFFERENT: dict[str, tuple[Callable[[Kit], str], str, str]] = {
    "the model fails": (a_model_fails, "-", "h:one"),
    "a stream breaks": (a_stream_breaks, "-", "h:one, a:to one (interrupted)"),
    "a stream is closed": (a_stream_is_closed, "-", "h:one, a:to (interrupted)"),
    "a stream ends": (a_stream_ends, f"{ONE} as AIMessage", f"{ONE} as AIMessage"),
    "three in a batch on one session": (
        three_in_a_batch,
        "questions 1, answers 3",
        "questions 3, answers 3",
    ),
    "somebody writes meanwhile": (
        somebody_writes_meanwhile,
        "h:from afar, a:to one",
        "h:one, h:from afar, a:to one",
    ),
    "an agent gives all messages back": (
        an_agent_gives_all_back,
        "h:one, h:one, a:to one of 1, h:two, h:one, h:one, a:to one of 1, h:two, a:to two of 4",
        BOTH,
    ),
    "an answer is a number": (an_answer_is_a_number, "no error; -", "TypeError; h:one"),
    "an input is a number": (an_input_is_a_number, "ValueError; -", "TypeError; -"),
    "no session is named": (no_session_is_named, "ValueError; -", "ValueError; -"),
    "an answer can't be stored": (
        an_answer_can_not_be_stored,
        "no error; -",
        "our error; h:one",
    ),
}


def test_what_both_do_the_same_and_what_not(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    cases = [(name, see, same, same) for name, (see, same) in SAME.items()]
    cases += [(name, *case) for name, case in DIFFERENT.items()]
    wrong = []
    print(f"\n| case | RunnableWithMessageHistory | with_session |\n|{' --- |' * 3}")
    for name, see, original, ours in cases:
        seen = [see(Kit(is_original=is_original)) for is_original in (True, False)]
        print(f"| {name} | {seen[0]} | {seen[1]} |")
        if seen != [original, ours]:
            wrong.append((name, seen, [original, ours]))
    assert not wrong, "\n".join(map(str, wrong))
