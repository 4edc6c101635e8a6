"""What JSON can't carry becomes plain data, in messages, state, tracks and events."""

from __future__ import annotations

import enum
import itertools
import json
import logging
import math
import re
import uuid
from collections import UserDict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.documents import Document
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
)
from pydantic import BaseModel, Field, SecretStr, field_serializer, model_serializer
from pydantic.dataclasses import dataclass as pydantic_dataclass
from pydantic_core import PydanticSerializationError

from langchain_redis_session._codec import plain_form
from langchain_redis_session._codec.conversions import Conversions
from langchain_redis_session._codec.events import decode_event, encode_event
from langchain_redis_session._codec.plain_form import type_name
from langchain_redis_session._codec.state_values import decode_state_value, encode_state_value
from langchain_redis_session._codec.tags import Tagger
from langchain_redis_session._codec.track_events import decode_track_event, encode_track_event
from langchain_redis_session.errors import UnserializableMessageError
from langchain_redis_session.models import Event, TrackEvent
from tests.effort import examples
from tests.unit.messages import VALUES, messages, same, same_message

THOROUGH = examples(100)


class Color(enum.Enum):
    RED = "red"


class Name(str, enum.Enum):
    ANN = "ann"


class Level(enum.IntEnum):
    HIGH = 1


class Pair(enum.Enum):
    BOTH = (1, b"\xff")


@dataclass
class Point:
    x: Any
    y: Any = 2


@pydantic_dataclass
class Place:
    at: date


class Address(BaseModel):
    city: str = Field(serialization_alias="town")
    level: Level = Level.HIGH


class Person(BaseModel):
    name: str
    born: date
    address: Address
    password: SecretStr
    anything: Any = None

    @field_serializer("name")
    def _shout(self, name: str) -> str:
        return name.upper()


class JsonOnly(BaseModel):
    at: datetime

    @field_serializer("at", when_used="json")
    def _to_year(self, at: datetime) -> int:
        return at.year


class Broken(BaseModel):
    a: Any

    @model_serializer
    def _fail(self) -> Any:
        raise ZeroDivisionError


class Mute:
    def __str__(self) -> str:
        raise ZeroDivisionError

    __repr__ = __str__


class Liar(Mute):
    @property
    def __class__(self) -> Any:
        raise ZeroDivisionError

    @__class__.setter
    def __class__(self, value: Any) -> None:
        raise ZeroDivisionError


class BadItems(UserDict):  # type: ignore[type-arg]
    def items(self) -> Any:
        raise ZeroDivisionError


class Text(str):
    pass


