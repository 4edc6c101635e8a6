"""What is said where Redis is not there, a service is closed, or something is not awaited."""

from __future__ import annotations

import asyncio
import gc
import importlib
import pickle
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import fakeredis
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from langchain.agents import create_agent
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import AIMessage
from redis.backoff import NoBackoff
from redis.retry import Retry

import langchain_redis_session as package
from langchain_redis_session import (
    BackendUnavailableError,
    ConfigurationError,
    RedisSessionChatMessageHistory,
    RedisSessionMemory,
    RedisSessionMemoryStore,
    RedisSessionMiddleware,
    RedisSessionService,
    RedisSessionStore,
    SessionKey,
    SessionServiceClosedError,
    install_error_handlers,
    session_router,
    with_session,
)
from langchain_redis_session._verbs import loops
from tests.integration.mistakes import (
    CONFIG,
    CONTEXT,
    IDS,
    KEY,
    SERVICE,
    Do,
    ask,
    fail,
    make_agent,
    make_chain,
    table,
    tell,
    use,
)
from tests.processes import run_python
from tests.servers import HOST, RedisServer, ServerBinary, free_port

# --- Servers --------------------------------------------------------------------------------------

GONE = "; check that the server runs, can be reached, and accepts writes"


SURFACES = list(use(SERVICE))


@pytest.mark.parametrize("surface", SURFACES)
def test_an_error_says_where_no_server_answers(surface: str) -> None:
    port = free_port()
    with RedisSessionService(
        f"redis://127.0.0.1:{port}", extra_options={"retry": Retry(NoBackoff(), 0)}
    ) as service:
        error = fail(use(service)[surface], BackendUnavailableError)
    refused = (
        f"Connect call failed ('127.0.0.1', {port})" if "async" in surface else "Connection refused"
    )
    assert tell(error) == (
        f"Redis did not take the command (ConnectionError: Error 111 connecting to 127.0.0.1:{port}"
        f". {refused}.){GONE}"
    )


@pytest.fixture(scope="module")
def guarded(redis_binary: ServerBinary) -> Iterator[RedisServer]:
    """A server with a password."""
    with RedisServer(redis_binary, password="Wombat") as server:
        yield server


@pytest.mark.parametrize("surface", SURFACES)
def test_an_error_says_that_the_password_is_wrong(guarded: RedisServer, surface: str) -> None:
    with RedisSessionService(f"redis://:Kangaroo@{HOST}:{guarded.port}") as service:
        error = fail(use(service)[surface], BackendUnavailableError)
    assert tell(error) == (
        "Redis did not take the command (AuthenticationError: invalid username-password pair or "
        "user is disabled.); check the user and the password, percent-encoded in the URL "
        "(redis://user:password@host), or username= and password= (to a service in extra_options=)"
    )


@pytest.mark.parametrize("surface", SURFACES)
def test_an_error_says_that_the_service_was_closed(surface: str) -> None:
    service = RedisSessionService("memory://closed")
    do = use(service)[surface]
    service.close()
    error = fail(do, SessionServiceClosedError)
    assert tell(error) == "RedisSessionService('memory://closed') was closed; make a new service"


SCHEMES = (
    "redis://, rediss://, unix://, redis+cluster://, rediss+cluster://, redis+sentinel://, "
    "rediss+sentinel://, memory://"
)
NO_DATABASE = (
    "redis_url='redis+cluster://…' can't be used: a cluster has no database but 0; leave it out, "
    "and use key_prefix= to keep applications apart"
)


@table(
    *(
        (url, lambda url=url: RedisSessionService(url), ConfigurationError, text)
        for url, text in (
            ("redis+cluster://127.0.0.1:1/2", NO_DATABASE),
            ("redis+cluster://127.0.0.1:1?db=2", NO_DATABASE),
            (
                "localhost:6379",
                f"redis_url=… must begin with one of {SCHEMES}, as in redis://localhost:6379",
            ),
        )
    ),
    (
        "TLS beside a URL",
        lambda: RedisSessionService("redis://localhost", extra_options={"ssl": True}),
        ConfigurationError,
        "ssl=True beside redis_url='redis://localhost:6379': whether to use TLS stands in the "
        "URL's scheme; write rediss://",
    ),
)
def test_addresses_that_can_not_be(do: Do, kind: type[Exception], text: str) -> None:
    assert tell(fail(do, kind)) == text


