"""Sessions: made, read, listed."""

from __future__ import annotations

import copy
import pickle
import re
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from pydantic import TypeAdapter

from langchain_redis_session import (
    ConfigurationError,
    Event,
    RedisSessionChatMessageHistory,
    SessionKey,
    SessionNotFoundError,
)
from tests.contract.backends import Backend, RedisProbe, Verbs
from tests.contract.intercept import intercept
from tests.contract.narrow import each_server
from tests.contract.store import NOON, STEP, make_event, make_events, texts
from tests.methods import call_method


async def test_a_new_session_is_empty(verbs: Verbs) -> None:
    session = await verbs.create_session("shop", "ann")

    assert re.fullmatch("[0-9a-f]{32}", session.key.session_id)
    assert (session.state, session.events, session.tracks) == ({}, [], ())
    assert session.messages == []
    assert session.created_at == session.updated_at
    age = datetime.now(timezone.utc) - session.created_at
    assert abs(age) < timedelta(minutes=1)
    assert await verbs.get_session(session.key) == session


async def test_first_state_goes_to_its_scopes(verbs: Verbs, key: SessionKey) -> None:
    state = {"k": 1, "user:lang": "en", "app:version": [2], "temp:x": "never stored"}
    session = await verbs.create_session("shop", "ann", "s1", state=state)

    assert session.key == key
    assert session.state == {"k": 1, "user:lang": "en", "app:version": [2]}
    assert await verbs.get_user_state("shop", "ann") == {"lang": "en"}
    assert await verbs.get_app_state("shop") == {"version": [2]}
    other = await verbs.create_session("shop", "ann", "s2")
    assert other.state == {"user:lang": "en", "app:version": [2]}


async def test_creating_a_session_that_lives_changes_nothing(verbs: Verbs, key: SessionKey) -> None:
    await verbs.create_session("shop", "ann", "s1", state={"k": 1, "user:u": 1, "app:a": 1})
    await verbs.append_event(key, make_event(1))
    before = await verbs.get_session(key)

    again = {"k": 2, "l": 2, "user:u": 2, "app:a": 2}
    assert await verbs.create_session("shop", "ann", "s1", state=again) == before
    assert await verbs.get_session(key) == before
    assert before.state == {"k": 1, "user:u": 1, "app:a": 1}
    assert texts(before.events) == ["m1"]


async def test_reading_a_missing_session(verbs: Verbs, key: SessionKey) -> None:
    assert await verbs.get_session(key) is None
    assert await verbs.get_events(key) == []
    assert await verbs.get_messages(key) == []
    assert await verbs.search_events(key, "x") == []
    assert await verbs.get_event_window(key, "x") == []
    assert await verbs.get_track_events(key, "t") == []
    assert await verbs.list_tracks(key) == []
    assert await verbs.list_sessions("shop", "ann") == []


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("append_event", {}),
        ("append_events", {}),
        ("append_messages", {"create": False}),
        ("update_session_state", {"values": {"k": 1, "user:k": 1, "app:k": 1}}),
        ("delete_session_state", {}),
        ("append_track_event", {}),
        ("append_track_events", {}),
    ],
)
async def test_writing_to_a_missing_session(
    verbs: Verbs, redis_probe: RedisProbe, name: str, given: dict[str, Any]
) -> None:
    with pytest.raises(SessionNotFoundError, match=r"s1.*create_session"):
        await call_method(verbs, name, **given)
    assert redis_probe.names() == []


@pytest.mark.parametrize(
    ("name", "result"),
    [
        ("count_events", 0),
        ("clear_events", 0),
        ("remove_events", 0),
        ("trim_conversations", []),
        ("delete_session", False),
    ],
)
async def test_a_missing_session_has_nothing_to_remove(
    verbs: Verbs, redis_probe: RedisProbe, name: str, result: object
) -> None:
    assert await call_method(verbs, name) == result
    assert redis_probe.names() == []


