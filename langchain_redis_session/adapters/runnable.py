"""`with_session`: a session as the memory of any chain."""

from __future__ import annotations

from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Callable,
    Generator,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import suppress
from typing import Any, get_args
from uuid import uuid4

from langchain_core.messages import BaseMessage
from langchain_core.runnables import (
    ConfigurableFieldSpec,
    Runnable,
    RunnableConfig,
    ensure_config,
)
from langchain_core.runnables.base import RunnableLike, coerce_to_runnable
from langchain_core.runnables.utils import get_unique_config_specs
from langchain_core.utils.pydantic import create_model_v2
from pydantic import BaseModel

from langchain_redis_session._actions.open_calls import OpenToolCalls
from langchain_redis_session._display.guard import shows
from langchain_redis_session._flow.drivers import arun, run
from langchain_redis_session._operations.bounds import StartOn
from langchain_redis_session._summarizer.tokens import count_tokens
from langchain_redis_session._verbs.arguments import check_flags
from langchain_redis_session.adapters._ids import as_text, find_session_id, tell_names, tell_of_run
from langchain_redis_session.adapters._runnable.forms import Forms, merge_chunks
from langchain_redis_session.adapters._runnable.turn import Memory, OnStoreError, Turn
from langchain_redis_session.adapters._sharing import check_service
from langchain_redis_session.adapters._windows import ModelWindow, TokenCounter, format_summary
from langchain_redis_session.config import check_event_limit, refuse_unknown
from langchain_redis_session.errors import (
    ConfigurationError,
    InvalidSessionKeyError,
    shorten,
)
from langchain_redis_session.models import SessionKey, Summary, validate_id
from langchain_redis_session.service import RedisSessionService

_NAMES = ("user_id", "session_id (or thread_id)")
_CONFIG = 'a dict such as {"configurable": {"user_id": "ann", "session_id": "s1"}}'


