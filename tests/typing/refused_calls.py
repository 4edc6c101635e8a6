"""What type checkers must refuse, and what they must not: nobody runs this.

Each ignored line has to be wrong for mypy and for pyright, else they complain of the comment.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import redis
from langchain_core.messages import HumanMessage

from langchain_redis_session import (
    Event,
    RedisSessionChatMessageHistory,
    RedisSessionService,
    SessionKey,
)


def misspelt_options() -> None:
    RedisSessionService(sesion_ttl=5)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    RedisSessionService(ttl=5)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    RedisSessionChatMessageHistory("s", sesion_ttl=5)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    RedisSessionChatMessageHistory("s", summariser=5)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    RedisSessionChatMessageHistory("s", socket_timout=5)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def options_of_another_type() -> None:
    RedisSessionService(session_ttl="1h")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    RedisSessionService(hash_tag="session")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    RedisSessionChatMessageHistory("s", session_event_limit="5")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    RedisSessionChatMessageHistory("s", start_on="ai")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    RedisSessionChatMessageHistory("s", open_tool_calls="leave")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    RedisSessionChatMessageHistory("s", service=redis.Redis())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def calls(service: RedisSessionService, key: SessionKey, event: Event) -> None:
    service.append_messages(key, [HumanMessage("hi")], creat=True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await service.aappend_messages(key, [HumanMessage("hi")], creat=True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    service.get_session("a", "u", "s")  # type: ignore[arg-type, call-arg]  # pyright: ignore[reportCallIssue]
    await service.aget_session("s")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    service.get_messages(key, start_on="user")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    service.get_messages(key, open_tool_calls="leave")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    service.get_messages()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def accepted_options(options: dict[str, Any]) -> None:
    RedisSessionService("redis://", session_ttl=timedelta(days=1), summary_filter_allowlist=["a"])
    RedisSessionService(**options)
    RedisSessionService(extra_options=options)
    RedisSessionChatMessageHistory("s", "redis://", "prefix", 3600)
    RedisSessionChatMessageHistory("s", **options)
    RedisSessionChatMessageHistory(
        "s",
        url="rediss://",
        session_event_limit=None,
        track_event_ttl="session",
        persist_spool_dir=Path("spool"),
        summarizer=lambda request: "s",
        on_persist_error=print,
        socket_timeout=1.5,
        socket_connect_timeout=2,
        ssl_ca_certs="ca.pem",
        ssl_cert_reqs="required",
        health_check_interval=30,
        max_connections=5,
        client_name="desk",
        protocol=3,
        retry_on_error=[redis.ConnectionError],
    )
