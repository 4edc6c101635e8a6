"""State values: JSON, or whatever bytes somebody stored."""

from __future__ import annotations

import enum
import json
import math
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_redis_session._codec.state_values import decode_state_value, encode_state_value
from langchain_redis_session.errors import UnserializableMessageError
from tests.unit.messages import TEXTS, VALUES, outcome, same


@given(VALUES)
def test_comes_back_equal_or_is_refused(value: Any) -> None:
    data, error = outcome(encode_state_value, value, "state['k']", error=UnserializableMessageError)
    if error:
        assert error.startswith("state['k']")
        assert "surrogates" in error or "nan" in error or "inf" in error
    else:
        data.decode()  # valid UTF-8
        assert same(decode_state_value(data), value)


@given(st.binary())
def test_bytes_stay_or_are_json(value: bytes) -> None:
    assert encode_state_value(value, "k") == value
    result = decode_state_value(value)
    if result != value:
        assert same(result, json.loads(value.decode()))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"NaN",
        b"-Infinity",
        b"[1",
        b"\xff",
        b"\xef\xbb\xbf1",
        b"1\x00",  # JSON in UTF-16, to the json module
        b"[" * 100_000 + b"]" * 100_000,
        b"1" * 10_000,
        b"'a'",
    ],
    ids=lambda data: repr(data[:8]),
)
def test_bytes_that_are_not_json_come_back(data: bytes) -> None:
    assert decode_state_value(data) == data


@pytest.mark.parametrize(
    ("value", "data"),
    [
        ({"a": [1, 2.5, None, True]}, b'{"a":[1,2.5,null,true]}'),
        ("東京", '"東京"'.encode()),
        ("\ud800", b'"\\ud800"'),
        ("\\\ud800", b'"\\\\\\ud800"'),
        (2**80, str(2**80).encode()),
        ((1, (2,)), b"[1,[2]]"),
        (b"raw \xff", b"raw \xff"),
        (None, b"null"),
        (-0.0, b"-0.0"),
    ],
)
def test_bytes_are_compact_json(value: Any, data: bytes) -> None:
    assert encode_state_value(value, "k") == data


class Color(enum.Enum):
    RED = "red"


class Name(str, enum.Enum):
    ANN = "ann"


CYCLE: list[Any] = []
CYCLE.append(CYCLE)


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"a": [1, {2}]}, "state['k']['a'][1]: set"),
        ({"a": b"x"}, "state['k']['a']: bytes"),
        (datetime(2026, 1, 1), "state['k']: datetime"),
        (Color.RED, "state['k']: Color"),
        (Name.ANN, "state['k']: Name"),
        ({1: 2}, "state['k']: the key 1 "),
        (math.nan, "state['k']: nan"),
        ([math.inf], "state['k'][0]: inf"),
        ("\ud83d\ude00", "state['k']: "),
        (10**5000, "state['k']: an integer"),
        (bytearray(b"x"), "state['k']: bytearray"),
        (CYCLE, "state['k'][0]"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_refuses_with_the_path(value: Any, path: str) -> None:
    with pytest.raises(UnserializableMessageError) as caught:
        encode_state_value(value, "state['k']")
    assert str(caught.value).startswith(path)


@given(TEXTS)
def test_hint_for_split_characters_works(value: str) -> None:
    repaired = value.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
    assert decode_state_value(encode_state_value(repaired, "k")) == repaired
