"""Whatever decoding raises says that the bytes are corrupt, but for what comes from outside."""

from __future__ import annotations

from itertools import count

import pytest

from langchain_redis_session import CorruptEventError
from langchain_redis_session._codec.corruption import decoder


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
