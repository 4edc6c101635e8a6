"""An append that goes the short way leaves and gives what it would on the full way."""

from __future__ import annotations

import asyncio
import copy
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage

from langchain_redis_session import (
    AppendResult,
    Event,
    RedisSessionError,
    RedisSessionService,
    SessionKey,
    models,
)
from langchain_redis_session._operations import append
from tests.contract.store import NOON, STEP
from tests.effort import examples
from tests.servers import RedisServer, ServerBinary, supports_field_ttl

MASKED = (b"updatedAt", b"expiresAtMs")

IDS = st.none() | st.sampled_from(["m1", "m2", "m3", ""])
MESSAGES = st.one_of(
    st.builds(HumanMessage, st.sampled_from(["", "hi", "grüße", "x" * 300]), id=IDS),
    st.builds(AIMessage, st.just("hello"), id=IDS, response_metadata=st.just({"model": "m"})),
    st.builds(ToolMessage, st.just("42"), tool_call_id=st.just("c1"), id=IDS),
    st.builds(SystemMessage, st.just("be kind")),
)
NAMES = st.sampled_from(["", "", "n", "a/b"])
PLAIN = st.just({"create": True})
OF_MESSAGES = st.fixed_dictionaries(
    {"create": st.booleans()},
    optional={
        "request_id": NAMES,
        "author": st.none() | NAMES,
        "tag": NAMES,
        "filter_key": NAMES,
        "once": st.booleans(),
        "state_delta": st.sampled_from([None, {}, {"k": 1, "user:k": 2, "temp:k": 3}]),
        "new_event_limit": st.sampled_from([None, 2, 1000]),
    },
)
EVENTS = st.lists(
    st.builds(
        lambda number, time: Event(
            HumanMessage(f"e{number}"), "user", id=f"{number:032x}", time_ns=time
        ),
        st.integers(0, 3),
        st.sampled_from([0, NOON, NOON + 50 * STEP, NOON + 50 * STEP, NOON + 99 * STEP]),
    ),
    max_size=4,
)
PLAIN_CALLS = st.tuples(
    st.just("append_messages"), st.lists(MESSAGES, min_size=1, max_size=3), PLAIN
)
ANY_CALLS: Any = st.one_of(
    st.tuples(st.just("append_messages"), st.lists(MESSAGES, max_size=3), OF_MESSAGES),
    st.tuples(st.just("append_events"), EVENTS, st.just({})),
)


@st.composite
def calls_of_a_session(draw: st.DrawFn) -> list[Any]:
    """Calls of which most may go the short way: what follows an unusual one often can't."""
    count = draw(st.integers(3, 6))
    odd = draw(st.sets(st.integers(0, 5), max_size=2))
    return [draw(ANY_CALLS if place in odd else PLAIN_CALLS) for place in range(count)]


OPTIONS: list[dict[str, Any]] = [
    {},
    {"session_ttl": 3600},
    {"session_event_limit": None},
    {"session_event_limit": 3, "session_ttl": 3600},
    {"max_event_bytes": 400},
    {"track_usage": True},
]


@contextmanager
def watched() -> Iterator[Counter[str]]:
    """Count how appends went: usually or fully."""
    ways = Counter[str]()
    with pytest.MonkeyPatch.context() as patch:
        for name in ("_finish_usually", "_write"):
            patch.setattr(append, name, counted(ways, name, getattr(append, name)))
        yield ways


def counted(ways: Counter[str], name: str, function: Any) -> Any:
    def count(*args: Any, **options: Any) -> Any:
        ways[name] += 1
        return function(*args, **options)

    return count


@contextmanager
def only_full_way() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(append, "_start_usually", lambda *_: None)
        yield


