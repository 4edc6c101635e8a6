"""Taking messages out of events, so that models accept them."""

from __future__ import annotations

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from langchain_redis_session import Event, RedisSessionService
from langchain_redis_session.models import list_messages, select_messages

HUMAN, AI = HumanMessage("q"), AIMessage("a")
CALL = AIMessage("", tool_calls=[{"name": "f", "args": {}, "id": "c1"}])
RESULT = ToolMessage("r", tool_call_id="c1")


@pytest.mark.parametrize(
    ("messages", "kept"),
    [
        ([], []),
        ([RESULT], []),
        ([RESULT, RESULT, AI], [AI]),
        ([HUMAN, RESULT, RESULT, AI], [HUMAN, AI]),
        ([HUMAN, CALL, RESULT, AI], [HUMAN, CALL, RESULT, AI]),
        ([CALL, RESULT, AI], [CALL, RESULT, AI]),
    ],
)
def test_results_whose_call_was_cut_off_are_dropped(
    messages: list[BaseMessage], kept: list[BaseMessage]
) -> None:
    events = [Event(), *map(Event, messages)]
    assert select_messages(events, is_cut=True) == kept
    assert list_messages(events) == messages


@pytest.mark.parametrize("limit", [1, 2, 3, 4, None])
def test_a_user_message_in_front_does_not_bring_back_an_orphan(limit: int | None) -> None:
    service = RedisSessionService(f"memory://models-{limit}")
    key = service.create_session("app", "user").key
    service.append_messages(key, [HUMAN, CALL, RESULT, AI])
    expected = {1: [HUMAN, AI], 2: [HUMAN, AI]}.get(limit or 0, [HUMAN, CALL, RESULT, AI])
    assert service.get_messages(key, limit=limit, start_on="human") == expected
    session = service.get_session(key, limit=limit, start_on="human")
    assert session is not None
    assert session.messages == expected
    assert session.is_cut == (limit in (1, 2))
