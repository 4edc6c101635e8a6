"""`install_error_handlers`: the errors of this package as statuses of HTTP (extra `server`)."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from typing import Any

from langchain_redis_session._logs import logger
from langchain_redis_session.adapters._writes import is_of_answer
from langchain_redis_session.errors import (
    BackendUnavailableError,
    BudgetExceededError,
    ConfigurationError,
    EventRejectedError,
    EventTooLargeError,
    InvalidSessionKeyError,
    PersistError,
    RedisSessionError,
    SessionNotFoundError,
    SessionServiceClosedError,
    StateTooLargeError,
    UnserializableMessageError,
    shorten,
)

try:
    from fastapi import FastAPI, HTTPException, Request, Response
    from fastapi.exception_handlers import http_exception_handler
    from fastapi.routing import APIRoute
except ImportError as error:
    raise ImportError(
        "session_router and install_error_handlers need the package fastapi: pip install "
        "'langchain-redis-session[server]'"
    ) from error

RETRY_AFTER_S = 5

STATUSES: dict[type[RedisSessionError], int] = {
    BackendUnavailableError: 503,
    BudgetExceededError: 429,
    EventRejectedError: 409,
    EventTooLargeError: 413,
    InvalidSessionKeyError: 422,
    PersistError: 503,
    SessionNotFoundError: 404,
    SessionServiceClosedError: 503,
    StateTooLargeError: 413,
    UnserializableMessageError: 422,
}
"""What has no status here is a mistake of the server's, and a 500."""

_OF_CONTENT = (413, 422)
"""What is the client's mistake, unless it is what the model has said."""
# In the router's own routes, every argument comes from the client.
_ROUTER_STATUSES = {**STATUSES, ConfigurationError: 422}


def install_error_handlers(app: FastAPI) -> None:
    """Let an app answer this package's errors with the status that they mean.

    For endpoints of your own, such as one that runs a chain: without it these errors are a 500.
    (The routes of `session_router` need nothing.)

    - 404: there is no such session, or it is somebody else's.
    - 409: a hook refused to write, or to read.
    - 413: a message or a state is too large.
    - 422: an id is missing or can't be one; a value that JSON can't carry.
    - 429: a `UsageBudget` is used up.
    - 502: a chain, or its model, gave no answer, or one that can't be stored.
    - 503, with `Retry-After`: Redis can't be reached, or the service is closed. The body shows no
      address.

    Args:
        app: The app.

    Raises:
        ConfigurationError: It is none.

    Example:
        >>> from fastapi import FastAPI
        >>> app = FastAPI()
        >>> install_error_handlers(app)
    """
    if not hasattr(app, "add_exception_handler"):
        raise ConfigurationError(f"app must be a FastAPI app, not {shorten(app)}")
    for kind in STATUSES:
        app.add_exception_handler(kind, _answer)


async def _answer(request: Request, error: Exception) -> Response:
    found = _to_http_error(error, STATUSES)
    if found is None:
        raise error
    return await http_exception_handler(request, found)


class SessionRoute(APIRoute):
    """A route that answers errors with their status by itself."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """What handles a request."""
        handle = super().get_route_handler()

        async def answer(request: Request) -> Response:
            try:
                return await handle(request)
            except RedisSessionError as error:
                found = _to_http_error(error, _ROUTER_STATUSES)
                if found is None:
                    raise
                raise found from error

        return answer


def _to_http_error(
    error: Exception, statuses: dict[type[RedisSessionError], int]
) -> HTTPException | None:
    status = next((statuses[kind] for kind in type(error).__mro__ if kind in statuses), None)
    if status is None:
        return None
    if status in _OF_CONTENT and is_of_answer(error):
        logger.error("an answer could not be stored: %s", error)
        return HTTPException(502, "the answer can't be stored")
    if status == 503:
        logger.warning("a request was answered with status 503: %s", error)
        return HTTPException(
            status, "sessions can't be reached now", {"Retry-After": str(RETRY_AFTER_S)}
        )
    if status == 404:
        return HTTPException(status, "there is no such session")
    if status == 409:
        cause = error.__cause__  # the words of the hook; others are for the server's log
        return HTTPException(
            status, str(cause) if isinstance(cause, EventRejectedError) else "refused"
        )
    return HTTPException(status, str(error))


def tell_in_stream(error: RedisSessionError) -> dict[str, Any]:
    """Give the server-sent event that ends a stream, in the form of LangServe's."""
    found = _to_http_error(error, _ROUTER_STATUSES) or HTTPException(500, "it can't be read")
    said = {"status_code": found.status_code, "message": found.detail}
    return {"event": "error", "data": json.dumps(said), "retry": 1000 * RETRY_AFTER_S}