# --- Sync and async -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("surface", "called", "awaited"),
    [
        ("service", "get_messages", "aget_messages"),
        ("history", "get_messages", "aget_messages"),
        ("with_session", "invoke", "ainvoke"),
        ("store", "mget", "amget"),
        ("memory store", "batch", "abatch"),
        ("classic memory", "load_memory_variables", "aload_memory_variables"),
    ],
)
def test_a_sync_method_in_a_running_loop_warns_with_what_to_await(
    surface: str, called: str, awaited: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loops, "_warned", set())
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)  # another test's
    do = use(RedisSessionService("memory://in-loop"))[surface]

    async def call() -> None:
        do()

    with pytest.warns(RuntimeWarning) as warned:
        asyncio.run(call())
    assert str(warned[0].message) == (
        f"{called}() blocks the running event loop until Redis has answered; await {awaited}() "
        "there"
    )


def test_a_method_that_is_not_awaited_is_named_by_python() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        SERVICE.aget_messages(KEY)  # type: ignore[unused-coroutine]
        gc.collect()
    texts = [str(warning.message) for warning in caught]
    assert any(re.fullmatch(r"coroutine '\w+\.aget_messages' was never awaited", t) for t in texts)


# --- Pickles and packages -------------------------------------------------------------------------

HOLDING: dict[str, Callable[[RedisSessionService], Any]] = {
    "service": lambda service: service,
    "history": lambda service: RedisSessionChatMessageHistory("s1", service=service),
    "with_session": make_chain,
    "middleware": RedisSessionMiddleware,
    "store": lambda service: RedisSessionStore(service, KEY),
    "memory store": lambda service: RedisSessionMemoryStore(service, user="ann"),
    "classic memory": lambda service: RedisSessionMemory(service, "s1"),
}


@pytest.mark.parametrize("surface", HOLDING)
def test_a_pickle_with_a_client_of_ones_own(surface: str) -> None:
    holder = HOLDING[surface](RedisSessionService(client=fakeredis.FakeRedis()))
    error = fail(lambda: pickle.dumps(holder), ConfigurationError)
    assert tell(error) == (
        "RedisSessionService can't be pickled with client=, whose connections belong to this "
        "process; make it of a URL, or anew where it is needed"
    )


@pytest.mark.parametrize("surface", HOLDING)
def test_a_pickle_with_a_url_works(surface: str) -> None:
    holder = HOLDING[surface](RedisSessionService("memory://pickled-mistakes"))
    assert type(pickle.loads(pickle.dumps(holder))) is type(holder)


@pytest.mark.parametrize(
    ("module", "package", "text"),
    [
        ("middleware", "langchain", "RedisSessionMiddleware needs the package langchain: {agents}"),
        (
            "graph_store",
            "langgraph",
            "RedisSessionMemoryStore needs the package langgraph: {agents}",
        ),
        (
            "classic_memory",
            "langchain_classic",
            "RedisSessionMemory needs the package langchain-classic: {classic}",
        ),
        (
            "router_errors",
            "fastapi",
            "session_router and install_error_handlers need the package fastapi: {server}",
        ),
        (
            "router",
            "sse_starlette",
            "session_router needs the package sse-starlette: {server}",
        ),
    ],
)
def test_an_error_names_the_extra_that_is_missing(
    module: str, package: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"langchain_redis_session.adapters.{module}"
    for loaded in [
        each for each in sys.modules if each == name or f"{each}.".startswith(f"{package}.")
    ]:
        monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError) as raised:
        importlib.import_module(name)
    extras = {
        extra: f"pip install 'langchain-redis-session[{extra}]'"
        for extra in ("agents", "classic", "server")
    }
    assert str(raised.value) == text.format(**extras)


NEEDING: dict[str, set[str]] = {
    "langchain": {"RedisSessionMiddleware", "session_state"},
    "langgraph": {"RedisSessionMiddleware", "RedisSessionMemoryStore", "session_state"},
    "langchain_classic": {"RedisSessionMemory"},
    "fastapi": {"session_router", "install_error_handlers"},
    "sse_starlette": {"session_router"},
}
LOOK_AROUND = """
import inspect, pydoc, sys
sys.modules.update(dict.fromkeys(sys.argv[1:]))
import langchain_redis_session as package
from langchain_redis_session import *

assert set(package.__all__) <= set(globals())
assert inspect.getmembers(package) and pydoc.render_doc(package)
for name in package._MODULES.keys() - set(package.__all__):
    try:
        exec(f"from langchain_redis_session import {name}")
    except ImportError as error:
        print(name, error, sep=": ")
"""


