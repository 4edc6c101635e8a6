"""What one call costs: the requests that it sends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import HumanMessage

from langchain_redis_session import SessionKey
from tests.contract.backends import Backend, Verbs
from tests.contract.intercept import intercept
from tests.contract.narrow import each_server
from tests.contract.store import make_event, make_events

CALLS: dict[str, tuple[int, Callable[[Verbs, SessionKey], Any]]] = {
    "append_event": (1, lambda v, k: v.append_event(k, make_event(9))),
    "append_events": (1, lambda v, k: v.append_events(k, make_events(*range(10, 60)))),
    "append_messages": (1, lambda v, k: v.append_messages(k, [HumanMessage("x", id="x")] * 3)),
    "append_shared_state": (
        1,
        lambda v, k: v.append_event(k, make_event(61, state_delta={"user:k": 1})),
    ),
    "append_once": (1, lambda v, k: v.append_messages(k, [HumanMessage("x", id="y")], once=True)),
    "append_again": (1, lambda v, k: v.append_event(k, make_event(9))),
    "append_track_event": (1, lambda v, k: v.append_track_event(k, "t", 2)),
    "append_track_events": (1, lambda v, k: v.append_track_events(k, "t", list(range(50)))),
    "update_session_state": (2, lambda v, k: v.update_session_state(k, {"k": 2})),
    "update_user_state": (1, lambda v, k: v.update_user_state("shop", "ann", {"k": 2})),
    "get_session": (1, lambda v, k: v.get_session(k)),
    "get_session_part": (1, lambda v, k: v.get_session(k, limit=3, offset=2, start_on="human")),
    "get_messages": (1, lambda v, k: v.get_messages(k)),
    "get_messages_part": (1, lambda v, k: v.get_messages(k, limit=3)),
    "get_events": (1, lambda v, k: v.get_events(k, limit=3)),
    "get_track_events": (1, lambda v, k: v.get_track_events(k, "t")),
    "list_tracks": (1, lambda v, k: v.list_tracks(k)),
    "list_sessions": (2, lambda v, _: v.list_sessions("shop", "ann")),
    "list_sessions_full": (2, lambda v, _: v.list_sessions("shop", "ann", include_events=True)),
}


@each_server
@pytest.mark.parametrize("refresh", [False, True], ids=["", "refresh"])
async def test_a_call_sends_no_more_requests_than_promised(
    backend: Backend, make_verbs: Callable[..., Verbs], key: SessionKey, refresh: bool
) -> None:
    verbs, interceptor = intercept(
        backend, make_verbs, session_ttl=3600, refresh_ttl_on_read=refresh
    )
    warm = SessionKey("shop", "bob", "warm")
    for session in (warm, key):
        await verbs.create_session(session.app_name, session.user_id, session.session_id)
        await verbs.append_events(session, make_events(*range(5)))
        await verbs.append_messages(session, [HumanMessage("x", id="i")], once=True)
        await verbs.append_track_event(session, "t", 1)
    for _, call in CALLS.values():  # so that the scripts are there
        await call(verbs, warm)
    for name, (expected, call) in CALLS.items():
        interceptor.requests.clear()
        await call(verbs, key)
        assert len(interceptor.requests) == expected, name
        for command in (command for request in interceptor.requests for command in request):
            assert command[0] != "EVAL", name  # the source is sent only where it is missing


@each_server
async def test_a_read_asks_for_what_it_gives(
    backend: Backend, make_verbs: Callable[..., Verbs], key: SessionKey
) -> None:
    """The count stands in the request, whatever the length of the session."""
    verbs, interceptor = intercept(backend, make_verbs)
    await verbs.create_session("shop", "ann", "s1")
    await verbs.append_events(key, make_events(*range(300)))
    for read in (verbs.get_messages, verbs.get_session, verbs.get_events):
        await read(key, limit=7)
        interceptor.requests.clear()
        await read(key, limit=7, offset=2)
        (request,) = interceptor.requests
        assert request[0][-1] == 9
