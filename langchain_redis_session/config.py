"""The options of a service: frozen, checked, with units in their names."""

import functools
import inspect
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, cast

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from langchain_redis_session.errors import ConfigurationError, shorten, suggest
from langchain_redis_session.models import MAX_ID_BYTES, DeadLetter, Session

F = TypeVar("F", bound=Callable[..., Any])
DEFAULT_EVENT_LIMIT = 1000
DEFAULT_MAX_EVENT_BYTES = 8 * 1024 * 1024
DEFAULT_MAX_STATE_BYTES = 1024 * 1024
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
        raise ValueError("give a timedelta(minutes=30), seconds, or None for never")
    if not 0 <= seconds * 1000 <= _MAX_TTL_MS:
        raise ValueError("must lie between 0 (never) and 100 years")
    # A positive TTL below a millisecond must not turn into "never".
    return max(1, round(seconds * 1000)) if seconds else 0


def check_ttl(name: str, ttl: object) -> None:
    """Refuse what is no time to live.

    Raises:
        ConfigurationError: It is something else.
    """
    try:
        to_milliseconds(ttl)
    except ValueError as error:
        raise ConfigurationError(f"{name}={shorten(ttl)} can't work: {error}") from None


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


def find_misfit(function: Callable[..., Any], count: int) -> str:
    """The parameters of a function that can't be called with so many arguments; "" if it can.

    >>> find_misfit(lambda: 5, 1), find_misfit(lambda session: 5, 1)
    ('()', '')
    """
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # a builtin's: nobody knows
        return ""
    try:
        signature.bind(*[None] * count)
    except TypeError:
        return str(signature.replace(return_annotation=signature.empty))
    return ""


def check_function(name: str, function: object, *wanted: str) -> None:
    """Refuse what can't be called with these arguments, or has to be awaited.

    Raises:
        ConfigurationError: It can't.
    """
    if not callable(function):
        raise ConfigurationError(f"{name} must be a function, not {shorten(function)}")
    if inspect.iscoroutinefunction(function):
        raise ConfigurationError(
            f"{name} must be a plain function, not the async {shorten(function)}, which nobody "
            "awaits"
        )
    if misfit := find_misfit(function, len(wanted)):
        raise ConfigurationError(
            f"{name} is called with ({', '.join(wanted)}), which {shorten(function)} can't take: "
            f"its parameters are {misfit}"
        )


Seconds = Annotated[float, Field(strict=True), AfterValidator(_check_seconds)]
TtlMs = Annotated[int, BeforeValidator(to_milliseconds)]
Count = Annotated[int, Field(ge=1, strict=True)]
Limit = Count | None
EventLimit = Limit | Literal["session"]


def check_event_limit(name: str, value: object) -> int | None:
    """Refuse what can't be the most events of a session.

    Raises:
        ConfigurationError: It is no whole number from 1, and not None.
    """
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 1):
        return value
    raise ConfigurationError(
        f"{name} must be a whole number from 1, or None for no limit, not {shorten(value)}"
    )


def _own(default: Any) -> Any:
    return Field(default, repr=False)  # which may be long, and tell an API key


