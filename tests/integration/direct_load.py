"""Load on a service without write-behind, and what became of it.

Each writer sends an event until it is acknowledged, as an app would whose caller tries again.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import HumanMessage

from langchain_redis_session import BackendUnavailableError, Event, RedisSessionService, SessionKey
from tests.effort import LOAD
from tests.waits import PATIENCE_S, wait_until

PAUSE_S = 0.01


@dataclass
class Outcome:
    """What a reader finds of what was acknowledged, in all sessions."""

    acknowledged: int = 0
    lost: int = 0
    doubled: int = 0
    out_of_order: int = 0
    unavailable: int = 0
    """How many attempts were refused, and made again."""

    @property
    def is_good(self) -> bool:
        return self.acknowledged > 0 and not (self.lost or self.doubled or self.out_of_order)


def show(outcome: Outcome) -> None:
    """Print the figures of a longer run."""
    if LOAD > 1:
        print(outcome)


class DirectLoad:
    """Threads and tasks that append to sessions by turns, through one service.

    Attributes:
        acknowledged: The texts that were acknowledged, by session and writer, oldest first.
        refused: How many attempts failed, by their error's text.
    """

    def __init__(
        self,
        service: RedisSessionService,
        keys: Sequence[SessionKey],
        *,
        threads: int = 4,
        tasks: int = 4,
    ) -> None:
        self.service, self.keys = service, keys
        self.acknowledged: dict[tuple[SessionKey, int], list[str]] = defaultdict(list)
        self.refused: Counter[str] = Counter()
        self._stop = threading.Event()
        self._errors: list[BaseException] = []
        self._threads = [
            threading.Thread(target=self._guard, args=(self._write, writer))
            for writer in range(threads)
        ]
        writers = range(threads, threads + tasks)
        if tasks:
            run = threading.Thread(target=self._guard, args=(self._run_tasks, writers))
            self._threads.append(run)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Append while the block runs; no writer has failed otherwise than by being refused."""
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
        """How many appends were acknowledged so far."""
        return sum(map(len, list(self.acknowledged.values())))

    def go_on(self, count: int) -> None:
        """Wait until so many more were acknowledged, by each writer one at least."""
        enough, before = self.count + count, self._count_by_writer()
        wait_until(
            lambda: (
                bool(self._errors)
                or (
                    self.count >= enough
                    and all(n > before[writer] for writer, n in self._count_by_writer().items())
                )
            )
        )

    def look(self, reader: RedisSessionService) -> Outcome:
        """Compare what was acknowledged with what is there."""
        outcome = Outcome(self.count, unavailable=sum(self.refused.values()))
        for key in self.keys:
            found: dict[int, list[str]] = defaultdict(list)
            for message in reader.get_messages(key):
                found[int(str(message.content).split(":")[0])].append(str(message.content))
            for (owner, writer), texts in self.acknowledged.items():
                if owner != key:
                    continue
                outcome.lost += len(set(texts) - set(found[writer]))
                outcome.doubled += len(found[writer]) - len(set(found[writer]))
                ordered = sorted(found[writer], key=lambda text: int(text.split(":")[1]))
                outcome.out_of_order += sum(
                    a != b for a, b in zip(found[writer], ordered, strict=True)
                )
        return outcome

    def _count_by_writer(self) -> Counter[int]:
        counts: Counter[int] = Counter()
        for (_, writer), texts in list(self.acknowledged.items()):
            counts[writer] += len(texts)
        return counts

    def _guard(self, function: Callable[..., None], *args: Any) -> None:
        try:
            function(*args)
        except BaseException as error:
            self._errors.append(error)

    def _next(self, writer: int, number: int) -> tuple[SessionKey, Event]:
        key = self.keys[(writer + number) % len(self.keys)]
        return key, Event(HumanMessage(f"{writer}:{number}"))

    def _write(self, writer: int) -> None:
        number = 0
        while not self._stop.is_set():
            key, event = self._next(writer, number)
            while not self._stop.is_set():
                try:
                    self.service.append_event(key, event)
                except BackendUnavailableError as error:
                    self.refused[str(error)] += 1
                    time.sleep(PAUSE_S)
                else:
                    self.acknowledged[key, writer].append(f"{writer}:{number}")
                    break
            number += 1
            time.sleep(PAUSE_S)

    def _run_tasks(self, writers: range) -> None:
        async def write(writer: int) -> None:
            number = 0
            while not self._stop.is_set():
                key, event = self._next(writer, number)
                while not self._stop.is_set():
                    try:
                        await self.service.aappend_event(key, event)
                    except BackendUnavailableError as error:
                        self.refused[str(error)] += 1
                        await asyncio.sleep(PAUSE_S)
                    else:
                        self.acknowledged[key, writer].append(f"{writer}:{number}")
                        break
                number += 1
                await asyncio.sleep(PAUSE_S)

        async def main() -> None:
            await asyncio.gather(*map(write, writers))

        asyncio.run(main())
