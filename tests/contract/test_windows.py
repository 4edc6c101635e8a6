"""Reading a part of a session: limits, bounds, where it starts, what was cut off."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from langchain_redis_session import ConfigurationError, Event, SessionKey
from tests.contract.backends import Backend, Verbs
from tests.contract.intercept import intercept
from tests.contract.narrow import each_server, one_mode, one_server
from tests.contract.store import NOON, STEP, Clock, make_event, make_events, texts
from tests.methods import READS

CALL = {"name": "look", "args": {}, "id": "c"}


def human(text: str) -> HumanMessage:
    return HumanMessage(text)


def call(text: str) -> AIMessage:
    return AIMessage(text, tool_calls=[CALL])


def result(text: str) -> ToolMessage:
    return ToolMessage(text, tool_call_id="c")


@pytest.fixture
async def session(verbs: Verbs, key: SessionKey) -> SessionKey:
    await verbs.create_session("shop", "ann", "s1")
    return key


async def append(verbs: Verbs, key: SessionKey, *messages: BaseMessage) -> list[Event]:
    events = [make_event(place, message) for place, message in enumerate(messages)]
    await verbs.append_events(key, events)
    return events


async def test_limit_and_offset_count_from_the_newest(verbs: Verbs, session: SessionKey) -> None:
    await verbs.append_events(session, make_events(*range(1, 8)))
    for options, expected in (
        ({}, "m1 m2 m3 m4 m5 m6 m7"),
        ({"limit": 3}, "m5 m6 m7"),
        ({"limit": 3, "offset": 2}, "m3 m4 m5"),
        ({"limit": 3, "offset": 5}, "m1 m2"),
        ({"offset": 5}, "m1 m2"),
        ({"offset": 7}, ""),
        ({"limit": 2, "offset": 9}, ""),
        ({"limit": 0}, ""),
        ({"limit": 100}, "m1 m2 m3 m4 m5 m6 m7"),
    ):
        for verb in (verbs.get_events, verbs.get_messages):
            assert " ".join(texts(await verb(session, **options))) == expected, options
        read = await verbs.get_session(session, **options)
        assert " ".join(texts(read.events)) == expected, options
        assert " ".join(texts(read.messages)) == expected, options


async def test_messages_are_counted_without_events_that_hold_none(
    verbs: Verbs, session: SessionKey
) -> None:
    events = make_events(*range(1, 11))
    for place in (2, 3, 4, 5, 7, 9):
        events[place].message = None
    await verbs.append_events(session, events)

    assert texts(await verbs.get_messages(session, limit=2)) == ["m7", "m9"]
    assert texts(await verbs.get_messages(session, limit=3)) == ["m2", "m7", "m9"]
    assert texts(await verbs.get_messages(session, limit=2, offset=1)) == ["m2", "m7"]
    assert texts(await verbs.get_messages(session)) == ["m1", "m2", "m7", "m9"]
    assert len(await verbs.get_events(session, limit=3)) == 3
    read = await verbs.get_session(session, limit=3)
    assert len(read.events) == 3
    assert texts(read.messages) == ["m9"]


async def test_bounds_are_inclusive_and_on_the_score(verbs: Verbs, session: SessionKey) -> None:
    late, early = make_event(5), make_event(2)  # the second one's clock is behind
    await verbs.append_events(session, [make_event(1), late, early, make_event(9)])
    assert late.score is not None
    assert early.score is not None
    assert early.score > late.score

    async def between(**bounds: Any) -> str:
        read = await verbs.get_session(session, **bounds)
        listed = texts(await verbs.get_events(session, **bounds))
        assert texts(await verbs.get_messages(session, **bounds)) == listed
        assert texts(read.events) == listed
        return " ".join(listed)

    assert await between(after=late.score) == "m5 m2 m9"
    assert await between(after=late.time_ns) == "m5 m2 m9"
    assert await between(before=late.score) == "m1 m5"
    assert await between(before=early.score) == "m1 m5 m2"
    assert await between(after=late.score, before=early.score) == "m5 m2"
    assert await between(after=late.score + 1024, before=NOON + 9 * STEP) == "m9"
    assert await between(after=late.score, before=early.score, limit=1) == "m2"
    assert await between(after=late.score, before=early.score, limit=1, offset=1) == "m5"
    assert await between(after=NOON + 10 * STEP) == ""


async def test_bounds_may_be_datetimes_of_any_zone(
    verbs: Verbs, session: SessionKey, clock: Clock
) -> None:
    second = 1_000_000_000
    for offset in (0, 1, 2):
        clock.stop_at(NOON + offset * second)
        await verbs.append_messages(session, [human(f"+{offset}")])
    moment = datetime.fromtimestamp(NOON // second + 1, timezone(timedelta(hours=5)))
    assert texts(await verbs.get_messages(session, after=moment)) == ["+1", "+2"]
    assert texts(await verbs.get_messages(session, before=moment)) == ["+0", "+1"]


@pytest.mark.parametrize(
    "moment", [1_790_000_000.5, 1_790_000_000_000, 1_790_000_000_000_000, 1, 1e15]
)
async def test_a_bound_in_seconds_or_milliseconds_is_refused_and_not_taken_for_nanoseconds(
    verbs: Verbs, session: SessionKey, moment: float
) -> None:
    await append(verbs, session, human("h"))
    for name in ("after", "before"):
        with pytest.raises(ConfigurationError, match=rf"{name}=.* are these seconds"):
            await verbs.get_messages(session, **{name: moment})
    assert texts(await verbs.get_messages(session, after=0)) == ["h"]  # from the start
    assert texts(await verbs.get_messages(session, before=0.0)) == []


async def test_messages_do_not_start_with_results_whose_call_was_cut_off(
    verbs: Verbs, session: SessionKey
) -> None:
    await append(verbs, session, human("h"), call("c"), result("r1"), result("r2"), AIMessage("a"))

    assert texts(await verbs.get_messages(session, limit=2)) == ["a"]
    assert texts(await verbs.get_messages(session, limit=3)) == ["a"]  # not topped up
    assert texts(await verbs.get_messages(session, limit=4)) == ["c", "r1", "r2", "a"]
    assert texts(await verbs.get_messages(session, limit=2, offset=1)) == []
    assert texts(await verbs.get_messages(session, after=NOON + 2 * STEP)) == ["a"]
    assert texts(await verbs.get_messages(session, before=NOON + 3 * STEP, limit=2)) == []
    read = await verbs.get_session(session, limit=3)
    assert texts(read.events) == ["r1", "r2", "a"]
    assert texts(read.messages) == ["a"]


async def test_messages_never_start_with_results_whoever_has_removed_the_call(
    verbs: Verbs, session: SessionKey
) -> None:
    """Nobody can see here whether a limit of another service has cut the call off."""
    await append(verbs, session, result("r"), AIMessage("a"))
    assert texts(await verbs.get_messages(session)) == ["a"]
    assert texts(await verbs.get_messages(session, limit=2)) == ["a"]
    found = await verbs.get_session(session)
    assert texts(found.messages) == ["a"]
    assert texts(found.events) == ["r", "a"]


async def test_results_whose_call_was_removed_by_retention(
    make_verbs: Callable[..., Verbs], key: SessionKey
) -> None:
    verbs = make_verbs(session_event_limit=3)
    await verbs.create_session("shop", "ann", "s1")
    await append(verbs, key, human("h"), call("c"), result("r1"), result("r2"), AIMessage("a"))
    assert texts(await verbs.get_events(key)) == ["r1", "r2", "a"]
    assert texts(await verbs.get_messages(key)) == ["a"]
    assert texts((await verbs.get_session(key)).messages) == ["a"]


async def test_a_session_says_whether_it_was_cut(
    make_verbs: Callable[..., Verbs], key: SessionKey
) -> None:
    verbs = make_verbs(session_event_limit=4)
    await verbs.create_session("shop", "ann", "s1")
    await verbs.append_events(key, make_events(1, 2, 3))

    async def is_cut(**options: Any) -> bool:
        cut: bool = (await verbs.get_session(key, **options)).is_cut
        return cut

    assert not await is_cut()
    assert not await is_cut(limit=3)
    assert not await is_cut(limit=2, offset=1)
    assert not await is_cut(before=NOON + 2 * STEP)
    assert await is_cut(limit=2)
    assert await is_cut(limit=1, offset=1)
    assert await is_cut(after=NOON + 2 * STEP)
    await verbs.append_events(key, make_events(4, 5))
    assert await is_cut()


async def test_a_window_that_starts_on_a_human(verbs: Verbs, session: SessionKey) -> None:
    messages = [
        *(human("h1"), AIMessage("a1"), AIMessage("b1")),
        *(human("h2"), call("c2"), result("r2"), AIMessage("a2")),
    ]
    await append(verbs, session, *messages)
    for options, expected in (
        ({}, "h1 a1 b1 h2 c2 r2 a2"),
        ({"limit": 6}, "h2 c2 r2 a2"),  # begins at the first user message in it
        ({"limit": 4}, "h2 c2 r2 a2"),
        ({"limit": 3}, "h2 c2 r2 a2"),  # none in it: the last one before, in front
        ({"limit": 1}, "h2 a2"),
        ({"limit": 2, "offset": 4}, "h1 a1 b1"),
        ({"limit": 1, "offset": 4}, "h1 b1"),
        ({"limit": 1, "before": NOON + 2 * STEP}, "h1 b1"),
        ({"after": NOON + 1 * STEP}, "h2 c2 r2 a2"),
        ({"limit": 0}, ""),
    ):
        events = await verbs.get_events(session, start_on="human", **options)
        assert " ".join(texts(events)) == expected, options
        read = await verbs.get_session(session, start_on="human", **options)
        assert " ".join(texts(read.events)) == expected, options
        assert " ".join(texts(read.messages)) == expected, options


async def test_a_window_with_no_human_before_it(verbs: Verbs, session: SessionKey) -> None:
    await append(verbs, session, AIMessage("a"), AIMessage("b"), AIMessage("c"))
    assert await verbs.get_events(session, limit=2, start_on="human") == []
    assert await verbs.get_messages(session, start_on="human") == []
    read = await verbs.get_session(session, start_on="human")
    assert read.events == []
    assert read.is_cut


@each_server
async def test_all_messages_are_read_without_a_script(
    backend: Backend, make_verbs: Callable[..., Verbs], key: SessionKey
) -> None:
    """Its reply would pass through Lua, which takes as long again."""
    verbs, interceptor = intercept(backend, make_verbs)
    await verbs.create_session("shop", "ann", "s1")
    await append(verbs, key, AIMessage("1"), human("2"), call("3"), result("4"))
    for options, expected in (
        ({}, "1 2 3 4"),
        ({"offset": 2}, "1 2"),
        ({"start_on": "human"}, "2 3 4"),
    ):
        interceptor.requests.clear()
        assert " ".join(texts(await verbs.get_messages(key, **options))) == expected
        (request,) = interceptor.requests
        assert [command[0] for command in request] == ["ZREVRANGE"]
    events = await verbs.get_events(key)  # whose scores are needed
    assert all(event.score for event in events)


@each_server
async def test_looking_back_for_a_human_goes_in_few_batches(
    backend: Backend, make_verbs: Callable[..., Verbs], key: SessionKey
) -> None:
    verbs, interceptor = intercept(backend, make_verbs)
    await verbs.create_session("shop", "ann", "s1")
    events = [make_event(n, AIMessage(f"a{n}")) for n in range(400)]
    events[10].message = human("h")
    await verbs.append_events(key, events)
    expected = ["h", "a399"]
    assert texts(await verbs.get_events(key, limit=1, start_on="human")) == expected
    interceptor.requests.clear()
    assert texts(await verbs.get_events(key, limit=1, start_on="human")) == expected
    assert len(interceptor.requests) <= 6
    interceptor.requests.clear()
    await verbs.get_events(key, limit=395, start_on="human")
    assert len(interceptor.requests) == 1


@one_server
@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"limit": -1}, "limit must be a whole number from 0, not -1"),
        ({"limit": "3"}, "limit must be a whole number"),
        ({"limit": True}, "limit must be a whole number"),
        ({"offset": -1}, "offset must be"),
        ({"offset": None}, "offset must be"),
        ({"start_on": "ai"}, "start_on must be 'human' or None, not 'ai'"),
        ({"after": "yesterday"}, "after must be a datetime or nanoseconds"),
        ({"after": 10**400}, "after must be a datetime or nanoseconds"),
        ({"before": float("nan")}, "before must be"),
        ({"before": datetime(2026, 1, 1)}, "before has no time zone"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
@pytest.mark.parametrize("read", READS)
async def test_arguments_that_cannot_work(
    verbs: Verbs, session: SessionKey, read: str, options: dict[str, Any], text: str
) -> None:
    with pytest.raises(ConfigurationError, match=text):
        await getattr(verbs, read)(session, **options)


@each_server
@one_mode
@pytest.mark.parametrize("read", READS)
async def test_a_limit_beyond_all_numbers_is_none(
    verbs: Verbs, session: SessionKey, read: str
) -> None:
    await verbs.append_events(session, make_events(1, 2))
    found = await getattr(verbs, read)(session, limit=2**70)
    assert texts(getattr(found, "events", found)) == ["m1", "m2"]
