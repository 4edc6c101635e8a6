"""LangChain's custom events: what a service tells ordinary callback handlers, such as tracers.

`dispatch_custom_event` would tell every handler of the running run, and needs one; this tells
the handlers in `callbacks=`, inside the current run where there is one.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler, BaseCallbackManager

from langchain_redis_session._flow.requests import Call, Flow
from langchain_redis_session._logs import logger

PREFIX = "redis_session."


@dataclass(frozen=True, slots=True)
class CurrentRun:
    """The run that an event belongs to; without an id it gets a new one."""

    run_id: UUID | None = None
    tags: list[str] = field(default_factory=list)
    metadata: dict[str, Any] = field(default_factory=dict)


def find_run(manager: BaseCallbackManager | None = None) -> CurrentRun:
    """The run that goes on here, or the one that `manager` was made for."""
    if manager is None or manager.parent_run_id is None:
        runnables = sys.modules.get("langchain_core.runnables.config")  # else nothing runs
        callbacks = runnables.ensure_config().get("callbacks") if runnables else None
        if not isinstance(callbacks, BaseCallbackManager):
            return CurrentRun()
        manager = callbacks
    return CurrentRun(manager.parent_run_id, manager.tags, manager.metadata)


def tell(
    handlers: Sequence[BaseCallbackHandler], run: CurrentRun, name: str, data: Mapping[str, Any]
) -> Flow[None]:
    """Give handlers an event. What they raise is logged: the operation is over."""
    arguments = (handlers, run, name, data)
    yield Call(partial(tell_now, *arguments), partial(_atell, *arguments))


def tell_now(
    handlers: Sequence[BaseCallbackHandler], run: CurrentRun, name: str, data: Mapping[str, Any]
) -> None:
    """Give handlers an event, in synchronous code."""
    from langchain_core.callbacks import CallbackManager

    manager = CallbackManager([*handlers], tags=run.tags, metadata=run.metadata)
    try:
        manager.on_custom_event(PREFIX + name, dict(data), run_id=run.run_id)
    except Exception as error:  # of a handler with `raise_error`
        _log(name, error)


async def _atell(
    handlers: Sequence[BaseCallbackHandler], run: CurrentRun, name: str, data: Mapping[str, Any]
) -> None:
    await asyncio.to_thread(_load_managers)
    from langchain_core.callbacks import AsyncCallbackManager

    manager = AsyncCallbackManager([*handlers], tags=run.tags, metadata=run.metadata)
    try:
        await manager.on_custom_event(PREFIX + name, dict(data), run_id=run.run_id)
    except Exception as error:
        _log(name, error)


def _load_managers() -> None:
    import langchain_core.callbacks.manager  # noqa: F401


def _log(name: str, error: Exception) -> None:
    logger.error(
        "a handler of the custom event %s%s failed: %s", PREFIX, name, type(error).__name__
    )
