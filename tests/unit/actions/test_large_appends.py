"""What takes long is encoded in a thread, and not on the event loop."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from langchain_redis_session import (
    AppendEventContext,
    RedisSessionService,
    SessionCallbackHandler,
    SessionKey,
)
from langchain_redis_session._actions import appends
from langchain_redis_session._operations.prepared import prepare_events

KEY = SessionKey("shop", "ann", "s1")
LONG = "x" * 70_000
LARGE = [
    HumanMessage(LONG),
    AIMessage([{"type": "text", "text": "short"}] * 10_000),
    AIMessage("", tool_calls=[{"name": "f", "args": {"text": LONG}, "id": "c"}]),
    ToolMessage("", tool_call_id="c", artifact={"rows": [{"n": n} for n in range(5000)]}),
]


class Watcher(SessionCallbackHandler):
    def on_append_event_start(self, context: AppendEventContext) -> None:
        pass


@pytest.mark.parametrize("has_hook", [False, True])
@pytest.mark.parametrize("message", [HumanMessage("hi"), *LARGE])
async def test_only_large_messages_are_encoded_in_a_thread(
    monkeypatch: pytest.MonkeyPatch, message: BaseMessage, has_hook: bool
) -> None:
    threads = []

    def prepare(*args: Any, **options: Any) -> Any:
        threads.append(threading.current_thread())
        return prepare_events(*args, **options)

    monkeypatch.setattr(appends, "prepare_events", prepare)
    callbacks = [Watcher()] if has_hook else None
    async with RedisSessionService("memory://large-appends", callbacks=callbacks) as service:
        await service.aappend_messages(KEY, [message], create=True)
    (thread,) = threads
    assert (thread is threading.main_thread()) == (message.content == "hi")
