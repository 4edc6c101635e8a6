"""State of session, user and app: values, scopes, writers at the same time."""

from __future__ import annotations

import asyncio
import math
import threading
from base64 import b64encode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from enum import Enum
from typing import Any

import pytest

from langchain_redis_session import (
    ConfigurationError,
    RedisSessionStore,
    SessionKey,
    UnserializableMessageError,
)
from langchain_redis_session._operations import named_values, state
from tests.contract.backends import Backend, RedisProbe, Verbs
from tests.contract.intercept import intercept
from tests.contract.narrow import each_server, one_mode, one_server
from tests.contract.store import load, make_event, make_events, read_record, snapshot, tag_of, texts
from tests.methods import call_method
from tests.unit.messages import same

VALUES: dict[str, Any] = {
    "none": None,
    "true": True,
    "zero": 0,
    "float": 0.1,
    "whole float": 1e300,
    "big": 2**200,
    "negative": -(2**63) - 1,
    "empty": ["", [], {}],
    "nested": {"a": [1, {"b": [None, {"c": 2.5}]}], "": ""},
    "lone surrogate": "a\ud800",
    "unicode": "東京 😀 \x00 \u2028 é",
    "key:with %{odd}* characters \n": "x",
    "appetite": "not the app's",
    "state": {"updatedAt": '"}'},
}


@pytest.fixture
async def session(verbs: Verbs, key: SessionKey) -> SessionKey:
    await verbs.create_session("shop", "ann", "s1")
    return key


async def test_every_value_comes_back_in_every_scope(verbs: Verbs, session: SessionKey) -> None:
    await verbs.update_session_state(session, VALUES)
    await verbs.update_user_state("shop", "ann", VALUES)
    await verbs.update_app_state("shop", VALUES)

    assert await verbs.get_user_state("shop", "ann") == VALUES
    assert await verbs.get_app_state("shop") == VALUES
    state = (await verbs.get_session(session)).state
    prefixed = {f"{scope}{k}": v for scope in ("app:", "user:") for k, v in VALUES.items()}
    assert state == {**VALUES, **prefixed}
    assert type(state["true"]) is bool
    assert type(state["zero"]) is int
    assert type(state["whole float"]) is float
    (listed,) = await verbs.list_sessions("shop", "ann")
    assert listed.state == state


async def test_bytes_are_stored_as_they_are(
    verbs: Verbs, session: SessionKey, redis_probe: RedisProbe, backend: Backend
) -> None:
    values = {"raw": b"\xff\x00raw", "json": b'{"a": 1}', "empty": b""}
    expected = {"raw": b"\xff\x00raw", "json": {"a": 1}, "empty": b""}
    await verbs.update_session_state(session, values)
    await verbs.update_user_state("shop", "ann", values)
    await verbs.update_app_state("shop", values)

    state = (await verbs.get_session(session)).state
    assert {name: state[name] for name in values} == expected
    assert await verbs.get_user_state("shop", "ann") == expected
    assert await verbs.get_app_state("shop") == expected
    user_key = redis_probe.key(f"userstate:{tag_of(backend)}:ann")
    assert redis_probe.hget(user_key, "raw") == b"\xff\x00raw"
    assert redis_probe.hget(redis_probe.key("appstate:{shop}"), "json") == b'{"a": 1}'
    record = load(read_record(redis_probe, session, tag_of(backend)))
    assert record["state"]["raw"] == b64encode(b"\xff\x00raw").decode()


async def test_bytes_that_another_program_stored(
    verbs: Verbs, session: SessionKey, redis_probe: RedisProbe, backend: Backend
) -> None:
    tag = tag_of(backend)
    redis_probe.hset(redis_probe.key(f"userstate:{tag}:ann"), mapping={"raw": b"\x80", "n": b"007"})
    redis_probe.hset(redis_probe.key("appstate:{shop}"), "text", b"plain text")
    state = (await verbs.get_session(session)).state
    assert state == {"user:raw": b"\x80", "user:n": b"007", "app:text": b"plain text"}
    assert await verbs.get_user_state("shop", "ann") == {"raw": b"\x80", "n": b"007"}


