"""Usual events are read directly; what comes of it is what the general way gives."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.load import dumpd, load
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage

from langchain_redis_session._codec import events, usual_events
from langchain_redis_session._codec.events import decode_event, encode_event
from langchain_redis_session._codec.usual_events import read_message, read_messages
from langchain_redis_session.errors import CorruptEventError
from langchain_redis_session.models import Event
from tests.effort import examples
from tests.realistic import MAKERS, make_openai_answer
from tests.unit.messages import messages, same, same_message

USUAL = [
    HumanMessage("hi"),
    HumanMessage("hi", id="m1", name="ann"),
    SystemMessage("be kind"),
    AIMessage("hello"),
    AIMessage("$5", additional_kwargs={"reasoning_content": "hm", "refusal": None}),
    *(make(1) for make in MAKERS),
]


@contextmanager
def general_way_only() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(events, "read_event", lambda _data: None)
        patch.setattr(events, "read_usual", lambda *_args: None)
        yield


def store(message: BaseMessage, **members: Any) -> bytes:
    return encode_event(Event(message, time_ns=1_795_432_380_123_456_789, **members))


def read_generally(data: bytes) -> BaseMessage | None:
    with general_way_only():
        return decode_event(data).message


def require_equal(one: BaseMessage, other: BaseMessage) -> None:
    """They can't be told apart, whatever is done with them."""
    assert same_message(one, other)
    assert list(one.__dict__) == list(other.__dict__)
    assert one.__pydantic_fields_set__ == other.__pydantic_fields_set__
    assert one.__pydantic_private__ == other.__pydantic_private__
    assert same(one.model_dump(), other.model_dump())
    assert repr(one) == repr(other)
    for twin in (copy.copy(one), copy.deepcopy(one), pickle.loads(pickle.dumps(one))):
        assert same_message(twin, other)


@pytest.mark.filterwarnings("ignore:The function `load`")
@pytest.mark.filterwarnings("ignore:.*allowed_objects")
@pytest.mark.parametrize("message", USUAL, ids=lambda message: message.type)
@pytest.mark.parametrize("members", [{}, {"author": "user", "request_id": "r-1", "branch": "a/b"}])
def test_usual_messages_are_read_directly(message: BaseMessage, members: dict[str, str]) -> None:
    data = store(message, **members)
    read = read_message(data)
    assert read is not None
    assert same_message(read, message)
    assert dumpd(read) == dumpd(message)
    assert same_message(load(dumpd(read)), message)
    general = read_generally(data)
    assert general is not None
    require_equal(read, general)
    validated = type(message).model_validate(message.model_dump())
    assert read == validated


@examples(400)
@given(messages())
def test_both_ways_give_the_same_message(message: BaseMessage) -> None:
    data = store(message)
    read, general = read_message(data), read_generally(data)
    if read is not None:
        assert general is not None
        require_equal(read, general)
    found = decode_event(data)
    assert found.message is not None
    assert general is not None
    require_equal(found.message, general)
    with general_way_only():
        assert decode_event(data) == found


ODD: st.SearchStrategy[Any] = st.sampled_from(
    [None, "", "x", 0, 1, 1.5, True, [], {}, [1], ["x"], {"a": 1}, {"$lc": ["args", 0]}, [{}]]
)


@st.composite
def broken(draw: st.DrawFn) -> bytes:
    """A usual event of which a member, at any depth, is another, is gone, or is new."""
    document = orjson.loads(store(draw(st.sampled_from(USUAL)), author="user", request_id="r"))
    place = document
    while True:
        if isinstance(place, list):
            key: Any = draw(st.sampled_from(range(len(place)))) if place else None
        else:
            key = draw(st.sampled_from([*place, "new"]))
        inner = place[key] if isinstance(place, list) or key in place else None
        if not inner or not isinstance(inner, (dict, list)) or draw(st.integers(0, 3)) == 0:
            break
        place = inner
    if draw(st.booleans()) and isinstance(place, dict):
        place.pop(key, None)
    else:
        place[key] = draw(ODD)
    return orjson.dumps(document)


@examples(600)
@given(broken())
def test_what_is_not_usual_is_left_to_the_general_way(data: bytes) -> None:
    read = read_message(data)
    try:
        general = read_generally(data)
    except CorruptEventError:
        assert read is None
        with pytest.raises(CorruptEventError):
            decode_event(data)
        return
    if read is not None:
        assert general is not None
        require_equal(read, general)
    with general_way_only():
        event = decode_event(data)
    assert decode_event(data) == event


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"user"', b'"tool"'),
        (b'"id":"', b'"id":"\xff'),
        (b"T11:13", b"T25:13"),
        (b"T11:13:00", b"T11:13:60"),
        (b"2026-11-23", b"2026-11-31"),
        (b"2026-11-23", b"2026-02-29"),
        (b"2026-11-23", b"2024-02-29"),
        (b"2026-11-23", b"2026-00-23"),
        (b"2026-11-23", b"0000-11-23"),
        (b"2026-11-23", b"9999-12-31"),
        (b'"hi"', b'"hi" '),
        (b'"hi"', b'"hi","hi"'),
        (b'"hi"', b'"h"i"'),
        (b'"hi"', b"1"),
        (b'"hi"', b'""'),
        (b'"hi"', b'"\\ud800"'),
        (b'"hi"', b'"\xff"'),
        (b'"hi"', b'"hi"}}],"choices":[{"message":{"role":"user","content":"ho"'),
        (b"}}]}", b"}}]} "),
        (b"}}]}", b"}}],"),
        (b"}}]}", b"}}"),
    ],
)
def test_bytes_that_are_nearly_usual(old: bytes, new: bytes) -> None:
    data = store(HumanMessage("hi"), author="user").replace(old, new)
    read = read_message(data)
    try:
        general = read_generally(data)
    except CorruptEventError:
        general = None
    if read is not None:
        assert general is not None
        require_equal(read, general)


