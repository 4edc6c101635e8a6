"""Runs made again of a track's events, their picture, and what a track says about values."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, Generation, LLMResult
from pydantic import BaseModel

from langchain_redis_session import (
    AsyncTrackCallbackHandler,
    ConfigurationError,
    InvalidSessionKeyError,
    RedisSessionService,
    Run,
    RunTree,
    SessionKey,
    TrackCallbackHandler,
    TrackEvent,
    read_runs,
)
from langchain_redis_session._codec.track_events import decode_track_event, encode_track_event
from langchain_redis_session._display.timeline import MOST_ROWS
from langchain_redis_session._runs.outbox import Flight, Outbox
from langchain_redis_session._runs.recorder import Recorder
from langchain_redis_session._runs.values import count_tokens, show_error, show_value

NOON_NS = 1_795_435_200 * 10**9
MS = 10**6


def start(run_id: str, at_ms: float = 0, parent: str = "", **members: Any) -> TrackEvent:
    payload = {"event": "start", "kind": "chain", "name": run_id, "run_id": run_id}
    if parent:
        payload["parent_run_id"] = parent
    return TrackEvent("runs", payload | members, time_ns=NOON_NS + round(at_ms * MS))


def end(run_id: str, duration_ms: float = 1, at_ms: float = 0, **members: Any) -> TrackEvent:
    payload = {"event": "end", "run_id": run_id, "duration_ms": duration_ms}
    return TrackEvent("runs", payload | members, time_ns=NOON_NS + round(at_ms * MS))


def shape(runs: RunTree | Run) -> list[Any]:
    """Names, nested as the runs are."""
    below = runs.roots if isinstance(runs, RunTree) else runs.children
    return [[run.name, *shape(run)] if run.children else run.name for run in below]


# The tree


def test_what_a_run_was() -> None:
    tree = read_runs(
        [
            start("a", kind="chain", name="agent", tags=["seq:step:1"]),
            start("b", 2, "a", kind="model", name="Chat", model="m-1", inputs=[1]),
            end("b", 3, 5, usage={"input_tokens": 2, "output_tokens": 3}, outputs="hi"),
            start("c", 6, "a", kind="tool", name="add", tool_call_id="t1"),
            TrackEvent(
                "runs",
                {"event": "error", "run_id": "c", "duration_ms": 1.5, "error": "ValueError: no"},
                time_ns=NOON_NS + 8 * MS,
            ),
            end("a", 9, 9),
        ]
    )
    agent, model, tool = tree
    assert tree.roots == (agent,)
    assert agent.children == [model, tool]
    assert (agent.kind, agent.name, agent.tags) == ("chain", "agent", ("seq:step:1",))
    assert (agent.start_ns, agent.end_ns) == (NOON_NS, NOON_NS + 9 * MS)
    assert (model.parent_id, model.model, model.inputs, model.outputs) == ("a", "m-1", [1], "hi")
    assert (model.duration_ms, model.error) == (3, "")
    assert (tool.tool_call_id, tool.error, tool.duration_ms) == ("t1", "ValueError: no", 1.5)
    assert tree.usage == {"input_tokens": 2, "output_tokens": 3}
    assert tree.errors == [tool]
    assert len(tree) == 3
    assert str(tree) == (
        "agent (chain) 9.0 ms\n"
        "├─ Chat (model) 3.0 ms, 2 → 3 tokens\n"
        "└─ add (tool) 1.5 ms, ValueError: no"
    )
    assert repr(tree) == "<RunTree: 3 runs, 1 outermost>"
    assert repr(tool) == "<Run of tool 'add': 1.5 ms>"


def test_runs_side_by_side_go_to_their_own_parents() -> None:
    tree = read_runs(
        [
            *(start("a"), start("b"), start("b1", 0, "b"), start("a1", 0, "a")),
            *(start("a11", 0, "a1"), start("a2", 0, "a")),
            *(end("a"), end("b1"), end("a11"), end("a2"), end("b"), end("a1")),
        ]
    )
    assert shape(tree) == [["a", ["a1", "a11"], "a2"], ["b", "b1"]]


def test_a_run_without_an_end_says_so() -> None:
    (run,) = read_runs([start("a")])
    assert (run.end_ns, run.duration_ms) == (None, None)
    assert str(run) == "a (chain) not ended"
    assert "not ended" in run._repr_html_()


def test_a_track_that_begins_in_the_middle() -> None:
    """The agent's start was cut off; its end tells enough."""
    tree = read_runs(
        [
            end("gone", 4, 4, kind="tool", name="search"),
            start("b", 5, "a"),
            end("b", 2, 7),
            end("a", 10, 9, kind="chain", name="agent"),
        ]
    )
    assert shape(tree) == [["agent", "b"], "search"]
    agent = tree.roots[0]
    assert (agent.start_ns, agent.end_ns) == (NOON_NS - MS, NOON_NS + 9 * MS)


