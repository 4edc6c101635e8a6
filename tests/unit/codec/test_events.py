"""Events and track events as bytes: every member, and bytes that are none."""

from __future__ import annotations

import base64
import inspect
import json
import math
import sys
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage

from langchain_redis_session._codec.events import decode_event, encode_event
from langchain_redis_session._codec.track_events import decode_track_event, encode_track_event
from langchain_redis_session.errors import CorruptEventError, UnserializableMessageError
from langchain_redis_session.models import Event, TrackEvent
from tests.effort import examples
from tests.unit.messages import CLEAN_TEXTS, LONG, VALUES, messages, outcome, same

SLOW = examples(300)

FULL = Event(
    HumanMessage("hi", id="m1"),
    author="user",
    request_id="r",
    invocation_id="i",
    branch="a/b",
    tag="x;y",
    filter_key="a",
    state_delta={"k": {"n": 1}, "app:a": "v", "user:u": None, "temp:t": object, "raw": b"\xff"},
    extensions={"mine": [1]},
    extra={"model": "m"},
    id="e1",
    time_ns=1_795_432_380_123_456_789,
)


FIXED = {
    *("id", "timestamp", "author", "requestID", "invocationId", "choices", "usage"),
    *("stateDelta", "branch", "tag", "filterKey", "version", "extensions"),
}


def full(**changes: Any) -> Event:
    event = decode_event(encode_event(Event(id="e1")))
    for name in Event.__slots__:
        setattr(event, name, getattr(FULL, name))
    event.state_delta = {k: v for k, v in FULL.state_delta.items() if not k.startswith("temp:")}
    for name, value in changes.items():
        setattr(event, name, value)
    return event


def test_members_stand_in_order() -> None:
    document = json.loads(encode_event(full()))
    assert list(document) == [
        "id",
        "timestamp",
        "author",
        "requestID",
        "invocationId",
        "choices",
        "stateDelta",
        "branch",
        "tag",
        "filterKey",
        "version",
        "model",
        "extensions",
    ]
    assert document["timestamp"] == "2026-11-23T11:13:00.123456789Z"
    assert document["stateDelta"]["k"] == base64.b64encode(b'{"n":1}').decode()
    assert document["stateDelta"]["raw"] == base64.b64encode(b"\xff").decode()


def test_every_member_comes_back() -> None:
    assert decode_event(encode_event(full())) == full()


def test_temp_state_is_not_stored() -> None:
    event = full(state_delta={"temp:a": 1})
    assert "stateDelta" not in json.loads(encode_event(event))


def test_an_event_of_state_alone_comes_back() -> None:
    event = Event(state_delta={"k": 1}, id="e", time_ns=0)
    assert encode_event(event) == (
        b'{"id":"e","timestamp":"1970-01-01T00:00:00.000000000Z","stateDelta":{"k":"MQ=="}}'
    )
    assert decode_event(encode_event(event)) == event


@SLOW
@given(
    st.builds(
        Event,
        message=st.none() | messages(),
        author=CLEAN_TEXTS,
        request_id=CLEAN_TEXTS,
        branch=CLEAN_TEXTS,
        tag=CLEAN_TEXTS,
        filter_key=CLEAN_TEXTS,
        state_delta=st.dictionaries(CLEAN_TEXTS, VALUES, max_size=2),
        extensions=st.dictionaries(CLEAN_TEXTS, VALUES, max_size=2),
        extra=st.dictionaries(CLEAN_TEXTS.filter(lambda n: n not in FIXED), VALUES, max_size=2),
        id=CLEAN_TEXTS.filter(bool),
        time_ns=st.integers(-(10**18), 4 * 10**18),
    )
)
def test_any_event_comes_back_or_is_refused(event: Event) -> None:
    data, error = outcome(encode_event, event, error=UnserializableMessageError)
    if error:
        assert error.startswith(("state_delta[", "extensions[", "extra["))
        return
    json.loads(data.decode(), parse_constant=pytest.fail)
    result = decode_event(data)
    for name in ("author", "request_id", "branch", "tag", "filter_key", "id", "time_ns"):
        assert getattr(result, name) == getattr(event, name)
    assert same(result.extensions, event.extensions)
    assert same(result.extra, event.extra)
    # The same JSON; a float may be spelled in another way.
    assert same(json.loads(encode_event(result)), json.loads(data))


