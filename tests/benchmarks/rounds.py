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
    """What a contender took, in microseconds per call.

    Attributes:
        rounds: One figure per round.
        cpu_us: Of them, what this process worked, all its threads together.
        server_us: What the server worked meanwhile; None where nobody asked.
    """

    rounds: Sequence[float]
    cpu_us: float = 0
    server_us: float | None = None

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


def measure(
    contenders: Sequence[Contender],
    rounds: int,
    *,
    server_cpu_us: Callable[[], float] | None = None,
) -> list[Timing]:
    """Let each do its calls once per round; nobody is always the first of a round.

    Args:
        contenders: Who is compared.
        rounds: How often each has its turn.
        server_cpu_us: Tells how long the server has worked until now.
    """
    for contender in contenders:
        contender.repeat(max(1, contender.calls // 10))
    tell_us = server_cpu_us or float
    asking_us = min(-(tell_us() - tell_us()) for _ in range(5))
    timings: list[list[float]] = [[] for _ in contenders]
    cpu_us, server_us = [0.0] * len(contenders), [0.0] * len(contenders)
    with _no_old_garbage():
        for number in range(rounds):
            for step in range(len(contenders)):
                place = (number + step) % len(contenders)
                contender = contenders[place]
                gc.collect()
                server_before_us, cpu_before_s = tell_us(), time.process_time()
                start = time.perf_counter()
                contender.repeat(contender.calls)
                seconds = time.perf_counter() - start
                cpu_us[place] += (time.process_time() - cpu_before_s) * 1e6
                server_us[place] += max(0, tell_us() - server_before_us - asking_us)
                timings[place].append(seconds / contender.calls * 1e6)
    return [
        Timing(
            values,
            cpu_us[place] / rounds / contenders[place].calls,
            server_us[place] / rounds / contenders[place].calls if server_cpu_us else None,
        )
        for place, values in enumerate(timings)
    ]


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
