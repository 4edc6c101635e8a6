"""What grows with a user's sessions or a session's state: what calls take, and how long the
server is busy at a time.

`python -m tests.benchmarks.growth_sessions` measures these alone.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from typing import Any

from langchain_core.messages import HumanMessage

from langchain_redis_session import RedisSessionService, SessionKey
from langchain_redis_session._times import format_time
from tests.benchmarks.report import Goal, Row, print_rows
from tests.benchmarks.server import start_server
from tests.servers import RedisServer
from tests.waits import wait_until

APP = "growth"
MOST_US = 5000
"""What the server may be busy for at a time: others wait."""
_PAGE = 1000


class Yard:
    """Users and sessions to measure with; to be used with `with`.

    Attributes:
        sessions: How many a user has.
        states: The bytes of a session's state.
        events: How many a session has that is removed.
        repeats: How often a call is measured.
    """

    def __init__(self, server: RedisServer, *, is_quick: bool) -> None:
        self.client: Any = server.client()
        self.service = RedisSessionService(server.url, max_state_bytes=None)
        self.sessions = (10, 100) if is_quick else (10, 1000, 10_000)
        self.states = (1000, 10_000) if is_quick else (1000, 100_000, 1_000_000, 5_000_000)
        self.events = 1000 if is_quick else 100_000
        self.repeats = 2 if is_quick else 15
        self._names = count()

    def __enter__(self) -> Yard:
        self._settings = self.client.config_get("slowlog-*")
        self.client.config_set("slowlog-max-len", 100_000)
        return self

    def __exit__(self, *exc: object) -> None:
        for name, value in self._settings.items():
            self.client.config_set(name, value)
        self.service.close()
        self.client.close()

    def add_user(self, sessions: int) -> str:
        """Make a user with so many sessions, each with a summary."""
        user = f"user{next(self._names)}"
        key = self.service.create_session(APP, user, "first", {"x": "y" * 100}).key
        self.service.append_messages(key, [HumanMessage("hello")])
        record = self.client.hget(f"sess:{{{APP}}}:{user}", "first")
        summary = '{"summary":"x","boundary":{"cutoff_score":"1"}}'
        for start in range(0, sessions - 1, _PAGE):
            names = [f"s{number}" for number in range(start, min(start + _PAGE, sessions - 1))]
            self.client.hset(f"sess:{{{APP}}}:{user}", mapping=_copy_records(record, names))
            fields = {f"{name}:": summary for name in names}
            self.client.hset(f"sesssum:{{{APP}}}:{user}", mapping=fields)
        return user

    def add_session(self, user: str, events: int) -> SessionKey:
        """Make a session with copies of an event, and one newer than them."""
        key = SessionKey(APP, user, f"new{next(self._names)}")
        self.service.append_messages(key, [HumanMessage("hi")], create=True)
        name = f"event:{{{APP}}}:{user}:{key.session_id}"
        ((entry, score),) = self.client.zrange(name, 0, 0, withscores=True)
        for start in range(0, events, _PAGE):
            numbers = range(start, min(start + _PAGE, events))
            copies = {entry + b" " * 9 + b"%d" % n: score - 512 * (n + 1) for n in numbers}
            self.client.zadd(name, copies)
        return key

    def time(self, call: Callable[[], object]) -> float:
        """Give the median of what a call takes, in µs."""
        call()
        return statistics.median(_time(call) for _ in range(self.repeats))

    def busy(self, *calls: Callable[[], object]) -> float:
        """Give the µs of the longest command of a call; of several alike, the least."""
        return min(map(self._longest, calls))

    def _longest(self, call: Callable[[], object]) -> float:
        # What was removed before is still being freed, aside, and takes a core.
        wait_until(lambda: not self.client.info("memory")["lazyfree_pending_objects"])
        self.client.slowlog_reset()
        self.client.config_set("slowlog-log-slower-than", 0)
        call()
        self.client.config_set("slowlog-log-slower-than", -1)
        entries = self.client.slowlog_get(100_000)
        own = (b"CONFIG", b"SLOWLOG")
        return float(max(e["duration"] for e in entries if not e["command"].startswith(own)))


def _copy_records(record: bytes, names: Sequence[str]) -> dict[str, bytes]:
    """Give each session a record of its own, updated at its own time."""
    start, mark, _ = record.rpartition(b'"updatedAt":"')
    times = (format_time(time.time_ns() - n * 10**12 - n) for n in range(len(names)))
    return {
        name: b"".join((start, mark, updated.encode(), b'"}'))
        for name, updated in zip(names, times, strict=True)
    }


def _time(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return (time.perf_counter() - start) * 1e6


def _busy_row(what: str, figure: float) -> Row:
    limit = Goal("at most", 1)
    return Row(f"{what}: the server at a time", "µs", figure, MOST_US, "5 ms", limit)


def listing_rows(yard: Yard) -> Iterator[Row]:
    """List a user's newest sessions."""
    least = None
    for size in yard.sessions:
        user = yard.add_user(size)

        def list_some(user: str = user) -> object:
            return yard.service.list_sessions(APP, user, limit=10)

        what, taken = f"list_sessions(limit=10), {size:,} sessions", yard.time(list_some)
        least = least or taken
        yield Row(what, "µs", taken, least, f"{yard.sessions[0]} sessions")
        yield _busy_row(what, yard.busy(*[list_some] * 5))
    yield from _busy_with_all(yard)