class ObjectOptions(BaseModel):
    """The options of a service that are objects of the caller's."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    on_persist_error: Callable[[DeadLetter], Any] | None = _own(None)
    callbacks: Any = _own(None)
    summarizer: Any = _own(None)
    pick_summarizer: Callable[[Session], Any] | None = _own(None)
    clock: Callable[[], int] = _own(time.time_ns)


class ServiceOptions(ObjectOptions):
    """Name, type and default of each option of a `RedisSessionService`, which tells what for.

    TTLs are given as `timedelta` or seconds and held in milliseconds; 0 = never.
    """

    pool_timeout: Seconds = 20.0
    key_prefix: Annotated[str, Field(strict=True), AfterValidator(_check_prefix)] = ""
    hash_tag: Literal["app", "user"] = "app"
    session_event_limit: EventLimit = "session"
    session_ttl: TtlMs = 0
    app_state_ttl: TtlMs = 0
    user_state_ttl: TtlMs = 0
    track_event_limit: Limit = DEFAULT_EVENT_LIMIT
    track_event_ttl: TtlMs | Literal["session"] = "session"
    max_event_bytes: Count = DEFAULT_MAX_EVENT_BYTES
    max_state_bytes: Limit = DEFAULT_MAX_STATE_BYTES
    refresh_ttl_on_read: bool = False
    per_field_ttl: bool | None = None
    use_evalsha: bool = True
    unserializable: Literal["convert", "raise"] = "convert"
    enable_async_persist: bool = False
    async_persister_num: Count = 1
    persist_queue_size: Count = 1000
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
    track_usage: bool = False
    enable_tracing: bool = False

    @property
    def track_ttl_ms(self) -> int:
        """The lifetime of a track in milliseconds, 0 = never."""
        return self.session_ttl if self.track_event_ttl == "session" else self.track_event_ttl


_CALLED_WITH = {"on_persist_error": ["letter"], "pick_summarizer": ["session"], "clock": []}


def parse_options(values: Mapping[str, Any]) -> ServiceOptions:
    """Check options.

    Raises:
        ConfigurationError: A value can't work.
    """
    for name, wanted in _CALLED_WITH.items():
        if values.get(name) is not None:
            check_function(name, values[name], *wanted)
    try:
        return ServiceOptions(**values)
    except ValidationError as error:
        first: dict[Any, str] = {}  # of an option that may be this or that, what it mostly is
        for problem in error.errors():
            first.setdefault(problem["loc"][0], _describe(problem))
        raise ConfigurationError("; ".join(first.values())) from None


def _describe(problem: Any) -> str:
    message = problem["msg"].removeprefix("Value error, ")
    return f"{problem['loc'][0]}={shorten(problem['input'])} can't work: {message}"


_OF_WINDOWS = (
    "max_messages",
    "max_tokens",
    "token_counter",
    "include_summary",
    "format_summary",
    "start_on",
    "open_tool_calls",
)
_OF_RUNS = (*_OF_WINDOWS, "stable_window", "include_interrupted", "app_name")
OPTIONS_OF: dict[str, tuple[str, ...]] = {
    "RedisSessionService": (
        *("redis_url", "redis_instance", "client", "async_client", "extra_options"),
        *ServiceOptions.model_fields,
    ),
    "RedisSessionChatMessageHistory": (
        *("session_id", "user_id", "ttl", "redis_client", "url"),
        *_OF_RUNS,
    ),
    "RedisSessionMiddleware": ("session", "on_store_error", *_OF_RUNS),
    "with_session": (
        *("input_messages_key", "history_messages_key", "output_messages_key"),
        *("on_store_error", *_OF_RUNS),
    ),
    "RedisSessionMemory": (
        *("session_id", "user_id", "app_name", "memory_key", "input_key", "output_key"),
        *("return_messages", "human_prefix", "ai_prefix", *_OF_WINDOWS),
    ),
    "RedisSessionMemoryStore": ("user", "index", "ttl", "app_name"),
    "RedisSessionStore": ("key",),
    "session_router": ("user", "app_name", "poll_s"),
    "TrackCallbackHandler": (
        *("key", "track", "inputs", "outputs", "max_chars", "batch_size", "max_waiting"),
    ),
    "SessionSummarizer": (
        *("model", "prompt", "system_prompt", "max_summary_words", "trigger", "skip_recent"),
        *("max_input_tokens", "token_counter", "format_tool_call", "format_tool_result"),
    ),
    "UsageBudget": ("limit", "per", "kind", "model"),
}
"""What is an option of what, to tell where one belongs that was given elsewhere."""


def tell_owners(name: str) -> str:
    """Say which parts of the package have an option; "" where none has.

    >>> tell_owners("session_ttl")
    "; RedisSessionService has 'session_ttl': set it there"
    >>> tell_owners("poll_ms")
    ''
    """
    owners = [owner for owner, options in OPTIONS_OF.items() if name in options]
    if not owners:
        return ""
    *others, last = owners
    shown = f"{', '.join(others)} and {last} have" if others else f"{last} has"
    return f"; {shown} {name!r}: set it there"


def refuse_unknown(advise: Callable[[str], str] = lambda _: "") -> Callable[[F], F]:
    """Let a function or a constructor tell, of an option that it does not have, which was meant.

    Args:
        advise: What to say of a name that belongs elsewhere; "" = nothing.
    """

    def dress(function: F) -> F:
        known = [name for name in inspect.signature(function).parameters if name != "self"]

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            unknown = next((name for name in kwargs if name not in known), None)
            if unknown is not None:
                is_constructor = function.__name__ == "__init__"
                owner = type(args[0]).__name__ if is_constructor else function.__name__
                raise ConfigurationError(
                    f"there is no option {unknown!r}"
                    + (advise(unknown) or _tell_meant(unknown, known, owner))
                )
            return function(*args, **kwargs)

        return cast("F", call)

    return dress


def _tell_meant(name: str, known: list[str], owner: str) -> str:
    of_service = OPTIONS_OF["RedisSessionService"] if "service" in known else ()
    if name in of_service:
        return tell_owners(name)
    longer = next((each for each in of_service if each.endswith(f"_{name}")), name)
    elsewhere = tell_owners(longer)
    return suggest(name, known, elsewhere) or f"; the options of {owner} are: {', '.join(known)}"
