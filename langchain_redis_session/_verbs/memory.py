"""What `RedisSessionMemoryStore` does; counted under the name of LangGraph's method."""

from collections.abc import Callable
from typing import Any

from langchain_redis_session._flow.requests import Flow
from langchain_redis_session._operations.context import Context
from langchain_redis_session._verbs.runner import FlowRunner, async_method, sync_method


@sync_method
def batch(service: FlowRunner, work: Callable[[Context], Flow[list[Any]]]) -> Flow[list[Any]]:
    """Run some operations on a memory store."""
    return work(service._context)  # noqa: SLF001


abatch = async_method(batch)
