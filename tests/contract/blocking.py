"""Finds what holds up an event loop: calls that wait, files, imports.

As a program it calls every async method in a process that has called none before, and prints
what held up the loop: `python -m tests.contract.blocking URL`.
"""

from __future__ import annotations

import asyncio
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import blockbuster

from tests.contract.backends import Verbs
from tests.contract.methods import HISTORY_METHODS, METHODS

if TYPE_CHECKING:
    from langchain_redis_session import RedisSessionService

# What Python itself announces, whoever does it and however.
_EVENTS = {
    "import",
    "open",
    "os.listdir",
    "os.mkdir",
    "os.remove",
    "os.scandir",
    "socket.getaddrinfo",
    "sqlite3.connect",
    "subprocess.Popen",
    "time.sleep",
}
_found: list[str] | None = None


def _note(what: str) -> None:
    frames = [
        f"    {frame.f_code.co_filename}:{line} {frame.f_code.co_name}"
        for frame, line in traceback.walk_stack(None)  # and not their texts, from files
        if "importlib" not in frame.f_code.co_filename and frame.f_code.co_filename != __file__
    ]
    assert _found is not None
    _found.append("\n".join([what, *frames[:12]]))


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    # Only what this thread's running loop waits for.
    if _found is None or event not in _EVENTS or asyncio._get_running_loop() is None:
        return
    _note(f"{event} {arguments[:1]}")


class _BlockingError(blockbuster.BlockingError):
    """Noted even if somebody catches it."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        _note(what)


@contextmanager
def detect_blocking() -> Iterator[list[str]]:
    """Give the list of what holds up a loop in here; a call that waits raises, too.

    Call `install_detector` before, outside of all loops.
    """
    global _found
    detector = blockbuster.BlockBuster()
    detector.activate()
    _found = found = []
    try:
        yield found
    finally:
        _found = None
        detector.deactivate()


def install_detector() -> None:
    """Let Python tell of files and imports, from now on."""
    sys.addaudithook(_audit)
    blockbuster.blockbuster.BlockingError = _BlockingError


async def call_all(make_service: Callable[[], RedisSessionService]) -> dict[str, list[str]]:
    """Call every method; give what held up the loop, by method.

    Each is called with a service of its own, which has to connect in the loop, and again with
    a warm one.
    """
    from langchain_redis_session import RedisSessionChatMessageHistory, SessionKey

    key, held_up = SessionKey("shop", "ann", "s1"), {}

    async def watch(name: str, call: Callable[[Verbs], Any], verbs: Verbs) -> None:
        with detect_blocking() as found:
            try:
                await call(verbs)
            except blockbuster.BlockingError:
                pass
            except Exception as e:
                print("!!", name, e)
        if found:
            held_up[name] = found

    async def close(verbs: Verbs) -> None:
        await verbs.close()

    async def read(verbs: Verbs) -> None:
        for method in HISTORY_METHODS.values():
            await method(RedisSessionChatMessageHistory("s2", service=verbs.service))

    warm = None
    for name, method in METHODS.items():

        async def call(verbs: Verbs, method: Any = method) -> None:
            await method(verbs, key)

        with detect_blocking() as found:
            cold = Verbs(make_service(), "async")
        if found:
            held_up[f"{name}: making its service"] = found
        await watch(f"{name}, cold", call, cold)
        if warm is None:
            warm = cold
        else:
            await watch(f"{name}: closing its service", close, cold)
            await watch(f"{name}, warm", call, warm)
    for name, history_method in HISTORY_METHODS.items():

        async def call_history(verbs: Verbs, method: Any = history_method) -> None:
            await method(RedisSessionChatMessageHistory("s2", service=verbs.service))

        cold = Verbs(make_service(), "async")
        await watch(f"history.{name}, cold", call_history, cold)
        await watch(f"history.{name}, warm", call_history, cold)
        await watch(f"history.{name}: closing its service", close, cold)
    return held_up
