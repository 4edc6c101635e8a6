"""Calling hooks, one after the other, from synchronous and from asynchronous code.

What is called when, and what follows from an error, stands in generators of steps (see
`_hooks`): they yield a hook with its arguments and receive the error that it raised, or None.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Generator
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

from langchain_core.callbacks import BaseCallbackHandler

from langchain_redis_session._logs import logger
from langchain_redis_session.errors import ConfigurationError

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class Hook:
    """A method of a handler.

    Attributes:
        handler: The handler.
        name: The method's name.
        place: The handler's place among those called.
        method: The method.
        is_async: Whether it gives something to await.
    """

    handler: BaseCallbackHandler
    name: str
    place: int
    method: Callable[..., Any]
    is_async: bool

    def __str__(self) -> str:
        return f"{self.name} of {type(self.handler).__name__}"


_Step: TypeAlias = "tuple[Hook, tuple[Any, ...]]"
Steps: TypeAlias = Generator[_Step, "Exception | None", T]


@dataclass(slots=True, eq=False)
class _Done(Generic[T]):
    value: T


def _advance(steps: Steps[T], raised: Exception | None) -> _Step | _Done[T]:
    try:
        return steps.send(raised)
    except StopIteration as stop:
        return _Done(stop.value)


def _call(hook: Hook, args: tuple[Any, ...]) -> Any:
    """Call a hook.

    Returns:
        Its error, or what is to be awaited, or None.
    """
    try:
        result = hook.method(*args)
    except Exception as error:
        return error
    if result is None:
        return None
    return result if inspect.isawaitable(result) else None


async def _finish(given: Any) -> Exception | None:
    """Await what a call has left to be awaited."""
    if isinstance(given, Awaitable):
        try:
            await given
        except Exception as error:
            return error
        return None
    assert given is None or isinstance(given, Exception)
    return given


def refuse_async(hook: Hook) -> ConfigurationError:
    """The error of a synchronous method that an async hook would have to see."""
    return ConfigurationError(
        f"{hook} is async, and a synchronous call can't wait for it; call the async method "
        "instead (with an `a` in front: aappend_messages, aget_session, aget_messages, …), or "
        "make it a plain `def` of a SessionCallbackHandler"
    )


def run_steps(steps: Steps[T], *, skips_async: bool = False) -> T:
    """Call the hooks in this thread.

    Raises:
        ConfigurationError: One has to be awaited, and is not to be skipped.
    """
    step = _advance(steps, None)
    while not isinstance(step, _Done):
        hook, args = step
        if hook.is_async and skips_async:
            step = _advance(steps, None)
            continue
        given = _call(hook, args)
        if given is not None and inspect.isawaitable(given):
            if inspect.iscoroutine(given):
                given.close()
            raise refuse_async(hook)
        step = _advance(steps, given)
    return step.value


async def arun_steps(steps: Steps[T]) -> T:
    """Call the hooks without blocking the event loop: plain ones in a thread, but for inline."""
    loop = asyncio.get_running_loop()
    step = _advance(steps, None)
    while not isinstance(step, _Done):
        hook, args = step
        if hook.is_async or hook.handler.run_inline:
            given = _call(hook, args)
            step = _advance(steps, None if given is None else await _finish(given))
            continue
        # In one go as many as are for the thread: going there takes longer than most hooks.
        left = await loop.run_in_executor(None, copy_context().run, _run_in_thread, steps, step)
        step = _advance(steps, await _finish(left)) if isinstance(left, Awaitable) else left
    return step.value


def _run_in_thread(steps: Steps[T], step: _Step) -> _Step | _Done[T] | Awaitable[Any]:
    """Call hooks up to one that is not for a thread, or one that has to be awaited after all."""
    while True:
        given = _call(*step)
        if isinstance(given, Awaitable):
            return given
        following = _advance(steps, given)
        if isinstance(following, _Done):
            return following
        step = following
        if step[0].is_async or step[0].handler.run_inline:
            return step


_tasks: set[asyncio.Task[Any]] = set()  # a loop holds its tasks only weakly
_has_warned = False


def run_steps_behind(
    steps: Steps[None], loop: asyncio.AbstractEventLoop | None, *, has_async: bool
) -> None:
    """Call the hooks after an operation, in a thread that is none of the caller's.

    Async ones run in `loop`, and what stands among them too, so that the order holds; without
    a loop that lives they are left out.
    """
    if not has_async:
        run_steps(steps)
        return
    if loop is not None and not loop.is_closed():
        try:
            loop.call_soon_threadsafe(_start, steps)
            return
        except RuntimeError:  # closed meanwhile
            pass
    _warn_once()
    run_steps(steps, skips_async=True)


def _start(steps: Steps[None]) -> None:
    task = asyncio.get_running_loop().create_task(arun_steps(steps))
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)


def _warn_once() -> None:
    global _has_warned
    if not _has_warned:
        _has_warned = True
        logger.warning(
            "async hooks of appends that write-behind has settled could not be called: the event "
            "loop of those appends is closed; await aflush() before it ends"
        )
