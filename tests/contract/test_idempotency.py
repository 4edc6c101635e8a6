"""Whatever is sent again, as a whole or in other groups, is stored once, in its place."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import redis
from langchain_core.messages import AIMessage, HumanMessage

from langchain_redis_session import (
    BackendUnavailableError,
    RedisSessionService,
    SessionKey,
    models,
)
from langchain_redis_session._operations import message_index
from tests.contract.backends import Backend, RedisProbe, Verbs
from tests.contract.intercept import Commands, intercept
from tests.contract.narrow import each_server, one_mode, server_kinds
from tests.contract.store import (
    NOON,
    Clock,
    expire_now,
    make_event,
    make_events,
    read_record,
    snapshot,
    tag_of,
    texts,
)
from tests.unit.messages import TAKES_SURROGATE_IDS

KEY = SessionKey("shop", "ann", "s1")
FULL_STATE = {"k": 1, "user:k": 2, "app:k": 3, "temp:k": 4}


def messages(*texts: str) -> list[HumanMessage]:
    return [HumanMessage(text, id=f"id-{text}") for text in texts]


# --- Every write, as a client sends it that had no reply in time --------------------------------


async def create(verbs: Verbs) -> None:
    await verbs.create_session("shop", "ann", "s1", state={"k": 1, "user:k": 2})


async def append_one(verbs: Verbs) -> None:
    await verbs.append_event(KEY, make_event(5))
    await verbs.append_event(KEY, make_event(1))


async def append_with_state(verbs: Verbs) -> None:
    await verbs.append_event(KEY, make_event(1, state_delta=FULL_STATE))
    await verbs.append_events(KEY, [make_event(2, state_delta={"k": 5}), make_event(3)])


async def append_over_the_limit(verbs: Verbs) -> None:
    await verbs.append_events(KEY, make_events(1, 2, 3))
    await verbs.append_events(KEY, make_events(4, 5))
    await verbs.append_events(KEY, make_events(*range(6, 16)))


async def append_to_a_new_session(verbs: Verbs) -> None:
    new = SessionKey("shop", "ann", "new")
    await verbs.append_messages(new, messages("a", "b"), create=True, state_delta=FULL_STATE)


async def append_once(verbs: Verbs) -> None:
    await verbs.append_messages(KEY, messages("a", "b"))
    await verbs.append_messages(KEY, messages("b", "c", "c"), once=True)
    await verbs.append_messages(KEY, messages("a", "d", "e"), once=True, state_delta={"k": 2})


async def change_state(verbs: Verbs) -> None:
    await verbs.update_session_state(KEY, FULL_STATE)
    await verbs.update_session_state(KEY, {"k": 7, "l": 8})
    await verbs.delete_session_state(KEY, "l", "m")


async def change_shared_state(verbs: Verbs) -> None:
    await verbs.update_user_state("shop", "ann", {"a": 1, "b": 2})
    await verbs.update_app_state("shop", {"a": 1, "b": 2})
    await verbs.delete_user_state("shop", "ann", "a")
    await verbs.delete_app_state("shop", "a")


async def append_tracks(verbs: Verbs) -> None:
    for name in ("t", "t", "u", "t", "t", "t"):
        await verbs.append_track_event(KEY, name, {"in": name})


async def clear(verbs: Verbs) -> None:
    await append_once(verbs)
    await verbs.clear_events(KEY)
    await verbs.append_messages(KEY, messages("a"), once=True)


async def trim(verbs: Verbs) -> None:
    await append_once(verbs)
    await verbs.trim_conversations(KEY, count=2)


async def remove(verbs: Verbs) -> None:
    await append_once(verbs)
    events = await verbs.get_events(KEY)
    await verbs.remove_events(KEY, [event.id for event in events[1:]])


async def delete(verbs: Verbs) -> None:
    await append_tracks(verbs)
    await append_once(verbs)
    await verbs.delete_session(KEY)


async def delete_and_make_anew(verbs: Verbs) -> None:
    await delete(verbs)
    await create(verbs)
    await append_one(verbs)


async def delete_all(verbs: Verbs) -> None:
    await append_tracks(verbs)
    await append_once(verbs)
    await verbs.delete_user("shop", "ann")


WRITES = [
    create,
    append_one,
    append_with_state,
    append_over_the_limit,
    append_to_a_new_session,
    append_once,
    change_state,
    change_shared_state,
    append_tracks,
    clear,
    trim,
    remove,
    delete,
    delete_and_make_anew,
    delete_all,
]


@each_server
@pytest.mark.parametrize("write", WRITES, ids=lambda write: write.__name__)
async def test_a_write_that_is_sent_twice(
    backend: Backend,
    make_verbs: Callable[..., Verbs],
    redis_probe: RedisProbe,
    key_prefix: str,
    monkeypatch: pytest.MonkeyPatch,
    clock: Clock,
    write: Callable[[Verbs], Awaitable[None]],
) -> None:
    stored: list[dict[str, Any]] = []
    clock.stop_at(NOON)
    for times in (1, 2):
        monkeypatch.setattr(models, "_ids", [f"{number:032x}" for number in range(1000)])
        verbs, _ = intercept(
            backend,
            make_verbs,
            times=times,
            key_prefix=f"{key_prefix}:{times}",
            session_event_limit=4,
            track_event_limit=3,
            session_ttl=60,
        )
        await create(verbs)
        await write(verbs)
        found = snapshot(redis_probe, f"{times}:*")
        names = {name: name.partition(":")[2] for name in found}
        stored.append(
            {n: found[name] for name, n in names.items() if n.partition(":")[0] != "erased"}
        )
    assert stored[0] == stored[1]
    assert bool(stored[0]) == (write is not delete_all)


@each_server
async def test_first_state_of_the_app_is_not_lost_to_a_second_try(
    backend: Backend, make_verbs: Callable[..., Verbs]
) -> None:
    verbs, _ = intercept(backend, make_verbs, times=2)
    session = await verbs.create_session("shop", "ann", "s1", state=FULL_STATE)
    assert session.state == {"k": 1, "user:k": 2, "app:k": 3}


@each_server
async def test_an_expired_session_that_is_removed_twice(
    backend: Backend, make_verbs: Callable[..., Verbs], redis_probe: RedisProbe
) -> None:
    verbs, _ = intercept(backend, make_verbs, times=2, session_ttl=60, per_field_ttl=False)
    await create(verbs)
    await append_tracks(verbs)
    await append_once(verbs)
    await verbs.create_session("shop", "ann", "s2")
    expire_now(redis_probe, KEY, tag_of(backend), keep=("track", "trackidx", "msgidx"))
    await verbs.append_messages(KEY, messages("new"), create=True)
    session = await verbs.get_session(KEY)
    assert (texts(session.events), session.tracks) == (["new"], ())
    assert session.state == {"user:k": 2}
    expire_now(redis_probe, KEY, tag_of(backend))
    assert len(await verbs.list_sessions("shop", "ann")) == 1


# --- The same events in other groups ------------------------------------------------------------


@pytest.fixture
async def limited(make_verbs: Callable[..., Verbs]) -> Verbs:
    """A service with a limit of three events, and a session."""
    verbs = make_verbs(session_event_limit=3)
    await create(verbs)
    return verbs


async def test_more_than_the_limit_again_with_one_more(limited: Verbs) -> None:
    first = await limited.append_events(KEY, make_events(1, 2, 3, 4, 5))
    again = await limited.append_events(KEY, make_events(1, 2, 3, 4, 5, 6))
    assert (first.written, first.removed) == (5, 2)
    assert (again.written, again.removed) == (1, 1)
    assert texts(again.events) == ["m4", "m5", "m6"]
    assert [event.score is None for event in again.events] == [False] * 3
    assert texts(await limited.get_events(KEY)) == ["m4", "m5", "m6"]


@each_server
@one_mode
@pytest.mark.parametrize(
    ("calls", "expected"),
    [
        ([(1,), (1,)], "m1"),
        ([(1, 2), (2, 3)], "m1 m2 m3"),
        ([(1, 2), (1,), (2,)], "m1 m2"),
        ([(1,), (2,), (1, 2)], "m1 m2"),
        ([(1,), (2,), (1, 2, 3)], "m1 m2 m3"),
        ([(1,), (2,), (3,), (4,), (1, 2, 3, 4)], "m2 m3 m4"),
        ([(1, 2, 3, 4), (3, 4, 5), (1, 2, 3, 4, 5)], "m3 m4 m5"),
        ([(1, 2, 3, 4, 5), (5, 6)], "m4 m5 m6"),
        ([(1, 2, 3, 4, 5), (2, 3), (4,)], "m3 m4 m5"),
        # One that is not stored, before one that is: new while the set is not full, …
        ([(2,), (1, 2)], "m2 m1"),
        ([(2,), (1, 2, 3)], "m2 m1 m3"),
        # … else it was there once and retention removed it.
        ([(2, 3, 4), (1, 2)], "m2 m3 m4"),
        ([(2, 3, 4), (1, 4, 5)], "m3 m4 m5"),
        # After the last that is stored, all is new.
        ([(2, 3, 4), (4, 1)], "m3 m4 m1"),
        ([(2, 3, 4), (1,)], "m3 m4 m1"),
        # Twice in one call.
        ([(1, 1)], "m1"),
        ([(1, 2, 1)], "m1 m2"),
        ([(1, 2, 2, 1), (3, 3)], "m1 m2 m3"),
        ([(1, 2, 2, 2, 3)], "m1 m2 m3"),
        ([(1, 2), (2, 2, 3, 3)], "m1 m2 m3"),
    ],
    ids=str,
)
async def test_events_of_overlapping_groups_are_stored_once(
    limited: Verbs, calls: list[tuple[int, ...]], expected: str
) -> None:
    written, removed = 0, 0
    for numbers in calls:
        result = await limited.append_events(KEY, make_events(*numbers))
        written, removed = written + result.written, removed + result.removed
    assert " ".join(texts(await limited.get_events(KEY))) == expected
    assert written - removed == len(expected.split())


async def test_the_same_object_twice_in_one_call(verbs: Verbs) -> None:
    await create(verbs)
    event = make_event(1)
    await verbs.append_events(KEY, [event, event])
    (stored,) = await verbs.get_events(KEY)
    assert stored.score == event.score is not None


@each_server
@pytest.mark.parametrize("limit", [None, 4])
async def test_a_batch_that_is_cut_anywhere_and_sent_again(
    make_verbs: Callable[..., Verbs],
    redis_probe: RedisProbe,
    key_prefix: str,
    limit: int | None,
) -> None:
    numbers = list(range(1, 8))
    found = []
    for cut in range(len(numbers) + 1):
        verbs = make_verbs(key_prefix=f"{key_prefix}:{cut}", session_event_limit=limit)
        await create(verbs)
        for part in (numbers[:cut], numbers, numbers[cut:], numbers):
            await verbs.append_events(KEY, make_events(*part))
        found.append(texts(await verbs.get_events(KEY)))
    assert found == [[f"m{n}" for n in numbers[-limit if limit else 0 :]]] * len(found)


async def test_it_stays_where_it_was(limited: Verbs, redis_probe: RedisProbe) -> None:
    await limited.append_events(KEY, make_events(3, 1, 2))
    before = snapshot(redis_probe)
    await limited.append_events(KEY, make_events(1))
    await limited.append_events(KEY, make_events(3, 1, 2))
    await limited.append_events(KEY, make_events(2, 3))
    assert snapshot(redis_probe) == before


async def test_the_state_of_a_stored_event_is_not_applied_again(
    verbs: Verbs, backend: Backend
) -> None:
    await create(verbs)
    delta: dict[str, Any] = {"k": "event", "user:k": "event"}
    if backend.hash_tag == "app":  # else its state lies elsewhere, and is set again
        delta["app:k"] = "event"
    events = make_events(1, 2)
    events[0].state_delta = delta
    await verbs.append_events(KEY, events)
    later = {name: "later" for name in delta}
    await verbs.update_session_state(KEY, later)

    again = make_events(1, 2, 3)
    again[0].state_delta = delta
    again[2].state_delta = {"new": 1, "user:new": 1}
    assert (await verbs.append_event(KEY, again[0])).written == 0
    assert (await verbs.get_session(KEY)).state == later
    result = await verbs.append_events(KEY, again)
    assert result.written == 1
    assert (await verbs.get_session(KEY)).state == {**later, "new": 1, "user:new": 1}


async def test_the_state_of_an_event_that_retention_removed_is_not_applied_again(
    limited: Verbs,
) -> None:
    events = make_events(1, 2, 3, 4)
    events[0].state_delta = {"k": "event"}
    await limited.append_events(KEY, events)
    await limited.update_session_state(KEY, {"k": "later"})
    await limited.append_events(KEY, events)
    assert (await limited.get_session(KEY)).state == {"k": "later", "user:k": 2}


async def test_what_is_stored_comes_before_whether_the_session_is_there(
    verbs: Verbs, redis_probe: RedisProbe, backend: Backend
) -> None:
    await create(verbs)
    await verbs.append_event(KEY, make_event(1, state_delta={"k": 1}))
    redis_probe.hdel(redis_probe.key(f"sess:{tag_of(backend)}:ann"), "s1")  # evicted, say
    result = await verbs.append_event(KEY, make_event(1, state_delta={"k": 1}))
    assert (result.written, texts(result.events)) == (0, ["m1"])
    assert (await verbs.get_session(KEY)).missing == ("record",)  # a retry makes no record
    await verbs.append_event(KEY, make_event(2))
    assert texts(await verbs.get_events(KEY)) == ["m1", "m2"]


async def test_a_retry_is_no_update(
    verbs: Verbs, redis_probe: RedisProbe, backend: Backend
) -> None:
    await create(verbs)
    await verbs.append_event(KEY, make_event(1))
    before = read_record(redis_probe, KEY, tag_of(backend))
    await verbs.append_event(KEY, make_event(1))
    assert read_record(redis_probe, KEY, tag_of(backend)) == before


# --- once=True ----------------------------------------------------------------------------------


async def test_messages_whose_id_is_stored_are_left_out(verbs: Verbs) -> None:
    await create(verbs)
    first = await verbs.append_messages(KEY, messages("a", "b"), once=True)
    second = await verbs.append_messages(KEY, messages("b", "c", "a", "d"), once=True)
    assert (first.written, second.written) == (2, 2)
    assert texts(second.events) == ["c", "d"]
    assert texts(await verbs.get_messages(KEY)) == ["a", "b", "c", "d"]
    changed = HumanMessage("other text", id="id-a")
    assert (await verbs.append_messages(KEY, [changed], once=True)).events == []
    without = await verbs.append_messages(KEY, [changed])
    assert without.written == 1


async def test_ids_that_came_without_once_count_too(verbs: Verbs) -> None:
    await create(verbs)
    await verbs.append_messages(KEY, messages("a", "b"))
    await verbs.append_event(KEY, make_event(9, AIMessage("e", id="id-e")))
    await verbs.append_messages(KEY, messages("b", "c"), once=True)
    await verbs.append_messages(KEY, messages("d"))
    await verbs.append_messages(KEY, messages("a", "e", "d", "f"), once=True)
    assert texts(await verbs.get_messages(KEY)) == ["a", "b", "e", "c", "d", "f"]


async def test_an_id_twice_in_one_call(verbs: Verbs) -> None:
    result = await verbs.append_messages(KEY, messages("a", "a", "b", "a"), once=True, create=True)
    assert (result.written, texts(result.events)) == (2, ["a", "b"])
    assert texts(await verbs.get_messages(KEY)) == ["a", "b"]


async def test_messages_without_an_id_always_count_as_new(verbs: Verbs) -> None:
    plain = [HumanMessage("x"), HumanMessage("x", id=""), AIMessage("x")]
    for _ in range(2):
        result = await verbs.append_messages(KEY, [*plain, *messages("a")], once=True, create=True)
    assert result.written == 3
    assert texts(await verbs.get_messages(KEY)) == ["x", "x", "x", "a", "x", "x", "x"]


async def test_an_id_that_left_the_session_may_come_again(limited: Verbs) -> None:
    await limited.append_messages(KEY, messages("a", "b", "c"), once=True)
    await limited.append_messages(KEY, messages("d"), once=True)  # removes a
    result = await limited.append_messages(KEY, messages("d", "a"), once=True)
    assert texts(result.events) == ["a"]
    assert texts(await limited.get_messages(KEY)) == ["c", "d", "a"]


async def test_an_id_that_stands_twice_and_is_taken_back_once(verbs: Verbs) -> None:
    await create(verbs)
    await verbs.append_messages(KEY, messages("a"), once=True)
    await verbs.append_messages(KEY, messages("a"))
    await verbs.trim_conversations(KEY)
    await verbs.append_messages(KEY, messages("a"), once=True)
    assert texts(await verbs.get_messages(KEY)) == ["a"]


@pytest.mark.parametrize("is_indexed", [True, False])
async def test_ids_that_are_taken_back_are_forgotten_one_by_one(
    verbs: Verbs, redis_probe: RedisProbe, is_indexed: bool
) -> None:
    """But for one that stands in an event further back, whenever it was read."""
    await create(verbs)
    await verbs.append_messages(KEY, messages("a", "b"), once=is_indexed)
    await verbs.append_messages(KEY, messages("c"), once=is_indexed)
    await verbs.append_messages(KEY, messages("d"), once=True)
    await verbs.trim_conversations(KEY)
    (index,) = redis_probe.keys("msgidx:*")
    assert redis_probe.zrange(index, 0, -1) == [b"id-a", b"id-b", b"id-c"]

    if is_indexed:
        await verbs.append_messages(KEY, messages("a", "e"))
    else:
        redis_probe.unlink(index)
        await verbs.append_messages(KEY, messages("a"))
        await verbs.append_messages(KEY, messages("e"), once=True)
    await verbs.trim_conversations(KEY, count=2)
    result = await verbs.append_messages(KEY, messages("a", "b", "d", "e"), once=True)
    assert texts(result.events) == ["d", "e"]
    assert texts(await verbs.get_messages(KEY)) == ["a", "b", "c", "d", "e"]


@pytest.mark.parametrize("what", ["append", "trim", "clear", "crash", "other"])
@pytest.mark.parametrize("mode", ["sync"], indirect=True)
@server_kinds
async def test_what_comes_while_the_index_is_built(
    backend: Backend,
    make_verbs: Callable[..., Verbs],
    redis_probe: RedisProbe,
    key_prefix: str,
    monkeypatch: pytest.MonkeyPatch,
    what: str,
) -> None:
    """It is believed only when it is whole, and what has gone is not in it."""
    monkeypatch.setattr(message_index, "_PAGE", 2)
    verbs, interceptor = intercept(backend, make_verbs)
    aside = RedisSessionService(
        client=backend.client, key_prefix=key_prefix, hash_tag=backend.hash_tag
    )
    await create(verbs)
    await verbs.append_messages(KEY, messages("a", "b", "c", "d", "a", "e"))

    def change(commands: Commands) -> None:
        if not redis_probe.keys("msgidx:*") or commands[0][0] != "ZREVRANGEBYSCORE":
            return
        interceptor.before = None  # the build has begun
        if what == "append":
            aside.append_messages(KEY, messages("f"))
        elif what == "trim":
            aside.trim_conversations(KEY)
        elif what == "clear":
            aside.clear_events(KEY)
        elif what == "other":
            aside.append_messages(KEY, messages("b", "g"), once=True)
        else:
            raise redis.ConnectionError("the process ends here")

    interceptor.before = change
    sent = messages("a", "c", "e", "f", "g")
    if what == "crash":
        with pytest.raises(BackendUnavailableError):
            await verbs.append_messages(KEY, sent, once=True)
        assert len(await verbs.get_messages(KEY)) == 6
    await verbs.append_messages(KEY, sent, once=True)
    assert interceptor.before is None
    expected = {"clear": "acefg", "append": "abcdaefg", "other": "abcdaegf"}.get(what, "abcdaefg")
    assert texts(await verbs.get_messages(KEY)) == [*expected]
    (index,) = redis_probe.keys("msgidx:*")
    assert {*redis_probe.zrange(index, 0, -1)} - {b""} == {f"id-{x}".encode() for x in expected}


async def test_a_whole_history_sent_each_time(limited: Verbs) -> None:
    """What precedes an id that is stored, and is not, was removed by retention."""
    for number in range(1, 8):
        history = messages(*(f"m{n}" for n in range(1, number + 1)))
        result = await limited.append_messages(KEY, history, once=True)
        assert result.written == 1
        expected = [f"m{n}" for n in range(1, number + 1)][-3:]
        assert texts(await limited.get_messages(KEY)) == expected
    result = await limited.append_messages(KEY, messages("new", "m1", "new", "m7"), once=True)
    assert (result.written, result.events) == (0, [])
    result = await limited.append_messages(KEY, messages("m7", "new", "m1", "new"), once=True)
    assert texts(result.events) == ["new", "m1"]


async def test_the_state_of_what_is_left_out_is_not_applied(verbs: Verbs) -> None:
    await create(verbs)
    await verbs.append_messages(KEY, messages("a"), once=True)
    await verbs.append_messages(KEY, messages("a"), once=True, state_delta={"k": "x", "user:k": 9})
    assert (await verbs.get_session(KEY)).state == {"k": 1, "user:k": 2}
    await verbs.append_messages(KEY, messages("a", "b"), once=True, state_delta={"k": "y"})
    assert (await verbs.get_session(KEY)).state == {"k": "y", "user:k": 2}


async def test_ids_of_any_text(verbs: Verbs) -> None:
    ids = ["a:b", "", "\x00", "😀", "x" * 5000, "1e5", "{a}"]
    if TAKES_SURROGATE_IDS:
        ids.append("\ud800")
    sent = [HumanMessage(repr(i)[:20], id=i) for i in ids]
    await verbs.append_messages(KEY, sent, once=True, create=True)
    result = await verbs.append_messages(KEY, sent, once=True)
    assert [event.message.id for event in result.events] == [""]


@pytest.mark.parametrize("what", ["the events", "one event"])
async def test_once_stores_anew_what_another_program_has_removed(
    verbs: Verbs, redis_probe: RedisProbe, backend: Backend, what: str
) -> None:
    """It knows nothing of our index of message ids, which then names what is gone."""
    await create(verbs)
    await append_once(verbs)
    events = redis_probe.key(f"event:{tag_of(backend)}:ann:s1")
    gone = texts(await verbs.get_messages(KEY))
    if what == "the events":
        redis_probe.unlink(events)
    else:
        redis_probe.zremrangebyrank(events, -1, -1)
        gone = gone[-1:]
    before = len(await verbs.get_messages(KEY))
    await verbs.append_messages(KEY, messages(*gone), once=True)
    stored = texts(await verbs.get_messages(KEY))
    assert len(stored) == before + len(gone)
    assert stored[-len(gone) :] == gone
