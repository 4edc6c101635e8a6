"""What runs in the processes of `test_concurrency`."""

from __future__ import annotations

import asyncio

from langchain_core.messages import HumanMessage

from langchain_redis_session import RedisSessionService, SessionKey


def write(
    url: str, key: SessionKey, limit: int | None, writer: int, count: int
) -> list[tuple[float, str]]:
    """Append `count` messages, one a call; gives score and text of each. Odd writers are async."""
    if writer % 2:
        return asyncio.run(_awrite(url, key, limit, writer, count))
    with RedisSessionService(url, session_event_limit=limit) as service:
        written = []
        for number in range(count):
            message = HumanMessage(f"{writer}:{number}")
            (event,) = service.append_messages(key, [message], create=True).events
            written.append((event.score or 0, f"{writer}:{number}"))
        return written


async def _awrite(
    url: str, key: SessionKey, limit: int | None, writer: int, count: int
) -> list[tuple[float, str]]:
    async with RedisSessionService(url, session_event_limit=limit) as service:
        written = []
        for number in range(count):
            message = HumanMessage(f"{writer}:{number}")
            result = await service.aappend_messages(key, [message], create=True)
            written.append((result.events[0].score or 0, f"{writer}:{number}"))
        return written
