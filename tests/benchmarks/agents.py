"""What an agent's memory costs: a session beside LangGraph's checkpointers."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import tool

from tests.benchmarks.bench import Bench
from tests.benchmarks.contenders import TEXT
from tests.benchmarks.report import Row
from tests.benchmarks.server import count_traffic
from tests.servers import RedisServer

IN_MEMORY = "InMemorySaver"
OTHERS = ("RedisSaver", "ShallowRedisSaver", IN_MEMORY)


@tool
def look_up(parcel: str) -> str:
    """Look a parcel up."""
    return TEXT


class Clerk(BaseChatModel):
    """Looks each parcel up, then answers."""

    @property
    def _llm_type(self) -> str:
        return "clerk"

    def bind_tools(self, *_: Any, **__: Any) -> Any:
        return self

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        answer = AIMessage(TEXT)
        if isinstance(messages[-1], HumanMessage):
            call = {"name": "look_up", "args": {"parcel": "4711"}, "id": f"call-{len(messages)}"}
            answer = AIMessage("", tool_calls=[call])
        return ChatResult(generations=[ChatGeneration(message=answer)])


@dataclass
class Memory:
    """One kind of memory, on a database of its own.

    Attributes:
        options: What `create_agent` is given for it.
        size: Its bytes now.
        keys: How many keys it has; None where it has none in Redis.
    """

    options: dict[str, Any]
    size: Callable[[], int]
    keys: Callable[[], int] | None = None


@dataclass(frozen=True)
class Cost:
    """What the turns have cost: bytes after so many, keys, commands of the last turn."""

    sizes: dict[int, int]
    keys: int | None
    commands: int | None


def run_turns(server: RedisServer, memory: Memory, marks: tuple[int, ...]) -> Cost:
    """Have an agent take turns, each with a tool."""
    from langchain.agents import create_agent

    agent: Any = create_agent(Clerk(), [look_up], **memory.options)
    config = {"configurable": {"user_id": "ann", "thread_id": "t1"}}

    def take_turn() -> None:
        agent.invoke({"messages": [("human", TEXT[:200])]}, config)

    sizes = {}
    for turn in range(1, max(marks) + 1):
        take_turn()
        if turn in marks:
            sizes[turn] = memory.size()
    keys = memory.keys and memory.keys()
    if memory.keys is None:
        return Cost(sizes, keys, None)
    return Cost(sizes, keys, count_traffic(server, take_turn).commands)


def agent_rows(bench: Bench) -> Iterator[Row]:
    """Bytes after some turns, keys, and commands of a turn; nothing without langchain."""
    if find_spec("langchain") is None:
        return
    marks = bench.plan.turns
    with ExitStack() as stack:
        ours = run_turns(bench.server, _open_ours(bench, stack), marks)
        costs = {name: _cost_of(name, bench, stack, marks) for name in OTHERS}
    for name, cost in costs.items():
        shown = name if cost else f"{name}: needs its package and a search module"
        for turns in marks:
            what = f"an agent's memory after {turns} turns"
            yield Row(what, "B", ours.sizes[turns], cost.sizes[turns] if cost else None, shown)
        if name != IN_MEMORY:
            yield Row("its keys", "", ours.keys or 0, cost.keys if cost else None, shown)
            what = f"commands of turn {max(marks) + 1}"
            yield Row(what, "", ours.commands or 0, cost.commands if cost else None, shown)


def _open_ours(bench: Bench, stack: ExitStack) -> Memory:
    from langchain_redis_session import RedisSessionMiddleware, RedisSessionService

    bench.client.flushdb()
    service = stack.enter_context(RedisSessionService(bench.server.url))
    middleware = [RedisSessionMiddleware(service)]
    return _in_redis(bench, {"middleware": middleware})


def _in_redis(bench: Bench, options: dict[str, Any]) -> Memory:
    client = bench.client

    def size() -> int:
        return sum(client.memory_usage(key, samples=0) or 0 for key in client.scan_iter())

    return Memory(options, size, client.dbsize)


def _cost_of(name: str, bench: Bench, stack: ExitStack, marks: tuple[int, ...]) -> Cost | None:
    if name == IN_MEMORY:
        from langgraph.checkpoint.memory import InMemorySaver

        saver = InMemorySaver()
        size = partial(_pickled_size, saver)
        return run_turns(bench.server, Memory({"checkpointer": saver}, size), marks)
    if find_spec("langgraph.checkpoint.redis") is None or not _has_search(bench.client):
        return None
    bench.client.flushdb()
    opened = stack.enter_context(_saver_class(name).from_conn_string(bench.server.url))
    opened.setup()
    return run_turns(bench.server, _in_redis(bench, {"checkpointer": opened}), marks)


def _pickled_size(saver: Any) -> int:
    """All that it holds, as it would be written down."""
    kept = [{**thread} for thread in saver.storage.values()]
    return len(pickle.dumps(([*map(_plain, kept)], {**saver.blobs}, _plain(saver.writes))))


def _plain(value: Any) -> Any:
    return (
        {key: _plain(inner) for key, inner in value.items()} if isinstance(value, dict) else value
    )


def _has_search(client: Any) -> bool:
    modules = client.module_list()
    names = {str(module.get("name", module.get(b"name"))).lower() for module in modules}
    return any("search" in name for name in names)


def _saver_class(name: str) -> Any:
    if name == "RedisSaver":
        from langgraph.checkpoint.redis import RedisSaver

        return RedisSaver
    from langgraph.checkpoint.redis.shallow import ShallowRedisSaver

    return ShallowRedisSaver
