"""A program whose calls are interrupted at any moment, by signals or cancellation.

    python -m tests.integration.interrupted sync standalone 20 '[6379]' 1

The kinds are url, standalone, blocking, patched, single, sentinel, cluster; the modes sync (a
signal's handler raises), cancel (tasks are cancelled) and loop (a signal's handler raises in an
event loop, which goes on then); then seconds, ports and a seed.

Ann and Bob each have a session, and what is read of one must be that one's. It prints what it
saw as JSON: calls, interruptions, wrong reads, errors, and what the pool counts in the end.
Signals don't go together with hiredis, which crashes when a handler raises inside of it.
"""

from __future__ import annotations

import sys

if __name__ == "__main__" and sys.argv[1:2] != ["cancel"]:
    sys.modules["hiredis"] = None  # type: ignore[assignment]

import asyncio
import collections
import contextlib
import itertools
import json
import random
import signal
import threading
import time
from types import FrameType, NoneType
from typing import Any

import redis
import redis.asyncio
import redis.asyncio.cluster
import redis.asyncio.sentinel
import redis.sentinel
from langchain_core.messages import HumanMessage

from langchain_redis_session import RedisSessionService, SessionKey
from langchain_redis_session._connections import shared

NAMES = ("ann", "bob")
KEYS = {name: SessionKey("interrupted", name, "s") for name in NAMES}
OPTIONS: dict[str, Any] = {"socket_timeout": 20, "max_connections": 12}


class Interruption(Exception):
    """What the signal's handler raises."""


class TimeLimit(Interruption, TimeoutError):
    """Likewise; for redis-py it looks like one of the socket's."""


class LoopInterruption(KeyboardInterrupt):
    """Likewise; it ends a loop wherever it lands, where the loop reports other exceptions."""


def interrupt(_number: int, frame: FrameType | None) -> None:
    if is_calm:
        return
    while frame is not None:
        # There Python itself leaves its locks taken, and redis-py swallows what is raised.
        name = str(frame.f_globals.get("__name__"))
        if name in ("logging", "threading") or name.startswith("redis.observability"):
            signal.setitimer(signal.ITIMER_REAL, 0.0005, signal.getitimer(signal.ITIMER_REAL)[1])
            return
        frame = frame.f_back
    raise random_.choice(kinds)


is_calm = True
kinds: list[type[BaseException]] = [Interruption, TimeLimit]
random_ = random.Random(1)


def make_client(kind: str, ports: list[int], *, is_async: bool) -> dict[str, Any]:
    """Give the arguments of a service."""
    module: Any = redis.asyncio if is_async else redis
    name = "async_client" if is_async else "client"
    if kind == "url":
        url = f"redis://127.0.0.1:{ports[0]}"
        # A loop may lose a reply: then all wait for the time-out.
        options = OPTIONS | ({"socket_timeout": 5} if is_async else {})
        return {"redis_url": url, "extra_options": options}
    if kind in ("standalone", "patched", "single"):
        client = module.Redis(port=ports[0], single_connection_client=kind == "single", **OPTIONS)
        if kind == "patched":
            own = client.execute_command
            client.execute_command = lambda *args, **options: own(*args, **options)
            if is_async:

                async def patched(*args: Any, **options: Any) -> Any:
                    return await own(*args, **options)

                client.execute_command = patched
        return {name: client}
    if kind == "blocking":
        pool_module = redis.asyncio if is_async else redis
        pool = pool_module.BlockingConnectionPool(port=ports[0], timeout=20, **OPTIONS)
        return {name: module.Redis(connection_pool=pool)}
    if kind == "sentinel":
        sentinel_module: Any = redis.asyncio.sentinel if is_async else redis.sentinel
        sentinel = sentinel_module.Sentinel([("127.0.0.1", ports[0])])
        return {name: sentinel.master_for("primary", **OPTIONS)}
    cluster: Any = redis.asyncio.RedisCluster if is_async else redis.RedisCluster
    return {name: cluster(host="127.0.0.1", port=ports[0], socket_timeout=20)}


def look(service: RedisSessionService, name: str, key: SessionKey, tally: Any) -> None:
    messages = service.get_messages(key)
    tally["wrong"] += any(message.content != name for message in messages) or not messages
    session = service.get_session(key)  # a batch
    assert session is not None
    tally["wrong"] += any(message.content != name for message in session.messages)


async def alook(service: RedisSessionService, name: str, key: SessionKey, tally: Any) -> None:
    messages = await service.aget_messages(key, limit=20)
    tally["wrong"] += any(message.content != name for message in messages) or not messages
    session = await service.aget_session(key, limit=20)
    assert session is not None
    tally["wrong"] += any(message.content != name for message in session.messages)


def interrupt_by_signals(service: RedisSessionService, seconds: float, tally: Any) -> None:
    global is_calm
    stop = threading.Event()
    other = threading.Thread(target=look_on, args=(service, stop, tally), daemon=True)
    other.start()
    signal.signal(signal.SIGALRM, interrupt)
    end_s = time.monotonic() + seconds
    for name in itertools.cycle(NAMES):
        if time.monotonic() > end_s:
            break
        is_calm = False
        try:
            try:
                signal.setitimer(signal.ITIMER_REAL, random_.uniform(0.00002, 0.003))
                until_s = time.monotonic() + 0.05  # the alarm may have been swallowed
                while time.monotonic() < until_s:
                    look(service, name, KEYS[name], tally)
                    tally["calls"] += 1
            except Interruption:
                tally["interruptions"] += 1
            except Exception as error:
                tally[f"error: {error!r}"[:200]] += 1
            signal.setitimer(signal.ITIMER_REAL, 0)
        except Interruption:  # there is one alarm each time, but it may come here
            tally["interruptions"] += 1
        is_calm = True
    stop.set()
    other.join(60)