async def test_what_a_read_session_holds(verbs: Verbs, key: SessionKey) -> None:
    created = await verbs.create_session("shop", "ann", "s1", state={"k": 1})
    await verbs.append_messages(key, [HumanMessage("hi"), AIMessage("hello")], request_id="r")
    await verbs.append_track_event(key, "tools", {"ms": 3})
    await verbs.update_session_state(key, {"user:lang": "en"})
    session = await verbs.get_session(key)

    assert session.key == key
    assert [event.author for event in session.events] == ["user", "assistant"]
    assert {event.request_id for event in session.events} == {"r"}
    assert session.messages == [HumanMessage("hi"), AIMessage("hello")]
    assert session.state == {"k": 1, "user:lang": "en"}
    assert session.tracks == ("tools",)
    assert not session.is_cut
    assert session.created_at == created.created_at < session.updated_at


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("append_event", {}),
        ("append_events", {}),
        ("append_messages", {}),
        ("update_session_state", {}),
        ("delete_session_state", {}),
        ("append_track_event", {}),
        ("append_track_event", {"track": "new"}),
        ("append_track_events", {}),
        ("trim_conversations", {}),
        ("clear_events", {}),
    ],
)
async def test_every_write_is_an_update(
    verbs: Verbs, key: SessionKey, name: str, given: dict[str, Any]
) -> None:
    await verbs.create_session("shop", "ann", "s1", state={"k": 1})
    await verbs.append_event(key, make_event(9))
    await verbs.append_track_event(key, "t", 1)
    before = await verbs.get_session(key)
    await call_method(verbs, name, key, **given)
    session = await verbs.get_session(key)
    assert session.updated_at > before.updated_at
    assert session.created_at == before.created_at


async def test_sessions_are_listed_by_their_last_change_newest_first(verbs: Verbs) -> None:
    for name in ("s1", "s2", "s3"):
        await verbs.create_session("shop", "ann", name, state={"name": name})
    await verbs.create_session("shop", "bob", "s4")
    await verbs.create_session("other", "ann", "s5")
    await verbs.append_event(SessionKey("shop", "ann", "s1"), make_event(1))
    await verbs.append_track_event(SessionKey("shop", "ann", "s1"), "t", 1)
    await verbs.update_user_state("shop", "ann", {"u": 1})
    await verbs.update_app_state("shop", {"a": 1})

    async def names(**options: object) -> list[str]:
        listed = await verbs.list_sessions("shop", "ann", **options)
        return [session.key.session_id for session in listed]

    assert await names() == ["s1", "s3", "s2"]
    assert await names(limit=2) == ["s1", "s3"]
    assert await names(limit=1, offset=1) == ["s3"]
    assert await names(offset=3) == await names(limit=0) == []

    lean = await verbs.list_sessions("shop", "ann")
    full = await verbs.list_sessions("shop", "ann", include_events=True)
    assert [texts(session.events) for session in lean] == [[], [], []]
    assert [texts(session.events) for session in full] == [["m1"], [], []]
    for listed in (lean, full):
        assert listed[0].state == {"name": "s1", "user:u": 1, "app:a": 1}
        assert listed[0].tracks == ("t",)
        assert listed[0].updated_at > listed[1].updated_at > listed[2].updated_at
    assert full[0] == await verbs.get_session(full[0].key)


async def test_sessions_are_listed_with_a_part_of_their_events(
    verbs: Verbs, key: SessionKey
) -> None:
    talk = [HumanMessage("q1"), AIMessage("a1"), HumanMessage("q2"), AIMessage("a2")]
    await verbs.append_messages(key, [*talk, AIMessage("a3")], create=True)
    await verbs.create_session("shop", "ann", "empty")

    async def list_parts(**options: Any) -> list[list[str]]:
        listed = await verbs.list_sessions("shop", "ann", include_events=True, **options)
        by_id = {session.key.session_id: session for session in listed}
        full = by_id["s1"]
        assert (full.event_count, full.last_message.text) == (5, "a3")
        part = await verbs.get_session(
            key, limit=options["events_limit"], start_on=options.get("events_start_on")
        )
        assert part.events == full.events
        return [texts(by_id[name].events) for name in ("s1", "empty")]

    assert await list_parts(events_limit=2) == [["a2", "a3"], []]
    assert await list_parts(events_limit=4, events_start_on="human") == [["q2", "a2", "a3"], []]
    assert await list_parts(events_limit=2, events_start_on="human") == [["q2", "a2", "a3"], []]
    for options in ({"events_limit": 1}, {"events_start_on": "human"}):
        with pytest.raises(ConfigurationError, match="include_events"):
            await verbs.list_sessions("shop", "ann", **options)


