"""Load on a service with write-behind, and the check that nothing of it was lost or doubled."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

from langchain_core.messages import HumanMessage

from langchain_redis_session import BackendUnavailableError, Event, RedisSessionService, SessionKey
from tests.waits import PATIENCE_S, wait_until

TRACK = "calls"


def make_keys(count: int) -> list[SessionKey]:
    """Make keys of sessions, several of a user, in apps of their own (so of several slots)."""
    app_name = f"app-{uuid4().hex[:8]}"
    return [SessionKey(f"{app_name}-{i % 3}", f"u{i % 2}", f"s{i}") for i in range(count)]


class Load:
    """Threads and tasks that append to sessions by turns, through one service.

    Attributes:
        accepted: What was appended, for each session and writer, oldest first.
        tracked: Likewise, what went to the track.
        states: The last value that a writer has set in a session.
    """

    def __init__(
        self,
        service: RedisSessionService,
        keys: Sequence[SessionKey],
        *,
        threads: int = 8,
        tasks: int = 8,
        pause_s: float = 0.01,
    ) -> None:
        self.service, self.keys, self.pause_s = service, keys, pause_s
        self.accepted: dict[tuple[SessionKey, int], list[str]] = defaultdict(list)
        self.tracked: dict[tuple[SessionKey, int], list[str]] = defaultdict(list)
        self.states: dict[tuple[SessionKey, int], int] = {}
        self._stop = threading.Event()
        self._errors: list[BaseException] = []
        self._threads = [
            threading.Thread(target=self._guard, args=(self._append_all, writer))
            for writer in range(threads)
        ]
        writers = range(threads, threads + tasks)
        self._threads.append(threading.Thread(target=self._guard, args=(self._run_tasks, writers)))

    @contextmanager
    def running(self) -> Iterator[None]:
        """Append while the block runs; all writers have ended after it, and none has failed."""
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in self._threads:
                thread.join(PATIENCE_S)
        assert not self._errors, self._errors[0]
        assert not any(thread.is_alive() for thread in self._threads)

    @property
    def count(self) -> int:
        """How many appends were accepted so far."""
        return sum(map(len, [*self.accepted.values(), *self.tracked.values()]))

    def go_on(self, count: int) -> None:
        """Wait until so many more were accepted."""
        enough = self.count + count
        wait_until(lambda: self.count >= enough or bool(self._errors))

    def _guard(self, function: Callable[..., None], *args: Any) -> None:
        try:
            function(*args)
        except BaseException as error:
            self._errors.append(error)

    def _append_all(self, writer: int) -> None:
        number = 0
        while not self._stop.is_set():
            key, event = self._next(writer, number)
            if event is None:
                self.service.append_track_event(key, TRACK, f"{writer}:{number}")
            else:
                self.service.append_event(key, event)
            self._note(key, writer, number, event)
            number += 1
            time.sleep(self.pause_s)

    def _run_tasks(self, writers: range) -> None:
        async def append_all(writer: int) -> None:
            number = 0
            while not self._stop.is_set():
                key, event = self._next(writer, number)
                if event is None:
                    await self.service.aappend_track_event(key, TRACK, f"{writer}:{number}")
                else:
                    await self.service.aappend_event(key, event)
                self._note(key, writer, number, event)
                number += 1
                await asyncio.sleep(self.pause_s)

        async def main() -> None:
            await asyncio.gather(*map(append_all, writers))

        asyncio.run(main())

    def _next(self, writer: int, number: int) -> tuple[SessionKey, Event | None]:
        key = self.keys[(writer + number) % len(self.keys)]
        if number % 7 == 3:
            return key, None
        delta = {f"w{writer}": number, f"user:w{writer}": number} if number % 5 == 2 else {}
        return key, Event(HumanMessage(f"{writer}:{number}"), state_delta=delta)

    def _note(self, key: SessionKey, writer: int, number: int, event: Event | None) -> None:
        texts = self.tracked if event is None else self.accepted
        texts[key, writer].append(f"{writer}:{number}")
        if event is not None and event.state_delta:
            self.states[key, writer] = number


def make_service(url: str | None = None, **options: Any) -> RedisSessionService:
    """Make a service with write-behind that keeps everything and waits long for a place."""
    defaults = {
        "session_event_limit": None,
        "track_event_limit": None,
        "enable_async_persist": True,
        "persist_put_timeout": PATIENCE_S,
    }
    return RedisSessionService(url, **{**defaults, **options})


def create_all(service: RedisSessionService, keys: Sequence[SessionKey]) -> None:
    for key in keys:

        def is_created(key: SessionKey = key) -> bool:
            try:
                service.create_session(key.app_name, key.user_id, key.session_id)
            except BackendUnavailableError:  # a new link confirms nothing for up to a second
                return False
            return True

        wait_until(is_created)


def check_complete(load: Load, reader: RedisSessionService) -> None:
    """Check that all that was accepted is there once, in each writer's order, and no more."""
    writers = range(100)
    for key in load.keys:
        session = reader.get_session(key, strict=True)
        assert session is not None
        ids = [event.id for event in session.events]
        assert len(ids) == len(set(ids))
        texts = [str(message.content) for message in session.messages]
        payloads = [event.payload for event in reader.get_track_events(key, TRACK, strict=True)]
        for found, accepted in ((texts, load.accepted), (payloads, load.tracked)):
            expected = [accepted[key, writer] for writer in writers if (key, writer) in accepted]
            assert len(found) == sum(map(len, expected))
            by_writer: dict[str, list[str]] = defaultdict(list)
            for text in found:
                by_writer[text.split(":")[0]].append(text)
            for own in expected:
                assert by_writer[own[0].split(":")[0]] == own
        for (state_key, writer), number in load.states.items():
            if state_key == key:
                assert session.state[f"w{writer}"] == number
    assert load.count > 0
