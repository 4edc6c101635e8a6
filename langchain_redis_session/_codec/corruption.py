"""What readers may expect of decoding: a value, or a `CorruptEventError`, whatever stood in Redis.

Bytes in Redis are anybody's. What reads them has too many ways to fail to list them (a time that
no calendar has, a number of more digits than Python reads, nesting that the next parser refuses),
and one entry that fails otherwise than expected would hide all its neighbours. So every function
that decodes is a `decoder`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from langchain_redis_session.errors import CorruptEventError, fails_again, shorten

P = ParamSpec("P")
T = TypeVar("T")


def decoder(what: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Let a function raise nothing but `CorruptEventError`, which says that `what` is corrupt.

    What a signal's handler raises meanwhile (a soft time limit, say) is no fault of the bytes:
    they are decoded once more, and where that goes well, it goes on to the caller.

    >>> @decoder("a number")
    ... def read(data: bytes) -> int:
    ...     return int(data)
    >>> read(b"x")
    Traceback (most recent call last):
    langchain_redis_session.errors.CorruptEventError: a number can't be read: ValueError("invalid \
literal for int() with base 10: b'x'")
    """

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        @wraps(function)
        def decode(*args: P.args, **kwargs: P.kwargs) -> T:
            try:
                return function(*args, **kwargs)
            except CorruptEventError:
                raise
            except RecursionError:
                raise CorruptEventError(f"{what} is nested too deep to be read") from None
            except Exception as error:
                if not fails_again(error, function, *args, **kwargs):
                    raise
                raise CorruptEventError(f"{what} can't be read: {shorten(error, 100)}") from error

        return decode

    return decorate


SMALL_BYTES = 4096
"""An entry up to that size becomes much by references only."""
_FEW_TAGS = 4
_MOST_TIMES = 32
_FREE_BYTES = 1024 * 1024
_OLD_DICT_BYTES = max(0, sys.getsizeof({"": 0}) - 184)
"""What Python 3.10 needs beyond later ones, so that all read the same."""
_LARGE_BYTES = 32 * 1024


class Allowance:
    """How much memory what is made of an entry may take: 32 times its size, or 1 MiB.

    Nobody's few bytes become gigabytes. What is taken is about right: containers as large as
    this Python makes them, and for the rest what there is at most.
    """

    def __init__(self, data: bytes) -> None:
        self._size = len(data)
        self._left = self._most = max(_MOST_TIMES * len(data), _FREE_BYTES)

    def take(self, size: int) -> None:
        """Take note of memory that is needed.

        Raises:
            CorruptEventError: That is more than there is.
        """
        self._left -= size
        if self._left < 0:
            raise CorruptEventError(
                f"an entry of {self._size:,} bytes would take over {self._most:,} when it is read"
            )


def measure_containers(value: dict[str, Any] | list[Any]) -> int:
    """The memory that parsed JSON takes, but for its texts and numbers."""
    size, containers = 0, [value]
    for container in containers:  # it grows on the way
        size += sys.getsizeof(container)
        if type(container) is dict and container:
            size -= _OLD_DICT_BYTES
        for item in container.values() if type(container) is dict else container:
            if type(item) is dict or type(item) is list:
                containers.append(item)
    return size


def allow(document: Any, data: bytes, *, tags: int = 0) -> Allowance | None:
    """What the decoding of a parsed entry may still take; None where it can't be much.

    A small one becomes much by references only, which are tags, and by many of them.

    Raises:
        CorruptEventError: It is more already.
    """
    is_small = len(data) <= SMALL_BYTES
    if is_small and tags <= _FEW_TAGS:
        return None
    allowance = Allowance(data)
    if not is_small:
        allowance.take(measure_containers(document))
    return allowance


def is_dense(data: bytes) -> bool:
    """Whether an entry holds so many containers that it might be refused when it is read.

    >>> is_dense(b'{"a":"' + b"x" * 100_000 + b'"}'), is_dense(b"[" * 100_000 + b"]" * 100_000)
    (False, True)
    """
    if len(data) <= _LARGE_BYTES:
        return False
    return 192 * data.count(b"{") + 64 * data.count(b"[") > _MOST_TIMES // 2 * len(data)
