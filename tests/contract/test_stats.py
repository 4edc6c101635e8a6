"""`stats()`: what a service has counted."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from pydantic import TypeAdapter

from langchain_redis_session import EventRejectedError, ServiceStats, SessionKey
from tests.contract.backends import Backend, RedisProbe, Verbs
from tests.contract.hooks import make_handler, raise_
from tests.contract.intercept import intercept
from tests.contract.narrow import one_server, server_kinds
from tests.contract.store import make_event, make_events, tag_of
from tests.waits import PATIENCE_S

MakeVerbs = Callable[..., Verbs]


@server_kinds
async def test_operations_requests_and_bytes_are_counted(
    backend: Backend, make_verbs: MakeVerbs, key: SessionKey, redis_probe: RedisProbe
) -> None:
    verbs, interceptor = intercept(backend, make_verbs, session_event_limit=None)
    assert verbs.service.stats() == ServiceStats({}, 0, 0, 0, 0, 0, 0)
    await verbs.create_session("shop", "ann", "s1")
    await verbs.append_events(key, make_events(1, 2, 3))
    await verbs.append_event(key, make_event(2))  # it is there already
    await verbs.append_messages(key, [HumanMessage("x", id="x")] * 2, once=True)
    await verbs.append_track_events(key, "t", [1, 2])
    figures = verbs.service.stats()
    events = redis_probe.zrange(redis_probe.key(f"event:{tag_of(backend)}:ann:s1"), 0, -1)
    tracks = redis_probe.zrange(redis_probe.key(f"track:{tag_of(backend)}:ann:s1:t"), 0, -1)
    assert (len(events), len(tracks)) == (4, 2)
    assert figures.events_written == 6
    assert figures.bytes_out == sum(map(len, events + tracks))
    looked_at = events[:3]  # for the ids that the session had before `once`
    assert figures.bytes_in == sum(map(len, looked_at))
    await verbs.get_messages(key)
    await verbs.get_session(key)
    await verbs.get_events(key, limit=2)
    await verbs.get_track_events(key, "t")
    figures = verbs.service.stats()
    read = [*looked_at, *events, *events, *events[-2:], *tracks]
    assert figures.bytes_in == sum(map(len, read))
    assert dict(figures.operations) == {
        "create_session": 1,
        "append_event": 3,
        "append_track_event": 1,
        "get_session": 3,
        "get_track_events": 1,
    }
    await verbs.list_users("shop")
    assert verbs.service.stats().round_trips == len(interceptor.requests)
    assert (figures.corrupt_entries, figures.hook_vetoes, figures.persist) == (0, 0, None)


@one_server
async def test_round_trips_are_counted_one_by_one(
    backend: Backend, make_verbs: MakeVerbs, key: SessionKey
) -> None:
    verbs, interceptor = intercept(backend, make_verbs, session_ttl=60, refresh_ttl_on_read=True)
    await verbs.create_session("shop", "ann", "s1", state={"app:k": 1})
    await verbs.append_messages(key, [HumanMessage("x")])
    await verbs.get_session(key)
    await verbs.list_sessions("shop", "ann", include_events=True)
    assert verbs.service.stats().round_trips == len(interceptor.requests)


@one_server
async def test_vetoes_and_corrupt_entries(
    make_verbs: MakeVerbs, key: SessionKey, redis_probe: RedisProbe
) -> None:
    verbs = make_verbs()
    await verbs.create_session("shop", "ann", "s1")
    redis_probe.zadd(redis_probe.key("event:{shop}:ann:s1"), {b"garbage": 1})
    await verbs.get_messages(key)
    for verb, hook in (
        ("append_event", "append_event_start"),
        ("get_messages", "get_session_start"),
        ("get_session", "get_session_end"),
    ):
        functions: dict[str, Any] = {hook: lambda _: raise_(ValueError())}
        guard = make_handler("plain", **functions)
        arguments = [make_event(1)] if verb == "append_event" else []
        with pytest.raises(EventRejectedError):
            await getattr(verbs, verb)(key, *arguments, callbacks=[guard])
    figures = verbs.service.stats()
    assert (figures.hook_vetoes, figures.events_written) == (3, 0)
    assert figures.corrupt_entries == 2


@one_server
async def test_what_workers_write_is_counted_too(
    backend: Backend, make_verbs: MakeVerbs, key: SessionKey
) -> None:
    clients = {"async_client": backend.make_async_client()} if backend.mode == "async" else {}
    verbs = make_verbs(client=backend.client, enable_async_persist=True, **clients)
    await verbs.append_messages(key, [HumanMessage("x")] * 5, create=True)
    assert await verbs.flush(PATIENCE_S)
    figures = verbs.service.stats()
    assert (figures.events_written, figures.operations["append_event"]) == (5, 1)
    assert figures.bytes_out > 0
    assert figures.round_trips in (1, 2)  # the server may lack the script
    assert figures.persist is not None
    assert figures.persist.written == 1


@one_server
async def test_figures_taken_before_do_not_change(make_verbs: MakeVerbs, key: SessionKey) -> None:
    verbs = make_verbs()
    before = verbs.service.stats()
    await verbs.get_messages(key)
    assert "get_session" not in before.operations
    with pytest.raises(dataclasses.FrozenInstanceError):
        before.round_trips = 1  # type: ignore[misc]
    before.operations.clear()  # a copy
    assert verbs.service.stats().operations == {"get_session": 1}


@one_server
async def test_they_can_be_served_pickled_and_copied(
    backend: Backend, make_verbs: MakeVerbs, key: SessionKey
) -> None:
    clients = {"async_client": backend.make_async_client()} if backend.mode == "async" else {}
    verbs = make_verbs(
        client=backend.client,
        enable_async_persist=True,
        summarizer=lambda _request: "a summary",
        **clients,
    )
    await verbs.append_messages(key, [HumanMessage("x")], create=True)
    await verbs.flush(30)
    figures = verbs.service.stats()
    adapter = TypeAdapter(ServiceStats)
    assert json.loads(json.dumps(dataclasses.asdict(figures)))["events_written"] == 1
    assert adapter.validate_json(adapter.dump_json(figures)) == figures
    assert pickle.loads(pickle.dumps(figures)) == copy.deepcopy(figures) == figures
