"""What a middleware keeps of a run while other calls go on, or it is cut off."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("langchain.agents.middleware")

from langchain_core.messages import HumanMessage, ToolMessage

from langchain_redis_session import RedisSessionMiddleware, RedisSessionService, SessionKey
from langchain_redis_session._flow.drivers import run
from langchain_redis_session.adapters._middleware.places import Place
from langchain_redis_session.adapters._middleware.state_view import SessionState
from langchain_redis_session.adapters._middleware.talk import Talk
from langchain_redis_session.adapters._middleware.turns import Turn

KEY = SessionKey("talk", "u", "s")
QUESTION = HumanMessage("What now?", id="q")


@pytest.fixture
def talk() -> Talk:
    middleware = RedisSessionMiddleware(RedisSessionService("memory://unit-talk"))
    return middleware._talk  # noqa: SLF001


def test_results_of_other_calls_come_while_one_is_stored(talk: Talk) -> None:
    class Busy(dict[str, str]):
        """Another thread's call ends whenever it is asked."""

        def get(self, name: str, *default: Any) -> Any:
            turn.known.add(f"{len(turn.known)}")
            return super().get(name, *default)

    turn = Turn(Place(KEY), "q", known={"q", "a"}, is_read=True)
    turn.own = Busy()
    result = ToolMessage("4", tool_call_id="c1")
    (named,) = run(talk.store_results(turn, [QUESTION], [result], "c1"), None)
    assert named.id in turn.known


def test_changes_of_state_wait_where_an_append_is_cut_off(talk: Talk) -> None:
    turn = Turn(Place(KEY), "q", state=SessionState({}), is_read=True)
    turn.state["cart"] = ["tea"]
    flow = talk.store_new(turn, [QUESTION])
    next(flow)
    with pytest.raises(KeyboardInterrupt):
        flow.throw(KeyboardInterrupt())
    assert turn.state.take_changes() == {"cart": ["tea"]}
