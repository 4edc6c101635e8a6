"""No async method holds up the event loop: neither a file, nor an import, nor a wait."""

from __future__ import annotations

import asyncio
import inspect
import json
import ssl
import threading
from pathlib import Path
from typing import Any

import blockbuster
import pytest
from langchain_core.chat_history import BaseChatMessageHistory
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.runnables import RunnableLambda
from langchain_core.runnables.history import RunnableWithMessageHistory

from langchain_redis_session import (
    RedisSessionChatMessageHistory,
    RedisSessionService,
    SessionKey,
)
from tests.methods import HISTORY_METHODS, METHODS
from tests.processes import run_python
from tests.proxy import CuttingProxy
from tests.servers import RedisServer

SERVERS = ["memory", "redis_server", "redis_cluster"]
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {"summarizer": True, "auto_summarize": False},
    "watched": {"summarizer": True, "callbacks": True, "enable_tracing": True},
    "write-behind": {"summarizer": True, "enable_async_persist": True},
}


def async_methods(cls: type) -> set[str]:
    return {name for name, method in inspect.getmembers(cls, inspect.iscoroutinefunction)} - {
        "__aenter__",
        "__aexit__",
        "_arun",
    }


def test_no_async_method_is_missing_in_the_list() -> None:
    assert async_methods(RedisSessionService) == {f"a{name}" for name in METHODS}
    assert async_methods(RedisSessionChatMessageHistory) == HISTORY_METHODS.keys()


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("server", SERVERS)
def test_no_async_method_holds_up_the_loop(
    server: str, options: str, request: pytest.FixtureRequest
) -> None:
    """In a process of its own, where nothing is loaded yet; each cold, and each warm."""
    url = "memory://cold" if server == "memory" else request.getfixturevalue(server).url
    given = {**OPTIONS[options], "key_prefix": f"blocking-{options}"}
    done = run_python("-m", "tests.contract.blocking", url, json.dumps(given))
    assert done.returncode == 0, done.stderr
    held_up = json.loads(done.stdout)
    assert not held_up, "\n".join(f"{name}: {found[0]}" for name, found in held_up.items())


@pytest.mark.filterwarnings("ignore:.*RunnableWithMessageHistory")
async def test_a_chain_with_history_passes_langchains_own_detector(
    redis_server: RedisServer,
) -> None:
    def make(session_id: str) -> BaseChatMessageHistory:
        return RedisSessionChatMessageHistory(session_id, redis_server.url, "blocking-chain")

    model: Any = RunnableLambda(lambda messages: AIMessage(f"{len(messages)}"))
    chain = RunnableWithMessageHistory(model, make)
    config: Any = {"configurable": {"session_id": "s1"}}
    with blockbuster.blockbuster_ctx("langchain_core"):
        await chain.ainvoke([HumanMessage("a")], config)
        answer = await chain.ainvoke([HumanMessage("b")], config)
        async for _ in chain.astream([HumanMessage("c")], config):
            pass
    assert answer.content == "3"


async def test_appends_with_a_spool_leave_its_file_to_a_thread(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    options: dict[str, Any] = {"enable_async_persist": True, "persist_spool_dir": tmp_path}
    service = RedisSessionService(redis_server.url, key_prefix="blocking-spool", **options)
    key = SessionKey("shop", "ann", "s1")
    with blockbuster.blockbuster_ctx("langchain_redis_session"):
        for number in range(20):
            await service.aappend_messages(key, [HumanMessage(f"{number}")], create=True)
        together = [[HumanMessage(f"{number}")] for number in range(20, 40)]
        await asyncio.gather(*(service.aappend_messages(key, one) for one in together))
        read = [message.text for message in await service.aget_messages(key)]
        await service.adelete_session(key)
        await service.aclose()
    assert read == [f"{number}" for number in range(40)]
    assert not list(tmp_path.iterdir())


async def test_certificates_are_read_once_and_off_the_loop(
    tls_redis_server: RedisServer | CuttingProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_by = []
    load = ssl.SSLContext.load_verify_locations

    def note(self: ssl.SSLContext, *arguments: Any, **options: Any) -> None:
        read_by.append(threading.current_thread())
        load(self, *arguments, **options)

    monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", note)
    async with RedisSessionService(tls_redis_server.url) as service:
        await service.aping()
        await asyncio.gather(*(service.aping() for _ in range(5)))
    (thread,) = read_by  # for six connections
    assert thread is not threading.main_thread()
