"""Write-behind with one thread, while connections are cut and stalled under it, by a seed."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from redis.backoff import NoBackoff
from redis.retry import Retry

from langchain_redis_session import DeadLetter, Event, RedisSessionService, SessionKey
from tests.effort import LOAD
from tests.integration.persist_load import TRACK, create_all, make_keys, make_service
from tests.proxy import CuttingProxy
from tests.servers import RedisServer
from tests.waits import PATIENCE_S, wait_until

# The client tries nothing again by itself, so each cut reaches the thread that writes.
HASTY = {"retry": Retry(NoBackoff(), 0), "socket_timeout": 0.2, "socket_connect_timeout": 0.2}
SEEDS = range(2 * LOAD)
STEPS = 120


@pytest.fixture(scope="module")
def server(redis_binary: Any) -> Iterator[RedisServer]:
    with RedisServer(redis_binary) as server:
        yield server


class Play:
    """What was accepted by a service, and what became of it.

    Attributes:
        accepted: The numbers of the appends to each session, in order.
        tracked: Likewise, those to a track.
        retries: What came again from the dead letters, for each time that this was asked for.
    """

    def __init__(self, service: RedisSessionService, proxy: CuttingProxy, seed: int) -> None:
        self.service, self.proxy, self.chance = service, proxy, random.Random(seed)
        self.keys = make_keys(5)
        self.missing = self.keys[3:]
        self.accepted: dict[SessionKey, list[int]] = {key: [] for key in self.keys}
        self.tracked: dict[SessionKey, list[int]] = {key: [] for key in self.keys}
        self.retries: list[set[int]] = []
        self._count = 0
        self._is_refused = False

    def append(self) -> None:
        for _ in range(self.chance.choice((1, 1, 5, 40))):
            key = self.chance.choice(self.keys)
            self._count += 1
            if self.chance.random() < 0.1 and key not in self.missing:
                self.service.append_track_event(key, TRACK, self._count)
                self.tracked[key].append(self._count)
            else:
                self.service.append_event(key, Event(HumanMessage(str(self._count))))
                self.accepted[key].append(self._count)

    def disturb(self) -> None:
        how = self.chance.choice(("before", "after", "now", "stall", "refuse", "forget"))
        if how == "before":
            self.proxy.cut_before(b"EVALSHA")
        elif how == "after":  # it is written, and nobody hears of it
            self.proxy.cut_after(self.chance.randrange(40), match=b"EVALSHA")
        elif how == "now":
            self.proxy.cut_now()
        elif how == "stall":
            self.proxy.stall()
        elif how == "refuse":
            self.proxy.refuse()
            self._is_refused = True
        else:
            self.calm()

    def calm(self) -> None:
        self.proxy.forget()
        if self._is_refused:
            self.proxy.accept()
            self._is_refused = False
        self.proxy.resume()

    def retry(self, creator: RedisSessionService) -> None:
        """Make the sessions that were missing, and let their dead letters come again."""
        create_all(creator, self.missing)
        self.retries.append({n for letter in self.service.dead_letters() for n in numbers(letter)})
        assert self.service.retry_dead_letters() >= len(self.retries[-1])

    def check(self, reader: RedisSessionService) -> None:
        """Check that each is there once, and in its order but for what came again."""
        again = set[int]().union(*self.retries)
        for key in self.keys:
            found = [int(str(message.content)) for message in reader.get_messages(key)]
            assert sorted(found) == self.accepted[key]
            tracked = [event.payload for event in reader.get_track_events(key, TRACK)]
            assert tracked == self.tracked[key]
            for part in (set(found) - again, *self.retries):
                own = [number for number in found if number in part]
                assert own == sorted(own)
            if key not in self.missing:
                assert found == self.accepted[key]


def numbers(letter: DeadLetter) -> list[int]:
    return [
        int(str(event.message.content))
        for event in letter.events
        if isinstance(event, Event) and event.message is not None
    ]


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_happens_to_connections_all_is_stored_once_and_in_order(
    server: RedisServer, make_cutting_proxy: Callable[[int], CuttingProxy], seed: int
) -> None:
    proxy = make_cutting_proxy(server.port)
    options: dict[str, Any] = {"extra_options": HASTY, "persist_queue_size": 400}
    with (
        make_service(proxy.url, persist_retry_timeout=None, **options) as service,
        RedisSessionService(server.url) as direct,
    ):
        play = Play(service, proxy, seed)
        create_all(direct, play.keys[:3])
        steps = [play.append, play.append, play.append, play.disturb, play.calm]
        for number in range(STEPS):
            if number == STEPS // 2:
                play.calm()
                wait_until(lambda: bool(service.dead_letters()))
                play.retry(direct)
            calming = threading.Timer(1.0, play.calm)  # a full queue must not wait for ever
            calming.start()
            try:
                play.chance.choice(steps)()
            finally:
                calming.cancel()
                calming.join(PATIENCE_S)
        play.calm()
        service.flush(PATIENCE_S)
        play.retry(direct)
        assert service.flush(PATIENCE_S)
        stats = service.stats().persist
        assert stats is not None
        assert stats.written == stats.accepted
        assert stats.retried > 0
        assert proxy.cuts > 0
        play.check(direct)
