"""Summaries: what is covered, what is stored, and what leaves everything as it was."""

from __future__ import annotations

import json
import re
import threading
import warnings
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import (
    AIMessage,
    ChatMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.runnables import RunnableLambda

from langchain_redis_session import (
    ConfigurationError,
    Session,
    SessionCallbackHandler,
    SessionKey,
    SessionNotFoundError,
    SessionSummarizer,
    Summary,
    SummaryError,
    SummaryRequest,
    event_threshold,
)
from langchain_redis_session._codec.summary_record import parse_summary
from langchain_redis_session._times import format_time
from tests.contract.backends import Backend, RedisProbe, Verbs
from tests.contract.intercept import intercept
from tests.contract.narrow import each_server, one_mode, one_server
from tests.contract.store import (
    NOON,
    STEP,
    make_answer,
    make_answers,
    make_event,
    read_record,
    tag_of,
    texts,
)
from tests.integration.scripted import ScriptedModel
from tests.methods import call_method
from tests.waits import PATIENCE_S

MINUTE = timedelta(minutes=1)


class Echo:
    """A summarizer that says what it was given: the last summary, and every new text.

    Attributes:
        requests: What it was asked for.
        before: Called before it answers.
    """

    def __init__(self, before: Callable[[], Any] | None = None) -> None:
        self.requests: list[SummaryRequest] = []
        self.before = before

    def __call__(self, request: SummaryRequest) -> str:
        self.requests.append(request)
        if self.before is not None:
            self.before()
        return " ".join([request.previous_summary, *texts(request.messages)]).strip()


def covered(summary: Summary | None) -> list[str]:
    return [] if summary is None else summary.text.split()


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
def summing(make_verbs: Callable[..., Verbs], echo: Echo) -> Verbs:
    """Verbs of a service that makes summaries only when asked to."""
    return make_verbs(summarizer=echo, auto_summarize=False)


async def fill(verbs: Verbs, key: SessionKey, *numbers: int, **members: Any) -> None:
    await verbs.create_session(key.app_name, key.user_id, key.session_id)
    await verbs.append_events(key, [make_answer(number, **members) for number in numbers])


def summaries_key(backend: Backend, probe: RedisProbe) -> bytes:
    return probe.key(f"sesssum:{tag_of(backend)}:ann")


# --- What is made --------------------------------------------------------------------------------


async def test_only_what_is_new_is_read_and_sent(
    summing: Verbs, echo: Echo, key: SessionKey
) -> None:
    await fill(summing, key, 1, 2, 3)
    first = await summing.create_summary(key, force=True)
    assert covered(first) == ["m1", "m2", "m3"]
    await summing.append_events(key, make_answers(4, 5))
    second = await summing.create_summary(key, force=True)
    assert covered(second) == ["m1", "m2", "m3", "m4", "m5"]
    assert [texts(request.messages) for request in echo.requests] == [
        ["m1", "m2", "m3"],
        ["m4", "m5"],
    ]
    assert [request.previous_summary for request in echo.requests] == ["", "m1 m2 m3"]
    # Nothing new: nothing is asked for.
    assert await summing.create_summary(key, force=True) == second
    assert len(echo.requests) == 2
    assert texts(await summing.get_events(key)) == ["m1", "m2", "m3", "m4", "m5"]


async def test_what_the_summarizer_sees_of_the_session(
    summing: Verbs, echo: Echo, key: SessionKey
) -> None:
    await summing.create_session("shop", "ann", "s1", {"k": 1, "user:u": 2, "app:a": 3})
    await summing.append_events(key, make_answers(1, 2))
    await summing.create_summary(key, force=True)
    await summing.append_events(key, make_answers(3))
    await summing.create_summary(key, force=True)
    session = echo.requests[1].session
    assert session is not None
    assert session.key == key
    assert session.state == {"k": 1, "user:u": 2, "app:a": 3}
    assert texts(session.events) == ["m3"]
    assert covered(session.summary) == ["m1", "m2"]


@each_server
async def test_a_summary_is_stored_with_its_boundary_and_read_back(
    summing: Verbs, key: SessionKey, redis_probe: RedisProbe, backend: Backend
) -> None:
    await fill(summing, key, 1, 2)
    began = datetime.now(timezone.utc) - timedelta(seconds=5)
    summary = await summing.create_summary(key, force=True)
    last = (await summing.get_events(key))[-1]
    (name, value), = redis_probe.hgetall(summaries_key(backend, redis_probe)).items()  # fmt: skip
    assert name == b"s1:"
    updated = re.search(rb'"updated_at":"([^"]*)"', value)
    assert updated is not None
    cutoff_at = format_time(int(last.score))
    assert value.decode() == (
        f'{{"summary":"m1 m2","updated_at":"{updated[1].decode()}","boundary":{{"version":1,'
        f'"filter_key":"","cutoff_at":"{cutoff_at}","last_event_id":"{last.id}",'
        f'"cutoff_score":"{last.score:.17g}"}}}}'
    )
    assert began < summary.updated_at < began + timedelta(seconds=60)
    assert summary.boundary.last_event_id == last.id
    assert summary.boundary.cutoff_score == last.score
    assert parse_summary(value, "") == summary
    assert await summing.get_summary(key) == summary
    assert (await summing.get_session(key)).summary == summary
    assert (await summing.get_session(key, limit=0)).summary == summary
    assert await summing.list_summaries(key) == [summary]
    # Nothing is left of the making.
    assert not [name for name in redis_probe.names() if "lease" in name]


async def test_a_summary_of_odd_text_is_read_back(
    make_verbs: Callable[..., Verbs], key: SessionKey
) -> None:
    said = ' "cutoff_score":"9"}} \\ \n \ud800 東京 \x00 \u2028 '
    verbs = make_verbs(summarizer=lambda _: said, auto_summarize=False)
    await fill(verbs, key, 1)
    summary = await verbs.create_summary(key, force=True)
    assert summary.text == said.strip().replace("\ud800", "\ufffd")
    assert await verbs.get_summary(key) == summary
    await verbs.append_event(key, make_answer(2))
    assert texts((await verbs.get_summarized_messages(key)).messages) == ["m2"]


@one_server
async def test_a_trigger_decides_unless_forced(
    make_verbs: Callable[..., Verbs], key: SessionKey, echo: Echo
) -> None:
    summarizer = SessionSummarizer(RunnableLambda(lambda _: "s"), trigger=event_threshold(3))
    verbs = make_verbs(summarizer=summarizer, auto_summarize=False)
    await fill(verbs, key, 1, 2)
    assert await verbs.create_summary(key) is None
    await verbs.append_events(key, make_answers(3))
    first = await verbs.create_summary(key)
    assert first.text == "s"
    await verbs.append_events(key, make_answers(4, 5))
    assert await verbs.create_summary(key) == first
    assert (await verbs.create_summary(key, force=True)).boundary != first.boundary


async def test_tool_calls_and_their_results_stay_together(
    summing: Verbs, echo: Echo, key: SessionKey
) -> None:
    call = {"name": "add", "args": {}, "id": "c1", "type": "tool_call"}
    await fill(summing, key, 1)
    await summing.append_events(key, [make_answer(2, AIMessage("calls", tool_calls=[call]))])
    summary = await summing.create_summary(key, force=True)
    assert covered(summary) == ["m1"]
    found = await summing.get_summarized_messages(key)
    assert texts(found.messages) == ["calls"]
    await summing.append_events(
        key, [make_answer(3, ToolMessage("2", tool_call_id="c1")), make_answer(4)]
    )
    assert texts((await summing.get_summarized_messages(key)).messages) == ["calls", "2", "m4"]
    summary = await summing.create_summary(key, force=True)
    assert summary.boundary.last_event_id == make_answer(4).id
    assert texts(echo.requests[1].messages) == ["calls", "2", "m4"]


@one_server
async def test_any_function_of_the_session_is_a_trigger(
    make_verbs: Callable[..., Verbs], key: SessionKey
) -> None:
    seen: list[tuple[list[str], bool]] = []

    def is_due(session: Session) -> bool:
        seen.append((texts(session.events), session.summary is not None))
        return bool(session.state.get("due"))

    summarizer = SessionSummarizer(RunnableLambda(lambda _: "s"), trigger=is_due)
    verbs = make_verbs(summarizer=summarizer, auto_summarize=False)
    await fill(verbs, key, 1, 2)
    assert await verbs.create_summary(key) is None
    await verbs.update_session_state(key, {"due": True})
    assert (await verbs.create_summary(key)).text == "s"
    await verbs.append_events(key, make_answers(3))
    await verbs.create_summary(key)
    assert seen == [(["m1", "m2"], False), (["m1", "m2"], False), (["m3"], True)]


@pytest.mark.parametrize("what", ["trim_conversations", "remove_events"])
@each_server
async def test_what_comes_after_a_removal_is_not_covered(
    summing: Verbs, key: SessionKey, what: str
) -> None:
    """Though the clock of who wrote what was removed may have been ahead."""
    await fill(summing, key, 1, 2, 8, 9)
    await summing.create_summary(key, force=True)
    if what == "trim_conversations":
        assert await summing.trim_conversations(key)
    else:
        ids = [event.id for event in await summing.get_events(key, limit=2)]
        assert await summing.remove_events(key, ids) == 2
    left = texts(await summing.get_events(key))
    await summing.append_events(key, make_answers(5))
    assert texts(await summing.get_events(key)) == [*left, "m5"]
    assert texts((await summing.get_summarized_messages(key)).messages) == ["m5"]
    assert covered(await summing.create_summary(key, force=True))[-1] == "m5"


# --- Filter keys ---------------------------------------------------------------------------------


async def test_a_summary_of_a_filter_key_covers_what_is_below(
    summing: Verbs, echo: Echo, key: SessionKey
) -> None:
    await fill(summing, key, 1)
    await summing.append_events(
        key,
        [
            make_answer(2, filter_key="app/tools"),
            make_answer(3, filter_key="app/tools/search"),
            make_answer(4, filter_key="app/toolbox"),
            make_answer(5, filter_key="app"),
        ],
    )
    summary = await summing.create_summary(key, "app/tools", force=True)
    assert (summary.filter_key, covered(summary)) == ("app/tools", ["m2", "m3"])
    # The whole session's follows.
    whole = await summing.get_summary(key)
    assert covered(whole) == ["m1", "m2", "m3", "m4", "m5"]
    assert await summing.list_summaries(key) == [whole, summary]
    assert await summing.get_summary(key, "app/tools") == summary
    assert await summing.get_summary(key, "app/tools/search") == whole
    assert await summing.get_summary(key, "no/such") == whole
    assert (await summing.get_session(key)).summary == whole


async def test_without_the_cascade_only_the_summary_asked_for_is_made(
    make_verbs: Callable[..., Verbs], key: SessionKey
) -> None:
    verbs = make_verbs(summarizer=Echo(), auto_summarize=False, cascade_full_session_summary=False)
    await fill(verbs, key, 1, filter_key="a:b/{c}*")
    summary = await verbs.create_summary(key, "a:b/{c}*", force=True)
    assert await verbs.list_summaries(key) == [summary]
    assert await verbs.get_summary(key) is None
    assert await verbs.get_summary(key, "other") is None


@one_server
async def test_the_allowlist_goes_by_segments(
    make_verbs: Callable[..., Verbs], key: SessionKey
) -> None:
    verbs = make_verbs(
        summarizer=Echo(), auto_summarize=False, summary_filter_allowlist=["app/tool", "x"]
    )
    for number, filter_key in enumerate(("app/tool", "app/tool/deep", "app/toolbox", "app", "x")):
        await fill(verbs, key, number, filter_key=filter_key)
    for allowed in ("app/tool", "app/tool/deep", "x", ""):
        assert (await verbs.create_summary(key, allowed, force=True)).filter_key == allowed
    for refused in ("app/toolbox", "app", "app/too", "xy", "/"):
        with pytest.raises(ConfigurationError, match="summary_filter_allowlist"):
            await verbs.create_summary(key, refused, force=True)
        with pytest.raises(ConfigurationError, match="summary_filter_allowlist"):
            await verbs.enqueue_summary(key, refused, force=True)


# --- Reading with a summary ----------------------------------------------------------------------


async def test_the_summary_and_what_came_after_it(summing: Verbs, key: SessionKey) -> None:
    nothing = await summing.get_summarized_messages(key)
    assert (nothing.summary, nothing.messages) == (None, [])
    await fill(summing, key, 1, 2, 3)
    found = await summing.get_summarized_messages(key)
    assert (found.summary, texts(found.messages)) == (None, ["m1", "m2", "m3"])
    summary = await summing.create_summary(key, force=True)
    found = await summing.get_summarized_messages(key)
    assert (found.summary, found.messages) == (summary, [])
    await summing.append_events(key, make_answers(4, 5, 6))
    found = await summing.get_summarized_messages(key)
    assert (found.summary, texts(found.messages)) == (summary, ["m4", "m5", "m6"])
    found = await summing.get_summarized_messages(key, limit=2)
    assert (found.summary, texts(found.messages)) == (summary, ["m5", "m6"])


@each_server
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("create_summary", 3),
        ("get_summary", 1),
        ("get_summarized_messages", 1),
        ("get_session", 1),
    ],
)
async def test_a_summary_takes_three_requests_and_its_reads_one(
    backend: Backend, make_verbs: Callable[..., Verbs], key: SessionKey, name: str, expected: int
) -> None:
    verbs, interceptor = intercept(backend, make_verbs, summarizer=Echo(), auto_summarize=False)
    for session in (SessionKey("shop", "ann", "warm"), key):
        await fill(verbs, session, 1, 2)
        if name != "create_summary":
            await verbs.create_summary(session, force=True)
        interceptor.requests.clear()
        await call_method(verbs, name, session)
    assert len(interceptor.requests) == expected


