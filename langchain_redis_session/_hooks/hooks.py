"""The hooks of a service or of one call: which there are, and in what order they are called."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextvars import copy_context
from functools import partial
from typing import Any, TypeAlias

from langchain_core.callbacks import (
    BaseCallbackHandler,
    BaseCallbackManager,
)

from langchain_redis_session._flow.counters import Counters
from langchain_redis_session._flow.requests import Call, Flow
from langchain_redis_session._hooks.calls import (
    Hook,
    Steps,
    arun_steps,
    refuse_async,
    run_steps,
    run_steps_behind,
)
from langchain_redis_session._hooks.discovery import (
    STAGES,
    Operation,
    find_own_methods,
    list_handlers,
)
from langchain_redis_session._logs import logger
from langchain_redis_session._observe.custom_events import find_run, tell_now
from langchain_redis_session.callbacks import (
    AppendEventContext,
    CorruptEventReport,
    GetSessionContext,
    Handlers,
    SummaryContext,
)
from langchain_redis_session.errors import ConfigurationError, EventRejectedError
from langchain_redis_session.models import DeadLetter, Event, Session

HookContext: TypeAlias = AppendEventContext | GetSessionContext | SummaryContext


class Hooks:
    """What the handlers in `callbacks=` take part in.

    Args:
        handlers: The handlers, in order.
        counters: Where vetoes are counted.
        manager: LangChain's manager, where one was given: it may name a run.

    Attributes:
        observers: The handlers that want LangChain's custom events.
        corrupt: The hooks for entries that can't be read.
        persist: The hooks for what write-behind gave up.
    """

    def __init__(
        self,
        handlers: Iterable[BaseCallbackHandler],
        counters: Counters,
        manager: BaseCallbackManager | None = None,
    ) -> None:
        self.handlers = tuple(dict.fromkeys(handlers))
        self.counters, self.manager = counters, manager
        self._hooks: dict[str, tuple[Hook, ...]] = {}
        self.observers: list[BaseCallbackHandler] = []
        for place, handler in enumerate(self.handlers):
            for name, is_async in find_own_methods(handler).items():
                if name == "on_custom_event":
                    self.observers.append(handler)
                    continue
                hook = Hook(handler, name, place, getattr(handler, name), is_async)
                self._hooks[name] = (*self._hooks.get(name, ()), hook)
        self.corrupt = self._hooks.get("on_corrupt_event", ())
        self.persist = self._hooks.get("on_persist_error", ())
        self.of_appends = self._is_wanted("append_event")
        self.of_reads = self._is_wanted("get_session")
        self.of_summaries = self._is_wanted("create_summary")
        self._async_hooks: dict[str, list[Hook]] = {}
        for hooks in self._hooks.values():
            for hook in hooks:
                if hook.is_async:
                    operation = hook.name.removeprefix("on_").rpartition("_")[0]
                    self._async_hooks.setdefault(operation, []).append(hook)

    def extend(self, callbacks: Handlers | Hooks) -> Hooks:
        """These hooks, and those of a call behind them; unless they were put together before."""
        if isinstance(callbacks, Hooks):
            return callbacks
        more = list_handlers(callbacks)
        if not more:
            return self
        manager = callbacks if isinstance(callbacks, BaseCallbackManager) else None
        return Hooks([*self.handlers, *more], self.counters, manager)

    def has(self, operation: Operation, stage: str) -> bool:
        """Whether a handler has a hook for this."""
        return f"on_{operation}_{stage}" in self._hooks

    def find_async(self, operation: Operation) -> Hook | None:
        """A hook of an operation that synchronous code can't wait for."""
        hooks = (hook for stage in STAGES for hook in self._of(operation, stage))
        return next((hook for hook in hooks if hook.is_async), None)

    def _is_wanted(self, operation: Operation) -> bool:
        return any(self.has(operation, stage) for stage in STAGES)

    def _of(self, operation: Operation, stage: str) -> tuple[Hook, ...]:
        return self._hooks.get(f"on_{operation}_{stage}", ())

    # Flows

    def start(self, operation: Operation, *contexts: HookContext) -> Flow[None]:
        """Call the start hooks; to be called even if there are none, for the check.

        Raises:
            EventRejectedError: A hook raised; the error hooks were called.
            ConfigurationError: A hook is async and the method is not, or a hook left something
                in its context that can't be there.
        """
        if operation in self._async_hooks:
            yield from refuse_in_sync(self._async_hooks[operation])
        if self.has(operation, "start"):
            yield from _call(self._starting(operation, contexts))

    def end(self, operation: Operation, *contexts: HookContext) -> Flow[None]:
        """Call the end hooks.

        Raises:
            EventRejectedError: A hook of a read or a summary raised; the error hooks were
                called.
            ConfigurationError: Such a hook left something that can't be there.
        """
        if self.has(operation, "end"):
            yield from _call(self._ending(operation, contexts))

    def error(self, operation: Operation, *contexts: HookContext, error: Exception) -> Flow[None]:
        """Call the error hooks, after an error that no hook has raised."""
        if self.has(operation, "error"):
            yield from _call(self._failing_all(operation, contexts, error))

    def report_corrupt(self, reports: Sequence[CorruptEventReport]) -> Flow[None]:
        """Call the hooks for entries that can't be read."""
        yield from _call(self._telling(self.corrupt, reports))

    # After write-behind, in a worker's thread

    def settle_appends(
        self,
        contexts: Sequence[AppendEventContext],
        error: Exception | None,
        loop: asyncio.AbstractEventLoop | None,
    ) -> None:
        """Call the end or the error hooks of appends."""
        if error is None:
            stage, steps = "end", self._ending("append_event", contexts)
        else:
            stage, steps = "error", self._failing_all("append_event", contexts, error)
        hooks = self._of("append_event", stage)
        if hooks:
            run_steps_behind(steps, loop, has_async=any(hook.is_async for hook in hooks))

    def report_given_up(
        self, letter: DeadLetter, loop: asyncio.AbstractEventLoop | None = None
    ) -> None:
        """Call the hooks for what write-behind gave up, and tell the tracers."""
        if self.observers:
            tell_now(self.observers, find_run(self.manager), "persist_error", _describe(letter))
        has_async = any(hook.is_async for hook in self.persist)
        run_steps_behind(self._telling(self.persist, [letter]), loop, has_async=has_async)

    # Steps

    def _starting(self, operation: Operation, contexts: Sequence[HookContext]) -> Steps[None]:
        for number, context in enumerate(contexts):
            for hook in self._of(operation, "start"):
                raised = yield hook, (context,)
                rejected = self._judge(operation, hook, context, raised)
                if rejected is not None:
                    yield from self._failing(operation, context, rejected, before=hook.place)
                    yield from self._failing_all(operation, contexts[:number], rejected)
                    raise rejected
                if _is_skipped(context):
                    break

    def _ending(self, operation: Operation, contexts: Sequence[HookContext]) -> Steps[None]:
        for context in contexts:
            for hook in reversed(self._of(operation, "end")):
                event = context.event if isinstance(context, AppendEventContext) else None
                raised = yield hook, (context,)
                if isinstance(context, AppendEventContext):  # too late for a veto
                    if _find_fault(context):
                        raised = TypeError()
                        assert event is not None
                        context.event = event
                    _log(hook, raised)
                    continue
                rejected = self._judge(operation, hook, context, raised)
                if rejected is not None:
                    yield from self._failing(operation, context, rejected, before=hook.place)
                    raise rejected

    def _failing(
        self,
        operation: Operation,
        context: HookContext,
        error: Exception,
        before: int | None = None,
    ) -> Steps[None]:
        if _is_skipped(context):
            return
        for hook in reversed(self._of(operation, "error")):
            if before is None or hook.place < before:
                _log(hook, (yield hook, (context, error)))

    def _failing_all(
        self, operation: Operation, contexts: Sequence[HookContext], error: Exception
    ) -> Steps[None]:
        for context in reversed(contexts):
            yield from self._failing(operation, context, error)

    def _telling(self, hooks: Iterable[Hook], news: Iterable[Any]) -> Steps[None]:
        hooks = tuple(hooks)
        for item in news:
            for hook in hooks:
                _log(hook, (yield hook, (item,)))

    def _judge(
        self, operation: Operation, hook: Hook, context: HookContext, raised: Exception | None
    ) -> Exception | None:
        """What a hook's call comes to: None, or the error that ends the operation."""
        if raised is not None:
            self.counters.hook_vetoes += 1
            rejected = EventRejectedError(
                f"{hook} rejected {operation} by raising {type(raised).__name__} (the "
                "cause of this error)"
                + ("" if operation == "get_session" else "; nothing was written")
            )
            rejected.__cause__ = raised
            return rejected
        fault = _find_fault(context)
        return ConfigurationError(f"{hook} left {fault}") if fault else None