def _busy_with_all(yard: Yard) -> Iterator[Row]:
    """Walk over all keys, and remove a user."""
    users = [yard.add_user(yard.sessions[-1]) for _ in range(3)]
    service = yard.service
    yield _busy_row("list_users", yard.busy(*[lambda: service.list_users(APP)] * 3))
    yield _busy_row("list_apps", yard.busy(*[service.list_apps] * 3))
    removals = [lambda user=user: service.delete_user(APP, user) for user in users]
    yield _busy_row(f"delete_user, {yard.sessions[-1]:,} sessions", yard.busy(*removals))


def removing_rows(yard: Yard) -> Iterator[Row]:
    """Remove a session, or what is in it, among many."""
    service, size = yard.service, yard.sessions[-1]
    user = yard.add_user(size)
    calls: tuple[tuple[str, Callable[[SessionKey], object]], ...] = (
        ("delete_session", service.delete_session),
        ("clear_events", service.clear_events),
        ("list_summaries", service.list_summaries),
        ("append", lambda key: service.append_messages(key, [HumanMessage("hi")])),
    )
    for what, call in calls:
        keys = [yard.add_session(user, yard.events) for _ in range(6)]
        call(keys.pop())  # so that the server has the script
        figure = yard.busy(*[lambda key=key, call=call: call(key) for key in keys])
        yield _busy_row(f"{what}, {yard.events:,} events, {size:,} sessions", figure)


def state_rows(yard: Yard) -> Iterator[Row]:
    """Append to sessions with much state, which stands in the record that an append writes."""
    name = f"sess:{{{APP}}}:state"
    for size in yard.states:
        state = {"x": "v" * (size // 4 * 3)}
        key = yard.service.create_session(APP, "state", f"s{size}", state).key
        record = yard.client.hget(name, key.session_id)

        def append(key: SessionKey = key) -> object:
            return yard.service.append_messages(key, [HumanMessage("hi")])

        def copy(key: SessionKey = key, record: object = record) -> None:
            yard.client.hget(name, key.session_id)
            yard.client.hset(name, key.session_id, record)

        what = f"append, {size:,} bytes of state"
        yield Row(what, "µs", yard.time(append), yard.time(copy), "HGET and HSET of the record")
        yield _busy_row(what, yard.busy(*[append] * 9))
        if size <= 1_000_000:
            yield _busy_row(
                f"update_session_state, {size:,} bytes",
                yard.busy(*[lambda key=key: yard.service.update_session_state(key, {"k": 1})] * 5),
            )


PARTS: dict[str, Callable[[Yard], Iterator[Row]]] = {
    "Many sessions": listing_rows,
    "A long session among many": removing_rows,
    "Much state": state_rows,
}


def session_growth_rows(
    server: RedisServer, *, is_quick: bool, only: str | None = None
) -> Iterator[tuple[str, list[Row]]]:
    """Measure each part, or only one."""
    with Yard(server, is_quick=is_quick) as yard:
        for title, part in PARTS.items():
            if only in (None, title):
                yield title, list(part(yard))


def main() -> None:
    """Measure these alone, on a server of their own."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.growth_sessions")
    parser.add_argument("--quick", action="store_true", help="little of everything: does it work?")
    parser.add_argument("--part", choices=PARTS, help="measure only this")
    options = parser.parse_args()
    with start_server() as server:
        for title, rows in session_growth_rows(server, is_quick=options.quick, only=options.part):
            print_rows(title, rows)


if __name__ == "__main__":
    main()
