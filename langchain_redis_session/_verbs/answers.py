"""Appends of what was paid for: an agent's answers, which must not be lost; for adapters.

They are counted, and seen by hooks, as `append_messages`.
"""

from collections.abc import Sequence
from typing import Any

from langchain_core.messages import BaseMessage

from langchain_redis_session._flow.requests import Flow
from langchain_redis_session._operations.prepared import make_events
from langchain_redis_session._verbs.appending import AppendMethods
from langchain_redis_session._verbs.runner import async_method, sync_method
from langchain_redis_session.callbacks import Handlers
from langchain_redis_session.models import AppendResult, SessionKey


@sync_method
def append_messages(
    service: AppendMethods,
    key: SessionKey,
    messages: Sequence[BaseMessage],
    *,
    keeps: bool,
    request_id: str = "",
    tag: str = "",
    state_delta: dict[str, Any] | None = None,
    new_event_limit: int | None = None,
    callbacks: Handlers = None,
) -> Flow[AppendResult]:
    """Append messages that the session does not have yet, behind its dead letters.

    Args:
        service: The service.
        key: The session; created if there is none.
        messages: The messages, each with an id.
        keeps: Whether they become a dead letter in place of an error.
        request_id: Names the conversation they belong to.
        tag: Labels, separated by ";".
        state_delta: State to set with them.
        new_event_limit: The most events of a session that this creates.
        callbacks: Hooks for this call, after the service's.
    """
    events = make_events(
        messages,
        time_ns=service._clock(),  # noqa: SLF001
        author=None,
        state_delta=state_delta,
        request_id=request_id,
        tag=tag,
    )
    return service._append(  # noqa: SLF001
        key,
        events,
        callbacks,
        create=True,
        once=True,
        new_event_limit=new_event_limit,
        kept_first=True,
        keeps=keeps,
    )


aappend_messages = async_method(append_messages)
