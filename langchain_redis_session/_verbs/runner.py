"""What all methods of a service share: how they become public, and what runs their flows.

A method that gives a flow becomes the blocking method `x` by `sync_verb` and the awaitable
`ax` by `async_verb`; both show its signature and docstring.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Concatenate, ParamSpec, TypeVar

from langchain_redis_session._actions.appends import SummaryScheduler
from langchain_redis_session._actions.context import ActionContext
from langchain_redis_session._actions.observed import observe, tell_of_unreadable
from langchain_redis_session._background.write_behind import WriteBehind
from langchain_redis_session._connections.clients import Connections
from langchain_redis_session._flow.drivers import arun, run
from langchain_redis_session._flow.requests import Flow, Scope, Settle
from langchain_redis_session._hooks.hooks import Hooks
from langchain_redis_session._observe.operations import name_operation
from langchain_redis_session._operations.context import Context
from langchain_redis_session.callbacks import Handlers
from langchain_redis_session.errors import (
    BackendUnavailableError,
    InvalidSessionKeyError,
    SessionServiceClosedError,
    shorten,
)
from langchain_redis_session.models import Event, SessionKey, TrackEvent, validate_id

P = ParamSpec("P")
T = TypeVar("T")


class FlowRunner:
    """What methods are methods of: it runs flows as long as it is open.

    Attributes:
        _actions: Options, key names, hooks and tracing.
        _connections: The clients.
        _write_behind: The engine that appends are handed to; None = they wait for Redis.
        _summary_scheduler: Who schedules summaries after appends; None = nobody.
        _clock: Gives the time in nanoseconds since 1970.
        _is_closed: Whether it may no longer be used.
    """

    _actions: ActionContext
    _connections: Connections
    _write_behind: WriteBehind | None
    _summary_scheduler: SummaryScheduler | None
    _clock: Callable[[], int]
    _is_closed: bool

    @property
    def _context(self) -> Context:
        return self._actions.context

    def _require_open(self) -> None:
        if self._is_closed:
            raise SessionServiceClosedError(f"{self!r} was closed; make a new service")

    def _run(self, flow: Flow[T]) -> T:
        flow = self._reporting(flow)
        client, counters = self._connections.sync_client(), self._context.counters
        try:
            return run(flow, client, self._write_behind, counters)
        except BackendUnavailableError as error:
            raise self._explain(error) from error.__cause__

    async def _arun(self, flow: Flow[T]) -> T:
        flow = self._reporting(flow)
        connections, counters = self._connections, self._context.counters
        client = connections.running_client() or await connections.open_async_client()
        try:
            return await arun(flow, client, self._write_behind, counters)
        except BackendUnavailableError as error:
            raise self._explain(error) from error.__cause__

    def _reporting(self, flow: Flow[T]) -> Flow[T]:
        """Let the hooks know of entries that can't be read."""
        hooks = self._actions.hooks
        return tell_of_unreadable(hooks, flow) if hooks.corrupt else flow

    def _explain(self, error: BackendUnavailableError) -> BackendUnavailableError:
        if not self._connections.is_default:
            return error
        return BackendUnavailableError(
            f"{error} (no URL was given, so {self._connections.description} was tried; pass "
            "redis_url=, set REDIS_URL, or use redis_url='memory://' to try things out "
            "without a server)"
        )

    def _observed(
        self,
        operation: str,
        key: SessionKey,
        flow: Flow[T],
        hooks: Hooks | None = None,
        events: Sequence[Event | TrackEvent] = (),
    ) -> Flow[T]:
        """Let those who watch see an operation; without any it is the flow itself."""
        hooks = self._actions.hooks if hooks is None else hooks
        if hooks.corrupt:
            flow = tell_of_unreadable(hooks, flow)
        tracing = self._actions.tracing
        if hooks.observers or tracing is not None:
            flow = observe(tracing, hooks, operation, key, flow, events)
        return flow

    def _settled(self, scope: Scope, flow: Flow[T]) -> Flow[T]:
        """With write-behind: what was appended in the scope before this comes first."""
        return flow if self._write_behind is None else _settle_first(scope, flow)


def combine_hooks(runner: FlowRunner, callbacks: Handlers) -> Hooks:
    """The hooks of a service, and those of one call behind them.

    An adapter calls this once, and passes what it gives as `callbacks=` of every call.
    """
    hooks = runner._actions.hooks  # noqa: SLF001
    return hooks if callbacks is None else hooks.extend(callbacks)


R = TypeVar("R", bound=FlowRunner)


def sync_verb(make_flow: Callable[Concatenate[R, P], Flow[T]]) -> Callable[Concatenate[R, P], T]:
    """Make the blocking method of one that gives a flow."""
    name = make_flow.__name__.removeprefix("_")
    operation = name_operation(name)

    def verb(self: R, /, *args: P.args, **kwargs: P.kwargs) -> T:
        self._require_open()
        self._context.counters.operations[operation] += 1
        return self._run(make_flow(self, *args, **kwargs))

    _name(verb, make_flow, name)
    return verb


def async_verb(
    make_flow: Callable[Concatenate[R, P], Flow[T]],
) -> Callable[Concatenate[R, P], Coroutine[Any, Any, T]]:
    """Make the awaitable method of one that gives a flow."""
    name = make_flow.__name__.removeprefix("_")
    operation = name_operation(name)

    async def verb(self: R, /, *args: P.args, **kwargs: P.kwargs) -> T:
        self._require_open()
        self._context.counters.operations[operation] += 1
        return await self._arun(make_flow(self, *args, **kwargs))

    _name(verb, make_flow, f"a{name}")
    return verb


def _name(verb: Callable[..., Any], make_flow: Callable[..., Any], name: str) -> None:
    functools.update_wrapper(verb, make_flow)
    verb.__qualname__ = f"{make_flow.__qualname__.rpartition('.')[0]}.{name}"
    verb.__name__ = name


def check_key(key: object) -> SessionKey:
    """Refuse what is no session's key."""
    if not isinstance(key, SessionKey):
        raise InvalidSessionKeyError(
            f"key must be a SessionKey(app_name, user_id, session_id), not {shorten(key)}"
        )
    return key


def check_user(app_name: object, user_id: object) -> None:
    """Refuse what can't name a user."""
    validate_id(app_name, "app_name")
    validate_id(user_id, "user_id")


def _settle_first(scope: Scope, flow: Flow[T]) -> Flow[T]:
    yield Settle(scope)
    return (yield from flow)
