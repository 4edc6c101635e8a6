"""`session_router`: a user's sessions over HTTP, for FastAPI (extra `server`)."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BeforeValidator, TypeAdapter

from langchain_redis_session._connections.checks import tell_of_client
from langchain_redis_session._logs import logger
from langchain_redis_session._operations.bounds import format_score
from langchain_redis_session._operations.state import APP_PREFIX, USER_PREFIX
from langchain_redis_session._verbs import serving
from langchain_redis_session._verbs.arguments import check_interval
from langchain_redis_session._wire.fields import Message, Portable
from langchain_redis_session.adapters._ids import as_text
from langchain_redis_session.adapters._sharing import check_service
from langchain_redis_session.config import refuse_unknown
from langchain_redis_session.errors import (
    ConfigurationError,
    RedisSessionError,
    SessionNotFoundError,
    shorten,
)
from langchain_redis_session.models import Event, Session, SessionKey, Summary, validate_id
from langchain_redis_session.service import RedisSessionService

# It says what to install where fastapi is not there.
from langchain_redis_session.adapters.router_errors import SessionRoute, tell_in_stream  # isort: skip

from fastapi import APIRouter, Body, Depends, Header, HTTPException, Path, Query, Response
from fastapi.params import Depends as Dependency

try:
    from sse_starlette.sse import EventSourceResponse, ServerSentEvent
except ImportError as error:
    raise ImportError(
        "session_router needs the package sse-starlette: pip install "
        "'langchain-redis-session[server]'"
    ) from error

T = TypeVar("T")
_LONGEST_TITLE = 60


@dataclass(frozen=True)
class SessionPreview:
    """A session in a list.

    Attributes:
        id: The session.
        title: Its state `title`, or what the user said first, shortened.
        event_count: How many events it has.
        last_message: Its newest message.
        created_at: When it was made.
        updated_at: Its last write.
    """

    id: str
    title: str
    event_count: int
    last_message: Message | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True)
class SessionPage:
    """What of a session was asked for.

    Attributes:
        id: The session.
        events: Its events, oldest first; each holds one message, or only a change of state.
        is_cut: Whether there are older ones.
        summary: The summary of the whole session, if there is one.
        created_at: When it was made.
        updated_at: Its last write.
    """

    id: str
    events: list[Event]
    is_cut: bool
    summary: Summary | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True)
class Removed:
    """How many events were removed."""

    removed: int


_PREVIEWS: TypeAdapter[list[SessionPreview]] = TypeAdapter(list[SessionPreview])
_PAGE = TypeAdapter(SessionPage)
_EVENT = TypeAdapter(Event)
_STATE: TypeAdapter[Any] = TypeAdapter(Portable[dict[str, Any]])

_Limit = Annotated[int, Query(ge=1, le=1000, description="The most, the newest.")]
_Offset = Annotated[int, Query(ge=0, description="How many of the newest to leave out.")]
_Score = Annotated[
    float | None,
    # The + of 1.7e+18, as JSON has it, is a space in a URL where nobody percent-encoded it.
    BeforeValidator(lambda score: score.replace(" ", "+") if isinstance(score, str) else score),
    Query(allow_inf_nan=False, description="An event's `score`, inclusive."),
]
_NO_SESSION: dict[int | str, dict[str, Any]] = {404: {"description": "No such session."}}


@refuse_unknown(tell_of_client)
def session_router(
    service: RedisSessionService,
    *,
    user: Any,
    app_name: str = "default",
    poll_s: float = 0.5,
) -> APIRouter:
    """Make the routes by which users see and manage their sessions.

    The user's id comes from `user` alone. Whatever a client asks for, it is among that user's
    sessions; another's is a 404, as one that does not exist.

    - `GET /`: the user's sessions, the last written first (`limit`, `offset`).
    - `GET /{id}`: a session's events with their messages (`limit`, `offset`, `after`, `before`,
      `start_on=human`).
    - `DELETE /{id}`: delete all of it. `POST /{id}/clear`: its events and summaries.
    - `GET /{id}/state`; `PATCH /{id}/state`: set names; null removes one. `app:` names, which are
      everybody's, are shown and can't be set.
    - `DELETE /{id}/events/{event_id}`: remove an event.
    - `GET /{id}/follow`: server-sent events: each of the session's events as it is appended, with
      its score as id. `after=` says from which score on (0 = all); a browser that comes back
      sends the last id by itself, and misses nothing. Where Redis goes away meanwhile, an event
      named `error` says so, with status and text as JSON, and the stream ends.

    Errors are answered as `install_error_handlers` describes. Ids with a "/" can't be reached.

    Args:
        service: Where the sessions are.
        user: Who asks: `Depends(…)` on a function that returns the user's id, or that function. It
            should raise `HTTPException(401)` for nobody; None is a 401 too.
        app_name: The application.
        poll_s: How often `follow` looks for new events, in seconds.

    Returns:
        A router, for `app.include_router(router, prefix="/sessions")`.

    Raises:
        ConfigurationError: An argument can't be used.

    Example:
        >>> from fastapi import Depends, FastAPI, Header
        >>> from fastapi.testclient import TestClient
        >>> from langchain_redis_session import RedisSessionService
        >>> def find_user(x_user: str = Header()) -> str:  # in earnest: check a token
        ...     return x_user
        >>> service = RedisSessionService("memory://doc-router")
        >>> session = service.create_session("default", "ann", "s1", state={"title": "Tea"})
        >>> app = FastAPI()
        >>> router = session_router(service, user=Depends(find_user))
        >>> app.include_router(router, prefix="/sessions")
        >>> with TestClient(app) as client:
        ...     found = client.get("/sessions/", headers={"x-user": "ann"}).json()
        ...     other = client.get("/sessions/s1", headers={"x-user": "bob"})
        >>> found[0]["title"], other.status_code
        ('Tea', 404)
    """
    check_service(service)
    validate_id(app_name, "app_name")
    check_interval("poll_s", poll_s)
    me = Depends(_make_sign_in(user))
    router = APIRouter(tags=["sessions"], route_class=SessionRoute)

    async def find_key(
        session_id: Annotated[str, Path(description="The session.")], user_id: str = me
    ) -> SessionKey:
        return SessionKey(app_name, user_id, session_id)

    mine = Depends(find_key)

    async def read(key: SessionKey, **bounds: Any) -> Session:
        session = await service.aget_session(key, **bounds)
        if session is None:
            raise SessionNotFoundError(f"there is no session {shorten(key.session_id)}")
        return session

    @router.get("/", response_model=list[SessionPreview])
    async def list_sessions(
        limit: Annotated[int, Query(ge=1, le=100)] = 20, offset: _Offset = 0, user_id: str = me
    ) -> Response:
        """List the user's sessions, the last written first."""
        found = await service.alist_sessions(app_name, user_id, limit=limit, offset=offset)
        unnamed = [each.key.session_id for each in found if not _get_title(each)]
        texts = await serving.aget_first_texts(service, app_name, user_id, unnamed)
        said = dict(zip(unnamed, texts, strict=True))
        return await _respond(_PREVIEWS, [_preview(each, said) for each in found])

    @router.get("/{session_id}", response_model=SessionPage, responses=_NO_SESSION)
    async def get_session(
        limit: _Limit = 100,
        offset: _Offset = 0,
        after: _Score = None,
        before: _Score = None,
        start_on: Literal["human"] | None = None,
        key: SessionKey = mine,
    ) -> Response:
        """Read a session's newest events, oldest first."""
        session = await read(
            key, limit=limit, offset=offset, after=after, before=before, start_on=start_on
        )
        page = SessionPage(
            key.session_id,
            session.events,
            session.is_cut,
            session.summary,
            session.created_at,
            session.updated_at,
        )
        return await _respond(_PAGE, page)

    @router.delete("/{session_id}", status_code=204, response_model=None, responses=_NO_SESSION)
    async def delete_session(key: SessionKey = mine) -> None:
        """Delete everything of a session."""
        if not await service.adelete_session(key):
            raise SessionNotFoundError(f"there is no session {shorten(key.session_id)}")

    @router.post("/{session_id}/clear", responses=_NO_SESSION)
    async def clear_events(key: SessionKey = mine) -> Removed:
        """Remove a session's events and summaries, not its state."""
        await read(key, limit=0)
        return Removed(await service.aclear_events(key))

    @router.get("/{session_id}/state", response_model=dict[str, Any], responses=_NO_SESSION)
    async def get_state(key: SessionKey = mine) -> Response:
        """Read a session's state, with the user's (`user:…`) and the app's (`app:…`)."""
        return await _respond(_STATE, (await read(key, limit=0)).state)

    @router.patch("/{session_id}/state", response_model=dict[str, Any], responses=_NO_SESSION)
    async def patch_state(
        values: Annotated[dict[str, Any], Body()], key: SessionKey = mine
    ) -> Response:
        """Set names in a session's state; null removes one. Returns the state."""
        foreign = next((name for name in values if name.startswith(APP_PREFIX)), None)
        if foreign is not None:
            raise HTTPException(403, f"{shorten(foreign)} is everybody's; only the app sets it")
        await read(key, limit=0)  # a user's state is there without a session
        try:
            values = _STATE.validate_python(values)
        except RecursionError:
            raise HTTPException(422, "the values are nested too deep") from None
        dropped = [name for name, value in values.items() if value is None]
        of_user = [name for name in dropped if name.startswith(USER_PREFIX)]
        await serving.achange_session_state(
            service,
            key,
            {name: value for name, value in values.items() if value is not None},
            [name for name in dropped if name not in of_user],
        )
        if of_user:
            await service.adelete_user_state(app_name, key.user_id, *of_user)
        return await get_state(key)

    @router.delete(
        "/{session_id}/events/{event_id}",
        status_code=204,
        response_model=None,
        responses=_NO_SESSION,
    )
    async def remove_event(event_id: str, key: SessionKey = mine) -> None:
        """Remove an event, such as an answer that the model shall make again."""
        if not await service.aremove_events(key, [event_id]):
            raise HTTPException(404, "there is no such event")

    @router.get(
        "/{session_id}/follow",
        response_class=EventSourceResponse,
        responses={
            200: {"content": {"text/event-stream": {}}, "description": "An event each."},
            **_NO_SESSION,
        },
    )
    async def follow(
        after: _Score = None,
        last_event_id: Annotated[float | None, Header(allow_inf_nan=False)] = None,
        key: SessionKey = mine,
    ) -> EventSourceResponse:
        """Send each event as it is appended, behind the score `after`, or `Last-Event-ID`."""
        await read(key, limit=0)
        start = after if last_event_id is None else last_event_id
        events = service.afollow(key, start, poll_s=poll_s)
        return EventSourceResponse(_send(events), ping_message_factory=_make_ping)

    return router


