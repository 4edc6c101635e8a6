"""The codec's quick ways give what its general ways give, errors too."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from langchain_redis_session._codec import events as _codec
from langchain_redis_session._codec.message_form import Shape
from langchain_redis_session.errors import CorruptEventError, UnserializableMessageError
from langchain_redis_session.models import Event
from tests.effort import examples
from tests.unit.codec.test_events import JUNK, places, replaced
from tests.unit.messages import (
    CLEAN_TEXTS,
    MESSAGE_IDS,
    TEXTS,
    VALUES,
    messages,
    outcome,
    same_message,
)

SLOW = examples(600)

PLAIN_MESSAGES: st.SearchStrategy[BaseMessage] = st.one_of(
    st.builds(HumanMessage, TEXTS, id=MESSAGE_IDS),
    st.builds(AIMessage, TEXTS, name=st.none() | TEXTS),
    st.builds(SystemMessage, TEXTS),
    st.builds(ToolMessage, TEXTS, tool_call_id=TEXTS, name=st.none() | TEXTS),
    st.builds(ChatMessage, TEXTS, role=st.sampled_from(["user", "critic"])),
    st.builds(
        AIMessage,
        TEXTS,
        tool_calls=st.just([{"name": "f", "args": {"a": 1}, "id": "c"}]),
        usage_metadata=st.just({"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}),
    ),
)
PLAIN_EVENTS = st.builds(
    Event,
    PLAIN_MESSAGES,
    author=st.sampled_from(["", "user", "assistant"]),
    request_id=CLEAN_TEXTS,
    id=CLEAN_TEXTS.filter(bool),
    time_ns=st.integers(-(10**18), 4 * 10**18),
)
EVENTS = PLAIN_EVENTS | st.builds(
    Event,
    st.none() | messages(),
    author=CLEAN_TEXTS,
    branch=CLEAN_TEXTS,
    state_delta=st.dictionaries(CLEAN_TEXTS, VALUES, max_size=1),
    extensions=st.dictionaries(CLEAN_TEXTS, VALUES, max_size=1),
    id=CLEAN_TEXTS.filter(bool),
    time_ns=st.integers(-(10**18), 4 * 10**18),
)
STORED = EVENTS.map(lambda event: outcome(_codec.encode_event, event, error=TypeError)[0]).filter(
    bool
)


def decode_generally(data: bytes) -> Event:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_codec, "_read_simple", lambda _document, _data: None)
        return _codec.decode_event(data)


def same_in_all(one: BaseMessage | None, other: BaseMessage | None) -> bool:
    """Whether two messages are alike in everything that pydantic looks at."""
    if one is None or other is None:
        return one is other
    return (
        same_message(one, other)
        and list(one.__dict__) == list(other.__dict__)
        and one.__pydantic_fields_set__ == other.__pydantic_fields_set__
        and one.__pydantic_private__ == other.__pydantic_private__
        and repr(one) == repr(other)
        and repr(one.model_dump(warnings=False)) == repr(other.model_dump(warnings=False))
        and repr(one.model_dump(warnings=False, exclude_unset=True))
        == repr(other.model_dump(warnings=False, exclude_unset=True))
    )


def check(data: bytes) -> None:
    event, error = outcome(_codec.decode_event, data, error=CorruptEventError)
    expected, expected_error = outcome(decode_generally, data, error=CorruptEventError)
    assert error == expected_error
    if expected is None:
        return
    assert repr(event) == repr(expected)
    for name in Event.__slots__:
        value, other = getattr(event, name), getattr(expected, name)
        assert type(value) is type(other)
        if name != "message":
            assert repr(value) == repr(other)
    assert same_in_all(event.message, expected.message)


@SLOW
@given(STORED)
def test_both_paths_read_what_we_write_alike(data: bytes) -> None:
    check(data)


@SLOW
@given(PLAIN_EVENTS, st.data())
def test_with_something_else_somewhere(event: Event, data: st.DataObject) -> None:
    stored, _ = outcome(_codec.encode_event, event, error=UnserializableMessageError)
    if stored is None:
        return
    document = orjson.loads(stored)
    for _ in range(data.draw(st.integers(1, 2))):
        place = data.draw(st.sampled_from(places(document)))
        document = replaced(document, place, data.draw(JUNK))
    check(json.dumps(document).encode())


@SLOW
@given(PLAIN_EVENTS, st.data())
def test_both_paths_read_other_members_alike(event: Event, data: st.DataObject) -> None:
    stored, _ = outcome(_codec.encode_event, event, error=UnserializableMessageError)
    if stored is None:
        return
    document: Any = orjson.loads(stored)
    at: Any = document
    for step in data.draw(
        st.sampled_from([(), ("choices", 0), ("choices", 0, "message"), ("extensions",)])
    ):
        at = document.setdefault(step, {}) if step == "extensions" else at[step]
    for name in data.draw(st.lists(st.sampled_from(sorted(at) or [""]), max_size=2)):
        at.pop(name, None)
    names = ["stateDelta", "branch", "usage", "finish_reason", "tool_id", "tool_calls", "other"]
    for name in data.draw(st.lists(st.sampled_from([*names, "langchain", "content"]), max_size=2)):
        at[name] = data.draw(JUNK)
    check(json.dumps(document).encode())


@SLOW
@given(STORED, st.data())
def test_both_paths_read_mutated_bytes_alike(stored: bytes, data: st.DataObject) -> None:
    raw = bytearray(stored)
    for _ in range(data.draw(st.integers(1, 3))):
        position = data.draw(st.integers(0, len(raw) - 1))
        raw[position : position + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    check(bytes(raw))


START = b'{"id":"e","timestamp":"2026-11-23T11:13:00.000000000Z"'
TEXT = b'[{"index":0,"message":{"role":"user","content":"hi"}}]'


@pytest.mark.parametrize(
    "rest",
    [
        b',"choices":' + TEXT,
        b',"author":null,"choices":' + TEXT,
        b',"extensions":null,"choices":' + TEXT,
        b',"extensions":{},"choices":' + TEXT,
        b',"extensions":{"langchain":null},"choices":' + TEXT,
        b',"extensions":{"n":9007199254740993123},"choices":' + TEXT,
        b',"usage":null,"choices":' + TEXT,
        b',"usage":{"total_tokens":3},"choices":' + TEXT,
        b',"choices":' + TEXT.replace(b"0", b"1"),
        b',"choices":' + TEXT.replace(b"0", b"false"),
        b',"choices":' + TEXT.replace(b"0", b"null"),
        b',"choices":' + TEXT.replace(b'"index":0', b'"delta":{"content":"x"}'),
        b',"choices":' + TEXT.replace(b'"hi"', b'""'),
        b',"choices":' + TEXT.replace(b'"hi"', b'"\\ud800"'),
        b',"choices":' + TEXT.replace(b'"user"', b'""'),
        b',"choices":' + TEXT.replace(b'"user"', b"[]"),
        b',"choices":' + TEXT.replace(b'"user"', b'"tool"'),
        b',"choices":' + TEXT.replace(b'"user"', b'"critic"'),
        b',"choices":' + TEXT[:-1] + b"," + TEXT[1:],
        b',"choices":{"index":0},"author":"user"',
        b',"choices":"x"',
        b',"choices":[]',
        b"",
    ],
)
def test_both_paths_read_almost_plain_events_alike(rest: bytes) -> None:
    check(START + rest + b"}")
    check((START + rest + b"}").replace(b"2026-11", b"2026-13"))
    check((START + rest + b"}").replace(b"2026-11-23T11:13:00.000000000Z", b""))


def test_most_events_go_the_quick_way(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(_codec, "decode_message", lambda *_args, **_options: seen.append(1))
    for message in (HumanMessage("hi"), AIMessage("hi"), SystemMessage("hi")):
        stored = _codec.encode_event(Event(message, author="user", request_id="r"))
        assert _codec.decode_event(stored).message == message
    assert not seen


@SLOW
@given(PLAIN_EVENTS | EVENTS)
@example(Event(AIMessage("x", example=True), id="e", time_ns=0))
@example(Event(HumanMessage("x").model_copy(update={"id": ""}), id="e", time_ns=0))
def test_both_paths_write_the_same_bytes(event: Event) -> None:
    stored = outcome(_codec.encode_event, event, error=UnserializableMessageError)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Shape, "is_only_content", lambda _self, _fields: False)
        assert outcome(_codec.encode_event, event, error=UnserializableMessageError) == stored