class Opaque:
    """An object of a kind that nobody thought of."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __str__(self) -> str:
        return self.value if isinstance(self.value, str) else "opaque"


class Dumps:
    """No model, though it looks like one."""

    def model_dump(self) -> Any:
        raise ZeroDivisionError

    def __str__(self) -> str:
        return "dumps"


def person(**changes: Any) -> Person:
    address = Address(city="Paris")
    return Person(
        **{
            "name": "ann",
            "born": date(2000, 1, 2),
            "address": address,
            "password": SecretStr("x"),
            **changes,
        }
    )


ANN = {
    "name": "ANN",
    "born": "2000-01-02",
    "address": {"town": "Paris", "level": 1},
    "password": "**********",
    "anything": None,
}
MOMENT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)

PLAIN_FORMS: dict[str, tuple[Any, Any]] = {
    "enum": (Color.RED, "red"),
    "text enum": (Name.ANN, "ann"),
    "number enum": (Level.HIGH, 1),
    "enum of bytes": (Pair.BOTH, [1, b"\xff"]),
    "dataclass": (Point(Point(1, {2}), b"x"), {"x": {"x": 1, "y": [2]}, "y": b"x"}),
    "pydantic dataclass": (Place(date(2026, 1, 2)), {"at": "2026-01-02"}),
    "model": (person(), ANN),
    "model with bytes": (person(anything=[b"\xff"]), {**ANN, "anything": [b"\xff"]}),
    "model with models": (person(anything={1: person()}), {**ANN, "anything": {"1": ANN}}),
    "model with an unknown": (person(anything=Fraction(1, 2)), {**ANN, "anything": "1/2"}),
    "serializer for JSON": (JsonOnly(at=MOMENT), {"at": 2026}),
    "broken model": (Broken(a=[Color.RED]), {"a": ["red"]}),
    "secret": (SecretStr("x"), "**********"),
    "document": (
        Document("text", metadata={"at": MOMENT}),
        {
            "id": None,
            "metadata": {"at": "2026-01-02T03:04:05Z"},
            "page_content": "text",
            "type": "Document",
        },
    ),
    "datetime": (MOMENT, "2026-01-02T03:04:05Z"),
    "date": (date(2026, 1, 2), "2026-01-02"),
    "timedelta": (timedelta(days=1), "P1D"),
    "uuid": (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    "decimal": (Decimal("1.10"), "1.10"),
    "path": (PurePosixPath("/a/b"), "/a/b"),
    "pattern": (re.compile("a+"), "a+"),
    "complex": (1j, "1j"),
    "set": ({3, 1, 2}, [1, 2, 3]),
    "set of texts": ({"b", "a"}, ["a", "b"]),
    "frozenset": (frozenset({"a"}), ["a"]),
    "deque": (deque([1, b"x"]), [1, b"x"]),
    "dict views": ([{1: 2}.keys(), {1: 2}.values(), {1: 2}.items()], [[1], [2], [[1, 2]]]),
    "mapping": (MappingProxyType({1: UserDict({"a": b"x"})}), {"1": {"a": b"x"}}),
    "bytes": ([b"", b"\x00\xff"], [b"", b"\x00\xff"]),
    "bytearray": (bytearray(b"x"), b"x"),
    "memoryview": (memoryview(b"abcd")[::2], b"ac"),
    "numpy int": (np.int64(3), 3),
    "numpy float": (np.float32(1.5), 1.5),
    "numpy bool": (np.bool_(True), True),
    "numpy text": (np.str_("x"), "x"),
    "numpy array": (np.arange(4).reshape(2, 2), [[0, 1], [2, 3]]),
    "numpy dates": (np.array([np.datetime64("2026-01-02")]), ["2026-01-02"]),
    "numpy objects": (np.array([Color.RED, b"x"], dtype=object), ["red", b"x"]),
    "numpy long double": (np.longdouble("1.5"), "1.5"),
    "numpy key": ({np.int64(1): 2}, {"1": 2}),
    "keys": (
        {1: "a", None: "b", 2.5: "c", Color.RED: "d", (1, 2): "e", b"k": "f", Name.ANN: "g"},
        {"1": "a", "None": "b", "2.5": "c", "red": "d", "1,2": "e", "k": "f", "ann": "g"},
    ),
    "keys that become equal": (
        {1: "a", "1": "b", Decimal(1): "d", "1 (int)": "e"},
        {"1 (int) 2": "a", "1": "b", "1 (int)": "e"},
    ),
    "key that is no text": ({Text("a"): {1}}, {"a": [1]}),
    "unknown": (Fraction(1, 2), "1/2"),
    "error": (ValueError("no"), "no"),
    "class": (Point, f"<class '{__name__}.Point'>"),
    "looks like a model": (Dumps(), "dumps"),
    "no text": (Mute(), f"<{__name__}.Mute>"),
    "lies about its class": (Liar(), f"<{__name__}.Liar>"),
    "broken mapping": ([BadItems({1: 2})], ["{1: 2}"]),
    "tag of ours": ({"$lc": {"$lc": {1}}}, {"$lc": {"$lc": [1]}}),
    "NaN beside": ([math.nan, {math.inf}], [math.nan, [math.inf]]),
    "integers beside": ([2**70, 10**5000, {1}], [2**70, 10**5000, [1]]),
    "surrogates beside": (
        ["\ud800", "\ud83d\ude00", {"\udfff"}],
        ["\ud800", "\ud83d\ude00", ["\udfff"]],
    ),
}
# Decimal(1) == 1: one key, whose value is the later one's.
PLAIN_FORMS["keys that become equal"][1]["1 (int) 2"] = "d"

each_form = pytest.mark.parametrize(
    ("value", "plain"), PLAIN_FORMS.values(), ids=PLAIN_FORMS.keys()
)


def store(event: Event, conversions: Conversions | None = None) -> Event:
    data = encode_event(event, conversions=conversions or Conversions())
    json.loads(data.decode(), parse_constant=pytest.fail)
    return decode_event(data)


def read(message: BaseMessage, conversions: Conversions | None = None) -> Any:
    return store(Event(message, id="e", time_ns=0), conversions).message


def in_state(value: Any) -> Any:
    data = encode_state_value({"in": value}, "state['k']", Conversions())
    json.loads(data.decode(), parse_constant=pytest.fail)
    return decode_state_value(data)["in"]


def in_payload(value: Any) -> Any:
    data = encode_track_event(TrackEvent("t", {"in": value}), Conversions())
    json.loads(data.decode(), parse_constant=pytest.fail)
    return decode_track_event(data).payload["in"]


PLACES: dict[str, Callable[[Any], Any]] = {
    "content": lambda v: read(HumanMessage([{"type": "text", "text": "x", "in": v}])).content[0][
        "in"
    ],
    "args": lambda v: read(
        AIMessage("", tool_calls=[{"name": "f", "args": {"in": v}, "id": "c"}])
    ).tool_calls[0]["args"]["in"],
    "artifact": lambda v: read(ToolMessage("x", tool_call_id="c", artifact={"in": v})).artifact[
        "in"
    ],
    "additional_kwargs": lambda v: read(
        AIMessage("x", additional_kwargs={"in": v})
    ).additional_kwargs["in"],
    "response_metadata": lambda v: read(
        AIMessage("x", response_metadata={"in": v})
    ).response_metadata["in"],
    "usage": lambda v: read(
        AIMessage("x").model_copy(update={"usage_metadata": {"input_tokens": 1, "in": v}})
    ).usage_metadata["in"],
    "extra field": lambda v: read(SystemMessage("x", own={"in": v})).own["in"],
    "state": in_state,
    "state delta": lambda v: store(Event(state_delta={"k": {"in": v}}, id="e")).state_delta["k"][
        "in"
    ],
    "payload": in_payload,
    "extensions": lambda v: store(Event(extensions={"x": {"in": v}}, id="e")).extensions["x"]["in"],
    "extra": lambda v: store(Event(extra={"x": {"in": v}}, id="e")).extra["x"]["in"],
}
each_place = pytest.mark.parametrize("convert", PLACES.values(), ids=PLACES.keys())


@each_place
@each_form
def test_a_value_is_given_its_plain_form_once(
    convert: Callable[[Any], Any], value: Any, plain: Any
) -> None:
    result = convert(value)
    assert same(result, plain), result
    assert same(convert(result), result)


@each_place
def test_random_text_of_an_object(convert: Callable[[Any], Any]) -> None:
    assert convert(object()).startswith("<object object at 0x")


@each_place
def test_an_object_whose_class_hides_its_name(convert: Callable[[Any], Any]) -> None:
    class Hiding(type):
        def __getattribute__(cls, name: str) -> Any:
            if name == "__module__":
                raise ValueError
            return super().__getattribute__(name)

    class Hidden(metaclass=Hiding):
        def __str__(self) -> str:
            return "x"

    assert convert(Hidden()) == "x"


# What has no end, or is not what it seems


def cycle() -> Any:
    value: dict[str, Any] = {"a": 1}
    value["self"] = [value]
    return value


def nested(depth: int, leaf: Any = None) -> Any:
    value: Any = [] if leaf is None else leaf
    for _ in range(depth):
        value = [value]
    return value


def shared(count: int) -> Any:
    value: Any = []
    for _ in range(count):
        value = [value, value]
    return value


@each_place
def test_a_cycle_is_cut(convert: Callable[[Any], Any]) -> None:
    assert convert(cycle()) == {"a": 1, "self": ["{...}"]}
    point = Point(1)
    point.x = [point]
    assert convert(point) == {"x": ["[...]"], "y": 2}
    broken = Broken(a=1)
    broken.a = {"again": broken}
    assert convert(broken) == {"a": {"again": "[...]"}}
    person_of_itself = person()
    person_of_itself.anything = [person_of_itself]
    assert str(convert(person_of_itself)).count("[...]") == 1


@each_place
def test_values_nested_too_deep_are_cut(convert: Callable[[Any], Any]) -> None:
    result = convert(nested(100_000))
    depth = 0
    while type(result) is list:
        (result,) = result
        depth += 1
    assert result == "[...]"
    assert 110 < depth <= 120


@pytest.mark.parametrize("place", ["artifact", "state"])
def test_the_same_lists_in_very_many_places(place: str) -> None:
    result = PLACES[place](shared(60))
    count, waiting = 0, [result]
    while waiting:
        value = waiting.pop()
        count += 1
        if type(value) is list:
            waiting += value
        else:
            assert value == "[...]"
    assert count < 1_000_000


def test_much_data_that_repeats_nothing_stays_whole() -> None:
    value = {"plain": list(range(200_000)), "lists": [[n] for n in range(100_000)], "odd": {1}}
    assert PLACES["artifact"](value) == {**value, "odd": [1]}


def test_an_iterator_is_not_read() -> None:
    numbers = iter(range(3))
    generator = (n for n in numbers)
    assert "generator" in PLACES["artifact"](generator)
    assert list(generator) == [0, 1, 2]


def test_an_array_larger_than_any_event_is_not_written_out() -> None:
    value = np.broadcast_to(np.int8(0), (10**6, 10**6))
    assert "..." in PLACES["artifact"](value)


def test_a_long_text_is_cut() -> None:
    class Long:
        def __str__(self) -> str:
            return "x" * 1_000_000

    assert PLACES["artifact"](Long()) == "x" * 100_000 + "…"


def test_many_keys_that_become_equal() -> None:
    class Key:
        def __str__(self) -> str:
            return "k"

    value = {Key(): n for n in range(20_000)}
    assert sorted(PLACES["artifact"](value).values()) == list(range(20_000))


def test_names_that_are_taken_are_not_tried_for_each_key_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Key:
        def __str__(self) -> str:
            return "k"

    tried: list[int] = []

    def count(start: int) -> Iterator[int]:
        for number in itertools.count(start):
            tried.append(number)
            yield number

    monkeypatch.setattr(plain_form, "count", count)
    second = f"k ({type_name(Key())})"
    taken = ["k", second, *(f"{second} {n}" for n in range(1000, 3000))]
    value: dict[Any, Any] = {**dict.fromkeys(taken), **{Key(): n for n in range(1000)}}
    assert len(PLACES["artifact"](value)) == len(value)
    assert 1000 <= len(tried) <= 3000


class SoftTimeLimit(Exception):
    """What a signal's handler raises, wherever the program is."""