async def test_a_delta_is_routed_by_prefix(
    verbs: Verbs, session: SessionKey, redis_probe: RedisProbe
) -> None:
    delta = {"k": 1, "user:k": 2, "app:k": 3, "temp:k": 4, "other:k": 5, "users": 6}
    event = make_event(1, state_delta=dict(delta))
    result = await verbs.append_event(session, event)

    assert result.events[0].state_delta == delta
    (stored,) = await verbs.get_events(session)
    del delta["temp:k"]
    assert stored.state_delta == delta
    state = (await verbs.get_session(session)).state
    assert state == {"k": 1, "other:k": 5, "users": 6, "user:k": 2, "app:k": 3}
    assert await verbs.get_user_state("shop", "ann") == {"k": 2}
    assert await verbs.get_app_state("shop") == {"k": 3}
    for key in redis_probe.keys():
        assert b"temp:" not in redis_probe.dump(key)


async def test_later_events_of_one_call_win(verbs: Verbs, session: SessionKey) -> None:
    await verbs.update_session_state(session, {"kept": 0, "k": 0})
    events = make_events(1, 2)
    events[0].state_delta = {"k": 1, "a": 1, "user:k": 1}
    events[1].state_delta = {"k": 2, "b": 2, "user:k": 2}
    await verbs.append_events(session, events)
    state = (await verbs.get_session(session)).state
    assert state == {"kept": 0, "k": 2, "a": 1, "b": 2, "user:k": 2}


async def test_each_scope_of_state_is_updated_on_its_own(verbs: Verbs, session: SessionKey) -> None:
    await verbs.update_session_state(session, {"k": 1, "user:k": 2, "app:k": 3, "temp:k": 4})
    await verbs.update_session_state(session, {"l": 5})
    await verbs.update_user_state("shop", "ann", {"user:l": 6, "m": 7})
    await verbs.update_app_state("shop", {"app:l": 8})
    assert await verbs.get_user_state("shop", "ann") == {"k": 2, "l": 6, "m": 7}
    assert await verbs.get_app_state("shop") == {"k": 3, "l": 8}
    assert (await verbs.get_session(session)).state == {
        **{"k": 1, "l": 5},
        **{"user:k": 2, "user:l": 6, "user:m": 7},
        **{"app:k": 3, "app:l": 8},
    }
    assert await verbs.get_user_state("shop", "bob") == await verbs.get_app_state("x") == {}


async def test_only_the_names_given_are_deleted_from_each_scope(
    verbs: Verbs, session: SessionKey
) -> None:
    values = {"a": 1, "b": 2, "c": 3}
    await verbs.update_session_state(session, values)
    await verbs.update_user_state("shop", "ann", values)
    await verbs.update_app_state("shop", values)
    assert await verbs.delete_session_state(session, "a", "c", "missing") is None
    assert await verbs.delete_user_state("shop", "ann", "a", "c", "missing") == 2
    assert await verbs.delete_app_state("shop", "a") == 1
    assert await verbs.delete_user_state("shop", "ann") == await verbs.delete_app_state("shop") == 0
    await verbs.delete_session_state(session)

    assert (await verbs.get_session(session)).state == {
        "b": 2,
        "user:b": 2,
        **{"app:b": 2, "app:c": 3},
    }


async def test_a_change_of_nothing_writes_nothing(
    verbs: Verbs, session: SessionKey, redis_probe: RedisProbe, backend: Backend
) -> None:
    before = read_record(redis_probe, session, tag_of(backend))
    await verbs.update_session_state(session, {})
    await verbs.update_session_state(session, {"temp:k": 1})
    await verbs.update_user_state("shop", "ann", {})
    await verbs.update_app_state("shop", {})
    await verbs.delete_session_state(session)
    assert read_record(redis_probe, session, tag_of(backend)) == before
    assert len(redis_probe.names()) == 1