@refuse_unknown(tell_of_run)
def with_session(
    runnable: RunnableLike[Any, Any],
    service: RedisSessionService,
    *,
    input_messages_key: str | None = None,
    history_messages_key: str | None = None,
    output_messages_key: str | None = None,
    app_name: str = "default",
    include_summary: bool = False,
    max_messages: int | None = None,
    max_tokens: int | None = None,
    token_counter: TokenCounter = count_tokens,
    format_summary: Callable[[Summary], BaseMessage | str] = format_summary,
    stable_window: bool = False,
    start_on: StartOn = "human",
    open_tool_calls: OpenToolCalls = "answer",
    include_interrupted: bool = False,
    session_event_limit: int | None = None,
    on_store_error: OnStoreError = "raise",
) -> RunnableWithSession:
    """Give a chain a session as its memory, in place of `RunnableWithMessageHistory`.

    Each run names its session in the config: `{"configurable": {"user_id": …, "session_id": …}}`,
    or `thread_id`, as for agents.
    The chain is given what the session holds, and what the user says. That is stored before the
    chain runs, the answer when it ends, both under one request id, the run's own. A session that
    does not exist is made.

    Inputs and outputs are those of `RunnableWithMessageHistory`: a string, a message, a list of
    messages, or a dict with one of them. What is different:

    - The user's message is stored first: it stays where the model fails or a stream is closed.
      What was streamed until then stays too, with the label "interrupted" in `Event.tag`, and is
      left out of later prompts.
    - What can't be stored raises: an answer that is no message, `UnserializableMessageError`
      (a `TypeError`); Redis can't be reached, `BackendUnavailableError`. The original only logs
      it, at most.
    - Runs at the same time, such as a batch on one session, lose nothing, with and without
      `history_messages_key`, and later prompts have each answer behind its question.
    - What an agent returns of what it was given is not stored again. A message whose id the
      session has is not stored again, so a client may repeat its request.
    - Streamed answers are stored as messages, not as chunks. Messages without an id get one.
    - User and session are asked for, neither has a default; a missing one is an
      `InvalidSessionKeyError` (a `ValueError`) that names it. Numbers are taken as text.
    - System messages stand in front of what a model is given.
    - Wrong input is a `TypeError` of ours, and not a `ValueError`, `KeyError` or `AssertionError`.
    - There is no run of its own around the chain's in traces and events.

    Args:
        runnable: A chain, a model, or a function.
        service: Where the sessions are.
        input_messages_key: Where the user's messages stand in an input that is a dict. Default:
            its only key, or "input".
        history_messages_key: Where the chain expects what came before, as a prompt's
            `MessagesPlaceholder` does. None = the chain is given one list with all, under
            `input_messages_key` if there is one.
        output_messages_key: Where the answer stands in an output that is a dict. Default: its
            only key, or "output".
        app_name: The application.
        include_summary: Whether the session's summary stands for the messages that it covers. The
            `summarizer=` of this service makes it, or that of another process; without any,
            nothing is left out for it.
        max_messages: The most messages that the chain is given, the newest; None = all. What the
            user says now counts, too, and stays in any case.
        max_tokens: The most tokens that it is given, likewise; None = all.
        token_counter: Counts tokens of messages; default: an estimate, media at a fixed cost each.
        format_summary: Makes the message in front of the `Summary`: a text or a message.
        stable_window: Whether the window's beginning stays where it is until a limit is reached;
            see `RedisSessionMiddleware`.
        start_on: Where a window that was cut begins: "human" = at a user message; None = where
            the cut falls.
        open_tool_calls: What to do with tool calls that never got a result: "answer" = an error
            result stands behind each, never stored; "drop" = leave them out; "keep".
        include_interrupted: Whether the chain is given answers that were cut off.
        session_event_limit: The most events of sessions that this makes, unless the service was
            given a limit; None = no limit.
        on_store_error: What becomes of an answer that Redis does not take. "raise" = the run
            fails, though it was answered. "report" = the caller gets the answer; it is one of the
            service's `dead_letters()`, and delivered before the session's next message.

    Returns:
        A runnable that takes and returns what `runnable` does.

    Raises:
        ConfigurationError: An option can't be used.

    Example:
        >>> from langchain_core.language_models import FakeListChatModel
        >>> from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
        >>> from langchain_redis_session import RedisSessionService
        >>> prompt = ChatPromptTemplate([MessagesPlaceholder("history"), ("human", "{question}")])
        >>> chain = with_session(
        ...     prompt | FakeListChatModel(responses=["Hello Ann!", "You are Ann."]),
        ...     RedisSessionService("memory://doc-with-session"),
        ...     input_messages_key="question",
        ...     history_messages_key="history",
        ... )
        >>> ann = {"configurable": {"user_id": "ann", "session_id": "s1"}}
        >>> answer = chain.invoke({"question": "I am Ann."}, ann)
        >>> chain.invoke({"question": "Who am I?"}, ann).text
        'You are Ann.'
    """
    keys = {
        "input_messages_key": input_messages_key,
        "history_messages_key": history_messages_key,
        "output_messages_key": output_messages_key,
    }
    for name, key in keys.items():
        if key is not None and (not isinstance(key, str) or not key):
            raise ConfigurationError(f"{name} must be a string, or None, not {shorten(key)}")
    if history_messages_key is not None and history_messages_key == input_messages_key:
        raise ConfigurationError(
            f"input_messages_key and history_messages_key are both {shorten(input_messages_key)}, "
            "so the history would stand in the question's place; name two places, or leave out "
            "history_messages_key, which puts the history before the question"
        )
    if on_store_error not in get_args(OnStoreError):
        raise ConfigurationError(
            f'on_store_error must be "raise" or "report", not {shorten(on_store_error)}'
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
    memory = Memory(
        check_service(service),
        Forms(input_messages_key, history_messages_key, output_messages_key),
        window,
        include_summary,
        include_interrupted,
        check_event_limit("session_event_limit", session_event_limit),
        on_store_error,
    )
    validate_id(app_name, "app_name")
    return RunnableWithSession(_to_runnable(runnable), memory, app_name)


def _to_runnable(runnable: object) -> Runnable[Any, Any]:
    with suppress(TypeError):  # in LangChain's words
        return coerce_to_runnable(runnable)  # type: ignore[call-overload, no-any-return]
    raise ConfigurationError(
        "runnable must be a chain, a model, a function, or a dict of these, not "
        f"{shorten(runnable)}"
    )


class RunnableWithSession(Runnable[Any, Any]):
    """What `with_session` returns."""

    def __init__(self, bound: Runnable[Any, Any], memory: Memory, app_name: str) -> None:
        self.bound = bound
        self._memory = memory
        self._app_name = app_name

    @shows
    def __repr__(self) -> str:
        return f"with_session({self.bound!r}, {self._memory.service!r})"

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        """Run the chain with its session."""
        config, turn = self._begin(config)
        given = run(turn.begin(input), None)
        output = self.bound.invoke(given, config, **kwargs)
        run(turn.end(output), None)
        return output

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        """Run the chain with its session; as `invoke`."""
        config, turn = self._begin(config)
        given = await arun(turn.begin(input), None)
        output = await self.bound.ainvoke(given, config, **kwargs)
        await arun(turn.end(output), None)
        return output

    def stream(
        self, input: Any, config: RunnableConfig | None = None, **kwargs: Any | None
    ) -> Iterator[Any]:
        """Stream the chain's output; the answer is stored when all was given."""
        config, turn = self._begin(config)
        given = run(turn.begin(input), None)
        chunks: list[Any] = []
        stream = self.bound.stream(given, config, **kwargs)
        try:
            for chunk in stream:
                chunks.append(chunk)
                yield chunk
        except BaseException:
            run(turn.break_off(merge_chunks(chunks)), None)
            raise
        finally:
            if isinstance(stream, Generator):
                stream.close()
        run(turn.end(merge_chunks(chunks)), None)

    async def astream(
        self, input: Any, config: RunnableConfig | None = None, **kwargs: Any | None
    ) -> AsyncIterator[Any]:
        """Stream the chain's output; as `stream`."""
        config, turn = self._begin(config)
        given = await arun(turn.begin(input), None)
        chunks: list[Any] = []
        stream = self.bound.astream(given, config, **kwargs)
        try:
            async for chunk in stream:
                chunks.append(chunk)
                yield chunk
        except BaseException:  # cut off, and perhaps cancelled again while this waits
            await arun(turn.break_off(merge_chunks(chunks)), None)
            raise
        finally:
            if isinstance(stream, AsyncGenerator):
                await stream.aclose()
        await arun(turn.end(merge_chunks(chunks)), None)

    def _begin(self, config: RunnableConfig | None) -> tuple[RunnableConfig, Turn]:
        if config is not None and not isinstance(config, Mapping):
            raise ConfigurationError(f"config must be {_CONFIG}, not {shorten(config)}")
        config = ensure_config(config)
        run_id = config.get("run_id") or uuid4()
        turn = Turn(self._memory, self._find_key(config), str(run_id))
        return {**config, "run_id": run_id}, turn

    def _find_key(self, config: RunnableConfig) -> SessionKey:
        configurable = config.get("configurable") or {}
        ids = (as_text(configurable.get("user_id")), find_session_id(configurable))
        missing = [name for name, found in zip(_NAMES, ids, strict=True) if found in (None, "")]
        if missing:
            raise InvalidSessionKeyError(
                f"this run names no {' and no '.join(missing)}{tell_names(configurable)}; pass a "
                f"config, {_CONFIG}"
            )
        return SessionKey(self._app_name, *ids)

    @property
    def config_specs(self) -> list[ConfigurableFieldSpec]:
        """What a config can have: the chain's, and the names of user and session."""
        bound = self.bound.config_specs
        taken = {spec.id for spec in bound}
        own = [
            ConfigurableFieldSpec(
                id=name,
                annotation=str,
                name=label,
                description=text,
                default="",
                is_shared=True,
            )
            for name, label, text in (
                ("user_id", "User ID", "Whose session it is."),
                ("session_id", "Session ID", "The conversation, unique for the user."),
                ("thread_id", "Thread ID", "The same, by LangGraph's name."),
            )
            if name not in taken
        ]
        return get_unique_config_specs([*bound, *own])

    @property
    def InputType(self) -> Any:
        """What it takes."""
        return Any

    @property
    def OutputType(self) -> Any:
        """What it returns: what the chain does."""
        return self.bound.OutputType

    def get_input_schema(self, config: RunnableConfig | None = None) -> type[BaseModel]:
        """What it takes: what the chain does, without what comes from the session."""
        forms = self._memory.forms
        bound: Any = self.bound.get_input_schema(config)
        said: Any = (str | BaseMessage | Sequence[BaseMessage], ...)
        if forms.input_key is None and forms.history_key is None:
            return create_model_v2("InputWithSession", module_name=__name__, root=said)
        fields: dict[str, Any] = {
            name: (found.annotation, found)
            for name, found in bound.model_fields.items()
            if name not in ("root", forms.history_key, forms.input_key)
        }
        fields[forms.input_key or "input"] = said
        return create_model_v2("InputWithSession", module_name=__name__, field_definitions=fields)

    def get_output_schema(self, config: RunnableConfig | None = None) -> type[BaseModel]:
        """What it returns: what the chain does."""
        schema: Any = self.bound.get_output_schema(config)
        return schema  # type: ignore[no-any-return]
