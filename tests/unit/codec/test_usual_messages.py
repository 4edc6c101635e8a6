"""Usual messages are written the short way; the bytes are those of the general way."""

from __future__ import annotations

import enum
import math
from collections import OrderedDict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from langchain_redis_session._codec import events
from langchain_redis_session._codec.conversions import Conversions
from langchain_redis_session._codec.events import decode_event, encode_event
from langchain_redis_session._codec.usual_messages import write_text, write_usual
from langchain_redis_session.errors import UnserializableMessageError
from langchain_redis_session.models import Event
from tests.effort import examples
from tests.realistic import MAKERS, TEXT, make_anthropic_answer, make_openai_response
from tests.unit.messages import messages, same_message


class Mood(str, enum.Enum):
    SUNNY = "sunny"


def write(message: BaseMessage, conversions: Conversions | None = None) -> Any:
    """The bytes, or the text of the refusal; and what was converted."""
    conversions = Conversions() if conversions is None else conversions
    event = Event(message, "user", "r", id="e", time_ns=0)
    try:
        return encode_event(event, conversions=conversions), conversions.count
    except UnserializableMessageError as error:
        return str(error)


def write_generally(message: BaseMessage) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(events, "write_text", lambda _event: None)
        patch.setattr(events, "write_usual", lambda _message: None)
        return write(message)


@examples(400)
@given(messages())
def test_both_ways_write_the_same(message: BaseMessage) -> None:
    assert write(message) == write_generally(message)


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
def test_messages_of_models_take_the_short_way(make: Any) -> None:
    message = make(1)
    assert write_usual(message) is not None
    assert write(message) == write_generally(message)


@pytest.mark.parametrize("cls", [HumanMessage, AIMessage])
@pytest.mark.parametrize("request_id", ["", "r-1"])
def test_plain_texts_take_the_shortest_way(cls: type[BaseMessage], request_id: str) -> None:
    event = Event(cls('a "b"\n é'), "user", request_id, time_ns=1_795_432_380_123_456_789)
    written = write_text(event)
    assert written is not None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(events, "write_text", lambda _event: None)
        assert encode_event(event) == written
    assert decode_event(written) == event


ODD_NAMES: list[Any] = [
    "",
    "x",
    'a"b',
    "a\\b",
    "é",
    "\ud800",
    "a b",
    "user\n",
    None,
    1,
    ["user"],
    b"x",
]


@pytest.mark.parametrize("message", [HumanMessage("hi"), AIMessage("hi"), AIMessage(""), None])
@examples(100)
@given(st.data())
def test_odd_events_are_written_as_the_general_way_does(
    message: BaseMessage | None, data: st.DataObject
) -> None:
    texts = st.sampled_from(ODD_NAMES)
    names = ("author", "request_id", "id", "branch", "tag", "filter_key", "invocation_id")
    changes: dict[str, Any] = data.draw(
        st.fixed_dictionaries({}, optional=dict.fromkeys(names, texts))
    )
    times = st.sampled_from([0, 1.0, True, None, "0", [1], -1, 10**30])
    changes |= data.draw(st.fixed_dictionaries({}, optional={"time_ns": times}))
    changes |= data.draw(
        st.fixed_dictionaries(
            {}, optional={"state_delta": st.just({"a": 1}), "extensions": st.just({"b": 1})}
        )
    )
    event = Event(message, **changes)

    def encode() -> Any:
        try:
            return encode_event(event)
        except UnserializableMessageError as error:
            return str(error)

    written = encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(events, "write_text", lambda _event: None)
        assert encode() == written


ODD: list[Any] = [
    *(None, "", "x", "\ud800", "é", 0, 2**63, 2**64, -(2**63) - 1, 1.5, -0.0, math.nan, math.inf),
    *(True, (), (1,), [], [1], {}, {"a": 1}, {1: 2}, {"$lc": 1}, {"a": math.nan}, [["x", (1,)]]),
    *(Mood.SUNNY, {"a": Mood.SUNNY}, {Mood.SUNNY: 1}, OrderedDict(a=1), b"x", object, {1, 2}),
    *({"input_tokens": 1}, [{"type": "text"}], [{"type": "text", "text": 1}], ["text"]),
    *([{"type": "image", "url": "https://a.b"}], [{"type": "tool_use", "input": {"a": 1}}]),
]


@st.composite
def changed(draw: st.DrawFn) -> BaseMessage:
    """A message of a model, of which a field, or what is in one, was set to something odd."""
    message = draw(st.sampled_from(MAKERS))(1)
    fields = message.__dict__
    place: Any = fields
    key: Any = draw(st.sampled_from(sorted(fields.keys() - {"type"})))
    while isinstance(inner := place[key], (dict, list)) and inner and draw(st.integers(0, 3)):
        place = inner
        key = draw(st.sampled_from([*place] if isinstance(place, dict) else range(len(place))))
    place[key] = draw(st.sampled_from(ODD))
    return message


@examples(600)
@given(changed())
def test_what_is_odd_is_left_to_the_general_way(message: BaseMessage) -> None:
    assert write(message) == write_generally(message)


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def shared() -> Any:
    value: Any = []
    for _ in range(60):
        value = [value, value]
    return value


@pytest.mark.parametrize(
    "message",
    [
        HumanMessage("x", response_metadata={"x": nested(119)}),
        HumanMessage("x", response_metadata={"x": nested(120)}),
        HumanMessage("x", response_metadata={"x": nested(1000)}),
        ToolMessage("x", tool_call_id="", name="", artifact=[{"a": (1, 2)}]),
        AIMessage("", tool_calls=[{"name": "f", "args": {"x": nested(300)}, "id": "c"}]),
        AIMessage([{"type": "text", "text": TEXT}] * 2),
    ],
)
def test_odd_values_of_usual_fields(message: BaseMessage) -> None:
    assert write(message) == write_generally(message)


def test_objects_that_hold_each_other_are_not_followed_for_ever() -> None:
    assert write_usual(ToolMessage("x", tool_call_id="c", artifact=shared())) is None


@pytest.mark.parametrize("make", [make_openai_response, make_anthropic_answer])
def test_blocks_refer_to_what_the_message_says(make: Any) -> None:
    message = make(1)
    before = message.model_copy(deep=True)
    data = encode_event(Event(message, time_ns=0))
    assert same_message(message, before)
    assert data.count(TEXT.encode()) == 1
    assert data.count(b"find_order tells") == 2  # the thought, and one call that quotes it
    assert same_message(decode_event(data).message, message)  # type: ignore[arg-type]


def test_calls_that_many_blocks_name_are_referred_to_once() -> None:
    call = {"name": "f", "args": {"q": TEXT}, "id": "c", "type": "tool_call"}
    block = {"type": "tool_use", "id": "c", "name": "f", "input": {"q": TEXT}}
    message = AIMessage([block] * 3, tool_calls=[call, call])
    data = encode_event(Event(message, time_ns=0))
    assert data.count(b'{"$lc":["args",0]}') == 1
    assert same_message(decode_event(data).message, message)  # type: ignore[arg-type]
