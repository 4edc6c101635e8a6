"""A program that closes one event loop after another without a word to the service.

    python -m tests.integration.loops redis://127.0.0.1:6379 url plain 100

It prints how many connections and loops there were when the last one was closed.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import warnings
from typing import Any

import redis
from langchain_core.messages import HumanMessage

from langchain_redis_session import RedisSessionService, SessionKey

NAME = "loops"
KEY = SessionKey("loops", "u", "s")


def make_service(kind: str, url: str) -> tuple[RedisSessionService, Any]:
    named = f"{url}?client_name={NAME}"
    if kind == "twin":
        client = redis.Redis.from_url(named)
        return RedisSessionService(client=client), client
    if kind == "memory":
        return RedisSessionService("memory://loops"), None
    return RedisSessionService(named, enable_async_persist=kind == "write-behind"), None


async def work(service: RedisSessionService) -> None:
    await service.aappend_messages(KEY, [HumanMessage("x")], create=True)
    await asyncio.gather(*(service.aget_messages(KEY, limit=1) for _ in range(3)))


def count(url: str) -> dict[str, int]:
    gc.collect()
    client = redis.Redis.from_url(url)
    connections = [info for info in client.client_list() if info["name"] == NAME]
    client.close()
    loops = [o for o in gc.get_objects() if isinstance(o, asyncio.AbstractEventLoop)]
    return {"connections": len(connections), "loops": len(loops)}


def main() -> None:
    url, kind, how, times = sys.argv[1:]
    warnings.simplefilter("ignore", ResourceWarning)
    service, _client = make_service(kind, url)
    for _ in range(int(times)):
        if how == "run":
            asyncio.run(work(service))
        else:
            loop = asyncio.new_event_loop()
            loop.run_until_complete(work(service))
            loop.close()
            del loop
    print(json.dumps(count(url)))
    service.close()


if __name__ == "__main__":
    main()