def test_a_parent_that_is_not_there() -> None:
    assert shape(read_runs([start("b", 0, "nobody"), start("c", 0, "b")])) == [["b", "c"]]


def test_an_id_used_again_is_another_run() -> None:
    events = [start("a"), start("x", 0, "a"), end("a", 1), start("a", 5), start("y", 6, "a")]
    tree = read_runs([*events, end("a", 7)])
    assert shape(tree) == [["a", "x"], ["a", "y"]]
    assert [run.duration_ms for run in tree.roots] == [1, 7]


def test_parents_in_a_circle() -> None:
    assert len(read_runs([start("a", 0, "b"), start("b", 0, "c"), start("c", 0, "a")])) == 3
    assert shape(read_runs([start("a", 0, "a")])) == ["a"]


def test_the_first_end_counts() -> None:
    (run,) = read_runs([start("a"), end("a", 1, outputs=1), end("a", 2, error="late")])
    assert (run.duration_ms, run.error, run.outputs) == (1, "", 1)


def test_an_end_without_duration() -> None:
    event = TrackEvent("runs", {"event": "end", "run_id": "a"}, time_ns=NOON_NS + 3 * MS)
    assert [run.duration_ms for run in read_runs([start("a"), event])] == [3]
    assert [run.duration_ms for run in read_runs([start("a", 5), event])] == [0]


def test_hidden_runs_are_not_shown_and_their_children_move_up() -> None:
    hidden: dict[str, Any] = {"tags": ["langsmith:hidden"]}
    tree = read_runs(
        [
            start("a"),
            start("h", 0, "a", **hidden),
            start("i", 0, "h", **hidden),
            start("b", 0, "i"),
            start("c", 0, "a"),
            start("j", **hidden),
            start("d", 0, "j"),
        ]
    )
    assert len(tree) == 7
    shown = ["a (chain)", "├─ b (chain)", "└─ c (chain)", "d (chain)"]
    assert [line.removesuffix(" not ended") for line in str(tree).split("\n")] == shown
    assert 'aria-label="Timeline of 4 runs"' in tree._repr_html_()


def test_other_payloads_are_left_alone() -> None:
    others: list[Any] = [
        *(None, 1, "start", [], {}, {"event": "start"}, {"event": "start", "run_id": 7}),
        *({"event": "start", "run_id": ""}, {"event": ["start"], "run_id": "a"}, {"name": "add"}),
        {"event": "note", "run_id": "a"},
    ]
    tree = read_runs([TrackEvent("runs", payload) for payload in others])
    assert not tree
    assert str(tree) == ""
    assert "no runs" in tree._repr_html_()


