"""`RedisSessionService`, the front door: sessions, events, state, summaries and tracks on Redis.

Its methods stand in `_verbs`, by subject, each written once: what checks its arguments and
gives a flow becomes public as `x` and, for async code, as `ax`.
"""

import os
import time
from collections.abc import Callable, Collection, Mapping
from datetime import timedelta
from functools import partial
from typing import Any, Literal, TypeVar

from typing_extensions import Self

from langchain_redis_session._actions.context import ActionContext
from langchain_redis_session._actions.summarizing import Summarizing, is_allowed, make_summarizing
from langchain_redis_session._background.start import (
    keep_appends,
    start_summary_workers,
    start_write_behind,
)
from langchain_redis_session._connections.checks import tell_of_client
from langchain_redis_session._connections.rebuilt import Rebuilt
from langchain_redis_session._display.guard import shows
from langchain_redis_session._hooks.discovery import list_handlers
from langchain_redis_session._hooks.hooks import Hooks
from langchain_redis_session._operations.context import Context
from langchain_redis_session._verbs.appending import AppendMethods
from langchain_redis_session._verbs.arguments import check_mapping, check_timeout, tell_of_call
from langchain_redis_session._verbs.finding import FindMethods
from langchain_redis_session._verbs.following import FollowMethods
from langchain_redis_session._verbs.removing import RemoveMethods
from langchain_redis_session._verbs.server import ServerMethods
from langchain_redis_session._verbs.sessions import SessionMethods
from langchain_redis_session._verbs.state import StateMethods
from langchain_redis_session._verbs.summaries import SummaryMethods
from langchain_redis_session._verbs.tracks import TrackMethods
from langchain_redis_session._verbs.usage import UsageMethods
from langchain_redis_session._verbs.users import UserMethods
from langchain_redis_session.callbacks import Handlers
from langchain_redis_session.config import (
    DEFAULT_EVENT_LIMIT,
    DEFAULT_MAX_EVENT_BYTES,
    DEFAULT_MAX_STATE_BYTES,
    ServiceOptions,
    parse_options,
    refuse_unknown,
)
from langchain_redis_session.connections import open_connections
from langchain_redis_session.models import DeadLetter, Session
from langchain_redis_session.stats import ServiceStats

T = TypeVar("T")
Ttl = timedelta | float | None


