"""What is measured, and the goals that were set."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any

from langchain_core.messages import BaseMessage
from langchain_core.runnables import RunnableLambda
from typing_extensions import Self

from langchain_redis_session import SessionSummarizer, event_threshold
from langchain_redis_session.summarizer import DEFAULT_TRIGGER
from tests.benchmarks.contenders import (
    AGENTS,
    COMMUNITY,
    TEXT,
    AgentsSession,
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
from tests.waits import PATIENCE_S

BARE = "the script called bare"
TTLS = ((True, "with a TTL"), (False, "without a TTL"))


@dataclass(frozen=True)
class Plan:
    """How much is done.

    Attributes:
        rounds: Of each comparison.
        calls: In a round, of what is quick.
        some: Likewise, of what is slower.
        few: Likewise, of what is slow.
        middle: The messages of a history of some length.
        long: The messages of a long one.
        writers: The threads that write at the same time.
        turns: After how many turns an agent's memory is looked at.
    """

    rounds: int = 45
    calls: int = 40
    some: int = 10
    few: int = 2
    middle: int = 1000
    long: int = 10_000
    writers: int = 8
    turns: tuple[int, ...] = (10, 20, 40)


QUICK = Plan(rounds=2, calls=5, some=2, few=1, middle=100, long=300, writers=2, turns=(1, 2))


class Bench:
    """A server and what the rows need around it; to be used with `with`."""

    def __init__(self, server: RedisServer, plan: Plan) -> None:
        self.server, self.plan = server, plan
        self.client = server.client()
        self.async_client = server.async_client()
        self.message = make_messages(1)[0]
        self._loop = asyncio.new_event_loop()
        self._sessions = count()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.client.close()
        self.wait(self.async_client.aclose())
        self.wait(self._loop.shutdown_asyncgens())
        self._loop.close()

    def wait(self, awaitable: Any) -> Any:
        return self._loop.run_until_complete(awaitable)

    def repeat_async(self, call: Callable[[], Any]) -> Repeat:
        return repeat_async(self._loop, call)

    # The contenders, on a session of their own each; None for one that is not installed.

    def ours(self, *, ttl: bool = False, **options: Any) -> Any:
        return open_history(self.server.url, self._session_id(), ttl=ttl, **options)

    def community(self, *, ttl: bool = False) -> Any:
        if not has_community():
            return None
        return open_community_history(self.server.url, self._session_id(), ttl=ttl)

    def agents(self, *, ttl: bool = False) -> AgentsSession | None:
        if not has_agents():
            return None
        return open_agents_session(self.async_client, self._session_id(), ttl=ttl)

    def bare(self, *, ttl: bool) -> BareAppends:
        appends = (self.plan.rounds + 1) * self.plan.calls
        return BareAppends(self._session_id(), self.message, appends, ttl=ttl)

    def async_bare(self, *, ttl: bool) -> Repeat:
        bare = self.bare(ttl=ttl)
        return lambda times: self.wait(bare.arun(self.async_client, times))

    def _session_id(self) -> str:
        return f"bench-{next(self._sessions)}"

    # The comparisons.

    def compare(
        self,
        what: str,
        ours: Repeat | None,
        other: Repeat | None,
        other_name: str,
        goal: Goal | None = None,
        *,
        calls: int | None = None,
        other_calls: int | None = None,
    ) -> Row:
        """Measure two contenders; `other` is None where it is not installed."""
        assert ours is not None
        calls = calls or self.plan.calls
        contenders = [Contender(ours, calls)]
        if other is not None:
            contenders.append(Contender(other, other_calls or calls))
        timing, *others = measure(contenders, self.plan.rounds)
        median = others[0].median if others else None
        spread = compare_rounds(timing, others[0]) if others else None
        return Row(what, "µs", timing.median, median, _say(other_name, other), goal, spread)


def _say(name: str, other: object) -> str:
    return name if other is not None else f"{name}: {NOT_INSTALLED}"


def _adding(history: Any, messages: Sequence[BaseMessage]) -> Repeat | None:
    return history and repeat_sync(partial(history.add_messages, messages))


def _reading(history: Any, messages: slice = slice(None)) -> Repeat | None:
    return history and repeat_sync(lambda: history.messages[messages])


def _filled(history: Any, size: int) -> Any:
    messages = make_messages(size)
    for start in range(0, size if history else 0, 500):
        history.add_messages(messages[start : start + 500])
    return history


def append_rows(bench: Bench) -> Iterator[Row]:
    """Append one message, and ten."""
    one, ten = [bench.message], make_messages(10)
    for ttl, suffix in TTLS:
        yield bench.compare(
            f"append 1, {suffix}",
            _adding(bench.ours(ttl=ttl), one),
            partial(bench.bare(ttl=ttl).run, bench.client),
            BARE,
            Goal("at most", 1.35),
        )
        yield bench.compare(
            f"append 1, {suffix}, async",
            bench.repeat_async(partial(bench.ours(ttl=ttl).aadd_messages, one)),
            bench.async_bare(ttl=ttl),
            BARE,
            Goal("at most", 1.35),
        )
    for ttl, suffix in TTLS:
        yield bench.compare(
            f"append 1, {suffix}",
            _adding(bench.ours(ttl=ttl), one),
            _adding(bench.community(ttl=ttl), one),
            COMMUNITY,
            Goal("at least", 1.5) if ttl else Goal("at most", 1.4),
        )
    for ttl, suffix in TTLS:
        yield bench.compare(
            f"append 10, {suffix}",
            _adding(bench.ours(ttl=ttl), ten),
            _adding(bench.community(ttl=ttl), ten),
            COMMUNITY,
            Goal("at least", 6) if ttl else None,
            calls=bench.plan.some,
        )


def read_rows(bench: Bench) -> Iterator[Row]:
    """Read the last 50 of a short and of a long history, and all of 1000 messages."""
    plan = bench.plan
    short_history = _filled(bench.ours(max_messages=50), 100)
    long_history = _filled(bench.ours(max_messages=50), plan.long)
    what = f"read the last 50 of {plan.long:,}"
    yield bench.compare(
        what,
        _reading(long_history),
        _reading(short_history),
        "of 100",
        Goal("at most", 1.3),
        calls=plan.some,
    )
    yield bench.compare(
        f"{what}, async",
        bench.repeat_async(long_history.aget_messages),
        bench.repeat_async(short_history.aget_messages),
        "of 100",
        Goal("at most", 1.3),
        calls=plan.some,
    )
    yield bench.compare(
        what,
        _reading(long_history),
        _reading(_filled(bench.community(), plan.long), slice(-50, None)),
        COMMUNITY,
        Goal("at least", 100),
        calls=plan.some,
        other_calls=1,
    )
    yield bench.compare(
        f"read all of {plan.middle:,}",
        _reading(_filled(bench.ours(), plan.middle)),
        _reading(_filled(bench.community(), plan.middle)),
        COMMUNITY,
        Goal("at least", 1.5),
        calls=plan.few,
    )


def summary_rows(bench: Bench) -> Iterator[Row]:
    """What summaries cost: a read that begins with one, and the looks that appends ask for."""
    plan, behind = bench.plan, 20
    summarized = _filled(
        bench.ours(summarizer=_summarize, auto_summarize=False, include_summary=True), plan.middle
    )
    summarized.service.create_summary(summarized.session_key, force=True)
    summarized.add_messages(make_messages(behind))
    window = _filled(bench.ours(max_messages=behind), plan.middle)
    yield bench.compare(
        f"read a summary and the {behind} messages behind it",
        _reading(summarized),
        _reading(window),
        f"the last {behind}",
        calls=plan.some,
    )
    one = [bench.message]
    for trigger, when in (
        (event_threshold(10**9), "never due"),
        (event_threshold(20), "due with 20 events"),
        (DEFAULT_TRIGGER, "with the default trigger"),
    ):
        summarizer = SessionSummarizer(RunnableLambda(_summarize), trigger=trigger)
        summing = bench.ours(ttl=True, summarizer=summarizer)
        yield bench.compare(
            f"append 1, summaries {when}",
            _adding(summing, one),
            _adding(bench.ours(ttl=True), one),
            "without a summarizer",
        )
        summing.service.flush()


def _summarize(_: object) -> str:
    return TEXT


def agents_rows(bench: Bench) -> Iterator[Row]:
    """The same beside openai-agents, which is async only."""
    one, plan = [bench.message], bench.plan
    for ttl, suffix in TTLS:
        theirs = bench.agents(ttl=ttl)
        yield bench.compare(
            f"append 1, {suffix}, async",
            bench.repeat_async(partial(bench.ours(ttl=ttl).aadd_messages, one)),
            bench.repeat_async(partial(theirs.add, one)) if theirs else None,
            AGENTS,
        )
    size, theirs = plan.middle, bench.agents()
    if theirs:
        bench.wait(theirs.add(make_messages(size)))
    for limit, what, calls in (
        (50, f"read the last 50 of {size:,}, async", plan.some),
        (None, f"read all of {size:,}, async", plan.few),
    ):
        ours = _filled(bench.ours(max_messages=limit), size)
        yield bench.compare(
            what,
            bench.repeat_async(ours.aget_messages),
            bench.repeat_async(partial(theirs.read, limit)) if theirs else None,
            AGENTS,
            calls=calls,
        )


def memory_rows(bench: Bench) -> Iterator[Row]:
    """Memory in Redis for each plain message of 500 characters, everything counted."""
    size = bench.plan.middle

    def bytes_of(history: Any) -> float | None:
        bench.client.flushall()
        return bytes_per_entry(bench.client, size) if _filled(history, size) else None

    for ttl, suffix in TTLS:
        what = f"memory of a message, {suffix}"
        ours, other = bytes_of(bench.ours(ttl=ttl)), bytes_of(bench.community(ttl=ttl))
        yield Row(what, "B", ours or 0, other, _say(COMMUNITY, other), Goal("at most", 1.4))


def traffic_rows(bench: Bench) -> Iterator[Row]:
    """Round trips, and commands that scripts call, counted on the server."""
    ours, other, ten = bench.ours(ttl=True), bench.community(ttl=True), make_messages(10)
    calls: list[tuple[str, Callable[[Any], object]]] = [
        ("append 1", lambda history: history.add_messages(ten[:1])),
        ("append 10", lambda history: history.add_messages(ten)),
        ("read all", lambda history: history.messages),
    ]
    for what, call in calls:
        call(ours)
        mine = count_traffic(bench.server, partial(call, ours))
        theirs = other and count_traffic(bench.server, partial(call, other))
        one_each = Goal("at most", 1)
        for figure, unit, goal in (
            ("round_trips", "round trips", one_each),
            ("commands", "commands", one_each),
            ("inner_commands", "in scripts", None),
        ):
            other_figure = getattr(theirs, figure) if theirs else None
            name = _say(COMMUNITY, theirs)
            yield Row(what, unit, getattr(mine, figure), other_figure, name, goal)


def writer_rows(bench: Bench) -> Iterator[Row]:
    """Append from several threads, each to its own session: the time of all per message."""
    writers = bench.plan.writers
    with ThreadPoolExecutor(writers) as pool:

        def in_threads(open_history: Callable[..., Any]) -> Repeat | None:
            adds = [_adding(open_history(ttl=True), [bench.message]) for _ in range(writers)]

            def repeat(times: int) -> None:
                for done in [pool.submit(add, times // writers) for add in adds if add]:
                    done.result(PATIENCE_S)

            return repeat if all(adds) else None

        yield bench.compare(
            f"append 1, {writers} threads, with a TTL",
            in_threads(bench.ours),
            in_threads(bench.community),
            COMMUNITY,
            calls=writers * bench.plan.some,
        )


PARTS: tuple[tuple[str, Callable[[Bench], Iterator[Row]]], ...] = (
    ("Appending", append_rows),
    ("Reading", read_rows),
    ("Summaries", summary_rows),
    ("Beside openai-agents", agents_rows),
    ("Several writers", writer_rows),
    ("On the server", traffic_rows),
    ("In memory", memory_rows),
)
