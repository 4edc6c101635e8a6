"""Long reads go in pages, and give what a short one would."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from langchain_redis_session import (
    AppendEventContext,
    CorruptEventError,
    Event,
    EventTooLargeError,
    RedisSessionChatMessageHistory,
    SessionCallbackHandler,
    SessionKey,
)
from langchain_redis_session._codec.events import decode_event, encode_event
from langchain_redis_session._codec.usual_events import read_messages
from langchain_redis_session._operations import counting, pages, prepared, reading, stretch
from langchain_redis_session.models import list_messages
from tests.contract.backends import Backend, RedisProbe, Verbs
from tests.contract.intercept import Commands, intercept
from tests.contract.narrow import each_server, one_mode, one_server
from tests.contract.store import NOON, make_event, make_events, tag_of, texts

PAGE = 7
LARGEST_PAGE = pages.LARGEST_PAGE


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (counting, pages, stretch):
        monkeypatch.setattr(module, "LARGEST_PAGE", PAGE)


@pytest.fixture
async def session(verbs: Verbs, key: SessionKey) -> SessionKey:
    await verbs.create_session("shop", "ann", "s1")
    return key


def write_foreign(probe: RedisProbe, backend: Backend, *scores: int) -> list[str]:
    """Store events as nobody here does, several at one score; give their texts in order."""
    events = probe.key(f"event:{tag_of(backend)}:ann:s1")
    texts = [f"f{number:02}" for number in range(len(scores))]
    for number, (text, score) in enumerate(zip(texts, scores, strict=True)):
        entry = encode_event(Event(HumanMessage(text), id=f"{number:032x}", time_ns=NOON))
        probe.zadd(events, {entry: score})
    return texts


@pytest.mark.parametrize("size", [0, 1, PAGE - 1, PAGE, PAGE + 1, 3 * PAGE, 3 * PAGE + 2])
@each_server
async def test_all_of_a_session_is_read(verbs: Verbs, session: SessionKey, size: int) -> None:
    await verbs.append_events(session, make_events(*range(size)))
    expected = [f"m{number}" for number in range(size)]
    assert texts(await verbs.get_messages(session)) == expected
    events = await verbs.get_events(session)
    assert texts(events) == expected
    assert all(event.score == event.time_ns for event in events)
    assert texts(await verbs.get_events(session, strict=True)) == expected
    assert texts(await verbs.get_events(session, limit=100)) == expected
    read = await verbs.get_session(session)
    assert (texts(read.events), read.is_cut) == (expected, False)
    assert texts((await verbs.get_summarized_messages(session)).messages) == expected
    (listed,) = await verbs.list_sessions("shop", "ann", include_events=True)
    assert (texts(listed.events), listed.event_count) == (expected, size)
    assert texts(await verbs.get_messages(session, limit=size + 5, offset=2)) == expected[:-2]


@each_server
async def test_parts_of_a_session_are_read(verbs: Verbs, session: SessionKey) -> None:
    events = make_events(*range(40))
    await verbs.append_events(session, events)
    after, before = events[5].time_ns, events[34].time_ns
    read = await verbs.get_session(session, after=after, before=before)
    assert (texts(read.events), read.is_cut) == ([f"m{n}" for n in range(5, 35)], True)
    read = await verbs.get_session(session, limit=30)
    assert (texts(read.events), read.is_cut) == ([f"m{n}" for n in range(10, 40)], True)
    read = await verbs.get_session(session, after=events[0].time_ns)
    assert (len(read.events), read.is_cut) == (40, False)
    found = await verbs.search_events(session, "m3", limit=None)
    assert texts(found) == ["m3"]


@pytest.mark.parametrize("scores", [[5] * 30, [1, *[5] * 8, *[6] * 14, *[7] * 7]])
@each_server
async def test_events_of_one_score_are_read_once(
    verbs: Verbs,
    session: SessionKey,
    redis_probe: RedisProbe,
    backend: Backend,
    scores: list[int],
) -> None:
    expected = write_foreign(redis_probe, backend, *scores)
    assert texts(await verbs.get_messages(session)) == expected
    assert texts(await verbs.get_events(session)) == expected
    assert texts((await verbs.get_session(session)).events) == expected
    window = await verbs.get_event_window(session, f"{12:032x}", before=9, after=90)
    assert texts(window) == expected[3:]
    history = RedisSessionChatMessageHistory(
        "s1", app_name="shop", user_id="ann", service=verbs.service
    )
    if verbs.mode == "sync":
        assert len(history) == 30


@pytest.mark.parametrize("name", ["get_messages", "get_events"])
@each_server
async def test_what_is_removed_or_comes_between_two_pages(
    backend: Backend,
    make_verbs: Callable[..., Verbs],
    session: SessionKey,
    redis_probe: RedisProbe,
    name: str,
) -> None:
    """A page ends at an entry that is gone when the next one is asked for."""
    verbs, interceptor = intercept(backend, make_verbs)
    await verbs.append_events(session, make_events(*range(3 * PAGE)))
    events = redis_probe.key(f"event:{tag_of(backend)}:ann:s1")
    new = encode_event(make_event(99))

    def change(_: Commands) -> None:
        if len(interceptor.requests) == 1:
            redis_probe.zremrangebyrank(events, 2 * PAGE, 2 * PAGE)
            redis_probe.zadd(events, {new: NOON * 2})

    await getattr(verbs, name)(session)  # the server has the script then
    interceptor.requests.clear()
    interceptor.before = change
    found = texts(await getattr(verbs, name)(session))
    kept = [f"m{number}" for number in range(3 * PAGE)]
    if name == "get_messages":  # which began anew
        kept.remove(f"m{2 * PAGE}")
        kept.append("m99")
    assert found == kept


@each_server
async def test_entries_that_cannot_be_read_on_any_page(
    verbs: Verbs, session: SessionKey, redis_probe: RedisProbe, backend: Backend
) -> None:
    await verbs.append_events(session, make_events(*range(20)))
    events = redis_probe.key(f"event:{tag_of(backend)}:ann:s1")
    for number in (1, 10, 19):
        redis_probe.zadd(events, {f"no JSON {number}": make_event(number).time_ns + 1000})
    before = verbs.service.stats().corrupt_entries
    assert len(await verbs.get_messages(session)) == 20
    assert verbs.service.stats().corrupt_entries == before + 3
    with pytest.raises(CorruptEventError, match="score"):
        await verbs.get_events(session, strict=True)


# Counting


@pytest.mark.parametrize("limit", [None, 12])
@one_server
async def test_the_length_of_a_history_is_that_of_its_messages(
    make_verbs: Callable[..., Verbs],
    key: SessionKey,
    redis_probe: RedisProbe,
    backend: Backend,
    limit: int | None,
) -> None:
    verbs = make_verbs(session_event_limit=limit)
    await verbs.create_session("shop", "ann", "s1")
    history = RedisSessionChatMessageHistory(
        "s1", app_name="shop", user_id="ann", service=verbs.service
    )
    result = ToolMessage("1", tool_call_id="c")
    call = AIMessage("", tool_calls=[{"name": "f", "args": {}, "id": "c"}])
    talk: list[Any] = [result, result, HumanMessage("a"), result, call, result, AIMessage("b")]
    if backend.mode == "async":
        return  # there is no awaitable len()
    assert len(history) == 0
    for message in talk:
        await verbs.append_messages(key, [message])
        assert len(history) == len(history.messages)
    state_only = make_event(80, state_delta={"k": 1})
    state_only.message = None
    await verbs.append_events(key, [state_only])
    assert len(history) == len(history.messages)
    two = [
        {"index": n, "message": {"role": "tool", "tool_id": "c", "content": "x"}} for n in (0, 1)
    ]
    events = redis_probe.key(f"event:{tag_of(backend)}:ann:s1")
    redis_probe.zadd(
        events,
        {
            b"no JSON": NOON * 2,
            b'{"id":"go","choices":%b}' % str(two).replace("'", '"').encode(): NOON * 2 + 1000,
            b'{"choices":[{"message":{"role":"user","content":"no id"}}]}': NOON * 2 + 2000,
        },
    )
    for message in [*talk, HumanMessage("x", name="ann")] * 3:
        assert len(history) == len(history.messages)
        await verbs.append_messages(key, [message])
        assert await verbs.count_events(key) == redis_probe.zcard(events)


# The event loop


@one_server
@one_mode
async def test_large_pages_are_decoded_in_a_thread(
    verbs: Verbs, session: SessionKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: dict[bytes, int] = {}

    def decode(entry: bytes) -> Event:
        threads[entry] = threading.get_ident()
        return decode_event(entry)

    def read(entries: list[bytes]) -> list[BaseMessage] | None:
        threads.update(dict.fromkeys(entries, threading.get_ident()))
        return read_messages(entries)

    monkeypatch.setattr(stretch, "decode_event", decode)
    monkeypatch.setattr(stretch, "read_messages", read)
    monkeypatch.setattr(pages, "decode_event", decode)
    large, small = HumanMessage("x" * 70_000), HumanMessage("small")
    await verbs.append_messages(session, [large])
    here = threading.get_ident()
    for call in (
        verbs.get_messages(session),
        verbs.get_session(session),
        verbs.search_events(session, "x"),
        verbs.trim_conversations(session),
    ):
        threads.clear()
        await call
        assert threads
        assert here not in threads.values()
    await verbs.append_messages(session, [small])
    threads.clear()
    await verbs.get_messages(session)
    assert {*threads.values()} == {here}


@one_server
@one_mode
async def test_other_tasks_have_their_turn_while_many_messages_are_decoded(
    verbs: Verbs, session: SessionKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns, seen, sizes = 0, list[int](), list[int]()

    async def take_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    def read(entries: list[bytes]) -> list[BaseMessage] | None:
        seen.append(turns)
        sizes.append(sum(map(len, entries)))
        return read_messages(entries)

    monkeypatch.setattr(stretch, "LARGEST_PAGE", LARGEST_PAGE)
    monkeypatch.setattr(stretch, "read_messages", read)
    talk = [HumanMessage(f"{number} {'x' * 2000}") for number in range(500)]
    await verbs.append_messages(session, talk)
    other = asyncio.create_task(take_turns())
    assert await verbs.get_messages(session) == talk
    other.cancel()
    assert max(sizes) <= 64 * 1024
    assert len({*seen}) == len(seen)


@one_server
@one_mode
async def test_messages_of_many_events_are_taken_in_a_thread(
    verbs: Verbs, session: SessionKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[int] = []

    def take(events: list[Event]) -> list[BaseMessage]:
        threads.append(threading.get_ident())
        return list_messages(events)

    monkeypatch.setattr(reading, "list_messages", take)
    monkeypatch.setattr(reading, "LARGEST_PAGE", 2)
    for text in "abc":
        await verbs.append_messages(session, [HumanMessage(text)], tag="unusual")
    assert len(await verbs.get_messages(session, limit=2)) == 2
    assert [m.content for m in await verbs.get_messages(session)] == ["a", "b", "c"]
    few, many = threads
    assert few == threading.get_ident() != many


@pytest.mark.parametrize("hooked", [False, True], ids=["", "hooked"])
@one_server
@one_mode
async def test_large_appends_are_encoded_in_a_thread(
    make_verbs: Callable[..., Verbs], key: SessionKey, monkeypatch: pytest.MonkeyPatch, hooked: bool
) -> None:
    threads: set[int] = set()

    def encode(event: Event, **options: Any) -> bytes:
        threads.add(threading.get_ident())
        return encode_event(event, **options)

    monkeypatch.setattr(prepared, "encode_event", encode)
    verbs = make_verbs(callbacks=[Watching()] if hooked else None)
    await verbs.create_session("shop", "ann", "s1")
    here, text = threading.get_ident(), "x" * 70_000
    part = {"type": "text", "text": text}
    call = {"name": "f", "args": {"x": [text]}, "id": "1"}
    for event in (
        Event(HumanMessage(text)),
        Event(HumanMessage([part])),
        Event(AIMessage("", tool_calls=[call])),
        Event(ToolMessage("x", tool_call_id="1", artifact={"x": text})),
        Event(HumanMessage("x"), state_delta={"k": text}),
    ):
        threads.clear()
        assert (await verbs.append_events(key, [event])).written == 1
        assert threads
        assert here not in threads
    threads.clear()
    await verbs.append_messages(key, [HumanMessage("small")])
    assert threads == {here}
    threads.clear()
    await verbs.append_messages(key, [HumanMessage("small")] * 400)
    assert here not in threads
    with pytest.raises(EventTooLargeError, match=r"events\[1\]"):
        await verbs.append_messages(key, [HumanMessage("x"), HumanMessage("x" * 9_000_000)])


class Watching(SessionCallbackHandler):
    """Makes that appends go their longer way."""

    def on_append_event_start(self, context: AppendEventContext) -> None: ...
