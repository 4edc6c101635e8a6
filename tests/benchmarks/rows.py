"""What is measured, and the goals that were set."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableLambda

from langchain_redis_session import SessionSummarizer, event_threshold
from langchain_redis_session.summarizer import DEFAULT_TRIGGER
from tests.benchmarks.bench import BARE, TTLS, Bench, adding, filled, reading, say_who
from tests.benchmarks.contenders import (
    AGENTS,
    COMMUNITY,
    TEXT,
    make_messages,
    make_realistic_messages,
)
from tests.benchmarks.report import Goal, Row
from tests.benchmarks.rounds import Repeat
from tests.benchmarks.server import bytes_per_entry, count_script_us, count_traffic
from tests.waits import PATIENCE_S

REALISTIC = "realistic AI message"
SIZES = ((50, 1.40), (200, 1.26), (500, 1.25), (2000, 1.15))
"""Characters of a message, and how much of langchain-community's memory ours may take."""


def append_rows(bench: Bench) -> Iterator[Row]:
    """Append one message, and ten."""
    one, ten = [bench.message], make_messages(10)
    for ttl, suffix in TTLS:
        yield bench.compare(
            f"append 1, {suffix}",
            adding(bench.ours(ttl=ttl), one),
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
            adding(bench.ours(ttl=ttl), one),
            adding(bench.community(ttl=ttl), one),
            COMMUNITY,
            Goal("at least", 2) if ttl else Goal("at most", 1),
        )
    realistic = make_realistic_messages(2)[1:]
    for ttl, suffix in TTLS:
        yield bench.compare(
            f"append 1 {REALISTIC}, {suffix}",
            adding(bench.ours(ttl=ttl), realistic),
            adding(bench.community(ttl=ttl), realistic),
            COMMUNITY,
            Goal("at least", 2) if ttl else None,
        )
    for ttl, suffix in TTLS:
        yield bench.compare(
            f"append 10, {suffix}",
            adding(bench.ours(ttl=ttl), ten),
            adding(bench.community(ttl=ttl), ten),
            COMMUNITY,
            Goal("at least", 9) if ttl else None,
            calls=bench.plan.some,
        )


def read_rows(bench: Bench) -> Iterator[Row]:
    """Read the last 50 of a short and of a long history, and all of 1000 messages."""
    plan = bench.plan
    short_history = filled(bench.ours(max_messages=50), 100)
    long_history = filled(bench.ours(max_messages=50), plan.long)
    what = f"read the last 50 of {plan.long:,}"
    yield bench.compare(
        what,
        reading(long_history),
        reading(short_history),
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
        reading(long_history),
        reading(filled(bench.community(), plan.long), slice(-50, None)),
        COMMUNITY,
        Goal("at least", 100),
        calls=plan.some,
        other_calls=1,
    )
    yield bench.compare(
        f"read all of {plan.middle:,}",
        reading(filled(bench.ours(), plan.middle)),
        reading(filled(bench.community(), plan.middle)),
        COMMUNITY,
        Goal("at least", 3),
        calls=plan.few,
    )
    yield bench.compare(
        f"read all of {plan.middle:,}, realistic",
        reading(filled(bench.ours(), plan.middle, make_realistic_messages)),
        reading(filled(bench.community(), plan.middle, make_realistic_messages)),
        COMMUNITY,
        Goal("at least", 3),
        calls=plan.few,
    )


def summary_rows(bench: Bench) -> Iterator[Row]:
    """What summaries cost: a read that begins with one, and the looks that appends ask for."""
    plan, behind = bench.plan, 20
    summarized = filled(
        bench.ours(summarizer=_summarize, auto_summarize=False, include_summary=True), plan.middle
    )
    summarized.service.create_summary(summarized.session_key, force=True)
    summarized.add_messages(make_messages(behind))
    window = filled(bench.ours(max_messages=behind), plan.middle)
    yield bench.compare(
        f"read a summary and the {behind} messages behind it",
        reading(summarized),
        reading(window),
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
            adding(summing, one),
            adding(bench.ours(ttl=True), one),
            "without a summarizer",
        )
        summing.service.flush()