class RedisSessionService(
    Rebuilt,
    SessionMethods,
    AppendMethods,
    FollowMethods,
    FindMethods,
    RemoveMethods,
    UserMethods,
    SummaryMethods,
    StateMethods,
    TrackMethods,
    UsageMethods,
    ServerMethods,
):
    """Chat sessions on Redis: events, state, summaries and tracks, for sync and async code.

    Every method `x` has an awaitable twin `ax`. Building a service connects to nothing and
    needs no event loop; it may be shared by threads and loops. One made of a URL can be copied
    and pickled: the copy connects by itself. (The pickle holds the URL, with its password.)

    Args:
        redis_url: `redis://`, `rediss://`, `unix://`, `redis+cluster://host,host`,
            `redis+sentinel://host,host/service`, or `memory://name` (in this process, for
            trying things out). Without any of the first four arguments: the environment
            variable `REDIS_URL`, else `redis://localhost:6379/0`.
        redis_instance: The name of an instance (`register_redis_instance`); a URL wins over it.
        client: Your own sync client: `redis.Redis`, `redis.RedisCluster` or fakeredis. It wins
            over both, and is never closed or changed; the async methods use a twin made like it.
        async_client: Your own async client, for the async methods.
        extra_options: Keyword arguments for the clients made of a URL, which they get unchanged.
            `host`, `port`, `db`, `path` and `ssl` say where Redis is, without a URL.
        pool_timeout: Seconds that callers wait for a connection where all of the pool are in
            use (`max_connections`, an option of redis-py's clients); then
            `BackendUnavailableError`.
        key_prefix: Put in front of every key, with a colon.
        hash_tag: What the braces in keys hold: "app" (as trpc-agent-go) or "user", which
            spreads an app's users over a cluster's nodes.
        session_event_limit: The most events that sessions keep, the newest; None = no limit.
            By default each keeps the limit that it was made with: 1000 if this service makes
            it, none if a history does.
        session_ttl: How long a session lives after its last write (`timedelta` or
            seconds); None or 0 = for ever.
        app_state_ttl: How long an app's state lives after its last write.
        user_state_ttl: How long a user's state lives after its last write.
        track_event_ttl: How long a track lives after its last write; as `session_ttl`
            unless given.
        track_event_limit: The most events a track keeps; None = no limit.
        max_event_bytes: The largest JSON of one event or track payload.
        max_state_bytes: The largest record of a session, which holds its own state as base64 and
            is written whole by every append. None = no limit.
        refresh_ttl_on_read: Whether reading a session starts its `session_ttl` again.
        per_field_ttl: Whether to use TTLs of hash fields (Redis 7.4); None = find out.
        use_evalsha: Whether scripts are called by their SHA-1; False sends them whole each time,
            for servers that forbid EVALSHA.
        unserializable: What to do with values that JSON can't carry, in messages, state and
            tracks. "convert" stores them as plain data: models and dataclasses as dicts,
            enums as their values, dates as ISO text, sets as lists, bytes exactly, anything
            else as its `str()`; the log tells of it once for each type and place. "raise"
            raises `UnserializableMessageError` before anything is written (what in a
            tool's `artifact` has a plain form is stored in that form even then).
        enable_async_persist: Whether appends return at once, and background threads write
            them. Other methods first wait for what was appended before them in their scope.
        async_persister_num: How many threads; a session always has the same one. One is
            quickest; more are for hooks that take long, which hold up their thread.
        persist_queue_size: How many appends may wait for each thread; then callers wait.
        persist_put_timeout: Seconds to wait for a place in the queue (then `PersistError`),
            and for queued appends before another method (then `BackendUnavailableError`).
        persist_retry_timeout: Seconds to try again while Redis can't be reached, after which
            an append becomes a dead letter; None = for ever.
        persist_close_timeout: Seconds that `close` waits for the queues to empty.
        persist_spool_dir: A directory for local copies of what waits, which survive the
            death of the process: the next service with the same directory delivers them.
        on_persist_error: Called with each `DeadLetter`, in a background thread or, without
            write-behind, in one that does not hold up an event loop.
        callbacks: Hooks (see `SessionCallbackHandler`), and LangChain handlers that want custom
            events.
        wait_replicas: How many replicas must have an append before it counts as written.
        wait_timeout: Seconds to wait for them.
        summarizer: What condenses long sessions: a `SessionSummarizer`, a chat model, any
            runnable (`prompt | model | StrOutputParser()`), or a function of a
            `SummaryRequest` that returns the text. None = no summaries.
        pick_summarizer: In its place, a function of the `Session` that returns one of these,
            or None: for prompts and models by tenant.
        auto_summarize: Whether appends let background workers look for a due summary.
        async_summary_num: How many workers (threads). A session's jobs run in order.
        summary_queue_size: How many jobs may wait; then they run in the caller.
        summary_job_timeout: Seconds that a summarizer may take.
        summary_close_timeout: Seconds that `close` waits for jobs.
        cascade_full_session_summary: Whether the summary of a filter key is
            followed by the whole session's.
        summary_filter_allowlist: Only these filter keys, and those below them, are
            summarized. None = all.
        track_usage: Whether to add up what models used, as the messages stored here tell
            (`get_usage`, `get_session_usage`, `UsageBudget`).
        enable_tracing: Whether to make OpenTelemetry spans and metrics (extra: otel).
        clock: Returns the time of what is appended, in nanoseconds since 1970; for tests.

    Raises:
        ConfigurationError: An option, a URL or a client can't be used.
        RedisInstanceNotFoundError: Nobody has registered `redis_instance`.

    Example:
        >>> from langchain_core.messages import AIMessage, HumanMessage
        >>> service = RedisSessionService("memory://doc-service")
        >>> session = service.create_session("shop", "ann", state={"lang": "en"})
        >>> messages = [HumanMessage("hi"), AIMessage("hello")]
        >>> service.append_messages(session.key, messages).written
        2
        >>> [message.content for message in service.get_messages(session.key)]
        ['hi', 'hello']
    """

    @refuse_unknown(lambda name: tell_of_call(name) or tell_of_client(name))
    def __init__(
        self,
        redis_url: str | None = None,
        *,
        redis_instance: str | None = None,
        client: Any = None,
        async_client: Any = None,
        extra_options: Mapping[str, Any] | None = None,
        pool_timeout: float = 20.0,
        key_prefix: str = "",
        hash_tag: Literal["app", "user"] = "app",
        session_event_limit: int | Literal["session"] | None = "session",
        session_ttl: Ttl = None,
        app_state_ttl: Ttl = None,
        user_state_ttl: Ttl = None,
        track_event_ttl: Ttl | Literal["session"] = "session",
        track_event_limit: int | None = DEFAULT_EVENT_LIMIT,
        max_event_bytes: int = DEFAULT_MAX_EVENT_BYTES,
        max_state_bytes: int | None = DEFAULT_MAX_STATE_BYTES,
        refresh_ttl_on_read: bool = False,
        per_field_ttl: bool | None = None,
        use_evalsha: bool = True,
        unserializable: Literal["convert", "raise"] = "convert",
        enable_async_persist: bool = False,
        async_persister_num: int = 1,
        persist_queue_size: int = 1000,
        persist_put_timeout: float = 10.0,
        persist_retry_timeout: float | None = 60.0,
        persist_close_timeout: float = 10.0,
        persist_spool_dir: str | os.PathLike[str] | None = None,
        on_persist_error: Callable[[DeadLetter], Any] | None = None,
        callbacks: Handlers = None,
        wait_replicas: int = 0,
        wait_timeout: float = 1.0,
        summarizer: Any = None,
        pick_summarizer: Callable[[Session], Any] | None = None,
        auto_summarize: bool = True,
        async_summary_num: int = 3,
        summary_queue_size: int = 100,
        summary_job_timeout: float = 60.0,
        summary_close_timeout: float = 10.0,
        cascade_full_session_summary: bool = True,
        summary_filter_allowlist: Collection[str] | None = None,
        track_usage: bool = False,
        enable_tracing: bool = False,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        given = locals()
        options = parse_options({name: given[name] for name in ServiceOptions.model_fields})
        self._clock = options.clock
        summarizing = make_summarizing(summarizer, pick_summarizer, options.session_event_limit)
        context = Context(options, counts_unsummarized=summarizing is not None)
        if extra_options is not None:
            check_mapping("extra_options", extra_options)
        self._connections = open_connections(
            redis_url,
            redis_instance,
            client,
            async_client,
            extra_options or {},
            pool_timeout_s=options.pool_timeout,
        )
        self._is_closed = False
        hooks = Hooks(list_handlers(callbacks), context.counters)
        self._write_behind = None
        if options.enable_async_persist:
            self._write_behind = start_write_behind(
                context, hooks, self._connections, on_persist_error
            )
            self._write_behind.close_with(self)
        self._kept = keep_appends(context, hooks, on_persist_error)
        self._keeper = self._write_behind or self._kept
        tracing = None
        if options.enable_tracing:
            from langchain_redis_session._observe.tracing import Tracing

            queued = self._write_behind.count_waiting if self._write_behind else lambda: 0
            tracing = Tracing(context.counters, self._connections.any_client, queued)
        self._context = context
        self._actions = ActionContext(context, hooks, tracing)
        self._summary_maker = self._summary_workers = self._summary_scheduler = None
        if summarizing is not None:
            self._start_summaries(summarizing)

    def _start_summaries(self, summarizing: Summarizing) -> None:
        from langchain_redis_session._actions.summaries import SummaryMaker
        from langchain_redis_session._background.summary_scheduler import WorkerScheduler

        maker = SummaryMaker(self._actions, summarizing)
        options = self._context.options
        self._summary_maker = maker
        self._summary_workers = workers = start_summary_workers(
            self._actions, self._connections, maker, self._write_behind
        )
        if workers is None:
            return
        workers.close_with(self)
        if options.auto_summarize:
            self._summary_scheduler = WorkerScheduler(workers, partial(is_allowed, options))

    @shows
    def __repr__(self) -> str:
        return f"RedisSessionService({self._connections.description!r})"

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called."""
        return self._is_closed

    def stats(self) -> ServiceStats:
        """What this service has counted so far."""
        counters, conversions = self._context.counters, self._context.conversions
        return ServiceStats(
            operations=dict(counters.operations),
            round_trips=counters.round_trips,
            bytes_in=counters.bytes_in,
            bytes_out=counters.bytes_out,
            events_written=counters.events_written,
            corrupt_entries=counters.corrupt_entries,
            hook_vetoes=counters.hook_vetoes,
            persist=self._write_behind.stats() if self._write_behind else None,
            summaries=self._summary_workers.stats() if self._summary_workers else None,
            lost_events=counters.lost_events,
            converted_values=conversions.count if conversions else 0,
        )

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until all appends that were accepted are in Redis, and summary jobs are done.

        Args:
            timeout: Seconds to wait at most; None = as long as it takes.

        Returns:
            Whether they are: False after a time-out, or if there are dead letters. At once
            without write-behind and summarizer.
        """
        self._require_open()
        begun_s = time.monotonic()
        check_timeout("timeout", timeout)
        is_written = not self._kept
        if self._write_behind is not None:
            is_written = self._write_behind.flush(timeout)
        if self._summary_workers is None:
            return is_written
        return self._summary_workers.flush(_left_s(timeout, begun_s)) and is_written

    async def aflush(self, timeout: float | None = None) -> bool:
        """Wait, without blocking the event loop; as `flush`."""
        self._require_open()
        begun_s = time.monotonic()
        check_timeout("timeout", timeout)
        is_written = not self._kept
        if self._write_behind is not None:
            is_written = await self._write_behind.aflush(timeout)
        if self._summary_workers is None:
            return is_written
        return await self._summary_workers.aflush(_left_s(timeout, begun_s)) and is_written

    def dead_letters(self) -> list[DeadLetter]:
        """What was accepted and could not be written, oldest first.

        It is write-behind's, or an agent's answer that `RedisSessionMiddleware` could not store.
        """
        return self._keeper.dead_letters()

    def retry_dead_letters(self) -> int:
        """Write all dead letters; with write-behind, queue them again, behind what waits.

        `flush` afterwards tells whether they are in Redis now.

        Returns:
            How many were tried. (One that has no JSON that could be stored never is.)

        Raises:
            BackendUnavailableError: Redis can't be reached; they stay. (With write-behind, they are
                tried for a while.)
        """
        self._require_open()
        if self._write_behind is not None:
            return self._write_behind.retry_dead_letters()
        return self._run(self._kept.redeliver()) if self._kept else 0

    async def aretry_dead_letters(self) -> int:
        """Write all dead letters, without blocking the event loop; as `retry_dead_letters`."""
        self._require_open()
        if self._write_behind is not None:
            return self._write_behind.retry_dead_letters()
        return await self._arun(self._kept.redeliver()) if self._kept else 0

    def close(self) -> None:
        """Write what is queued, finish summary jobs, then close the clients made here.

        Every later call raises `SessionServiceClosedError`. What could not be written within
        `persist_close_timeout` becomes dead letters, or stays in the spool if there is one.
        """
        self._is_closed = True
        if self._write_behind is not None:
            self._write_behind.close()
        if self._summary_workers is not None:
            self._summary_workers.close()
        self._kept.tell_of_left()
        self._connections.close()

    async def aclose(self) -> None:
        """Write what is queued, then close the clients made here; as `close`."""
        self._is_closed = True
        if self._write_behind is not None:
            await self._write_behind.aclose()
        if self._summary_workers is not None:
            await self._summary_workers.aclose()
        self._kept.tell_of_left()
        await self._connections.aclose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


def _left_s(timeout_s: float | None, begun_s: float) -> float | None:
    return None if timeout_s is None else max(0.0, timeout_s + begun_s - time.monotonic())
