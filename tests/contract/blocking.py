"""Finds what holds up an event loop: calls that wait, files, imports.

As a program it calls every async method in a process that has called none before, and prints
as JSON what held up the loop: `python -m tests.contract.blocking URL OPTIONS`. The options are
the service's, as JSON; `"summarizer"` and `"callbacks"` are made here, by name.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import traceback
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import blockbuster
import opentelemetry.metrics
import opentelemetry.trace  # noqa: F401
from langchain_core.callbacks import AsyncCallbackHandler
from redis import RedisCluster

from tests.contract.backends import Verbs
from tests.methods import HISTORY_METHODS, METHODS, call_method

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
    if _found is None or event not in _EVENTS:
        return
    try:
        asyncio.get_running_loop()
    except RuntimeError:  # no loop waits for it
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
    found: list[str] = []
    _found = found
    try:
        yield found
    finally:
        _found = None
        detector.deactivate()


def install_detector() -> None:
    """Let Python tell of files and imports, from now on."""
    sys.addaudithook(_audit)
    setattr(blockbuster.blockbuster, "BlockingError", _BlockingError)  # noqa: B010


async def call_all(make_service: Callable[[], RedisSessionService]) -> dict[str, list[str]]:
    """Call every method; give what held up the loop, by method.

    Each is called with a service of its own, which has to connect in the loop, and then with one
    that is warm.
    """
    from langchain_redis_session import RedisSessionChatMessageHistory, SessionKey

    key, held_up = SessionKey("shop", "ann", "s1"), {}

    async def watch(name: str, call: Callable[[], Awaitable[Any]]) -> None:
        with detect_blocking() as found, contextlib.suppress(blockbuster.BlockingError):
            await call()
        if found:
            held_up[name] = found

    services: dict[str, RedisSessionService] = {}

    async def make() -> None:
        services["cold"] = make_service()

    async def call_both(name: str, call: Callable[[RedisSessionService], Awaitable[Any]]) -> None:
        await watch(f"{name}: making a service", make)
        cold = services["cold"]
        await watch(f"{name}, cold", lambda: call(cold))
        await watch(f"{name}, warm", lambda: call(services.setdefault("warm", cold)))
        if services["warm"] is not cold:
            await watch(f"{name}: closing a service", cold.aclose)

    for method in METHODS:

        def call_it(service: RedisSessionService, method: str = method) -> Awaitable[Any]:
            return call_method(Verbs(service, "async"), method, key)

        await call_both(method, call_it)
    services.pop("warm", None)  # it was closed
    for name, of_history in HISTORY_METHODS.items():

        def call(service: RedisSessionService, of_history: Any = of_history) -> Awaitable[Any]:
            return of_history(RedisSessionChatMessageHistory("s2", service=service))  # type: ignore[no-any-return]

        await call_both(f"history.{name}", call)
    await watch("closing the last", services["warm"].aclose)
    return held_up


class _Told(AsyncCallbackHandler):
    async def on_custom_event(self, *arguments: Any, **options: Any) -> None:
        """Take LangChain's custom events."""


def _make_options(given: dict[str, Any]) -> dict[str, Any]:
    from langchain_redis_session import SessionCallbackHandler

    made = {
        "summarizer": lambda _request: "a summary",
        "callbacks": [_Told(), SessionCallbackHandler()],
    }
    return {name: made.get(name, value) for name, value in given.items()}


def main(url: str, options: str) -> None:
    """Call all, with services of a URL or, on a cluster, of a client."""
    from langchain_redis_session import RedisSessionService

    given = _make_options(json.loads(options))
    if url.startswith("redis+cluster://"):
        given["client"] = RedisCluster.from_url(url.partition(",")[0].replace("+cluster", ""))
    else:
        given["redis_url"] = url
    with RedisSessionService(**given):  # the first of its options loads what these need
        pass
    install_detector()
    print(json.dumps(asyncio.run(call_all(lambda: RedisSessionService(**given)))))


if __name__ == "__main__":
    main(*sys.argv[1:])
