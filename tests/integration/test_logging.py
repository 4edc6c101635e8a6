"""The log: silent unless asked for, and never with content, values or credentials."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fakeredis
import pytest
import redis
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage

from langchain_redis_session import (
    DeadLetter,
    Event,
    RedisSessionChatMessageHistory,
    RedisSessionError,
    RedisSessionService,
    SessionCallbackHandler,
    SessionKey,
    TrackCallbackHandler,
)
from tests.contract.hooks import make_handler, raise_
from tests.processes import run_python
from tests.waits import MOMENT_S, PATIENCE_S

SECRET = "s3cr3t"
KEY = SessionKey("shop", "ann", "s1")
LOGGER = "langchain_redis_session"


class Raising(SessionCallbackHandler):
    """Fails in everything that comes too late for a veto, with the secret in its words."""

    raise_error = True

    _fail: Any = staticmethod(lambda *args, **_: raise_(ValueError(SECRET, *args)))
    on_append_event_end = _fail
    on_append_event_error = _fail
    on_get_session_error = _fail
    on_persist_error = _fail
    on_corrupt_event = _fail
    on_custom_event = _fail


class Flaky(fakeredis.FakeRedis):
    """Fails with the command in the text of the error, as redis-py's pipelines do."""

    error: type[Exception] | None = None

    def execute_command(self, *args: Any, **options: Any) -> Any:
        if self.error is not None and args[0] != "INFO":
            raise self.error(f"Command {args!r} caused an error")
        return super().execute_command(*args, **options)  # type: ignore[no-untyped-call]


def attempt(call: Callable[[], Any]) -> None:
    try:
        call()
    except (RedisSessionError, ValueError, RuntimeError):
        return


def drive(service: RedisSessionService, client: Flaky) -> None:
    """Do what can be done with a service, and a good deal that goes wrong."""
    message = AIMessage(
        SECRET,
        id=SECRET,
        additional_kwargs={SECRET: SECRET},
        tool_calls=[{"name": SECRET, "args": {SECRET: SECRET}, "id": SECRET, "type": "tool_call"}],
    )
    bad = HumanMessage(SECRET, additional_kwargs={"x": {SECRET}})
    artifact = ToolMessage(SECRET, tool_call_id=SECRET, artifact=object())
    fail: Any = lambda _: raise_(ValueError(SECRET))  # noqa: E731
    guards = [
        make_handler("plain", **{hook: fail})
        for hook in ("append_event_start", "get_session_start", "get_session_end")
    ]
    spoiler = make_handler(
        "plain", append_event_start=lambda context: setattr(context, "event", SECRET)
    )
    calls: list[Callable[[], Any]] = [
        lambda: service.create_session("shop", "ann", "s1", state={"k": SECRET, "user:k": SECRET}),
        lambda: service.append_messages(KEY, [message], state_delta={"k": SECRET}, once=True),
        lambda: service.append_messages(KEY, [message], once=True),
        lambda: service.append_messages(KEY, [bad]),
        lambda: service.append_messages(KEY, [artifact]),
        lambda: service.append_messages(KEY, [HumanMessage(SECRET * 1000)]),
        lambda: service.append_event(KEY, Event(HumanMessage(SECRET), author=SECRET, tag=SECRET)),
        lambda: service.append_event(SessionKey("shop", "ann", "no"), Event(HumanMessage(SECRET))),
        lambda: service.append_track_event(KEY, "t", {SECRET: SECRET}),
        lambda: service.append_track_event(KEY, "t", {SECRET}),
        lambda: service.append_track_event(SessionKey("shop", "ann", "no"), "t", SECRET),
        lambda: service.update_session_state(KEY, {"k": SECRET}),
        lambda: service.update_session_state(KEY, {"k": {SECRET}}),
        lambda: client.zadd("event:{shop}:ann:s1", {f'{{"id":"{SECRET}",'.encode(): 1e30}),
        lambda: client.zadd("track:{shop}:ann:s1:t", {SECRET.encode(): 1e30}),
        lambda: client.hset("userstate:{shop}:ann", "bad", SECRET.encode()),
        lambda: service.get_session(KEY),
        lambda: service.get_session(KEY, strict=True),
        lambda: service.get_messages(KEY),
        lambda: service.search_events(KEY, SECRET),
        lambda: service.get_track_events(KEY, "t"),
        *(
            lambda g=guard: service.append_messages(KEY, [message], callbacks=[g])
            for guard in guards
        ),
        *(lambda g=guard: service.get_messages(KEY, callbacks=[g]) for guard in guards),
        lambda: service.append_messages(KEY, [message], callbacks=[spoiler]),
        lambda: service.flush(PATIENCE_S),
        lambda: client.hset("sess:{shop}:ann", "s1", f"{SECRET} no record"),
        lambda: service.get_session(KEY),
        lambda: service.append_messages(KEY, [message], state_delta={"k": SECRET}),
        lambda: service.list_sessions("shop", "ann", include_events=True),
        lambda: service.delete_session(KEY),
    ]
    for call in calls:
        attempt(call)
    for error in (ConnectionError, ValueError, redis.ResponseError):
        client.error = error
        attempt(lambda: service.append_messages(KEY, [message], create=True))
        attempt(lambda: service.get_messages(KEY))
        attempt(lambda: service.append_track_event(KEY, "t", SECRET))
        time.sleep(MOMENT_S)
        client.error = None
        attempt(lambda: service.flush(PATIENCE_S))
    asyncio.run(drive_async(service, message))


