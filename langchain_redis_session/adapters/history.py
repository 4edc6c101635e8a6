"""`RedisSessionChatMessageHistory`: a session as LangChain's chat message history.

langchain-core deprecates its history classes; this module works without them too.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import uuid4

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    MessageLikeRepresentation,
    get_buffer_string,
    message_to_dict,
)
from langchain_core.runnables.config import ensure_config
from typing_extensions import Unpack

from langchain_redis_session._actions.open_calls import (
    OpenToolCalls,
    close_calls,
    warn_of_open_calls,
)
from langchain_redis_session._connections.rebuilt import Rebuilt
from langchain_redis_session._display.guard import shows
from langchain_redis_session._hooks.discovery import list_handlers
from langchain_redis_session._operations.bounds import StartOn
from langchain_redis_session._operations.reading import WindowSession
from langchain_redis_session._summarizer.tokens import count_tokens
from langchain_redis_session._verbs import windows
from langchain_redis_session._verbs.arguments import check_flags, list_messages
from langchain_redis_session._verbs.runner import (
    combine_hooks,
    get_events_key,
    get_options,
    get_sync_client,
)
from langchain_redis_session.adapters._sharing import (
    SharedOptions,
    check_names,
    check_service,
    share_service,
)
from langchain_redis_session.adapters._windows import (
    ModelWindow,
    TokenCounter,
    begin_stable,
    format_summary,
)
from langchain_redis_session.callbacks import Handlers
from langchain_redis_session.config import check_ttl
from langchain_redis_session.errors import ConfigurationError
from langchain_redis_session.models import Event, SessionKey, SummarizedMessages, Summary
from langchain_redis_session.service import RedisSessionService, Ttl

if TYPE_CHECKING:
    from langchain_core.chat_history import BaseChatMessageHistory
else:
    try:
        from langchain_core.chat_history import BaseChatMessageHistory
    except ImportError:  # removed in langchain-core 2

        class BaseChatMessageHistory:
            """Stands in for the class that langchain-core no longer has."""


_A_QUESTION = (HumanMessage("…"),)


class RedisSessionChatMessageHistory(BaseChatMessageHistory, Rebuilt):
    """A chat history in Redis, in place of LangChain's older ones: change the import only.

    Takes the constructor arguments of `langchain_redis.RedisChatMessageHistory` and of
    `langchain_community.chat_message_histories.RedisChatMessageHistory`. Unlike these it
    keeps every field of every message, and writes any number of messages in one round trip.

    Making one is cheap: those with equal options share one service and its connections. One made
    of a URL can be copied and pickled: the copy connects by itself.

    Args:
        session_id: The conversation.
        redis_url: As `RedisSessionService`'s.
        key_prefix: Put in front of every key; a ":" at its end is dropped.
        ttl: How long the session lives after its last write, in seconds or as a
            `timedelta`; None = for ever.
        user_id: Whose conversation it is.
        app_name: The application.
        service: The service to use; it then decides about URL, prefix and TTL.
        redis_instance: The name of a registered instance; a URL wins over it.
        redis_client: Your own sync client of redis-py; it wins over both.
        async_client: Your own async client; default: made like the sync one.
        url: Another name for `redis_url`.
        max_messages: The most messages that a read returns, the newest; None = all. The summary
            and system messages count, answers made for open tool calls don't. The running turn,
            which is the last user message and what follows it, counts, too. Where it alone is
            longer, its question and its newest calls with their results stay, at least the
            last, and its older ones are left out.
        max_tokens: The most tokens that a read returns, likewise; None = all.
        token_counter: Counts tokens of messages; default: an estimate, with pictures,
            sounds, films and files at a fixed cost each.
        include_summary: Whether a read returns the session's summary in place of the messages
            that it covers. It and system messages become one system message in front, which
            is left out where the last user message would not fit beside it. Messages without
            an id get one for this read. The `summarizer=` makes the summaries, or that of
            another process; without any, all messages are returned.
        format_summary: Makes that message of the `Summary`: a text or a message.
        start_on: Where a read begins if `max_messages`, `max_tokens` or the summary leave
            older messages out: "human" = at a user message; None = where the cut falls,
            but at no tool result. System messages stay in front: those in what is read, and
            the first four messages of the session as far as they are system messages.
        stable_window: Whether the first message of what a read returns stays the same until
            `max_messages` or `max_tokens` is reached; then half is left out. Until the next
            time prompts begin alike, which providers' prompt caches need.
        include_interrupted: Whether a read that returns a part of the session has answers that
            were cut off, too (with the label "interrupted" in `Event.tag`).
        open_tool_calls: What to do with tool calls that never got a result, as after a crash;
            models refuse them. "answer" = put an error result behind each, which is never
            stored; "drop" = leave the calls out; "keep" = return what is stored. Unless kept,
            late results are moved up to their calls. The last calls may still be running,
            and stay, unless a `RunnableWithMessageHistory` reads: it puts the next question
            behind them. Default: "answer" where `max_messages`, `max_tokens` or
            `include_summary` is given, else "keep" with a warning.
        callbacks: Hooks for what is read and written by this history; see
            `SessionCallbackHandler`.
        index_name: Accepted for compatibility; no index is needed.
        overwrite_index: Likewise.
        options: Options of `RedisSessionService`, such as `session_event_limit` (without it a
            history makes its sessions without limit) or `summarizer` (make it once: histories
            share a service where it is the same object); others go to the redis-py client.

    Raises:
        InvalidSessionKeyError: An id is empty, not a string, or over 512 bytes.
        ConfigurationError: An option or URL can't be used.

    Example:
        >>> history = RedisSessionChatMessageHistory("s1", "memory://doc-history")
        >>> history.add_messages([HumanMessage("hi"), AIMessage("hello", name="bot")])
        >>> history.messages[-1].name
        'bot'
    """

    def __init__(
        self,
        session_id: str,
        redis_url: str | None = None,
        key_prefix: str = "",
        ttl: Ttl = None,
        *,
        user_id: str = "default",
        app_name: str = "default",
        service: RedisSessionService | None = None,
        redis_instance: str | None = None,
        redis_client: Any = None,
        async_client: Any = None,
        url: str | None = None,
        max_messages: int | None = None,
        max_tokens: int | None = None,
        token_counter: TokenCounter = count_tokens,
        include_summary: bool = False,
        format_summary: Callable[[Summary], BaseMessage | str] = format_summary,
        start_on: StartOn = "human",
        stable_window: bool = False,
        include_interrupted: bool = False,
        open_tool_calls: OpenToolCalls | None = None,
        callbacks: Handlers = None,
        index_name: str | None = None,
        overwrite_index: bool = False,
        **options: Unpack[SharedOptions],
    ) -> None:
        check_names(RedisSessionChatMessageHistory, options)
        check_ttl("ttl", ttl)
        self.session_key = SessionKey(app_name, user_id, session_id)
        if url is not None and not isinstance(url, str):
            raise ConfigurationError(f"url must be a string, not {type(url).__name__}")
        if redis_url is not None and url is not None and redis_url != url:
            raise ConfigurationError("redis_url= and url= are the same option; pass one")
        if ttl is not None and "session_ttl" in options:
            raise ConfigurationError("ttl= and session_ttl= are the same option; pass one")
        self._window = ModelWindow(
            max_messages,
            max_tokens,
            token_counter,
            format_summary,
            start_on,
            "answer" if open_tool_calls is None else open_tool_calls,
            stable_window,
        )
        check_flags(include_summary=include_summary, include_interrupted=include_interrupted)
        self._include_interrupted = include_interrupted
        self._include_summary = include_summary
        self._is_limited = include_summary or self._window.is_limited
        self._open_tool_calls = open_tool_calls
        self._last_reads: deque[_Read] = deque(maxlen=2)
        handlers = list_handlers(callbacks)  # says now what is wrong with them
        own: dict[str, Any] = {
            "redis_url": redis_url or url,
            "redis_instance": redis_instance,
            "redis_client": redis_client,
            "async_client": async_client,
            "ttl": ttl,
            **options,
        }
        if service is None:
            if isinstance(key_prefix, str):
                key_prefix = key_prefix.removesuffix(":")
            self.service = share_service(key_prefix=key_prefix, **own)
        else:
            self.service = check_service(service)
            given = [name for name, value in own.items() if value is not None]
            if given or key_prefix:
                raise ConfigurationError(
                    f"service= decides about {', '.join(given or ['key_prefix'])}; set it there"
                )
        # Put together once, and not for each call.
        self._callbacks: Any = combine_hooks(self.service, callbacks) if handlers else None

    @property
    def session_id(self) -> str:
        """The conversation's id."""
        return self.session_key.session_id

    @property
    def id(self) -> str:
        """The conversation's id."""
        return self.session_id

    @property
    def key(self) -> str:
        """The name of the Redis key that the messages stand under: a sorted set of events."""
        return get_events_key(self.service, self.session_key)

    @property
    def key_prefix(self) -> str:
        """What every key begins with, without a ":" at its end."""
        return get_options(self.service).key_prefix

    @property
    def ttl(self) -> float | None:
        """How many seconds the session lives after its last write; None = for ever."""
        seconds, rest = divmod(get_options(self.service).session_ttl, 1000)
        return (seconds + rest / 1000 if rest else seconds) or None

    @property
    def redis_client(self) -> Any:
        """The sync client of redis-py that is used."""
        return get_sync_client(self.service)

    @property
    def messages(self) -> list[BaseMessage]:  # type: ignore[override]
        """The messages, oldest first; [] for a session that does not exist."""
        key, hooks = self.session_key, self._callbacks
        if not self._is_limited:
            how = self._open_tool_calls or "keep"
            read = self.service.get_messages(key, open_tool_calls=how, callbacks=hooks)
            return self._close_calls(read)
        if self._window.stable:
            found, cut = self._begin_stable(windows.get_session(*self._reading, **self._bounds))
            if cut:
                self.service.update_session_state(key, cut)
        elif not self._include_summary:
            found = windows.get_messages(*self._reading, **self._bounds)
        else:
            found = windows.get_summarized_messages(*self._reading, **self._bounds)
        return self._make_window(found)

    async def aget_messages(self) -> list[BaseMessage]:
        """The messages, oldest first; without blocking the event loop."""
        key, hooks = self.session_key, self._callbacks
        if not self._is_limited:
            how = self._open_tool_calls or "keep"
            read = await self.service.aget_messages(key, open_tool_calls=how, callbacks=hooks)
            return self._close_calls(read)
        if self._window.stable:
            session = await windows.aget_session(*self._reading, **self._bounds)
            found, cut = self._begin_stable(session)
            if cut:
                await self.service.aupdate_session_state(key, cut)
        elif not self._include_summary:
            found = await windows.aget_messages(*self._reading, **self._bounds)
        else:
            found = await windows.aget_summarized_messages(*self._reading, **self._bounds)
        return self._make_window(found)

    @property
    def _reading(self) -> tuple[RedisSessionService, SessionKey]:
        return self.service, self.session_key

    @property
    def _bounds(self) -> dict[str, Any]:
        bounds: dict[str, Any] = {
            "limit": self._window.max_messages,
            "include_interrupted": self._include_interrupted,
            "callbacks": self._callbacks,
        }
        if self._window.stable:
            bounds["with_summary"] = self._include_summary
        return bounds

    def _begin_stable(
        self, session: WindowSession | None
    ) -> tuple[SummarizedMessages, dict[str, str]]:
        """What the window is made of, and the state that keeps a cut which has moved."""
        found, cut = begin_stable(self._window, session, with_summary=self._include_summary)
        return found, {self._window.name: cut} if cut else {}

    def _close_calls(self, messages: list[BaseMessage]) -> list[BaseMessage]:
        if self._open_tool_calls is None:
            warn_of_open_calls(messages, stacklevel=3)
            return messages
        return close_calls(messages, self._open_tool_calls, self._find_following())

    def _find_following(self) -> Sequence[BaseMessage]:
        """What stands for the question that a chain puts behind what it reads here.

        `RunnableWithMessageHistory` reads before it adds the question, and names the history
        that it reads in its config.
        """
        chain = ensure_config().get("configurable") or {}
        return _A_QUESTION if chain.get("message_history") is self else ()

    def _make_window(self, found: SummarizedMessages) -> list[BaseMessage]:
        window, summary = self._window, found.summary
        if not self._include_summary:
            return window.make(
                found.messages, is_cut=found.is_cut, following=self._find_following()
            )
        # Hooks may have kept what was read.
        are_shared = combine_hooks(self.service, self._callbacks).of_reads
        named = _name_all(found.messages, are_shared=are_shared)
        messages = window.make(
            named, summary=summary, is_cut=found.is_cut, following=self._find_following()
        )
        self._last_reads.append(_Read(list(messages), summary))
        return messages

    def add_messages(self, messages: Sequence[MessageLikeRepresentation]) -> None:
        """Append messages in one round trip; the session is created if there is none.

        Args:
            messages: LangChain messages; dicts, tuples and strings as `convert_to_messages`
                takes them.

        Raises:
            UnserializableMessageError: One is no message; or, with
                `unserializable="raise"`, holds what JSON can't carry. None is stored.
            BackendUnavailableError: Redis did not take them.
        """
        self.service.append_messages(
            self.session_key,
            self._drop_read(messages),
            create=True,
            new_event_limit=None,
            callbacks=self._callbacks,
        )

    async def aadd_messages(self, messages: Sequence[MessageLikeRepresentation]) -> None:
        """Append messages, without blocking the event loop; as `add_messages`."""
        await self.service.aappend_messages(
            self.session_key,
            self._drop_read(messages),
            create=True,
            new_event_limit=None,
            callbacks=self._callbacks,
        )

    def _drop_read(self, given: Sequence[Any]) -> Sequence[Any]:
        """Leave out what was read from here, where a summary came in the middle of a run.

        `RunnableWithMessageHistory` without `history_messages_key` gives back all messages of
        its prompt but as many as there are by now. A new summary in their place makes these
        fewer, and so the last of what it has read would be stored again.
        """
        if len(self._last_reads) < 2:
            self._last_reads.clear()  # those of one run tell nothing about the next
            return given
        messages = list_messages("messages", given)
        before, now = self._last_reads
        self._last_reads.clear()
        count = len(before.messages) - len(now.messages)
        if not 0 < count < len(messages) or not now.is_summarized_since(before):
            return messages
        last_read = before.messages[-count:]
        is_read = all(map(_is_same, messages[:count], last_read))
        return messages[count:] if is_read else messages

    def add_message(self, message: MessageLikeRepresentation) -> None:
        """Append one message; what may stand for it is as in `add_messages`."""
        self.add_messages([message])

    def add_user_message(self, message: HumanMessage | str) -> None:
        """Append a user's message."""
        self.add_message(HumanMessage(message) if isinstance(message, str) else message)

    def add_ai_message(self, message: AIMessage | str) -> None:
        """Append a model's message."""
        self.add_message(AIMessage(message) if isinstance(message, str) else message)

    def clear(self) -> None:
        """Remove the messages; the session's state stays."""
        self._last_reads.clear()
        self.service.clear_events(self.session_key)

    async def aclear(self) -> None:
        """Remove the messages, without blocking the event loop."""
        self._last_reads.clear()
        await self.service.aclear_events(self.session_key)

    def search_messages(self, query: str, limit: int = 10) -> list[dict[str, Any]]:
        """Find messages by their text; as `RedisSessionService.search_events`.

        Returns:
            The newest matches, oldest first, as dicts with "type", "content" and the
            message's other fields; [] for an empty query.
        """
        if not _is_question(query):
            return []
        return _to_dicts(self.service.search_events(self.session_key, query, limit=limit))

    async def asearch_messages(self, query: str, limit: int = 10) -> list[dict[str, Any]]:
        """Find messages by their text, without blocking the event loop; as `search_messages`."""
        if not _is_question(query):
            return []
        return _to_dicts(await self.service.asearch_events(self.session_key, query, limit=limit))

    def __len__(self) -> int:
        return windows.count_events(self.service, self.session_key, callbacks=self._callbacks)

    def __bool__(self) -> bool:
        return True  # an empty history is one too

    def __str__(self) -> str:
        return get_buffer_string(self.messages)

    @shows
    def __repr__(self) -> str:
        return f"RedisSessionChatMessageHistory({self.session_key}, service={self.service!r})"

    @shows
    def _repr_html_(self) -> str:
        from langchain_redis_session._display.transcript import MOST_EVENTS, render_new_session

        key, hooks = self.session_key, self._callbacks
        session = self.service.get_session(key, limit=MOST_EVENTS, callbacks=hooks)
        if session is None:
            return render_new_session(key)
        count = self.service.count_events(key) if session.is_cut else len(session.events)
        return replace(session, event_count=count)._repr_html_()


class _Read(NamedTuple):
    """What a read gave, with the summary that stands for the rest."""

    messages: list[BaseMessage]
    summary: Summary | None

    def is_summarized_since(self, before: _Read) -> bool:
        """Whether a new summary has come since another read."""
        if self.summary is None:
            return False
        if before.summary is None:
            return True
        return self.summary.boundary.cutoff_score > before.summary.boundary.cutoff_score


def _name_all(messages: Iterable[BaseMessage], *, are_shared: bool) -> list[BaseMessage]:
    """Give messages an id for this read: by it, a copy of one is known again."""
    read, named = uuid4().hex, []
    for place, message in enumerate(messages):
        if message.id is None:
            message = message.model_copy() if are_shared else message
            message.id = f"read-{read}-{place}"
        named.append(message)
    return named


def _is_same(one: BaseMessage, other: BaseMessage) -> bool:
    """Whether they are one message, and not only alike: people do say a thing twice."""
    return one is other or (one.id is not None and one.id == other.id)


def _is_question(query: object) -> bool:
    return isinstance(query, str) and bool(query.strip())


def _to_dicts(events: Iterable[Event]) -> list[dict[str, Any]]:
    return [message_to_dict(e.message)["data"] for e in events if e.message is not None]
