"""What a memory store costs: put, get and search, beside LangGraph's own in memory."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from langgraph.store.base import IndexConfig, PutOp
from langgraph.store.memory import InMemoryStore

from langchain_redis_session import RedisSessionMemoryStore, RedisSessionService
from tests.benchmarks.bench import Bench
from tests.benchmarks.report import Row
from tests.benchmarks.rounds import repeat_sync

IN_MEMORY = "InMemoryStore"
DIMS = 384
FACTS = ("facts", "ann")
_VALUE = {"text": "prefers green tea in the morning, coffee after lunch", "n": 1}


def embed(texts: Sequence[str]) -> list[list[float]]:
    """Give each text a vector of its own, without a model."""
    return [_embed(random.Random(text)) for text in texts]


def _embed(numbers: random.Random) -> list[float]:
    return [numbers.gauss(0, 1) for _ in range(DIMS)]


INDEX: IndexConfig = {"dims": DIMS, "embed": embed, "fields": ["text"]}


def _fill(store: Any, size: int) -> None:
    words = random.Random(1)
    for start in range(0, size, 500):
        items = [
            PutOp(FACTS, f"k{n}", {**_VALUE, "n": n, "text": f"fact {words.random()}"})
            for n in range(start, min(start + 500, size))
        ]
        store.batch(items)


def store_rows(bench: Bench) -> Iterator[Row]:
    """Put and get one item; search 1,000 items and 10,000, by a filter and by meaning."""
    plan = bench.plan
    service = RedisSessionService(bench.server.url, key_prefix="bench-stores")
    ours, theirs = RedisSessionMemoryStore(service), InMemoryStore()
    for store in (ours, theirs):
        store.put(FACTS, "k", _VALUE)

    def putting(store: Any) -> Any:
        return repeat_sync(partial(store.put, FACTS, "k", _VALUE))

    def getting(store: Any) -> Any:
        return repeat_sync(partial(store.get, FACTS, "k"))

    bare = repeat_sync(lambda: bench.client.hget("bench-stores:appmem:{default}:facts:ann:", "k"))
    yield bench.compare("put an item", putting(ours), putting(theirs), IN_MEMORY)
    yield bench.compare("get an item", getting(ours), getting(theirs), IN_MEMORY)
    yield bench.compare("get an item", getting(ours), bare, "a bare HGET")
    for size in (plan.middle, plan.long):
        app = f"app{size}"
        found = RedisSessionMemoryStore(service, app_name=app, index=INDEX)
        model = InMemoryStore(index=INDEX)
        for store in (found, model):
            _fill(store, size)
        for what, query in (
            ("by a filter", {"filter": {"n": {"$gte": size - 5}}}),
            ("by meaning", {"query": "tea"}),
        ):
            yield bench.compare(
                f"search {size:,} items {what}",
                repeat_sync(partial(found.search, FACTS, **query)),
                repeat_sync(partial(model.search, FACTS, **query)),
                IN_MEMORY,
                calls=1,
            )
        missed = _count_missed(found, model)
        yield Row(f"missed of the ten nearest of {size:,}", "items", missed, 0, IN_MEMORY)
    service.close()


def _count_missed(found: Any, model: Any) -> int:
    """How many of the ten nearest that the one store gives the other has not."""
    ours, theirs = (
        {item.key for item in store.search(FACTS, query="tea")} for store in (found, model)
    )
    return len(theirs - ours)
