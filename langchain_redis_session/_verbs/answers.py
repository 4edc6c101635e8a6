"""Appends of what was paid for: an agent's answers, which must not be lost; for adapters.

They are counted, and seen by hooks, as `append_messages` and `append_track_events`.
"""

from collections.abc import Sequence
from typing import Any

from langchain_core.messages import BaseMessage

from langchain_redis_session._actions import appends
from langchain_redis_session._flow.requests import Flow
from langchain_redis_session._observe import operations
from langchain_redis_session._operations.prepared import make_events
from langchain_redis_session._verbs.appending import AppendMethods
from langchain_redis_session._verbs.runner import async_method, sync_method
from langchain_redis_session.callbacks import Handlers
from langchain_redis_session.models import AppendResult, SessionKey, TrackEvent


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


@sync_method
def append_to_track(
    service: AppendMethods, key: SessionKey, track: str, payloads: Sequence[Any], *, keeps: bool
) -> Flow[None]:
    """Append payloads to a track, behind the session's dead letters.

    Args:
        service: The service.
        key: The session.
        track: The track's name.
        payloads: The payloads.
        keeps: Whether they become a dead letter in place of an error.

    Raises:
        SessionNotFoundError: There is no such session.
    """
    time_ns = service._clock()  # noqa: SLF001
    events = [TrackEvent(track, payload, time_ns=time_ns) for payload in payloads]
    flow = appends.append_track_or_keep(
        service._context,  # noqa: SLF001
        service._actions.hooks,  # noqa: SLF001
        service._keeper,  # noqa: SLF001
        key,
        events,
        keeps=keeps,
        is_write_behind=service._write_behind is not None,  # noqa: SLF001
    )
    return service._observed(  # noqa: SLF001
        operations.APPEND_TRACK_EVENT, key, flow, events=events
    )


aappend_to_track = async_method(append_to_track)