class Alarm:
    """Raises it in the n-th of the calls that it is told of."""

    def __init__(self, place: int) -> None:
        self.place, self.calls = place, 0

    def ring(self) -> None:
        self.calls += 1
        if self.calls == self.place:
            raise SoftTimeLimit


def make_values(alarm: Alarm) -> dict[str, Any]:
    """Give values whose classes run code when they are stored, all of which tell the alarm."""

    class Shown:
        def __str__(self) -> str:
            alarm.ring()
            return "shown"

    class Items(UserDict):  # type: ignore[type-arg]
        def items(self) -> Any:
            alarm.ring()
            return super().items()

    class Ordered(int):
        def __lt__(self, other: object) -> bool:
            alarm.ring()
            return False

    class Model(BaseModel):
        name: str = "x"

        @model_serializer
        def serialize(self) -> dict[str, Any]:
            alarm.ring()
            return {"name": self.name}

    class Row(list):  # type: ignore[type-arg]
        def __iter__(self) -> Iterator[Any]:
            alarm.ring()
            return super().__iter__()

    return {
        "text": Shown(),
        "mapping": Items({"a": 1}),
        "set": {Ordered(1), Ordered(2)},
        "model": Model(),
        "key": {Shown(): 1},
        "list": [Row([1]), {2}],
    }


