"""The newest messages are read the short way; it gives what the whole way does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from langchain_redis_session import Event, RedisSessionChatMessageHistory, SessionKey
from langchain_redis_session._operations import stretch
from tests.contract.backends import Backend, RedisProbe, Verbs
from tests.contract.intercept import intercept
from tests.contract.narrow import one_server
from tests.contract.store import NOON, tag_of

CALL = {"name": "f", "args": {}, "id": "c1"}
USUAL: list[BaseMessage] = [
    SystemMessage("be kind"),
    HumanMessage("a"),
    AIMessage("", tool_calls=[CALL]),
    ToolMessage("1", tool_call_id="c1"),
    AIMessage("b"),
    HumanMessage("c"),
    ToolMessage("late", tool_call_id="c1"),
    AIMessage("d"),
]
ODD: dict[str, Event] = {
    "state": Event(state_delta={"k": 1}),
    "labelled": Event(AIMessage("cut off"), tag="interrupted"),
    "extra": Event(AIMessage("x", extra_thing=1)),
}


def show(messages: list[BaseMessage]) -> list[str]:
    return [f"{message.type}: {message.text}" for message in messages]


@pytest.fixture
def general_way_only(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    return lambda: monkeypatch.setattr(stretch, "read_messages", lambda _entries: None)


@pytest.mark.parametrize("refresh", [False, True], ids=["", "refresh"])
@pytest.mark.parametrize("odd", ["", "corrupt", *ODD])
@one_server
async def test_both_ways_give_the_same_messages(
    make_verbs: Callable[..., Verbs],
    redis_probe: RedisProbe,
    backend: Backend,
    general_way_only: Callable[[], None],
    odd: str,
    refresh: bool,
) -> None:
    verbs = make_verbs(session_event_limit=None, refresh_ttl_on_read=refresh)
    for place in range(len(USUAL) + 1):
        session = SessionKey("shop", "ann", f"s{place}")
        events = [Event(message, time_ns=NOON) for message in USUAL]
        if odd in ODD:
            events.insert(place, ODD[odd])
        await verbs.create_session("shop", "ann", session.session_id)
        await verbs.append_events(session, [Event(e.message, **_members(e)) for e in events])
        if odd == "corrupt":
            name = redis_probe.key(f"event:{tag_of(backend)}:ann:{session.session_id}")
            entries = redis_probe.zrange(name, 0, -1, withscores=True)
            score = entries[min(place, len(entries) - 1)][1]
            redis_probe.zadd(name, {b"no JSON": score})

    async def read_all() -> list[Any]:
        found: list[Any] = []
        for place in range(len(USUAL) + 1):
            session = SessionKey("shop", "ann", f"s{place}")
            for limit in (None, *range(len(USUAL) + 3)):
                found.append(show(await verbs.get_messages(session, limit=limit)))
        return found

    short = await read_all()
    general_way_only()
    assert await read_all() == short


def _members(event: Event) -> dict[str, Any]:
    return {"time_ns": NOON, "tag": event.tag, "state_delta": event.state_delta}


@pytest.mark.filterwarnings("ignore:the last user message")
@pytest.mark.parametrize("odd", ["", *ODD])
def test_both_ways_make_the_same_windows(general_way_only: Callable[[], None], odd: str) -> None:
    url = f"memory://newest-{uuid4()}"
    history = RedisSessionChatMessageHistory("s1", url)
    messages = [*USUAL, *USUAL[1:]]
    history.add_messages(messages[:3])
    if odd:
        event = ODD[odd]
        history.service.append_event(
            history.session_key, Event(event.message, tag=event.tag, state_delta=event.state_delta)
        )
    history.add_messages(messages[3:])

    def read_all() -> list[list[str]]:
        windows = []
        for limit in range(1, len(messages) + 2):
            window = RedisSessionChatMessageHistory("s1", url, max_messages=limit)
            windows.append(show(window.messages))
        return windows

    short = read_all()
    general_way_only()
    assert read_all() == short


@pytest.mark.parametrize(("entry", "trips"), [(b"", 1), (b"no JSON", 2)])
@one_server
async def test_what_is_missing_takes_one_more_round_trip(
    backend: Backend,
    make_verbs: Callable[..., Verbs],
    key: SessionKey,
    redis_probe: RedisProbe,
    entry: bytes,
    trips: int,
) -> None:
    verbs, interceptor = intercept(backend, make_verbs)
    await verbs.create_session("shop", "ann", "s1")
    await verbs.append_messages(key, [HumanMessage(f"m{place}") for place in range(9)])
    await verbs.get_events(key, limit=1, offset=1)  # the script is there
    if entry:
        redis_probe.zadd(redis_probe.key(f"event:{tag_of(backend)}:ann:s1"), {entry: 1e19})
    interceptor.requests.clear()
    messages = await verbs.get_messages(key, limit=3)
    assert show(messages) == ["human: m6", "human: m7", "human: m8"]
    assert len(interceptor.requests) == trips
