"""Many writers at once: tasks of one event loop, and processes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from typing import Any

from langchain_core.messages import BaseMessage

from tests.benchmarks.bench import Bench
from tests.benchmarks.contenders import (
    AGENTS,
    COMMUNITY,
    TTL,
    has_community,
    make_messages,
    open_community_history,
    open_history,
)
from tests.benchmarks.report import NOT_INSTALLED, Goal, Row
from tests.benchmarks.rounds import Repeat
from tests.processes import call_in_processes

LPUSH = "a bare LPUSH"
PROCESSES = 2

Append = Callable[[], Awaitable[object]]


def task_rows(bench: Bench) -> Iterator[Row]:
    """Appends of tasks of one event loop, each to its own session: the time of all per append."""
    one = [bench.message]
    body = bench.message.model_dump_json().encode()
    for tasks in bench.plan.tasks:
        what = f"append 1, {tasks:,} tasks of one loop, with a TTL"
        ours = [partial(bench.ours(ttl=True).aadd_messages, one) for _ in range(tasks)]
        bare = [partial(_push, bench.async_client, f"bare-{n}", body) for n in range(tasks)]
        agents = [bench.agents(ttl=True) for _ in range(tasks)]
        theirs = [partial(session.add, one) for session in agents if session is not None]
        is_some = tasks == bench.plan.tasks[0]
        calls = tasks * (bench.plan.some if is_some else 1)
        if is_some:  # a client that nobody limits opens a connection for each task
            goal = Goal("at least", 2)
            bare_repeat = _in_tasks(bench, bare)
            yield bench.compare(what, _in_tasks(bench, ours), bare_repeat, LPUSH, goal, calls=calls)
            goal, repeat = Goal("at least", 15), _in_tasks(bench, theirs) if theirs else None
            yield bench.compare(what, _in_tasks(bench, ours), repeat, AGENTS, goal, calls=calls)
        else:
            few = [partial(bench.ours(ttl=True).aadd_messages, one) for _ in bench.plan.tasks]
            yield bench.compare(
                what,
                _in_tasks(bench, ours),
                _in_tasks(bench, few),
                f"{len(few)} tasks",
                calls=calls,
                other_calls=bench.plan.calls,
            )


async def _push(client: Any, key: str, body: bytes) -> None:
    await client.lpush(key, body)


def _in_tasks(bench: Bench, appends: Sequence[Append]) -> Repeat:
    async def append_all(times: int) -> None:
        async def work(append: Append) -> None:
            for _ in range(max(1, times // len(appends))):
                await append()

        await asyncio.gather(*map(work, appends))

    return lambda times: bench.wait(append_all(times))


def process_rows(bench: Bench) -> Iterator[Row]:
    """Appends of two processes at the same time: the time of all per append."""
    appends = bench.plan.calls * 20
    what = f"append 1, {PROCESSES} processes, with a TTL"
    ours, theirs = [], []
    for _ in range(max(1, bench.plan.rounds // 15)):  # in turns
        ours.append(_time_processes(bench, appends, of_community=False))
        if has_community():
            theirs.append(_time_processes(bench, appends, of_community=True))
    other = sorted(theirs)[len(theirs) // 2] if theirs else None
    name = COMMUNITY if theirs else f"{COMMUNITY}: {NOT_INSTALLED}"
    yield Row(what, "µs", sorted(ours)[len(ours) // 2], other, name)


def _time_processes(bench: Bench, appends: int, *, of_community: bool) -> float:
    calls = [
        (bench.server.url, f"process-{number}", appends, of_community)
        for number in range(PROCESSES)
    ]
    spans = call_in_processes(append_alone, calls)
    # Only the time in which all were at work: they don't start at the same moment.
    start_s, end_s = max(start for start, _ in spans), min(end for _, end in spans)
    shares = [(end_s - start_s) / (end - start) for start, end in spans]
    return (end_s - start_s) / (sum(shares) * appends) * 1e6


def append_alone(
    url: str, session_id: str, appends: int, of_community: bool
) -> tuple[float, float]:
    """Append in a process of its own; give when it began and ended, on the machine's clock."""
    messages: list[BaseMessage] = make_messages(1)
    opened: Any
    if of_community:
        opened = open_community_history(url, session_id, ttl=True)
    else:
        opened = open_history(url, session_id, ttl=bool(TTL))
    opened.add_messages(messages)
    started_s = time.monotonic()
    for _ in range(appends):
        opened.add_messages(messages)
    return started_s, time.monotonic()
