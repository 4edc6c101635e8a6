"""Ids: any text may stand in them, and no two sessions ever meet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import HumanMessage

from langchain_redis_session import (
    ConfigurationError,
    InvalidSessionKeyError,
    RedisSessionService,
    SessionKey,
)
from tests.contract.backends import Backend, RedisProbe, Verbs
from tests.contract.narrow import each_server, one_mode, one_server
from tests.contract.store import snapshot, tag_of, texts
from tests.methods import arguments_of, call_method, keyed_names, method_names, parameters_of

ODD = [
    "a",
    "a:b",
    "a%3Ab",
    "b:a",
    "a*",
    "a?",
    "a[b]",
    "[a-z]",
    "[^a]",
    "a\\",
    "a\\*",
    "-",
    "^",
    "{a}",
    "{",
    "}",
    "a{b",
    "%",
    "%25",
    "%7B",
    "a b",
    " ",
    "a\nb",
    "\x00",
    "😀",
    "東京",
    "e\u0301",
    "\u00e9",
    "a/b",
    "*",
    "**",
    "x" * 512,
    "é" * 256,
    '"',
    "user",
    "userstate",
    "__proto__",
]


async def fill(verbs: Verbs, key: SessionKey) -> None:
    """Write something of every kind that tells whose it is."""
    mark = repr(key)
    await verbs.append_messages(key, [HumanMessage(mark, id=mark)], create=True, once=True)
    await verbs.update_session_state(key, {"own": mark, "user:own": mark[:-1]})
    await verbs.append_track_event(key, "a:b", mark)


async def assert_untouched(verbs: Verbs, key: SessionKey) -> None:
    mark = repr(key)
    session = await verbs.get_session(key)
    assert texts(session.events) == [mark]
    assert session.state["own"] == mark
    assert session.tracks == ("a:b",)
    assert [event.payload for event in await verbs.get_track_events(key, "a:b")] == [mark]


async def test_colons_do_not_move_the_border_between_ids(verbs: Verbs) -> None:
    pairs = [("a:b", "c"), ("a", "b:c"), ("a", "b"), ("a:b:c", "c"), ("a%3Ab", "c")]
    keys = [SessionKey("shop", user, session) for user, session in pairs]
    keys += [SessionKey("shop:a", "b", "c"), SessionKey("shop}:a", "b", "c")]
    for key in keys:
        await fill(verbs, key)
    for key in keys:
        await assert_untouched(verbs, key)

    assert await verbs.delete_session(keys[0])
    await verbs.delete_user("shop", "a:b")
    assert await verbs.get_session(keys[0]) is None
    for key in keys[1:]:
        await assert_untouched(verbs, key)
    assert await verbs.list_users("shop") == ["a", "a%3Ab", "a:b:c"]
    listed = await verbs.list_sessions("shop", "a")
    assert [session.key for session in listed] == [keys[2], keys[1]]


@each_server
@one_mode
async def test_sessions_with_odd_ids_are_kept_apart(verbs: Verbs) -> None:
    keys = [SessionKey("shop", "ann", session) for session in ODD]
    for key in keys:
        await fill(verbs, key)
    listed = await verbs.list_sessions("shop", "ann", include_events=True)
    assert [session.key for session in reversed(listed)] == keys
    assert [texts(session.events) for session in reversed(listed)] == [[repr(k)] for k in keys]
    for place, key in enumerate(keys):
        assert await verbs.delete_session(key)
        assert await verbs.get_session(key) is None
        if place % 12 == 0:
            for other in keys[place + 1 :]:
                await assert_untouched(verbs, other)
    assert await verbs.list_sessions("shop", "ann") == []


@each_server
@one_mode
async def test_users_with_odd_ids_are_kept_apart(verbs: Verbs, redis_probe: RedisProbe) -> None:
    keys = [SessionKey("shop", user, "s") for user in ODD]
    for key in keys:
        await fill(verbs, key)
    assert await verbs.list_users("shop") == sorted(ODD)
    for place, key in enumerate(keys):
        assert await verbs.get_user_state("shop", key.user_id) == {"own": repr(key)[:-1]}
        deleted = await verbs.delete_user("shop", key.user_id)
        # sess, userstate, event, msgidx, track, trackidx
        assert (deleted.sessions, deleted.keys) == (1, 6)
        if place % 12 == 0:
            assert await verbs.list_users("shop") == sorted(ODD[place + 1 :])
            for other in keys[place + 1 :]:
                await assert_untouched(verbs, other)
    assert redis_probe.names() == []


@each_server
@one_mode
async def test_apps_with_odd_names_are_kept_apart(verbs: Verbs, redis_probe: RedisProbe) -> None:
    keys = [SessionKey(app, "ann", "s") for app in ODD]
    for key in keys:
        await fill(verbs, key)
        await verbs.update_app_state(key.app_name, {"own": key.app_name})
    for key in keys:
        await assert_untouched(verbs, key)
        assert await verbs.get_app_state(key.app_name) == {"own": key.app_name}
        assert await verbs.list_users(key.app_name) == ["ann"]
    for key in keys[::2]:
        await verbs.delete_user(key.app_name, "ann")
        assert await verbs.list_users(key.app_name) == []
    for key in keys[1::2]:
        await assert_untouched(verbs, key)


@each_server
@pytest.mark.parametrize("prefix", ["a:b", "*", "a[b]?", "%", "東京 \\", "sess", "-^"])
async def test_an_odd_prefix_never_reaches_its_neighbours(
    make_verbs: Callable[..., Verbs], key_prefix: str, key: SessionKey, prefix: str
) -> None:
    verbs = make_verbs(key_prefix=f"{key_prefix}:{prefix}")
    neighbours = [
        make_verbs(key_prefix=f"{key_prefix}:{other}") for other in ("x", "a:bb", f"{prefix}:x")
    ]
    for service in (verbs, *neighbours):
        await fill(service, key)
    assert await verbs.list_users("shop") == ["ann"]
    assert (await verbs.delete_user("shop", "ann")).keys == 6
    assert await verbs.list_users("shop") == []
    for neighbour in neighbours:
        await assert_untouched(neighbour, key)


async def test_ids_stand_escaped_in_keys(
    verbs: Verbs, redis_probe: RedisProbe, backend: Backend
) -> None:
    await fill(verbs, SessionKey("{sh}op", "a:nn%", "s:1*"))
    await verbs.update_app_state("{sh}op", {"k": 1})
    app, user = "%7Bsh%7Dop", "a%3Ann%25"
    tag = tag_of(backend, app, user)
    assert redis_probe.names() == sorted(
        [
            f"appstate:{{{app}}}",
            f"event:{tag}:{user}:s%3A1*",
            f"msgidx:{tag}:{user}:s%3A1*",
            f"sess:{tag}:{user}",
            f"track:{tag}:{user}:s%3A1*:a%3Ab",
            f"trackidx:{tag}:{user}:s%3A1*",
            f"userstate:{tag}:{user}",
        ]
    )
    assert redis_probe.hkeys(redis_probe.key(f"sess:{tag}:{user}")) == [b"s:1*"]


INVALID: list[Any] = ["", None, 7, b"bytes", ["a"], "x" * 513, "é" * 257, "\ud800", "a\udfff"]

PARTS = ("app_name", "user_id", "session_id")


@one_server
@pytest.mark.parametrize(
    ("name", "part", "value"),
    [
        (name, parameter.name, value)
        for name in method_names()
        for parameter in parameters_of(name)
        for value in INVALID
        if parameter.name in PARTS
        and (parameter.name, value) != ("session_id", None)  # asks for a new one
    ],
    ids=lambda value: repr(value)[:24],
)
async def test_ids_that_cannot_be(
    verbs: Verbs, redis_probe: RedisProbe, name: str, part: str, value: Any
) -> None:
    if part == "session_id" and value is None:
        pytest.skip("asks for a new one")
    with pytest.raises(InvalidSessionKeyError, match=part) as raised:
        await call_method(verbs, name, **{part: value})
    assert isinstance(raised.value, ValueError)
    assert len(str(raised.value)) < 250
    assert redis_probe.names() == []


@pytest.mark.parametrize("value", INVALID, ids=lambda value: repr(value)[:12])
@pytest.mark.parametrize("part", PARTS)
def test_a_key_of_ids_that_cannot_be_is_refused(part: str, value: Any) -> None:
    with pytest.raises(InvalidSessionKeyError, match=part):
        SessionKey(**{"app_name": "shop", "user_id": "ann", "session_id": "s", part: value})


@one_server
@pytest.mark.parametrize("value", [None, "s1", ("shop", "ann", "s1"), {"session_id": "s1"}])
@pytest.mark.parametrize("name", keyed_names())
async def test_what_is_no_key(
    make_verbs: Callable[..., Verbs], redis_probe: RedisProbe, name: str, value: Any
) -> None:
    verbs = make_verbs(summarizer=lambda _: "s", auto_summarize=False)
    with pytest.raises(InvalidSessionKeyError, match="key must be a SessionKey"):
        await getattr(verbs, name)(value, *arguments_of(name)[1:])
    assert redis_probe.names() == []


def test_a_session_in_the_place_of_its_key() -> None:
    service = RedisSessionService("memory://session-as-key")
    session = service.create_session("shop", "ann")
    with pytest.raises(InvalidSessionKeyError, match=r"not <Session .*; give its \.key"):
        service.get_messages(session)  # type: ignore[arg-type]


@one_server
async def test_a_deleted_name_is_text(verbs: Verbs, key: SessionKey) -> None:
    await verbs.create_session("shop", "ann", "s1", state={"k": 1})
    for name in ("", None, "\ud800"):
        with pytest.raises(ConfigurationError, match="names"):
            await verbs.delete_session_state(key, name)
    assert (await verbs.get_session(key)).state == {"k": 1}


async def test_keys_without_a_prefix(
    backend: Backend, make_verbs: Callable[..., Verbs], key_prefix: str
) -> None:
    verbs = make_verbs(key_prefix="")
    try:
        await fill(verbs, SessionKey(key_prefix, "ann", "s"))
        tag = tag_of(backend, key_prefix)
        keys = [f"sess:{tag}:ann", f"event:{tag}:ann:s", f"track:{tag}:ann:s:a%3Ab"]
        assert [backend.bytes_client.exists(name) for name in keys] == [1, 1, 1]
        assert await verbs.list_users(key_prefix) == ["ann"]
    finally:
        await verbs.delete_user(key_prefix, "ann")
    assert [backend.bytes_client.exists(name) for name in keys] == [0, 0, 0]


async def test_another_prefix_is_another_store(
    make_verbs: Callable[..., Verbs], verbs: Verbs, key: SessionKey, redis_probe: RedisProbe,
    key_prefix: str,
) -> None:  # fmt: skip
    other = make_verbs(key_prefix=f"{key_prefix}:p")
    await fill(verbs, key)
    before = snapshot(redis_probe)
    await other.append_messages(key, [HumanMessage("theirs")], create=True)
    await other.delete_user("shop", "ann")
    after = snapshot(redis_probe)
    assert {n: value for n, value in after.items() if not n.startswith("p:erased:")} == before