@contextmanager
def same_ids() -> Iterator[None]:
    """Every time the same new ids: with the same times, they make the same bytes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(models, "_ids", [f"{number:032x}" for number in range(1000, 2000)])
        yield


@dataclass
class Sessions:
    """New sessions of a service whose clock begins anew with each of them."""

    client: Any
    service: RedisSessionService
    perform: Callable[..., AppendResult]
    moments: Iterator[int] = field(default_factory=lambda: iter(()))

    @classmethod
    @contextmanager
    def open(cls, server: RedisServer, options: dict[str, Any], *, is_async: bool) -> Iterator[Any]:
        with server.client() as client, closing(asyncio.new_event_loop()) as loop:
            service = RedisSessionService(
                server.url, clock=lambda: next(sessions.moments), **options
            )
            prefix = "a" if is_async else ""

            def perform(name: str, *args: Any, **more: Any) -> AppendResult:
                found: Any = getattr(service, prefix + name)(*args, **more)
                result: AppendResult = loop.run_until_complete(found) if is_async else found
                return result

            sessions = cls(client, service, perform)
            try:
                yield sessions
            finally:
                loop.run_until_complete(service.aclose())

    def try_calls(self, calls: Any) -> Any:
        """What calls on a new session tell and leave."""
        key = SessionKey(f"short-{uuid4().hex}", "ann", "s1")
        self.moments = iter(range(NOON, NOON + 100 * STEP, STEP))
        before = self.service.stats()
        told: list[Any] = []
        with same_ids():
            for name, items, more in copy.deepcopy(calls):
                try:
                    told.append(tell(self.perform(name, key, items, **more)))
                except RedisSessionError as error:
                    told.append((type(error), str(error).replace(key.app_name, "")))
        after = self.service.stats()
        written = after.events_written - before.events_written
        return told, written, after.bytes_out - before.bytes_out, self.take(key.app_name)

    def take(self, app_name: str) -> Any:
        """All that is stored of an app, but for times of the server's clock; it is removed."""
        found = {}
        for key in self.client.keys(f"*{app_name}*"):
            if self.client.type(key) == b"hash":
                value = {name: mask(text) for name, text in self.client.hgetall(key).items()}
            else:
                value = self.client.zrange(key, 0, -1, withscores=True)
            found[key.replace(app_name.encode(), b"")] = value, self.client.pttl(key) > 0
            self.client.unlink(key)
        return found


def tell(result: AppendResult) -> Any:
    events = [(event.id, event.author, event.score, event.tag) for event in result.events]
    return events, result.written, result.removed, result.queued, result.unsummarized


def mask(record: bytes) -> bytes:
    parts = record.split(b',"')
    return b',"'.join(part for part in parts if not part.startswith(MASKED))


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_both_ways_give_the_same_and_leave_the_same(
    field_ttl_redis_server: RedisServer, options: dict[str, Any], is_async: bool
) -> None:
    with (
        Sessions.open(field_ttl_redis_server, options, is_async=is_async) as sessions,
        watched() as ways,
    ):

        @examples(100)
        @given(calls_of_a_session())
        def compare(calls: list[Any]) -> None:
            shortly = sessions.try_calls(calls)
            with only_full_way():
                fully = sessions.try_calls(calls)
            assert shortly == fully

        compare()
    # So that it compares something: of the first time many, of the second none.
    usual, full = ways["_finish_usually"], ways["_write"]
    assert full > usual
    assert usual * 10 > full or "track_usage" in options


def test_an_append_that_goes_the_short_way_learns_that_there_are_no_ttls_per_field(
    redis_server: RedisServer, redis_binary: ServerBinary, key_prefix: str
) -> None:
    key = SessionKey("short", "ann", "s1")
    for expected in ("_write", "_finish_usually"):
        with (
            RedisSessionService(redis_server.url, key_prefix=key_prefix, session_ttl=60) as service,
            watched() as ways,
        ):
            service.append_messages(key, [HumanMessage("hi")], create=True)
            assert ways == {expected: 1}
            tries = service._context.try_field_ttl  # noqa: SLF001
            assert tries is supports_field_ttl(redis_binary)
