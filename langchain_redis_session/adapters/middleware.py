"""`RedisSessionMiddleware`: a session as the memory of LangChain's agents (extra `agents`)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ToolMessage,
    convert_to_messages,
)
from langchain_core.messages.utils import count_tokens_approximately

from langchain_redis_session._actions.open_calls import OpenToolCalls
from langchain_redis_session._flow.drivers import arun, run
from langchain_redis_session._flow.requests import Call, Flow
from langchain_redis_session._operations.bounds import StartOn
from langchain_redis_session._verbs.arguments import check_flags
from langchain_redis_session.adapters._middleware.places import (
    PlaceFinder,
    calling_session,
)
from langchain_redis_session.adapters._middleware.talk import Talk
from langchain_redis_session.adapters._sharing import check_service
from langchain_redis_session.adapters._windows import ModelWindow, TokenCounter, format_summary
from langchain_redis_session.config import check_event_limit
from langchain_redis_session.errors import ConfigurationError, shorten
from langchain_redis_session.models import SessionKey, Summary, validate_id
from langchain_redis_session.service import RedisSessionService

try:
    from langchain.agents.middleware import AgentMiddleware
    from langgraph.config import get_config
    from langgraph.types import Command
except ImportError as error:
    raise ImportError(
        "RedisSessionMiddleware needs the package langchain: pip install "
        "'langchain-redis-session[agents]'"
    ) from error

if TYPE_CHECKING:
    from langchain.agents.middleware.types import ModelRequest, ModelResponse, ToolCallRequest

    _AgentMiddleware = AgentMiddleware[Any, Any, Any]
else:
    _AgentMiddleware = AgentMiddleware


class RedisSessionMiddleware(_AgentMiddleware):
    """The memory of an agent made by `create_agent`: a session of its user.

    The model is given what the session holds and then what is new; every user message, answer
    and tool result is stored as soon as it exists, once. What is read from the session never
    gets into the agent's state, its stream or its checkpoints. Sync and async.
    """

    def __init__(
        self,
        service: RedisSessionService,
        *,
        app_name: str = "default",
        session: Callable[[Any], SessionKey] | None = None,
        max_messages: int | None = None,
        max_tokens: int | None = None,
        token_counter: TokenCounter = count_tokens_approximately,
        include_summary: bool = False,
        format_summary: Callable[[Summary], BaseMessage | str] = format_summary,
        start_on: StartOn = "human",
        open_tool_calls: OpenToolCalls = "answer",
        session_event_limit: int | None = None,
    ) -> None:
        super().__init__()
        if session is not None and not callable(session):
            raise ConfigurationError(
                f"session= must be a function of the runtime, not {shorten(session)}"
            )
        check_flags(include_summary=include_summary)
        self._finder = PlaceFinder(validate_id(app_name, "app_name"), session)
        self._talk = Talk(
            check_service(service),
            ModelWindow(
                max_messages, max_tokens, token_counter, format_summary, start_on, open_tool_calls
            ),
            include_summary,
            check_event_limit("session_event_limit", session_event_limit),
        )

    def wrap_model_call(
        self,
        request: ModelRequest[Any],
        handler: Callable[[ModelRequest[Any]], ModelResponse[Any]],
    ) -> ModelResponse[Any]:
        """Give the model what the session holds, and store what is new and what it says."""
        response: ModelResponse[Any] = run(self._call_model(request, handler), None)
        return response

    async def awrap_model_call(
        self,
        request: ModelRequest[Any],
        handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]],
    ) -> ModelResponse[Any]:
        """As `wrap_model_call`, without blocking the event loop."""
        response: ModelResponse[Any] = await arun(self._call_model(request, handler), None)
        return response

    def _call_model(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Any]
    ) -> Flow[ModelResponse[Any]]:
        place = self._finder.find(request.runtime, _get_config())
        messages = convert_to_messages(request.messages)

        def ask(view: list[BaseMessage]) -> Call:
            call: Any = partial(handler, request.override(messages=view))  # type: ignore[arg-type]
            return Call(call, call)

        state = _list_state(request.state, messages)
        response, said = yield from self._talk.call_model(place, state, messages, ask)
        return _with_messages(response, said)  # type: ignore[no-any-return]

    def wrap_tool_call(
        self,
        request: ToolCallRequest,
        handler: Callable[[ToolCallRequest], ToolMessage | Command[Any]],
    ) -> ToolMessage | Command[Any]:
        """Store what a tool gives."""
        return run(self._call_tool(request, handler), None)

    async def awrap_tool_call(
        self,
        request: ToolCallRequest,
        handler: Callable[[ToolCallRequest], Awaitable[ToolMessage | Command[Any]]],
    ) -> ToolMessage | Command[Any]:
        """As `wrap_tool_call`, without blocking the event loop."""
        return await arun(self._call_tool(request, handler), None)

    def _call_tool(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Any]
    ) -> Flow[ToolMessage | Command[Any]]:
        place = self._finder.find(request.runtime, _get_config(request.runtime))
        token = calling_session.set(place.key)
        try:
            call: Any = partial(handler, request)
            result = yield Call(call, call)
        finally:
            calling_session.reset(token)
        said, rebuild = _open_result(result)
        named = yield from self._talk.store_results(place, _list_state(request.state), said)
        return rebuild(named)  # type: ignore[no-any-return]


def _get_config(runtime: Any = None) -> Mapping[str, Any]:
    """The run's config; nothing where it can't be known."""
    config = getattr(runtime, "config", None)
    if config is not None:
        return config  # type: ignore[no-any-return]
    try:
        return get_config()
    except RuntimeError:  # in a coroutine, below Python 3.11
        return {}


def _list_state(state: Any, given: Sequence[BaseMessage] = ()) -> list[BaseMessage]:
    """The messages of an agent's state, with results that LangChain has made for bad calls."""
    if isinstance(state, Mapping):
        found = state.get("messages")
    else:
        found = state if isinstance(state, list) else getattr(state, "messages", None)
    messages = convert_to_messages(found or [])
    ids = {message.id for message in messages}
    answered = {m.tool_call_id for m in messages if isinstance(m, ToolMessage)}
    for message in given:
        # They have no id yet, and stand behind their calls.
        if not isinstance(message, ToolMessage) or message.id in ids:
            continue
        if message.tool_call_id not in answered:
            messages.append(message)
    return messages


def _with_messages(response: Any, messages: list[BaseMessage]) -> Any:
    if isinstance(response, AIMessage):
        return messages[0]
    return replace(response, result=messages)


def _open_result(result: Any) -> tuple[list[BaseMessage], Callable[[list[BaseMessage]], Any]]:
    """The messages of a tool's result, and what makes it again of messages."""
    if isinstance(result, ToolMessage):
        return [result], lambda messages: messages[0]
    update = result.update if isinstance(result, Command) else None
    if not isinstance(update, Mapping) or not isinstance(update.get("messages"), list):
        return [], lambda _: result
    found = convert_to_messages(update["messages"])
    return found, lambda messages: replace(result, update={**update, "messages": messages})
