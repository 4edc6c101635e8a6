"""What grows must not hurt: calls on sessions of three sizes, beside a read of the last 50.

`python -m tests.benchmarks.growth` measures these alone. A row is one figure, in µs of a call at
a size; what it is compared with is a read of the last 50 messages of the same session. `PARTS`
has the subjects. At the end stands what kept the server busy for over 5 ms at a time, with the
machine's load: a process that waits for a core counts as busy, so only a quiet machine tells.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage

from langchain_redis_session import RedisSessionChatMessageHistory, RedisSessionService, SessionKey
from langchain_redis_session._flow.scripts import load_script
from langchain_redis_session.scripts import bindings
from tests.benchmarks.report import Goal, Row, print_rows
from tests.benchmarks.server import start_server
from tests.servers import RedisServer

SIZES = (100, 10_000, 100_000)
QUICK_SIZES = (20, 200)
MOST_US = 5000
SCRIPTS = sorted(path.stem for path in Path(bindings.__file__).parent.glob("[!_]*.lua"))
LAST = "a read of the last 50"
TEXT = "The train to Lisbon leaves at ten past nine and arrives before noon, doesn't it? " * 2


class Growth:
    """A server, and sessions that grow; to be used with `with`.

    Attributes:
        sizes: How many events, or sessions, there are.
        repeats: How often a call is measured; the median counts.
    """

    def __init__(self, server: RedisServer, sizes: Sequence[int], repeats: int) -> None:
        self.server, self.sizes, self.repeats = server, sizes, repeats
        self.service = RedisSessionService(server.url, session_event_limit=None)
        self.client: Any = server.client()
        self._ids = count()

    def __enter__(self) -> Growth:
        return self

    def __exit__(self, *exc: object) -> None:
        self.service.close()
        self.client.close()

    def fill(self, size: int) -> SessionKey:
        """Make a session of so many events: turns of a question and an answer."""
        key = SessionKey("growth", "ann", f"s{next(self._ids)}")
        self.service.create_session(*key.scope)
        for start in range(0, size, 1000):
            numbers = range(start, min(start + 1000, size))
            self.service.append_messages(key, [make_message(number) for number in numbers])
        return key

    def measure(self, call: Callable[[], object], repeats: int | None = None) -> float:
        """Give the median of what a call takes, in µs."""
        taken = []
        call()
        for _ in range(repeats or self.repeats):
            start = time.perf_counter()
            call()
            taken.append((time.perf_counter() - start) * 1e6)
        return statistics.median(taken)

    def read_last(self, key: SessionKey) -> float:
        """Give what a read of the last 50 takes, in µs."""
        return self.measure(lambda: self.service.get_messages(key, limit=50))


def make_message(number: int) -> BaseMessage:
    """Make a message of some 160 characters, with an id, as models give them."""
    if number % 2:
        usage = {"input_tokens": 50, "output_tokens": 40, "total_tokens": 90}
        return AIMessage(f"{number}: {TEXT}", id=f"run-{number}", usage_metadata=usage)
    return HumanMessage(f"{number}: {TEXT}", id=f"m-{number}")


def finding_rows(growth: Growth) -> Iterator[Row]:
    """Take back, look around, count, search, remove."""
    for size in growth.sizes:
        yield from _find_in(growth, size)


def _find_in(growth: Growth, size: int) -> Iterator[Row]:
    service, key = growth.service, growth.fill(size)
    last = growth.read_last(key)

    def row(what: str, figure: float, goal: Goal | None = None) -> Row:
        return Row(f"{what}, {size:,} events", "µs", figure, last, LAST, goal)

    history = RedisSessionChatMessageHistory(
        key.session_id, app_name=key.app_name, user_id=key.user_id, service=service
    )
    newest, oldest = (
        service.get_events(key, limit=1, offset=offset)[0].id for offset in (0, size - 1)
    )
    few = 1 if size > 1000 else growth.repeats
    times = min(growth.repeats, size // 8)
    ids = iter([event.id for event in service.get_events(key, limit=times + 1)][::-1])
    known = make_message(0)

    def append_once() -> None:
        growth.client.unlink(f"msgidx:{{growth}}:ann:{key.session_id}")
        service.append_messages(key, [known], once=True)

    calls: tuple[tuple[str, Callable[[], object], int, Goal | None], ...] = (
        ("append with once=True, the first", append_once, few, None),
        (
            "get_event_window of the newest",
            lambda: service.get_event_window(key, newest),
            growth.repeats,
            Goal("at most", 5),
        ),
        (
            "get_event_window of the oldest",
            lambda: service.get_event_window(key, oldest),
            few,
            None,
        ),
        ("count_events", lambda: service.count_events(key), growth.repeats, Goal("at most", 2)),
        ("len(history)", lambda: len(history), few, None),
        (
            "search for a word that is not there",
            lambda: service.search_events(key, "nowhere"),
            few,
            None,
        ),
        ("read all", lambda: service.get_messages(key), few, None),
        (
            "remove_events of the newest",
            lambda: service.remove_events(key, [next(ids)]),
            times,
            Goal("at most", 5),
        ),
        (
            "trim_conversations(count=1)",
            lambda: service.trim_conversations(key),
            times,
            Goal("at most", 5),
        ),
    )
    for what, call, repeats, goal in calls:
        yield row(what, growth.measure(call, repeats), goal)
    yield row("read all, async: the most work in the loop at a time", _work_in_loop(growth, key))


def _work_in_loop(growth: Growth, key: SessionKey) -> float:
    """Give the most CPU time in µs that an async read takes of its loop's thread at a time.

    That is the loop's own work, and what the garbage collector does in its thread. That looks
    through all that was built, 0.2 s for 100,000 messages, and stops everybody wherever it runs;
    the rest is a few ms.
    """

    async def measure() -> float:
        longest, is_over = 0.0, False

        async def turn() -> None:
            nonlocal longest
            before = time.thread_time()
            while not is_over:
                await asyncio.sleep(0)
                now = time.thread_time()
                longest, before = max(longest, now - before), now

        async with RedisSessionService(growth.server.url, session_event_limit=None) as service:
            await service.aget_messages(key, limit=50)
            turning = asyncio.create_task(turn())
            found = await service.aget_messages(key)
            is_over = True
            await turning
            del found  # not before: to free it is no work of the read
        return longest * 1e6

    return asyncio.run(measure())


PARTS: tuple[tuple[str, Callable[[Growth], Iterator[Row]]], ...] = (
    ("Finding in what grows", finding_rows),
)


def growth_rows(
    server: RedisServer, *, is_quick: bool, only: Sequence[int] = ()
) -> Iterator[tuple[str, list[Row]]]:
    """Measure each part, at all sizes or only some."""
    sizes, repeats = (QUICK_SIZES, 2) if is_quick else (only or SIZES, 30)
    with Growth(server, sizes, repeats) as growth:
        for title, part in PARTS:
            yield title, list(part(growth))


def print_slowlog(client: Any) -> None:
    """Say which commands the server was busy with for over 5 ms at a time."""
    names = {load_script(name).sha.encode(): name for name in SCRIPTS}
    slow: dict[str, list[int]] = {}
    for entry in client.slowlog_get(10_000):
        command, *args = entry["command"].split(b" ")
        what = f"{command.decode()} {names.get(args[0], '') if args else ''}".strip()
        slow.setdefault(what, []).append(entry["duration"])
    load = ", ".join(f"{figure:.1f}" for figure in os.getloadavg())
    print(f"SLOWLOG over {MOST_US} µs (load {load} on {os.cpu_count()} cores):")
    for what, taken in sorted(slow.items(), key=lambda item: -max(item[1])):
        print(f"  {what}: {len(taken)} times, {max(taken):,} µs at most")
    if not slow:
        print("  nothing")


def main() -> None:
    """Measure what grows alone, on a server of its own."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.growth", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="little of everything: does it work?")
    parser.add_argument("--size", type=int, action="append", help="only so many events (repeat)")
    options = parser.parse_args()
    with start_server() as server, contextlib.closing(server.client()) as client:
        client.config_set("slowlog-log-slower-than", MOST_US)
        client.config_set("slowlog-max-len", 10_000)
        for title, rows in growth_rows(server, is_quick=options.quick, only=options.size or ()):
            print_rows(title, rows)
        print_slowlog(client)


if __name__ == "__main__":
    main()