@pytest.mark.parametrize("name", make_values(Alarm(0)))
@each_place
def test_what_a_signal_raises_while_a_value_is_converted_goes_on(
    convert: Callable[[Any], Any], name: str
) -> None:
    quiet = Alarm(0)
    plain = convert(make_values(quiet)[name])
    assert quiet.calls
    for place in range(1, quiet.calls + 1):
        # pydantic tells of what a serializer raises in an error of its own.
        with pytest.raises((SoftTimeLimit, PydanticSerializationError)):
            convert(make_values(Alarm(place))[name])
    assert convert(make_values(Alarm(0))[name]) == plain


# Fields with a type of their own


TWICE = {"name": "f", "args": {}, "id": "c", "type": "tool_call"}


@pytest.mark.parametrize(
    ("message", "update", "expected"),
    [
        (HumanMessage("x"), {"content": None}, HumanMessage("")),
        (HumanMessage("x"), {"content": Name.ANN}, HumanMessage("ann")),
        (
            HumanMessage("x"),
            {"content": [1, Name.ANN, Point(1)]},
            HumanMessage(["1", "ann", {"x": 1, "y": 2}]),
        ),
        (HumanMessage("x"), {"content": ("a", {"b": 1})}, HumanMessage(["a", {"b": 1}])),
        (HumanMessage("x"), {"content": {"type": "text"}}, HumanMessage([{"type": "text"}])),
        (HumanMessage("x"), {"content": 5}, HumanMessage("5")),
        (HumanMessage("x"), {"content": Fraction(1, 2)}, HumanMessage("1/2")),
        (HumanMessage("x"), {"additional_kwargs": None}, HumanMessage("x")),
        (
            HumanMessage("x"),
            {"additional_kwargs": Point(1)},
            HumanMessage("x", additional_kwargs={"x": 1, "y": 2}),
        ),
        (
            HumanMessage("x"),
            {"response_metadata": [1]},
            HumanMessage("x", response_metadata={"value": [1]}),
        ),
        (HumanMessage("x"), {"id": 5}, HumanMessage("x", id="5")),
        (HumanMessage("x"), {"id": Name.ANN}, HumanMessage("x", id="ann")),
        (HumanMessage("x"), {"id": uuid.UUID(int=0)}, HumanMessage("x", id=str(uuid.UUID(int=0)))),
        (HumanMessage("x"), {"id": 10**5000}, HumanMessage("x", id="<int>")),
        (HumanMessage("x"), {"name": {"a": 1}}, HumanMessage("x", name='{"a":1}')),
        (
            ChatMessage(content="x", role="user"),
            {"role": Name.ANN},
            ChatMessage(content="x", role="ann"),
        ),
        (
            FunctionMessage(content="x", name="f"),
            {"name": None},
            FunctionMessage(content="x", name=""),
        ),
        (
            ToolMessage("x", tool_call_id="c"),
            {"status": "odd"},
            ToolMessage("x", tool_call_id="c", status="error"),
        ),
        (
            ToolMessage("x", tool_call_id="c"),
            {"tool_call_id": None},
            ToolMessage("x", tool_call_id=""),
        ),
        (
            ToolMessage("x", tool_call_id="c"),
            {"tool_call_id": 7},
            ToolMessage("x", tool_call_id="7"),
        ),
        (AIMessage("x"), {"tool_calls": None}, AIMessage("x")),
        (AIMessage("x"), {"tool_calls": ({**TWICE},)}, AIMessage("x", tool_calls=[TWICE])),
        (AIMessage("x"), {"usage_metadata": {"input_token_details": None}}, None),
        (AIMessage("x"), {"usage_metadata": 3}, None),
    ],
)
def test_field_of_a_wrong_type(message: BaseMessage, update: Any, expected: Any) -> None:
    changed = message.model_copy(update=update)
    result = read(changed)
    if expected is not None:
        assert same_message(result, expected)
    assert same_message(read(result), result)


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ({"name": "f"}, {"name": "f", "args": {}, "id": None}),
        (
            {"name": Name.ANN, "args": Point(1), "id": 3},
            {"name": "ann", "args": {"x": 1, "y": 2}, "id": "3"},
        ),
        ({"name": "f", "args": [1], "id": "c"}, {"name": "f", "args": {"value": [1]}, "id": "c"}),
        ("f()", {"name": "", "args": {"value": "f()"}, "id": None}),
    ],
)
def test_tool_call_of_a_wrong_form(call: Any, expected: Any) -> None:
    (result,) = read(AIMessage("x").model_copy(update={"tool_calls": [call]})).tool_calls
    result.pop("type", None)
    assert result == expected
    changed = AIMessage("x").model_copy(update={"invalid_tool_calls": [call]})
    assert len(read(changed).invalid_tool_calls) == 1