async def drive_async(service: RedisSessionService, message: AIMessage) -> None:
    handlers: list[BaseCallbackHandler] = [
        make_handler("async", append_event_end=lambda _: raise_(ValueError(SECRET)))
    ]
    for create in (False, True):
        try:
            await service.aappend_messages(KEY, [message], create=create, callbacks=handlers)
            await service.aget_session(KEY, callbacks=handlers)
        except RedisSessionError:
            continue
    await service.aflush(PATIENCE_S)


def collect(letters: list[DeadLetter], letter: DeadLetter) -> None:
    letters.append(letter)
    raise ValueError(SECRET, letter)


@pytest.mark.filterwarnings("ignore:.*artifact")
@pytest.mark.parametrize("is_write_behind", [False, True])
def test_no_secret_in_the_log(
    caplog: pytest.LogCaptureFixture, is_write_behind: bool, tmp_path: Path
) -> None:
    caplog.set_level(logging.DEBUG)
    server = fakeredis.FakeServer()
    client = Flaky(server=server)
    letters: list[DeadLetter] = []
    service = RedisSessionService(
        client=client,
        async_client=fakeredis.FakeAsyncRedis(server=server),
        callbacks=[Raising()],
        max_event_bytes=2000,
        enable_async_persist=is_write_behind,
        persist_retry_timeout=0.05,
        persist_spool_dir=tmp_path if is_write_behind else None,
        on_persist_error=lambda letter: collect(letters, letter),
    )
    drive(service, client)
    drive_tracks(service, client)
    service.close()
    if is_write_behind:
        assert letters
    ours = [record for record in caplog.records if record.name == LOGGER]
    assert len(ours) > 20
    logged = "\n".join(caplog.handler.format(record) for record in ours)
    for place in logged.splitlines():
        assert SECRET not in place
    assert "Raising" in logged


def drive_tracks(service: RedisSessionService, client: Flaky) -> None:
    from langchain_core.runnables import RunnableLambda

    handler = TrackCallbackHandler(service, KEY, inputs=True, outputs=True)
    client.error = ValueError
    attempt(lambda: RunnableLambda(lambda x: x).invoke(SECRET, {"callbacks": [handler]}))
    client.error = None
    attempt(handler.flush)


@pytest.mark.parametrize("url", ["redis://ann:{}@127.0.0.1:1/0", "redis://127.0.0.1:1?password={}"])
def test_no_password_in_the_log(caplog: pytest.LogCaptureFixture, url: str) -> None:
    caplog.set_level(logging.DEBUG)
    for options in ({}, {"enable_async_persist": True, "persist_close_timeout": 0.1}):
        service = RedisSessionService(url.format(SECRET), **options)  # type: ignore[arg-type]
        attempt(lambda s=service: s.append_messages(KEY, [HumanMessage("hi")]))  # type: ignore[misc]
        service.close()
        history = RedisSessionChatMessageHistory("s", url.format(SECRET))
        attempt(lambda h=history: h.messages)  # type: ignore[misc]
    assert SECRET not in caplog.text


PROGRAM = """
import logging, sys
from langchain_core.messages import HumanMessage
from langchain_redis_session import RedisSessionService, SessionKey
if sys.argv[1:]:
    logging.basicConfig(level=logging.DEBUG)
with RedisSessionService("memory://", enable_async_persist=True) as service:
    service.append_messages(SessionKey("a", "b", "c"), [HumanMessage("hi")])
"""


@pytest.mark.parametrize("is_asked_for", [False, True])
def test_nothing_is_printed_unless_logging_is_asked_for(is_asked_for: bool) -> None:
    result = run_python("-W", "ignore", "-c", PROGRAM, *(["x"] if is_asked_for else []))
    assert result.returncode == 0, result.stderr
    is_told = "ERROR:langchain_redis_session:1 event(s) of a session could not" in result.stderr
    assert is_told is is_asked_for
    assert is_asked_for or result.stderr == ""
    assert result.stdout == ""


def test_there_is_one_null_handler() -> None:
    handlers = logging.getLogger(LOGGER).handlers
    assert sum(isinstance(handler, logging.NullHandler) for handler in handlers) == 1
