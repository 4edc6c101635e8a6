"""Hooks with write-behind: start hooks at acceptance, the others when it is settled."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import HumanMessage

from langchain_redis_session import (
    AppendEventContext,
    ConfigurationError,
    DeadLetter,
    EventRejectedError,
    PersistError,
    RedisSessionService,
    SessionKey,
    SessionNotFoundError,
)
from langchain_redis_session._hooks import calls as _hook_calls
from tests.contract.backends import Backend, RedisProbe, Verbs
from tests.contract.hooks import Kind, every_kind, make_handler, make_recorder, plain_kinds
from tests.contract.narrow import one_server, server_kinds
from tests.contract.store import make_event, make_events, snapshot, texts
from tests.methods import METHODS, call_method
from tests.waits import PATIENCE_S, await_until

MakeVerbs = Callable[..., Verbs]
WORKER = "redis-session-persister"


@pytest.fixture
def make_queued(backend: Backend, make_verbs: MakeVerbs) -> MakeVerbs:
    """Make services with write-behind."""

    def make(**options: Any) -> Verbs:
        if backend.mode == "async":  # the workers are threads
            options["async_client"] = backend.make_async_client()
        return make_verbs(client=backend.client, enable_async_persist=True, **options)

    return make


def where() -> str:
    """Which thread runs, and whether in an event loop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        loop = ""
    else:
        loop = " loop"
    return threading.current_thread().name + loop


@server_kinds
@every_kind
async def test_start_at_acceptance_end_when_written(
    make_queued: MakeVerbs, key: SessionKey, kind: Kind, redis_probe: RedisProbe
) -> None:
    started: list[str] = []
    ended: list[tuple[str, AppendEventContext]] = []

    def start(context: AppendEventContext) -> None:
        assert context.event.message is not None
        context.event.message.content = context.event.message.text.replace("4711", "****")
        context.notes["n"] = len(started)
        started.append(where())

    def end(context: AppendEventContext) -> None:
        ended.append((where(), context))

    handler = make_handler(kind, append_event_start=start, append_event_end=end)
    verbs = make_queued(callbacks=[handler])
    await verbs.create_session("shop", "ann", "s1")
    event = make_event(1, HumanMessage("my PIN is 4711"))
    result = await verbs.append_events(key, [event, make_event(2)])
    assert result.queued
    assert texts(result.events) == ["my PIN is ****", "m2"]
    assert len(started) == 2
    assert WORKER not in started[0]
    assert await verbs.flush(PATIENCE_S)
    await await_until(lambda: len(ended) == 2)
    assert [context.notes["n"] for _, context in ended] == [0, 1]
    here = "MainThread loop" if kind == "async" else WORKER
    assert {place for place, _ in ended} == {here}
    assert [c.event.score for _, c in ended] == [float(e.time_ns) for e in result.events]
    assert event.score == ended[0][1].event.score
    assert all((c.duration_ms or 0) > 0 for _, c in ended)
    assert texts(await verbs.get_messages(key)) == ["my PIN is ****", "m2"]
    assert "4711" not in str(snapshot(redis_probe))


@one_server
@plain_kinds
async def test_end_hooks_come_before_those_who_wait(
    make_queued: MakeVerbs, key: SessionKey, kind: Kind
) -> None:
    seen: list[str] = []

    def slow(_: Any) -> None:
        time.sleep(0.05)
        seen.append("end")

    handler = make_handler(kind, append_event_end=slow)
    verbs = make_queued(callbacks=[handler])
    await verbs.append_messages(key, [HumanMessage("hi")], create=True)
    await verbs.get_messages(key)
    assert seen == ["end"]


@server_kinds
@every_kind
async def test_what_is_given_up(make_queued: MakeVerbs, key: SessionKey, kind: Kind) -> None:
    seen: list[str] = []
    letters: list[DeadLetter] = []
    others: list[DeadLetter] = []
    own: list[DeadLetter] = []
    verbs = make_queued(
        on_persist_error=others.append,
        callbacks=[
            make_recorder(kind, "a", seen),
            make_handler(kind, persist_error=letters.append),
        ],
    )
    await verbs.append_events(key, make_events(1, 2))  # there is no such session
    assert not await verbs.flush(PATIENCE_S)
    await await_until(lambda: len(letters) == 1 and len(seen) == 4)
    assert letters == others == verbs.service.dead_letters()
    assert isinstance(letters[0].error, SessionNotFoundError)
    assert seen == [
        *(f"a append_event_start m{number}" for number in (1, 2)),
        *(f"a append_event_error m{number} SessionNotFoundError" for number in (2, 1)),
    ]
    # Of a call alone, and of a track, which has no other hooks.
    await verbs.append_event(
        key, make_event(3), callbacks=[make_handler(kind, persist_error=own.append)]
    )
    await verbs.append_track_event(key, "t", 1)
    await verbs.flush(PATIENCE_S)
    await await_until(lambda: len(letters) == 3 and len(own) == 1)
    assert own[0] in letters
    # Tried again in vain: the letter is told of again, the append's hooks are not.
    count = len(seen)
    verbs.service.retry_dead_letters()
    await verbs.flush(PATIENCE_S)
    await await_until(lambda: len(letters) == 6 and len(own) == 2)
    assert len(seen) == count