async def test_the_reserved_name_is_refused_in_session_state_alone(
    verbs: Verbs, session: SessionKey, redis_probe: RedisProbe
) -> None:
    await verbs.append_track_event(session, "t", 1)
    before = snapshot(redis_probe)
    with pytest.raises(ConfigurationError, match="'tracks' is taken"):
        await verbs.update_session_state(session, {"tracks": []})
    with pytest.raises(ConfigurationError, match="'tracks' is taken"):
        await verbs.delete_session_state(session, "tracks")
    with pytest.raises(ConfigurationError, match="'tracks' is taken"):
        await verbs.append_event(session, make_event(1, state_delta={"tracks": "x"}))
    with pytest.raises(ConfigurationError, match="'tracks' is taken"):
        await verbs.create_session("shop", "ann", "s2", state={"tracks": "x"})
    assert snapshot(redis_probe) == before
    await verbs.update_user_state("shop", "ann", {"tracks": 1})
    read = await verbs.get_session(session)
    assert read.state == {"user:tracks": 1}
    assert read.tracks == ("t",)


@one_server
@pytest.mark.parametrize(
    ("state", "error", "text"),
    [
        ({1: 2}, ConfigurationError, "a state name must be a string"),
        ({"": 2}, ConfigurationError, "not empty"),
        ({"app:": 2}, ConfigurationError, "not empty"),
        ({"\ud800": 2}, ConfigurationError, "UTF-8"),
        ([("k", 1)], ConfigurationError, "must be a dict"),
    ],
    ids=lambda value: getattr(value, "__name__", "state") if not isinstance(value, str) else value,
)
async def test_state_that_cannot_be_stored(
    verbs: Verbs,
    session: SessionKey,
    redis_probe: RedisProbe,
    state: Any,
    error: type[Exception],
    text: str,
) -> None:
    before = snapshot(redis_probe)
    with pytest.raises(error, match=text):
        await verbs.update_session_state(session, state)
    with pytest.raises(error, match=text):
        await verbs.create_session("shop", "ann", "s2", state=state)
    with pytest.raises(error):
        await verbs.append_event(session, make_event(1, state_delta=state))
    if not isinstance(state, dict) or "app:" not in state:
        with pytest.raises(error):
            await verbs.update_user_state("shop", "ann", state)
    assert snapshot(redis_probe) == before


@one_server
@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({1, 2}, r"\['k'\]: set"),
        ([{"a": object()}], r"\['k'\]\[0\]\['a'\]: object"),
        (math.nan, r"\['k'\]: nan"),
        ({1: 2}, r"\['k'\]: the key 1"),
    ],
    ids=["set", "object", "nan", "key"],
)
@pytest.mark.parametrize(
    "name",
    [
        *("update_session_state", "update_user_state", "update_app_state"),
        *("create_session", "append_event"),
    ],
)
async def test_state_that_json_cannot_carry_is_refused_if_asked(
    make_verbs: Any, session: SessionKey, redis_probe: RedisProbe, name: str, value: Any, text: str
) -> None:
    before = snapshot(redis_probe)
    verbs = make_verbs(unserializable="raise")
    state = {"k": value}
    special: dict[str, dict[str, Any]] = {
        "create_session": {"state": state},
        "append_event": {"event": make_event(1, state_delta=state)},
    }
    given = special.get(name, {"values": state})
    with pytest.raises(UnserializableMessageError, match=text):
        await call_method(verbs, name, session, **given)
    assert snapshot(redis_probe) == before


@each_server
async def test_state_that_json_cannot_carry_is_stored_as_plain_data(
    verbs: Verbs, session: SessionKey
) -> None:
    class Color(Enum):
        RED = "red"

    values = {
        "set": {2, 1},
        "enum": Color.RED,
        "nan": math.nan,
        "keys": {1: [b"\xff"]},
        "raw": b"\xff",
    }
    plain = {
        "set": [1, 2],
        "enum": "red",
        "nan": math.nan,
        "keys": {"1": [b"\xff"]},
        "raw": b"\xff",
    }
    await verbs.update_app_state("shop", values)
    await verbs.update_user_state("shop", "ann", values)
    await verbs.update_session_state(session, values)
    # Nobody stores these, so they may be anything.
    await verbs.append_event(
        session, make_event(1, state_delta={"delta": values, "temp:x": object()})
    )
    read = await verbs.get_session(session)
    expected = {"delta": plain, **plain}
    for prefix in ("app:", "user:"):
        expected |= {prefix + name: value for name, value in plain.items()}
    assert same(read.state, expected)
    assert same(read.events[0].state_delta, {"delta": plain})
    assert (await verbs.create_session("shop", "ann", "s2", state={"x": {1}})).state["x"] == [1]


