"""Sessions to summarize, made by hand."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timezone

from langchain_core.messages import AIMessage, BaseMessage, ToolCall, ToolMessage

from langchain_redis_session import Event, Session, SessionKey, Summary, SummaryBoundary

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def make_session(
    events: Iterable[Event | BaseMessage | None], summary: Summary | None = None
) -> Session:
    """Make a session of events and messages, the first at time 0, one each second."""
    made = [
        event if isinstance(event, Event) else Event(event, time_ns=second * 10**9)
        for second, event in enumerate(events)
    ]
    return Session(SessionKey("app", "ann", "s1"), {}, made, (), EPOCH, EPOCH, summary=summary)


def make_summary(text: str = "Ann has a cat.", seconds: float = 0) -> Summary:
    """Make a summary that was stored so many seconds after 1970."""
    at = datetime.fromtimestamp(seconds, tz=timezone.utc)
    return Summary(text, "", SummaryBoundary(0, "", 0), at)


def calling(*ids: str | None, text: str = "") -> AIMessage:
    """Make a message that calls a tool for each id."""
    calls = [ToolCall(name="add", args={"a": 1}, id=id_, type="tool_call") for id_ in ids]
    return AIMessage(text, tool_calls=calls)


def result(call_id: str, text: str = "3") -> ToolMessage:
    """Make the result of a call."""
    return ToolMessage(text, tool_call_id=call_id, name="add")