@one_server
@every_kind
async def test_a_veto_queues_nothing(make_queued: MakeVerbs, key: SessionKey, kind: Kind) -> None:
    seen: list[str] = []
    handler = make_recorder(kind, "a", seen, raises_in="append_event_start")
    verbs = make_queued(callbacks=[handler])
    with pytest.raises(EventRejectedError):
        await verbs.append_messages(key, [HumanMessage("hi")], create=True)
    skipping = make_handler(kind, append_event_start=lambda context: context.skip())
    other = make_queued(callbacks=[skipping])
    result = await other.append_messages(key, [HumanMessage("hi")], create=True)
    assert (result.events, result.queued) == ([], True)
    for service in (verbs.service, other.service):
        figures = service.stats().persist
        assert figures is not None
        assert figures.accepted == 0


@one_server
@every_kind
async def test_what_is_not_accepted(make_queued: MakeVerbs, key: SessionKey, kind: Kind) -> None:
    """The error goes to the error hooks, in the caller."""
    seen: list[str] = []
    gate = threading.Event()
    verbs = make_queued(
        async_persister_num=1,
        persist_queue_size=1,
        persist_put_timeout=0.05,
        # Without a lock and in the worker: it holds the next ones up.
        on_persist_error=lambda _: gate.wait(PATIENCE_S),
    )
    try:
        await verbs.append_event(SessionKey("x", "y", "z"), make_event(9))
        await await_until(lambda: len(verbs.service.dead_letters()) == 1)
        await verbs.append_event(key, make_event(1))
        with pytest.raises(PersistError):
            await verbs.append_event(key, make_event(2), callbacks=[make_recorder(kind, "a", seen)])
        assert seen == ["a append_event_start m2", "a append_event_error m2 PersistError"]
    finally:
        gate.set()


@one_server
@plain_kinds
async def test_hooks_that_raise_hurt_nobody(
    make_queued: MakeVerbs, key: SessionKey, kind: Kind, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[str] = []
    verbs = make_queued(
        callbacks=[
            make_recorder(kind, "a", seen),
            make_recorder(kind, "b", seen, raises_in="append_event_end"),
        ],
    )
    for number in range(20):
        await verbs.append_messages(key, [HumanMessage(str(number))], create=True)
    assert await verbs.flush(PATIENCE_S)
    assert len(await verbs.get_messages(key)) == 20
    assert len([line for line in seen if "a append_event_end" in line]) == 20
    assert "on_append_event_end of b failed: KeyError" in caplog.text
    assert "secret" not in caplog.text


@one_server
@pytest.mark.parametrize("mode", ["sync"], indirect=True)
@pytest.mark.parametrize("name", [name for name in METHODS if name.startswith("append_")])
async def test_async_hooks_in_synchronous_calls(
    make_queued: MakeVerbs, key: SessionKey, redis_probe: RedisProbe, name: str
) -> None:
    seen: list[str] = []
    guard = make_handler("async", "Guard", persist_error=lambda _: None)
    verbs = make_queued(callbacks=[make_recorder("plain", "a", seen), guard])
    with pytest.raises(ConfigurationError, match="on_persist_error of Guard is async"):
        await call_method(verbs, name, key)
    assert (seen, redis_probe.keys()) == ([], [])


def test_the_loop_is_closed(
    key: SessionKey, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The plain hooks are called all the same; of the async ones a warning tells, once."""
    monkeypatch.setattr(_hook_calls, "_has_warned", False)
    seen: list[str] = []
    handlers = [make_recorder("plain", "a", seen), make_recorder("async", "b", seen)]
    held = threading.Event()
    plug = make_handler("plain", append_event_end=lambda _: held.wait(PATIENCE_S))
    with RedisSessionService(
        "memory://", enable_async_persist=True, async_persister_num=1
    ) as service:

        async def append() -> None:
            await service.aappend_messages(key, [HumanMessage("0")], create=True, callbacks=[plug])
            for number in (1, 2):
                message = HumanMessage(f"m{number}")
                await service.aappend_messages(key, [message], callbacks=handlers)

        asyncio.run(append())
        held.set()
        assert service.flush(PATIENCE_S)
    assert [line for line in seen if "_end" in line] == [
        "a append_event_end m1",
        "a append_event_end m2",
    ]
    lines = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert len(lines) == 1
    assert "loop" in lines[0].getMessage()


def test_what_a_spool_delivers_has_no_hooks(key: SessionKey, tmp_path: Path) -> None:
    seen: list[str] = []
    name = f"memory://{tmp_path.name}"
    options: dict[str, Any] = {
        "enable_async_persist": True,
        "persist_spool_dir": tmp_path,
        "callbacks": [make_recorder("plain", "a", seen)],
    }
    first = RedisSessionService("redis://127.0.0.1:1", persist_close_timeout=0.05, **options)
    first.append_messages(key, [HumanMessage("hi")], create=True)
    first.close()
    count = len(seen)
    with RedisSessionService(name, **options) as service:
        assert service.flush(PATIENCE_S)
        assert texts(service.get_messages(key, callbacks=[])) == ["hi"]
    assert [line for line in seen[count:] if "append" in line] == []