async def test_lists_show_themselves_and_are_lists_like_any(verbs: Verbs, key: SessionKey) -> None:
    await verbs.append_messages(key, [HumanMessage("hi")], create=True)
    await verbs.append_track_event(key, "plan", {"step": 1})
    lists = [
        await verbs.list_sessions(key.app_name, key.user_id),
        await verbs.get_events(key),
        await verbs.search_events(key, "hi"),
        await verbs.get_track_events(key, "plan"),
        await verbs.list_summaries(key),
        (await verbs.get_session(key)).events,
    ]
    for found in lists:
        assert "</div>" in found._repr_html_()
        assert isinstance(found, list)
        assert found == list(found)
        assert type(found[:1]) is type(copy.copy(found)) is type(found)
        assert type(pickle.loads(pickle.dumps(found))) is list
        assert repr(found) == repr(list(found))
        assert TypeAdapter(list[Any]).validate_python(found, strict=True) == found


async def test_a_session_shown_in_a_notebook(verbs: Verbs, key: SessionKey) -> None:
    await verbs.append_messages(key, [HumanMessage("<b>hi</b>")], create=True)
    shown = (await verbs.get_session(key))._repr_html_()
    assert "<b>hi</b>" not in shown
    assert "&lt;b&gt;hi&lt;/b&gt;" in shown


@each_server
async def test_a_history_makes_its_session_in_the_same_round_trip(
    backend: Backend, make_verbs: Callable[..., Verbs]
) -> None:
    verbs, interceptor = intercept(backend, make_verbs)
    history = verbs.of(RedisSessionChatMessageHistory("warm", service=verbs.service))
    await history.add_messages([HumanMessage("so that the script is there")])
    interceptor.requests.clear()

    history = verbs.of(RedisSessionChatMessageHistory("s1", service=verbs.service))
    await history.add_messages([HumanMessage("hi"), AIMessage("hello")])
    assert len(interceptor.requests) == 1
    session = await verbs.get_session(SessionKey("default", "default", "s1"))
    assert texts(session.events) == ["hi", "hello"]


def make_state_events(first: int, last: int) -> list[Event]:
    """Give events that only change state."""
    return [Event(time_ns=NOON + n * STEP, state_delta={"n": n}) for n in range(first, last + 1)]


async def test_a_list_tells_how_many_events_there_are_and_the_last_message(
    make_verbs: Callable[..., Verbs], backend: Backend
) -> None:
    verbs, interceptor = intercept(backend, make_verbs)
    call = AIMessage("", tool_calls=[{"name": "f", "args": {"n": 1}, "id": "c1"}])
    for name, events in {
        "empty": [],
        "message": [make_event(1), make_event(2, call)],
        "state behind it": [make_event(1, call), *make_state_events(2, 20)],
        "state only": make_state_events(1, 3),
        "long": make_events(*range(300)),
        "left out": make_events(1, 2),
    }.items():
        session = await verbs.create_session("shop", "ann", name)
        if events:
            await verbs.append_events(session.key, events)
    await verbs.create_session("shop", "ann", "left out too")
    await verbs.list_sessions("shop", "ann")  # so that the scripts are there
    before = verbs.service.stats().bytes_in
    interceptor.requests.clear()

    listed = await verbs.list_sessions("shop", "ann", limit=5, offset=2)
    shown = {one.key.session_id: (one.event_count, one.last_message) for one in listed}
    assert shown == {
        "long": (300, make_event(299).message),
        "state only": (3, None),
        "state behind it": (20, call),
        "message": (2, call),
        "empty": (0, None),
    }
    assert all(one.events == [] for one in listed)
    assert len(interceptor.requests) == 3  # two, and one for those that end with state
    assert verbs.service.stats().bytes_in - before < 10_000

    interceptor.requests.clear()
    await verbs.list_sessions("shop", "ann", limit=1, offset=2)
    assert len(interceptor.requests) == 2

    full = await verbs.list_sessions("shop", "ann", limit=5, offset=2, include_events=True)
    assert shown == {one.key.session_id: (one.event_count, one.last_message) for one in full}
    alone = await verbs.get_session(full[0].key)
    assert (alone.event_count, alone.last_message) == (None, None)
