"""What is said of what is no message."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage

from langchain_redis_session import (
    ConfigurationError,
    RedisSessionMemory,
    UnserializableMessageError,
    with_session,
)
from tests.integration.mistakes import (
    IDS,
    KEY,
    SERVICE,
    Do,
    each,
    fail,
    list_async,
    make_chain,
    make_history,
    run,
    table,
    tell,
)

FORMS = (
    "give a message, a dict with role and content, a tuple (role, content), or a string for a "
    "user's message"
)
ROLES = "roles are user, assistant, system, tool"
STORING: dict[str, Callable[[Any], Any]] = {
    "append_messages": lambda value: SERVICE.append_messages(KEY, value),
    "aappend_messages": lambda value: SERVICE.aappend_messages(KEY, value),
    "add_messages": lambda value: make_history().add_messages(value),
    "aadd_messages": lambda value: make_history().aadd_messages(value),
}
CHAINS: dict[str, Callable[[Any], Any]] = {
    "invoke": lambda value: make_chain().invoke(value, IDS),
    "ainvoke": lambda value: make_chain().ainvoke(value, IDS),
    "stream": lambda value: list(make_chain().stream(value, IDS)),
    "astream": lambda value: list_async(make_chain().astream(value, IDS)),
}
ONE = {"add_message": lambda value: make_history().add_message(value)}


def no_message(value: str) -> tuple[type[Exception], str]:
    return UnserializableMessageError, f"messages[0]: {value} is not a message; {FORMS}; {ROLES}"


@table(
    *each(STORING, "dict", {"text": "hi"}, *no_message("{'text': 'hi'}")),
    *each(ONE, "dict", {"text": "hi"}, *no_message("{'text': 'hi'}")),
    *each({**STORING, **CHAINS}, "dicts", [{"rol": "user"}], *no_message("{'rol': 'user'}")),
    *each({**STORING, **CHAINS}, "tuples", [("hi",)], *no_message("('hi',)")),
    *each({**STORING, **CHAINS}, "None", [None], *no_message("None")),
    *each({**STORING, **CHAINS}, "classes", [set()], *no_message("set()")),
    *each(ONE, "number", 5, *no_message("5")),
    *each(
        {**STORING, **CHAINS},
        "role",
        [{"role": "usr", "content": "hi"}],
        *no_message("{'role': 'usr', 'content': 'hi'}"),
    ),
    *each(
        STORING,
        "number",
        5,
        ConfigurationError,
        f"messages must be a list of messages, not 5; for each, {FORMS}",
    ),
    *each(
        CHAINS,
        "number",
        5,
        UnserializableMessageError,
        "the input must be a string, a message, a list of messages, or a dict with one of them, "
        "not 5",
    ),
    *each(
        CHAINS,
        "message that is a dict",
        {"role": "user", "content": "hi"},
        UnserializableMessageError,
        "the input is a dict, but names no 'input': {'role': 'user', 'content': 'hi'}; a message "
        "that is a dict goes into a list",
    ),
    *each(
        {
            "append_event": lambda value: SERVICE.append_event(KEY, value),
            "aappend_event": lambda value: SERVICE.aappend_event(KEY, value),
        },
        "no event",
        "hi",
        ConfigurationError,
        "event must be an Event, not 'hi'; append_messages takes messages",
    ),
    *each(
        {
            "append_events": lambda value: SERVICE.append_events(KEY, value),
            "aappend_events": lambda value: SERVICE.aappend_events(KEY, value),
        },
        "no events",
        ["hi"],
        ConfigurationError,
        "events[0] must be an Event, not 'hi'; append_messages takes messages",
    ),
    (
        "what the chain gives",
        lambda: with_session(lambda _: 5, SERVICE, app_name="other").invoke("hi", IDS),
        UnserializableMessageError,
        "the output must be a string, a message, a list of messages, or a dict with one of them, "
        "not 5",
    ),
    (
        "what a classic chain was asked",
        lambda: RedisSessionMemory(SERVICE, "s1").save_context({"input": 5}, {"output": "hi"}),
        UnserializableMessageError,
        "the input must be a text, a list of content blocks, or a message, not 5",
    ),
    (
        "two inputs of a classic chain",
        lambda: RedisSessionMemory(SERVICE, "s1").save_context({"a": "x", "b": "y"}, {"o": "z"}),
        ConfigurationError,
        "input_key= must name what of the inputs is the message: there are ['a', 'b'], and "
        "input_key=None",
    ),
)
def test_an_error_says_what_is_no_message(do: Do, kind: type[Exception], text: str) -> None:
    assert tell(fail(do, kind)) == text


@pytest.mark.parametrize("way", STORING)
@pytest.mark.parametrize(
    "given",
    [
        HumanMessage("hi"),
        ("user", "hi"),
        {"role": "user", "content": "hi"},
        "hi",
        (message for message in [HumanMessage("hi")]),
    ],
    ids=["message", "tuple", "dict", "string", "generator"],
)
def test_one_message_where_a_list_belongs_is_one(way: str, given: Any) -> None:
    if inspect.isgenerator(given):
        given = (message for message in [HumanMessage("hi")])  # each test reads its own
    SERVICE.create_session(*KEY.scope)
    before = len(SERVICE.get_messages(KEY))
    run(lambda: STORING[way](given))
    try:
        stored = SERVICE.get_messages(KEY)[before:]
        assert [(message.type, message.content) for message in stored] == [("human", "hi")]
    finally:
        SERVICE.clear_events(KEY)


@pytest.mark.parametrize("given", [("ai", "hi"), {"role": "ai", "content": "hi"}, AIMessage("hi")])
def test_a_history_adds_one_message_in_any_form(given: Any) -> None:
    history = make_history()
    history.add_message(given)
    try:
        assert [(message.type, message.content) for message in history.messages] == [("ai", "hi")]
    finally:
        history.clear()


def test_a_tuple_of_two_texts_is_two_messages() -> None:
    SERVICE.append_messages(KEY, ("hi", "are you there?"), create=True)
    assert [message.content for message in SERVICE.get_messages(KEY)] == ["hi", "are you there?"]
    SERVICE.clear_events(KEY)
