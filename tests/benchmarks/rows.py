"""What is measured, and the goals that were set."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import count
from typing import Any

import redis
import redis.asyncio
from langchain_core.messages import BaseMessage

from tests.benchmarks.contenders import (
    AGENTS,
    COMMUNITY,
    BareAppends,
    has_agents,
    has_community,
    make_messages,
    open_agents_session,
    open_community_history,
    open_history,
)
from tests.benchmarks.report import NOT_INSTALLED, Goal, Row
from tests.benchmarks.rounds import (
    Contender,
    Repeat,
    compare_rounds,
    measure,
    repeat_async,
    repeat_sync,
)
from tests.benchmarks.server import bytes_per_entry, count_traffic
from tests.servers import RedisServer

BARE = "the script called bare"
TTLS = ((True, "with a TTL"), (False, "without a TTL"))


@dataclass(frozen=True)
class Plan:
    """How much is done.

    Attributes:
        rounds: Of each comparison.
        calls: Appends of one message in a round.
        long: The messages of a long history.
        writers: The threads of the last row.
    """

    rounds: int = 15
    calls: int = 150
    long: int = 10_000
    writers: int = 8


QUICK = Plan(rounds=2, calls=5, long=300, writers=2)


class Bench:
    """A server and what the rows need around it."""

    def __init__(self, server: RedisServer, plan: Plan, loop: asyncio.AbstractEventLoop) -> None:
        self.server, self.plan, self.loop = server, plan, loop
        self._sessions = count()
        self.message = make_messages(1)[0]

    @cached_property
    def client(self) -> redis.Redis:
        return self.server.client()

    @cached_property
    def async_client(self) -> redis.asyncio.Redis:
        return self.server.async_client()

    def close(self) -> None:
        self.client.close()
        self.loop.run_until_complete(self.async_client.aclose())

    # The contenders, on a session of their own each.

    def session_id(self) -> str:
        return f"bench-{next(self._sessions)}"

    def ours(self, *, ttl: bool = False, **options: Any) -> Any:
        return open_history(self.server.url, self.session_id(), ttl=ttl, **options)

    def community(self, *, ttl: bool = False) -> Any:
        return open_community_history(self.server.url, self.session_id(), ttl=ttl)

    def agents(self, *, ttl: bool = False) -> Any:
        return open_agents_session(self.async_client, self.session_id(), ttl=ttl)

    def bare(self, *, ttl: bool = False) -> BareAppends:
        appends = (self.plan.rounds + 1) * self.plan.calls
        return BareAppends(self.session_id(), self.message, appends, ttl=ttl)

    def async_repeat(self, call: Callable[[], Any]) -> Repeat:
        return repeat_async(self.loop, call)

    def wait(self, awaitable: Any) -> Any:
        return self.loop.run_until_complete(awaitable)

    # The comparisons.

    def compare(
        self,
        what: str,
        ours: Repeat,
        other: Repeat | None,
        other_name: str,
        goal: Goal | None = None,
        *,
        calls: int | None = None,
        other_calls: int | None = None,
    ) -> Row:
        """Measure two contenders; `other` is None where it is not installed."""
        calls = calls or self.plan.calls
        contenders = [Contender(ours, calls)]
        if other is None:
            [timing] = measure(contenders, self.plan.rounds)
            return Row(what, "µs", timing.median, None, f"{other_name}: {NOT_INSTALLED}", goal)
        contenders.append(Contender(other, other_calls or calls))
        timing, other_timing = measure(contenders, self.plan.rounds)
        spread = compare_rounds(timing, other_timing)
        return Row(what, "µs", timing.median, other_timing.median, other_name, goal, spread)


def append_rows(bench: Bench) -> Iterator[Row]:
    """Append one message, and ten."""
    one = [bench.message]
    for ttl, suffix in TTLS:
        yield bench.compare(
            f"append 1, {suffix}",
            repeat_sync(partial(bench.ours(ttl=ttl).add_messages, one)),
            partial(bench.bare(ttl=ttl).run, bench.client),
            BARE,
            Goal("at most", 1.35),
        )
        bare = bench.bare(ttl=ttl)
        yield bench.compare(
            f"append 1, {suffix}, async",
            bench.async_repeat(partial(bench.ours(ttl=ttl).aadd_messages, one)),
            lambda times, bare=bare: bench.wait(bare.arun(bench.async_client, times)),
            BARE,
            Goal("at most", 1.35),
        )
    for ttl, suffix in TTLS:
        yield bench.compare(
            f"append 1, {suffix}",
            repeat_sync(partial(bench.ours(ttl=ttl).add_messages, one)),
            repeat_sync(partial(bench.community(ttl=ttl).add_messages, one))
            if has_community()
            else None,
            COMMUNITY,
            Goal("at least", 1.5) if ttl else Goal("at most", 1.4),
        )
    ten = make_messages(10)
    for ttl, suffix in TTLS:
        yield bench.compare(
            f"append 10, {suffix}",
            repeat_sync(partial(bench.ours(ttl=ttl).add_messages, ten)),
            repeat_sync(partial(bench.community(ttl=ttl).add_messages, ten))
            if has_community()
            else None,
            COMMUNITY,
            Goal("at least", 6) if ttl else None,
            calls=max(1, bench.plan.calls // 5),
        )


def read_rows(bench: Bench) -> Iterator[Row]:
    """Read the last 50 of a short and of a long history, and 1000 messages."""
    long, calls = bench.plan.long, max(1, bench.plan.calls // 5)
    short_history = _filled(bench.ours(max_messages=50), 100)
    long_history = _filled(bench.ours(max_messages=50), long)
    yield bench.compare(
        f"read the last 50 of {long:,}",
        repeat_sync(lambda: long_history.messages),
        repeat_sync(lambda: short_history.messages),
        "of 100",
        Goal("at most", 1.3),
        calls=calls,
    )
    yield bench.compare(
        f"read the last 50 of {long:,}, async",
        bench.async_repeat(long_history.aget_messages),
        bench.async_repeat(short_history.aget_messages),
        "of 100",
        Goal("at most", 1.3),
        calls=calls,
    )
    few = {"calls": max(1, calls // 10), "other_calls": 1}
    other = _filled(bench.community(), long) if has_community() else None
    yield bench.compare(
        f"read the last 50 of {long:,}",
        repeat_sync(lambda: long_history.messages),
        other and repeat_sync(lambda: other.messages[-50:]),
        COMMUNITY,
        Goal("at least", 100),
        **few,
    )
    size = min(1000, long)
    all_of_ours = _filled(bench.ours(), size)
    other_all = _filled(bench.community(), size) if has_community() else None
    yield bench.compare(
        f"read all of {size:,}",
        repeat_sync(lambda: all_of_ours.messages),
        other_all and repeat_sync(lambda: other_all.messages),
        COMMUNITY,
        Goal("at least", 1.5),
        **few,
    )


def _filled(history: Any, size: int) -> Any:
    messages = make_messages(size)
    for start in range(0, size, 500):
        history.add_messages(messages[start : start + 500])
    return history


def agents_rows(bench: Bench) -> Iterator[Row]:
    """The same beside openai-agents, which is async only."""
    one, calls = [bench.message], bench.plan.calls
    for ttl, suffix in TTLS:
        yield bench.compare(
            f"append 1, {suffix}, async",
            bench.async_repeat(partial(bench.ours(ttl=ttl).aadd_messages, one)),
            bench.async_repeat(partial(bench.agents(ttl=ttl).add, one)) if has_agents() else None,
            AGENTS,
        )
    size = min(1000, bench.plan.long)
    messages = make_messages(size)
    for limit, what in ((50, f"read the last 50 of {size:,}, async"), (None, f"read {size:,}")):
        ours, theirs = bench.ours(max_messages=limit), None
        ours.add_messages(messages)
        if has_agents():
            theirs = bench.agents()
            bench.wait(theirs.add(messages))
        yield bench.compare(
            what if limit else f"{what}, async",
            bench.async_repeat(ours.aget_messages),
            theirs and bench.async_repeat(partial(theirs.read, limit)),
            AGENTS,
            calls=max(1, calls // 5) if limit else max(1, calls // 50),
        )


def memory_rows(bench: Bench) -> Iterator[Row]:
    """Memory in Redis for each plain message of 500 characters, everything counted."""
    size = min(1000, bench.plan.long)

    def bytes_of(history: Any) -> float:
        bench.client.flushall()
        _filled(history, size)
        return bytes_per_entry(bench.client, size)

    for ttl, suffix in TTLS:
        other = bytes_of(bench.community(ttl=ttl)) if has_community() else None
        yield Row(
            f"memory of a message, {suffix}",
            "B",
            bytes_of(bench.ours(ttl=ttl)),
            other,
            COMMUNITY if has_community() else f"{COMMUNITY}: {NOT_INSTALLED}",
            Goal("at most", 1.4),
        )


def traffic_rows(bench: Bench) -> Iterator[Row]:
    """Round trips, and commands that scripts call, counted on the server."""
    ours, ten = bench.ours(ttl=True), make_messages(10)
    other = bench.community(ttl=True) if has_community() else None
    calls: list[tuple[str, Callable[[Any], object]]] = [
        ("append 1", lambda history: history.add_messages(ten[:1])),
        ("append 10", lambda history: history.add_messages(ten)),
        ("read all", lambda history: history.messages),
    ]
    for what, call in calls:
        call(ours)
        mine = count_traffic(bench.server, partial(call, ours))
        theirs = other and count_traffic(bench.server, partial(call, other))
        name = COMMUNITY if other else f"{COMMUNITY}: {NOT_INSTALLED}"
        one_each = Goal("at most", 1)
        for figure, unit, goal in (
            ("round_trips", "round trips", one_each),
            ("commands", "commands", one_each),
            ("inner_commands", "in scripts", None),
        ):
            other_figure = getattr(theirs, figure) if theirs else None
            yield Row(what, unit, getattr(mine, figure), other_figure, name, goal)


def writer_rows(bench: Bench) -> Iterator[Row]:
    """Messages per second of several threads, each with its own session."""
    writers, calls = bench.plan.writers, bench.plan.calls
    with ThreadPoolExecutor(writers) as pool:
        yield bench.compare(
            f"append 1, {writers} threads, with a TTL",
            _in_threads(pool, [bench.ours(ttl=True) for _ in range(writers)], bench.message),
            _in_threads(pool, [bench.community(ttl=True) for _ in range(writers)], bench.message)
            if has_community()
            else None,
            COMMUNITY,
            calls=writers * max(1, calls // 4),
        )


def _in_threads(pool: ThreadPoolExecutor, histories: Sequence[Any], message: BaseMessage) -> Repeat:
    def write(history: Any, times: int) -> None:
        for _ in range(times):
            history.add_messages([message])

    def repeat(times: int) -> None:
        each = max(1, times // len(histories))
        for written in [pool.submit(write, history, each) for history in histories]:
            written.result()

    return repeat


PARTS: tuple[tuple[str, Callable[[Bench], Iterator[Row]]], ...] = (
    ("Appending", append_rows),
    ("Reading", read_rows),
    ("Beside openai-agents", agents_rows),
    ("Several writers", writer_rows),
    ("On the server", traffic_rows),
    ("In memory", memory_rows),
)
