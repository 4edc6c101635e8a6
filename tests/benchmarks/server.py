"""What a server has counted: round trips, commands, memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import redis

from tests.servers import RedisServer, find_redis_server


@contextmanager
def start_server() -> Iterator[RedisServer]:
    """Start a server for the measurements; nothing goes to disk."""
    with RedisServer(find_redis_server()) as server:
        yield server


@dataclass(frozen=True)
class Traffic:
    """What one call made the server do.

    Attributes:
        round_trips: How often the server read from the client's socket.
        commands: What the client sent.
        inner_commands: What scripts called.
    """

    round_trips: int
    commands: int
    inner_commands: int


def count_traffic(server: RedisServer, call: Callable[[], object]) -> Traffic:
    """Count on the server what `call` does; call it before, so that it is connected.

    `total_commands_processed` and `commandstats` count what scripts call too (that was
    checked on Redis 6.2 and Valkey 9.1); MONITOR tells them apart, and
    `total_reads_processed` counts the reads, one for each small request or pipeline.
    """
    with server.client() as observer:
        observer.ping()
        # A server may take a large request in two reads: the least of three is what it is.
        round_trips = min(_count_reads(observer, call) for _ in range(3))
        commands, inner = _watch(server, observer, call)
    return Traffic(round_trips, commands, inner)


def _count_reads(observer: redis.Redis, call: Callable[[], object]) -> int:
    before = _reads(observer)
    call()
    return _reads(observer) - before - 1  # without INFO's own


def _reads(client: redis.Redis) -> int:
    return int(client.info("stats")["total_reads_processed"])


def _watch(
    server: RedisServer, observer: redis.Redis, call: Callable[[], object]
) -> tuple[int, int]:
    commands = inner = 0
    with server.client() as client, client.monitor() as monitor:
        call()
        observer.echo("done")
        while True:
            seen = monitor.next_command()
            if seen["command"] == "ECHO done":
                return commands, inner
            # Redis names the source "lua", Valkey "script" (which has no port).
            if seen["client_type"] == "lua" or not seen["client_port"]:
                inner += 1
            else:
                commands += 1


def count_server_us(client: redis.Redis) -> float:
    """How long the server has worked until now, in microseconds, as it counts itself."""
    cpu: dict[str, Any] = client.info("cpu")
    return float(cpu["used_cpu_user"] + cpu["used_cpu_sys"]) * 1e6


def count_script_us(client: redis.Redis, call: Callable[[], object], times: int) -> float:
    """The microseconds that one call's scripts take inside the server."""
    client.config_resetstat()
    for _ in range(times):
        call()
    stats: dict[str, Any] = client.info("commandstats")
    used: list[float] = [
        stats.get(f"cmdstat_{name}", {}).get("usec", 0) for name in ("evalsha", "eval")
    ]
    return sum(used) / times


def bytes_per_entry(client: redis.Redis, entries: int) -> float:
    """The memory of all keys of the database, for each of so many entries."""
    total = sum(client.memory_usage(key, samples=0) or 0 for key in client.scan_iter())
    return total / entries
