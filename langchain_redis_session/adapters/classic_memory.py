"""`RedisSessionMemory`: a session as the memory of `langchain_classic` (extra `classic`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, get_buffer_string
from pydantic import PrivateAttr, ValidationError

from langchain_redis_session._actions.open_calls import OpenToolCalls
from langchain_redis_session._connections.checks import tell_of_client
from langchain_redis_session._operations.bounds import StartOn
from langchain_redis_session._summarizer.tokens import count_tokens
from langchain_redis_session._verbs.arguments import check_flags
from langchain_redis_session.adapters._sharing import check_service
from langchain_redis_session.adapters._windows import TokenCounter, format_summary
from langchain_redis_session.adapters.history import RedisSessionChatMessageHistory
from langchain_redis_session.config import refuse_unknown
from langchain_redis_session.errors import (
    ConfigurationError,
    UnserializableMessageError,
    shorten,
)
from langchain_redis_session.models import Summary, new_id
from langchain_redis_session.service import RedisSessionService

try:
    from langchain_classic.base_memory import BaseMemory
except ImportError as error:
    raise ImportError(
        "RedisSessionMemory needs the package langchain-classic: pip install "
        "'langchain-redis-session[classic]'"
    ) from error


class RedisSessionMemory(BaseMemory):
    """The memory of a `langchain_classic` chain or `AgentExecutor`: a session of its user.

    It takes the place of the buffer, window, token and summary memories: it returns the session's
    summary with what that does not cover, cut to what a model accepts. The messages themselves
    all stay. (`ConversationSummaryBufferMemory` and `ConversationTokenBufferMemory` over a
    history never cut it, and summarize in the middle of a request.) Who makes the summaries is
    the service's `summarizer`, in the background.

    One is for one session: make it for each request, which costs nothing.

    Args:
        service: Where the sessions are.
        session_id: The conversation.
        user_id: Whose conversation it is.
        app_name: The application.
        memory_key: The prompt's variable.
        input_key: The input with the user's words; None = the only one that is not the memory.
        output_key: The output with the answer; None = the only one, or "output".
        return_messages: Whether the variable is a list of messages, for a `MessagesPlaceholder`;
            else it is a text.
        human_prefix: What stands before the user's words in that text.
        ai_prefix: What stands before the model's.
        include_summary: Whether the session's summary stands for the messages that it covers. The
            `summarizer=` of this service makes it, or that of another process; without any,
            nothing is left out for it.
        max_messages: The most messages that it returns, the newest; None = all. The last turn
            counts, too, as in `RedisSessionChatMessageHistory`.
        max_tokens: The most tokens that it returns, likewise; None = all.
        token_counter: Counts tokens of messages; default: an estimate, media at a fixed cost each.
        format_summary: Makes the message in front of the `Summary`: a text or a message.
        start_on: Where a window that was cut begins; see `RedisSessionChatMessageHistory`.
        open_tool_calls: What to do with tool calls that never got a result, likewise.

    Raises:
        ConfigurationError: An option can't be used.
        InvalidSessionKeyError: An id can't be one.

    Example:
        >>> from langchain_redis_session import RedisSessionService
        >>> service = RedisSessionService("memory://doc-classic")
        >>> memory = RedisSessionMemory(service, "s1", user_id="ann", max_messages=20)
        >>> memory.save_context({"input": "I am Ann."}, {"output": "Hello Ann!"})
        >>> print(memory.load_memory_variables({})["history"])
        Human: I am Ann.
        AI: Hello Ann!
    """

    memory_key: str = "history"
    input_key: str | None = None
    output_key: str | None = None
    return_messages: bool = False
    human_prefix: str = "Human"
    ai_prefix: str = "AI"
    _history: RedisSessionChatMessageHistory = PrivateAttr()

    @refuse_unknown(tell_of_client)
    def __init__(
        self,
        service: RedisSessionService,
        session_id: str,
        *,
        user_id: str = "default",
        app_name: str = "default",
        memory_key: str = "history",
        input_key: str | None = None,
        output_key: str | None = None,
        return_messages: bool = False,
        human_prefix: str = "Human",
        ai_prefix: str = "AI",
        include_summary: bool = True,
        max_messages: int | None = None,
        max_tokens: int | None = None,
        token_counter: TokenCounter = count_tokens,
        format_summary: Callable[[Summary], BaseMessage | str] = format_summary,
        start_on: StartOn = "human",
        open_tool_calls: OpenToolCalls = "answer",
    ) -> None:
        texts = {"memory_key": memory_key, "human_prefix": human_prefix, "ai_prefix": ai_prefix}
        keys = {"input_key": input_key, "output_key": output_key}
        for name, value in {**texts, **keys}.items():
            if not (isinstance(value, str) or (value is None and name in keys)):
                raise ConfigurationError(f"{name} must be a string, not {shorten(value)}")
        check_flags(return_messages=return_messages)
        super().__init__(**texts, **keys, return_messages=return_messages)  # type: ignore[call-arg]
        self._history = RedisSessionChatMessageHistory(
            session_id,
            user_id=user_id,
            app_name=app_name,
            service=check_service(service),
            include_summary=include_summary,
            max_messages=max_messages,
            max_tokens=max_tokens,
            token_counter=token_counter,
            format_summary=format_summary,
            start_on=start_on,
            open_tool_calls=open_tool_calls,
        )

    @property
    def memory_variables(self) -> list[str]:
        """The prompt's variable that this fills."""
        return [self.memory_key]

    def load_memory_variables(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the model sees of the session."""
        return self._show(self._history.messages)

    async def aload_memory_variables(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the model sees of the session, without blocking the event loop."""
        return self._show(await self._history.aget_messages())

    def _show(self, messages: list[BaseMessage]) -> dict[str, Any]:
        if self.return_messages:
            return {self.memory_key: messages}
        text = get_buffer_string(messages, self.human_prefix, self.ai_prefix)
        return {self.memory_key: text}

    def save_context(self, inputs: Mapping[str, Any], outputs: Mapping[str, Any]) -> None:
        """Store what the user has said and what was answered, in one step."""
        turn = self._make_turn(inputs, outputs)
        service, key = self._history.service, self._history.session_key
        service.append_messages(key, turn, create=True, new_event_limit=None, request_id=new_id())

    async def asave_context(self, inputs: Mapping[str, Any], outputs: Mapping[str, Any]) -> None:
        """Store what was said, without blocking the event loop; as `save_context`."""
        turn = self._make_turn(inputs, outputs)
        service, key = self._history.service, self._history.session_key
        await service.aappend_messages(
            key, turn, create=True, new_event_limit=None, request_id=new_id()
        )

    def _make_turn(
        self, inputs: Mapping[str, Any], outputs: Mapping[str, Any]
    ) -> list[BaseMessage]:
        others = [name for name in inputs if name not in (self.memory_key, "stop")]
        said = _pick("input", inputs, others, self.input_key)
        names = ["output"] if "output" in outputs else list(outputs)
        answered = _pick("output", outputs, names, self.output_key)
        return [
            _to_message("input", HumanMessage, said),
            _to_message("output", AIMessage, answered),
        ]

    def clear(self) -> None:
        """Remove the messages and the summary; the session's state stays."""
        self._history.clear()

    async def aclear(self) -> None:
        """Remove the messages and the summary, without blocking the event loop."""
        await self._history.aclear()


def _pick(name: str, values: Mapping[str, Any], names: list[str], chosen: str | None) -> Any:
    """Find what was said; a text, content blocks, or a message.

    Raises:
        ConfigurationError: It is not clear which it is.
    """
    if chosen is not None:
        names = [chosen] if chosen in values else []
    if len(names) != 1:
        raise ConfigurationError(
            f"{name}_key= must name what of the {name}s is the message: there are "
            f"{shorten(list(values))}, and {name}_key={chosen!r}"
        )
    return values[names[0]]


def _to_message(name: str, kind: type[BaseMessage], said: Any) -> BaseMessage:
    if isinstance(said, BaseMessage):
        return said
    with suppress(ValidationError):  # in pydantic's words
        return kind(said)
    raise UnserializableMessageError(
        f"the {name} must be a text, a list of content blocks, or a message, not {shorten(said)}"
    )
