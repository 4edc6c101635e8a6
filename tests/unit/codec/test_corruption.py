"""Whatever decoding raises says that the bytes are corrupt, but for what comes from outside."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from itertools import count

import pytest

from langchain_redis_session import CorruptEventError
from langchain_redis_session._codec.corruption import decoder
from langchain_redis_session._codec.events import decode_event
from langchain_redis_session._codec.session_record import parse_record
from langchain_redis_session._codec.summary_record import parse_summary


class SoftTimeLimit(Exception):
    """What a signal's handler raises, wherever the program is."""


def test_what_a_signal_raises_is_no_fault_of_the_bytes() -> None:
    signals = [SoftTimeLimit()]

    @decoder("a number")
    def read(data: bytes) -> int:
        number = int(data)
        if signals:
            raise signals.pop()
        return number

    with pytest.raises(SoftTimeLimit):
        read(b"1")
    assert read(b"1") == 1


@pytest.mark.parametrize("place", [1, 2])
def test_what_a_signal_raises_while_broken_bytes_are_read_goes_on(place: int) -> None:
    calls = count(1)

    @decoder("a number")
    def read(data: bytes) -> int:
        if next(calls) == place:
            raise SoftTimeLimit
        return int(data)

    with pytest.raises(SoftTimeLimit):
        read(b"x")
    with pytest.raises(CorruptEventError):
        read(b"x")


def test_whatever_the_bytes_raise_says_that_they_are_corrupt() -> None:
    @decoder("a number")
    def read(data: bytes) -> int:
        raise SoftTimeLimit(data)

    with pytest.raises(CorruptEventError, match="a number can't be read: SoftTimeLimit"):
        read(b"1")


DEEP = b"[" * 5000 + b"]" * 5000


@pytest.mark.parametrize(
    ("read", "data"),
    [
        (decode_event, b'{"id":"e","x":' + DEEP + b"}"),
        (decode_event, b'{"id":"e","\\"[":"]","n":' + b"9" * 30 + b',"x":' + DEEP + b"}"),
        (partial(parse_summary, filter_key=""), b'{"summary":"s","x":' + DEEP + b"}"),
        (partial(parse_summary, filter_key=""), DEEP[:5000]),
    ],
    ids=["event", "event with a large number", "summary", "summary that is cut"],
)
def test_what_is_nested_deep_takes_nobody_to_the_limit_of_recursion(
    monkeypatch: pytest.MonkeyPatch, read: Callable[[bytes], object], data: bytes
) -> None:
    """Finalizers that the garbage collector calls there would fail."""
    monkeypatch.setattr(json.JSONDecoder, "decode", lambda *_: pytest.fail("it is parsed"))
    with pytest.raises(CorruptEventError):
        read(data)


def test_a_record_that_is_nested_deep_is_not_readable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json.JSONDecoder, "decode", lambda *_: pytest.fail("it is parsed"))
    assert not parse_record(b'{"x":' + DEEP + b"}").is_readable