def _make_sign_in(user: Any) -> Any:
    if not isinstance(user, Dependency):
        if not callable(user) or inspect.isclass(user):
            raise ConfigurationError(
                "user= must be Depends(…) on a function that returns the id of the user who asks, "
                f"not {shorten(user)}"
            )
        user = Depends(user)

    async def sign_in(found: Any = user) -> Any:
        if found is None or found == "":
            raise HTTPException(401, "not signed in", {"WWW-Authenticate": "Bearer"})
        return as_text(found)

    return sign_in


def _get_title(session: Session) -> str:
    title = session.state.get("title")
    return title if isinstance(title, str) else ""


def _preview(session: Session, said: dict[str, str]) -> SessionPreview:
    session_id = session.key.session_id
    title = _get_title(session) or _shorten_text(said.get(session_id, ""))
    return SessionPreview(
        session_id,
        title,
        session.event_count or 0,
        session.last_message,
        session.created_at,
        session.updated_at,
    )


def _shorten_text(text: str) -> str:
    """Give a text as one short line.

    >>> _shorten_text("Hello,   what a day")
    'Hello, what a day'
    """
    line = " ".join(text[: 10 * _LONGEST_TITLE].split())
    return line if len(line) <= _LONGEST_TITLE else line[: _LONGEST_TITLE - 1].rstrip() + "…"


async def _respond(adapter: TypeAdapter[T], value: T) -> Response:
    """Answer with JSON that is made in a thread: a long session takes its time."""
    content = await asyncio.to_thread(adapter.dump_json, value)
    return Response(content, media_type="application/json")


async def _send(events: AsyncIterator[Event]) -> AsyncIterator[dict[str, str]]:
    try:
        async for event in events:
            data = await asyncio.to_thread(_EVENT.dump_json, event)
            yield {"id": format_score(event.score or 0), "data": data.decode()}
    except RedisSessionError as error:  # the client may come back, and go on where this ends
        logger.warning("a client that follows a session was sent away: %s", error)
        yield tell_in_stream(error)


def _make_ping() -> ServerSentEvent:
    return ServerSentEvent(comment="ping")
