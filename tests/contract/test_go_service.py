"""trpc-agent-go's service writes to the same sessions: nothing is lost, nothing comes back."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage

from langchain_redis_session import Event, SessionKey, SummaryRequest
from langchain_redis_session._times import format_time, trim_time
from tests.contract.backends import Backend, RedisProbe, Verbs
from tests.contract.go_service import (
    before_script,
    pad_created,
    put_go_summary,
    rewrite_record,
)
from tests.contract.intercept import intercept
from tests.contract.narrow import each_server, one_mode, one_server
from tests.contract.store import (
    NOON,
    load,
    make_answer,
    make_event,
    make_events,
    read_record,
    tag_of,
    texts,
)

MINUTE_NS = 60 * 10**9


def put_record(probe: RedisProbe, key: SessionKey, tag: str, **changes: Any) -> None:
    """Change a record's text by pattern."""
    record = read_record(probe, key, tag)
    for name, value in changes.items():
        record, count = re.subn(rb'"%b":"[^"]*"' % name.encode(), value.encode(), record)
        assert count == 1
    probe.hset(probe.key(f"sess:{tag}:{key.user_id}"), key.session_id, record)


# --- The same session, though its record was written anew ----------------------------------------


@each_server
@pytest.mark.parametrize("is_padded", [False, True], ids=["", "of-an-earlier-release"])
async def test_a_record_written_anew_while_the_session_is_deleted(
    backend: Backend,
    make_verbs: Callable[..., Verbs],
    key: SessionKey,
    redis_probe: RedisProbe,
    is_padded: bool,
) -> None:
    tag = tag_of(backend)
    verbs = make_verbs(session_ttl=3600)
    await verbs.append_messages(key, [HumanMessage("hi")], create=True)
    await verbs.append_track_event(key, "tools", 1)
    if is_padded:
        pad_created(redis_probe, key, tag)
    rewrite = before_script("delete_session", lambda: rewrite_record(redis_probe, key, tag))
    deleting, _ = intercept(backend, make_verbs, before=rewrite)
    assert await deleting.delete_session(key) is True
    assert redis_probe.names() == []


@each_server
@one_mode
@pytest.mark.parametrize("is_padded", [False, True], ids=["", "of-an-earlier-release"])
async def test_a_record_written_anew_while_a_summary_is_made(
    backend: Backend,
    make_verbs: Callable[..., Verbs],
    key: SessionKey,
    redis_probe: RedisProbe,
    is_padded: bool,
) -> None:
    tag = tag_of(backend)
    await make_verbs().append_messages(key, [AIMessage("hi")], create=True)
    if is_padded:
        pad_created(redis_probe, key, tag)
    asked: list[SummaryRequest] = []

    def summarize(request: SummaryRequest) -> str:
        asked.append(request)
        return "made"

    verbs, _ = intercept(
        backend,
        make_verbs,
        before=before_script("put_summary", lambda: rewrite_record(redis_probe, key, tag)),
        summarizer=summarize,
        auto_summarize=False,
    )
    assert (await verbs.create_summary(key, force=True)).text == "made"
    assert (await verbs.get_summary(key)).text == "made"
    assert len(asked) == 1


@each_server
async def test_times_stay_what_they_are_when_the_record_is_written_anew(
    backend: Backend, verbs: Verbs, key: SessionKey, redis_probe: RedisProbe
) -> None:
    tag = tag_of(backend)
    for number in range(20):  # a time may happen to end with other digits than zeros
        each = SessionKey("shop", "ann", f"s{number}")
        await verbs.create_session("shop", "ann", each.session_id)
        created = load(read_record(redis_probe, each, tag))["createdAt"]
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{0,8}[1-9])?Z", created)
        rewrite_record(redis_probe, each, tag)
        assert load(read_record(redis_probe, each, tag))["createdAt"] == created


# --- When a session began ------------------------------------------------------------------------