def test_a_deep_tree_is_no_matter() -> None:
    events = [start(str(n), n, str(n - 1) if n else "") for n in range(5000)]
    tree = read_runs(events)
    assert len(tree) == len(str(tree).split("\n")) == 5000
    assert repr(tree.roots[0])
    Page(tree._repr_html_())


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
ids = st.sampled_from(["a", "b", "c", ""]) | json_values
payloads = (
    st.fixed_dictionaries(
        {"event": st.sampled_from(["start", "end", "error"]) | json_values, "run_id": ids},
        optional={
            "parent_run_id": ids,
            "kind": st.sampled_from(["chain", "model", "tool", "retriever"]) | json_values,
            "name": st.text() | json_values,
            "duration_ms": st.floats() | json_values,
            "usage": st.dictionaries(
                st.sampled_from(["input_tokens", "output_tokens", "total_tokens"]), json_values
            )
            | json_values,
            "error": st.text() | json_values,
            "tags": st.lists(st.sampled_from(["langsmith:hidden"]) | json_values) | json_values,
            "model": st.text() | json_values,
            "tool_call_id": json_values,
            "inputs": json_values,
            "outputs": json_values,
        },
    )
    | json_values
)
times = st.integers(NOON_NS, NOON_NS + 10**9) | st.integers(-(2**63), 2**63) | st.integers()


@given(st.lists(st.tuples(payloads, times), max_size=30))
def test_any_payloads_make_a_tree(found: list[tuple[Any, int]]) -> None:
    tree = read_runs([TrackEvent("runs", payload, time_ns=at) for payload, at in found])
    starts = [
        payload
        for payload, _ in found
        if isinstance(payload, dict)
        and payload.get("event") == "start"
        and isinstance(payload["run_id"], str)
        and payload["run_id"]
    ]
    assert len({id(run) for run in tree}) == len(tree) >= len(starts)
    assert all(run.duration_ms is None or run.duration_ms >= 0 for run in tree)
    str(tree)
    Page(tree._repr_html_())


# The picture

TAGS = {
    "b",
    "details",
    "div",
    "g",
    "line",
    "pre",
    "rect",
    "span",
    "style",
    "summary",
    "svg",
    "text",
    "title",
}


class Page(HTMLParser):
    """A picture taken apart; there is nothing in it but what may be there."""

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.texts: dict[str, list[str]] = {}
        self.boxes: list[dict[str, str | None]] = []
        assert markup.encode()
        self.feed(markup)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in TAGS
        for name, value in attrs:
            assert not name.startswith("on")
            assert name not in ("href", "src", "xlink:href", "id")
            assert not re.search(r"url\(|script", value or "")
            assert "nan" not in (value or "") or name == "style"
            assert not re.fullmatch(r"-?inf", value or "")
        if tag == "rect":
            self.boxes.append(dict(attrs))
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.setdefault(self.open[-1], []).append(data)

    def refuse(self, data: str) -> None:
        raise AssertionError(data)

    handle_comment = handle_decl = handle_pi = unknown_decl = refuse  # type: ignore[assignment]


