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
from tests.methods import READS, call_method

CALLS: dict[str, tuple[str, int, dict[str, Any]]] = {
    # what is tried: the method, the requests that it sends, its other arguments
    "append_event": ("append_event", 1, {"event": make_event(9)}),
    "append_events": ("append_events", 1, {"events": make_events(*range(10, 60))}),
    "append_messages": (
        "append_messages",
        1,
        {"messages": [HumanMessage("x", id="x")] * 3, "once": False, "create": False},
    ),
    "append_shared_state": (
        "append_event",
        1,
        {"event": make_event(61, state_delta={"user:k": 1})},
    ),
    "append_once": ("append_messages", 1, {"create": False}),
    "append_again": ("append_event", 1, {"event": make_event(1)}),
    "append_track_event": ("append_track_event", 1, {}),
    "append_track_events": ("append_track_events", 1, {"payloads": list(range(50))}),
    "update_session_state": ("update_session_state", 2, {}),
    "update_user_state": ("update_user_state", 1, {}),
    "get_session": ("get_session", 1, {}),
    "get_session_part": ("get_session", 1, {"limit": 3, "offset": 2, "start_on": "human"}),
    "get_messages": ("get_messages", 1, {"limit": None}),
    "get_messages_part": ("get_messages", 1, {"limit": 3}),
    "get_events": ("get_events", 1, {"limit": 3}),
    "get_track_events": ("get_track_events", 1, {}),
    "list_tracks": ("list_tracks", 1, {}),
    "list_sessions": ("list_sessions", 2, {"include_events": False}),
    "list_sessions_full": ("list_sessions", 2, {"include_events": True}),
}


@each_server
@pytest.mark.parametrize("refresh", [False, True], ids=["", "refresh"])
@pytest.mark.parametrize("call", CALLS)
async def test_a_call_sends_no_more_requests_than_promised(
    backend: Backend, make_verbs: Callable[..., Verbs], key: SessionKey, call: str, refresh: bool
) -> None:
    verbs, interceptor = intercept(
        backend, make_verbs, session_ttl=3600, refresh_ttl_on_read=refresh
    )
    name, expected, given = CALLS[call]
    for session in (SessionKey("shop", "ann", "warm"), key):  # the first, for its node's scripts
        await verbs.create_session(session.app_name, session.user_id, session.session_id)
        await verbs.append_events(session, make_events(*range(5)))
        await verbs.append_messages(session, [HumanMessage("x", id="i")], once=True)
        await verbs.append_track_event(session, "t", 1)
        interceptor.requests.clear()
        await call_method(verbs, name, session, **given)
    assert len(interceptor.requests) == expected
    for command in (command for request in interceptor.requests for command in request):
        assert command[0] != "EVAL"  # the source is sent only where it is missing


@each_server
@pytest.mark.parametrize("name", READS)
async def test_a_read_asks_for_what_it_gives(
    backend: Backend, make_verbs: Callable[..., Verbs], key: SessionKey, name: str
) -> None:
    """The count stands in the request, whatever the length of the session."""
    verbs, interceptor = intercept(backend, make_verbs)
    await verbs.create_session("shop", "ann", "s1")
    await verbs.append_events(key, make_events(*range(300)))
    await call_method(verbs, name, key, limit=7)
    interceptor.requests.clear()
    await call_method(verbs, name, key, limit=7, offset=2)
    (request,) = interceptor.requests
    command = request[0]
    # A script's last argument is the count; a range of one more tells whether there are older ones.
    assert command[-1] == 9 if command[0] == "EVALSHA" else command[2:] == (0, 9)
