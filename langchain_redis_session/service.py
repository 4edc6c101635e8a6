"""`RedisSessionService`, the front door: sessions, events, state, summaries and tracks on Redis.

Its verbs stand in `_verbs`, by subject, each written once: a method that checks its
arguments and gives a flow becomes public as `x` and, for async code, as `ax`.
"""

from __future__ import annotations

import os
import time
import weakref
from collections.abc import Callable, Collection, Mapping
from datetime import timedelta
from functools import partial
from types import MappingProxyType
from typing import Any, Literal, TypeVar

from typing_extensions import Self

from langchain_redis_session import _drivers
from langchain_redis_session._background.persister import Persister, RunFlow
from langchain_redis_session._background.summary_workers import SummaryAsker, SummaryWorkers
from langchain_redis_session._flow import Flow
from langchain_redis_session._observation import report_corrupt
from langchain_redis_session._operations.context import Context
from langchain_redis_session._operations.summaries import Summarizing
from langchain_redis_session._tracing import Tracing
from langchain_redis_session._verbs.base import async_verb, sync_verb
from langchain_redis_session._verbs.events import EventVerbs
from langchain_redis_session._verbs.sessions import SessionVerbs
from langchain_redis_session._verbs.state import StateVerbs
from langchain_redis_session._verbs.summaries import SummaryVerbs, is_allowed, make_summarizing
from langchain_redis_session._verbs.tracks import TrackVerbs
from langchain_redis_session.callbacks import Handlers
from langchain_redis_session.config import (
    DEFAULT_EVENT_LIMIT,
    DEFAULT_MAX_EVENT_BYTES,
    parse_options,
)
from langchain_redis_session.connections import open_connections
from langchain_redis_session.errors import (
    BackendUnavailableError,
    ConfigurationError,
    SessionServiceClosedError,
)
from langchain_redis_session.models import (
    DeadLetter,
    ServiceStats,
    Session,
)

T = TypeVar("T")
Ttl = timedelta | float | None


