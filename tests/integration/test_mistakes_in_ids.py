"""What is said of ids, keys and names of state that can't be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from langchain_core.messages import HumanMessage

from langchain_redis_session import (
    ConfigurationError,
    Event,
    InvalidSessionKeyError,
    RedisSessionChatMessageHistory,
    RedisSessionMemory,
    RedisSessionMemoryStore,
    RedisSessionMiddleware,
    RedisSessionStore,
    SessionKey,
    SessionNotFoundError,
    TrackCallbackHandler,
    session_router,
    with_session,
)
from tests.integration.mistakes import (
    CONFIG,
    CONTEXT,
    KEY,
    MODEL,
    SERVICE,
    Do,
    ask,
    each,
    fail,
    make_agent,
    make_chain,
    table,
    tell,
)

TAKING_IDS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "SessionKey": ("session_id", lambda value: SessionKey("shop", "ann", value)),
    "create_session": ("user_id", lambda value: SERVICE.create_session("shop", value)),
    "acreate_session": ("user_id", lambda value: SERVICE.acreate_session("shop", value)),
    "get_app_state": ("app_name", lambda value: SERVICE.get_app_state(value)),
    "aget_app_state": ("app_name", lambda value: SERVICE.aget_app_state(value)),
    "history": (
        "session_id",
        lambda value: RedisSessionChatMessageHistory(value, service=SERVICE),
    ),
    "classic memory": ("session_id", lambda value: RedisSessionMemory(SERVICE, value)),
    "app of a chain": ("app_name", lambda value: with_session(MODEL, SERVICE, app_name=value)),
    "app of an agent": ("app_name", lambda value: RedisSessionMiddleware(SERVICE, app_name=value)),
    "app of a store": ("app_name", lambda value: RedisSessionMemoryStore(SERVICE, app_name=value)),
    "app of a router": (
        "app_name",
        lambda value: session_router(SERVICE, user=lambda: "ann", app_name=value),
    ),
}
TAKING_KEYS: dict[str, Callable[[Any], Any]] = {
    "get_messages": lambda value: SERVICE.get_messages(value),
    "aget_messages": lambda value: SERVICE.aget_messages(value),
    "append_messages": lambda value: SERVICE.append_messages(value, ["hi"]),
    "create_summary": lambda value: SERVICE.create_summary(value),
    "follow": lambda value: next(SERVICE.follow(value)),
    "store": lambda value: RedisSessionStore(SERVICE, value),
    "run tracks": lambda value: TrackCallbackHandler(SERVICE, value),
}
A_KEY = "a SessionKey(app_name, user_id, session_id), not"


@table(
    *(
        (f"{name} as id: {way}", lambda do=do, value=value: do(value), InvalidSessionKeyError, text)
        for name, value, shown in (
            ("int", 7, "7; put str(…) around it"),
            ("UUID", UUID(int=5), f"{UUID(int=5)!r}; put str(…) around it"),
            ("bytes", b"ann", "b'ann'; decode it: ….decode()"),
            ("None", None, "None"),
        )
        for way, (argument, do) in TAKING_IDS.items()
        for text in [f"{argument} must be a string, not {shown}"]
    ),
    (
        "int as a memory store's user",
        lambda: RedisSessionMemoryStore(SERVICE, user=7),  # type: ignore[arg-type]
        ConfigurationError,
        "user must be a user's id (a string), a function of the namespace, or None, not 7; put "
        "str(…) around it",
    ),
    (
        "int as event id",
        lambda: SERVICE.remove_events(KEY, [7]),  # type: ignore[list-item]
        ConfigurationError,
        "event_ids[0] must be a string, not 7; an event's is its .id",
    ),
    (
        "empty id",
        lambda: SessionKey("shop", "ann", ""),
        InvalidSessionKeyError,
        "session_id is empty; give it at least one character",
    ),
    (
        "long id",
        lambda: SessionKey("shop", "ann", "x" * 600),
        InvalidSessionKeyError,
        f"session_id has 600 bytes, the most is 512: '{'x' * 78}…; give a shorter one, such as a "
        "hash of it",
    ),
    (
        "key as id",
        lambda: RedisSessionChatMessageHistory(KEY),  # type: ignore[arg-type]
        InvalidSessionKeyError,
        f"session_id must be a string, not {KEY!r}; give its .session_id",
    ),
    (
        "session as id",
        lambda: RedisSessionChatMessageHistory(SERVICE.get_session(KEY)),  # type: ignore[arg-type]
        InvalidSessionKeyError,
        "session_id must be a string, not <Session app='shop' user='ann' id='s1': 0 events, state "
        "[], tracks []>; give its .key.session_id",
    ),
    *each(
        TAKING_KEYS, "string", "shop:s1", InvalidSessionKeyError, f"key must be {A_KEY} 'shop:s1'"
    ),
    *each(
        TAKING_KEYS,
        "tuple",
        ("shop", "ann", "s1"),
        InvalidSessionKeyError,
        f"key must be {A_KEY} ('shop', 'ann', 's1'); put SessionKey(*…) around it",
    ),
    *each(
        TAKING_KEYS,
        "history",
        RedisSessionChatMessageHistory("s1", service=SERVICE),
        InvalidSessionKeyError,
        f"key must be {A_KEY} RedisSessionChatMessageHistory(SessionKey(app_name='default', "
        "user_id='default'…; give its .session_key",
    ),
    (
        "session as key",
        lambda: SERVICE.get_messages(SERVICE.get_session(KEY)),  # type: ignore[arg-type]
        InvalidSessionKeyError,
        f"key must be {A_KEY} <Session app='shop' user='ann' id='s1': 0 events, state [], tracks "
        "[]>; give its .key",
    ),
    (
        "three strings as key",
        lambda: SERVICE.aget_messages("shop", "ann", "s1"),  # type: ignore[arg-type, call-arg]
        InvalidSessionKeyError,
        "aget_messages() takes one SessionKey, not three strings: SessionKey('shop', 'ann', 's1')",
    ),
    (
        "key where ids belong",
        lambda: SERVICE.acreate_session(KEY),  # type: ignore[call-arg, arg-type]
        InvalidSessionKeyError,
        f"acreate_session() takes an app's and a user's id, not {KEY!r}; give its .app_name and "
        ".user_id",
    ),
    *(
        (
            f"no ids for a chain: {how}",
            lambda how=how: getattr(make_chain(), how)("hi"),
            InvalidSessionKeyError,
            f"this run names no user_id and no session_id (or thread_id); pass a config, {CONFIG}",
        )
        for how in ("invoke", "ainvoke")
    ),
    (
        "a misspelt session for a chain",
        lambda: make_chain().invoke("hi", {"configurable": {"user_id": "ann", "session": "s1"}}),
        InvalidSessionKeyError,
        f"this run names no session_id (or thread_id), only 'session'; pass a config, {CONFIG}",
    ),
    (
        "a string as a chain's config",
        lambda: make_chain().invoke("hi", "s1"),
        ConfigurationError,
        f"config must be {CONFIG}, not 's1'",
    ),
    *(
        (
            f"no ids for an agent: {how}",
            lambda how=how: ask(make_agent(), how),
            InvalidSessionKeyError,
            f"this run names no user_id; {CONTEXT}",
        )
        for how in ("invoke", "ainvoke")
    ),
    (
        "no thread for an agent",
        lambda: ask(make_agent(), "invoke", {"configurable": {"user_id": "a", "thread_id": None}}),
        InvalidSessionKeyError,
        f"this run names no session_id (or thread_id); {CONTEXT}",
    ),
    (
        "a misspelt user for an agent",
        lambda: ask(make_agent(), "invoke", {"configurable": {"userid": "a", "thread_id": "s1"}}),
        InvalidSessionKeyError,
        f"this run names no user_id, only 'userid'; {CONTEXT}",
    ),
    (
        "what chooses an agent's session gives a string",
        lambda: ask(make_agent(session=lambda runtime: "shop:s1"), "invoke"),
        ConfigurationError,
        f"what session= gives must be {A_KEY} 'shop:s1'",
    ),
)
def test_an_error_says_what_is_wrong_with_an_id_or_key(
    do: Do, kind: type[Exception], text: str
) -> None:
    assert tell(fail(do, kind)) == text


NOBODY = SessionKey("shop", "ann", "nope")
NOT_THERE = f"there is no session {NOBODY!r}; create it with create_session()"


@table(
    *(
        (f"{prefix}{name}", do, SessionNotFoundError, text)
        for prefix in ("", "a")
        for name, arguments, text in (
            ("append_messages", [["hi"]], f"{NOT_THERE}, or append with create=True"),
            (
                "append_event",
                [Event(HumanMessage("hi"))],
                f"{NOT_THERE}, or append with create=True",
            ),
            ("update_session_state", [{"a": 1}], f"{NOT_THERE}, or append with create=True"),
            ("append_track_event", ["tools", {}], f"{NOT_THERE} before its tracks"),
        )
        for do in [
            lambda name=f"{prefix}{name}", arguments=arguments: getattr(SERVICE, name)(
                NOBODY, *arguments
            )
        ]
    ),
)
def test_a_session_that_is_not_there(do: Do, kind: type[Exception], text: str) -> None:
    assert tell(fail(do, kind)) == text


# --- State ----------------------------------------------------------------------------------------

STATE_METHODS: dict[str, tuple[str, Callable[[str, str], Any]]] = {
    "update_user_state": (
        "values",
        lambda name, a: getattr(SERVICE, f"{a}update_user_state")("shop", "ann", {name: 1}),
    ),
    "update_app_state": (
        "values",
        lambda name, a: getattr(SERVICE, f"{a}update_app_state")("shop", {name: 1}),
    ),
    "delete_session_state": (
        "names",
        lambda name, a: getattr(SERVICE, f"{a}delete_session_state")(KEY, name),
    ),
    "delete_user_state": (
        "names",
        lambda name, a: getattr(SERVICE, f"{a}delete_user_state")("shop", "ann", name),
    ),
    "delete_app_state": (
        "names",
        lambda name, a: getattr(SERVICE, f"{a}delete_app_state")("shop", name),
    ),
}


@table(
    *(
        (
            f"{a}{method}: {name}",
            lambda do=do, name=name, a=a: do(name, a),
            ConfigurationError,
            text,
        )
        for method, (path, do) in STATE_METHODS.items()
        for a in ("", "a")
        for name, advice in (
            ("app:x", f"a name in the app's state; use {method.partition('_')[0]}_app_state"),
            ("user:x", f"a name in the user's state; use {method.partition('_')[0]}_user_state"),
            ("temp:x", "temporary and never stored; leave it out"),
        )
        if f"_{name.partition(':')[0]}_" not in method
        for text in [f"{path}: {name!r} is {advice}"]
    ),
    (
        "a list of names",
        lambda: SERVICE.delete_session_state(KEY, ["x"]),  # type: ignore[arg-type]
        ConfigurationError,
        "names must be given one by one, not as ['x']; put a * before it",
    ),
    (
        "no name",
        lambda: SERVICE.update_session_state(KEY, {5: 1}),  # type: ignore[dict-item]
        ConfigurationError,
        "values: a state name must be a string that is not empty, not 5",
    ),
    (
        "a dict for a store",
        lambda: RedisSessionStore(SERVICE, KEY).mset({"a": 1}),  # type: ignore[arg-type]
        ConfigurationError,
        "a store takes a list of pairs (key, value), not the dict {'a': 1}; give its .items()",
    ),
)
def test_an_error_says_what_is_wrong_with_a_name_of_state(
    do: Do, kind: type[Exception], text: str
) -> None:
    assert tell(fail(do, kind)) == text


def test_names_have_the_prefix_of_their_own_scope_or_none() -> None:
    SERVICE.update_user_state("shop", "bob", {"user:a": 1, "b": 2})
    SERVICE.update_app_state("shop2", {"app:a": 1, "b": 2})
    assert SERVICE.get_user_state("shop", "bob") == {"a": 1, "b": 2}
    assert SERVICE.delete_user_state("shop", "bob", "user:a", "b") == 2
    assert SERVICE.delete_app_state("shop2", "app:a", "b") == 2
