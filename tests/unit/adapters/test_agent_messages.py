"""An agent's messages: their ids, and which of them a session has already."""

from __future__ import annotations

import pytest
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
)

from langchain_redis_session.adapters._ids import name_anew
from langchain_redis_session.adapters._middleware.messages import (
    find_aliases,
    find_ids,
    find_question,
    is_stored,
    is_summary,
    make_result_id,
    name_all,
)

SUMMARY = HumanMessage("Here is a summary of the conversation to date:\n\nTea.")


@pytest.mark.parametrize(
    ("message", "stored"),
    [
        (HumanMessage("hi"), True),
        (AIMessage("hi"), True),
        (ToolMessage("3", tool_call_id="c1"), True),
        (ChatMessage(content="hi", role="user"), True),
        (SystemMessage("hi"), False),
        (RemoveMessage(id="m1"), False),
        (SUMMARY, False),
        (HumanMessage("Tea.", additional_kwargs={"lc_source": "summarization"}), False),
    ],
)
def test_what_was_said_is_stored_and_no_middleware_s_summary(
    message: BaseMessage, stored: bool
) -> None:
    assert is_stored(message) is stored


def test_the_question_is_the_last_user_message_that_is_no_summary() -> None:
    assert is_summary(SUMMARY)
    first, last = HumanMessage("a"), HumanMessage("b")
    assert find_question([first, AIMessage("x"), last, SUMMARY, AIMessage("y")]) is last
    assert find_question([AIMessage("x"), SUMMARY]) == AIMessage("x")
    assert find_question([]) is None


def call(answer_id: str) -> AIMessage:
    tool_call = {"name": "add", "args": {}, "id": "c1"}
    return AIMessage("", id=answer_id, tool_calls=[tool_call])


def test_a_result_s_id_is_made_of_its_call_and_of_the_answer_that_it_is_in() -> None:
    result = ToolMessage("3", tool_call_id="c1")
    ids = {make_result_id(result, [call(answer_id)]) for answer_id in ("a1", "a2")}
    assert len(ids) == 2
    assert make_result_id(result, [call("a1"), HumanMessage("x")]) in ids
    assert make_result_id(result, []) == make_result_id(result, [HumanMessage("x")])
    (named,) = name_all([result], before=[call("a1")])
    assert named.id in ids
    assert result.id is None
    _, named = name_all([call("a1"), result])
    assert named.id in ids
    kept = ToolMessage("3", tool_call_id="c1", id="own")
    assert name_all([kept]) == [kept]


def test_a_result_that_was_made_anew_is_known_by_its_call() -> None:
    made = make_result_id(ToolMessage("3", tool_call_id="c1"), [call("a1")])
    other = ToolMessage("[hidden]", tool_call_id="c1", id="other")
    assert find_ids([call("a1"), other], {"a1", made}, {}) == ["a1", made]
    assert find_ids([call("a1"), other], {"a1"}, {}) == ["a1", "other"]
    assert find_ids([HumanMessage("x", id="new")], set(), {"new": "old"}) == ["old"]


def test_an_answer_with_an_older_one_s_id_gets_its_own() -> None:
    old, fresh = AIMessage("x", id="a1"), AIMessage("y", id="a2")
    renamed, same = name_anew([old, fresh], {"a1"})
    assert renamed.id not in (None, "a1")
    assert same is fresh


def talk(*texts: str, prefix: str = "new") -> list[BaseMessage]:
    kinds = {"h": HumanMessage, "a": AIMessage, "s": SystemMessage}
    return [kinds[text[0]](text, id=f"{prefix}-{text}") for text in texts]


STORED = talk("h1", "a1", "h2", "a2", prefix="old")


@pytest.mark.parametrize(
    ("sent", "aliases"),
    [
        ("h1 a1 h2 a2 h3", "h1 a1 h2 a2"),  # everything
        ("s h1 a1 h2 a2 h3", "h1 a1 h2 a2"),  # behind a system message
        ("h2 a2 h3", "h2 a2"),  # the end
        ("h1 a1 h2 a2", "h1 a1 h2 a2"),  # the same once more
        ("h2", ""),  # a user may say the same thing twice
        ("h3", ""),
        ("h1 a1 h3", ""),  # another line
    ],
)
def test_what_a_client_sends_once_more_is_known_by_what_it_says(sent: str, aliases: str) -> None:
    found = find_aliases(talk(*sent.split()), STORED, {m.id or "" for m in STORED})
    assert found == {f"new-{text}": f"old-{text}" for text in aliases.split()}


def test_where_only_the_end_was_read_what_is_older_is_known_too() -> None:
    read = STORED[2:]
    found = find_aliases(talk("h1", "a1", "h2", "a2", "h3"), read, {m.id or "" for m in read})
    assert found.keys() == {"new-h1", "new-a1", "new-h2", "new-a2"}


def test_ids_that_are_known_need_no_looking_at_what_is_said() -> None:
    sent = [*STORED, HumanMessage("h3")]
    assert find_aliases(sent, STORED, {m.id or "" for m in STORED}) == {}