def _summarize(_: object) -> str:
    return TEXT


def agents_rows(bench: Bench) -> Iterator[Row]:
    """The same beside openai-agents, which is async only and keeps plain dicts."""
    one, plan = [bench.message], bench.plan
    for ttl, suffix in TTLS:
        theirs = bench.agents(ttl=ttl)
        yield bench.compare(
            f"append 1, {suffix}, async",
            bench.repeat_async(partial(bench.ours(ttl=ttl).aadd_messages, one)),
            bench.repeat_async(partial(theirs.add, one)) if theirs else None,
            AGENTS,
            Goal("at least", 6) if ttl else None,
        )
    size, theirs = plan.middle, bench.agents()
    if theirs:
        bench.wait(theirs.add(make_messages(size)))
    for limit, what, most, calls in (
        (50, f"read the last 50 of {size:,}", 0.9, plan.some),
        (None, f"read all of {size:,}", 1, plan.few),
    ):
        ours = filled(bench.ours(max_messages=limit), size)
        read_theirs = bench.repeat_async(partial(theirs.read, limit)) if theirs else None
        for suffix, read_ours in (
            ("", reading(ours)),
            (", async", bench.repeat_async(ours.aget_messages)),
        ):
            goal = Goal("at most", most)
            yield bench.compare(what + suffix, read_ours, read_theirs, AGENTS, goal, calls=calls)


def memory_rows(bench: Bench) -> Iterator[Row]:
    """Memory in Redis for each plain message of some length, everything counted."""
    size = bench.plan.middle

    def bytes_of(history: Any, length: int) -> float | None:
        if history is None:
            return None
        bench.client.flushall()
        text = TEXT * (length // len(TEXT) + 1)
        for start in range(0, size, 500):
            numbers = range(start, min(start + 500, size))
            history.add_messages([AIMessage(f"{number:06d} {text}"[:length]) for number in numbers])
        return bytes_per_entry(bench.client, size)

    for length, most in SIZES:
        for ttl, suffix in TTLS:
            what = f"memory of a message of {length:,} characters, {suffix}"
            ours = bytes_of(bench.ours(ttl=ttl), length)
            other = bytes_of(bench.community(ttl=ttl), length)
            yield Row(what, "B", ours or 0, other, say_who(COMMUNITY, other), Goal("at most", most))


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
            name = say_who(COMMUNITY, theirs)
            yield Row(what, unit, getattr(mine, figure), other_figure, name, goal)


def script_rows(bench: Bench) -> Iterator[Row]:
    """Microseconds inside the server's scripts, as it counts them itself."""
    ours, ten = bench.ours(ttl=True), make_messages(10)
    ours_without_ttl = bench.ours()
    for what, history, messages in (
        ("append 1, with a TTL", ours, ten[:1]),
        ("append 1, without a TTL", ours_without_ttl, ten[:1]),
        ("append 10, with a TTL", ours, ten),
    ):
        add = partial(history.add_messages, messages)
        add()
        yield Row(what, "µs in scripts", count_script_us(bench.client, add, bench.plan.calls * 10))


def writer_rows(bench: Bench) -> Iterator[Row]:
    """Append from several threads, each to its own session: the time of all per message."""
    writers = bench.plan.writers
    with ThreadPoolExecutor(writers) as pool:

        def in_threads(open_history: Callable[..., Any]) -> Repeat | None:
            adds = [adding(open_history(ttl=True), [bench.message]) for _ in range(writers)]

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
    ("Beside openai-agents", agents_rows),
    ("Summaries", summary_rows),
    ("Several threads", writer_rows),
    ("On the server", traffic_rows),
    ("In scripts", script_rows),
    ("In memory", memory_rows),
)
