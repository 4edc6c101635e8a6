"""What models refuse in a conversation, put right: calls without results, results out of place."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
from hypothesis import example, given
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from langchain_redis_session._actions.open_calls import (
    OpenToolCalls,
    close_calls,
    is_made_answer,
    warn_of_open_calls,
)
from tests.conversations import calling, conversations, find_fault, result

HOWS: tuple[OpenToolCalls, ...] = ("answer", "drop")
HI, AGAIN = HumanMessage("hi"), HumanMessage("again")


@given(conversations())
@example([calling("c1"), result("c1"), result("c1"), HI])
@example([calling("c1"), HI, calling("c1"), result("c1"), HI])
@example([calling(None, "c1", invalid=[None]), HI])
@example([calling("c1", "c1", invalid=["c1"]), result("c1"), HI])
def test_whatever_was_said_no_provider_finds_a_fault(messages: list[BaseMessage]) -> None:
    for how in HOWS:
        closed = close_calls(messages, how)
        assert not find_fault([m for m in closed if m.type != "system"]), closed
        # Put right, it stays so.
        assert close_calls(closed, how) == closed
        # Nothing else is lost: what is neither a result nor calls comes back as it was.
        said = [m for m in messages if isinstance(m, HumanMessage) or m.type == "system"]
        assert [m for m in closed if isinstance(m, HumanMessage) or m.type == "system"] == said


@given(conversations())
def test_keep_changes_nothing(messages: list[BaseMessage]) -> None:
    assert close_calls(messages, "keep") == messages


def test_an_open_call_is_answered_with_an_error_directly_behind_it() -> None:
    ask = calling("c1", "c2", text="I'll look.")
    closed = close_calls([HI, ask, result("c2"), AGAIN], "answer")
    assert closed[1] is ask
    assert [m.type for m in closed] == ["human", "ai", "tool", "tool", "human"]
    made = closed[3]
    assert isinstance(made, ToolMessage)
    assert (made.tool_call_id, made.status, made.name) == ("c1", "error", "tool")
    assert "no result" in made.text
    assert is_made_answer(made)
    assert not is_made_answer(closed[2])
    # The same call gets the same answer: prompts stay equal from turn to turn.
    assert made == close_calls([HI, ask, result("c2"), AGAIN], "answer")[3]


def test_an_invalid_call_is_answered_like_any() -> None:
    closed = close_calls([calling(invalid=["c1"]), HI], "answer")
    assert [m.type for m in closed] == ["ai", "tool", "human"]


@pytest.mark.parametrize("how", HOWS)
def test_calls_of_the_last_assistant_message_may_still_be_running(how: OpenToolCalls) -> None:
    for messages in ([HI, calling("c1")], [HI, calling("c1", "c2"), result("c1")]):
        assert close_calls(messages, how) == messages


@pytest.mark.parametrize("how", HOWS)
def test_a_late_result_is_moved_up_to_its_call(how: OpenToolCalls) -> None:
    ask, late = calling("c1"), result("c1")
    assert close_calls([ask, HI, late], how) == [ask, late, HI]


def test_drop_takes_open_calls_out_of_every_place_that_names_them() -> None:
    ask = AIMessage(
        [
            {"type": "text", "text": "Let me see."},
            {"type": "tool_use", "id": "c1", "name": "a", "input": {}},
            {"type": "tool_use", "id": "c2", "name": "b", "input": {}},
        ],
        tool_calls=[
            {"name": "a", "args": {}, "id": "c1"},
            {"name": "b", "args": {}, "id": "c2"},
        ],
        additional_kwargs={"tool_calls": [{"id": "c1"}, {"id": "c2"}]},
    )
    kept, *_ = close_calls([ask, result("c2"), HI], "drop")
    assert isinstance(kept, AIMessage)
    assert [call["id"] for call in kept.tool_calls] == ["c2"]
    assert [block.get("id") for block in kept.content] == [None, "c2"]  # type: ignore[union-attr]
    assert kept.additional_kwargs == {"tool_calls": [{"id": "c2"}]}
    assert len(ask.tool_calls) == 2, "the message itself is left alone"


def test_drop_removes_a_message_of_which_nothing_is_left() -> None:
    assert close_calls([HI, calling("c1"), AGAIN], "drop") == [HI, AGAIN]


@pytest.mark.parametrize("thought", ["thinking", "reasoning", "redacted_thinking"])
def test_drop_leaves_no_message_of_thoughts_and_white_space_alone(thought: str) -> None:
    ask = calling("c1")
    ask.content = [{"type": thought}, {"type": "text", "text": " "}]
    assert close_calls([HI, ask, AGAIN], "drop") == [HI, AGAIN]


def test_of_two_calls_with_one_id_the_first_stays_wherever_they_are_named() -> None:
    ask = calling("c1", "c1")
    ask.content = [{"type": "tool_use", "id": "c1", "name": name, "input": {}} for name in "ab"]
    kept, *_ = close_calls([ask, result("c1")], "answer")
    assert isinstance(kept, AIMessage)
    assert len(kept.tool_calls) == 1
    assert [block["name"] for block in kept.content] == ["a"]  # type: ignore[index]


def test_open_calls_are_warned_of_by_the_option_s_name() -> None:
    with pytest.warns(UserWarning, match='open_tool_calls="answer"') as caught:
        warn_of_open_calls([calling("c1"), HI], stacklevel=1)
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_open_calls([HI, calling("c1"), result("c1")], stacklevel=1)
        warn_of_open_calls([HI, calling("c1")], stacklevel=1)


def test_the_last_calls_are_open_once_something_is_to_follow() -> None:
    talk = [HumanMessage("q"), calling("c1", "c2"), result("c1")]
    question, late = HumanMessage("well?"), result("c2")

    def types(how: Any, *following: BaseMessage) -> list[str]:
        return [message.type for message in close_calls(talk, how, following)]

    assert types("answer") == ["human", "ai", "tool"]
    assert types("answer", question) == ["human", "ai", "tool", "tool"]
    assert types("keep", question) == ["human", "ai", "tool"]
    dropped = close_calls(talk, "drop", [question])[1]
    assert isinstance(dropped, AIMessage)
    assert [call["id"] for call in dropped.tool_calls] == ["c1"]
    # Their results are what follows.
    assert types("answer", late) == types("answer", late, question) == ["human", "ai", "tool"]
    assert types("answer", result("c9"), question) == ["human", "ai", "tool", "tool"]
    # The same id in an earlier call, which stays open.
    again = [HumanMessage("q"), calling("c2"), HumanMessage("q"), calling("c2")]
    assert [m.type for m in close_calls(again, "answer", [late])] == (
        ["human", "ai", "tool", "human", "ai"]
    )