@each_server
async def test_no_writer_loses_a_change(
    verbs: Verbs, make_verbs: Callable[..., Verbs], session: SessionKey
) -> None:
    """Compare-and-set, with appends in between that change the record's end only."""
    writers = [verbs, make_verbs()]

    def write(number: int) -> list[Any]:
        writer = writers[number % 2]
        return [
            writer.update_session_state(session, {f"k{number}": number, "user:last": number}),
            writer.append_event(session, make_event(number)),
            writer.append_event(
                session, make_event(100 + number, state_delta={f"d{number}": [number]})
            ),
            writer.append_track_event(session, f"t{number}", number),
        ]

    async def write_all(number: int) -> None:
        for call in write(number):
            await call

    count = 8
    if verbs.mode == "async":
        await asyncio.gather(*map(write_all, range(count)))
    else:
        with ThreadPoolExecutor(count) as pool:
            list(pool.map(lambda number: asyncio.run(write_all(number)), range(count)))

    read = await verbs.get_session(session)
    last = read.state.pop("user:last")
    assert last in range(count)
    assert read.state == {
        **{f"k{n}": n for n in range(count)},
        **{f"d{n}": [n] for n in range(count)},
    }
    assert sorted(read.tracks) == [f"t{n}" for n in range(count)]
    assert len(set(texts(read.events))) == 2 * count


async def test_a_change_is_not_lost_to_appends(
    verbs: Verbs, session: SessionKey, backend: Backend, make_verbs: Callable[..., Verbs]
) -> None:
    """An append between read and write changes `updatedAt` only: no further try is needed."""
    other = make_verbs()
    changing, interceptor = intercept(backend, make_verbs)
    await changing.update_session_state(session, {"warm": 1})
    await changing.delete_session_state(session, "warm")
    await other.append_event(session, make_event(0))
    interceptor.requests.clear()
    appended: list[int] = []

    def append(_: object) -> None:
        service = make_verbs(client=backend.client).service
        appended.append(len(appended) + 1)
        service.append_event(session, make_event(appended[-1]))

    interceptor.before = append
    await changing.update_session_state(session, {"k": 1})
    interceptor.before = None
    assert len(interceptor.requests) == 2
    read = await verbs.get_session(session)
    assert read.state == {"k": 1}
    assert len(read.events) == 1 + len(appended) == 3


# The event loop


@one_server
@one_mode
async def test_much_state_is_encoded_and_decoded_in_a_thread(
    make_verbs: Callable[..., Verbs], key: SessionKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: set[int] = set()

    def note(function: Callable[..., Any]) -> Callable[..., Any]:
        def noting(*args: Any) -> Any:
            threads.add(threading.get_ident())
            return function(*args)

        return noting

    for module, name in (
        (state, "encode_state_value"),
        (state, "decode_state_value"),
        (named_values, "encode_typed_value"),
        (named_values, "decode_state_value"),
        (named_values, "read_state"),
    ):
        monkeypatch.setattr(module, name, note(getattr(module, name)))
    verbs = make_verbs()
    store = RedisSessionStore(verbs.service, key)
    for size, is_here in ((70_000, False), (10, True)):
        values = {"k": "x" * size}
        shared = {"app:k": "x" * size, "user:k": "x" * size}
        for call in (
            lambda values=values: verbs.create_session("shop", "ann", "s1", values),
            lambda values=values: verbs.update_session_state(key, values),
            lambda values=values: verbs.update_user_state("shop", "ann", values),
            lambda values=values: verbs.update_app_state("shop", values),
            lambda: verbs.get_user_state("shop", "ann"),
            lambda: verbs.get_app_state("shop"),
            lambda: verbs.get_session(key),
            lambda: verbs.list_sessions("shop", "ann"),
            lambda shared=shared: store.amset([*shared.items()]),
            lambda: store.amget(["k", "app:k"]),
            lambda: store.amget(["k"]),
        ):
            threads.clear()
            await call()
            assert threads, size
            assert (threading.get_ident() in threads) is is_here
