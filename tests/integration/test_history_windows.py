"""Histories that give a part of the session: stable windows, answers that were cut off."""

from __future__ import annotations

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage

from langchain_redis_session import RedisSessionChatMessageHistory
from tests.integration.conftest import MakeHistory

both_modes = pytest.mark.parametrize("mode", ["sync", "async"])


async def read(history: RedisSessionChatMessageHistory, mode: str) -> list[BaseMessage]:
    return history.messages if mode == "sync" else await history.aget_messages()


@both_modes
async def test_a_stable_window_keeps_its_beginning(make_history: MakeHistory, mode: str) -> None:
    options = {"max_messages": 6, "stable_window": True}
    assert await read(make_history(**options), mode) == []
    firsts = []
    for number in range(7):
        history = make_history(**options)
        history.add_messages([HumanMessage(f"q{number}"), AIMessage(f"a{number}")])
        firsts.append((await read(history, mode))[0].text)
    assert firsts == ["q0", "q0", "q0", "q3", "q3", "q3", "q6"]
    session = make_history().service.get_session(make_history().session_key)
    assert session is not None
    assert session.state == {}


@both_modes
async def test_an_interrupted_answer_is_in_a_window_only_if_asked_for(
    make_history: MakeHistory, mode: str
) -> None:
    history = make_history()
    history.add_messages([HumanMessage("q1"), AIMessage("a1"), HumanMessage("q2")])
    service, key = history.service, history.session_key
    service.append_messages(key, [AIMessage("cut")], tag="x;interrupted")
    service.append_messages(key, [AIMessage("a2")], tag="interrupted by nobody")
    for options in ({"max_messages": 3}, {"include_summary": True, "max_messages": 3}):
        texts = [m.text for m in await read(make_history(**options), mode)]
        assert texts == ["q2", "a2"]
        with_it = make_history(**options, include_interrupted=True)
        assert [m.text for m in await read(with_it, mode)] == ["q2", "cut", "a2"]
    assert [m.text for m in history.messages] == ["q1", "a1", "q2", "cut", "a2"]
