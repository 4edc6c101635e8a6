"""Write-behind: appends return at once, and nobody can tell by what is read afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import fakeredis
import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.runnables import RunnableLambda

from langchain_redis_session import (
    BackendUnavailableError,
    ConfigurationError,
    DeadLetter,
    Event,
    EventTooLargeError,
    InvalidSessionKeyError,
    PersistError,
    RedisSessionChatMessageHistory,
    RedisSessionError,
    RedisSessionService,
    SessionKey,
    SessionNotFoundError,
    SessionSummarizer,
    StateTooLargeError,
    TrackEvent,
    UnserializableMessageError,
    event_threshold,
)
from langchain_redis_session._operations.append import append_prepared
from tests.contract.backends import Backend, RedisProbe, Verbs
from tests.contract.intercept import Commands, Interceptor
from tests.contract.narrow import each_server, one_mode, one_server
from tests.contract.store import (
    NOON,
    STEP,
    make_answers,
    make_event,
    make_events,
    snapshot,
    tag_of,
    texts,
)
from tests.effort import examples
from tests.methods import METHODS, arguments_of, parameters_of
from tests.waits import MOMENT_S, PATIENCE_S, await_until

WORKERS = (
    "redis-session-persister",
    "redis-session-aside",  # where a cluster's client works for the other
)


class Gate:
    """Lets the workers' requests through, or keeps them waiting; verbs always pass."""

    def __init__(self) -> None:
        self._open = threading.Event()
        self._open.set()
        self.reached = threading.Event()
        self.requests: list[Commands] = []

    def __call__(self, commands: Commands) -> None:
        if threading.current_thread().name in WORKERS:
            self.requests.append(commands)
            self.reached.set()
            assert self._open.wait(PATIENCE_S)

    def hold(self, seconds: float | None = None) -> None:
        self._open.clear()
        self.reached.clear()
        if seconds is not None:
            threading.Timer(seconds, self.release).start()

    def release(self) -> None:
        self._open.set()

    async def wait_until_reached(self) -> None:
        assert await asyncio.to_thread(self.reached.wait, PATIENCE_S)