def test_field_that_is_gone() -> None:
    message = HumanMessage("x", id="m")
    del message.__dict__["id"]
    del message.__dict__["response_metadata"]
    assert same_message(read(message), HumanMessage("x"))


def test_a_message_that_was_made_without_its_constructor() -> None:
    assert read(AIMessage.model_construct(content="x", tool_calls=None)) == AIMessage("x")


# What Go, and what a reader without tags, sees


def test_bytes_and_texts_stand_under_tags() -> None:
    kwargs = {"raw": b"\x00\xff", "unknown": Opaque("1/2")}
    event = Event(HumanMessage("x", additional_kwargs=kwargs), id="e", time_ns=0)
    document = json.loads(encode_event(event, conversions=Conversions()))
    assert document["extensions"]["langchain"]["data"]["additional_kwargs"] == {
        "raw": {"$lc": ["bytes", "AP8="]},
        "unknown": {"$lc": ["text", f"{__name__}.Opaque", "1/2"]},
    }


def test_go_sees_arguments_without_tags() -> None:
    args = {"raw": b"\xff", "at": MOMENT, "unknown": Fraction(1, 2), "nan": math.nan}
    event = Event(AIMessage("", tool_calls=[{"name": "f", "args": args, "id": "c"}]), id="e")
    document = json.loads(encode_event(event, conversions=Conversions()))
    (call,) = document["choices"][0]["message"]["tool_calls"]
    assert json.loads(call["function"]["arguments"]) == {
        "raw": "/w==",
        "at": "2026-01-02T03:04:05Z",
        "unknown": "1/2",
        "nan": None,
    }