class RedisSessionService(SessionVerbs, EventVerbs, SummaryVerbs, StateVerbs, TrackVerbs):
    """Chat sessions on Redis: events, state, summaries and tracks, for sync and async code.

    Every verb `x` has an awaitable twin `ax`. Building a service connects to nothing and
    needs no event loop; it may be shared by threads and loops.

    Args:
        redis_url: `redis://`, `rediss://`, `unix://`, or `memory://name` (in this process,
            for trying things out). Without any of the first four arguments: the
            environment variable `REDIS_URL`, else `redis://localhost:6379/0`.
        redis_instance: The name of a registered instance (not supported yet).
        client: Your own sync client: `redis.Redis`, `redis.RedisCluster` or fakeredis. It
            is never closed or changed; the async verbs use a twin made like it.
        async_client: Your own async client, for the async verbs.
        extra_options: Keyword arguments for the clients made of a URL.
        key_prefix: Put in front of every key, with a colon.
        hash_tag: What the braces in keys hold: "app" (as trpc-agent-go) or "user", which
            spreads an app's users over a cluster's nodes.
        session_event_limit: The most events a session keeps, the newest; None = no limit.
        session_ttl: How long a session lives after its last write (`timedelta` or
            seconds); None or 0 = for ever.
        app_state_ttl: How long an app's state lives after its last write.
        user_state_ttl: How long a user's state lives after its last write.
        track_event_ttl: How long a track lives after its last write; as `session_ttl`
            unless given.
        track_event_limit: The most events a track keeps; None = no limit.
        max_event_bytes: The largest JSON of one event or track payload.
        refresh_ttl_on_read: Whether reading a session starts its `session_ttl` anew.
        per_field_ttl: Whether to use TTLs of hash fields (Redis 7.4); None = find out.
        unserializable_artifacts: What to do with a tool's `artifact` that can't become
            JSON: "raise", or "drop" it with a warning.
        enable_async_persist: Whether appends return at once, and background threads write
            them. Other verbs first wait for what was appended before them in their scope.
        async_persister_num: How many threads; a session always has the same one.
        persist_queue_size: How many appends may wait for each thread; then callers wait.
        persist_put_timeout: Seconds to wait for a place in the queue (then `PersistError`),
            and for queued appends before another verb (then `BackendUnavailableError`).
        persist_retry_timeout: Seconds to try again while Redis is away, after which an
            append becomes a dead letter; None = for ever.
        persist_close_timeout: Seconds that `close` waits for the queues to empty.
        persist_spool_dir: A directory for local copies of what waits, which survive the
            death of the process: the next service with the same directory delivers them.
        on_persist_error: Called with each `DeadLetter`, in a background thread.
        callbacks: Hooks (see `SessionCallbackHandler`), and LangChain handlers that want custom
            events.
        wait_replicas: How many replicas must have an append before it counts as written.
        wait_timeout: Seconds to wait for them.
        summarizer: What condenses long sessions: a `SessionSummarizer`, a chat model, any
            runnable (`prompt | model | StrOutputParser()`), or a function of a
            `SummaryRequest` that gives the text. None = no summaries.
        pick_summarizer: In its place, a function of the `Session` that gives one of these,
            or None: for prompts and models by tenant.
        auto_summarize: Whether appends let background workers look for a due summary.
        async_summary_num: How many workers (threads). A session's jobs run in order.
        summary_queue_size: How many jobs may wait; then they run in the caller.
        summary_job_timeout: Seconds that a summarizer may take.
        summary_close_timeout: Seconds that `close` waits for jobs.
        cascade_full_session_summary: Whether the summary of a branch (a filter key) is
            followed by the whole session's.
        summary_filter_allowlist: Filter keys: only these branches, and those below them, are
            summarized. None = all.
        enable_tracing: Whether to make OpenTelemetry spans and metrics (extra: otel).

    Raises:
        ConfigurationError: An option, a URL or a client can't be used.

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

    def __init__(
        self,
        redis_url: str | None = None,
        *,
        redis_instance: str | None = None,
        client: Any = None,
        async_client: Any = None,
        extra_options: Mapping[str, Any] | None = None,
        key_prefix: str = "",
        hash_tag: Literal["app", "user"] = "app",
        session_event_limit: int | None = DEFAULT_EVENT_LIMIT,
        session_ttl: Ttl = None,
        app_state_ttl: Ttl = None,
        user_state_ttl: Ttl = None,
        track_event_ttl: Ttl | Literal["session"] = "session",
        track_event_limit: int | None = DEFAULT_EVENT_LIMIT,
        max_event_bytes: int = DEFAULT_MAX_EVENT_BYTES,
        refresh_ttl_on_read: bool = False,
        per_field_ttl: bool | None = None,
        unserializable_artifacts: Literal["raise", "drop"] = "raise",
        enable_async_persist: bool = False,
        async_persister_num: int = 10,
        persist_queue_size: int = 100,
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
        enable_tracing: bool = False,
        **unknown: Any,
    ) -> None:
        self._context = Context(
            parse_options(
                {
                    "key_prefix": key_prefix,
                    "hash_tag": hash_tag,
                    "session_event_limit": session_event_limit,
                    "session_ttl": session_ttl,
                    "app_state_ttl": app_state_ttl,
                    "user_state_ttl": user_state_ttl,
                    "track_event_ttl": track_event_ttl,
                    "track_event_limit": track_event_limit,
                    "max_event_bytes": max_event_bytes,
                    "refresh_ttl_on_read": refresh_ttl_on_read,
                    "per_field_ttl": per_field_ttl,
                    "unserializable_artifacts": unserializable_artifacts,
                    "enable_async_persist": enable_async_persist,
                    "async_persister_num": async_persister_num,
                    "persist_queue_size": persist_queue_size,
                    "persist_put_timeout": persist_put_timeout,
                    "persist_retry_timeout": persist_retry_timeout,
                    "persist_close_timeout": persist_close_timeout,
                    "persist_spool_dir": persist_spool_dir,
                    "wait_replicas": wait_replicas,
                    "wait_timeout": wait_timeout,
                    "auto_summarize": auto_summarize,
                    "async_summary_num": async_summary_num,
                    "summary_queue_size": summary_queue_size,
                    "summary_job_timeout": summary_job_timeout,
                    "summary_close_timeout": summary_close_timeout,
                    "cascade_full_session_summary": cascade_full_session_summary,
                    "summary_filter_allowlist": summary_filter_allowlist,
                    "enable_tracing": enable_tracing,
                    **unknown,
                }
            ),
            callbacks,
        )
        self._connections = open_connections(
            redis_url, redis_instance, client, async_client, extra_options or {}
        )
        self._is_closed = False
        tracing: Tracing | None = None
        if self._context.options.enable_tracing:
            tracing = Tracing(self._context.figures, self._connections.any_client)
            self._context.tracing = tracing
        self._persister: Persister | None = None
        self._is_write_behind = self._context.options.enable_async_persist
        if self._is_write_behind:
            self._persister = self._start_persister(on_persist_error)
            if tracing is not None:
                tracing.count_queued = self._persister.count_waiting
        self._summary_workers = self._summary_asker = None
        self._summarizing = make_summarizing(summarizer, pick_summarizer)
        if self._summarizing is not None:
            self._summary_workers = self._start_summary_workers(self._summarizing)
        if self._summary_workers is not None and self._context.options.auto_summarize:
            may = partial(is_allowed, self._context.options)
            self._summary_asker = SummaryAsker(self._summary_workers, may)

    def _start_persister(self, on_error: Callable[[DeadLetter], Any] | None) -> Persister:
        persister = Persister(
            self._context, self._background_runner(None), [on_error] if on_error else []
        )
        # The engine itself sees to the end of the process.
        weakref.finalize(self, persister.close_in_background).atexit = False
        return persister

    def _start_summary_workers(self, summarizing: Summarizing) -> SummaryWorkers | None:
        self._context.counts_uncovered = True
        obstacle = ""
        if summarizing.is_async_only:
            obstacle = (
                "the summarizer is asynchronous only, and background workers are threads; give "
                "it a sync function too (RunnableLambda(func, afunc))"
            )
        elif hook := self._context.hooks.find_async("summary"):
            obstacle = (
                f"{hook} is async, and background workers are threads; make it a plain `def` of a "
                "SessionCallbackHandler"
            )
        elif not self._connections.has_sync:
            obstacle = "only an async client was given, and background workers use a sync one"
        if obstacle and self._context.options.auto_summarize:
            raise ConfigurationError(
                f"{obstacle}, or pass auto_summarize=False and use acreate_summary"
            )
        if obstacle:
            return None
        workers = SummaryWorkers(
            self._context,
            summarizing,
            self._background_runner(self._persister),
            settles=self._is_write_behind,
        )
        weakref.finalize(self, workers.close_in_background).atexit = False
        return workers

    def _background_runner(self, engine: Persister | None) -> RunFlow:
        connections, figures = self._connections, self._context.figures
        connections.sync_client()  # says now if there can't be one

        def run_flow(flow: Flow[T]) -> T:  # without self: the threads must not keep it alive
            try:
                return _drivers.run(flow, connections.sync_client(), engine, figures)
            finally:
                connections.release()

        return run_flow

    def __repr__(self) -> str:
        return f"RedisSessionService({self._connections.description!r})"

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called."""
        return self._is_closed

    # Running flows

    def _run(self, flow: Flow[T]) -> T:
        if self._context.hooks.corrupt:
            flow = report_corrupt(self._context.hooks, flow)
        try:
            return _drivers.run(
                flow, self._connections.sync_client(), self._persister, self._context.figures
            )
        except BackendUnavailableError as error:
            raise self._explain(error) from error.__cause__

    async def _arun(self, flow: Flow[T]) -> T:
        if self._context.hooks.corrupt:
            flow = report_corrupt(self._context.hooks, flow)
        connections = self._connections
        client = connections.running_client() or await connections.open_async_client()
        try:
            return await _drivers.arun(flow, client, self._persister, self._context.figures)
        except BackendUnavailableError as error:
            raise self._explain(error) from error.__cause__

    def _require_open(self) -> None:
        if self._is_closed:
            raise SessionServiceClosedError(f"{self!r} was closed; make a new service")

    def _explain(self, error: BackendUnavailableError) -> BackendUnavailableError:
        if not self._connections.is_default:
            return error
        return BackendUnavailableError(
            f"{error} (no URL was given, so {self._connections.description} was tried; pass "
            "redis_url=, set REDIS_URL, or use redis_url='memory://' to try things out "
            "without a server)"
        )

    # The service itself

    def _ping(self) -> Flow[bool]:
        """Ask Redis for a sign of life.

        Raises:
            BackendUnavailableError: There is none; the text says why.
        """
        # Not PING, whose reply redis-py's cluster client can't give as bytes.
        yield ("EXISTS", self._context.keyspace.app_state("ping"))
        return True

    ping = sync_verb(_ping)
    aping = async_verb(_ping)

    def stats(self) -> ServiceStats:
        """What this service has counted so far."""
        figures = self._context.figures
        return ServiceStats(
            operations=MappingProxyType(dict(figures.operations)),
            round_trips=figures.round_trips,
            bytes_in=figures.bytes_in,
            bytes_out=figures.bytes_out,
            events_written=figures.events_written,
            corrupt_entries=figures.corrupt_entries,
            hook_vetoes=figures.hook_vetoes,
            persist=self._persister.stats() if self._persister else None,
            summaries=self._summary_workers.stats() if self._summary_workers else None,
            uncovered_events=figures.uncovered_events,
        )

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until all appends that were accepted are in Redis, and summary jobs are done.

        Args:
            timeout: Seconds to wait at most; None = as long as it takes.

        Returns:
            Whether they are: False after a time-out, or if there are dead letters. True at
            once without write-behind and summarizer.
        """
        self._require_open()
        begun_s = time.monotonic()
        is_written = self._persister is None or self._persister.flush(timeout)
        if self._summary_workers is None:
            return is_written
        return self._summary_workers.flush(_left_s(timeout, begun_s)) and is_written

    async def aflush(self, timeout: float | None = None) -> bool:
        """Wait, without blocking the event loop; as `flush`."""
        self._require_open()
        begun_s = time.monotonic()
        is_written = self._persister is None or await self._persister.aflush(timeout)
        if self._summary_workers is None:
            return is_written
        return await self._summary_workers.aflush(_left_s(timeout, begun_s)) and is_written

    def dead_letters(self) -> list[DeadLetter]:
        """What write-behind had accepted and could not write, oldest first."""
        return self._persister.dead_letters() if self._persister else []

    def retry_dead_letters(self) -> int:
        """Queue all dead letters again, behind what waits; gives how many.

        `flush` afterwards tells whether they are in Redis now.
        """
        self._require_open()
        return self._persister.retry_dead_letters() if self._persister else 0

    def close(self) -> None:
        """Write what is queued, finish summary jobs, then close the clients made here.

        Every later call raises `SessionServiceClosedError`. What could not be written within
        `persist_close_timeout` becomes dead letters, or stays in the spool if there is one.
        """
        self._is_closed = True
        if self._persister is not None:
            self._persister.close()
        if self._summary_workers is not None:
            self._summary_workers.close()
        self._connections.close()

    async def aclose(self) -> None:
        """Write what is queued, then close the clients made here; as `close`."""
        self._is_closed = True
        if self._persister is not None:
            await self._persister.aclose()
        if self._summary_workers is not None:
            await self._summary_workers.aclose()
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