@dataclass
class Queued:
    """A service with write-behind, and a gate before its workers."""

    verbs: Verbs
    gate: Gate
    letters: list[DeadLetter] = field(default_factory=list)

    @property
    def service(self) -> RedisSessionService:
        return self.verbs.service

    async def call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Call a verb that may wait, without blocking the loop in sync mode either."""
        if self.verbs.mode == "async":
            return await getattr(self.verbs, name)(*args, **kwargs)
        return await asyncio.to_thread(getattr(self.service, name), *args, **kwargs)

    async def wait_for_letters(self, count: int) -> None:
        """The handler is called a moment after `flush` has seen the dead letter."""
        await await_until(lambda: len(self.letters) >= count)

    async def pile_up(self, append: Callable[[], Awaitable[Any]]) -> list[Commands]:
        """Let appends pile up behind another; give what the worker then sent for them."""
        await self.verbs.append_messages(PLUG, [HumanMessage("first")], create=True)
        await self.verbs.append_track_event(PLUG, "tools", 1)
        assert await self.call("flush", PATIENCE_S)  # the server has the scripts now
        self.gate.hold()
        await self.verbs.append_messages(PLUG, [HumanMessage("plug")])
        await self.gate.wait_until_reached()
        await append()
        seen = len(self.gate.requests)
        self.gate.release()
        assert await self.call("flush", PATIENCE_S)
        return self.gate.requests[seen:]


PLUG = SessionKey("shop", "ann", "plug")  # on the node of the others
MakeQueued = Callable[..., Queued]


@pytest.fixture
def make_queued(backend: Backend, make_verbs: Callable[..., Verbs]) -> Iterator[MakeQueued]:
    """Make services with write-behind: `make_queued(persist_queue_size=2)`."""
    gates: list[Gate] = []

    def make(**options: Any) -> Queued:
        gate, letters = Gate(), list[DeadLetter]()
        gates.append(gate)
        clients = {"client": Interceptor(backend.client, before=gate)}
        if backend.mode == "async":
            clients["async_client"] = backend.make_async_client()
        defaults = {"enable_async_persist": True, "on_persist_error": letters.append}
        return Queued(make_verbs(**clients, **defaults | options), gate, letters)

    yield make
    for gate in gates:
        gate.release()


@pytest.fixture
def queued(make_queued: MakeQueued) -> Queued:
    """A service with one worker."""
    return make_queued(async_persister_num=1)


@pytest.fixture
async def session(queued: Queued, key: SessionKey) -> SessionKey:
    await queued.verbs.create_session(key.app_name, key.user_id, key.session_id)
    return key


def payloads(events: list[TrackEvent]) -> list[Any]:
    return [event.payload for event in events]


# What goes through


async def test_appends_return_queued_and_are_read(queued: Queued, session: SessionKey) -> None:
    verbs, events = queued.verbs, make_events(0, 1, 2)
    events[2].state_delta = {"n": 1, "user:n": 2, "app:n": 3, "temp:n": 4, "raw": b"\xff\x00"}
    results = [
        await verbs.append_event(session, events[0]),
        await verbs.append_events(session, events[1:]),
        await verbs.append_messages(session, [AIMessage("m3")], request_id="r"),
    ]
    made = await verbs.append_track_event(session, "tools", {"a": 1}, timestamp=NOON)

    assert [(r.queued, r.written, r.removed) for r in results] == [(True, 0, 0)] * 3
    assert [r.events for r in results[:2]] == [events[:1], events[1:]]
    read = await verbs.get_session(session)
    assert texts(read.messages) == ["m0", "m1", "m2", "m3"]
    assert [e.id for e in read.events[:3]] == [e.id for e in events]
    assert read.events[3].request_id == "r"
    assert read.state == {"n": 1, "user:n": 2, "app:n": 3, "raw": b"\xff\x00"}
    assert await verbs.get_track_events(session, "tools") == [made]
    assert read.tracks == ("tools",)
    # The worker has told the events where they stand.
    assert [e.score for e in events] == [e.score for e in read.events[:3]]
    assert queued.letters == []


@each_server
@one_mode
async def test_nothing_to_append_is_no_error(queued: Queued, key: SessionKey) -> None:
    result = await queued.verbs.append_messages(key, [], create=True)
    assert (result.events, result.written) == ([], 0)
    assert queued.service.stats().persist.accepted == 0  # type: ignore[union-attr]
    assert await queued.verbs.flush()


@each_server
async def test_order_holds_in_each_session(make_queued: MakeQueued, key: SessionKey) -> None:
    queued = make_queued(persist_queue_size=7, async_persister_num=2)
    keys = [SessionKey("shop", "ann", f"s{number}") for number in range(3)]

    def write(writer: int) -> None:
        for number in range(30):
            message = HumanMessage(f"{writer}:{number}")
            queued.service.append_messages(keys[number % 3], [message], create=True)

    async def awrite(writer: int) -> None:
        for number in range(30):
            message = HumanMessage(f"{writer}:{number}")
            await queued.service.aappend_messages(keys[number % 3], [message], create=True)

    if queued.verbs.mode == "async":
        await asyncio.gather(*map(awrite, range(6)))
    else:
        with ThreadPoolExecutor(6) as pool:
            list(pool.map(write, range(6)))
    for place, one in enumerate(keys):
        read = texts(await queued.call("get_messages", one))
        assert len(read) == 60
        for writer in range(6):
            own = [text for text in read if text.startswith(f"{writer}:")]
            assert own == [f"{writer}:{number}" for number in range(place, 30, 3)]


@one_server
async def test_events_and_tracks_of_a_session_keep_their_order(
    queued: Queued, session: SessionKey
) -> None:
    async def append() -> None:
        await queued.verbs.append_event(session, make_event(0))
        await queued.verbs.append_track_event(session, "tools", 0)
        await queued.verbs.append_track_event(session, "tools", 1)
        await queued.verbs.append_event(session, make_event(1))

    sent = [command for request in await queued.pile_up(append) for command in request]
    assert len(sent) == 3 + 1  # events, tracks (twice: it is new), events
    assert texts(await queued.verbs.get_messages(session)) == ["m0", "m1"]
    assert payloads(await queued.verbs.get_track_events(session, "tools")) == [0, 1]


@one_server
async def test_what_callers_change_afterwards_is_not_stored(
    queued: Queued, session: SessionKey
) -> None:
    message, payload = AIMessage("before", additional_kwargs={"a": [1]}), {"a": [1]}
    event = Event(HumanMessage("before"), state_delta={"n": [1]})
    queued.gate.hold()
    await queued.verbs.append_messages(session, [message], state_delta=(delta := {"m": {"a": 1}}))
    await queued.verbs.append_event(session, event)
    await queued.verbs.append_track_event(session, "tools", payload)
    message.content = "after"
    message.additional_kwargs["a"].append(2)
    assert event.message is not None
    event.message.content = "after"
    event.state_delta["n"].append(2)
    delta["m"]["a"] = 2
    payload["a"].append(2)
    queued.gate.release()
    read = await queued.call("get_session", session)
    assert texts(read.messages) == ["before", "before"]
    assert read.messages[0].additional_kwargs == {"a": [1]}
    assert read.state == {"n": [1], "m": {"a": 1}}
    assert payloads(await queued.verbs.get_track_events(session, "tools")) == [{"a": [1]}]


# Reading one's writes

Check = Callable[[Any], object]

SHOWS: dict[str, Check] = {  # what the result of each method must show
    "create_session": lambda r: len(r.events) == 2 and r.state["k"] == 1,
    "get_session": lambda r: len(r.events) == 2 and r.tracks == ("t",),
    "list_sessions": lambda r: len(r[0].events) == 2,
    "list_apps": lambda r: r == ["shop"],
    "list_users": lambda r: r == ["ann"],
    "delete_session": lambda r: r is True,
    "delete_user": lambda r: r.sessions == 1,
    "get_events": lambda r: len(r) == 2,
    "get_messages": lambda r: texts(r) == ["m1"],
    "get_summarized_messages": lambda r: texts(r.messages) == ["m0", "m1"],
    "count_events": lambda r: r == 2,
    "clear_events": lambda r: r == 2,
    "remove_events": lambda r: r == 1,
    "trim_conversations": lambda r: texts(r) == ["m1"],
    "get_event_window": lambda r: texts(r) == ["m0", "m1"],
    "search_events": lambda r: texts(r) == ["m1"],
    "update_session_state": lambda r: r is None,
    "delete_session_state": lambda r: r is None,
    "update_user_state": lambda r: r is None,
    "get_user_state": lambda r: r == {"k": 1},
    "delete_user_state": lambda r: r == 1,
    "update_app_state": lambda r: r is None,
    "get_app_state": lambda r: r == {"k": 1},
    "delete_app_state": lambda r: r == 1,
    "get_track_events": lambda r: payloads(r) == [7],
    "list_tracks": lambda r: r == ["t"],
}
DONE = {  # what each verb leaves of the queued appends' state
    "update_session_state": (2, 1, 1),
    "delete_session_state": (None, 1, 1),
    "update_user_state": (1, 2, 1),
    "delete_user_state": (1, None, 1),
    "update_app_state": (1, 1, 2),
    "delete_app_state": (1, 1, None),
}


USAGE = ("get_usage", "get_session_usage")


def test_every_method_that_reads_or_changes_is_looked_at() -> None:
    appends = {name for name in METHODS if name.startswith("append_")}
    summaries = {"create_summary", "enqueue_summary", "get_summary", "list_summaries"}
    others = {"close", "flush", "ping", "retry_dead_letters"}
    assert METHODS.keys() - appends - summaries - others - {*USAGE} == SHOWS.keys()


@one_server
async def test_flush_waits_for_the_reports(make_queued: MakeQueued, key: SessionKey) -> None:
    told: list[DeadLetter] = []

    def handler(letter: DeadLetter) -> None:
        time.sleep(MOMENT_S)
        assert made.verbs.service.flush(PATIENCE_S) is False  # in a handler, not for itself
        told.append(letter)

    made = make_queued(on_persist_error=handler)
    for number in range(3):
        missing = SessionKey(key.app_name, key.user_id, f"missing-{number}")
        await made.verbs.append_events(missing, make_events(number))
    assert await made.verbs.flush(PATIENCE_S) is False
    assert len(told) == 3


@each_server
@pytest.mark.parametrize("verb", ["create_summary", "enqueue_summary"])
async def test_a_summary_covers_what_was_accepted(
    make_queued: MakeQueued, key: SessionKey, verb: str
) -> None:
    queued = make_queued(
        summarizer=lambda request: " ".join(texts(request.messages)), auto_summarize=False
    )
    await queued.verbs.create_session(key.app_name, key.user_id, key.session_id)
    queued.gate.hold(0.05)
    await queued.verbs.append_events(key, make_answers(0))
    await queued.verbs.append_events(key, make_answers(1, 2))
    await getattr(queued.verbs, verb)(key, force=True)
    assert await queued.verbs.flush(PATIENCE_S)
    assert (await queued.verbs.get_summary(key)).text == "m0 m1 m2"
    assert len(await queued.verbs.list_summaries(key)) == 1


@each_server
async def test_appends_that_were_written_are_summarized(
    make_queued: MakeQueued, key: SessionKey
) -> None:
    queued = make_queued(
        summarizer=SessionSummarizer(
            RunnableLambda(lambda prompt: str(len(prompt.to_messages()))),
            trigger=event_threshold(3),
        )
    )
    await queued.verbs.create_session(key.app_name, key.user_id, key.session_id)
    for number in range(3):
        assert await queued.verbs.flush(PATIENCE_S)
        assert await queued.verbs.get_summary(key) is None
        await queued.verbs.append_events(key, make_answers(number))
    assert await queued.verbs.flush(PATIENCE_S)
    assert (await queued.verbs.get_summary(key)).boundary.last_event_id == make_event(2).id
    # One that could not be written asks for nothing.
    await queued.verbs.append_events(SessionKey("shop", "ann", "nowhere"), make_events(3))
    assert await queued.verbs.flush(PATIENCE_S) is False
    stats = queued.verbs.service.stats().summaries
    assert stats is not None
    assert (stats.made, stats.failed) == (1, 0)


async def append_all(queued: Queued, key: SessionKey) -> None:
    delta = {"k": 1, "user:k": 1, "app:k": 1}
    events = [make_event(0), make_event(1, state_delta=delta)]
    await queued.verbs.append_events(key, events[:1])
    await queued.verbs.append_events(key, events[1:])
    await queued.verbs.append_track_event(key, "t", 7)


@one_server
@pytest.mark.parametrize("name", SHOWS)
async def test_every_verb_comes_after_what_was_appended(
    queued: Queued, session: SessionKey, redis_probe: RedisProbe, name: str
) -> None:
    queued.gate.hold(0.03)
    await append_all(queued, session)
    result = await queued.call(name, *arguments_of(name, session), **METHODS[name])
    assert SHOWS[name](result), result
    if name in DONE:
        read = await queued.verbs.get_session(session)
        assert tuple(read.state.get(n) for n in ("k", "user:k", "app:k")) == DONE[name]
    if name == "clear_events":
        assert await queued.verbs.get_events(session) == []
    if name in ("delete_session", "delete_user"):
        assert await queued.verbs.get_session(session) is None
        assert await queued.call("flush", PATIENCE_S)
        left = ["appstate:{shop}"]
        assert redis_probe.names() == (left if name == "delete_user" else [*left, USER_STATE])


@one_server
@pytest.mark.parametrize("name", USAGE)
async def test_usage_comes_after_what_was_appended(
    make_queued: MakeQueued, key: SessionKey, name: str
) -> None:
    queued = make_queued(track_usage=True)
    await queued.verbs.create_session(*key.scope)
    queued.gate.hold(0.03)
    await queued.verbs.append_messages(key, [AIMessage("a"), AIMessage("b")])
    assert (await queued.call(name, *arguments_of(name, key))).messages == 2


USER_STATE = "userstate:{shop}:ann"


@each_server
@one_mode
async def test_reads_come_after_appends_on_each_server(queued: Queued, session: SessionKey) -> None:
    queued.gate.hold(0.03)
    await append_all(queued, session)
    read = await queued.verbs.get_session(session)
    assert (texts(read.messages), read.tracks) == (["m0", "m1"], ("t",))
    assert read.state == {"k": 1, "user:k": 1, "app:k": 1}


@one_server
@pytest.mark.parametrize(
    "name", sorted(SHOWS.keys() - {"list_apps"})
)  # which is about all there is
async def test_no_verb_waits_for_others(queued: Queued, session: SessionKey, name: str) -> None:
    elsewhere = {  # nothing is queued in the scope that the verb is about
        "key": SessionKey("shop", "ann", "s2"),
        "session_id": SessionKey("shop", "ann", "s2"),
        "user_id": SessionKey("shop", "bob", "s1"),
        "app_name": SessionKey("other", "ann", "s1"),
    }
    scopes = {parameter.name for parameter in parameters_of(name)}
    other = next(place for scope, place in elsewhere.items() if scope in scopes)
    if name in ("update_session_state", "delete_session_state"):
        await queued.verbs.create_session(other.app_name, other.user_id, other.session_id)
    queued.gate.hold()
    await append_all(queued, session)
    call = queued.call(name, *arguments_of(name, other), **METHODS[name])
    await asyncio.wait_for(call, PATIENCE_S)
    assert sum(queued.service.stats().persist.queue_depths) == 3  # type: ignore[union-attr]


@one_server
async def test_a_verb_does_not_wait_for_ever(make_queued: MakeQueued, key: SessionKey) -> None:
    queued = make_queued(persist_put_timeout=0.1)
    queued.gate.hold()
    await queued.verbs.append_messages(key, [HumanMessage("0")], create=True)
    with pytest.raises(BackendUnavailableError, match="persist_put_timeout"):
        await queued.call("get_messages", key)
    queued.gate.release()
    assert await queued.call("flush", PATIENCE_S)
    assert texts(await queued.verbs.get_messages(key)) == ["0"]


@one_server
async def test_what_is_appended_later_is_not_waited_for(
    make_queued: MakeQueued, key: SessionKey
) -> None:
    """Else a busy session could never be read."""
    queued = make_queued(session_event_limit=None, persist_put_timeout=PATIENCE_S)
    await queued.verbs.append_messages(key, [HumanMessage("0")], create=True)
    stop = threading.Event()

    def go_on() -> None:
        while not stop.is_set():
            queued.service.append_messages(key, [HumanMessage("more")])
            time.sleep(0.0005)

    writer = threading.Thread(target=go_on)
    writer.start()
    try:
        for _ in range(5):
            read = await queued.call("get_messages", key)
            assert texts(read)[0] == "0"
    finally:
        stop.set()
        writer.join(PATIENCE_S)


# Batches


@each_server
@one_mode
async def test_what_piled_up_takes_one_round_trip(queued: Queued, key: SessionKey) -> None:
    keys = [SessionKey("shop", "ann", f"s{number}") for number in range(4)]

    async def append() -> None:
        for number in range(20):
            message = HumanMessage(str(number))
            await queued.verbs.append_messages(keys[number % 4], [message], create=True)

    (request,) = await queued.pile_up(append)
    assert [command[0] for command in request] == ["EVALSHA"] * 4
    for place, one in enumerate(keys):
        expected = [str(number) for number in range(place, 20, 4)]
        assert texts(await queued.verbs.get_messages(one)) == expected
    figures = queued.service.stats().persist
    assert figures is not None
    assert (figures.largest_batch_size, figures.written) == (20, 23)


@one_server
async def test_flags_are_kept_and_not_joined_with_others(queued: Queued, key: SessionKey) -> None:
    first, second = SessionKey("shop", "ann", "first"), SessionKey("shop", "ann", "second")

    async def append() -> None:
        for one in (first, second):
            for number, flags in enumerate([{"create": True}, {}, {"once": True}, {}, {}]):
                same_id = HumanMessage(str(number), id="same")
                await queued.verbs.append_messages(one, [same_id], **flags)

    requests = await queued.pile_up(append)
    # create; neither; once, which makes the message index first, step by step; the last two
    assert {len(request) for request in requests} == {2}
    assert len(requests) >= 6
    for one in (first, second):
        # `once` leaves its message out, as the id is there; the others don't ask.
        assert texts(await queued.verbs.get_messages(one)) == ["0", "1", "3", "4"]


@one_server
@one_mode
async def test_a_repeated_id_is_left_out_within_a_batch(queued: Queued, key: SessionKey) -> None:
    async def append() -> None:
        for number in (1, 2, 1, 3, 2, 1):
            message = HumanMessage(str(number), id=str(number))
            await queued.verbs.append_messages(key, [message], once=True, create=True)

    (request,) = await queued.pile_up(append)
    assert len(request) == 1
    assert texts(await queued.verbs.get_messages(key)) == ["1", "2", "3"]


@one_server
@one_mode
async def test_only_the_first_may_create(queued: Queued, key: SessionKey) -> None:
    """A session that is missing is not made by the `create` of a later append."""
    queued.gate.hold()
    await queued.verbs.append_messages(key, [HumanMessage("lost")])
    await queued.verbs.append_messages(key, [HumanMessage("kept")], create=True)
    await queued.verbs.append_messages(key, [HumanMessage("too")])
    queued.gate.release()
    assert not await queued.verbs.flush(PATIENCE_S)
    assert texts(await queued.verbs.get_messages(key)) == ["kept", "too"]
    (letter,) = queued.service.dead_letters()
    assert texts(letter.events) == ["lost"]


@one_server
@one_mode
async def test_retention_of_a_batch_is_that_of_single_appends(
    make_queued: MakeQueued, key: SessionKey
) -> None:
    queued = make_queued(session_event_limit=3, track_event_limit=2, async_persister_num=1)
    await queued.verbs.create_session(key.app_name, key.user_id, key.session_id)

    async def append() -> None:
        for number in range(10):
            await queued.verbs.append_event(key, make_event(number, state_delta={f"n{number}": 1}))
        for number in range(5):
            await queued.verbs.append_track_event(key, "tools", number)

    await queued.pile_up(append)
    read = await queued.verbs.get_session(key)
    assert texts(read.messages) == ["m7", "m8", "m9"]
    assert read.state == {f"n{number}": 1 for number in range(10)}
    assert payloads(await queued.verbs.get_track_events(key, "tools")) == [3, 4]


# What can't be written


@one_server
async def test_what_can_never_be_written_is_refused_at_once(
    make_queued: MakeQueued, key: SessionKey
) -> None:
    queued = make_queued(max_event_bytes=1000, max_state_bytes=500, unserializable="raise")
    verbs = queued.verbs
    good, bad = HumanMessage("good"), HumanMessage("bad", additional_kwargs={"a": {1, 2}})
    with pytest.raises(UnserializableMessageError):
        await verbs.append_messages(key, [good, bad], create=True)
    with pytest.raises(UnserializableMessageError):
        await verbs.append_event(key, Event(good, state_delta={"a": object()}))
    with pytest.raises(UnserializableMessageError):
        await verbs.append_track_event(key, "tools", {1})
    with pytest.raises(EventTooLargeError):
        await verbs.append_messages(key, [good, HumanMessage("x" * 1000)], create=True)
    with pytest.raises(EventTooLargeError):
        await verbs.append_track_event(key, "tools", "x" * 1000)
    with pytest.raises(StateTooLargeError):
        await verbs.append_event(key, Event(good, state_delta={"a": "x" * 500}))
    with pytest.raises(ConfigurationError):
        await verbs.append_event(key, Event(good, state_delta={"tracks": 1}))
    with pytest.raises(InvalidSessionKeyError):
        await verbs.append_messages("shop/ann/s1", [good])
    assert queued.service.stats().persist.accepted == 0  # type: ignore[union-attr]
    assert await verbs.flush()
    assert await verbs.get_session(key) is None


@one_server
async def test_state_that_grew_too_large_is_a_dead_letter(
    make_queued: MakeQueued, key: SessionKey
) -> None:
    queued = make_queued(max_state_bytes=1000)
    verbs = queued.verbs
    await verbs.create_session("shop", "ann", "s1")
    for name in "abc":
        await verbs.append_messages(key, [HumanMessage(name)], state_delta={name: "x" * 300})
    await verbs.append_messages(key, [HumanMessage("after")])
    assert not await verbs.flush(PATIENCE_S)
    session = await verbs.get_session(key)
    assert texts(session.messages) == ["a", "b", "after"]
    assert session.state.keys() == {"a", "b"}
    (letter,) = queued.service.dead_letters()
    assert isinstance(letter.error, StateTooLargeError)


@each_server
async def test_a_missing_session_is_a_dead_letter(queued: Queued, key: SessionKey) -> None:
    verbs = queued.verbs
    other = SessionKey("shop", "ann", "s2")
    begun_ns = time.time_ns()
    assert (await verbs.append_messages(key, [HumanMessage("0"), AIMessage("1")])).queued
    await verbs.append_track_event(key, "tools", {"a": 1})
    await verbs.append_messages(other, [HumanMessage("fine")], create=True)

    assert not await verbs.flush(PATIENCE_S)
    letters = queued.service.dead_letters()
    assert [len(letter.events) for letter in letters] == [2, 1]
    assert [type(letter.error) for letter in letters] == [SessionNotFoundError] * 2
    assert {letter.key for letter in letters} == {key}
    assert all(begun_ns <= letter.time_ns <= time.time_ns() for letter in letters)
    await queued.wait_for_letters(2)
    assert queued.letters == letters
    assert await verbs.get_session(key) is None
    assert texts(await verbs.get_messages(other)) == ["fine"]
    assert not await verbs.flush(PATIENCE_S)

    await verbs.create_session(key.app_name, key.user_id, key.session_id)
    assert queued.service.retry_dead_letters() == 2
    assert await verbs.flush(PATIENCE_S)
    assert queued.service.dead_letters() == []
    assert queued.service.retry_dead_letters() == 0
    read = await verbs.get_session(key)
    assert (texts(read.messages), read.tracks) == (["0", "1"], ("tools",))


@one_server
async def test_a_poisoned_session_holds_up_nobody(
    queued: Queued, session: SessionKey, redis_probe: RedisProbe
) -> None:
    bad = SessionKey("shop", "ann", "bad")
    await queued.verbs.create_session(bad.app_name, bad.user_id, bad.session_id)
    redis_probe.set(redis_probe.key("event:{shop}:ann:bad"), b"no sorted set")

    async def append() -> None:
        for number in range(3):
            for one in (bad, session):
                await queued.verbs.append_event(one, make_event(number))
        await queued.verbs.append_track_event(bad, "tools", 1)

    with pytest.raises(AssertionError):  # flush says that there are dead letters
        await queued.pile_up(append)
    assert texts(await queued.verbs.get_messages(session)) == ["m0", "m1", "m2"]
    assert payloads(await queued.verbs.get_track_events(bad, "tools")) == [1]
    await queued.wait_for_letters(3)
    assert [texts(letter.events) for letter in queued.letters] == [["m0"], ["m1"], ["m2"]]
    assert all("WRONGTYPE" in str(letter.error) for letter in queued.letters)


@one_server
async def test_an_error_nobody_expected_hurts_only_its_append(
    queued: Queued, session: SessionKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(context: Any, key: SessionKey, prepared: Any) -> Any:
        if any(b'"m2"' in member for member in prepared.members):
            raise ZeroDivisionError("a bug")
        return append_prepared(context, key, prepared)

    monkeypatch.setattr("langchain_redis_session._background.jobs.append_prepared", fail)
    other = SessionKey("shop", "ann", "s2")
    queued.gate.hold()
    for number in range(5):
        for one in (session, other):
            event = make_event(number if one is session else number + 10)
            await queued.verbs.append_messages(one, [event.message], create=True)
    queued.gate.release()
    assert not await queued.call("flush", PATIENCE_S)
    assert texts(await queued.verbs.get_messages(session)) == ["m0", "m1", "m3", "m4"]
    assert len(await queued.verbs.get_messages(other)) == 5
    await queued.wait_for_letters(1)
    (letter,) = queued.letters
    assert isinstance(letter.error, PersistError)
    assert isinstance(letter.error.__cause__, ZeroDivisionError)


@one_server
@pytest.mark.parametrize("error", [ValueError("oops"), SystemExit(1)], ids=repr)
async def test_a_handler_that_raises_stops_nothing(
    make_queued: MakeQueued,
    key: SessionKey,
    error: BaseException,
    caplog: pytest.LogCaptureFixture,
) -> None:
    called = []

    def handler(letter: DeadLetter) -> None:
        called.append(letter)
        raise error

    queued = make_queued(on_persist_error=handler, async_persister_num=1)
    for number in range(2):
        await queued.verbs.append_messages(key, [HumanMessage("lost")])
        assert not await queued.verbs.flush(PATIENCE_S)
        other = SessionKey("shop", "ann", f"s{number + 2}")
        await queued.verbs.append_messages(other, [HumanMessage("fine")], create=True)
        assert texts(await queued.call("get_messages", other)) == ["fine"]
    await await_until(lambda: caplog.text.count("a handler of on_persist_error failed") == 2)
    assert len(called) == 2
    assert "lost" not in caplog.text  # what was said is nobody's business


# Full queues


@one_server
async def test_a_full_queue_makes_callers_wait_and_nothing_else(
    make_queued: MakeQueued, key: SessionKey
) -> None:
    queued = make_queued(
        persist_queue_size=2, async_persister_num=1, persist_put_timeout=PATIENCE_S
    )
    queued.gate.hold()
    for number in range(2):
        await queued.verbs.append_messages(key, [HumanMessage(str(number))], create=True)
    waiting = [
        asyncio.create_task(queued.call("append_messages", key, [HumanMessage(str(number))]))
        for number in range(2, 8)
    ]
    await asyncio.sleep(MOMENT_S)  # the loop goes on
    assert not any(task.done() for task in waiting)
    assert queued.service.stats().persist.accepted == 2  # type: ignore[union-attr]
    queued.gate.release()
    await asyncio.gather(*waiting)
    read = texts(await queued.call("get_messages", key))
    assert read[:2] == ["0", "1"]
    assert sorted(read) == [str(number) for number in range(8)]


@one_server
async def test_a_queue_that_stays_full_is_an_error(
    make_queued: MakeQueued, key: SessionKey
) -> None:
    queued = make_queued(persist_queue_size=2, async_persister_num=1, persist_put_timeout=0.1)
    queued.gate.hold()
    for number in range(2):
        await queued.verbs.append_messages(key, [HumanMessage(str(number))], create=True)
    with pytest.raises(PersistError, match="persist_queue_size"):
        await queued.call("append_messages", key, [HumanMessage("refused")])
    queued.gate.release()
    assert await queued.call("flush", PATIENCE_S)
    assert texts(await queued.verbs.get_messages(key)) == ["0", "1"]


# Counters


@one_server
async def test_all_figures_are_true(queued: Queued, session: SessionKey) -> None:
    def figures() -> Any:
        return queued.service.stats().persist

    fresh = figures()
    assert (fresh.queue_depths, fresh.accepted, fresh.oldest_waiting_s) == ((0,), 0, 0.0)
    assert (fresh.batches, fresh.mean_batch_size, fresh.last_error) == (0, 0.0, "")
    queued.gate.hold()
    await queued.verbs.append_event(session, make_event(0))
    await queued.gate.wait_until_reached()
    for number in range(1, 5):
        await queued.verbs.append_event(session, make_event(number))
    await queued.verbs.append_messages(SessionKey("no", "such", "session"), [HumanMessage("lost")])
    await asyncio.sleep(MOMENT_S)
    waiting = figures()
    assert (waiting.queue_depths, waiting.accepted, waiting.written) == ((6,), 6, 0)
    assert MOMENT_S / 2 < waiting.oldest_waiting_s < PATIENCE_S
    queued.gate.release()
    await queued.call("flush", PATIENCE_S)
    done = figures()
    assert (done.queue_depths, done.accepted, done.written, done.dead) == ((0,), 6, 5, 1)
    assert (done.retried, done.oldest_waiting_s) == (0, 0.0)
    assert (done.batches, done.mean_batch_size, done.largest_batch_size) == (2, 3.0, 5)
    assert "no session" in done.last_error
    await queued.verbs.create_session("no", "such", "session")
    queued.service.retry_dead_letters()
    assert await queued.call("flush", PATIENCE_S)
    again = figures()
    assert (again.accepted, again.written, again.dead) == (6, 6, 0)


@one_server
async def test_depths_stand_by_worker(make_queued: MakeQueued) -> None:
    queued = make_queued(async_persister_num=3)
    queued.gate.hold()
    for number in range(12):
        one = SessionKey("shop", "ann", f"s{number}")
        await queued.verbs.append_messages(one, [HumanMessage("x")], create=True)
    depths = queued.service.stats().persist.queue_depths  # type: ignore[union-attr]
    assert len(depths) == 3
    assert sum(depths) == 12
    assert min(depths) > 0


async def test_without_write_behind_there_are_no_figures(
    make_verbs: Callable[..., Verbs], key: SessionKey
) -> None:
    verbs = make_verbs()
    await verbs.append_messages(key, [HumanMessage("0")], create=True)
    assert verbs.service.stats().persist is None
    assert verbs.service.dead_letters() == []
    assert await verbs.retry_dead_letters() == 0
    assert await verbs.flush()


@one_server
async def test_flush_says_whether_all_is_in_redis(queued: Queued, session: SessionKey) -> None:
    assert await queued.call("flush")
    queued.gate.hold()
    await queued.verbs.append_event(session, make_event(0))
    assert not await queued.call("flush", MOMENT_S)
    assert not await queued.call("flush", 0)
    queued.gate.release()
    assert await queued.call("flush")
    await queued.verbs.append_messages(SessionKey("no", "such", "session"), [HumanMessage("lost")])
    assert not await queued.call("flush")


# State that sessions share


@one_server
@one_mode
@pytest.mark.parametrize("workers", [1, 3])
async def test_the_last_change_of_shared_state_stays(make_queued: MakeQueued, workers: int) -> None:
    """Also where other appends of that session wait before it."""
    queued = make_queued(async_persister_num=workers)
    keys = [SessionKey("shop", user, session) for user in ("ann", "bob") for session in "12"]
    turns = [keys[number] for number in (0, 1, 0, 2, 1, 3, 2, 0)]

    async def append() -> None:
        for number, key in enumerate(turns):
            delta = {"user:n": number, "app:n": number} if number % 3 else {"user:n": number}
            messages = [HumanMessage(str(number))]
            await queued.verbs.append_messages(key, messages, state_delta=delta, create=True)

    await queued.pile_up(append)
    assert await queued.call("get_user_state", "shop", "ann") == {"n": 7}
    assert await queued.call("get_user_state", "shop", "bob") == {"n": 6}
    assert await queued.call("get_app_state", "shop") == {"n": 7}
    for key in keys:
        expected = [str(number) for number, one in enumerate(turns) if one == key]
        assert texts(await queued.verbs.get_messages(key)) == expected


@one_server
@pytest.mark.parametrize("prefix", ["user:", "app:"])
@pytest.mark.parametrize("name", ["update_session_state", "create_session"])
async def test_what_is_set_for_others_too_comes_after_their_appends(
    queued: Queued, session: SessionKey, name: str, prefix: str
) -> None:
    other = SessionKey("shop", "ann", "other")
    await queued.verbs.create_session(other.app_name, other.user_id, other.session_id)
    queued.gate.hold(0.03)
    await queued.verbs.append_messages(
        session, [HumanMessage("0")], state_delta={f"{prefix}n": "older"}
    )
    if name == "create_session":
        await queued.call(name, "shop", "ann", "new", state={f"{prefix}n": "newer"})
    else:
        await queued.call(name, other, {f"{prefix}n": "newer"})
    assert await queued.call("flush", PATIENCE_S)
    assert (await queued.verbs.get_session(session)).state[f"{prefix}n"] == "newer"


# The same as without


@one_server
async def test_a_history_on_a_write_behind_service(queued: Queued) -> None:
    history = RedisSessionChatMessageHistory("s1", service=queued.service)
    verbs = queued.verbs.of(history)
    queued.gate.hold(0.03)
    await verbs.add_messages([HumanMessage("hi"), AIMessage("hello", name="bot")])
    if queued.verbs.mode == "async":
        assert texts(await history.aget_messages()) == ["hi", "hello"]
    else:
        assert texts(await asyncio.to_thread(lambda: history.messages)) == ["hi", "hello"]
        assert len(history) == 2
        assert history.search_messages("hello")[0]["name"] == "bot"
    queued.gate.hold(0.03)
    await verbs.add_messages([HumanMessage("gone")])
    await (verbs.clear() if queued.verbs.mode == "async" else asyncio.to_thread(history.clear))
    await verbs.add_messages([HumanMessage("new")])
    assert await queued.call("flush", PATIENCE_S)
    assert texts(await queued.verbs.get_messages(history.session_key)) == ["new"]


KEYS = [SessionKey("shop", "ann", "s1"), SessionKey("shop", "ann", "s2")]
one_key = st.sampled_from(KEYS)
deltas = st.dictionaries(
    st.sampled_from(["a", "b", "user:a", "app:a", "temp:a"]), st.integers(0, 9), max_size=3
)
appends = st.tuples(st.just("append"), one_key, st.integers(1, 3), deltas)
messages = st.tuples(
    st.just("messages"),
    one_key,
    st.lists(st.sampled_from(["", "x", "y", "z"]), min_size=1, max_size=3),
    st.booleans(),
    st.booleans(),
)
others = st.one_of(
    st.tuples(st.just("again"), st.integers(0, 5)),
    st.tuples(st.just("track"), one_key, st.sampled_from(["t1", "t2"]), st.integers(0, 9)),
    st.tuples(st.just("create"), one_key),
    st.tuples(st.just("clear"), one_key),
    st.tuples(st.just("delete"), one_key),
    st.tuples(st.just("trim"), one_key),
    st.tuples(st.just("state"), one_key, deltas),
)


class Player:
    """Does the same to two services."""

    def __init__(self, client: Any, is_write_behind: bool, limit: int | None) -> None:
        self.service = RedisSessionService(
            client=client,
            key_prefix=uuid4().hex,
            session_event_limit=limit,
            track_event_limit=limit,
            enable_async_persist=is_write_behind,
            async_persister_num=2,
            persist_queue_size=5,
        )
        self.number = 0
        self.sent: list[tuple[SessionKey, Event]] = []

    def play(self, what: str, *args: Any, uses_once: bool) -> None:
        if what == "again":
            if uses_once:  # that is: where retention removes nothing
                for key, event in self.sent[-args[0] :][:2]:
                    self._call("event", key, event)
        else:
            self._call(what, *args, uses_once=uses_once)

    def _call(self, *step: Any, uses_once: bool = False) -> None:
        """Make one call, so that a session that is missing is no matter of those after it."""
        with contextlib.suppress(SessionNotFoundError):  # a dead letter there
            self._play(*step, uses_once=uses_once)

    def _play(self, what: str, *args: Any, uses_once: bool) -> None:
        service = self.service
        if what == "append":
            key, count, delta = args
            events = [self._event() for _ in range(count)]
            events[0].state_delta = delta
            self.sent += [(key, event) for event in events]
            service.append_events(key, events)
        elif what == "messages":
            key, ids, once, create = args
            new: list[BaseMessage] = [HumanMessage(f"{self.number}{i}", id=i or None) for i in ids]
            self.number += 1
            service.append_messages(key, new, once=once and uses_once, create=create)
        elif what == "event":
            service.append_event(*args)
        elif what == "track":
            key, track, payload = args
            service.append_track_event(key, track, payload)
        elif what == "create":
            service.create_session(*(getattr(args[0], n) for n in args[0].__slots__))
        elif what == "clear":
            service.clear_events(args[0])
        elif what == "delete":
            service.delete_session(args[0])
        elif what == "trim":
            service.trim_conversations(args[0])
        elif what == "state":
            service.update_session_state(args[0], args[1])

    def _event(self) -> Event:
        self.number += 1
        return make_event(self.number)

    def contents(self) -> Any:
        service = self.service
        if service.stats().persist is not None:
            service.flush(PATIENCE_S)
        found: list[Any] = []
        for key in KEYS:
            session = service.get_session(key)
            if session is None:
                found.append(None)
                continue
            events = [(e.message, e.state_delta) for e in session.events]
            tracks = {t: payloads(service.get_track_events(key, t)) for t in session.tracks}
            found.append((events, session.state, tracks))
        return found, service.get_user_state("shop", "ann"), service.get_app_state("shop")


@examples(60)
@given(
    steps=st.lists(st.one_of(appends, appends, messages, others), max_size=25),
    limit=st.sampled_from([None, None, 4]),
)
def test_any_sequence_leaves_what_it_leaves_without(
    steps: list[tuple[Any, ...]], limit: int | None
) -> None:
    """Ids of messages and repeated events are for where retention removes none: what one
    call can't know to be there (it was removed a moment ago), it can't leave out."""
    server = fakeredis.FakeServer()
    players = [
        Player(fakeredis.FakeRedis(server=server), is_write_behind, limit)
        for is_write_behind in (False, True)
    ]
    try:
        for step in [*(("create", key) for key in KEYS), *steps]:
            for player in players:
                player.play(*step, uses_once=limit is None)
        expected, found = (player.contents() for player in players)
        assert found == expected
    finally:
        for player in players:
            player.service.close()


@each_server
@one_mode
async def test_the_stored_bytes_are_those_of_single_appends(
    make_queued: MakeQueued,
    make_verbs: Callable[..., Verbs],
    redis_probe: RedisProbe,
    backend: Backend,
) -> None:
    queued, plain = make_queued(async_persister_num=1), make_verbs()
    for verbs in (plain, queued.verbs):
        user = "plain" if verbs is plain else "queued"
        key = SessionKey("shop", user, "s1")
        await verbs.create_session("shop", user, "s1", state={"z": 0})
        queued.gate.hold(0.03)
        for number in range(6):
            delta = {"n": number, f"app:{user}": number, "user:n": number, "raw": b"\x00\xff"}
            event = make_event(number, state_delta=delta, time_ns=NOON + number % 3 * STEP)
            event.id = f"{number:032x}"
            await verbs.append_event(key, event)
    assert await queued.verbs.flush(PATIENCE_S)
    stored = {
        user: [snapshot(redis_probe, f"{kind}:*:{user}*") for kind in ("event", "sess", "user*")]
        for user in ("plain", "queued")
    }
    tags = [tag_of(backend, user=user) for user in ("plain", "queued")]
    renamed = repr(stored["plain"]).replace(tags[0], tags[1]).replace(":plain", ":queued")
    expected = eval(renamed)
    for record in expected[0].values():
        for place, (member, score) in enumerate(record):
            record[place] = (member.replace(b"app:plain", b"app:queued"), score)
    assert stored["queued"] == expected


async def test_closing_through_the_context_manager_writes_the_rest(
    backend: Backend, key_prefix: str, make_verbs: Callable[..., Verbs], key: SessionKey
) -> None:
    clients: dict[str, Any] = {"client": backend.client}
    if backend.mode == "async":
        clients["async_client"] = backend.make_async_client()
    async with make_verbs(enable_async_persist=True, **clients) as verbs:
        for number in range(50):
            await verbs.append_messages(key, [HumanMessage(str(number))], create=True)
    with pytest.raises(RedisSessionError):
        await verbs.append_messages(key, [HumanMessage("late")])
    reader = make_verbs()
    assert texts(await reader.get_messages(key)) == [str(number) for number in range(50)]