@each_server
@pytest.mark.parametrize("time_ns", [NOON + 123_456_789, NOON + 999_999_999, NOON, 5, -5])
async def test_no_session_is_younger_than_its_first_event(
    backend: Backend,
    make_verbs: Callable[..., Verbs],
    key: SessionKey,
    redis_probe: RedisProbe,
    time_ns: int,
) -> None:
    tag = tag_of(backend)
    verbs = make_verbs(clock=lambda: time_ns)
    result = await verbs.append_messages(key, [HumanMessage("a"), HumanMessage("b")], create=True)
    created = load(read_record(redis_probe, key, tag))["createdAt"]
    assert created == trim_time(format_time(time_ns // 1000 * 1000))
    if time_ns > 0:  # so the Go service's summary, which is as old as its last event, counts
        put_go_summary(redis_probe, key, result.events[0], tag=tag)
        assert (await verbs.get_summary(key)).text == "go"


@each_server
async def test_an_event_of_a_clock_ahead_makes_no_session_of_the_future(
    make_verbs: Callable[..., Verbs], key: SessionKey
) -> None:
    verbs = make_verbs(clock=lambda: 2 * NOON)
    await verbs.append_messages(key, [HumanMessage("a")], create=True)
    session = await verbs.get_session(key)
    assert session.created_at == session.updated_at


@each_server
async def test_a_record_made_anew_is_as_old_as_the_oldest_event(
    backend: Backend, make_verbs: Callable[..., Verbs], key: SessionKey, redis_probe: RedisProbe
) -> None:
    times = iter([NOON, NOON + MINUTE_NS])
    verbs = make_verbs(clock=lambda: next(times))
    await verbs.append_messages(key, [HumanMessage("a"), HumanMessage("b")], create=True)
    redis_probe.hdel(redis_probe.key(f"sess:{tag_of(backend)}:ann"), "s1")
    await verbs.append_messages(key, [HumanMessage("c")], create=True)
    session = await verbs.get_session(key)
    assert texts(session.events) == ["a", "b", "c"]
    age = session.events[0].timestamp - session.created_at
    assert timedelta(0) <= age < timedelta(microseconds=10)


@each_server
async def test_a_summary_that_the_go_service_left_behind_is_not_the_new_sessions(
    backend: Backend, make_verbs: Callable[..., Verbs], key: SessionKey, redis_probe: RedisProbe
) -> None:
    """Deleting a session, it takes only its own along; the next one's clock may be behind."""
    tag = tag_of(backend)
    verbs = make_verbs(summarizer=lambda _: "old", auto_summarize=False)
    await verbs.append_messages(key, [HumanMessage("old")], create=True)
    await verbs.create_summary(key, force=True)
    redis_probe.hdel(redis_probe.key(f"sess:{tag}:ann"), "s1")
    redis_probe.unlink(redis_probe.key(f"event:{tag}:ann:s1"))
    behind = make_verbs(clock=lambda: NOON, summarizer=lambda _: "new", auto_summarize=False)
    result = await behind.append_messages(key, [HumanMessage("new")], create=True)
    assert result.unsummarized == 1
    found = await behind.get_summarized_messages(key)
    assert (found.summary, texts(found.messages)) == (None, ["new"])
    assert await behind.list_summaries(key) == []


# --- How far the Go service's summaries go -------------------------------------------------------


async def append_batch(verbs: Verbs, key: SessionKey, *numbers: int) -> list[Event]:
    """Append events of one time, in a session that is as old."""
    messages = [AIMessage(f"m{number}") for number in numbers]
    result = await verbs.append_messages(key, messages, create=True)
    events: list[Event] = result.events
    return events


@each_server
async def test_a_summary_of_a_batch_covers_all_of_it(
    backend: Backend, make_verbs: Callable[..., Verbs], key: SessionKey, redis_probe: RedisProbe
) -> None:
    verbs, interceptor = intercept(
        backend, make_verbs, summarizer=lambda r: f"{r.previous_summary} and {len(r.messages)}",
        auto_summarize=False, clock=lambda: NOON,
    )  # fmt: skip
    batch = await append_batch(verbs, key, *range(10))
    put_go_summary(redis_probe, key, batch[-1], tag=tag_of(backend), filter_keys=("", "app"))
    result = await verbs.append_event(key, make_answer(10))
    assert result.unsummarized == 1
    await verbs.get_summarized_messages(key)  # from now on the server has the script
    for limit in (None, 1, 5):
        interceptor.requests.clear()
        found = await verbs.get_summarized_messages(key, limit=limit)
        assert (found.summary.text, texts(found.messages)) == ("go", ["m10"])
        assert len(interceptor.requests) == 1
    cutoffs = [
        (await verbs.get_session(key)).summary.boundary.cutoff_score,
        (await verbs.get_session(key, limit=0)).summary.boundary.cutoff_score,
        (await verbs.get_summary(key, "app")).boundary.cutoff_score,
        *[summary.boundary.cutoff_score for summary in await verbs.list_summaries(key)],
    ]
    assert cutoffs == [batch[-1].score] * 5
    # Ours goes on behind it, and then goes further.
    assert (await verbs.create_summary(key, force=True)).text == "go and 1"
    await verbs.append_event(key, make_event(11))
    interceptor.requests.clear()
    found = await verbs.get_summarized_messages(key)
    assert (found.summary.text, texts(found.messages)) == ("go and 1", ["m11"])
    assert len(interceptor.requests) == 1


@each_server
@one_mode
async def test_theirs_goes_further_than_ours(
    backend: Backend, make_verbs: Callable[..., Verbs], key: SessionKey, redis_probe: RedisProbe
) -> None:
    verbs, interceptor = intercept(
        backend, make_verbs, summarizer=lambda _: "ours", auto_summarize=False, clock=lambda: NOON
    )
    await append_batch(verbs, key, 0, 1, 2)
    await verbs.create_summary(key, force=True)
    await append_batch(verbs, key, 3, 4, 5)
    events = await verbs.get_events(key)
    put_go_summary(redis_probe, key, events[4], tag=tag_of(backend))
    await verbs.get_summarized_messages(key)
    interceptor.requests.clear()
    found = await verbs.get_summarized_messages(key)
    assert (found.summary.text, texts(found.messages)) == ("go", ["m5"])
    assert len(interceptor.requests) == 1
    assert (await verbs.append_event(key, make_event(6))).unsummarized == 2
    put_go_summary(redis_probe, key, events[1], tag=tag_of(backend))
    found = await verbs.get_summarized_messages(key)
    assert (found.summary.text, texts(found.messages)) == ("ours", ["m3", "m4", "m5", "m6"])
    assert (await verbs.append_event(key, make_event(7))).unsummarized == 5


@each_server
@one_mode
async def test_where_its_last_event_is_gone_the_time_decides(
    backend: Backend, make_verbs: Callable[..., Verbs], key: SessionKey, redis_probe: RedisProbe
) -> None:
    verbs = make_verbs(clock=lambda: NOON)
    batch = await append_batch(verbs, key, 0, 1)
    await verbs.append_events(key, make_events(2, 3))
    put_go_summary(redis_probe, key, batch[0], tag=tag_of(backend), last_event_id="gone")
    found = await verbs.get_summarized_messages(key)
    assert (found.summary.text, texts(found.messages)) == ("go", ["m1", "m2", "m3"])


@each_server
@one_mode
async def test_an_id_inside_of_another_event_is_not_its_last_event(
    backend: Backend, make_verbs: Callable[..., Verbs], key: SessionKey, redis_probe: RedisProbe
) -> None:
    verbs = make_verbs(clock=lambda: NOON)
    batch = [make_event(number, time_ns=NOON) for number in range(4)]
    for place in (0, 3):
        inside = HumanMessage(f"m{place}", mine={"id": batch[1].id})
        batch[place].message = inside
    await verbs.append_messages(key, [HumanMessage("first")], create=True)
    await verbs.append_events(key, batch)
    put_go_summary(redis_probe, key, batch[1], tag=tag_of(backend))
    found = await verbs.get_summarized_messages(key)
    assert texts(found.messages) == ["m2", "m3"]


@one_server
@one_mode
@pytest.mark.parametrize(
    ("place", "is_found"), [(0, True), (200, True), (999, False), (1800, True), (1999, True)]
)
async def test_the_search_for_its_last_event_ends(
    make_verbs: Callable[..., Verbs],
    key: SessionKey,
    redis_probe: RedisProbe,
    place: int,
    is_found: bool,
) -> None:
    """Some hundreds of one time are looked through from both ends, not for ever."""
    verbs = make_verbs(session_event_limit=None, clock=lambda: NOON)
    batch = await append_batch(verbs, key, *range(2000))
    put_go_summary(redis_probe, key, batch[place])
    summary = await verbs.get_summary(key)
    assert summary.boundary.cutoff_score == (batch[place].score if is_found else NOON)


@each_server
@one_mode
async def test_a_summary_older_than_the_session_covers_nothing(
    backend: Backend, make_verbs: Callable[..., Verbs], key: SessionKey, redis_probe: RedisProbe
) -> None:
    tag = tag_of(backend)
    verbs = make_verbs(clock=lambda: NOON)
    batch = await append_batch(verbs, key, 0, 1, 2, 3)
    put_go_summary(redis_probe, key, batch[2], tag=tag)
    put_record(redis_probe, key, tag, createdAt='"createdAt":"2090-01-01T00:00:00Z"')
    for limit in (None, 3):
        found = await verbs.get_summarized_messages(key, limit=limit)
        assert (found.summary, len(found.messages)) == (None, limit or 4)


@each_server
@one_mode
async def test_unsummarized_without_the_record_of_a_time(
    backend: Backend, make_verbs: Callable[..., Verbs], key: SessionKey, redis_probe: RedisProbe
) -> None:
    """What can't be read counts for nothing, and stops nobody."""
    verbs = make_verbs(summarizer=lambda _: "x", auto_summarize=False)
    await append_batch(verbs, key, 0, 1)
    field = redis_probe.key(f"sesssum:{tag_of(backend)}:ann")
    for number, value in enumerate(
        ["", "x", "[]", '{"":7}', '{"":{"summary":"x","updated_at":"x"}}', '{"":{"boundary":[]}}']
    ):
        redis_probe.hset(field, "s1", value)
        result = await verbs.append_event(key, make_event(2 + number))
        assert result.unsummarized == 3 + number


# --- A record that has lost its lifetime ---------------------------------------------------------

OLD = '"updatedAt":"2026-01-01T00:00:00.5+01:00"'


@each_server
async def test_a_session_that_lost_its_lifetime_expires_by_its_last_write(
    backend: Backend, make_verbs: Callable[..., Verbs], key: SessionKey, redis_probe: RedisProbe
) -> None:
    tag = tag_of(backend)
    verbs = make_verbs(session_ttl=3600)
    await verbs.create_session("shop", "ann", "s1", state={"old": 1})
    await verbs.create_session("shop", "ann", "s2", state={"old": 1})
    rewrite_record(redis_probe, key, tag)
    assert (await verbs.get_session(key)).state == {"old": 1}  # just written
    assert len(await verbs.list_sessions("shop", "ann")) == 2
    put_record(redis_probe, key, tag, updatedAt=OLD)
    assert (await make_verbs().get_session(key)).state == {"old": 1}  # without TTL, for ever
    assert await verbs.get_session(key) is None
    assert await verbs.get_messages(key) == []
    assert await verbs.get_summary(key) is None
    assert await verbs.list_tracks(key) == []
    with pytest.raises(LookupError):
        await verbs.append_track_event(key, "tools", 1)
    with pytest.raises(LookupError):
        await verbs.append_event(key, make_event(1))
    listed = await verbs.list_sessions("shop", "ann")
    assert [session.key.session_id for session in listed] == ["s2"]
    assert redis_probe.hkeys(redis_probe.key(f"sess:{tag}:ann")) == [b"s2"]


@each_server
@one_mode
async def test_what_comes_after_a_session_that_lost_its_lifetime(
    backend: Backend, make_verbs: Callable[..., Verbs], key: SessionKey, redis_probe: RedisProbe
) -> None:
    tag = tag_of(backend)
    verbs = make_verbs(session_ttl=3600)
    await verbs.create_session("shop", "ann", "s1", state={"old": 1})
    rewrite_record(redis_probe, key, tag)
    put_record(redis_probe, key, tag, updatedAt=OLD)
    await verbs.append_messages(key, [HumanMessage("hi")], create=True)
    assert (await verbs.get_session(key)).state == {}


@each_server
@one_mode
@pytest.mark.parametrize(
    "updated", ["no time", "2026-01-01", "9999-12-31T23:59:59Z", "2026-99-99T99:99:99Z"]
)
async def test_a_session_whose_last_write_is_not_long_ago_lives(
    backend: Backend,
    make_verbs: Callable[..., Verbs],
    key: SessionKey,
    redis_probe: RedisProbe,
    updated: str,
) -> None:
    tag = tag_of(backend)
    verbs = make_verbs(session_ttl=3600)
    await verbs.create_session("shop", "ann", "s1")
    rewrite_record(redis_probe, key, tag)
    put_record(redis_probe, key, tag, updatedAt=f'"updatedAt":"{updated}"')
    assert await verbs.get_session(key) is not None
    assert len(await verbs.list_sessions("shop", "ann")) == 1
    await verbs.append_event(key, make_event(1))


@each_server
@one_mode
async def test_a_session_with_events_or_of_ours_without_a_ttl_lives(
    backend: Backend, make_verbs: Callable[..., Verbs], key: SessionKey, redis_probe: RedisProbe
) -> None:
    tag = tag_of(backend)
    verbs = make_verbs(session_ttl=3600)
    await verbs.append_messages(key, [HumanMessage("hi")], create=True)
    rewrite_record(redis_probe, key, tag)
    put_record(redis_probe, key, tag, updatedAt=OLD)
    other = SessionKey("shop", "ann", "s2")
    # The Go service would have dropped the event limit: this one was never to expire.
    await make_verbs().create_session("shop", "ann", "s2", state={"k": 1})
    put_record(redis_probe, other, tag, updatedAt=OLD)
    for each in (key, other):
        assert await verbs.get_session(each) is not None
    assert len(await verbs.list_sessions("shop", "ann")) == 2
    await verbs.append_event(other, make_event(1))