def refuse_in_sync(hooks: Iterable[Hook]) -> Flow[None]:
    """Let a synchronous method fail, before it does anything, if one of the hooks is async."""
    hook = next((hook for hook in hooks if hook.is_async), None)
    if hook is not None:
        yield Call(partial(_raise_refusal, hook), _do_nothing)


def _raise_refusal(hook: Hook) -> None:
    raise refuse_async(hook)


async def _do_nothing() -> None:
    pass


def find_loop() -> Flow[asyncio.AbstractEventLoop | None]:
    """The loop that the method runs in; None for a synchronous one."""

    async def get_loop() -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    loop: asyncio.AbstractEventLoop | None = yield Call(lambda: None, get_loop)
    return loop


def in_this_context(function: Callable[..., Any]) -> Callable[..., Any]:
    """Have a function see the context variables of now, wherever it is called."""
    return partial(copy_context().run, function)


def _call(steps: Steps[None]) -> Flow[None]:
    yield Call(partial(run_steps, steps), partial(arun_steps, steps))


def _is_skipped(context: HookContext) -> bool:
    return isinstance(context, AppendEventContext) and context.is_skipped


def _find_fault(context: HookContext) -> str | None:
    """What a hook has put where it can't be."""
    if isinstance(context, AppendEventContext):
        return _compare("event", context.event, Event, "an Event")
    if isinstance(context, GetSessionContext):
        return _compare("session", context.session, (Session, type(None)), "a Session or None")
    return _compare("text", context.text, str, "a string")


def _compare(name: str, value: object, wanted: Any, wanted_name: str) -> str | None:
    if isinstance(value, wanted):
        return None
    return f"a {type(value).__name__} in context.{name}; it must be {wanted_name}"


def _describe(letter: DeadLetter) -> dict[str, Any]:
    return {
        "app_name": letter.key.app_name,
        "user_id": letter.key.user_id,
        "session_id": letter.key.session_id,
        "event_ids": [event.id for event in letter.events],
        "events": len(letter.events),
        "error": type(letter.error).__name__,
    }


def _log(hook: Hook, raised: Exception | None) -> None:
    if raised is not None:
        logger.error("%s failed: %s", hook, type(raised).__name__)
