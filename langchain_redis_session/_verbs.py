"""How a service's verbs come in two kinds, sync and async, from one body.

A method of the service that gives a flow becomes `x` by `sync_verb` and `ax` by
`async_verb`; both show its signature and docstring.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from langchain_redis_session._flow import Flow

P = ParamSpec("P")
T = TypeVar("T")


class FlowRunner(Protocol):
    """What can run flows: a service."""

    def _run(self, flow: Flow[T]) -> T: ...

    async def _arun(self, flow: Flow[T]) -> T: ...


S = TypeVar("S", bound=FlowRunner)


def sync_verb(make_flow: Callable[Concatenate[S, P], Flow[T]]) -> Callable[Concatenate[S, P], T]:
    """Make the blocking verb of a method that gives a flow."""

    def verb(self: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._run(make_flow(self, *args, **kwargs))

    _name(verb, make_flow, make_flow.__name__.removeprefix("_"))
    return verb


def async_verb(
    make_flow: Callable[Concatenate[S, P], Flow[T]],
) -> Callable[Concatenate[S, P], Coroutine[Any, Any, T]]:
    """Make the awaitable verb of a method that gives a flow."""

    async def verb(self: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._arun(make_flow(self, *args, **kwargs))

    _name(verb, make_flow, "a" + make_flow.__name__.removeprefix("_"))
    return verb


def _name(verb: Callable[..., Any], make_flow: Callable[..., Any], name: str) -> None:
    functools.update_wrapper(verb, make_flow)
    verb.__qualname__ = f"{make_flow.__qualname__.rpartition('.')[0]}.{name}"
    verb.__name__ = name
