"""Windows for a model: valid for every provider, in the limits, never without the question."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage

from langchain_redis_session import ConfigurationError
from langchain_redis_session._actions.open_calls import OpenToolCalls, is_made_answer
from langchain_redis_session.adapters._windows import ModelWindow
from tests.conversations import calling, conversations, find_fault, result
from tests.unit.summaries import make_summary

HOWS: tuple[OpenToolCalls, ...] = ("answer", "drop")
SUMMARY = make_summary()


def say(*texts: str) -> list[BaseMessage]:
    """Messages by their first letters: h…, a…, s… are human, AI and system ones."""
    kinds: dict[str, Any] = {"h": HumanMessage, "a": AIMessage, "s": SystemMessage}
    return [kinds[text[0]](text) for text in texts]


def texts(messages: list[BaseMessage]) -> str:
    return " ".join(message.text or message.type for message in messages)


@pytest.fixture(autouse=True)
def _ignore_exceeded() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "the last user message")
        yield


@given(
    conversations(),
    st.none() | st.integers(1, 8),
    st.none() | st.integers(1, 60),
    st.booleans(),
    st.booleans(),
)
def test_every_window_is_valid_and_holds_the_question(
    messages: list[BaseMessage],
    max_messages: int | None,
    max_tokens: int | None,
    is_cut: bool,
    has_summary: bool,
) -> None:
    def count(some: list[BaseMessage]) -> int:
        return sum(5 + len(message.text) // 4 for message in some)

    for how in HOWS:
        window = ModelWindow(max_messages, max_tokens, count, open_tool_calls=how)
        summary = SUMMARY if has_summary else None
        given_ = window.make(messages, summary=summary, is_cut=is_cut)
        assert not find_fault(given_), given_
        humans = [message for message in messages if isinstance(message, HumanMessage)]
        if humans:
            assert humans[-1] in given_, "the question is gone"
        talk = [message for message in given_ if not isinstance(message, SystemMessage)]
        was_cut = is_cut or has_summary or max_messages or max_tokens
        if was_cut and humans and len(given_) < len(messages) and talk:
            kept_all = ModelWindow(open_tool_calls=how).make(messages)
            if talk != [m for m in kept_all if not isinstance(m, SystemMessage)]:
                assert isinstance(talk[0], HumanMessage), given_
        # Over a limit only with the running turn's least.
        counted = [message for message in given_ if not is_made_answer(message)]
        if max_messages is not None and len(counted) > max_messages:
            assert sum(isinstance(message, HumanMessage) for message in given_) <= 1


def test_a_window_begins_at_its_first_user_message_where_something_was_cut_off() -> None:
    talk = say("h1", "a1", "h2", "a2", "h3", "a3")
    assert texts(ModelWindow(5).make(talk)) == "h2 a2 h3 a3"
    assert texts(ModelWindow(5, start_on=None).make(talk)) == "a1 h2 a2 h3 a3"
    assert texts(ModelWindow(6).make(say("a0", *texts(talk).split()[1:]), is_cut=True)) == (
        "h2 a2 h3 a3"
    )


def test_nothing_is_dropped_where_nothing_was_cut_off() -> None:
    greeting = say("s1", "a0", "h1", "a1")
    for window in (ModelWindow(), ModelWindow(4), ModelWindow(max_tokens=10_000)):
        assert window.make(greeting) == greeting
    # Some providers refuse a system message behind others.
    assert texts(ModelWindow().make(say("a0", "s1", "h1"))) == "s1 a0 h1"


def test_system_messages_stay_in_front_and_count() -> None:
    talk = say("s1", "h1", "a1", "h2", "a2", "s2", "h3")
    assert texts(ModelWindow(4).make(talk)) == "s1 s2 h3"
    assert texts(ModelWindow(5).make(talk)) == "s1 s2 h2 a2 h3"


def test_beside_a_summary_there_is_one_system_message() -> None:
    first, *rest = ModelWindow().make(say("s1", "h1", "a1"), summary=SUMMARY)
    assert isinstance(first, SystemMessage)
    assert first.text.startswith("s1\n\nSummary of the conversation so far:")
    assert texts(rest) == "h1 a1"
    blocks = SystemMessage([{"type": "text", "text": "s1"}])
    first, *rest = ModelWindow().make([blocks, *say("h1")], summary=SUMMARY)
    assert [block["type"] for block in first.content] == ["text", "text"]  # type: ignore[index]


def test_a_running_turn_that_is_too_long_keeps_its_question_and_its_end() -> None:
    turn = [
        HumanMessage("h"),
        calling("c1", text="first"),
        result("c1"),
        calling("c2", "c3", text="second"),
        result("c2"),
        result("c3"),
    ]
    assert texts(ModelWindow(5).make([*say("h0", "a0"), *turn])) == "h second result result"
    # At least the last message, with its call and the other results of that.
    with pytest.warns(UserWarning, match="over max_messages"):
        assert texts(ModelWindow(1).make(turn)) == "h second result result"


def test_the_summary_gives_way_before_the_running_turn() -> None:
    assert texts(ModelWindow(2).make(say("h1", "a1"), summary=SUMMARY)) == "h1 a1"
    assert texts(ModelWindow(2).make(say("h0", "a0", "h1"), summary=SUMMARY)).endswith(" h1")


def test_a_question_over_max_tokens_is_given_with_a_warning() -> None:
    window = ModelWindow(max_tokens=1, token_counter=lambda messages: 10 * len(messages))
    with pytest.warns(UserWarning, match="is over max_messages or max_tokens"):
        assert texts(window.make(say("h1", "a1", "h2"))) == "h2"


def test_without_a_user_message_it_begins_at_what_is_no_tool_result() -> None:
    talk = [calling("c1", text="call"), result("c1"), *say("a1", "a2")]
    assert texts(ModelWindow(3).make(talk)) == "a1 a2"


def test_answers_made_for_open_calls_do_not_count() -> None:
    talk = [HumanMessage("h1"), calling("c1", "c2", text="call"), HumanMessage("h2")]
    window = ModelWindow(3).make([*say("h0"), *talk])
    assert [message.type for message in window] == ["human", "ai", "tool", "tool", "human"]


@pytest.mark.parametrize(
    "options",
    [
        {"max_messages": 0},
        {"max_tokens": True},
        {"start_on": "ai"},
        {"open_tool_calls": "leave"},
    ],
)
def test_options_that_cannot_work_are_refused_by_name(options: dict[str, Any]) -> None:
    (name,) = options
    with pytest.raises(ConfigurationError, match=name):
        ModelWindow(**options)