def test_members_of_gos_events_hold_no_tags() -> None:
    choice = {"finish_reason": b"stop", "delta": {"content": Fraction(1, 2)}}
    event = Event(HumanMessage("x"), extra={"choices": [choice]}, id="e", time_ns=0)
    document = json.loads(encode_event(event, conversions=Conversions()))
    (written,) = document["choices"]
    assert (written["finish_reason"], written["delta"]) == ("c3RvcA==", {"content": "1/2"})


@pytest.mark.parametrize(
    "value",
    [
        {"$lc": ["bytes", "no base64"]},
        {"$lc": ["bytes", 5]},
        {"$lc": ["text", "T"]},
        {"$lc": ["text", "T", 5]},
        {"$lc": ["content", 0, 5]},
        {"$lc": ["of the future", 1]},
        {"$lc": 1, "other": 2},
    ],
)
def test_what_others_wrote_and_looks_like_a_tag_stays(value: Any) -> None:
    value = {"a": [value]}
    assert decode_state_value(json.dumps(value).encode()) == value
    data = json.dumps({"id": "t", "track": "t", "payload": value}).encode()
    assert decode_track_event(data).payload == value
    data = json.dumps({"id": "e", "extensions": {"x": value}, "own": value}).encode()
    event = decode_event(data)
    assert (event.extensions, event.extra) == ({"x": value}, {"own": value})


# What is said of it


def test_the_log_tells_of_each_type_and_place_once(caplog: pytest.LogCaptureFixture) -> None:
    conversions = Conversions()

    def texts(*values: Any) -> list[str]:
        caplog.clear()
        for value in values:
            read(HumanMessage([{"in": value}, {"in": value}], id="m"), conversions)
        return [record.getMessage().split(", which")[0] for record in caplog.records]

    with caplog.at_level(logging.WARNING, "langchain_redis_session"):
        assert texts({1}, {2}) == ["message.content[]['in'] holds a set"]
        assert texts({3}, {"secret key %s": {4}}) == ["message.content[]['in'][…] holds a set"]
        paris = Address(city="Paris")
        assert texts(paris, paris) == [f"message.content[]['in'] holds a {__name__}.Address"]
        assert texts(Point(Opaque("1/2"))) == [
            f"message.content[]['in']['x'] holds a {__name__}.Opaque",
            f"message.content[]['in'] holds a {__name__}.Point",
        ]
        # What is as exact as before needs no word.
        assert texts(b"x", math.nan, (1,), 2**70, Text("x")) == []
    assert conversions.count == 16


def test_what_was_said_takes_bounded_memory(caplog: pytest.LogCaptureFixture) -> None:
    conversions = Conversions()
    with caplog.at_level(logging.WARNING, "langchain_redis_session"):
        for number in range(1100):
            encode_state_value({f"k{number}": {1}}, "state", conversions)
    assert len(caplog.records) == 1000
    assert conversions.count == 1100


