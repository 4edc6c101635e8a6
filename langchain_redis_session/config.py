"""The options of a service: frozen, checked, with units in their names."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from langchain_redis_session.errors import ConfigurationError, shorten
from langchain_redis_session.models import MAX_ID_BYTES

DEFAULT_EVENT_LIMIT = 1000
DEFAULT_MAX_EVENT_BYTES = 8 * 1024 * 1024
_MAX_TTL_MS = 100 * 366 * 24 * 3600 * 1000


def to_milliseconds(ttl: object) -> int:
    """Give a time to live in milliseconds, 0 for never.

    >>> to_milliseconds(timedelta(minutes=1)), to_milliseconds(0.5), to_milliseconds(None)
    (60000, 500, 0)
    """
    if ttl is None:
        return 0
    if isinstance(ttl, timedelta):
        seconds = ttl.total_seconds()
    elif isinstance(ttl, (int, float)) and not isinstance(ttl, bool):
        seconds = float(ttl)
    else:
        raise ValueError("give a timedelta, seconds, or None for never")
    if not 0 <= seconds * 1000 <= _MAX_TTL_MS:
        raise ValueError("must lie between 0 (never) and 100 years")
    # A positive TTL below a millisecond must not turn into "never".
    return max(1, round(seconds * 1000)) if seconds else 0


def _check_prefix(prefix: str) -> str:
    if "{" in prefix or "}" in prefix:
        raise ValueError("braces would change the hash tag of Redis Cluster; leave them out")
    try:
        prefix.encode()
    except UnicodeEncodeError:
        raise ValueError("is not valid UTF-8 (a lone surrogate)") from None
    return prefix


def _check_seconds(seconds: float) -> float:
    if not 0 < seconds < _MAX_TTL_MS / 1000:
        raise ValueError("must be a number of seconds above 0")
    return seconds


def check_filter_key(value: object) -> str:
    """Refuse what can't be a filter key.

    >>> check_filter_key("app/tools")
    'app/tools'
    """
    if not isinstance(value, str):
        raise ValueError("a filter key is a string")
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise ValueError("is not valid UTF-8 (a lone surrogate)") from None
    if size > MAX_ID_BYTES:
        raise ValueError(f"has {size} bytes, the most is {MAX_ID_BYTES}")
    return value


def _check_filter_keys(value: object) -> object:
    if value is None:
        return None
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise ValueError("give a list of filter keys, or None for all")
    return tuple(check_filter_key(key) for key in value)


Seconds = Annotated[float, AfterValidator(_check_seconds)]
TtlMs = Annotated[int, BeforeValidator(to_milliseconds)]
Count = Annotated[int, Field(ge=1, strict=True)]
Limit = Count | None


class ServiceOptions(BaseModel):
    """How a `RedisSessionService` keeps its data.

    Attributes:
        key_prefix: Put in front of every key, with a colon.
        hash_tag: What the braces in keys hold: "app" (as trpc-agent-go) or "user",
            which spreads an app's users over a cluster.
        session_event_limit: The most events a session keeps; None = no limit.
        session_ttl: How long a session lives after its last write.
        app_state_ttl: How long an app's state lives after its last write.
        user_state_ttl: How long a user's state lives after its last write.
        track_event_limit: The most events a track keeps; None = no limit.
        track_event_ttl: How long a track lives after its last write; default: as
            `session_ttl`.
        max_event_bytes: The largest JSON of one event.
        refresh_ttl_on_read: Whether reading a session counts as a write for its TTL.
        per_field_ttl: Whether to use the TTL of hash fields (Redis 7.4); None = find out.
        unserializable_artifacts: What to do with a tool's `artifact` that can't become
            JSON: "raise", or "drop" it with a warning.
        enable_async_persist: Whether appends return at once and workers write them.
        async_persister_num: How many workers.
        persist_queue_size: How many appends may wait for each worker.
        persist_put_timeout: Seconds to wait for a place in a full queue, and for queued
            appends before a read.
        persist_retry_timeout: Seconds to try again while Redis is away; None = for ever.
        persist_close_timeout: Seconds that closing waits for the queues to empty.
        persist_spool_dir: Where to keep a local copy of what waits; None = nowhere.
        wait_replicas: How many replicas must have an append before it is acknowledged.
        wait_timeout: Seconds to wait for them.
        auto_summarize: Whether appends let background workers look for a due summary.
        async_summary_num: How many workers.
        summary_queue_size: How many jobs may wait for them.
        summary_job_timeout: Seconds that a summarizer may take.
        summary_close_timeout: Seconds that closing waits for jobs.
        cascade_full_session_summary: Whether a filter key's summary is followed by the session's.
        summary_filter_allowlist: The filter keys that are summarized; None = all.
        enable_tracing: Whether to make OpenTelemetry spans and metrics.

    TTLs are given as `timedelta` or seconds and held in milliseconds; 0 = never.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    key_prefix: Annotated[str, AfterValidator(_check_prefix)] = ""
    hash_tag: Literal["app", "user"] = "app"
    session_event_limit: Limit = DEFAULT_EVENT_LIMIT
    session_ttl: TtlMs = 0
    app_state_ttl: TtlMs = 0
    user_state_ttl: TtlMs = 0
    track_event_limit: Limit = DEFAULT_EVENT_LIMIT
    track_event_ttl: TtlMs | Literal["session"] = "session"
    max_event_bytes: Count = DEFAULT_MAX_EVENT_BYTES
    refresh_ttl_on_read: bool = False
    per_field_ttl: bool | None = None
    unserializable_artifacts: Literal["raise", "drop"] = "raise"
    enable_async_persist: bool = False
    async_persister_num: Count = 10
    persist_queue_size: Count = 100
    persist_put_timeout: Seconds = 10.0
    persist_retry_timeout: Seconds | None = 60.0
    persist_close_timeout: Seconds = 10.0
    persist_spool_dir: Path | None = None
    wait_replicas: Annotated[int, Field(ge=0, strict=True)] = 0
    wait_timeout: Seconds = 1.0
    auto_summarize: bool = True
    async_summary_num: Count = 3
    summary_queue_size: Count = 100
    summary_job_timeout: Seconds = 60.0
    summary_close_timeout: Seconds = 10.0
    cascade_full_session_summary: bool = True
    summary_filter_allowlist: Annotated[
        tuple[str, ...] | None, BeforeValidator(_check_filter_keys)
    ] = None
    enable_tracing: bool = False

    @property
    def track_ttl_ms(self) -> int:
        """The lifetime of a track in milliseconds, 0 = never."""
        return self.session_ttl if self.track_event_ttl == "session" else self.track_event_ttl


def parse_options(values: dict[str, Any]) -> ServiceOptions:
    """Check options.

    Raises:
        ConfigurationError: An option does not exist, or its value can't work.
    """
    try:
        return ServiceOptions(**values)
    except ValidationError as error:
        problems = "; ".join(_describe(problem) for problem in error.errors())
        raise ConfigurationError(problems) from None


def _describe(problem: Any) -> str:
    name = problem["loc"][0]
    if problem["type"] == "extra_forbidden":
        known = ", ".join(sorted(ServiceOptions.model_fields))
        return f"there is no option {name!r}; the options are: {known}"
    message = problem["msg"].removeprefix("Value error, ")
    return f"{name}={shorten(problem['input'])} can't work: {message}"
