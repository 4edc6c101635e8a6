"""Timing of contenders that take turns, so that a busy moment of the machine hits all alike."""

from __future__ import annotations

import asyncio
import gc
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

Repeat = Callable[[int], None]
"""Does something so many times."""


@dataclass(frozen=True)
class Contender:
    """One of those that are compared: what it does, and how often in a round."""

    repeat: Repeat
    calls: int


@dataclass(frozen=True)
class Timing:
    """Microseconds per call, one figure per round."""

    rounds: Sequence[float]

    @property
    def median(self) -> float:
        return statistics.median(self.rounds)


@dataclass(frozen=True)
class Spread:
    """How two contenders compare, in other ways than by their medians.

    Attributes:
        low: A quarter of the rounds had a lower ratio.
        high: A quarter of the rounds had a higher one.
        best: The ratio of their best rounds, which a busy machine changes least.
    """

    low: float
    high: float
    best: float


def repeat_sync(call: Callable[[], object]) -> Repeat:
    """Repeat a function."""

    def repeat(times: int) -> None:
        for _ in range(times):
            call()

    return repeat


def repeat_async(loop: asyncio.AbstractEventLoop, call: Callable[[], Awaitable[object]]) -> Repeat:
    """Repeat a coroutine function, one call after the other, within one run of the loop."""

    async def run(times: int) -> None:
        for _ in range(times):
            await call()

    return lambda times: loop.run_until_complete(run(times))


def measure(contenders: Sequence[Contender], rounds: int) -> list[Timing]:
    """Let each do its calls once per round; nobody is always the first of a round."""
    for contender in contenders:
        contender.repeat(max(1, contender.calls // 10))
    timings: list[list[float]] = [[] for _ in contenders]
    with _no_old_garbage():
        for number in range(rounds):
            for step in range(len(contenders)):
                place = (number + step) % len(contenders)
                contender = contenders[place]
                gc.collect()
                start = time.perf_counter()
                contender.repeat(contender.calls)
                seconds = time.perf_counter() - start
                timings[place].append(seconds / contender.calls * 1e6)
    return [Timing(values) for values in timings]


@contextmanager
def _no_old_garbage() -> Iterator[None]:
    # What was there before is no garbage; looking through it is the cost of no contender.
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def compare_rounds(timing: Timing, other: Timing) -> Spread:
    """How the ratio of two contenders varied over the same rounds."""
    ratios = [a / b for a, b in zip(timing.rounds, other.rounds, strict=True)]
    low, _, high = statistics.quantiles(ratios, n=4, method="inclusive")
    return Spread(low, high, min(timing.rounds) / min(other.rounds))