def test_nothing_is_said_where_nothing_is_converted(caplog: pytest.LogCaptureFixture) -> None:
    conversions = Conversions()
    message = AIMessage("x", additional_kwargs={"a": (1, math.nan)}, id="m")
    assert same(read(message, conversions).additional_kwargs, {"a": [1, math.nan]})
    assert (conversions.count, caplog.records) == (0, [])


def test_nothing_converts_an_instruction() -> None:
    with pytest.raises(UnserializableMessageError, match="RemoveMessage is an instruction"):
        read(RemoveMessage("m1"))


# Any object anywhere


class AnyModel(BaseModel):
    value: Any
    raw: bytes = b"\xff"


@dataclass
class AnyDataclass:
    value: Any
    others: list[Any] = field(default_factory=list)


def _iterate(value: Any) -> Iterator[Any]:
    yield value


LEAVES: st.SearchStrategy[Any] = st.one_of(
    VALUES,
    st.binary(max_size=5),
    st.binary(max_size=5).map(bytearray),
    st.datetimes(),
    st.timedeltas(),
    st.uuids(),
    st.decimals(),
    st.fractions(),
    st.complex_numbers(),
    st.sampled_from([*Color, *Name, *Level, *Pair, Color, Dumps(), print, ..., cycle()]),
    st.integers(-(2**63), 2**63 - 1).map(np.int64),
    st.floats(width=32).map(np.float32),
)
HASHABLE = st.one_of(
    st.integers(),
    st.text(max_size=3),
    st.binary(max_size=3),
    st.none(),
    st.uuids(),
    st.booleans(),
    st.sampled_from([*Color, *Name, *Level]),
    st.floats(),
    st.builds(object),
)
OBJECTS: st.SearchStrategy[Any] = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(HASHABLE, inner, max_size=3),
        st.sets(HASHABLE, max_size=3),
        st.builds(Opaque, inner),
        st.builds(AnyModel, value=inner),
        st.builds(AnyDataclass, inner),
        st.lists(inner, max_size=3).map(deque),
        st.dictionaries(st.text(max_size=2), inner, max_size=2).map(MappingProxyType),
        st.builds(_iterate, inner),
    ),
    max_leaves=10,
)


def is_plain_data(value: Any) -> bool:
    if type(value) is dict:
        return all(type(key) is str and is_plain_data(item) for key, item in value.items())
    if type(value) is list:
        return all(map(is_plain_data, value))
    return type(value) in (str, int, float, bool, bytes, type(None))


@THOROUGH
@given(OBJECTS)
def test_any_object_becomes_plain_data_and_stays(value: Any) -> None:
    result = in_state(value)
    assert is_plain_data(result)
    assert same(in_state(result), result)
    assert same(in_payload(result), result)


@THOROUGH
@given(messages(), st.dictionaries(st.text(max_size=3), OBJECTS, max_size=2), st.data())
def test_any_object_in_a_message(message: BaseMessage, objects: Any, data: st.DataObject) -> None:
    update: dict[str, Any] = {}
    for name in data.draw(
        st.lists(st.sampled_from(sorted(type(message).model_fields)), max_size=3)
    ):
        if name != "type":
            update[name] = data.draw(OBJECTS | st.just(objects) | st.just([objects]))
    changed = message.model_copy(update={"own": objects, **update})
    before = repr(sorted(changed.__dict__)), changed.__pydantic_extra__
    result = read(changed)
    assert (repr(sorted(changed.__dict__)), changed.__pydantic_extra__) == before
    assert is_plain_data(result.__dict__)
    assert is_plain_data(result.__pydantic_extra__)
    assert same_message(read(result), result)


@THOROUGH
@given(messages())
def test_what_was_lossless_is_not_converted(message: BaseMessage) -> None:
    event = Event(message, id="e", time_ns=0)
    conversions = Conversions()
    assert encode_event(event, conversions=conversions) == encode_event(event)
    assert conversions.count == 0


def test_tags_of_marks_are_exact() -> None:
    # What a text under a tag holds may need a tag itself.
    value = PLACES["artifact"](Opaque("\ud800" * 50))
    assert value == "\ud800" * 50
    assert Tagger().copy({"a": 1}, "x") == {"a": 1}
