"""`repr` of what may hold megabytes: a line that a person can read."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage

from langchain_redis_session import (
    AppendEventContext,
    AppendResult,
    DeadLetter,
    Event,
    GetSessionContext,
    Session,
    SessionKey,
    SummarizedMessages,
    Summary,
    SummaryBoundary,
    SummaryContext,
    SummaryRequest,
    TrackEvent,
)
from langchain_redis_session._display.brief import show_brief

NOW = datetime(2026, 11, 26, tzinfo=timezone.utc)
MEGABYTE = "x" * 1_000_000
HUGE = 10**100_000
KEY = SessionKey("a" * 512, "b" * 512, "c" * 512)


class Text(str):
    __slots__ = ()


class Raising:
    def __repr__(self) -> str:
        raise RuntimeError("no")


BIG: Any = {
    "text": MEGABYTE,
    "own": Text(MEGABYTE),
    "bytes": MEGABYTE.encode(),
    "int": HUGE,
    "list": [[MEGABYTE] * 50] * 50,
    "raising": Raising(),
}
EVENT = Event(
    AIMessage(
        [{"type": "text", "text": MEGABYTE}],
        tool_calls=[{"name": MEGABYTE, "args": {"n": HUGE}, "id": MEGABYTE}],
        id=MEGABYTE,
    ),
    author=MEGABYTE,
    state_delta={MEGABYTE: MEGABYTE, **BIG},
    extensions=BIG,
    extra=BIG,
    time_ns=0,
)
SUMMARY = Summary(MEGABYTE, MEGABYTE, SummaryBoundary(1.0, "e", 1), NOW, (MEGABYTE,) * 50)
SESSION = Session(KEY, {f"{n}{MEGABYTE}": HUGE for n in range(50)}, [EVENT], (MEGABYTE,), NOW, NOW)


@pytest.mark.parametrize(
    "value",
    [
        EVENT,
        Event(ToolMessage(MEGABYTE, tool_call_id=MEGABYTE, artifact=BIG, name=MEGABYTE)),
        Event(time_ns=HUGE, state_delta={"n": HUGE}),
        TrackEvent("t", BIG),
        SUMMARY,
        SESSION,
        AppendResult([EVENT] * 100, written=100, removed=0),
        SummarizedMessages(SUMMARY, [HumanMessage(MEGABYTE)] * 100),
        SummaryRequest([HumanMessage(MEGABYTE)], MEGABYTE, SESSION),
        DeadLetter(KEY, (EVENT,) * 100, ValueError(MEGABYTE), 1),
        AppendEventContext(KEY, EVENT, {"n": MEGABYTE}),
        GetSessionContext(KEY, "get_session", limit=HUGE),
        SummaryContext(KEY, MEGABYTE, SummaryRequest([HumanMessage(MEGABYTE)]), text=MEGABYTE),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_repr_shows_no_megabytes_and_does_not_raise(value: Any) -> None:
    assert len(repr(value)) < 2500
    assert "\n" not in repr(value)
    assert len(repr([value] * 2)) < 4000


def test_a_repr_tells_what_matters() -> None:
    message = AIMessage("hi", id="m1", tool_calls=[{"name": "f", "args": {}, "id": "c1"}])
    shown = repr(Event(message, author="bot", id="e1", time_ns=5))
    assert shown == (
        "Event(message=AIMessage('hi', tool_calls=[{'args': {}, 'id': 'c1', 'name': 'f', "
        "'type': 'tool_call'}], id='m1'), author='bot', id='e1', time_ns=5)"
    )
    assert repr(TrackEvent("t", {"n": 1}, id="e1", time_ns=5)) == (
        "TrackEvent(track='t', payload={'n': 1}, id='e1', time_ns=5)"
    )
    assert repr(AppendResult([], written=0, removed=2, queued=True)) == (
        "AppendResult(events=[], written=0, removed=2, queued=True)"
    )


def test_values_of_odd_classes() -> None:
    assert show_brief(Raising()) == "<Raising>"
    assert show_brief(Text("abc")) == "'abc'"
    assert show_brief(-(2**1000)).startswith("-0x1000")
    assert show_brief(True) == "True"
    assert show_brief(b"abc") == "b'abc'"
    assert show_brief([NOW]) == "[2026-11-26 00:00:00+00:00]"
