"""Finding events: by their text, and around one of them."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from langchain_redis_session import ConfigurationError, InvalidSessionKeyError, SessionKey
from tests.contract.backends import Verbs
from tests.contract.narrow import each_server, one_server
from tests.contract.store import NOON, STEP, make_event, make_events

TALK: list[BaseMessage] = [
    SystemMessage("You sell hotels."),
    HumanMessage("A cheap  hotel in Berlin?"),
    AIMessage("", tool_calls=[{"name": "find", "args": {"q": "Berlin"}, "id": "c"}]),
    ToolMessage("Hotel Adlon, 400 €", tool_call_id="c"),
    AIMessage([{"type": "text", "text": "The Adlon in BERLIN is not cheap."}]),
    HumanMessage("Straße? 北京的酒店 too"),
]


@pytest.fixture
async def session(verbs: Verbs, key: SessionKey) -> SessionKey:
    await verbs.create_session("shop", "ann", "s1")
    events = [make_event(place, message) for place, message in enumerate(TALK)]
    events.append(make_event(6, state_delta={"berlin": "berlin"}))
    events[-1].message = None
    await verbs.append_events(key, events)
    return key


async def test_all_words_must_stand_in_the_text(verbs: Verbs, session: SessionKey) -> None:
    async def find(query: str, **options: Any) -> list[int]:
        events = await verbs.search_events(session, query, **options)
        return [TALK.index(event.message) for event in events]

    assert await find("berlin") == [1, 4]
    assert await find("Berlin CHEAP") == [1, 4]
    assert await find("berlin adlon") == [4]
    assert await find('"cheap hotel"') == [1]
    assert await find('"hotel cheap"') == []
    assert await find("hotel") == [1, 3]  # a word of its own, not "hotels"
    assert await find("strasse") == [5]
    assert await find("酒店") == [5]
    assert await find("€") == [3]
    assert await find("find") == []  # text, not arguments of calls
    assert await find(".*") == []
    assert await find("berlin", limit=1) == [4]
    assert await find("berlin", limit=0) == []
    assert await find("berlin", limit=None) == [1, 4]
    assert await find("berlin", roles=["user"]) == [1]
    assert await find("hotel hotels", roles=["system", "tool"]) == []
    assert await find("hotels", roles=["system"]) == [0]
    assert await find("adlon", roles=["tool", "assistant"]) == [3, 4]
    assert await find("berlin", roles=[]) == []
    assert await find("berlin", after=NOON + 2 * STEP) == [4]
    assert await find("berlin", before=NOON + 3 * STEP) == [1]


async def test_a_search_looks_back_as_far_as_it_must(verbs: Verbs, session: SessionKey) -> None:
    await verbs.append_events(session, make_events(*range(100, 400)))
    found = await verbs.search_events(session, "berlin", limit=1)
    assert [event.id for event in found] == [f"{4:032x}"]
    assert found[0].score == NOON + 4 * STEP
    assert len(await verbs.search_events(session, "m100")) == 1
    assert await verbs.search_events(session, "nowhere") == []


async def test_a_window_holds_the_events_around_one(verbs: Verbs, session: SessionKey) -> None:
    await verbs.append_events(session, make_events(*range(100, 200)))

    async def around(number: int, **options: Any) -> list[int]:
        events = await verbs.get_event_window(session, f"{number:032x}", **options)
        return [int(event.id, 16) for event in events]

    assert await around(150) == list(range(145, 156))
    assert await around(150, before=2, after=1) == [148, 149, 150, 151]
    assert await around(150, before=0, after=0) == [150]
    assert await around(1, before=9, after=2) == [0, 1, 2, 3]
    assert await around(198, before=1, after=9) == [197, 198, 199]
    assert await around(150, before=99, after=99, roles=["assistant"]) == [2, 4, 150]
    assert await around(3, before=1, after=2, roles=["user"]) == [1, 3, 5, 100]
    assert await around(6, before=1, after=1) == [5, 6, 100]
    assert await around(999) == []


async def test_the_event_is_found_by_its_own_id(verbs: Verbs, key: SessionKey) -> None:
    await verbs.create_session("shop", "ann", "s1")
    target = make_event(1, id='odd "id"\\ 東京')
    decoys = [
        make_event(2, HumanMessage(f'"id":"{target.id}"')),
        make_event(3, extensions={"mine": {"id": target.id}}),
        make_event(4, HumanMessage("x", id=target.id)),
    ]
    await verbs.append_events(key, [*decoys[:1], target, *decoys[1:]])
    (found,) = await verbs.get_event_window(key, target.id, before=0, after=0)
    assert found == target
    assert found.score == target.score


@one_server
async def test_a_query_of_as_many_words_as_it_may_have(verbs: Verbs, session: SessionKey) -> None:
    words = [f"w{number}" for number in range(63)]
    long = " ".join(words * 100)
    await verbs.append_messages(session, [HumanMessage(f"{long} end"), HumanMessage(long)])
    found = await verbs.search_events(session, f'{" ".join(words)} "{long}  END"')
    assert [event.message.text for event in found] == [f"{long} end"]


@each_server
async def test_an_event_is_found_deep_in_a_long_session(verbs: Verbs, key: SessionKey) -> None:
    await verbs.create_session("shop", "ann", "s1")
    for start in (0, 600):
        await verbs.append_events(key, make_events(*range(start, start + 600)))
    events = await verbs.get_event_window(key, f"{250:032x}", before=100, after=300)
    assert [int(event.id, 16) for event in events] == list(range(200, 551))


@one_server
async def test_arguments_that_cannot_work(verbs: Verbs, session: SessionKey) -> None:
    many = " ".join(f"w{number}" for number in range(65))
    for query in ("", "  ", '""', None, many, '"a b" ' * 65, "x" * 100_000 + many):
        with pytest.raises(ConfigurationError, match="query"):
            await verbs.search_events(session, query)
    for roles in ("user", ["human"]):
        with pytest.raises(ConfigurationError, match="roles must be a list of assistant, system"):
            await verbs.search_events(session, "x", roles=roles)
        with pytest.raises(ConfigurationError, match="roles"):
            await verbs.get_event_window(session, "x", roles=roles)
    with pytest.raises(ConfigurationError, match="limit"):
        await verbs.search_events(session, "x", limit=-1)
    for options in ({"before": -1}, {"after": -1}, {"after": 1.5}):
        with pytest.raises(ConfigurationError):
            await verbs.get_event_window(session, "x", **options)
    with pytest.raises(InvalidSessionKeyError, match="event_id"):
        await verbs.get_event_window(session, "")
