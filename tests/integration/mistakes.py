"""Tables of typical mistakes, and what is said of them.

A row is a mistake, made wherever it can be made, the type of the error, and its whole text, which
says what was wrong, with which value, and what to do.
"""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any
from uuid import UUID

import pytest
import redis
import redis.asyncio
from langchain.agents import create_agent
from langchain_core.language_models import FakeListChatModel

from langchain_redis_session import (
    RedisSessionChatMessageHistory,
    RedisSessionError,
    RedisSessionMemory,
    RedisSessionMemoryStore,
    RedisSessionMiddleware,
    RedisSessionService,
    RedisSessionStore,
    SessionKey,
    with_session,
)

KEY = SessionKey("shop", "ann", "s1")
IDS: Any = {"configurable": {"user_id": "ann", "session_id": "s1", "thread_id": "s1"}}
MODEL = FakeListChatModel(responses=["hi"])
SERVICE = RedisSessionService("memory://typical-mistakes")
UUID_5 = UUID(int=5)

CONFIG = 'a dict such as {"configurable": {"user_id": "ann", "session_id": "s1"}}'
CONTEXT = (
    "pass context= with user_id and session_id, or a config, "
    '{"configurable": {"user_id": "ann", "thread_id": "s1"}}, or let '
    "RedisSessionMiddleware(session=…) choose. (On Python 3.10, asynchronous runs need context= or "
    "session=)"
)

Do = Callable[[], Any]
Row = tuple[str, Do, type[Exception], str]


def table(*rows: Row) -> pytest.MarkDecorator:
    """One test for each row: its name, what is done, and the error."""
    return pytest.mark.parametrize(
        ("do", "kind", "text"), [pytest.param(*row[1:], id=row[0]) for row in rows]
    )


def each(ways: dict[str, Callable[[Any], Any]], name: str, value: Any, *said: Any) -> list[Row]:
    """A row for each way to make a mistake with a value."""
    return [(f"{name}: {way}", partial(do, value), *said) for way, do in ways.items()]


def run(do: Do) -> Any:
    """Do it, in an event loop where it is asynchronous."""
    result = do()
    return asyncio.run(result) if inspect.iscoroutine(result) else result


def fail(do: Do, kind: type[Exception]) -> Exception:
    """Do what can't work; gives the error, which is ours and shows none of others."""
    SERVICE.create_session(*KEY.scope)
    before = SERVICE.get_session(KEY)
    with pytest.raises(kind) as raised:
        run(do)
    error = raised.value
    assert type(error) is kind
    assert SERVICE.get_session(KEY) == before
    for shown in list_shown(error):
        assert isinstance(shown, (RedisSessionError, redis.RedisError, OSError)), repr(shown)
    return error


def list_shown(error: BaseException) -> Iterator[BaseException]:
    """What else a traceback shows of an error: causes, and what it came up in."""
    shown: BaseException | None = error
    while shown is not None:
        shown = shown.__cause__ or (None if shown.__suppress_context__ else shown.__context__)
        if shown is not None:
            yield shown


def tell(error: BaseException) -> str:
    """The text of an error, without what differs from run to run."""
    return re.sub(r" at 0x[0-9a-f]+…?>?", " at 0x…", str(error))


def make_history(**options: Any) -> RedisSessionChatMessageHistory:
    return RedisSessionChatMessageHistory(
        "s1", service=SERVICE, app_name="shop", user_id="ann", **options
    )


def make_chain(service: Any = SERVICE, **options: Any) -> Any:
    return with_session(MODEL, service, app_name="shop", **options)


def make_agent(service: Any = SERVICE, **options: Any) -> Any:
    return create_agent(MODEL, middleware=[RedisSessionMiddleware(service, **options)])


async def list_async(stream: Any) -> list[Any]:
    return [chunk async for chunk in stream]


def make_service(**options: Any) -> RedisSessionService:
    return RedisSessionService(**{"redis_url": "memory://other", **options})


def ask(agent: Any, how: str, *config: Any, **options: Any) -> Any:
    return getattr(agent, how)({"messages": "hi"}, *config, **options)


def use(service: RedisSessionService) -> dict[str, Do]:
    """A read on each surface."""
    key, store = SessionKey("shop", "ann", "s1"), RedisSessionMemoryStore(service)
    history = RedisSessionChatMessageHistory("s1", service=service)
    agent, chain = make_agent(service), make_chain(service)
    return {
        "service": lambda: service.get_messages(key),
        "service, async": lambda: service.aget_messages(key),
        "history": lambda: history.messages,
        "history, async": history.aget_messages,
        "with_session": lambda: chain.invoke("hi", IDS),
        "with_session, async": lambda: chain.ainvoke("hi", IDS),
        "agent": lambda: ask(agent, "invoke", IDS),
        "agent, async": lambda: ask(agent, "ainvoke", IDS),
        "store": lambda: RedisSessionStore(service, key).mget(["a"]),
        "store, async": lambda: RedisSessionStore(service, key).amget(["a"]),
        "memory store": lambda: store.get(("a",), "b"),
        "memory store, async": lambda: store.aget(("a",), "b"),
        "classic memory": lambda: RedisSessionMemory(service, "s1").load_memory_variables({}),
    }
