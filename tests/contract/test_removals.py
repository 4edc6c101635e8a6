"""Taking single events out of a session."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from langchain_core.messages import AIMessage, HumanMessage

from langchain_redis_session import Event, SessionKey
from tests.contract.backends import Backend, RedisProbe, Verbs
from tests.contract.intercept import intercept
from tests.contract.narrow import each_server, one_mode, one_server
from tests.contract.store import NOON, make_events, tag_of, texts


@pytest.fixture
async def session(verbs: Verbs, key: SessionKey) -> SessionKey:
    await verbs.create_session("shop", "ann", "s1")
    return key


async def test_the_events_with_these_ids_go(verbs: Verbs, session: SessionKey) -> None:
    events = make_events(*range(6))
    await verbs.append_events(session, events)
    ids = [event.id for event in events]
    assert await verbs.remove_events(session, [ids[5], "unknown", ids[1], ids[1]]) == 2
    assert texts(await verbs.get_events(session)) == ["m0", "m2", "m3", "m4"]
    assert await verbs.remove_events(session, ids[0]) == 1
    assert await verbs.remove_events(session, iter(ids[:3])) == 1
    assert await verbs.remove_events(session, []) == 0
    assert await verbs.remove_events(session, ids) == 2
    assert await verbs.get_session(session) is not None


async def test_an_answer_is_given_anew(verbs: Verbs, session: SessionKey) -> None:
    talk = [HumanMessage("Sencha?", id="q"), AIMessage("No.", id="a")]
    appended = await verbs.append_messages(session, talk, once=True)
    assert await verbs.remove_events(session, [appended.events[1].id]) == 1
    again = [talk[0], AIMessage("Yes.", id="a")]
    await verbs.append_messages(session, again, once=True)
    assert texts(await verbs.get_messages(session)) == ["Sencha?", "Yes."]


@each_server
async def test_an_event_goes_by_its_own_id_and_not_by_one_inside_of_it(
    verbs: Verbs, session: SessionKey, redis_probe: RedisProbe, backend: Backend
) -> None:
    odd = 'odd "id"\\ 東京'
    inside = Event(HumanMessage("x", id=odd), extensions={"mine": {"id": odd}}, time_ns=NOON)
    target = Event(HumanMessage("y"), id=odd, time_ns=NOON + 1000)
    await verbs.append_events(session, [target, inside])
    entry = b'{"timestamp":"2026-01-01T00:00:00Z","id":"go","choices":[]}'
    events = redis_probe.key(f"event:{tag_of(backend)}:ann:s1")
    redis_probe.zadd(events, {entry: 1, b'{"note":{"id":"go"}}': 2})
    assert await verbs.remove_events(session, [odd, "go"]) == 2
    assert redis_probe.zrange(events, 0, 0) == [b'{"note":{"id":"go"}}']
    assert texts(await verbs.get_events(session)) == ["x"]


@each_server
async def test_what_is_far_back_is_found(
    make_verbs: Callable[..., Verbs], session: SessionKey
) -> None:
    verbs = make_verbs(session_event_limit=None)
    for start in (0, 700, 1400):
        await verbs.append_events(session, make_events(*range(start, start + 700)))
    assert await verbs.remove_events(session, [f"{n:032x}" for n in (0, 650, 2099)]) == 3
    assert await verbs.count_events(session) == 2097


@one_server
@one_mode
async def test_long_events_come_and_go_a_few_at_a_time(
    backend: Backend, make_verbs: Callable[..., Verbs], session: SessionKey
) -> None:
    """No command takes or brings much more than a page's bytes, but for what it gives back."""
    verbs, interceptor = intercept(backend, make_verbs)
    long = [HumanMessage("x" * 300_000, id=f"i{number}") for number in range(24)]
    for message in long:
        await verbs.append_messages(session, [message])
    ids = [event.id for event in await verbs.get_events(session)][::-1]
    interceptor.requests.clear()
    assert await verbs.remove_events(session, ids[:8]) == 8
    # The first one was sent again, as its node lacked the script.
    large = [c for (c,) in interceptor.requests if sum(map(_size, c)) > 200_000]
    removals = [command for command in large if command[0] == "EVALSHA"]
    assert len(removals) == 3
    assert all(sum(map(_size, command)) < 1_100_000 for command in removals)
    interceptor.requests.clear()
    await verbs.append_messages(session, [HumanMessage("again", id="i0")], once=True)
    pages = [c for (c,) in interceptor.requests if c[0] == "ZREVRANGEBYSCORE"]
    assert [command[-1] for command in pages] == [16, 4]
    assert len(await verbs.get_messages(session)) == 16  # it is known


def _size(argument: object) -> int:
    return len(argument) if isinstance(argument, (bytes, str)) else 0