@pytest.mark.parametrize("missing", NEEDING)
def test_what_can_not_be_imported_is_not_listed(
    missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    every = set(package.__all__)
    monkeypatch.setitem(sys.modules, missing, None)
    for name in NEEDING[missing]:
        monkeypatch.delitem(vars(package), name, raising=False)
    assert every - set(package.__all__) == NEEDING[missing]
    assert not NEEDING[missing] & set(dir(package))


def test_without_extras_all_else_can_be_imported_and_looked_at() -> None:
    done = run_python("-c", LOOK_AROUND, *NEEDING)
    assert done.returncode == 0, done.stderr
    told = dict(line.split(": ", 1) for line in done.stdout.splitlines())
    assert told.keys() == set().union(*NEEDING.values())
    assert all(": pip install 'langchain-redis-session[" in text for text in told.values())


# --- HTTP -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "status", "detail"),
    [
        (
            "chain",
            422,
            f"this run names no user_id and no session_id (or thread_id); pass a config, {CONFIG}",
        ),
        ("agent", 422, f"this run names no user_id; {CONTEXT}"),
        ("message", 422, "messages[0]: 5 is not a message"),
        ("nothing", 502, "the answer can't be stored"),
        ("no message", 502, "the answer can't be stored"),
        ("unserializable", 502, "the answer can't be stored"),
        ("too large", 502, "the answer can't be stored"),
        ("too large for an agent", 502, "the answer can't be stored"),
        ("nope", 404, "there is no such session"),
        ("closed", 503, "sessions can't be reached now"),
        ("away", 503, "sessions can't be reached now"),
    ],
)
def test_a_mistake_keeps_its_status_over_http(path: str, status: int, detail: str) -> None:
    closed = RedisSessionService("memory://closed")
    closed.close()
    away = RedisSessionService(
        f"redis://127.0.0.1:{free_port()}", extra_options={"retry": Retry(NoBackoff(), 0)}
    )
    strict = RedisSessionService("memory://strict", unserializable="raise", max_event_bytes=400)
    odd = AIMessage("hello", additional_kwargs={"x": object()})

    def answer_with(value: Any, service: RedisSessionService = SERVICE) -> Any:
        return with_session(lambda _: value, service).invoke("hi", IDS)

    def ask_for_much() -> Any:
        model = FakeListChatModel(responses=["x" * 500])
        memory = RedisSessionMiddleware(strict, on_store_error="raise")
        return ask(create_agent(model, middleware=[memory]), "invoke", IDS)

    endpoints: dict[str, Callable[[], Any]] = {
        "nothing": lambda: answer_with(None),
        "no message": lambda: answer_with(5),
        "unserializable": lambda: answer_with(odd, strict),
        "too large": lambda: answer_with("x" * 500, strict),
        "too large for an agent": ask_for_much,
        "chain": lambda: make_chain().invoke("hi"),
        "agent": lambda: ask(make_agent(), "invoke"),
        "message": lambda: SERVICE.append_messages(KEY, [5]),  # type: ignore[list-item]
        "nope": lambda: SERVICE.append_messages(SessionKey("shop", "ann", "nope"), ["hi"]),
        "closed": lambda: closed.get_messages(KEY),
        "away": lambda: away.get_messages(KEY),
    }
    app = FastAPI()
    install_error_handlers(app)
    app.get("/")(endpoints[path])
    with TestClient(app, raise_server_exceptions=False) as client:
        response = client.get("/")
    assert response.status_code == status
    assert response.json()["detail"].startswith(detail)


@pytest.mark.parametrize(
    ("path", "status", "detail"),
    [
        ("nope", 404, "there is no such session"),
        ("%20?after=1e999", 422, ""),
        (f"{'x' * 600}", 422, "session_id has 600 bytes, the most is 512"),
    ],
)
def test_a_mistake_in_a_request_to_the_router_keeps_its_status(
    path: str, status: int, detail: str
) -> None:
    app = FastAPI()
    app.include_router(session_router(SERVICE, user=lambda: "ann"), prefix="/sessions")
    with TestClient(app, raise_server_exceptions=False) as client:
        answer = client.get(f"/sessions/{path}")
    assert answer.status_code == status
    assert not detail or answer.json()["detail"].startswith(detail)
