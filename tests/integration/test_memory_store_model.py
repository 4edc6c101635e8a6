"""`RedisSessionMemoryStore` does what LangGraph's `InMemoryStore` does, whatever it is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)
from langgraph.store.base import (
    GetOp,
    IndexConfig,
    ListNamespacesOp,
    MatchCondition,
    PutOp,
    SearchOp,
)
from langgraph.store.memory import InMemoryStore

from langchain_redis_session import RedisSessionMemoryStore, RedisSessionService
from tests.effort import examples
from tests.integration.places import Place, place

__all__ = ["place"]

LABELS = ["a", "b", "a:b", "ab", "a:", "%3A", "{a}", "*", "", "é", "a b", "\ud800"]
KEYS = ["k", "a:b", "", "é", "%", "\x00"]
TEXTS = ["", "a", "b", "ab", "aab", "abc", "cc", "d"]


def embed(texts: Sequence[str]) -> list[list[float]]:
    """Count letters: what is alike has vectors alike, and all numbers are exact."""
    return [[float(text.count(letter)) for letter in "abcd"] for text in texts]


INDEX: IndexConfig = {"dims": 4, "embed": embed, "fields": ["text"]}


class Model(InMemoryStore):
    """InMemoryStore, without what it does by mistake.

    It keeps namespaces when their last item has gone, and vectors of what an item said before;
    and fails where the same text stands twice in a batch.
    """

    def __init__(self, index: IndexConfig | None) -> None:
        super().__init__(index=index)
        self._ages: dict[tuple[tuple[str, ...], str], int] = {}
        self._puts = 0

    def run(self, ops: list[Any]) -> list[Any]:
        self._prune()
        results = [None if isinstance(op, PutOp) else self._read(op) for op in ops]
        puts = {(op.namespace, op.key): op for op in ops if isinstance(op, PutOp)}
        namespaces = list(dict.fromkeys(namespace for namespace, _ in puts))
        # Those of one namespace are put together.
        for op in sorted(puts.values(), key=lambda op: namespaces.index(op.namespace)):
            name = (op.namespace, op.key)
            self._vectors[op.namespace].pop(op.key, None)
            self.batch([op])
            if op.value is None:
                self._ages.pop(name, None)
            else:
                self._puts += 1
                self._ages.setdefault(name, self._puts)
        return results

    def _read(self, op: Any) -> Any:
        if not isinstance(op, SearchOp):
            (result,) = self.batch([op])
            self._prune()
            return result
        (found,) = self.batch([op._replace(limit=10_000, offset=0)])
        assert isinstance(found, list)
        found.sort(key=self._order)
        return found[op.offset : op.offset + op.limit]

    def _order(self, item: Any) -> tuple[bool, float, int]:
        return (item.score is None, -(item.score or 0), self._ages[item.namespace, item.key])

    def _prune(self) -> None:
        for namespace in [name for name, items in self._data.items() if not items]:
            del self._data[namespace]


namespaces = st.lists(st.sampled_from(LABELS), max_size=3).map(tuple)
keys = st.sampled_from(KEYS)
values = st.fixed_dictionaries(
    {"n": st.integers(0, 4)},
    optional={
        "text": st.sampled_from(TEXTS[1:]),  # an empty text has no vector here, as models refuse it
        "tags": st.lists(st.sampled_from(["x", "y"]), max_size=2, unique=True),
        "who": st.fixed_dictionaries({"name": st.sampled_from(["ann", "bob"])}),
        "none": st.none(),
        "odd": st.sampled_from([2**70, "\ud800", {"$lc": 1}, 0.1]),
    },
)
FILTERS: list[dict[str, Any] | None] = [
    None,
    {},
    {"n": 2},
    {"n": {"$eq": 2}},
    {"n": {"$ne": 2}},
    {"n": {"$gt": 1, "$lte": 3}},
    {"n": {"$gte": "2", "$lt": 4.0}},
    {"text": None},
    {"who": {"name": "ann"}, "n": {"$lt": 3}},
    {"tags": ["x"]},
    {"tags": [{"$ne": "x"}]},
    {"odd": 2**70},
]
puts = st.builds(
    PutOp,
    namespaces,
    keys,
    st.none() | values,
    st.sampled_from([None, None, False, ["text"], ["who.name"], ["tags[*]"]]),
    st.sampled_from([None, 60]),
)
gets = st.builds(GetOp, namespaces, keys, st.booleans())
searches = st.builds(
    SearchOp,
    namespaces,
    st.sampled_from(FILTERS),
    st.integers(0, 4) | st.just(100),
    st.integers(0, 3),
    st.none() | st.sampled_from(TEXTS),
    st.booleans(),
)
conditions = st.builds(MatchCondition, st.sampled_from(["prefix", "suffix"]), namespaces)
lists = st.builds(
    ListNamespacesOp,
    st.none() | st.lists(conditions, max_size=2).map(tuple),
    st.none() | st.integers(0, 3),
    st.integers(0, 3) | st.just(100),
    st.integers(0, 2),
)


def plain(result: Any) -> Any:
    """Give what is compared of a result: not the times."""
    if isinstance(result, list):
        return [plain(one) for one in result]
    if result is None or isinstance(result, tuple):
        return result
    score = getattr(result, "score", None)
    rounded = None if score is None else round(score, 9)
    return (result.namespace, result.key, result.value, rounded)


class StoreMachine(RuleBasedStateMachine):
    """Does the same with both stores.

    Attributes:
        service: Where, for sync code and for async.
    """

    service: RedisSessionService
    async_service: RedisSessionService
    loop: asyncio.AbstractEventLoop
    number = 0

    @initialize(index=st.sampled_from([INDEX, INDEX, None]))
    def make_stores(self, index: IndexConfig | None) -> None:
        StoreMachine.number += 1
        app = f"app{self.number}"
        self.model = Model(index)
        self.store = RedisSessionMemoryStore(self.service, app_name=app, index=index)
        self.twin = RedisSessionMemoryStore(self.async_service, app_name=app, index=index)

    @rule(ops=st.lists(puts, min_size=1, max_size=6), is_async=st.booleans())
    def put(self, ops: list[Any], is_async: bool) -> None:
        self._run(ops, is_async)

    @rule(
        ops=st.lists(puts | gets | searches | lists, min_size=1, max_size=4), is_async=st.booleans()
    )
    def batch(self, ops: list[Any], is_async: bool) -> None:
        self._run(ops, is_async)

    def _run(self, ops: list[Any], is_async: bool) -> None:
        expected = plain(self.model.run(ops))
        if is_async:
            found = self.loop.run_until_complete(self.twin.abatch(ops))
        else:
            found = self.store.batch(ops)
        assert plain(found) == expected

    def teardown(self) -> None:
        everything = [SearchOp((), limit=1000), ListNamespacesOp(limit=1000)]
        self._run(everything, is_async=False)


@pytest.fixture
def machine(place: Place) -> Iterator[type[StoreMachine]]:
    """The machine on each kind of server."""
    loop = asyncio.new_event_loop()
    twin = place.async_service()
    with ExitStack() as stack:
        service = stack.enter_context(place.sync_service())
        async_service = loop.run_until_complete(twin.__aenter__())
        members = {"service": service, "async_service": async_service, "loop": loop}
        yield type("Machine", (StoreMachine,), members)
        loop.run_until_complete(twin.__aexit__(None, None, None))
        loop.close()


def test_it_does_what_the_store_in_memory_does(machine: type[StoreMachine]) -> None:
    effort = settings(examples(60), stateful_step_count=12)
    run_state_machine_as_test(machine, settings=effort)
