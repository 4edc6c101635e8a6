"""`RedisSessionMemoryStore`: whose items they are, how long they live, what a call costs.

What it gives is compared with LangGraph's own store in `test_memory_store_model`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from langgraph.store.base import (
    GetOp,
    IndexConfig,
    ListNamespacesOp,
    MatchCondition,
    PutOp,
    SearchOp,
    TTLConfig,
)

from langchain_redis_session import ConfigurationError, RedisSessionMemoryStore
from langchain_redis_session.adapters._memory import batch as batches
from langchain_redis_session.adapters._memory import meaning
from tests.contract.backends import Backend, RedisProbe, Verbs
from tests.contract.intercept import Interceptor, intercept
from tests.contract.narrow import each_server, one_mode, one_server, server_kinds

FACTS = ("facts",)


def embed(texts: Sequence[str]) -> list[list[float]]:
    return [[float(text.count(letter)) for letter in "abcd"] for text in texts]


INDEX: IndexConfig = {"dims": 4, "embed": embed, "fields": ["text"]}


def open_memory(verbs: Verbs, **options: Any) -> Verbs:
    return verbs.of(RedisSessionMemoryStore(verbs.service, **{"app_name": "shop", **options}))


def keys_of(items: Any) -> list[str]:
    return [item.key for item in items]


def end_lives(probe: RedisProbe, *keys: str) -> None:
    """Let items be past their time, as they are where a server does not remove them by itself."""
    for name in probe.keys("*mem:*"):
        for key in keys:
            item = probe.hget(name, key)
            if item is not None:
                probe.hset(name, key, re.sub(rb'"expiresAtMs":\d+', b'"expiresAtMs":1', item))


@each_server
async def test_items_belong_to_the_user_and_go_with_it(
    verbs: Verbs, redis_probe: RedisProbe
) -> None:
    ann = open_memory(verbs, user="ann", index=INDEX)
    bob = open_memory(verbs, user="bob")
    everybody = open_memory(verbs)
    for place, store in enumerate((ann, bob, everybody)):
        await store.put(FACTS, "k", {"n": place, "text": "a"})
        await store.put(("more", "ann"), "k", {"n": place})
    for place, store in enumerate((ann, bob, everybody)):
        assert (await store.get(FACTS, "k")).value["n"] == place
        assert [item.value["n"] for item in await store.search(())] == [place, place]
    assert await verbs.list_users("shop") == ["ann", "bob"]
    assert await verbs.list_apps() == ["shop"]

    assert (await verbs.delete_user("shop", "ann")).keys == 4
    assert await ann.search(()) == await ann.list_namespaces() == []
    assert not redis_probe.keys("user*}:ann*")
    assert len(await bob.search(())) == len(await everybody.search(())) == 2


@one_server
async def test_a_function_says_whose_the_items_of_a_namespace_are(verbs: Verbs) -> None:
    def find_user(namespace: tuple[str, ...]) -> str | None:
        return None if namespace[0] == "docs" else namespace[1]

    store = open_memory(verbs, user=find_user)
    await store.put(("facts", "ann"), "k", {})
    await store.put(("docs",), "k", {})
    assert keys_of(await open_memory(verbs, user="ann").search(())) == ["k"]
    assert await open_memory(verbs).list_namespaces() == [("docs",)]
    assert await store.list_namespaces(prefix=("facts", "ann")) == [("facts", "ann")]
    for call in (store.search(FACTS), store.list_namespaces(), store.get(FACTS, "k")):
        with pytest.raises(ConfigurationError, match=r"user= can't tell .* longer namespace"):
            await call


@each_server
async def test_labels_and_keys_are_any_text_and_never_meet(
    verbs: Verbs, redis_probe: RedisProbe
) -> None:
    store = open_memory(verbs, app_name="a:{b}", user="u:{v}*")
    names = [("a", "b"), ("a:b",), ("ab",), ("a",), ("a%3Ab",), ("{x}", "*"), ("é", " ")]
    ops = [PutOp(name, key, {"at": [*name, key]}) for name in names for key in ("k", "b:k", "")]
    await store.batch(ops)
    for op in ops:
        (item,) = await store.batch([GetOp(op.namespace, op.key)])
        assert item.value == op.value
    assert await store.list_namespaces() == sorted(names)
    assert {item.namespace for item in await store.search(("a",), limit=99)} == {("a",), ("a", "b")}
    await verbs.delete_user("a:{b}", "u:{v}*")
    assert redis_probe.names() == []


@each_server
async def test_what_is_past_its_time_is_gone_and_removed(
    make_verbs: Callable[..., Verbs], redis_probe: RedisProbe
) -> None:
    store = open_memory(make_verbs(per_field_ttl=False), index=INDEX)
    for key in ("got", "found", "listed", "put"):
        await store.put((key,), key, {"text": "a"}, ttl=60)
    await store.put(("stays",), "stays", {})
    end_lives(redis_probe, "got", "found", "listed", "put")
    assert await store.get(("got",), "got") is None
    assert keys_of(await store.search(("found",))) == []
    assert keys_of(await store.search(("found",), query="a")) == []
    assert await store.list_namespaces() == [("stays",)]
    await store.put(("put",), "put", {})
    assert keys_of(await store.search(())) == ["stays", "put"]
    assert redis_probe.names("*mem:*") == ["appmem:{shop}:put:", "appmem:{shop}:stays:"]
    assert redis_probe.names("*vec:*") == []


@each_server
async def test_a_ttl_starts_anew_when_an_item_is_read_unless_told_otherwise(
    verbs: Verbs, redis_probe: RedisProbe
) -> None:
    ttl = TTLConfig(default_ttl=60, refresh_on_read=False)
    lazy, eager = open_memory(verbs, ttl=ttl), open_memory(verbs)
    name = redis_probe.key("appmem:{shop}:facts:")

    def left() -> int:
        left_ms: int = redis_probe.pttl(name)
        return round(left_ms / 60_000)

    await lazy.put(FACTS, "k", {})
    assert left() == 60
    redis_probe.pexpire(name, 600_000)
    for read in (
        lazy.get(FACTS, "k"),
        lazy.search(FACTS),
        eager.get(FACTS, "k", refresh_ttl=False),
    ):
        assert await read
        assert left() == 10
    for store, options in ((eager, {}), (lazy, {"refresh_ttl": True})):
        assert await store.get(FACTS, "k", **options)
        assert left() == 60
        redis_probe.pexpire(name, 600_000)
        assert await store.search(FACTS, **options)
        assert left() == 60
        redis_probe.pexpire(name, 600_000)
    await lazy.put(FACTS, "for ever", {}, ttl=None)
    assert redis_probe.pttl(name) == -1


@each_server
async def test_only_what_a_search_gives_lives_on(verbs: Verbs, redis_probe: RedisProbe) -> None:
    store = open_memory(verbs)
    for key in ("a", "b"):
        await store.put(FACTS, key, {}, ttl=60)
    name = redis_probe.key("appmem:{shop}:facts:")
    before = redis_probe.hgetall(name)
    time.sleep(0.002)
    assert keys_of(await store.search(FACTS, limit=1)) == ["a"]
    after = redis_probe.hgetall(name)
    assert after[b"a"] != before[b"a"]
    assert after[b"b"] == before[b"b"]


@each_server
async def test_items_keep_when_they_were_made(verbs: Verbs) -> None:
    store = open_memory(verbs)
    for key in ("b", "a"):
        await store.put(FACTS, key, {"n": 1})
    first = await store.get(FACTS, "b")
    await store.put(FACTS, "b", {"n": 2})
    second = await store.get(FACTS, "b")
    assert first.created_at == first.updated_at == second.created_at < second.updated_at
    assert first.created_at.tzinfo is not None
    assert keys_of(await store.search(FACTS)) == ["b", "a"]


@each_server
async def test_a_put_that_is_sent_twice_is_one(
    backend: Backend, make_verbs: Callable[..., Verbs], redis_probe: RedisProbe
) -> None:
    verbs, _ = intercept(backend, make_verbs, times=2)
    store = open_memory(verbs, index=INDEX)
    await store.put(FACTS, "k", {"text": "a"})
    await store.put(FACTS, "l", {"text": "a"}, ttl=60)
    assert keys_of(await store.search(FACTS, query="a")) == ["k", "l"]
    await store.delete(FACTS, "k")
    await store.delete(FACTS, "l")
    assert redis_probe.names() == []


async def count(interceptor: Interceptor, call: Any) -> int:
    interceptor.requests.clear()
    await call
    return len(interceptor.requests)


@each_server
async def test_a_call_sends_no_more_requests_than_promised(
    backend: Backend, make_verbs: Callable[..., Verbs]
) -> None:
    verbs, seen = intercept(backend, make_verbs)
    store = open_memory(verbs, index=INDEX)
    for _ in range(2):  # the first, for the scripts
        await store.put(FACTS, "k", {"text": "a"})
        await store.put(("more", "a"), "k", {}, ttl=60)
        await store.get(("more", "a"), "k")
        await store.list_namespaces()
    assert await count(seen, store.get(FACTS, "k")) == 1
    assert [command[0] for command in seen.requests[0]] == ["HGET"]
    assert await count(seen, store.get(("more", "a"), "k")) == 2
    assert await count(seen, store.put(FACTS, "k", {"text": "b"})) == 1
    assert await count(seen, store.delete(FACTS, "k")) == 1
    await store.put(FACTS, "k", {"text": "a"})
    assert await count(seen, store.search(FACTS)) == 1
    assert await count(seen, store.search(FACTS, query="a")) == 1
    assert await count(seen, store.search(("more",))) == 3
    assert await count(seen, store.search((), refresh_ttl=False)) == 2
    assert await count(seen, store.list_namespaces()) == 2
    gets = [GetOp(FACTS, "k")] * 3 + [SearchOp(FACTS), ListNamespacesOp()]
    assert await count(seen, store.batch(gets)) == 2
    puts = [PutOp((label,), "k", {"text": "a"}) for label in "abc"]
    assert await count(seen, store.batch(puts)) == 1
    assert await count(seen, store.batch([*gets[:1], *puts])) == 2
    mixed = [PutOp((label,), key, {}) for key in "kl" for label in "abc"]
    assert await count(seen, store.batch(mixed)) == 1
    assert len(seen.requests[0]) == 3  # a script for each namespace


@server_kinds
async def test_a_search_looks_only_below_its_namespace(
    backend: Backend, make_verbs: Callable[..., Verbs]
) -> None:
    verbs, seen = intercept(backend, make_verbs)
    store = open_memory(verbs)
    await store.batch([PutOp((f"n{number}", "x"), "k", {}) for number in range(50)])
    await store.list_namespaces()  # so that the server has the scripts
    for call in (store.search(("n7",)), store.list_namespaces(prefix=("n7", "*"))):
        seen.requests.clear()
        assert len(await call) == 1
        assert sum(map(len, seen.requests)) <= 3


@server_kinds
async def test_all_of_many_items_are_found(verbs: Verbs) -> None:
    store = open_memory(verbs, index=INDEX)
    ops = [PutOp(FACTS, f"k{number}", {"text": "abc"[number % 3]}) for number in range(2500)]
    ops += [PutOp(("many", str(number)), "k", {"n": number}) for number in range(300)]
    await store.batch(ops)
    assert len(await store.search(FACTS, limit=9999)) == 2500
    found = await store.search(FACTS, query="b", limit=9999)
    assert [item.value["text"] for item in found[:833]] == ["b"] * 833
    assert [item.value["n"] for item in await store.search(("many",), limit=999)] == [*range(300)]
    assert len(await store.list_namespaces(prefix=("many",), limit=999)) == 300
    assert keys_of(await store.search(FACTS, offset=2498)) == ["k2498", "k2499"]


@one_server
async def test_a_search_by_meaning_of_too_many_items_says_so(
    verbs: Verbs, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_memory(verbs, index=INDEX)
    await store.batch([PutOp(("n", str(n % 3)), f"k{n}", {"text": "a"}) for n in range(9)])
    monkeypatch.setattr(batches, "MOST_COMPARED", 8)
    with pytest.raises(ConfigurationError, match=r"8 items at most, .* under \('n',\)"):
        await store.search(("n",), query="a")
    assert len(await store.search(("n", "1"), query="a")) == 3
    assert len(await store.search(("n",))) == 9


@one_server
@one_mode
@pytest.mark.parametrize("has_numpy", [True, False])
async def test_the_nearest_come_first_with_and_without_numpy(
    verbs: Verbs, monkeypatch: pytest.MonkeyPatch, has_numpy: bool
) -> None:
    if not has_numpy:
        monkeypatch.setattr(meaning, "numpy", None)
    store = open_memory(verbs, index={**INDEX, "fields": ["text", "more[*]"]})
    values: dict[str, dict[str, Any]] = {
        "none": {},
        "far": {"text": "bbbb"},
        "zero": {"text": "xyz"},
        "near": {"text": "ab"},
        "same": {"text": "b", "more": ["c", "aa"]},
        "hidden": {"text": "a"},
    }
    for key, value in values.items():
        await store.put(FACTS, key, value, False if key == "hidden" else None)
    found = await store.search(FACTS, query="a")
    assert keys_of(found) == ["same", "near", "far", "zero", "none", "hidden"]
    scores = [item.score for item in found]
    assert scores == [pytest.approx(score) for score in (1, 0.5**0.5, 0, 0)] + [None, None]
    await store.put(FACTS, "same", {"text": "b"})
    assert (await store.search(FACTS, query="a", limit=1))[0].key == "near"


@one_server
@one_mode
async def test_vectors_of_another_model_are_passed_over(verbs: Verbs) -> None:
    old = open_memory(verbs, index={**INDEX, "dims": 2, "embed": lambda t: [[1.0, 0.0] for _ in t]})
    await old.put(FACTS, "k", {"text": "a"})
    (item,) = await open_memory(verbs, index=INDEX).search(FACTS, query="a")
    assert (item.key, item.score) == ("k", None)


@one_server
@pytest.mark.parametrize(
    "vectors",
    [[[1.0]], [], [[float("nan")] * 4], [[1e39] * 4]],
    ids=["short", "none", "nan", "1e39"],
)
async def test_what_embeddings_give_wrong_is_an_error_and_nothing_is_put(
    verbs: Verbs, redis_probe: RedisProbe, vectors: Any
) -> None:
    store = open_memory(verbs, index={**INDEX, "embed": lambda _: vectors})
    with pytest.raises(ConfigurationError, match="index:"):
        await store.put(FACTS, "k", {"text": "a"})
    assert redis_probe.names() == []


WRONG: dict[str, Any] = {
    "namespace": PutOp("facts", "k", {}),  # type: ignore[arg-type]
    "namespace ": GetOp((5,), "k"),  # type: ignore[arg-type]
    "key": GetOp(FACTS, 5),  # type: ignore[arg-type]
    "value": PutOp(FACTS, "k", [1]),  # type: ignore[arg-type]
    "ttl": PutOp(FACTS, "k", {}, ttl=0),
    "index": PutOp(FACTS, "k", {}, index="text"),  # type: ignore[arg-type]
    "filter": SearchOp(FACTS, filter={"n": {"$like": 1}}),
    "filter ": SearchOp(FACTS, filter={"n": [{"$gt": "x"}]}),
    "limit": SearchOp(FACTS, limit=-1),
    "offset": ListNamespacesOp(offset=-1),
    "max_depth": ListNamespacesOp(max_depth=-1),
    "match_type": ListNamespacesOp((MatchCondition("infix", ("a",)),)),  # type: ignore[arg-type]
    "operation": "get",
}


@one_server
@pytest.mark.parametrize("says", WRONG)
async def test_a_batch_with_what_can_not_be_done_does_nothing(
    verbs: Verbs, redis_probe: RedisProbe, says: str
) -> None:
    store = open_memory(verbs, index=INDEX)
    with pytest.raises(ConfigurationError, match=says.strip()):
        await store.batch([PutOp(FACTS, "k", {}), WRONG[says]])
    assert redis_probe.names() == []


@one_server
async def test_what_is_no_number_is_neither_more_nor_less_than_one(verbs: Verbs) -> None:
    store = open_memory(verbs)
    for key, value in {"a": {"n": 5}, "b": {}, "c": {"n": "x"}, "d": {"n": "7"}}.items():
        await store.put(FACTS, key, value)
    assert keys_of(await store.search(FACTS, filter={"n": {"$gt": 1}})) == ["a", "d"]
    assert keys_of(await store.search(FACTS, filter={"n": {"$lte": 6}})) == ["a"]


TIMES = b',"createdAtUs":5,"updatedAtUs":6}'
BROKEN = {
    "no item": (b"x", b"?"),
    "key": (b"\xff", b'{"value":{}' + TIMES),
    "cut value": (b"x", b'{"value":{"n":' + TIMES),
    "no object": (b"x", b'{"value":[1]' + TIMES),
    "tag": (b"x", b'{"value":{"$lc":["int","0x1"]}' + TIMES),
    "deep": (b"x", b'{"value":' + b"[" * 5000 + b"]" * 5000 + TIMES),
    "time": (b"x", b'{"value":{}' + TIMES.replace(b"5", b"5" * 30)),
}


@pytest.mark.parametrize(("field", "item"), BROKEN.values(), ids=BROKEN)
@one_server
async def test_what_another_program_wrote_is_passed_over_and_counted(
    verbs: Verbs, redis_probe: RedisProbe, field: bytes, item: bytes
) -> None:
    store = open_memory(verbs)
    await store.put(FACTS, "k", {"n": 1})
    redis_probe.hset(redis_probe.key("appmem:{shop}:facts:"), field, item)
    assert await store.get(FACTS, field.decode("utf-8", "replace")) is None
    for options in ({}, {"limit": 1}, {"filter": {"n": 1}}, {"filter": {"m": None}}):
        before = verbs.service.stats().corrupt_entries
        assert keys_of(await store.search(FACTS, **options)) == ["k"]
        assert verbs.service.stats().corrupt_entries == before + 1


@one_server
async def test_what_is_no_namespace_is_passed_over_and_counted(
    verbs: Verbs, redis_probe: RedisProbe
) -> None:
    store = open_memory(verbs)
    await store.put(FACTS, "k", {})
    redis_probe.zadd(redis_probe.key("appmemidx:{shop}"), {b"\xff:": 0, b"x": 0})
    assert await store.list_namespaces() == [FACTS]
    assert keys_of(await store.search(())) == ["k"]
    assert verbs.service.stats().corrupt_entries == 4
