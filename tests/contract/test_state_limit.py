"""`max_state_bytes`: how large a session's record, which holds its state, may grow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import HumanMessage

from langchain_redis_session import SessionKey, StateTooLargeError
from tests.contract.backends import Backend, RedisProbe, Verbs
from tests.contract.narrow import one_server, server_kinds
from tests.contract.store import make_event, read_record, snapshot, tag_of, texts
from tests.methods import call_method

MakeVerbs = Callable[..., Verbs]
MOST = 2000
LARGE = "x" * 600
"""Two of them are under the limit, in base64, and three are not."""


def two_events() -> list[Any]:
    return [make_event(n, state_delta={f"e{n}": LARGE, "user:k": 2}) for n in (1, 2)]


@server_kinds
@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("append_event", {"event": make_event(1, state_delta={"b": LARGE + LARGE, "app:k": 2})}),
        ("append_events", {"events": two_events()}),
        ("append_messages", {"state_delta": {"b": LARGE + LARGE, "user:k": 2}}),
        ("update_session_state", {"values": {"b": LARGE + LARGE, "user:k": 2, "app:k": 2}}),
        ("append_track_event", {"track": "t" * 500}),
        ("append_track_events", {"track": "t" * 500}),
    ],
)
async def test_what_makes_a_record_too_large_changes_nothing(
    make_verbs: MakeVerbs, key: SessionKey, redis_probe: RedisProbe, name: str, given: Any
) -> None:
    verbs = make_verbs(max_state_bytes=MOST)
    state = {"a": LARGE, "user:k": 1, "app:k": 1}
    if "track" in name:
        state["b"] = LARGE[:350]
    await verbs.create_session("shop", "ann", "s1", state=state)
    before = snapshot(redis_probe)
    with pytest.raises(StateTooLargeError, match=r"would have [23],\d{3} bytes.*most is 2,000"):
        await call_method(verbs, name, key, **given)
    assert snapshot(redis_probe) == before


@server_kinds
@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("create_session", {"state": {"a": LARGE * 3, "app:k": 1}}),
        ("append_messages", {"create": True, "state_delta": {"a": LARGE * 3, "app:k": 1}}),
    ],
)
async def test_a_session_that_would_begin_too_large_is_not_created(
    make_verbs: MakeVerbs, redis_probe: RedisProbe, name: str, given: Any
) -> None:
    verbs = make_verbs(max_state_bytes=MOST)
    with pytest.raises(StateTooLargeError, match="max_state_bytes"):
        await call_method(verbs, name, **given)
    assert redis_probe.names() == []


@one_server
async def test_a_record_that_is_too_large_already_can_shrink_and_take_events(
    make_verbs: MakeVerbs, key: SessionKey
) -> None:
    free, verbs = make_verbs(max_state_bytes=None), make_verbs(max_state_bytes=MOST)
    state = {"a": LARGE, "b": LARGE, "c": LARGE}
    await free.create_session("shop", "ann", "s1", state=state)
    await free.append_track_event(key, "known", 1)
    await verbs.append_event(key, make_event(1))
    await verbs.append_event(key, make_event(2, state_delta={"user:k": LARGE * 9}))
    await verbs.append_track_event(key, "known", 2)
    await verbs.update_session_state(key, {"c": LARGE[9:]})
    with pytest.raises(StateTooLargeError):
        await verbs.update_session_state(key, {"c": LARGE})
    await verbs.delete_session_state(key, "c")
    await verbs.update_session_state(key, {"d": 1})
    session = await verbs.get_session(key)
    assert session.state == {"a": LARGE, "b": LARGE, "d": 1, "user:k": LARGE * 9}
    assert texts(session.events) == ["m1", "m2"]


@one_server
async def test_a_record_may_have_one_mebibyte_unless_said_otherwise(
    make_verbs: MakeVerbs, key: SessionKey, redis_probe: RedisProbe, backend: Backend
) -> None:
    verbs = make_verbs()
    await verbs.create_session("shop", "ann", "s1", state={"a": b"x" * 780_000})
    assert len(read_record(redis_probe, key, tag_of(backend))) < 1024 * 1024
    with pytest.raises(StateTooLargeError, match=r"1,04[89],\d{3} bytes.* 1,048,576"):
        await verbs.update_session_state(key, {"a": b"x" * 786_500})
    await make_verbs(max_state_bytes=None).update_session_state(key, {"a": b"x" * 2_000_000})
    await verbs.append_messages(key, [HumanMessage("hi")])
    assert texts((await verbs.get_session(key)).events) == ["hi"]
