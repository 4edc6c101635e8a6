"""`RedisSessionMiddleware`: a session as the memory of LangChain's agents (extra `agents`)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any, get_args

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ToolMessage,
    convert_to_messages,
)

from langchain_redis_session._actions.open_calls import OpenToolCalls
from langchain_redis_session._connections.rebuilt import Rebuilt
from langchain_redis_session._flow.drivers import arun, run
from langchain_redis_session._flow.requests import Call, Flow
from langchain_redis_session._operations.bounds import StartOn
from langchain_redis_session._summarizer.tokens import count_tokens
from langchain_redis_session._verbs.arguments import check_flags
from langchain_redis_session.adapters._ids import tell_of_run
from langchain_redis_session.adapters._middleware.places import PlaceFinder
from langchain_redis_session.adapters._middleware.state_view import (
    SessionState,
    find_session_state,
)
from langchain_redis_session.adapters._middleware.talk import (
    ModelCall,
    OnStoreError,
    Talk,
    call_tool,
)
from langchain_redis_session.adapters._sharing import check_service
from langchain_redis_session.adapters._windows import ModelWindow, TokenCounter, format_summary
from langchain_redis_session.config import check_event_limit, check_function, refuse_unknown
from langchain_redis_session.errors import ConfigurationError, shorten
from langchain_redis_session.models import SessionKey, Summary, validate_id
from langchain_redis_session.service import RedisSessionService

try:
    from langchain.agents.middleware import AgentMiddleware
    from langchain.agents.middleware.types import ModelRequest, ModelResponse
    from langgraph.config import get_config
    from langgraph.types import Command
except ImportError as error:
    raise ImportError(
        "RedisSessionMiddleware needs the package langchain: pip install "
        "'langchain-redis-session[agents]'"
    ) from error

try:
    from langchain.agents.middleware.types import ToolCallRequest
except ImportError:  # not in langchain 1.0.0
    ToolCallRequest = Any  # type: ignore[assignment,misc]

if TYPE_CHECKING:
    _AgentMiddleware = AgentMiddleware[Any, Any, Any]
    _ModelRequest = ModelRequest[Any]
    _ModelResponse = ModelResponse[Any]
    _ToolRequest = ToolCallRequest
else:  # the first releases have other type parameters, and keep the last one for type checkers
    _AgentMiddleware = AgentMiddleware
    _ModelRequest = _ModelResponse = _ToolRequest = Any


class RedisSessionMiddleware(Rebuilt, _AgentMiddleware):
    """The memory of an agent made by `create_agent`: a session of its user.

    The model is given what the session holds, and then what is new. Every user message, answer
    and tool result is stored as soon as it exists, once, by its id. What is read from the session
    never gets into the agent's state, its stream or its checkpoints. It works with and without a
    checkpointer, sync and async, and one serves any number of users.

    List it before middlewares that use `session_state`, and before those that try a model or a tool
    again, which then are one call to it.

    A sub-agent, called in a tool, has the session's id but not its history; what it says goes to
    the session's track `agent:<name>` (`agent` without a name).

    Args:
        service: Where the sessions are.
        app_name: The application, where the run's context names none.
        session: A function of LangGraph's runtime that returns the `SessionKey`. Default:
            `user_id`, `session_id` and `app_name` of the run's context, be they attributes or
            items; else `user_id` and `thread_id` in the config's `configurable`.
        max_messages: The most messages that the model sees, the newest; None = all. The running
            turn counts, too. Where it alone is longer, its question and its newest calls with
            their results stay, and its older ones are left out: choose a limit above twice the
            tool calls of a run.
        max_tokens: The most tokens that it sees, likewise; None = all.
        token_counter: Counts tokens of messages; default: an estimate, media at a fixed cost each.
        include_summary: Whether the session's summary stands for the messages that it covers. The
            `summarizer=` of this service makes it, or that of another process; without any,
            nothing is left out for it.
        format_summary: Makes the message in front of the `Summary`: a text or a message.
        stable_window: Whether the window's first message stays the same until a limit is reached;
            then half is left out. Until the next time prompts begin alike, which providers'
            prompt caches need.
        start_on: Where a window that was cut begins: "human" = at a user message; None = where
            the cut falls.
        open_tool_calls: What to do with tool calls that never got a result, which models refuse:
            "answer" = an error result stands behind each, never stored; "drop" = leave them out;
            "keep" = as they are.
        include_interrupted: Whether the model sees answers that were cut off: those of a run that
            was cancelled, or whose stream was closed. They are stored with the label
            "interrupted" in `Event.tag`.
        session_event_limit: The most events of sessions that this makes, unless the service was
            given a limit; None = no limit.
        on_store_error: What becomes of an answer or a tool's result that Redis does not take.
            "report" = the run goes on; it is one of the service's `dead_letters()`, reported to
            `on_persist_error`, and delivered before the session's next message. (Over 100 of them,
            without write-behind, raise.) "raise" = the run fails. What fails before the model has
            answered raises in any case.

    Raises:
        ConfigurationError: An option can't be used.

    Example:
        >>> from langchain.agents import create_agent
        >>> from langchain_core.language_models import FakeListChatModel
        >>> from langchain_redis_session import RedisSessionService
        >>> service = RedisSessionService("memory://doc-middleware")
        >>> model = FakeListChatModel(responses=["Hello Ann!", "You are Ann."])
        >>> agent = create_agent(model, middleware=[RedisSessionMiddleware(service)])
        >>> ann = {"configurable": {"user_id": "ann", "thread_id": "s1"}}
        >>> for text in ("I am Ann.", "Who am I?"):
        ...     state = agent.invoke({"messages": [("human", text)]}, ann)
        >>> [message.text for message in service.get_messages(SessionKey("default", "ann", "s1"))]
        ['I am Ann.', 'Hello Ann!', 'Who am I?', 'You are Ann.']
    """

    @refuse_unknown(tell_of_run)
    def __init__(
        self,
        service: RedisSessionService,
        *,
        app_name: str = "default",
        session: Callable[[Any], SessionKey] | None = None,
        max_messages: int | None = None,
        max_tokens: int | None = None,
        token_counter: TokenCounter = count_tokens,
        include_summary: bool = False,
        format_summary: Callable[[Summary], BaseMessage | str] = format_summary,
        stable_window: bool = False,
        start_on: StartOn = "human",
        open_tool_calls: OpenToolCalls = "answer",
        include_interrupted: bool = False,
        session_event_limit: int | None = None,
        on_store_error: OnStoreError = "report",
    ) -> None:
        super().__init__()
        if session is not None:
            check_function("session", session, "runtime")
        if on_store_error not in get_args(OnStoreError):
            raise ConfigurationError(
                f'on_store_error must be "report" or "raise", not {shorten(on_store_error)}'
            )
        check_flags(include_summary=include_summary, include_interrupted=include_interrupted)
        window = ModelWindow(
            max_messages=max_messages,
            max_tokens=max_tokens,
            token_counter=token_counter,
            format_summary=format_summary,
            start_on=start_on,
            open_tool_calls=open_tool_calls,
            stable=stable_window,
        )
        self._finder = PlaceFinder(validate_id(app_name, "app_name"), session)
        self._talk = Talk(
            check_service(service),
            window,
            include_summary,
            include_interrupted,
            check_event_limit("session_event_limit", session_event_limit),
            on_store_error,
        )

    def wrap_model_call(
        self,
        request: _ModelRequest,
        handler: Callable[[_ModelRequest], _ModelResponse],
    ) -> _ModelResponse:
        """Give the model what the session holds; store what is new, and what it says."""
        call = self._make_call(request, handler)
        try:
            response, said = run(call.answer(), None)
        except Exception:
            raise
        except BaseException:  # the run is cut off
            run(call.save_partial_answer(), None)
            raise
        return _with_messages(response, said)  # type: ignore[no-any-return]

    async def awrap_model_call(
        self,
        request: _ModelRequest,
        handler: Callable[[_ModelRequest], Awaitable[_ModelResponse]],
    ) -> _ModelResponse:
        """Give the model what the session holds; as `wrap_model_call`."""
        call = self._make_call(request, handler)
        try:
            response, said = await arun(call.answer(), None)
        except Exception:
            raise
        except BaseException:
            await arun(call.save_partial_answer(), None)
            raise
        return _with_messages(response, said)  # type: ignore[no-any-return]

    def _make_call(
        self, request: _ModelRequest, handler: Callable[[_ModelRequest], Any]
    ) -> ModelCall:
        messages = convert_to_messages(request.messages)

        def ask(view: list[BaseMessage]) -> Call:
            shown: Any = view
            call: Any = partial(handler, request.override(messages=shown))
            return Call(call, call)

        return ModelCall(
            self._talk,
            self._finder.find(request.runtime, _get_config()),
            _list_state(request.state, messages),
            messages,
            ask,
        )

    def wrap_tool_call(
        self,
        request: _ToolRequest,
        handler: Callable[[_ToolRequest], ToolMessage | Command[Any]],
    ) -> ToolMessage | Command[Any]:
        """Store what a tool returns."""
        return run(self._call_tool(request, handler), None)

    async def awrap_tool_call(
        self,
        request: _ToolRequest,
        handler: Callable[[_ToolRequest], Awaitable[ToolMessage | Command[Any]]],
    ) -> ToolMessage | Command[Any]:
        """Store what a tool returns; as `wrap_tool_call`."""
        return await arun(self._call_tool(request, handler), None)

    def _call_tool(
        self, request: _ToolRequest, handler: Callable[[_ToolRequest], Any]
    ) -> Flow[ToolMessage | Command[Any]]:
        place = self._finder.find(request.runtime, _get_config(request.runtime))
        state = _list_state(request.state)
        call: Any = partial(handler, request)
        result, turn = yield from call_tool(self._talk, place, state, Call(call, call))
        said, rebuild = _open_result(result)
        call_id = request.tool_call["id"] or ""
        named = yield from self._talk.store_results(turn, state, said, call_id)
        return rebuild(named)  # type: ignore[no-any-return]


def session_state(runtime: object) -> SessionState:
    """The state of the session whose agent calls a tool or makes a prompt: a mapping.

    What is changed is stored with the next message, such as the tool's result.

    Args:
        runtime: What a tool (`ToolRuntime`) or a prompt (`request.runtime`) was given.

    Raises:
        ConfigurationError: The agent has no `RedisSessionMiddleware`, or lists it behind the
            middleware that asks.

    Example:
        >>> from langchain.tools import ToolRuntime, tool
        >>> @tool
        ... def put_into_cart(item: str, runtime: ToolRuntime) -> str:
        ...     "Put something into the cart."
        ...     state = session_state(runtime)
        ...     state["cart"] = [*state.get("cart", []), item]
        ...     return f"{len(state['cart'])} in the cart"
    """
    return find_session_state(runtime)


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
    answered = {m.tool_call_id for m in messages if isinstance(m, ToolMessage)}
    made: dict[str, list[ToolMessage]] = {}
    for before, message in pairwise(given):
        # They have no id yet, and stand behind their calls.
        if not isinstance(message, ToolMessage) or message.id:
            continue
        if message.tool_call_id not in answered:
            made.setdefault(before.id or "", []).append(message)
    return [m for message in messages for m in (message, *made.get(message.id or "", ()))]


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
