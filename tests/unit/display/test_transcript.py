"""A session's HTML: what it shows, and that nothing in a session can become markup."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from langchain_redis_session import Event, Session, SessionKey, Summary, SummaryBoundary
from langchain_redis_session._display import texts
from langchain_redis_session._display.media import LARGEST_IMAGE
from langchain_redis_session._display.styles import CLASSES, FRAME, STYLES
from langchain_redis_session._display.texts import LONG_TEXT
from langchain_redis_session._display.transcript import MOST_EVENTS, render_session
from tests.unit.display.pages import Page, read_page
from tests.unit.messages import MESSAGE_IDS, TAKES_SURROGATE_IDS, VALUES, messages

NOON = datetime(2026, 11, 23, 12, tzinfo=timezone.utc)
NOON_NS = int(NOON.timestamp()) * 10**9


def read(session: Session) -> Page:
    return read_page(session._repr_html_())


def make_session(*events: Event | BaseMessage, **members: Any) -> Session:
    given: dict[str, Any] = {
        "key": SessionKey("shop", "ann", "s1"),
        "state": {},
        "events": [
            e if isinstance(e, Event) else Event(e, time_ns=NOON_NS + place * 10**9)
            for place, e in enumerate(events)
        ],
        "tracks": (),
        "created_at": NOON,
        "updated_at": NOON + timedelta(minutes=5),
    }
    return Session(**(given | members))


# What a session may hold.

HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><svg/onload=alert(1)>',
    "' onmouseover='alert(1)",
    '" style="position:fixed" x="',
    "</div></details></pre></td></table>",
    "<!--",
    "-->",
    "<![CDATA[",
    "]]>",
    "<?php ?>",
    "<!DOCTYPE html>",
    "&lt;script&gt;",
    "&#60;b&#62;",
    "&",
    "</style><style>*{display:none}",
    "javascript:alert(1)",
    "data:text/html;base64,PHNjcmlwdD4=",
    'data:"><b>;base64,AA==',
    "\ud800<b>\x00",
    "\u202e<b>",
    "$x$ \\(y\\)",
]


def words(text: str) -> st.SearchStrategy[str]:
    return st.sampled_from(text.split())


TEXTS = st.one_of(
    st.sampled_from(HOSTILE),
    st.text(st.sampled_from("<>&\"'/=!-`;\n ab\x00\ud800"), max_size=12),
    st.text(st.characters(exclude_categories=()), max_size=6),
)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS | st.binary(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
DICTS = st.dictionaries(TEXTS, JSON, max_size=3)
KINDS = words(
    "text image image_url audio input_audio video file input_file document text-plain media "
    "reasoning thinking tool_use tool_call function_call server_tool_call non_standard"
)
MEMBERS = words(
    "text url image_url base64 data mime_type media_type format filename title file_id source "
    "file input_audio extras reasoning thinking summary id call_id name input"
)
BLOCKS = TEXTS | st.builds(
    lambda kind, members: {**members, "type": kind},
    KINDS | TEXTS | JSON,
    st.dictionaries(MEMBERS | TEXTS, JSON | st.dictionaries(MEMBERS, JSON, max_size=3), max_size=4),
)
CONTENTS = TEXTS | st.lists(BLOCKS, max_size=3)
MAYBE = st.none() | TEXTS
CALLS = st.builds(lambda n, a, i: {"name": n, "args": a, "id": i}, TEXTS, DICTS, MAYBE)
INVALID_CALLS = st.builds(
    lambda n, a, i, e: {"name": n, "args": a, "id": i, "error": e}, MAYBE, MAYBE, MAYBE, MAYBE
)


@st.composite
def hostile_messages(draw: st.DrawFn) -> BaseMessage:
    common: dict[str, Any] = {
        "content": draw(CONTENTS),
        "name": draw(MAYBE),
        "id": draw(MAYBE if TAKES_SURROGATE_IDS else MESSAGE_IDS),
        "additional_kwargs": draw(st.just({}) | JSON.map(lambda v: {"reasoning_content": v})),
    }
    kind = draw(st.sampled_from(["human", "system", "ai", "tool", "function", "chat"]))
    if kind == "ai":
        calls = draw(st.lists(CALLS, max_size=2)), draw(st.lists(INVALID_CALLS, max_size=2))
        return AIMessage(**common, tool_calls=calls[0], invalid_tool_calls=calls[1])
    if kind == "tool":
        status = draw(st.sampled_from(["success", "error"]))
        return ToolMessage(**common, tool_call_id=draw(TEXTS), artifact=draw(JSON), status=status)
    if kind == "function":
        return FunctionMessage(**(common | {"name": draw(TEXTS)}))
    if kind == "chat":
        return ChatMessage(**common, role=draw(TEXTS))
    return HumanMessage(**common) if kind == "human" else SystemMessage(**common)


EVENTS = st.builds(
    Event,
    st.none() | hostile_messages() | messages(),
    author=TEXTS,
    request_id=TEXTS,
    branch=TEXTS,
    tag=TEXTS,
    filter_key=TEXTS,
    state_delta=DICTS,
    extensions=DICTS,
    extra=DICTS,
    id=TEXTS,
    time_ns=st.integers(0, 2**62) | st.integers(),
)
IDS = TEXTS.map(lambda text: text.encode(errors="replace").decode() or "?")
STATES = st.dictionaries(TEXTS, JSON | VALUES, max_size=4)
SESSIONS = st.builds(
    lambda key, state, events, tracks, is_cut: make_session(
        *events, key=SessionKey(*key), state=state, tracks=tuple(tracks), is_cut=is_cut
    ),
    st.tuples(IDS, IDS, IDS),
    STATES,
    st.lists(EVENTS, max_size=4),
    st.lists(TEXTS, max_size=2),
    st.booleans(),
)


@given(SESSIONS)
def test_nothing_in_a_session_becomes_markup(session: Session) -> None:
    read(session)


UNSHOWABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


@given(TEXTS.filter(str.strip))
@example("\ud800")
def test_every_text_is_shown_as_it_is(text: str) -> None:
    shown = UNSHOWABLE.sub("\ufffd", text)
    name = f"<{shown}>"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(texts, "render_markdown", lambda text: [])
        session = make_session(
            Event(HumanMessage(text), author=f"<{text}>", time_ns=NOON_NS),
            AIMessage("", tool_calls=[{"name": f"<{text}>", "args": {}, "id": f"<{text}>"}]),
            ToolMessage(text, tool_call_id=f"<{text}>"),
            tracks=(f"<{text}>",),
            key=SessionKey("<app>", "<user>", "<session>"),
        )
        page = read(session)
    assert page.texts.count(shown) >= 1 + (len(shown) <= 80)
    assert page.texts.count(name) == 5
    assert {"<app>", "<user>", "<session>"} <= set(page.texts)


# What it looks like.


def test_an_empty_session_says_that_it_has_no_events() -> None:
    page = read(make_session())
    assert page.text == (
        "session s1 app shop user ann"
        "no events yet"
        "created 2026-11-23 17:30:00 · updated 2026-11-23 17:35:00 · times in IST"
    )
    assert [tag for tag, _ in page.elements].count("details") == 0


def test_a_conversation_with_a_tool() -> None:
    arguments = {"city": "Lisbon", "days": [1]}
    page = read(
        make_session(
            SystemMessage("Be kind."),
            Event(HumanMessage("Sunny?", name="ann"), author="user", time_ns=NOON_NS),
            Event(
                AIMessage(
                    "",
                    tool_calls=[{"name": "forecast", "args": arguments, "id": "c1"}],
                    usage_metadata={"input_tokens": 1200, "output_tokens": 7, "total_tokens": 1207},
                ),
                author="assistant",
                time_ns=NOON_NS,
            ),
            ToolMessage("24 °C", tool_call_id="c1", name="forecast"),
            Event(AIMessage("Sunny."), author="researcher", time_ns=NOON_NS),
        )
    )
    text = page.text
    for part in (
        "system 17:30:00Be kind.",
        "user ann 17:30:00Sunny?",
        'assistant 1,200 → 7 tokens 17:30:00call forecast("city": "Lisbon", "days": [1]) c1',
        '{\n  "city": "Lisbon",\n  "days": [\n    1\n  ]\n}',
        "tool forecast c1 17:30:03",
        "assistant researcher 17:30:00Sunny.",
    ):
        assert part in text
    badges = [a["class"] for a in page.all("b") if "badge" in (a["class"] or "")]
    assert badges == [CLASSES[f"badge {role}"] for role in _roles()]
    assert len(page.all("details")) == 1
    assert "open" not in page.all("details")[0]


def _roles() -> Iterator[str]:
    return iter(("system", "user", "assistant", "tool", "assistant"))


def test_long_tool_results_are_folded() -> None:
    short, long = "x" * 100, "line\n" * 500
    page = read(make_session(ToolMessage(short, tool_call_id="c1")))
    assert not page.all("details")
    page = read(make_session(ToolMessage(long, tool_call_id="c1")))
    assert len(page.all("details")) == 1
    assert "2,500 characters" in page.texts
    assert long in page.texts


def test_json_results_are_indented() -> None:
    page = read(make_session(ToolMessage('{"a":[1,2],' + " " * 80 + '"b":"é"}', tool_call_id="c")))
    assert '{\n  "a": [\n    1,\n    2\n  ],\n  "b": "é"\n}' in page.texts


def test_failed_and_invalid_calls_say_so() -> None:
    page = read(
        make_session(
            ToolMessage("no such city", tool_call_id="c1", status="error", artifact={"code": 404}),
            AIMessage(
                "",
                invalid_tool_calls=[{"name": "f", "args": '{"a":', "id": "c2", "error": "cut off"}],
            ),
        )
    )
    assert "error" in page.texts
    assert 'artifact{\n  "code": 404\n}' in page.text
    assert 'invalid call f({"a":) c2{"a":\n\ncut off' in page.text


@pytest.mark.parametrize(
    "message",
    [
        AIMessage("yes", additional_kwargs={"reasoning_content": "because"}),
        AIMessage([{"type": "reasoning", "reasoning": "because"}, {"type": "text", "text": "yes"}]),
        AIMessage([{"type": "thinking", "thinking": "because", "signature": "x"}, "yes"]),
    ],
)
def test_reasoning_is_folded(message: AIMessage) -> None:
    page = read(make_session(message))
    assert "reasoning becausebecauseyes" in page.text
    assert len(page.all("details")) == 1


@pytest.mark.parametrize(
    ("block", "shown"),
    [
        ({"type": "image", "base64": "AAAA" * 999, "mime_type": "image/png"}, " image/png 3.0 kB"),
        (
            {"type": "image_url", "image_url": {"url": "data:image/gif;base64,AAA="}},
            " image/gif 2 bytes",
        ),
        ({"type": "image_url", "image_url": "http://x.org/a.png"}, " http://x.org/a.png"),
        ({"type": "image", "url": "http://x.org/" + "a" * 200}, " http://x.org/" + "a" * 87 + "…"),
        (
            {"type": "image", "source": {"media_type": "image/webp", "data": "AAAA"}},
            " image/webp 3 bytes",
        ),
        ({"type": "image"}, ""),
    ],
)
def test_images_are_placeholders(block: dict[str, Any], shown: str) -> None:
    page = read(make_session(HumanMessage([block])))
    assert page.text.endswith(f"user 17:30:00image{shown}")
    assert "AAAA" not in page.text


@pytest.mark.parametrize(
    ("block", "shown"),
    [
        (
            {"type": "input_audio", "input_audio": {"data": "AA==", "format": "mp3"}},
            "audio mp3 1 byte",
        ),
        ({"type": "file", "file_id": "f-1", "mime_type": "text/csv"}, "file f-1 text/csv"),
        (
            {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:x/pdf;base64,AAAA"}},
            "file a.pdf x/pdf 3 bytes",
        ),
        ({"type": "text-plain", "text": "abcde", "title": "notes"}, "text-plain notes 5 bytes"),
        ({"type": "odd", "x": 1}, 'odd{\n  "type": "odd",\n  "x": 1\n}'),
        ({"x": 1}, 'content{\n  "x": 1\n}'),
    ],
)
def test_blocks_of_other_types_are_shown_by_their_type(block: dict[str, Any], shown: str) -> None:
    assert read(make_session(HumanMessage([block]))).text.endswith(f"user 17:30:00{shown}")


def test_a_call_that_stands_twice_is_shown_once() -> None:
    blocks: list[str | dict[str, Any]] = [
        {"type": "text", "text": "Let me look."},
        {"type": "tool_use", "id": "c1", "name": "f", "input": {}},
    ]
    calls = [{"name": "f", "args": {}, "id": "c1"}]
    assert len(read(make_session(AIMessage(blocks, tool_calls=calls))).all("details")) == 1
    assert len(read(make_session(AIMessage(blocks))).all("details")) == 1


def test_long_texts_are_folded_but_whole() -> None:
    text = "".join(f"{number} " for number in range(LONG_TEXT))
    page = read(make_session(HumanMessage(text)))
    assert len(page.all("details")) == 1
    half = LONG_TEXT // 2
    assert {text[:half] + "…", "…" + text[half:]} <= set(page.texts)


def test_state_is_a_table_own_values_first() -> None:
    state = {"app:motd": None, "user:name": "Ann", "city": "Lisbon", "raw": b"\xff", "x": "y" * 999}
    page = read(make_session(state=state))
    assert len(page.all("tr")) == len(state)
    rows = ["city", '"Lisbon"', "raw", "b'\\xff'", "x", '"' + "y" * 299 + "… (701 more characters)"]
    rows += ["user:name", '"Ann"', "app:motd", "null"]
    assert page.texts[-len(rows) :] == rows


def test_tracks_and_changes_of_state() -> None:
    page = read(
        make_session(
            Event(HumanMessage("hi"), state_delta={"a": 1, "b": [2]}, time_ns=NOON_NS),
            Event(state_delta={"user:name": "Ann"}, time_ns=NOON_NS),
            Event(extra={"error": {"message": "rate limit"}}, time_ns=NOON_NS),
            Event(time_ns=NOON_NS),
            tracks=("plan", "trace"),
        )
    )
    assert "histate a = 1, b = [2]" in page.text
    assert 'state user:name = "Ann"  17:30:00' in page.text
    assert '"message": "rate limit"' in page.text
    assert page.text.count("event without a message") == 2
    assert page.text.endswith("tracks plan trace")


def test_times_and_ids_are_at_hand() -> None:
    day = 24 * 3600 * 10**9
    page = read(
        make_session(
            Event(HumanMessage("a"), id="e1", request_id="r1", time_ns=NOON_NS),
            Event(HumanMessage("b"), id="e2", time_ns=NOON_NS + day),
            Event(HumanMessage("c"), id='" onclick="x', time_ns=10**30),
        )
    )
    titles = [a["title"] for a in page.all("span") if "\nevent" in (a.get("title") or "")]
    assert titles[0] == "2026-11-23 12:00:00 UTC\nevent e1\nrequest r1"
    assert titles[1] == "2026-11-24 12:00:00 UTC\nevent e2"
    assert (titles[2] or "").endswith('\nevent " onclick="x')
    days = [text for text in page.texts if re.fullmatch("[0-9]{4}-[0-9]{2}-[0-9]{2}", text)]
    assert days[:2] == ["2026-11-23", "2026-11-24"]
    assert len(days) == 3


def test_a_long_session_is_cut_to_its_newest_events() -> None:
    page = read(make_session(*(HumanMessage(f"m{n}") for n in range(MOST_EVENTS + 1234))))
    assert "1,434 events, the newest 200 are shown" in page.texts
    assert "m1233" not in page.texts
    assert {"m1234", "m1433"} <= set(page.texts)


def test_a_cut_read_says_so() -> None:
    page = read(make_session(HumanMessage("hi"), is_cut=True))
    assert "1 event read; earlier ones were left out or removed" in page.texts


def test_a_listed_session_does_not_seem_empty() -> None:
    session = make_session(is_cut=True)
    assert "events not read" in read(session).texts
    assert repr(session).startswith("<Session app='shop' user='ann' id='s1': events not read, ")


def test_unusual_values_are_shown_somehow() -> None:
    circle: list[Any] = []
    circle.append(circle)
    pit: list[Any] = []
    for _ in range(100_000):
        pit = [pit]
    state = {"circle": circle, "keys": {(1, 2): 3}, "long": 10**9999, "pit": pit}
    page = read(make_session(state=state))
    assert sum(text.startswith("[[[[[") for text in page.texts) == 2
    assert "{(1, 2): 3}" in page.texts
    assert any(text.startswith("0x") for text in page.texts)


PNG = b"\x89PNG\r\n\x1a\n and so on"
DATA_URL = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
IMAGE: dict[str, Any] = {
    "type": "image",
    "base64": base64.b64encode(PNG.ljust(LARGEST_IMAGE, b".")).decode(),
    "mime_type": "image/png",
}


@pytest.mark.parametrize(
    ("block", "is_shown"),
    [
        ({"type": "image", "base64": PNG, "mime_type": "image/png"}, True),
        ({"type": "image_url", "image_url": {"url": DATA_URL}}, True),
        ({"type": "file", "data": PNG, "mime_type": "image/png"}, True),
        ({"type": "image", "base64": PNG * 20_000, "mime_type": "image/png"}, False),
        ({"type": "image", "data": b"<svg onload=alert(1)>", "mime_type": "image/svg+xml"}, False),
        ({"type": "image", "base64": b"<script>", "mime_type": "image/png"}, False),
        ({"type": "file", "base64": PNG, "mime_type": "text/csv"}, False),
        ({"type": "image", "base64": "no base64: <b>", "mime_type": "image/png"}, False),
        ({"type": "image", "url": "https://example.org/a.png"}, False),
    ],
)
def test_a_small_image_is_shown_and_nothing_else(block: dict[str, Any], is_shown: bool) -> None:
    stored = {
        name: base64.b64encode(value).decode() if isinstance(value, bytes) else value
        for name, value in block.items()
    }
    images = read(make_session(HumanMessage([stored]))).all("img")
    assert len(images) == is_shown
    if is_shown:
        assert images[0]["src"] == DATA_URL
        assert "image/png" in (images[0]["alt"] or "")


def test_a_long_session_scrolls_in_a_box_that_opens_at_its_end() -> None:
    page = read(make_session(*(HumanMessage(f"m{n}") for n in range(3))))
    (box,) = (place for place, (_, a) in enumerate(page.elements) if a.get("style"))
    assert page.elements[box] == ("div", {"class": CLASSES["newest"], "style": FRAME})
    assert page.elements[box + 1] == ("div", {"class": CLASSES["newest content"]})
    assert "overflow:auto" in FRAME
    assert "max-height" in FRAME
    # Reversed is what is in the box, which is one element: the order is the one that is read.
    assert page.styled("newest content") == ["div"]
    assert "flex-direction:column-reverse" in page.sheet
    assert '::after{content:"";display:block;scroll-initial-target:nearest}' in page.sheet
    assert [text for text in page.texts if text in ("m0", "m1", "m2")] == ["m0", "m1", "m2"]


def test_names_of_state_do_not_break_by_letters() -> None:
    page = read(make_session(state={"user:language": "long " * 99}))
    assert page.styled("name code") == ["code"]
    for style in ("name code", "pair name"):
        assert "white-space:nowrap" in STYLES[style]
        assert "anywhere" not in STYLES[style]


def test_all_messages_of_an_event_are_shown() -> None:
    results = [ToolMessage(f"result {n}", tool_call_id=f"c{n}") for n in range(3)]
    event = Event(results[0], further_messages=tuple(results[1:]), time_ns=NOON_NS)
    assert {"result 0", "result 1", "result 2"} <= set(read(make_session(event)).texts)


def test_what_is_missing_is_said() -> None:
    page = read(make_session(HumanMessage("hi"), missing=("record",)))
    assert "its record can't be read" in page.texts


def test_jupyter_leaves_dollars_alone() -> None:
    page = read(make_session(HumanMessage("from $5 to $6")))
    assert "tex2jax_ignore" in (page.elements[1][1]["class"] or "")


def test_a_session_shows_itself() -> None:
    session = make_session(HumanMessage("hi"))
    assert session._repr_html_() == render_session(session)


def test_the_plain_repr_is_short() -> None:
    session = make_session(*[HumanMessage("hi")] * 900, state={"x": "y" * 900}, tracks=("plan",))
    assert repr(session) == (
        "<Session app='shop' user='ann' id='s1': 900 events, state ['x'], tracks ['plan']>"
    )


def test_nothing_is_loaded_from_anywhere() -> None:
    assert not [style for style in STYLES.values() if re.search(r"url|import|expression", style)]


def test_a_style_sheet_says_nothing_of_what_is_not_on_the_page() -> None:
    assert len({*CLASSES.values()}) == len(CLASSES)
    empty, full = read(make_session()), read(make_session(HumanMessage("hi")))
    assert CLASSES["message user"] in full.sheet
    assert CLASSES["message user"] not in empty.sheet
    # Nor of what is only text.
    spoken = read(make_session(HumanMessage('<img class="lrs-thumbnail">')))
    assert '<img class="lrs-thumbnail">' in spoken.texts


def test_no_style_but_the_pages_own_can_change_how_it_looks() -> None:
    page = read(make_session(HumanMessage("hi"), state={"a": 1}))
    selectors = re.findall(r"\.lrs-[a-z-]+([^{.]*)\{", page.sheet)
    assert selectors
    assert {selector.removesuffix("::after") for selector in selectors} == {":not(#_)"}


def make_long(count: int) -> list[BaseMessage]:
    return [
        message
        for n in range(count // 4)
        for message in (
            HumanMessage(f"{n}: {TEXT}"),
            AIMessage("", tool_calls=[{"name": "find", "args": {"n": n}, "id": f"call-{n}"}]),
            ToolMessage(json.dumps({"found": [n] * 9}), tool_call_id=f"call-{n}"),
            AIMessage(f"{TEXT}\n\n```python\nprint({n})\n```"),
        )
    ]


TEXT = "The parcel left on **Monday** and should be with you by Thursday. " * 5


def test_a_message_takes_little_more_than_its_text() -> None:
    markup = make_session(*make_long(200))._repr_html_()
    assert len(markup) < 4 * len(read_page(markup).text)


HEAVY: dict[str, Callable[[], dict[str, Any]]] = {
    "long results": lambda: {"events": [ToolMessage("<&> " * 20_000, tool_call_id="c")] * 200},
    "code": lambda: {"events": [AIMessage("```json\n" + "1 " * 900 + "\n```")] * 200},
    "cells": lambda: {"events": [AIMessage(f"{'|a' * 99}\n{'|-' * 99}{LINE * 90}")]},
    "images": lambda: {"events": [HumanMessage([IMAGE] * 5)] * 3},
    "blocks": lambda: {"events": [HumanMessage([{"type": "x"}] * 9_000)]},
    "calls": lambda: {"events": [AIMessage("", tool_calls=[CALL] * 9_000)]},
    "names": lambda: {"events": [HumanMessage("hi", name=LONG)] * 200},
    "ids": lambda: {"events": [Event(ToolMessage("", tool_call_id=LONG), id=LONG)] * 9},
    "requests": lambda: {"events": [Event(HumanMessage("hi"), request_id=LONG)] * 9},
    "changes": lambda: {"events": [Event(state_delta={f"{n}{LONG}": 1 for n in range(99)})] * 9},
    "state": lambda: {"state": {f"<{n}>": "<&>" * 999 for n in range(999)}},
    "tracks": lambda: {"tracks": [f"{n}{LONG}" for n in range(999)]},
    "summary": lambda: {"summary": make_summary("|a" * 9_000)},
    "role": lambda: {"events": [ChatMessage(content="hi", role=LONG)]},
    "all": lambda: {**HEAVY["long results"](), **HEAVY["state"](), "summary": make_summary(LONG)},
}
LINE = "\n" + "|1" * 99
LONG = "<é&\u2028>" * 20_000
CALL: Any = {"name": "f", "args": {"a": "<&>" * 9}, "id": "c"}


@pytest.mark.parametrize("name", HEAVY)
def test_a_page_stays_a_page_whatever_a_session_holds(name: str) -> None:
    found = HEAVY[name]()
    events = found.pop("events", ())
    page = read(make_session(*events, **found))  # measures it
    assert page.styled("newest") == ["div"] * bool(events)


def test_of_many_names_and_changes_the_first_are_shown_and_how_many_more_there_are() -> None:
    changes = {f"name-{n}": n for n in range(99)}
    event = Event(HumanMessage("hi"), state_delta=changes, time_ns=NOON_NS)
    texts = read(make_session(event, state={}, tracks=[f"t{n}" for n in range(199)])).texts
    assert {"name-19 = 19", ", … 79 more", "t99", "… 99 more"} <= set(texts)
    assert not {"name-20 = 20", "t100"} & set(texts)
    texts = read(make_session(state={f"{n:03}": "x" * 300 for n in range(999)})).texts
    (more,) = (text for text in texts if text.endswith(" more"))
    shown = [text for text in texts if re.fullmatch("[0-9]{3}", text)]
    assert f"… {999 - len(shown)} more" == more
    assert shown[:2] == ["000", "001"]


def test_where_not_all_has_room_the_newest_is_shown_and_the_head_says_so() -> None:
    results = [ToolMessage(f"{n} " + "<&> " * 9_000, tool_call_id=f"c{n}") for n in range(20)]
    page = read(make_session(HumanMessage("hi"), *results))
    (said,) = (text for text in page.texts if text.startswith("21 events, "))
    shown = int(re.findall("[0-9]+", said)[1])
    assert said == f"21 events, the newest {shown} are shown"
    assert 1 < shown < 20
    ids = [text for text in page.texts if re.fullmatch("c[0-9]+", text)]
    assert ids == [f"c{n}" for n in range(20 - shown, 20)]


def test_of_a_message_too_large_for_a_page_the_beginning_is_shown() -> None:
    page = read(make_session(HumanMessage(["first", *[IMAGE] * 9, "last"])))
    assert "first" in page.texts
    assert len(page.all("img")) == 1
    assert "last" not in page.texts
    assert "… and more, too much to be shown here" in page.texts
    assert "1 event" in page.texts


def make_summary(text: str, cutoff_ns: int = NOON_NS) -> Summary:
    boundary = SummaryBoundary(float(cutoff_ns), "e1", cutoff_ns)
    return Summary(text, "", boundary, NOON)


@given(TEXTS.filter(str.strip))
def test_a_summary_is_folded_and_only_text(text: str) -> None:
    page = read(make_session(HumanMessage("hi"), summary=make_summary(text)))
    assert UNSHOWABLE.sub("\ufffd", " ".join(text.split())) in page.texts
    assert "of what was said up to 2026-11-23 17:30:00" in page.text
    assert len(page.all("details")) == 1