HOSTILE = [
    "<script>alert(1)</script>",
    "</title></text></svg><img src=x onerror=alert(1)>",
    '" onload="alert(1)',
    "' onmouseover='alert(1)",
    "]]><!-- & &lt; \x00\x07 \ud800 $x$",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_in_a_run_can_become_markup(text: str) -> None:
    said: dict[str, Any] = {"name": text, "kind": text, "model": text, "tags": [text]}
    tree = read_runs([start("a", **said), end("a", 1, error=text), start(text, 0, "a")])
    page = Page(tree._repr_html_())
    shown = re.sub("[\x00\x07\ud800]", "\ufffd", text)
    assert any(shown in title for title in page.texts["title"])
    assert shown[:12] in "".join(page.texts["text"])


def test_bars_lie_where_their_runs_were() -> None:
    tree = read_runs(
        [
            *(start("a"), start("b", 0, "a", kind="model"), end("b", 50)),
            *(start("c", 50, "a", kind="tool"), end("c", 50), end("a", 100)),
        ]
    )
    bars = [box for box in Page(tree._repr_html_()).boxes if box["height"] == "14"]
    places = [(float(box["x"] or 0), float(box["width"] or 0)) for box in bars]
    (a, whole), (b, first), (c, second) = places
    assert a == b
    assert first == pytest.approx(whole / 2, abs=0.1)
    assert c == pytest.approx(a + first, abs=0.1)
    assert second == pytest.approx(first, abs=0.1)
    assert len({box["fill"] for box in bars}) == 3


def test_a_long_pause_begins_another_axis() -> None:
    def draw(*begins_ms: int) -> int:
        events = [e for n, at in enumerate(begins_ms) for e in (start(f"r{n}", at), end(f"r{n}"))]
        clocks = [t for t in Page(read_runs(events)._repr_html_()).texts["text"] if ":" in t]
        return len(clocks)

    assert draw(0, 1, 2) == 1
    assert draw(0, 60_000, 60_001) == 2


@pytest.mark.parametrize("shape", ["one root", "many roots"])
def test_so_many_runs_that_not_all_are_drawn(shape: str) -> None:
    events = [start("root")] if shape == "one root" else []
    for n in range(500):
        events += [start(f"r{n}", n, "root" if events[:1] and shape == "one root" else "")]
        events += [end(f"r{n}")]
    total = 501 if shape == "one root" else 500
    markup = read_runs(events)._repr_html_()
    page = Page(markup)
    assert len([box for box in page.boxes if box["height"] == "14"]) == MOST_ROWS
    assert f"… {total - MOST_ROWS} more runs not drawn" in page.texts["div"]
    assert "r499 (chain)" in page.texts["pre"][0]
    assert ("r499" in page.texts["text"]) is (shape == "many roots")  # the newest
    assert len(markup) < 100_000


def test_errors_are_seen_on_the_page() -> None:
    tree = read_runs([start("a", kind="tool"), end("a", error="ValueError: no\nsecond line")])
    page = Page(tree._repr_html_())
    assert "1 error" in page.texts["b"]
    assert "ValueError: no" in page.texts["text"]
    assert any(box.get("stroke") for box in page.boxes if box["height"] == "14")


# What is said about values


def test_short_values_stay_what_they_are() -> None:
    value = {"a": [1, 2.5, None, True, "x"], "b": {"c": []}}
    assert show_value(value, 100) == value
    assert show_value("text", 4) == "text"
    assert show_value(7, 100) == 7


def test_long_values_are_cut_and_say_so() -> None:
    assert show_value("x" * 2005, 2000) == "x" * 2000 + "… (5 more characters)"
    shown = show_value({"a": ["y" * 3000]}, 2000)
    assert shown.startswith('{"a": ["yyy')
    assert shown.endswith("y… (1,011 more characters)")
    assert show_value("x" * 5000, None) == "x" * 5000
    assert show_error(ValueError("z" * 3000), 10) == "ValueError… (3,002 more characters)"


def test_what_langchain_has_is_short() -> None:
    call = {"name": "add", "args": {"a": 1}, "id": "c1", "type": "tool_call"}
    assert show_value(AIMessage("hi", tool_calls=[call], id="m1"), 500) == {
        "type": "ai",
        "content": "hi",
        "tool_calls": [{"name": "add", "args": {"a": 1}}],
    }
    failed = ToolMessage("no", tool_call_id="c1", status="error")
    assert show_value(failed, 500) == {"type": "tool", "content": "no", "status": "error"}
    assert show_value([Document("tea", metadata={"n": 1}), Document("")], 500) == [
        {"page_content": "tea", "metadata": {"n": 1}},
        {},
    ]


class Model(BaseModel):
    a: int = 0
    inner: list[int] = []


@dataclass
class Data:
    message: HumanMessage
    empty: dict[str, int] = field(default_factory=dict)


class Broken:
    def __str__(self) -> str:
        raise RuntimeError("no text")


class BrokenDict(dict[str, int]):
    def items(self) -> Any:
        raise RuntimeError("no items")


def circle() -> list[Any]:
    found: list[Any] = [1]
    found += [found, found]
    return found


ODD: list[tuple[Any, Any]] = [
    (Model(a=3), {"a": 3}),
    (Data(HumanMessage("hi")), {"message": {"type": "human", "content": "hi"}}),
    (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    ({1: {2}, None: (3,)}, {"1": [2], "None": [3]}),
    (b"ab", "b'ab'"),
    (float("nan"), "nan"),
    (2**80, str(2**80)),
    ("a\ud800", "a\ufffd"),
    (Broken(), "<Broken>"),
    (BrokenDict(), "<BrokenDict>"),
    ({"a": Broken()}, {"a": "<Broken>"}),
    (10**5000, "<int>"),
]


@pytest.mark.parametrize(("value", "expected"), ODD, ids=lambda value: type(value).__name__)
def test_what_is_not_json_becomes_text(value: Any, expected: Any) -> None:
    assert show_value(value, 500) == expected


def test_a_value_within_itself_is_shown_cut() -> None:
    assert len(show_value(circle(), 500)) < 540


anything = st.recursive(
    json_values
    | st.binary()
    | st.uuids()
    | st.datetimes()
    | st.complex_numbers()
    | st.builds(lambda: ODD),
    lambda inner: st.lists(inner) | st.tuples(inner) | st.dictionaries(st.integers(), inner),
    max_leaves=10,
)


@given(anything, st.integers(1, 300))
def test_whatever_was_shown_can_be_stored(value: Any, most: int) -> None:
    event = TrackEvent("runs", {"inputs": show_value(value, most)})
    data = encode_track_event(event)
    orjson.loads(data)
    assert decode_track_event(data) == event
    assert len(str(event.payload)) < 8 * most + 200


def test_tokens_of_every_kind_of_answer() -> None:
    def said(tokens: int) -> ChatGeneration:
        usage = {"input_tokens": tokens, "output_tokens": 1, "total_tokens": tokens + 1}
        return ChatGeneration(message=AIMessage("x", usage_metadata=usage))

    several = LLMResult(generations=[[said(2)], [said(3)]])
    assert count_tokens(several) == {"input_tokens": 5, "output_tokens": 2, "total_tokens": 7}
    older = {"token_usage": {"prompt_tokens": 4, "completion_tokens": 2, "total_tokens": 6}}
    text = LLMResult(generations=[[Generation(text="x")]], llm_output=older)
    assert count_tokens(text) == {"input_tokens": 4, "output_tokens": 2, "total_tokens": 6}
    odd: list[Any] = [None, {"token_usage": 3}, {"token_usage": {"total_tokens": "3"}}]
    for output in odd:
        assert count_tokens(LLMResult(generations=[], llm_output=output)) == {}
    assert count_tokens("no result") == {}


# The recorder and its outbox


def record(**options: Any) -> Recorder:
    given: dict[str, Any] = {"inputs": False, "outputs": False, "max_chars": 100}
    return Recorder("runs", **(given | {"batch_size": 50, "max_waiting": 100} | options))


def take(recorder: Recorder) -> list[dict[str, Any]]:
    batch = recorder.outbox.claim(10**9, None, lambda owner: False)
    assert isinstance(batch, list)
    recorder.outbox.settle(batch, arrived=True)
    return [event.payload for event in batch]


def test_a_payload_says_only_what_there_is() -> None:
    recorder, run_id = record(), uuid4()
    recorder.chain_start(None, {"secret": 1}, run_id=run_id, tags=[], metadata=None, name="x")
    recorder.end({"secret": 2}, run_id=run_id)
    begun, ended = take(recorder)
    assert begun == {"event": "start", "kind": "chain", "name": "x", "run_id": str(run_id)}
    assert ended.pop("duration_ms") >= 0
    assert ended == {"event": "end", "kind": "chain", "name": "x", "run_id": str(run_id)}


def test_inputs_and_outputs_are_cut() -> None:
    recorder, run_id = record(inputs=True, outputs=True, max_chars=5), uuid4()
    recorder.tool_start({"name": "add"}, "ignored", run_id=run_id, inputs={"a": 12345})
    recorder.tool_end("123456789", run_id=run_id)
    begun, ended = take(recorder)
    assert begun["inputs"] == '{"a":… (7 more characters)'
    assert ended["outputs"] == "12345… (4 more characters)"


def test_it_is_time_to_write_when_the_outermost_run_ends_or_many_wait() -> None:
    recorder = record(batch_size=5)
    outer, inner = uuid4(), uuid4()
    assert not recorder.chain_start(None, 0, run_id=outer)
    assert not recorder.tool_start(None, 0, run_id=inner, parent_run_id=outer)
    assert not recorder.tool_end(0, run_id=inner)
    due = recorder.end(0, run_id=outer)
    assert due is not None
    assert (due.upto, due.may_block) == (4, True)
    due = recorder.chain_start(None, 0, run_id=outer)
    assert due is not None
    assert due.upto == 5


def test_a_run_whose_parent_is_not_tracked_is_an_outermost_one() -> None:
    recorder, run_id = record(), uuid4()
    recorder.model_start(None, ["hi"], run_id=run_id, parent_run_id=uuid4())
    assert recorder.model_end(LLMResult(generations=[]), run_id=run_id) is not None
    assert recorder.error(ValueError(), run_id=uuid4()) is not None  # begun before the handler


def claims(outbox: Outbox, upto: int = 10**9) -> Iterator[list[Any] | Flight | None]:
    while True:
        yield outbox.claim(upto, "me", lambda owner: owner == "me")


def test_the_oldest_are_dropped_and_counted() -> None:
    outbox = Outbox(3)
    for number in range(5):
        outbox.add("runs", number)
    assert (outbox.dropped, outbox.waiting) == (2, 3)
    batch = next(claims(outbox))
    assert isinstance(batch, list)
    assert [event.payload for event in batch] == [2, 3, 4]
    outbox.add("runs", 5)
    outbox.settle(batch, arrived=False)
    assert (outbox.dropped, outbox.waiting) == (3, 3)
    assert outbox.is_pausing
    batch = next(claims(outbox))
    assert isinstance(batch, list)
    assert [event.payload for event in batch] == [3, 4, 5]
    outbox.settle(batch, arrived=True)
    assert (outbox.waiting, outbox.is_pausing, next(claims(outbox, outbox.added))) == (
        0,
        False,
        None,
    )


def test_one_batch_at_a_time() -> None:
    outbox = Outbox(10)
    first, _ = outbox.add("runs", 1)
    batch = outbox.claim(first, "me", lambda owner: True)
    assert isinstance(batch, list)
    second, _ = outbox.add("runs", 2)
    flight = outbox.claim(second, "me", lambda owner: owner == "me")
    assert isinstance(flight, Flight)
    # Somebody who must not wait leaves it to the one who is writing.
    assert outbox.claim(second, "other", lambda owner: owner == "other") is None
    outbox.settle(batch, arrived=True)
    assert flight.result(0) is True
    rest = outbox.claim(first, "me", lambda owner: True)
    assert isinstance(rest, list)
    assert [event.payload for event in rest] == [2]


# Making a handler


@pytest.mark.parametrize("handler", [TrackCallbackHandler, AsyncTrackCallbackHandler])
def test_what_a_handler_takes(
    handler: type[TrackCallbackHandler] | type[AsyncTrackCallbackHandler],
) -> None:
    key = SessionKey("shop", "ann", "s1")
    wrong: dict[str, Any] = {"max_chars": 0, "batch_size": 0, "max_waiting": -1}
    with RedisSessionService("memory://run-tracks") as service:
        for name, value in wrong.items():
            with pytest.raises(ConfigurationError, match=name):
                handler(service, key, **{name: value})
        with pytest.raises(InvalidSessionKeyError, match="track"):
            handler(service, key, "")
        odd: Any = "s1"
        with pytest.raises(InvalidSessionKeyError, match="key"):
            handler(service, odd)
        with pytest.raises(ConfigurationError, match="service"):
            handler(odd, key)
        assert handler(service, key, max_chars=None).waiting == 0