@pytest.mark.parametrize(
    "values", [{"n": 2**70, "f": 1e30}, {"s": "\ud800"}, {"z": -0.0, "n": -(2**64)}]
)
def test_exact_values_in_extensions_and_extra(values: dict[str, Any]) -> None:
    event = full(extensions={"x": values}, extra={"y": values})
    result = decode_event(encode_event(event))
    assert same(result.extensions, {"x": values})
    assert same(result.extra, {"y": values})
    for alone in (full(extensions={"x": values}), full(extra={"y": values})):
        again = decode_event(encode_event(alone))
        assert same([again.extensions, again.extra], [alone.extensions, alone.extra])


def test_big_integers_in_extensions_stay_numbers() -> None:
    assert f'"x":{2**70}'.encode() in encode_event(full(extensions={"x": 2**70}))


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"extensions": {"x": {"a": {1}}}}, "extensions['x']['a']: set"),
        ({"extensions": {"x": math.nan}}, "extensions['x']: nan"),
        ({"extensions": {"langchain": {}}}, "extensions['langchain']: this name is taken"),
        ({"extensions": {1: 2}}, "extensions[1]: int"),
        ({"extra": {"x": b""}}, "extra['x']: bytes"),
        ({"state_delta": {"k": {1}}}, "state_delta['k']: set"),
        ({"state_delta": {1: 1}}, "state_delta[1]: int"),
        ({"state_delta": {"\ud800": 1}}, "state_delta["),
        ({"author": 5}, "author: int"),
        ({"author": "\ud800"}, "author: a lone surrogate"),
        ({"id": None}, "id: NoneType"),
        ({"time_ns": "now"}, "time_ns: 'now'"),
        ({"time_ns": 10**30}, "time_ns: "),
        ({"time_ns": 1.5}, "time_ns: 1.5"),
        ({"message": 3}, "message: int"),
        ({"extra": {"usage": 5}}, "extra: with it the event could not be read: usage is int"),
        ({"extra": {"choices": 5}, "message": None}, "extra: with it"),
        ({"extra": {"choices": [{}, 5]}}, "extra: with it"),
    ],
)
def test_refuses_with_the_path(changes: dict[str, Any], path: str) -> None:
    with pytest.raises(UnserializableMessageError) as caught:
        encode_event(full(**changes))
    assert str(caught.value).startswith(path)


def test_extra_never_overrides() -> None:
    event = full(extra={"id": "other", "timestamp": "", "version": 9, "stateDelta": {}, "own": 1})
    result = decode_event(encode_event(event))
    assert result == full(extra={"own": 1})


# --- Bytes that are no event ---

SAMPLE = orjson.loads(
    encode_event(
        full(
            message=AIMessage(
                [{"type": "text", "text": LONG}, {"type": "x", "value": math.nan}],
                id="m1",
                name="n",
                tool_calls=[{"name": "f", "args": {"a": LONG}, "id": "c"}],
                invalid_tool_calls=[{"name": "f", "args": "{", "id": "c", "error": LONG}],
                additional_kwargs={"reasoning_content": "r", "n": 2**70, "s": "\ud800"},
                response_metadata={"$lc": 1},
                usage_metadata={
                    "input_tokens": 1,
                    "output_tokens": 2,
                    "total_tokens": 3,
                    "input_token_details": {"audio": 1},
                },
            )
        )
    )
)
TOOL_SAMPLE = orjson.loads(
    encode_event(full(message=ToolMessage("x", tool_call_id="c", status="error", artifact=1)))
)
PARTS_SAMPLE = orjson.loads(
    encode_event(
        full(
            message=HumanMessage(
                [
                    {"type": "text", "text": "x"},
                    {"type": "image_url", "image_url": {"url": "u"}},
                    {"type": "file", "base64": "AAAA", "mime_type": "m"},
                ]
            )
        )
    )
)
JUNK: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from([2**70, 1.5, "", "x", [], {}, [None], [1], ["x"], [{}], [[]], {"x": 1}, "{}"]),
    st.sampled_from(
        [
            {"$lc": []},
            {"$lc": ["int", "z"]},
            {"$lc": ["int", 5]},
            {"$lc": ["float", "1"]},
            {"$lc": ["float", []]},
            {"$lc": ["str", "x", 9, 9]},
            {"$lc": ["str", "x", 0, 2**40]},
            {"$lc": ["str", "x", 0]},
            {"$lc": ["map", 1]},
            {"$lc": ["map", [], 1]},
            {"$lc": ["content", 0, 10**9]},
            {"$lc": ["content", -1, 2]},
            {"$lc": ["args", 7]},
            {"$lc": ["args", True]},
            {"$lc": ["arguments"]},
            {"$lc": ["new"]},
            {"$lc": [[]]},
        ]
    ),
)


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [at]
    if isinstance(value, dict):
        for key in value:
            found += places(value[key], (*at, key))
    elif isinstance(value, list):
        for index in range(len(value)):
            found += places(value[index], (*at, index))
    return found


