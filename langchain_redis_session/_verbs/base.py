"""What all verbs share: how they become public, and what they may lean on.

A method of a service that gives a flow becomes the blocking verb `x` by `sync_verb` and the
awaitable `ax` by `async_verb`; both show its signature and docstring.
"""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Concatenate, ParamSpec, TypeVar

from langchain_redis_session._background.summary_workers import SummaryAsker
from langchain_redis_session._flow import Flow, Scope, Settle
from langchain_redis_session._hooks import Hooks
from langchain_redis_session._observation import observe, report_corrupt
from langchain_redis_session._operations.context import Context
from langchain_redis_session.callbacks import Handlers
from langchain_redis_session.errors import InvalidSessionKeyError, shorten
from langchain_redis_session.models import Event, SessionKey, TrackEvent, validate_id

P = ParamSpec("P")
T = TypeVar("T")


class FlowRunner(ABC):
    """What verbs are methods of: something that runs flows."""

    _context: Context
    _is_write_behind: bool
    _summary_asker: SummaryAsker | None

    @abstractmethod
    def _require_open(self) -> None: ...

    @abstractmethod
    def _run(self, flow: Flow[T]) -> T: ...

    @abstractmethod
    async def _arun(self, flow: Flow[T]) -> T: ...

    def _hooks_with(self, callbacks: Handlers) -> Hooks:
        """The service's hooks, and those of one call."""
        hooks = self._context.hooks
        return hooks if callbacks is None else hooks.extend(callbacks)

    def _observed(
        self,
        operation: str,
        key: SessionKey,
        flow: Flow[T],
        hooks: Hooks | None = None,
        events: Sequence[Event | TrackEvent] = (),
    ) -> Flow[T]:
        """Let those who watch see an operation; without any it is the flow itself."""
        hooks = self._context.hooks if hooks is None else hooks
        if hooks.corrupt:
            flow = report_corrupt(hooks, flow)
        if hooks.observers or self._context.tracing is not None:
            flow = observe(self._context, hooks, operation, key, flow, events)
        return flow

    def _settled(self, scope: Scope, flow: Flow[T]) -> Flow[T]:
        """With write-behind: what was appended in the scope before this comes first."""
        return _settle_first(scope, flow) if self._is_write_behind else flow


S = TypeVar("S", bound=FlowRunner)


def sync_verb(make_flow: Callable[Concatenate[S, P], Flow[T]]) -> Callable[Concatenate[S, P], T]:
    """Make the blocking verb of a method that gives a flow."""
    name = make_flow.__name__.removeprefix("_")

    def verb(self: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        self._require_open()
        self._context.figures.operations[name] += 1
        return self._run(make_flow(self, *args, **kwargs))

    _name(verb, make_flow, name)
    return verb


def async_verb(
    make_flow: Callable[Concatenate[S, P], Flow[T]],
) -> Callable[Concatenate[S, P], Coroutine[Any, Any, T]]:
    """Make the awaitable verb of a method that gives a flow."""
    name = make_flow.__name__.removeprefix("_")

    async def verb(self: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        self._require_open()
        self._context.figures.operations[name] += 1
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


def scope_of(key: SessionKey) -> Scope:
    """The scope of one session."""
    return key.app_name, key.user_id, key.session_id


def _settle_first(scope: Scope, flow: Flow[T]) -> Flow[T]:
    yield Settle(scope)
    return (yield from flow)
