"""Write-behind: what an append costs the caller, and how fast the workers write."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from itertools import count
from statistics import quantiles
from typing import Any

from langchain_redis_session import RedisSessionService, SessionKey
from tests.benchmarks.bench import Bench
from tests.benchmarks.report import Goal, Row

SESSIONS = 10
BURST = 50
"""Fewer than a queue holds: the caller never waits."""

_names = count()


def _open(bench: Bench, **options: Any) -> tuple[RedisSessionService, list[SessionKey]]:
    service = RedisSessionService(
        bench.server.url, session_event_limit=None, persist_put_timeout=60, **options
    )
    app = f"bench-{next(_names)}"
    keys = [service.create_session(app, "user").key for _ in range(SESSIONS)]
    return service, keys


def _time_bursts(bench: Bench, **options: Any) -> list[float]:
    """Microseconds of each append, in bursts with nothing waiting before them."""
    service, keys = _open(bench, enable_async_persist=True, **options)
    times_us = []
    with service:
        for burst in range(bench.plan.rounds):
            for number in range(BURST):
                key = keys[(burst + number) % SESSIONS]
                started = time.perf_counter()
                service.append_messages(key, [bench.message])
                times_us.append((time.perf_counter() - started) * 1e6)
            assert service.flush(30)
    return times_us[BURST:]


def _time_stream(bench: Bench, **options: Any) -> float:
    """Microseconds per append of a stream of them, until all are in Redis."""
    service, keys = _open(bench, **options)
    appends = bench.plan.calls * 100
    with service:
        started = time.perf_counter()
        for number in range(appends):
            service.append_messages(keys[number % SESSIONS], [bench.message])
        assert service.flush(60)
        return (time.perf_counter() - started) / appends * 1e6


def write_behind_rows(bench: Bench) -> Iterator[Row]:
    """Enqueue latency, and the sustained rate with and without a spool."""
    with tempfile.TemporaryDirectory() as directory:
        for what, options in (("", {}), (" with a spool", {"persist_spool_dir": directory})):
            cuts = quantiles(_time_bursts(bench, **options), n=100)
            goal = None if options else Goal("at most", 1)
            yield Row(f"enqueue{what}, median", "µs", cuts[49], 25, "25 µs", goal)
            yield Row(f"enqueue{what}, 99 %", "µs", cuts[98])
        streams: dict[str, list[float]] = {"sync": [], "behind": [], "spool": []}
        for _ in range(max(1, bench.plan.rounds // 9)):  # in turns, as in `rounds`
            streams["sync"].append(_time_stream(bench))
            streams["behind"].append(_time_stream(bench, enable_async_persist=True))
            streams["spool"].append(
                _time_stream(bench, enable_async_persist=True, persist_spool_dir=directory)
            )
    sync, behind, spool = (sorted(s)[len(s) // 2] for s in streams.values())
    what = "append and flush, per message"
    yield Row(what, "µs", behind, sync, "synchronous", Goal("at least", 6))
    yield Row(f"{what}, with a spool", "µs", spool, sync, "synchronous")
