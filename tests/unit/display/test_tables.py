"""What lists, tracks, counters, summaries and histories show."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage

from langchain_redis_session import (
    Event,
    RedisSessionChatMessageHistory,
    RedisSessionService,
    Session,
    SessionKey,
    Summary,
    SummaryBoundary,
    TrackEvent,
)
from langchain_redis_session._display import lists
from langchain_redis_session._display.tables import MOST_ROWS
from langchain_redis_session._display.transcript import MOST_EVENTS
from tests.unit.display.pages import Page, read_page

NOON = datetime(2026, 11, 23, 12, tzinfo=timezone.utc)
NOON_NS = int(NOON.timestamp()) * 10**9


def make_session(user: str = "ann", name: str = "s1", **members: Any) -> Session:
    return Session(SessionKey("shop", user, name), {}, [], (), NOON, NOON, **members)


def cells_of(page: Page) -> str:
    return "|".join(text for text in page.texts if text.strip())


def test_a_list_of_sessions_has_a_line_for_each() -> None:
    said = AIMessage("Yes,\n we **do**.")
    sessions = [
        make_session(is_cut=True, event_count=1234, last_message=said),
        make_session(name="s2", is_cut=True, event_count=2, missing=("record",)),
        make_session(name="s3", is_cut=True),
    ]
    page = read_page(lists.SessionList(sessions)._repr_html_())
    assert len(page.all("tr")) == 4
    shown = cells_of(page)
    assert shown.startswith("3 sessions|app |shop|user |ann|times in IST|session|events|updated")
    assert "s1|1,234|2026-11-23 17:30|assistant: |Yes, we **do**.|s2|2" in shown
    assert "(record can't be read)" in shown
    assert page.all("span")[-1]["title"] == "2026-11-23 12:00:00 UTC"


def test_sessions_of_several_users_name_them() -> None:
    page = read_page(lists.SessionList([make_session("ann"), make_session("bob")])._repr_html_())
    assert {"app", "user", "ann", "bob"} <= set(page.texts)
    assert "app " not in page.texts


def test_a_track_has_a_line_for_each_event() -> None:
    events = [
        TrackEvent("plan", {"step": 1}, id="e1", time_ns=NOON_NS),
        TrackEvent("plan", ["long"] * 100, id="e2", time_ns=NOON_NS),
    ]
    page = read_page(lists.TrackEventList(events)._repr_html_())
    assert cells_of(page).startswith(
        'track |plan|2 events|times in IST|time|payload|2026-11-23 17:30:00|{"step": 1}|2026'
    )
    assert len(page.all("details")) == 1
    titles = [a["title"] for a in page.all("span") if "event" in (a.get("title") or "")]
    assert titles == ["2026-11-23 12:00:00 UTC\nevent e1", "2026-11-23 12:00:00 UTC\nevent e2"]
    assert read_page(events[0]._repr_html_()).texts.count('{"step": 1}') == 1


def test_long_lists_are_cut_and_say_so() -> None:
    events = [Event(HumanMessage(f"m{n}"), time_ns=NOON_NS) for n in range(MOST_EVENTS + 7)]
    page = read_page(lists.EventList(events)._repr_html_())
    assert {"207 events", f"the last {MOST_EVENTS} are shown · ", "m206"} <= set(page.texts)
    assert "m6" not in page.texts
    track = [TrackEvent("t", n, time_ns=NOON_NS) for n in range(MOST_ROWS + 7)]
    page = read_page(lists.TrackEventList(track)._repr_html_())
    assert {"207 events", f"the last {MOST_ROWS} are shown · ", "206"} <= set(page.texts)
    assert "6" not in page.texts
    page = read_page(lists.SessionList([make_session()] * (MOST_ROWS + 7))._repr_html_())
    assert {"207 sessions", f"the first {MOST_ROWS} are shown · "} <= set(page.texts)


def test_lists_with_long_texts_stay_a_page() -> None:
    long = "<é&>" * 20_000
    track = [TrackEvent("t", {"n": n, "text": long}, time_ns=NOON_NS) for n in range(20)]
    page = read_page(lists.TrackEventList(track)._repr_html_())  # measures it
    shown = len(page.all("details"))
    assert 1 < shown < 20
    assert {"20 events", f"the last {shown} are shown · "} <= set(page.texts)
    assert any('"n": 19' in text for text in page.texts)
    boundary = SummaryBoundary(float(NOON_NS), "e1", NOON_NS)
    summaries = [Summary(long, f"{n}{long}", boundary, NOON, (long,)) for n in range(20)]
    page = read_page(lists.SummaryList(summaries)._repr_html_())
    shown = len(page.all("details"))
    assert 1 < shown < 20
    assert {"20 summaries", f"the first {shown} are shown · "} <= set(page.texts)
    said = AIMessage("", tool_calls=[{"name": long, "args": {}, "id": "c1"}])
    sessions = [make_session("&" * 512, f"&{n}" * 99, last_message=said) for n in range(200)]
    read_page(lists.SessionList(sessions)._repr_html_())
    read_page(lists.SummaryList(summaries[:1])._repr_html_())
    read_page(summaries[0]._repr_html_())


def test_empty_lists_say_so() -> None:
    assert read_page(lists.SessionList[Session]()._repr_html_()).text == "no sessions"
    assert read_page(lists.EventList[Event]()._repr_html_()).text == "no events"
    assert read_page(lists.TrackEventList[TrackEvent]()._repr_html_()).text == "no events"
    assert read_page(lists.SummaryList[Summary]()._repr_html_()).text == "no summaries"


def test_summaries_say_of_what_and_up_to_where() -> None:
    boundary = SummaryBoundary(float(NOON_NS), "e1", NOON_NS)
    summary = Summary("Ann wants **tea**.", "agent/search", boundary, NOON, ("tea", "prices"))
    for shown in (summary, lists.SummaryList([summary])):
        page = read_page(shown._repr_html_())
        text = page.text
        assert len(page.all("strong")) == 1
        for part in (
            "agent/search",
            "of what was said up to 2026-11-23 17:30:00 · made 2026-11-23 17:30:00",
            "Ann wants tea.",
            "topics: tea, prices",
        ):
            assert part in text


def test_counters_are_told_by_name() -> None:
    options: dict[str, Any] = {"summarizer": lambda request: "short", "auto_summarize": False}
    with RedisSessionService("memory://display-stats", **options) as service:
        key = service.create_session("shop", "ann").key
        service.append_messages(key, [HumanMessage("hi")])
        stats = service.stats()
    shown = cells_of(read_page(stats._repr_html_()))
    assert shown.startswith("what the service counted|in this process")
    assert "events_written|1|" in shown
    assert "operations|create_session|1|append_event|1|" in shown
    assert "summaries|waiting|0" in shown
    assert stats.summaries is not None
    assert "what summary jobs did" in stats.summaries._repr_html_()


def test_a_history_shows_its_session_and_counts_all_of_it() -> None:
    with RedisSessionService("memory://display-history") as service:
        history = RedisSessionChatMessageHistory("s1", service=service, user_id="ann")
        assert "nothing is stored yet" in read_page(history._repr_html_()).text
        history.add_messages([HumanMessage("hi"), AIMessage("hello")])
        page = read_page(history._repr_html_())
        assert {"2 events", "hi", "hello"} <= set(page.texts)
        history.add_messages([HumanMessage(f"m{n}") for n in range(MOST_EVENTS)])
        page = read_page(history._repr_html_())
        assert f"202 events, the newest {MOST_EVENTS} are shown" in page.texts
        assert "hi" not in page.texts


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text() | st.sampled_from(["<b>", '"><img>']),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(st.lists(st.tuples(st.text(), JSON), max_size=3))
def test_nothing_in_a_track_becomes_markup(found: list[tuple[str, Any]]) -> None:
    events = [TrackEvent(track, payload, time_ns=NOON_NS) for track, payload in found]
    read_page(lists.TrackEventList(events)._repr_html_())
    names = [text or "x" for text, _ in found]
    sessions = [
        Session(KEY, {}, [], (), NOON, NOON, last_message=HumanMessage(name)) for name in names
    ]
    read_page(lists.SessionList(sessions)._repr_html_())


KEY = SessionKey("<b>", "<i>", "<script>")
