"""What runs in the processes of `test_spool`: an app with a spool, until it is killed."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from langchain_core.messages import HumanMessage
from redis.backoff import NoBackoff
from redis.retry import Retry

from langchain_redis_session import Event, RedisSessionService, SessionKey, SessionNotFoundError
from tests.waits import PATIENCE_S

NOWHERE = "redis://127.0.0.1:1"
SESSIONS, THREADS, TASKS = 3, 4, 4


def open_service(url: str, directory: Path, **options: Any) -> RedisSessionService:
    """Make a service that keeps everything, with this spool."""
    defaults: dict[str, Any] = {
        "enable_async_persist": True,
        "persist_spool_dir": directory,
        "persist_queue_size": 100_000,
        "session_event_limit": None,
    }
    if url == NOWHERE:
        defaults["persist_close_timeout"] = 0.05
        defaults["extra_options"] = {"retry": Retry(NoBackoff(), 0)}
    return RedisSessionService(url, **{**defaults, **options})


def append_lost(service: RedisSessionService, key: SessionKey) -> None:
    """Append to a session that does not exist, until that is known."""
    service.append_messages(key, [HumanMessage("lost", id="m")], state_delta={"n": 1})
    service.append_track_event(key, "tools", {"a": 1})
    assert not service.flush(PATIENCE_S)
    assert isinstance(service.dead_letters()[0].error, SessionNotFoundError)


def run(url: str, directory: Path, app_name: str, generation: str) -> None:
    """Append from threads and tasks until killed, or told to end; say what was accepted."""
    patience = {"persist_close_timeout": PATIENCE_S, "persist_retry_timeout": None}
    service = open_service(url, directory, async_persister_num=4, **patience)
    stop = threading.Event()

    def say(text: str) -> None:
        os.write(1, f"{text}\n".encode())  # short enough to be written at once

    def events(writer: int) -> Iterator[tuple[SessionKey, Event, str]]:
        number = 0
        while not stop.is_set():
            text = f"{generation}.{writer}:{number}"
            delta = {f"n{generation}.{writer}": number} if number % 4 == 0 else {}
            key = SessionKey(app_name, "u", f"s{number % SESSIONS}")
            yield key, Event(HumanMessage(text), state_delta=delta), text
            number += 1

    def write(writer: int) -> None:
        for key, event, text in events(writer):
            if event.state_delta:
                service.append_event(key, event)
            else:
                service.append_messages(key, [event.message or HumanMessage()], create=True)
            say(text)
            time.sleep(0.002)

    async def awrite(writer: int) -> None:
        for key, event, text in events(writer):
            if event.state_delta:
                await service.aappend_event(key, event)
            else:
                await service.aappend_messages(key, [event.message or HumanMessage()], create=True)
            say(text)
            await asyncio.sleep(0.002)

    async def main() -> None:
        await asyncio.gather(*(awrite(writer) for writer in range(THREADS, THREADS + TASKS)))

    targets = [threading.Thread(target=write, args=(writer,)) for writer in range(THREADS)]
    targets.append(threading.Thread(target=lambda: asyncio.run(main())))
    for thread in targets:
        thread.start()
    sys.stdin.readline()  # "end"
    stop.set()
    for thread in targets:
        thread.join(PATIENCE_S)
    service.close()


def leave_dead_letters(url: str, directory: Path, *names: str) -> None:
    """Be killed with dead letters."""
    append_lost(open_service(url, directory), SessionKey(*names))
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    _, program, url, directory, *names = sys.argv
    if program == "run":
        run(url, Path(directory), *names)
    else:
        leave_dead_letters(url, Path(directory), *names)
