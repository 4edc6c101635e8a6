"""`RedisSessionStore`: LangChain's key-value store over the state of a session, user and app."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from langchain_core.stores import BaseStore

from langchain_redis_session import ConfigurationError, RedisSessionStore, SessionKey
from tests.contract.backends import Backend, RedisProbe, Verbs
from tests.contract.intercept import intercept
from tests.contract.narrow import each_server, one_mode, one_server
from tests.contract.store import expire_now, tag_of

ODD_NAMES = ["", "temp:x", "tracks", "user:", "app:", "%tracks", "%", "%%", "\ud800", "user:\ud800"]


def open_store(verbs: Verbs, key: SessionKey) -> Verbs:
    return verbs.of(RedisSessionStore(verbs.service, key))


async def names_of(store: Verbs, **options: Any) -> list[str]:
    if store.mode == "sync":
        return list(store.target.yield_keys(**options))
    return [name async for name in store.target.ayield_keys(**options)]


@each_server
async def test_a_value_goes_to_the_scope_that_its_key_names(verbs: Verbs, key: SessionKey) -> None:
    store = open_store(verbs, key)
    await store.mset([("k", 1), ("user:k", [2]), ("app:k", {"n": 3})])
    assert await store.mget(["app:k", "k", "user:k", "x", "k"]) == [{"n": 3}, 1, [2], None, 1]
    session = await verbs.get_session(key)
    assert session.state == {"k": 1, "user:k": [2], "app:k": {"n": 3}}
    assert await verbs.get_user_state("shop", "ann") == {"k": [2]}

    other = open_store(verbs, SessionKey("shop", "ann", "s2"))
    assert await other.mget(["k", "user:k", "app:k"]) == [None, [2], {"n": 3}]
    assert await names_of(other) == ["app:k", "user:k"]
    stranger = open_store(verbs, SessionKey("shop", "bob", "s1"))
    assert await stranger.mget(["k", "user:k", "app:k"]) == [None, None, {"n": 3}]

    await store.mdelete(["k", "app:k", "user:missing", "missing"])
    assert await store.mget(["k", "user:k", "app:k"]) == [None, [2], None]


@each_server
async def test_keys_are_found_by_their_prefix(verbs: Verbs, key: SessionKey) -> None:
    store = open_store(verbs, key)
    names = ["ape", "app:a", "u", "user:", "user:a", "user:b"]
    await store.mset([(name, 1) for name in names])
    await verbs.append_track_event(key, "tools", 1)  # whose index stands in the state
    for prefix in ["", "a", "ap", "app:", "app:a", "u", "user:", "user:a", "user:x", "%"]:
        expected = [name for name in names if name.startswith(prefix)]
        assert await names_of(store, prefix=prefix) == expected, prefix
    assert await names_of(store) == names


@each_server
async def test_any_string_is_a_key(verbs: Verbs, key: SessionKey) -> None:
    store = open_store(verbs, key)
    await store.mset([(name, place) for place, name in enumerate(ODD_NAMES)])
    await verbs.append_track_event(key, "tools", 1)
    assert await store.mget(ODD_NAMES) == list(range(len(ODD_NAMES)))
    assert sorted(await names_of(store)) == sorted(ODD_NAMES)
    assert await verbs.list_tracks(key) == ["tools"]
    await store.mdelete(ODD_NAMES)
    assert await names_of(store) == []
    assert await verbs.list_tracks(key) == ["tools"]


@one_server
@one_mode
@pytest.mark.parametrize("scope", ["", "user:", "app:"])
async def test_bytes_come_back_as_bytes_and_text_as_text(
    verbs: Verbs, key: SessionKey, scope: str
) -> None:
    store = open_store(verbs, key)
    values: list[Any] = [
        b"[0.1, 0.2]",
        b"1",
        b'"x"',
        b"",
        b"\xff\x00",
        b'{"$lc":["bytes","AA=="]}',
        "1",
    ]
    values += ["[0.1]", {"$lc": ["bytes", "AA=="]}, {"raw": b"1"}, 0.5, True, 2**70]
    pairs = [(f"{scope}{place}", value) for place, value in enumerate(values)]
    await store.mset(pairs)
    read = await store.mget([name for name, _ in pairs])
    assert read == values
    assert [*map(type, read)] == [*map(type, values)]


@each_server
async def test_a_session_is_made_by_its_first_value_and_keeps_all_messages(
    verbs: Verbs, key: SessionKey
) -> None:
    store = open_store(verbs, key)
    await store.mdelete(["k"])
    await store.mset([("user:k", 1)])
    assert await verbs.get_session(key) is None
    await store.mset([("k", 1), ("k", 2)])
    assert (await verbs.get_session(key)).state["k"] == 2
    result = await verbs.append_messages(key, [HumanMessage("x")] * 1001)
    assert result.removed == 0


@each_server
async def test_an_expired_session_has_no_values(
    make_verbs: Callable[..., Verbs], redis_probe: RedisProbe, backend: Backend, key: SessionKey
) -> None:
    store = open_store(make_verbs(session_ttl=3600, per_field_ttl=False), key)
    await store.mset([("k", 1), ("user:k", 1)])
    expire_now(redis_probe, key, tag_of(backend))
    assert await store.mget(["k", "user:k"]) == [None, 1]
    assert await names_of(store) == ["user:k"]
    await store.mset([("new", 1)])
    assert await names_of(store) == ["new", "user:k"]


@each_server
async def test_a_call_is_one_round_trip_but_for_writes_to_the_session(
    make_verbs: Callable[..., Verbs], backend: Backend, key: SessionKey
) -> None:
    verbs, interceptor = intercept(backend, make_verbs)
    store = open_store(verbs, key)
    shared = [("user:a", 1), ("app:a", 1)]
    for _ in range(2):  # the first, for the scripts
        await store.mset(shared)
        await store.mset([("a", 1), ("b", 1)])
        await store.mget(["a"])
        interceptor.requests.clear()

    async def count(call: Any) -> int:
        interceptor.requests.clear()
        await call
        return len(interceptor.requests)

    assert await count(store.mset(shared)) == 1
    assert await count(store.mget(["a", "user:a", "app:a", "b"])) == 1
    assert await count(names_of(store)) == 1
    assert await count(store.mdelete(["user:a", "app:a"])) == 1
    assert await count(store.mset([("a", 2)])) == 2
    assert await count(store.mdelete(["a"])) == 2


@one_server
async def test_one_value_of_a_user_is_read_without_the_others(
    make_verbs: Callable[..., Verbs], backend: Backend, key: SessionKey
) -> None:
    verbs, interceptor = intercept(backend, make_verbs)
    await open_store(verbs, key).mget(["user:a"])
    (request,) = interceptor.requests
    assert [command[0] for command in request] == ["HMGET"]


@one_server
async def test_reads_see_what_write_behind_has_accepted(
    make_verbs: Callable[..., Verbs], backend: Backend, key: SessionKey
) -> None:
    verbs = make_verbs(client=backend.client, enable_async_persist=True)
    store = open_store(verbs, key)
    delta = {"k": 1, "user:k": 2}
    await verbs.append_messages(key, [HumanMessage("x")], create=True, state_delta=delta)
    assert await store.mget(["k", "user:k"]) == [1, 2]


@one_server
@pytest.mark.parametrize(
    ("method", "given"),
    [
        ("mget", "ab"),
        ("mget", [5]),
        ("mget", 5),
        ("mset", "ab"),
        ("mset", ["ab"]),
        ("mset", [("a", 1), (5, 1)]),
        ("mdelete", "ab"),
        ("mdelete", [None]),
    ],
)
async def test_what_is_no_key_is_refused_and_nothing_is_stored(
    verbs: Verbs, redis_probe: RedisProbe, key: SessionKey, method: str, given: Any
) -> None:
    with pytest.raises(ConfigurationError):
        await getattr(open_store(verbs, key), method)(given)
    assert redis_probe.names() == []


def test_it_is_a_store_of_langchain() -> None:
    assert issubclass(RedisSessionStore, BaseStore)
