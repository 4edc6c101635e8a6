"""What all methods of a service share: how they become public, and what runs their flows.

A method is written once, as a function that checks its arguments and gives a flow:
`sync_method` makes it block, `async_method` makes its awaitable twin. Both show the signature
of a plain method, whose result is the flow's. (Modules of methods don't postpone annotations,
which therefore are types here, and for whoever looks at a method.)
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Mapping, Sequence
from inspect import Signature
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar, get_args

from langchain_redis_session._actions.appends import Keeper, SummaryScheduler
from langchain_redis_session._actions.context import ActionContext
from langchain_redis_session._actions.observed import observe, tell_of_unreadable
from langchain_redis_session._connections.clients import Connections
from langchain_redis_session._flow.drivers import arun, run
from langchain_redis_session._flow.interception import cut_off
from langchain_redis_session._flow.requests import Flow, Scope, Settle
from langchain_redis_session._flow.scripts import send_sources
from langchain_redis_session._hooks.hooks import Hooks
from langchain_redis_session._observe.operations import name_operation
from langchain_redis_session._operations.context import Context
from langchain_redis_session._verbs.loops import warn_in_loop
from langchain_redis_session._verbs.misuse import explain_call
from langchain_redis_session.callbacks import Handlers
from langchain_redis_session.config import ServiceOptions
from langchain_redis_session.errors import (
    BackendUnavailableError,
    SessionServiceClosedError,
)
from langchain_redis_session.models import Event, SessionKey, TrackEvent

if TYPE_CHECKING:
    from langchain_redis_session._background.write_behind import WriteBehind

P = ParamSpec("P")
T = TypeVar("T")


def listed(kind: Callable[[list[T]], list[T]], flow: Flow[list[T]]) -> Flow[list[T]]:
    """Give what a flow gives as a list that shows itself in Jupyter."""
    return kind((yield from flow))


class FlowRunner:
    """What methods are methods of: it runs flows as long as it is open.

    Attributes:
        _actions: Hooks and tracing, and what `_context` holds.
        _context: Options, key names and counters.
        _connections: The clients.
        _write_behind: The engine that appends are handed to; None = they wait for Redis.
        _keeper: Has the dead letters.
        _summary_scheduler: Who schedules summaries after appends; None = nobody.
        _clock: Gives the time in nanoseconds since 1970.
        _is_closed: Whether it may no longer be used.
    """

    _actions: ActionContext
    _context: Context
    _connections: Connections
    _write_behind: WriteBehind | None
    _keeper: Keeper
    _summary_scheduler: SummaryScheduler | None
    _clock: Callable[[], int]
    _is_closed: bool

    def _require_open(self) -> None:
        if self._is_closed:
            raise SessionServiceClosedError(f"{self!r} was closed; make a new service")

    def _start(
        self,
        name: str,
        operation: str,
        make_flow: Callable[..., Flow[T]],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
    ) -> Flow[T]:
        """Make the flow of a call of the method `name`, and count the operation."""
        self._require_open()
        self._context.counters.operations[operation] += 1
        try:
            return make_flow(self, *args, **kwargs)
        except TypeError as error:
            trace = error.__traceback__
            if trace is not None and trace.tb_next is not None:
                raise  # from inside of it: the arguments did fit
            raise explain_call(error, self, name, make_flow, args, kwargs) from None

    def _prepare(self, flow: Flow[T]) -> Flow[T]:
        if self._actions.hooks.corrupt:
            flow = tell_of_unreadable(self._actions.hooks, flow)
        return flow if self._context.options.use_evalsha else send_sources(flow)

    def _run(self, flow: Flow[T]) -> T:
        flow, counters = self._prepare(flow), self._context.counters
        try:
            exchanges = self._connections.exchanges()
        except BackendUnavailableError as error:  # no node of a cluster can be reached
            exchanges, flow = None, cut_off(flow, error)
        try:
            return run(flow, exchanges, self._write_behind, counters)
        except BackendUnavailableError as error:
            raise self._explain(error) from error.__cause__

    async def _arun(self, flow: Flow[T]) -> T:
        flow, counters = self._prepare(flow), self._context.counters
        connections = self._connections
        try:
            exchanges = connections.running_exchanges() or await connections.open_async()
        except BackendUnavailableError as error:
            exchanges, flow = None, cut_off(flow, error)
        try:
            return await arun(flow, exchanges, self._write_behind, counters)
        except BackendUnavailableError as error:
            raise self._explain(error) from error.__cause__

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


def get_options(runner: FlowRunner) -> ServiceOptions:
    """The options of a service."""
    return runner._context.options  # noqa: SLF001


def get_events_key(runner: FlowRunner, key: SessionKey) -> str:
    """The name of the key that a session's events stand under."""
    return runner._context.keyspace.session(key).events.decode()  # noqa: SLF001


def get_sync_client(runner: FlowRunner) -> Any:
    """The sync client of a service."""
    runner._require_open()  # noqa: SLF001
    return runner._connections.lend_client()  # noqa: SLF001


R = TypeVar("R", bound=FlowRunner)


def sync_method(
    make_flow: Callable[Concatenate[R, P], Flow[T]],
) -> Callable[Concatenate[R, P], T]:
    """Make a blocking method of a function that gives a flow."""
    name = make_flow.__name__
    operation = name_operation(name)

    def method(self: R, /, *args: P.args, **kwargs: P.kwargs) -> T:
        warn_in_loop(name)
        return self._run(self._start(name, operation, make_flow, args, kwargs))

    (_, _, result) = get_args(make_flow.__annotations__["return"])
    shown = None if result is type(None) else result
    signature = inspect.signature(make_flow).replace(return_annotation=shown)
    vars(method)["make_flow"] = make_flow
    return _dress(method, make_flow, name, signature)


def async_method(
    method: Callable[Concatenate[R, P], T],
) -> Callable[Concatenate[R, P], Coroutine[Any, Any, T]]:
    """Make the awaitable twin of a method that `sync_method` has made."""
    make_flow: Callable[..., Flow[T]] = vars(method)["make_flow"]
    name, operation = f"a{make_flow.__name__}", name_operation(make_flow.__name__)

    async def twin(self: R, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._arun(self._start(name, operation, make_flow, args, kwargs))

    return _dress(twin, make_flow, name, vars(method)["__signature__"])


M = TypeVar("M", bound=Callable[..., Any])


def _dress(method: M, make_flow: Callable[..., Any], name: str, signature: Signature) -> M:
    """Let a method look like a plain one of its class.

    Without `__wrapped__`, which would show whoever unwraps it a function that gives a flow.
    """
    method.__name__ = name
    method.__qualname__ = f"{make_flow.__qualname__.rpartition('.')[0]}.{name}"
    method.__module__ = make_flow.__module__
    method.__doc__ = make_flow.__doc__
    method.__annotations__ = {
        **make_flow.__annotations__,
        "return": signature.return_annotation,
    }
    vars(method)["__signature__"] = signature
    return method


def _settle_first(scope: Scope, flow: Flow[T]) -> Flow[T]:
    yield Settle(scope)
    return (yield from flow)