LONG = "a text that is long enough to be referred to, not repeated"


def store_extended(text: str, data: Any, *, version: int = 1, **members: Any) -> bytes:
    extension = {"v": version, "type": "ai", "data": data}
    event = {
        "id": "0" * 32,
        "timestamp": "2026-11-23T11:13:00.000000000Z",
        "author": "assistant",
        "choices": [{"message": {"role": "assistant", "content": text}}],
        **members,
        "extensions": {"langchain": extension},
    }
    return orjson.dumps(event)


def refer(start: int, length: int) -> dict[str, Any]:
    return {"type": "text", "text": {"$lc": ["content", start, length]}}


@pytest.mark.parametrize(
    "data",
    [
        store_extended("hi", {"id": "m1"}, version=2),
        store_extended("hi", {"id": "m1"}, version=True),
        store_extended("hi", {"id": "m1"}, tag="interrupted"),
        store_extended("hi", {"id": "m1"}, stateDelta={"k": "MQ=="}),
        store_extended("hi", {"id": "m1"}, choices=[{"message": {"role": "user", "content": "x"}}]),
        store(ToolMessage("x", tool_call_id="c", status="error")).replace(b'"error"', b'"odd"'),
        store_extended(LONG, {"content": [refer(0, len(LONG) + 1)]}),
        store_extended(LONG, {"content": [refer(-1, 1)]}),
        store_extended(LONG, {"content": [refer(0, -1)]}),
    ],
    ids=[
        "newer version",
        "version of another type",
        "tag",
        "state",
        "of another type",
        "unknown status",
        "beyond the text",
        "before the text",
        "length below 0",
    ],
)
def test_what_needs_a_second_look_is_not_read_directly(data: bytes) -> None:
    assert read_message(store_extended("hi", {"id": "m1"})) == AIMessage("hi", id="m1")
    assert read_message(data) is None


@pytest.mark.parametrize("kind", ["content", "args"])
def test_what_becomes_more_than_an_entry_may_is_not_read_directly(kind: str) -> None:
    if kind == "content":
        data = store_extended("x" * 2000, {"content": [refer(0, 1999)] * 1000})
    else:
        items = orjson.dumps({f"{number}": [[]] * 99 for number in range(20)}).decode()
        call = {"type": "function", "id": "c", "function": {"name": "f", "arguments": items}}
        message = {"role": "assistant", "content": "x", "tool_calls": [call]}
        block = {"type": "tool_use", "id": "c", "name": "f", "input": {"$lc": ["args", 0]}}
        data = store_extended("", {"content": [block] * 100}, choices=[{"message": message}])
    assert read_message(data) is None
    with pytest.raises(CorruptEventError, match="would take over"):
        decode_event(data)


def test_a_page_with_one_unusual_event_is_left_to_the_general_way() -> None:
    usual = store(HumanMessage("hi"))
    assert read_messages([usual, usual]) == [HumanMessage("hi")] * 2
    assert read_messages([usual, store(HumanMessage("hi", extra_thing=1))]) is None
    assert read_messages([]) == []


@pytest.mark.parametrize("day", ["2026-01-31", "2026-02-28", "2026-04-30", "2026-12-01"])
def test_usual_days_are_read_directly(day: str) -> None:
    data = store(HumanMessage("hi"), author="user").replace(b"2026-11-23", day.encode())
    read = usual_events.read_event(data)
    assert read is not None
    with general_way_only():
        assert read == decode_event(data)
    assert read.timestamp.date().isoformat() == day


@pytest.mark.parametrize(
    "parts",
    [
        [b'"a\\"', b'b"'],
        [b'"a\\"', b'","b"'],
        [b'"a","b"', b'"c"'],
        [b'"a",["b"', b'"c"', b'"d"],"e"'],
        [b'"a",["b"', b'"c"]'],
        [b'"a",{"b":"', b'":"c"}'],
        [b'"a","b",["c"', b'"d"]'],
        [b'"a"', b"1"],
        [b'"a"', b""],
    ],
)
def test_what_is_wrong_in_an_entry_no_other_puts_right(parts: list[bytes]) -> None:
    data = store(HumanMessage("hi"), author="user")
    assert read_messages([data.replace(b'"hi"', part) for part in parts]) is None


@examples(200)
@given(st.lists(messages(), max_size=4))
def test_a_page_is_read_as_its_entries(page: list[BaseMessage]) -> None:
    entries = [store(message, author="user") for message in page]
    together, apart = read_messages(entries), [read_message(entry) for entry in entries]
    if together is None:
        assert None in apart
        return
    for one, other in zip(together, apart, strict=True):
        assert other is not None
        require_equal(one, other)


def test_messages_share_nothing() -> None:
    data = store(make_openai_answer(1))
    one, other = read_message(data), read_message(data)
    assert isinstance(one, AIMessage)
    assert isinstance(other, AIMessage)
    one.additional_kwargs["new"] = one.response_metadata["new"] = 1
    one.tool_calls.append({"name": "f", "args": {}, "id": "c"})
    one.content = "changed"
    assert same_message(other, make_openai_answer(1))
    assert other.__pydantic_fields_set__ == read_message(data).__pydantic_fields_set__  # type: ignore[union-attr]
