"""The same chat over LangServe: invoke, stream, batch, a playground, and `RemoteRunnable`.

$ pip install "langchain-redis-session[server]" "langserve[server]" uvicorn
$ export REDIS_URL=redis://localhost:6379
$ uvicorn demo.servers.langserve_chat:app --workers 2
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import Depends, FastAPI, Header, HTTPException, Request
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from langserve import add_routes

from demo.servers.parrot import Parrot
from langchain_redis_session import (
    RedisSessionService,
    SessionKey,
    install_error_handlers,
    session_router,
    with_session,
)

service = RedisSessionService()
prompt = ChatPromptTemplate(
    [("system", "Be brief."), MessagesPlaceholder("history"), ("human", "{text}")]
)
chain = with_session(
    prompt | Parrot(),  # your model
    service,
    input_messages_key="text",
    history_messages_key="history",
    max_messages=50,
)


async def find_user(authorization: str = Header("")) -> str:
    """Say who asks; in earnest, by a signed token."""
    user_id = authorization.removeprefix("Bearer token-of-")
    if not user_id or user_id == authorization:
        raise HTTPException(401, "who are you?", {"WWW-Authenticate": "Bearer"})
    return user_id


async def take_user(config: dict[str, Any], request: Request) -> dict[str, Any]:
    """Take the session's id from the client, and the user's from the request.

    `config_keys=["configurable"]` lets clients say anything in there: without this, which comes
    after it and wins, they would choose their `user_id`, and read whose sessions they like.
    """
    user_id = await find_user(request.headers.get("authorization", ""))
    session_id = config.get("configurable", {}).get("session_id")
    key = SessionKey("default", user_id, session_id)  # refuses what can't be an id: a 422
    # A stream has its status before the chain runs: where Redis is away, this gives a 503.
    await service.aping()
    return {**config, "configurable": {"user_id": key.user_id, "session_id": key.session_id}}


@asynccontextmanager
async def close_service(app: FastAPI) -> AsyncIterator[None]:
    """Leave no connection behind."""
    yield
    await service.aclose()


app = FastAPI(lifespan=close_service)
install_error_handlers(app)
app.include_router(session_router(service, user=Depends(find_user)), prefix="/sessions")
add_routes(
    app,
    chain,
    path="/chat",
    config_keys=["configurable"],
    per_req_config_modifier=take_user,
)
