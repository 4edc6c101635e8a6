"""A chat server with FastAPI: answers stream, and users find their sessions again.

    $ pip install "langchain-redis-session[server]" uvicorn
    $ export REDIS_URL=redis://localhost:6379
    $ uvicorn demo.servers.chat:app --workers 2
    $ ANN="Authorization: Bearer token-of-ann"
    $ curl localhost:8000/chat/s1 -NH "$ANN" -H "Content-Type: application/json" -d '{"text": "Hi"}'

A page that is loaded anew shows `GET /sessions/s1`, and what comes after it: `…/s1/follow?after=`
with the last event's `score`. A client that leaves in mid-answer finds what was said until then.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

from fastapi import Depends, FastAPI, Header, HTTPException
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from pydantic import BaseModel
from sse_starlette.sse import EventSourceResponse

from demo.servers.parrot import Parrot
from langchain_redis_session import (
    RedisSessionService,
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


@asynccontextmanager
async def close_service(app: FastAPI) -> AsyncIterator[None]:
    """Leave no connection behind."""
    yield
    await service.aclose()


app = FastAPI(lifespan=close_service)
install_error_handlers(app)
app.include_router(session_router(service, user=Depends(find_user)), prefix="/sessions")


class Question(BaseModel):
    """What a user says."""

    text: str


@app.post("/chat/{session_id}")
async def chat(
    session_id: str, question: Question, user_id: str = Depends(find_user)
) -> EventSourceResponse:
    """Answer, word by word."""
    config: Any = {"configurable": {"user_id": user_id, "session_id": session_id}}
    words = chain.astream({"text": question.text}, config)
    # The question is stored by now; what goes wrong up to here has a status of its own.
    first = await anext(words)
    return EventSourceResponse(send(first, words))


async def send(first: Any, words: Any) -> AsyncIterator[dict[str, str]]:
    """Send what comes as server-sent events, of which the last is `end` or `error`."""
    async with aclosing(words):
        try:
            yield {"data": first.text}
            async for word in words:
                yield {"data": word.text}
            yield {"event": "end", "data": ""}
        except Exception:
            logging.exception("an answer was cut off")
            yield {"event": "error", "data": "the answer was cut off"}
