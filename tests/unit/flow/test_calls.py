"""Calls of code that is not ours: the driver runs it, and the flow sees what it raises."""

from __future__ import annotations

import asyncio
from typing import Any, NoReturn

import pytest
from redis import exceptions as redis_errors

from langchain_redis_session._flow.drivers import arun, run
from langchain_redis_session._flow.requests import Call, Flow


def drive(mode: str, flow: Flow[Any]) -> Any:
    return run(flow, None) if mode == "sync" else asyncio.run(arun(flow, None))


def both(error: Exception | None = None) -> Call:
    def function() -> str:
        if error is not None:
            raise error
        return "sync"

    async def async_function() -> str:
        await asyncio.sleep(0)
        if error is not None:
            raise error
        return "async"

    return Call(function, async_function)


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_the_reply_is_what_it_gives(mode: str) -> None:
    def flow() -> Flow[Any]:
        return [(yield both()), (yield both())]

    assert drive(mode, flow()) == [mode, mode]


@pytest.mark.parametrize("mode", ["sync", "async"])
@pytest.mark.parametrize(
    "error", [ValueError("no"), redis_errors.ConnectionError("its own Redis"), OSError("gone")]
)
def test_what_it_raises_reaches_the_flow_as_it_is(mode: str, error: Exception) -> None:
    def flow() -> Flow[Any]:
        with pytest.raises(type(error)) as caught:
            yield both(error)
        return caught.value

    assert drive(mode, flow()) is error

    def careless() -> Flow[NoReturn]:
        yield both(error)
        raise AssertionError("not reached")

    with pytest.raises(type(error)) as caught:
        drive(mode, careless())
    assert caught.value is error
