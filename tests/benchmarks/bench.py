"""What the rows need around them: a server, clients, contenders, and the comparison of two."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any

from langchain_core.messages import BaseMessage
from typing_extensions import Self

from tests.benchmarks.contenders import (
    AgentsSession,
    BareAppends,
    has_agents,
    has_community,
    make_messages,
    open_agents_session,
    open_community_history,
    open_history,
)
from tests.benchmarks.report import NOT_INSTALLED, Goal, Row, Work
from tests.benchmarks.rounds import (
    Contender,
    Repeat,
    compare_rounds,
    measure,
    repeat_async,
    repeat_sync,
)
from tests.benchmarks.server import count_server_us
from tests.servers import RedisServer

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
        tasks: The tasks of one event loop that write at the same time: some, and many.
        starts: How often a program is started.
    """

    rounds: int = 45
    calls: int = 40
    some: int = 10
    few: int = 2
    middle: int = 1000
    long: int = 10_000
    writers: int = 8
    turns: tuple[int, ...] = (10, 20, 40)
    tasks: tuple[int, int] = (64, 1000)
    starts: int = 15


QUICK = Plan(
    rounds=2,
    calls=5,
    some=2,
    few=1,
    middle=100,
    long=300,
    writers=2,
    turns=(1, 2),
    tasks=(4, 8),
    starts=1,
)


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
        server_cpu_us = partial(count_server_us, self.client)
        timing, *others = measure(contenders, self.plan.rounds, server_cpu_us=server_cpu_us)
        theirs = others[0] if others else None
        return Row(
            what,
            "µs",
            timing.median,
            theirs.median if theirs else None,
            say_who(other_name, other),
            goal,
            compare_rounds(timing, theirs) if theirs else None,
            Work(timing.cpu_us, timing.server_us),
            Work(theirs.cpu_us, theirs.server_us) if theirs else None,
        )


def say_who(name: str, other: object) -> str:
    return name if other is not None else f"{name}: {NOT_INSTALLED}"


def adding(history: Any, messages: Sequence[BaseMessage]) -> Repeat | None:
    return history and repeat_sync(partial(history.add_messages, messages))


def reading(history: Any, messages: slice = slice(None)) -> Repeat | None:
    return history and repeat_sync(lambda: history.messages[messages])


def filled(
    history: Any, size: int, make: Callable[[int], list[BaseMessage]] = make_messages
) -> Any:
    messages = make(size)
    for start in range(0, size if history else 0, 500):
        history.add_messages(messages[start : start + 500])
    return history
