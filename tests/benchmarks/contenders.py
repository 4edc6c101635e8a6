"""Who is compared: this package, its script called bare, and what users would pick instead."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from datetime import timedelta
from importlib.util import find_spec
from itertools import islice
from typing import Any

import redis
import redis.asyncio
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from redis.client import NEVER_DECODE

from langchain_redis_session import RedisSessionChatMessageHistory
from tests.realistic import make_openai_answer, make_question

TTL = timedelta(hours=1)
COMMUNITY = "langchain-community"
AGENTS = "openai-agents"

_WORDS = "The parcel left the warehouse on Monday and should be with you by Thursday. "
TEXT = (_WORDS * 7)[:500]


def make_messages(count: int) -> list[BaseMessage]:
    """Make a conversation of plain messages, 500 characters each."""
    kinds = (HumanMessage, AIMessage)
    return [kinds[place % 2](f"{place:06d} {TEXT}"[:500]) for place in range(count)]


def make_realistic_messages(count: int) -> list[BaseMessage]:
    """Make a conversation of questions and answers as OpenAI's models give them."""
    kinds = (make_question, make_openai_answer)
    return [kinds[place % 2](place) for place in range(count)]


def open_history(
    url: str, session_id: str, *, ttl: bool = False, **options: Any
) -> RedisSessionChatMessageHistory:
    """Open a history of this package."""
    return RedisSessionChatMessageHistory(session_id, url, ttl=TTL if ttl else None, **options)


def has_community() -> bool:
    """Whether langchain-community is installed."""
    return find_spec("langchain_community") is not None


def open_community_history(url: str, session_id: str, *, ttl: bool = False) -> Any:
    """Open langchain-community's history: a list, one LPUSH (and EXPIRE) per message."""
    from langchain_community.chat_message_histories import RedisChatMessageHistory

    seconds = int(TTL.total_seconds()) if ttl else None
    return RedisChatMessageHistory(session_id, url=url, ttl=seconds)


def has_agents() -> bool:
    """Whether openai-agents is installed."""
    return find_spec("agents") is not None


def open_agents_session(
    client: redis.asyncio.Redis, session_id: str, *, ttl: bool = False
) -> AgentsSession:
    """Open the session of openai-agents on a client."""
    return AgentsSession(client, session_id, int(TTL.total_seconds()) if ttl else None)


class AgentsSession:
    """`RedisSession` of openai-agents, which keeps dicts instead of messages."""

    def __init__(self, client: redis.asyncio.Redis, session_id: str, ttl: int | None) -> None:
        from agents.extensions.memory.redis_session import RedisSession

        self._session = RedisSession(session_id, redis_client=client, ttl=ttl)

    async def add(self, messages: Sequence[BaseMessage]) -> None:
        roles = {"human": "user", "ai": "assistant"}
        await self._session.add_items(
            [{"role": roles[message.type], "content": message.text} for message in messages]
        )

    async def read(self, limit: int | None = None) -> Any:
        return await self._session.get_items(limit)


class _Recorder:
    """Stands in for a client and its pipelines: takes down the commands of appends, sends none."""

    def __init__(self) -> None:
        self.commands: list[tuple[Any, ...]] = []
        self._replies: list[Any] = []

    def pipeline(self, **_options: Any) -> _Recorder:
        return self

    def execute_command(self, *command: Any, **_options: Any) -> None:
        if command[0] == "ECHO":  # the proof at a pipeline's end
            self._replies.append(command[1])
        else:
            self.commands.append(command)
            self._replies.append(0)

    def execute(self, **_options: Any) -> list[Any]:
        replies, self._replies = self._replies, []
        return replies


class BareAppends:
    """The calls of the append script that this package would make, with their bytes ready.

    Args:
        session_id: The conversation they go to.
        message: What each appends, as a new event.
        count: How many there will be.
        ttl: As `open_history`.
    """

    def __init__(self, session_id: str, message: BaseMessage, count: int, *, ttl: bool) -> None:
        recorder = _Recorder()
        history = RedisSessionChatMessageHistory(
            session_id, redis_client=recorder, ttl=TTL if ttl else None
        )
        for _ in range(count):
            history.add_messages([message])
            time.sleep(0)  # times differ, as those of real appends
        self._commands: Iterator[tuple[Any, ...]] = iter(recorder.commands)

    def run(self, client: redis.Redis, times: int) -> None:
        """Send the next of them with a client."""
        options: dict[str, Any] = {NEVER_DECODE: True}
        for command in islice(self._commands, times):
            client.execute_command(*command, **options)

    async def arun(self, client: redis.asyncio.Redis, times: int) -> None:
        """Send the next of them with an async client."""
        options: dict[str, Any] = {NEVER_DECODE: True}
        for command in islice(self._commands, times):
            await client.execute_command(*command, **options)