def replaced(value: Any, place: tuple[Any, ...], new: Any) -> Any:
    if not place:
        return new
    changed = value.copy()
    changed[place[0]] = replaced(value[place[0]], place[1:], new)
    return changed


@examples(3000)
@given(st.data())
def test_a_wrong_type_anywhere_is_read_or_corrupt(data: st.DataObject) -> None:
    sample = data.draw(st.sampled_from([SAMPLE, TOOL_SAMPLE, PARTS_SAMPLE]))
    for _ in range(data.draw(st.integers(1, 2))):
        place = data.draw(st.sampled_from(places(sample)))
        sample = replaced(sample, place, data.draw(JUNK))
    event, error = outcome(decode_event, json.dumps(sample).encode(), error=CorruptEventError)
    if not error:
        repr(event)
        if event.message is not None:
            assert event.message.text is not None
            event.message.model_dump(warnings=False)


@examples(1000)
@given(st.data())
def test_mutated_bytes_are_read_or_corrupt(data: st.DataObject) -> None:
    raw = bytearray(orjson.dumps(data.draw(st.sampled_from([SAMPLE, TOOL_SAMPLE, PARTS_SAMPLE]))))
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, len(raw) - 1))
        raw[position : position + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    for decode in (decode_event, decode_track_event):
        outcome(decode, bytes(raw), error=CorruptEventError)


@given(st.binary())
@example(b"")
@example(b"null")
@example(b"[]")
@example(b"{}")
@example(b'{"id":5}')
@example(b'{"id":"e","timestamp":"yesterday"}')
@example(b'{"id":"e","x":NaN}')
@example(b'{"id":"e","x":1e400}')
@example(b'{"id":"e","x":' + b"[" * 900 + b"]" * 900 + b"}")
@example(b'{"id":"e","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}")
@example(b'{"id":"e","x":' + b"9" * 10_000 + b"}")
@example(b'{"id":"e","choices":' + b'[{"message":' * 500 + b"1" + b"}]" * 500 + b"}")
@example(b'{"id":"\\ud800","choices":[]}')
def test_any_bytes_are_read_or_corrupt(data: bytes) -> None:
    for decode in (decode_event, decode_track_event):
        outcome(decode, data, error=CorruptEventError)


@pytest.mark.parametrize(
    ("place", "new"),
    [
        ((), []),
        (("id",), 5),
        (("id",), ""),
        (("timestamp",), 5),
        (("timestamp",), "yesterday"),
        (("author",), []),
        (("requestID",), {}),
        (("choices",), {}),
        (("choices", 0), "x"),
        (("choices", 0, "message"), "x"),
        (("choices", 0, "message", "content"), 5),
        (("choices", 0, "message", "role"), 5),
        (("choices", 0, "message", "tool_calls"), {}),
        (("choices", 0, "message", "tool_calls", 0), None),
        (("choices", 0, "message", "tool_calls", 0, "function"), 1),
        (("choices", 0, "message", "tool_calls", 0, "function", "arguments"), {}),
        (("usage",), 1),
        (("usage", "total_tokens"), "3"),
        (("stateDelta",), []),
        (("stateDelta", "k"), "not base64!"),
        (("stateDelta", "k"), 5),
        (("stateDelta", "k"), "MQ==!"),
        (("extensions",), []),
        (("extensions", "langchain"), "x"),
        (("extensions", "langchain", "v"), 2),
        (("extensions", "langchain", "v"), True),
        (("extensions", "langchain", "type"), "remove"),
        (("extensions", "langchain", "type"), "langchain_core.messages.HumanMessage"),
        (("extensions", "langchain", "data"), []),
        (("extensions", "langchain", "data", "id"), 5),
        (("extensions", "langchain", "data", "content"), [5]),
        (("extensions", "langchain", "data", "additional_kwargs"), None),
        (("extensions", "langchain", "data", "usage_metadata"), []),
        (("extensions", "langchain", "data", "invalid_tool_calls"), [{"name": 1}]),
        (("extensions", "langchain", "data"), {"type": "ai"}),
        (("extensions", "langchain", "data", "response_metadata"), {"$lc": ["map"], "x": 1}),
        (("extensions", "langchain", "data"), {"tool_calls": [{"name": "f"}]}),
    ],
)
def test_wrong_types_are_corrupt(place: tuple[Any, ...], new: Any) -> None:
    with pytest.raises(CorruptEventError):
        decode_event(json.dumps(replaced(SAMPLE, place, new)).encode())


@pytest.mark.parametrize(("member", "value"), [("v", 2), ("type", "video")])
def test_newer_extensions_are_told(member: str, value: Any) -> None:
    sample = replaced(SAMPLE, ("extensions", "langchain", member), value)
    with pytest.raises(CorruptEventError, match=r"unknown (version|message type).*newer"):
        decode_event(json.dumps(sample).encode())


def test_tags_nested_too_deep_are_corrupt() -> None:
    # Not an example of the test above: hypothesis raises the limit of the recursion.
    start = b'{"id":"e","extensions":{"langchain":{"v":1,"type":"ai","data":'
    nested = b'{"$lc":["map","id",' * 480 + b"1" + b"]}" * 480
    limit = sys.getrecursionlimit()
    # How many frames a level takes depends on the Python version.
    sys.setrecursionlimit(len(inspect.stack(0)) + 200)
    try:
        with pytest.raises(CorruptEventError, match="too deep"):
            decode_event(start + nested + b"}}}")
    finally:
        sys.setrecursionlimit(limit)


def test_corrupt_errors_do_not_show_content() -> None:
    sample = replaced(SAMPLE, ("choices", 0, "message", "content"), {"secret": "x"})
    with pytest.raises(CorruptEventError) as caught:
        decode_event(json.dumps(sample).encode())
    assert "secret" not in str(caught.value)


class TestTracks:
    def test_a_track_event_is_written_in_its_stated_bytes(self) -> None:
        event = TrackEvent("tools", {"é": 1}, id="t", time_ns=1)
        data = encode_track_event(event)
        assert (
            data
            == (
                '{"id":"t","track":"tools","payload":{"é":1},'
                '"timestamp":"1970-01-01T00:00:00.000000001Z"}'
            ).encode()
        )
        assert decode_track_event(data) == event

    @given(VALUES)
    def test_payload_comes_back_or_is_refused(self, payload: Any) -> None:
        event = TrackEvent("t", payload)
        data, error = outcome(encode_track_event, event, error=UnserializableMessageError)
        if error:
            assert error.startswith("payload")
        else:
            assert same(decode_track_event(data).payload, payload)

    def test_big_integers_stay_numbers(self) -> None:
        data = encode_track_event(TrackEvent("t", [2**70, "\ud800"]))
        assert f'"payload":[{2**70},"\\ud800"]'.encode() in data

    @pytest.mark.parametrize(
        ("payload", "path"),
        [({"y": math.nan}, "payload['y']: nan"), ([{1}], "payload[0]: set")],
    )
    def test_refuses_with_the_path(self, payload: Any, path: str) -> None:
        with pytest.raises(UnserializableMessageError) as caught:
            encode_track_event(TrackEvent("t", payload))
        assert str(caught.value).startswith(path)

    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"[]",
            b"{}",
            b'{"track":5}',
            b'{"track":"t","timestamp":5}',
            b'{"track":"t","id":1}',
        ],
    )
    def test_a_corrupt_track_event_is_refused(self, data: bytes) -> None:
        with pytest.raises(CorruptEventError):
            decode_track_event(data)

    def test_as_go_writes_it(self) -> None:
        data = b'{"track":"t","payload":{"a":1},"timestamp":"2026-11-23T19:13:00.5+08:00"}'
        event = decode_track_event(data)
        assert (event.track, event.payload, event.id) == ("t", {"a": 1}, "")


def test_an_event_without_an_id_is_refused() -> None:
    # It could not be told from another one, nor be read again.
    with pytest.raises(UnserializableMessageError, match="id: an event needs one"):
        encode_event(Event(HumanMessage("hi"), id=""))