def look_on(service: RedisSessionService, stop: threading.Event, tally: Any) -> None:
    """Another thread on the same pool, which nobody interrupts."""
    for name in itertools.cycle(NAMES):
        if stop.is_set():
            return
        try:
            look(service, name, KEYS[name], tally)
        except Exception as error:
            tally[f"bystander: {error!r}"[:200]] += 1
        tally["bystander's calls"] += 1


async def interrupt_by_cancelling(service: RedisSessionService, seconds: float, tally: Any) -> None:
    end_s = time.monotonic() + seconds
    loop = asyncio.get_running_loop()
    for name in itertools.cycle(NAMES):
        if time.monotonic() > end_s:
            break
        tasks = [loop.create_task(alook(service, name, KEYS[name], tally)) for _ in range(3)]
        for task in tasks[1:]:
            loop.call_later(random_.uniform(0.00002, 0.004), task.cancel)
        for task in tasks:
            tally["calls"] += 1
            try:
                await task
            except asyncio.CancelledError:
                tally["interruptions"] += 1
            except Exception as error:
                tally[f"error: {error!r}"[:200]] += 1


def interrupt_a_loop(service: RedisSessionService, seconds: float, tally: Any) -> None:
    """What the loop itself loses, so that a task never ends, is not counted."""
    global is_calm
    loop = asyncio.get_event_loop()
    loop.set_exception_handler(lambda _loop, _context: None)
    kinds.append(LoopInterruption)
    signal.signal(signal.SIGALRM, interrupt)
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s or not tally["interruptions"]:
        looks = [alook(service, name, KEYS[name], tally) for name in NAMES * 4]
        tasks = [loop.create_task(look) for look in looks]
        waiting = asyncio.wait(tasks, timeout=5)
        is_calm = False
        try:
            try:
                # Where the loop loses what it waits for, another signal ends that.
                signal.setitimer(signal.ITIMER_REAL, random_.uniform(0.00002, 0.006), 10)
                loop.run_until_complete(waiting)
            except (Interruption, LoopInterruption):
                tally["interruptions"] += 1
            signal.setitimer(signal.ITIMER_REAL, 0)
        except (Interruption, LoopInterruption):
            tally["interruptions"] += 1
        is_calm = True
        waiting.close()
        with contextlib.suppress(RuntimeError):  # it was to stop, and does so now
            loop.run_until_complete(asyncio.sleep(0))
        loop.run_until_complete(asyncio.wait(tasks, timeout=5))
        for task in tasks:
            tally["calls"] += 1
            if not task.done():
                task.cancel()
            elif not isinstance(
                error := task.exception(), (Interruption, LoopInterruption, NoneType)
            ):
                tally[f"error: {error!r}"[:200]] += 1
        for name in NAMES:
            loop.run_until_complete(asyncio.wait_for(alook(service, name, KEYS[name], tally), 30))


def main() -> None:
    global random_
    mode, kind, seconds, ports, seed = sys.argv[1:6]
    random_ = random.Random(int(seed))
    shared._LONGEST_OPENING_S = 2.0  # noqa: SLF001  # a loop may lose the task that connects
    tally: collections.Counter[str] = collections.Counter()
    is_async = mode != "sync"
    given = make_client(kind, json.loads(ports), is_async=is_async)
    service = RedisSessionService(**given)
    if mode == "sync":
        for name, key in KEYS.items():
            service.append_messages(key, [HumanMessage(name)] * 3, create=True)
        interrupt_by_signals(service, float(seconds), tally)
        for name in NAMES * 4:
            look(service, name, KEYS[name], tally)
    elif mode == "loop":
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        for name, key in KEYS.items():
            loop.run_until_complete(
                service.aappend_messages(key, [HumanMessage(name)] * 3, create=True)
            )
        interrupt_a_loop(service, float(seconds), tally)
        loop.run_until_complete(service.aclose())
        loop.close()
    else:

        async def work() -> None:
            for name, key in KEYS.items():
                await service.aappend_messages(key, [HumanMessage(name)] * 3, create=True)
            await interrupt_by_cancelling(service, float(seconds), tally)
            for name in NAMES * 4:
                await alook(service, name, KEYS[name], tally)
            await service.aclose()
            for client in given.values():
                if hasattr(client, "aclose"):
                    await client.aclose()

        asyncio.run(work())
    pools: list[Any] = [getattr(client, "connection_pool", None) for client in given.values()]
    for pool in pools:
        if hasattr(pool, "_in_use_connections") and kind not in ("single", "blocking"):
            tally["in use"] = len(pool._in_use_connections)  # noqa: SLF001
    if kind == "url" and mode == "sync":
        exchanges: Any = service._connections.exchanges()  # noqa: SLF001
        exchanges.give_back()
        tally["in use"] = len(exchanges._pool._in_use_connections)  # noqa: SLF001
    print(json.dumps(tally))


if __name__ == "__main__":
    main()