@each_server
async def test_every_request_sent_twice(
    backend: Backend, make_verbs: Callable[..., Verbs], key: SessionKey
) -> None:
    echo = Echo()
    verbs, _ = intercept(
        backend, make_verbs, times=2, summarizer=echo, auto_summarize=False, session_ttl=60
    )
    await fill(verbs, key, 1, 2)
    summary = await verbs.create_summary(key, force=True)
    assert covered(summary) == ["m1", "m2"]
    await verbs.append_events(key, make_answers(3))
    assert covered(await verbs.create_summary(key, force=True)) == ["m1", "m2", "m3"]
    assert len(echo.requests) == 2
    assert len(await verbs.list_summaries(key)) == 1


# --- trpc-agent-go's -----------------------------------------------------------------------------


def moment(number: int) -> str:
    """A time between event `number` and the next one."""
    return format_time(NOON + number * STEP + STEP // 2)


def go_summaries(**times: str) -> str:
    """Summaries as trpc-agent-go writes them; `whole` is the one of the empty filter key."""
    return json.dumps(
        {
            "" if name == "whole" else name: {
                "summary": f"go {name}",
                "topics": ["tea"],
                "updated_at": "2099-01-01T00:00:00+08:00",
                "boundary": {"version": 1, "cutoff_at": at, "last_event_id": "e"},
            }
            for name, at in times.items()
        }
    )


@each_server
async def test_the_one_that_goes_further_is_read(
    summing: Verbs, key: SessionKey, redis_probe: RedisProbe, backend: Backend, echo: Echo
) -> None:
    await fill(summing, key, 1, 2, 3, 4)
    theirs = go_summaries(whole=moment(2), app=moment(1))
    hash_key = summaries_key(backend, redis_probe)
    redis_probe.hset(hash_key, "s1", theirs)
    found = await summing.get_summarized_messages(key)
    assert (found.summary.text, found.summary.topics) == ("go whole", ("tea",))
    assert texts(found.messages) == ["m3", "m4"]
    assert (await summing.get_session(key)).summary == found.summary
    assert (await summing.get_summary(key, "app")).text == "go app"
    assert (await summing.get_summary(key, "other")).text == "go whole"
    assert [s.text for s in await summing.list_summaries(key)] == ["go whole", "go app"]
    # Ours goes on where theirs ends, and theirs stays what it was.
    summary = await summing.create_summary(key, force=True)
    assert summary.text == "go whole m3 m4"
    assert texts(echo.requests[0].messages) == ["m3", "m4"]
    assert redis_probe.hget(hash_key, "s1").decode() == theirs
    assert (await summing.get_session(key)).summary == summary
    redis_probe.hset(hash_key, "s1", go_summaries(whole=moment(0)))
    assert (await summing.get_session(key)).summary == summary
    # Without a boundary, its update is where it ends.
    bare = {"": {"summary": "bare", "updated_at": "2099-01-01T00:00:00Z"}}
    redis_probe.hset(hash_key, "s1", json.dumps(bare))
    found = await summing.get_summarized_messages(key)
    assert (found.summary.text, found.messages) == ("bare", [])


@one_server
async def test_a_field_of_another_session_of_theirs_is_never_ours(
    make_verbs: Callable[..., Verbs], key: SessionKey, redis_probe: RedisProbe, backend: Backend
) -> None:
    """Their session ids are not escaped: the one of `s1:` stands where ours of `s1` does."""
    echo = Echo()
    verbs = make_verbs(summarizer=echo, auto_summarize=False)
    await fill(verbs, key, 1, 2)
    theirs = go_summaries(whole=moment(1))
    hash_key = summaries_key(backend, redis_probe)
    redis_probe.hset(hash_key, "s1:", theirs)
    assert (await verbs.get_session(key)).summary is None
    assert await verbs.list_summaries(key) == []
    assert texts((await verbs.get_summarized_messages(key)).messages) == ["m1", "m2"]
    with pytest.raises(SummaryError, match="another program"):
        await verbs.create_summary(key, force=True)
    assert redis_probe.hget(hash_key, "s1:").decode() == theirs
    # A model that nobody would hear is not asked, and nobody waits for it.
    assert echo.requests == []
    assert not redis_probe.names("sumlease*")


# --- What counts for nothing ---------------------------------------------------------------------


@each_server
async def test_a_summary_older_than_the_session(
    summing: Verbs, key: SessionKey, redis_probe: RedisProbe, backend: Backend, echo: Echo
) -> None:
    await fill(summing, key, 1, 2, 3)
    await summing.create_summary(key, force=True)
    record = read_record(redis_probe, key, tag_of(backend))
    later = re.sub(rb'"createdAt":"20\d\d', b'"createdAt":"2090', record)
    redis_probe.hset(redis_probe.key(f"sess:{tag_of(backend)}:ann"), "s1", later)
    assert await summing.get_summary(key) is None
    assert await summing.list_summaries(key) == []
    assert (await summing.get_session(key)).summary is None
    found = await summing.get_summarized_messages(key)
    assert (found.summary, texts(found.messages)) == (None, ["m1", "m2", "m3"])
    found = await summing.get_summarized_messages(key, limit=2)
    assert texts(found.messages) == ["m2", "m3"]
    # A new one takes its place, though it goes no further, and counts: it can't be older than
    # a session that another clock has made.
    summary = await summing.create_summary(key, force=True)
    assert covered(summary) == ["m1", "m2", "m3"]
    assert await summing.get_summary(key) == summary
    assert await summing.create_summary(key, force=True) == summary
    assert len(echo.requests) == 2


@each_server
@pytest.mark.parametrize(
    "value",
    [
        "quite broken",
        "[]",
        '{"summary":"',
        '{"summary":7,"boundary":{"cutoff_score":"1e30"}}',
        '{"summary":"s","updated_at":"x","boundary":{"cutoff_score":"1e30"}}',
        '{"summary":"s","boundary":{"cutoff_score":"1e30"}}',
        '{"summary":"s","updated_at":"2099-01-01T00:00:00Z","boundary":{"cutoff_score":"1e"}}',
        '{"summary":"s","updated_at":"2099-01-01T00:00:00Z","boundary":{"cutoff_score":"1e999"}}',
        '{"summary":"s","updated_at":"2099-01-01T00:00:00Z","boundary":{"cutoff_score":"nan"}}',
        '{"summary":"s","updated_at":"2099-01-01T00:00:00Z","boundary":{"cutoff_score":"x"}}',
        "[" * 5000,
    ],
)
async def test_one_that_cannot_be_read(
    summing: Verbs,
    key: SessionKey,
    redis_probe: RedisProbe,
    backend: Backend,
    value: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    await fill(summing, key, 1, 2)
    hash_key = summaries_key(backend, redis_probe)
    redis_probe.hset(hash_key, "s1:", value)
    redis_probe.hset(hash_key, "s1", value)
    assert (await summing.get_session(key)).summary is None
    assert await summing.get_summary(key) is None
    assert await summing.list_summaries(key) == []
    found = await summing.get_summarized_messages(key)
    assert (found.summary, texts(found.messages)) == (None, ["m1", "m2"])
    assert summing.service.stats().corrupt_entries > 0
    assert "a summary" in caplog.text
    assert value not in caplog.text
    if value.startswith('{"summary":"'):  # ours, so a new one takes its place
        summary = await summing.create_summary(key, force=True)
        assert covered(summary) == ["m1", "m2"]
        assert await summing.get_summary(key) == summary


@one_server
@pytest.mark.parametrize(
    "broken",
    [
        {"summary": 7, "updated_at": "2099-01-01T00:00:00Z"},
        {"summary": "s"},
        {"summary": "s", "updated_at": 5},
        {"summary": "s", "updated_at": "99999-01-01T00:00:00Z"},
        {"summary": "s", "updated_at": "2099-01-01T00:00:00Z", "boundary": {"cutoff_at": [1]}},
    ],
)
async def test_one_of_theirs_that_cannot_be_read_hides_no_other(
    summing: Verbs, key: SessionKey, redis_probe: RedisProbe, backend: Backend, broken: Any
) -> None:
    await fill(summing, key, 1, 2)
    theirs = json.loads(go_summaries(whole=moment(1), app=moment(1))) | {"b": broken}
    redis_probe.hset(summaries_key(backend, redis_probe), "s1", json.dumps(theirs))
    assert [s.text for s in await summing.list_summaries(key)] == ["go whole", "go app"]
    assert (await summing.get_summary(key, "b")).text == "go whole"
    assert summing.service.stats().corrupt_entries == 2


# --- What leaves everything as it was ------------------------------------------------------------


def fail() -> None:
    raise ValueError("the model is out")


def time_out() -> None:
    raise TimeoutError("upstream")


is_over = threading.Event()


def hang() -> None:
    is_over.wait(PATIENCE_S)


@pytest.mark.parametrize(
    ("summarizer", "text"),
    [
        (Echo(fail), "ValueError: the model is out"),
        (lambda _: "", "empty"),
        (lambda _: " \n", "empty"),
        (lambda _: "Error generating summary: 500", "an error's text"),
        (Echo(time_out), "TimeoutError: upstream"),
        (Echo(hang), "no answer within 0.2 s; raise summary_job_timeout"),
    ],
)
async def test_a_summarizer_that_fails(
    make_verbs: Callable[..., Verbs],
    key: SessionKey,
    redis_probe: RedisProbe,
    backend: Backend,
    summarizer: Any,
    text: str,
) -> None:
    good = make_verbs(summarizer=Echo(), auto_summarize=False)
    bad = make_verbs(
        summarizer=summarizer,
        auto_summarize=False,
        summary_job_timeout=0.2 if "no answer" in text else PATIENCE_S,
    )
    is_over.clear()
    await fill(good, key, 1, 2)
    with pytest.raises(SummaryError, match=re.escape(text)):
        await bad.create_summary(key, force=True)
    assert not redis_probe.names("sess?um*")
    assert not redis_probe.names("sumlease*")
    before = await good.create_summary(key, force=True)
    await good.append_events(key, make_answers(3))
    with pytest.raises(SummaryError, match=re.escape(text)):
        await bad.create_summary(key, force=True)
    assert await good.get_summary(key) == before
    is_over.set()
    # And the next one can begin at once.
    assert covered(await good.create_summary(key, force=True)) == ["m1", "m2", "m3"]


@pytest.mark.parametrize(
    "what", ["clear_events", "delete_session", "remove_events", "trim_conversations"]
)
@one_mode
async def test_a_session_that_goes_while_it_is_summarized(
    make_verbs: Callable[..., Verbs],
    key: SessionKey,
    redis_probe: RedisProbe,
    backend: Backend,
    key_prefix: str,
    what: str,
) -> None:
    """What was cleared must not come back as a summary."""

    def intervene() -> None:
        # In a thread of the summarizer's, so the sync verbs need a client of their own.
        clear = make_sync(backend, key_prefix)
        if what == "remove_events":
            clear.remove_events(key, [event.id for event in clear.get_events(key)])
        else:
            getattr(clear, what)(key)

    echo = Echo(intervene)
    verbs = make_verbs(summarizer=echo, auto_summarize=False)
    await fill(verbs, key, 1, 2)
    with pytest.raises(SummaryError, match="cleared"):
        await verbs.create_summary(key, force=True)
    assert await verbs.get_summary(key) is None
    assert not redis_probe.names("sesssum*")
    assert not redis_probe.names("sumlease*")
    echo.before = None
    await fill(verbs, key, 7)
    assert "m7" in covered(await verbs.create_summary(key, force=True))


def make_sync(backend: Backend, key_prefix: str, **options: Any) -> Any:
    from langchain_redis_session import RedisSessionService

    return RedisSessionService(
        client=backend.client, key_prefix=key_prefix, hash_tag=backend.hash_tag, **options
    )


@one_mode
async def test_the_one_that_goes_further_wins_whatever_the_order(
    make_verbs: Callable[..., Verbs],
    key: SessionKey,
    redis_probe: RedisProbe,
    backend: Backend,
    key_prefix: str,
) -> None:
    """A first one hangs until its lease has run out; a second one overtakes it."""
    quick = make_sync_summing(backend, key_prefix)

    def overtake() -> None:
        (lease,) = redis_probe.names("sumlease*")
        redis_probe.unlink(redis_probe.key(lease))
        quick.append_events(key, make_answers(3))
        quick.create_summary(key, force=True)

    told: list[Any] = []

    class Tracer(BaseCallbackHandler):
        def on_custom_event(self, name: str, data: Any, **_: Any) -> None:
            told.append(data.get("is_new"))

    verbs = make_verbs(summarizer=Echo(overtake), auto_summarize=False)
    await fill(verbs, key, 1, 2)
    summary = await verbs.create_summary(key, force=True, callbacks=[Tracer()])
    assert told == [False]
    assert covered(summary) == ["m1", "m2", "m3"]
    assert await verbs.get_summary(key) == summary
    assert not redis_probe.names("sumlease*")


def make_sync_summing(backend: Backend, key_prefix: str) -> Any:
    return make_sync(backend, key_prefix, summarizer=Echo(), auto_summarize=False)


@each_server
async def test_another_owner_of_the_lease(
    summing: Verbs, echo: Echo, key: SessionKey, redis_probe: RedisProbe, backend: Backend
) -> None:
    """It is waited for until its time is over."""
    await fill(summing, key, 1, 2)
    lease = redis_probe.key(f"sumlease:{tag_of(backend)}:ann:s1")
    owners: list[Any] = []
    echo.before = lambda: owners.append(redis_probe.get(lease))
    redis_probe.set(lease, "dead", px=400)
    assert covered(await summing.create_summary(key, force=True)) == ["m1", "m2"]
    # A filter key's too: the lease is the session's.
    await summing.append_events(key, [make_answer(3, filter_key="b")])
    redis_probe.set(lease, "dead", px=400)
    assert covered(await summing.create_summary(key, "b", force=True)) == ["m3"]
    assert len(owners) == 3  # the session's follows the filter key's
    assert not {None, b"dead", "dead"} & {*owners}


@one_server
async def test_an_owner_that_never_ends(
    make_verbs: Callable[..., Verbs],
    key: SessionKey,
    redis_probe: RedisProbe,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from langchain_redis_session._actions import summaries

    monkeypatch.setattr(summaries, "LEASE_MARGIN_MS", 50)
    verbs = make_verbs(summarizer=Echo(), auto_summarize=False, summary_job_timeout=0.2)
    await fill(verbs, key, 1)
    redis_probe.set(redis_probe.key("sumlease:{shop}:ann:s1"), "busy")
    with pytest.raises(SummaryError, match="try again later"):
        await verbs.create_summary(key, force=True)


# --- How long they live --------------------------------------------------------------------------


@each_server
async def test_a_summary_lives_as_long_as_its_session(
    make_verbs: Callable[..., Verbs], key: SessionKey, redis_probe: RedisProbe, backend: Backend
) -> None:
    verbs = make_verbs(summarizer=Echo(), auto_summarize=False, session_ttl=100)
    await fill(verbs, key, 1)
    await verbs.create_summary(key, force=True)
    name = f"sesssum:{tag_of(backend)}:ann"
    assert 90_000 < redis_probe.ttls()[name] <= 100_000
    longer = make_verbs(session_ttl=1000)
    await longer.append_events(key, make_answers(2))
    assert 900_000 < redis_probe.ttls()[name] <= 1_000_000
    assert await longer.get_summary(key) is not None
    forever = make_verbs()
    await forever.append_events(key, make_answers(3))
    assert redis_probe.ttls()[name] == -1
    await forever.clear_events(key)
    assert name not in redis_probe.names()


@each_server
async def test_a_filter_key_lives_on_with_what_is_below(
    make_verbs: Callable[..., Verbs], key: SessionKey, redis_probe: RedisProbe, backend: Backend
) -> None:
    verbs = make_verbs(summarizer=Echo(), auto_summarize=False, session_ttl=100)
    await fill(verbs, key, 1, filter_key="app/tools/search")
    filter_keys = ("", "app", "app/tools", "app/tools/search")
    for filter_key in filter_keys[1:]:
        await verbs.create_summary(key, filter_key, force=True)
    name = summaries_key(backend, redis_probe)
    fields = ["FIELDS", len(filter_keys), *(f"s1:{filter_key}" for filter_key in filter_keys)]
    if backend.variant.server in ("redis_server", "redis_cluster"):
        return  # it has no TTLs per field
    for number, writer in enumerate((verbs, make_verbs(session_ttl=100)), start=2):
        redis_probe.execute_command("HPEXPIRE", name, 9000, *fields)
        await writer.append_event(key, make_answer(number, filter_key="app/tools/search"))
        left = redis_probe.execute_command("HPTTL", name, *fields)
        assert all(90_000 < ttl <= 100_000 for ttl in left), left


@one_server
async def test_a_summary_is_no_use_of_the_session(
    make_verbs: Callable[..., Verbs], key: SessionKey, redis_probe: RedisProbe, backend: Backend
) -> None:
    verbs = make_verbs(
        summarizer=Echo(), auto_summarize=False, session_ttl=100, refresh_ttl_on_read=True
    )
    await fill(verbs, key, 1)
    events = f"event:{tag_of(backend)}:ann:s1"
    redis_probe.pexpire(redis_probe.key(events), 50_000)
    record = read_record(redis_probe, key, tag_of(backend))
    await verbs.create_summary(key, force=True)
    assert redis_probe.ttls()[events] <= 50_000
    assert read_record(redis_probe, key, tag_of(backend)) == record
    await verbs.get_summarized_messages(key)  # but reading is, if asked for
    assert redis_probe.ttls()[events] > 50_000


@each_server
async def test_deleting_takes_leases_and_summaries_along(
    summing: Verbs, key: SessionKey, redis_probe: RedisProbe, backend: Backend
) -> None:
    await fill(summing, key, 1)
    await summing.create_summary(key, force=True)
    lease = redis_probe.key(f"sumlease:{tag_of(backend)}:ann:s1")
    redis_probe.set(lease, "x", px=60_000)
    await summing.delete_session(key)
    assert redis_probe.names() == []
    await fill(summing, key, 1)
    await summing.create_summary(key, force=True)
    redis_probe.set(lease, "x", px=60_000)
    await summing.delete_user("shop", "ann")
    assert redis_probe.names() == []


@each_server
async def test_what_retention_removes_before_a_summary_covers_it(
    make_verbs: Callable[..., Verbs], key: SessionKey
) -> None:
    verbs = make_verbs(summarizer=Echo(), auto_summarize=False, session_event_limit=4)
    await fill(verbs, key, 1, 2, 3, 4, 5, 6)  # 1 and 2 go
    assert verbs.service.stats().lost_events == 2
    assert covered(await verbs.create_summary(key, force=True)) == ["m3", "m4", "m5", "m6"]
    await verbs.append_events(key, make_answers(7, 8, 9))  # 3, 4 and 5 go, and are covered
    assert verbs.service.stats().lost_events == 2
    await verbs.append_events(key, make_answers(10, 11, 12))  # 6, and 7 and 8, which are not
    assert verbs.service.stats().lost_events == 4


# --- Bad input -----------------------------------------------------------------------------------


@one_server
@pytest.mark.parametrize("verb", ["create_summary", "enqueue_summary"])
async def test_without_a_summarizer_a_summary_is_refused(
    make_verbs: Callable[..., Verbs], key: SessionKey, verb: str
) -> None:
    with pytest.raises(ConfigurationError, match="summarizer="):
        await getattr(make_verbs(), verb)(key)


@one_server
@pytest.mark.parametrize("wrong", [None, 5, "\ud800", "x" * 513], ids=ascii)
@pytest.mark.parametrize("verb", ["create_summary", "enqueue_summary", "get_summary"])
async def test_a_wrong_filter_key_is_refused(
    summing: Verbs, key: SessionKey, redis_probe: RedisProbe, verb: str, wrong: Any
) -> None:
    with pytest.raises(ConfigurationError, match="filter_key="):
        await getattr(summing, verb)(key, wrong)
    assert redis_probe.names() == []


@one_server
async def test_bad_input_is_refused_and_nothing_is_stored(
    make_verbs: Callable[..., Verbs],
    summing: Verbs,
    key: SessionKey,
    redis_probe: RedisProbe,
    mode: str,
) -> None:
    with pytest.raises(SessionNotFoundError, match="to summarize"):
        await summing.create_summary(key, force=True)
    if mode == "sync":  # where there are workers
        await summing.enqueue_summary(key, force=True)
        assert await summing.flush(PATIENCE_S)
        stats = summing.service.stats().summaries
        assert stats is not None
        assert stats.failed == 0
    assert await summing.get_summary(key) is None
    assert await summing.list_summaries(key) == []
    for options, text in (
        ({"summarizer": 5}, "summarizer"),
        ({"summarizer": Echo(), "pick_summarizer": lambda _: None}, "exclude each other"),
        ({"pick_summarizer": "x"}, "pick_summarizer must be a function, not .x."),
        ({"summary_filter_allowlist": "app"}, "summary_filter_allowlist"),
        ({"summary_filter_allowlist": [5]}, "summary_filter_allowlist"),
        ({"async_summary_num": 0}, "async_summary_num"),
        ({"summary_queue_size": 0}, "summary_queue_size"),
        ({"summary_job_timeout": 0}, "summary_job_timeout"),
    ):
        with pytest.raises(ConfigurationError, match=text):
            make_verbs(**options)
    assert redis_probe.names() == []


@one_server
async def test_its_runs_are_below_the_callers(
    make_verbs: Callable[..., Verbs], key: SessionKey, mode: str
) -> None:
    parents: dict[str, Any] = {}

    class Tracer(BaseCallbackHandler):
        def on_chain_start(self, *_: Any, **about: Any) -> None:
            parents[about["name"]] = (about["run_id"], about["parent_run_id"])

    verbs = make_verbs(summarizer=Echo(), auto_summarize=False)
    await fill(verbs, key, 1)
    outer: RunnableLambda[Any, Any]
    if mode == "sync":
        outer = RunnableLambda(
            lambda _: verbs.service.create_summary(key, force=True), name="outer"
        )
        outer.invoke(0, {"callbacks": [Tracer()]})
    else:

        async def summarize(_: Any) -> Any:
            return await verbs.create_summary(key, force=True)

        outer = RunnableLambda(summarize, name="outer")
        await outer.ainvoke(0, {"callbacks": [Tracer()]})
    assert parents["SessionSummarizer"][1] == parents["outer"][0]


@one_server
async def test_picked_by_the_session(
    make_verbs: Callable[..., Verbs], key: SessionKey, mode: str
) -> None:
    def pick(session: Session) -> Any:
        tenant = session.state.get("tenant")
        return tenant and (lambda _request: f"summary for {tenant}")

    verbs = make_verbs(pick_summarizer=pick, auto_summarize=False)
    await fill(verbs, key, 1)
    assert await verbs.create_summary(key, force=True) is None
    await verbs.update_session_state(key, {"tenant": "blue"})
    assert (await verbs.create_summary(key, force=True)).text == "summary for blue"
    await verbs.append_events(key, make_answers(2))

    def fails(_: Session) -> Any:
        raise KeyError("tenant")

    with pytest.raises(SummaryError, match="KeyError"):
        await make_verbs(pick_summarizer=fails, auto_summarize=False).create_summary(key)


async def only_async(request: SummaryRequest) -> str:
    return f"{len(request.messages)} messages"


@one_server
async def test_an_async_summarizer_works_in_async_calls_alone(
    make_verbs: Callable[..., Verbs], key: SessionKey, mode: str
) -> None:
    with pytest.raises(ConfigurationError, match="RunnableLambda"):
        make_verbs(summarizer=only_async)
    verbs = make_verbs(summarizer=only_async, auto_summarize=False)
    await fill(verbs, key, 1, 2)
    with pytest.raises(ConfigurationError, match="acreate_summary"):
        await verbs.enqueue_summary(key)
    if mode == "async":
        assert (await verbs.create_summary(key, force=True)).text == "2 messages"
    else:
        with pytest.raises(ConfigurationError, match="acreate_summary"):
            await verbs.create_summary(key, force=True)


# --- What stays as it is -------------------------------------------------------------------------


@each_server
async def test_system_messages_stay_word_for_word_and_are_not_summarized(
    summing: Verbs, echo: Echo, key: SessionKey
) -> None:
    system = {n: make_event(n, SystemMessage(f"s{n}")) for n in (1, 4, 7)}
    await summing.create_session(key.app_name, key.user_id, key.session_id)
    await summing.append_events(key, [system[1], *make_answers(2, 3), system[4]])
    assert covered(await summing.create_summary(key, force=True)) == ["m2", "m3"]
    await summing.append_events(key, [*make_answers(5, 6), system[7], make_answer(8)])
    found = await summing.get_summarized_messages(key)
    assert texts(found.messages) == ["s1", "s4", "m5", "m6", "s7", "m8"]
    found = await summing.get_summarized_messages(key, limit=1)
    assert texts(found.messages) == ["s1", "s4", "m8"]
    await summing.create_summary(key, force=True)
    assert texts(echo.requests[1].messages) == ["m5", "m6", "m8"]
    found = await summing.get_summarized_messages(key)
    assert texts(found.messages) == ["s1", "s4", "s7"]
    assert not found.summary or "s" not in found.summary.text
    # One that is removed is gone.
    await summing.remove_events(key, [system[4].id])
    assert texts((await summing.get_summarized_messages(key)).messages) == ["s1", "s7"]
    await summing.clear_events(key)
    assert (await summing.get_summarized_messages(key)).messages == []


@each_server
@pytest.mark.parametrize("role", ["human", "chat"])
async def test_not_even_a_forced_summary_covers_the_turn_that_runs(
    summing: Verbs, echo: Echo, key: SessionKey, role: str
) -> None:
    question = HumanMessage("q3") if role == "human" else ChatMessage(content="q3", role="user")
    call = {"name": "add", "args": {}, "id": "c1"}
    running = [question, AIMessage("calls", tool_calls=[call]), ToolMessage("2", tool_call_id="c1")]
    await summing.create_session(key.app_name, key.user_id, key.session_id)
    assert await summing.create_summary(key, force=True) is None
    await summing.append_events(key, [make_event(0), *make_answers(1, 2)])
    for place, message in enumerate(running):
        await summing.append_event(key, make_event(3 + place, message))
        assert covered(await summing.create_summary(key, force=True)) == ["m0", "m1", "m2"]
        found = await summing.get_summarized_messages(key)
        assert texts(found.messages)[0] == "q3"
    assert len(echo.requests) == 1
    await summing.append_event(key, make_answer(6))
    summary = await summing.create_summary(key, force=True)
    assert covered(summary)[3:] == ["q3", "calls", "2", "m6"]


@one_server
@pytest.mark.parametrize("answer", ["cut", "thought"])
async def test_what_is_no_summary_counts_as_failed_and_changes_nothing(
    make_verbs: Callable[..., Verbs], key: SessionKey, answer: str
) -> None:
    answers = iter(
        [
            AIMessage("m1 and"),
            AIMessage("m2", response_metadata={"finish_reason": "length"})
            if answer == "cut"
            else AIMessage("<think>Well, m2"),
        ]
    )
    failed: list[str] = []

    class Handler(SessionCallbackHandler):
        def on_create_summary_error(self, context: Any, error: Exception) -> None:
            failed.append(type(error).__name__)

    model = ScriptedModel(answer=lambda _: next(answers))
    summarizer = SessionSummarizer(model, trigger=event_threshold(1))
    verbs = make_verbs(summarizer=summarizer, callbacks=[Handler()], auto_summarize=False)
    await fill(verbs, key, 1)
    before = await verbs.create_summary(key)
    await verbs.append_events(key, make_answers(2))
    with pytest.raises(SummaryError):
        await verbs.create_summary(key)
    assert await verbs.get_summary(key) == before
    assert texts((await verbs.get_summarized_messages(key)).messages) == ["m2"]
    assert failed == ["SummaryError"]


@one_server
async def test_losses_are_logged_once_a_session(
    make_verbs: Callable[..., Verbs], key: SessionKey, caplog: pytest.LogCaptureFixture
) -> None:
    verbs = make_verbs(summarizer=Echo(), auto_summarize=False, session_event_limit=2)
    other = SessionKey(key.app_name, key.user_id, "other")
    for each in (key, other):
        await fill(verbs, each, 1, 2, 3)
        await verbs.append_events(each, make_answers(4, 5))
    assert caplog.text.count("removed events that no summary covered") == 2
    assert repr(key.session_id) in caplog.text
    assert verbs.service.stats().lost_events == 6


@one_server
async def test_a_limit_below_what_a_summary_takes_is_warned_of(
    make_verbs: Callable[..., Verbs],
) -> None:
    due = SessionSummarizer(ScriptedModel(), trigger=event_threshold(8), skip_recent=2)
    with pytest.warns(UserWarning, match="session_event_limit=9 removes events before a summary"):
        make_verbs(auto_summarize=False, summarizer=due, session_event_limit=9)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make_verbs(auto_summarize=False, summarizer=due, session_event_limit=10)
        make_verbs(auto_summarize=False, summarizer=due, session_event_limit=None)
        make_verbs(auto_summarize=False, summarizer=due)
