"""Session memory for LangChain on Redis: messages, state, summaries and tracks.

Where to begin:

- `RedisSessionChatMessageHistory`: a chat history, in place of LangChain's older ones.
- `RedisSessionMiddleware`: the memory of an agent made by `create_agent`.
- `RedisSessionService`: sessions with events, state, summaries, tracks, search and retention.
- `RedisSessionMemoryStore`: what agents remember, as LangGraph's store.
- `RedisSessionStore`: state as LangChain's key-value store.
- `SessionSummarizer`: condenses long sessions, in the background.
- `SessionCallbackHandler`: hooks around what is written and read.
- `TrackCallbackHandler` and `read_runs`: what an agent did, kept and shown.
- `with_session`: a session as the memory of any chain.
- `session_router` and `install_error_handlers`: a user's sessions over HTTP, for FastAPI.
- `RedisSessionError`: the root of all errors.

Nothing is loaded before it is used.

Example:
    >>> from langchain_redis_session import RedisSessionChatMessageHistory
    >>> history = RedisSessionChatMessageHistory("s1", "memory://doc-package")
    >>> history.add_user_message("hi")
    >>> len(history)
    1
"""

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from langchain_redis_session._wire.fields import (
        Message,
    )
    from langchain_redis_session.adapters.classic_memory import (
        RedisSessionMemory,
    )
    from langchain_redis_session.adapters.graph_store import (
        RedisSessionMemoryStore,
    )
    from langchain_redis_session.adapters.history import (
        RedisSessionChatMessageHistory,
    )
    from langchain_redis_session.adapters.middleware import (
        RedisSessionMiddleware,
        session_state,
    )
    from langchain_redis_session.adapters.router import (
        session_router,
    )
    from langchain_redis_session.adapters.router_errors import (
        install_error_handlers,
    )
    from langchain_redis_session.adapters.run_tracks import (
        AsyncTrackCallbackHandler,
        TrackCallbackHandler,
    )
    from langchain_redis_session.adapters.runnable import (
        with_session,
    )
    from langchain_redis_session.adapters.store import (
        RedisSessionStore,
    )
    from langchain_redis_session.budgets import (
        UsageBudget,
    )
    from langchain_redis_session.callbacks import (
        AppendEventContext,
        AsyncSessionCallbackHandler,
        CorruptEventReport,
        GetSessionContext,
        SessionCallbackHandler,
        SummaryContext,
    )
    from langchain_redis_session.connections import (
        register_redis_instance,
        unregister_redis_instance,
    )
    from langchain_redis_session.errors import (
        BackendUnavailableError,
        BudgetExceededError,
        ConfigurationError,
        CorruptEventError,
        EventRejectedError,
        EventTooLargeError,
        InvalidSessionKeyError,
        PersistError,
        RedisInstanceNotFoundError,
        RedisSessionError,
        SessionNotFoundError,
        SessionServiceClosedError,
        StateTooLargeError,
        SummaryError,
        UnserializableMessageError,
    )
    from langchain_redis_session.models import (
        AppendResult,
        DeadLetter,
        DeletedUser,
        Event,
        Session,
        SessionKey,
        SummarizedMessages,
        Summary,
        SummaryBoundary,
        SummaryRequest,
        TrackEvent,
        Usage,
    )
    from langchain_redis_session.runs import (
        Run,
        RunTree,
        read_runs,
    )
    from langchain_redis_session.service import (
        RedisSessionService,
    )
    from langchain_redis_session.stats import (
        PersistStats,
        ServiceStats,
        SummaryStats,
    )
    from langchain_redis_session.summarizer import (
        SessionSummarizer,
        all_of,
        any_of,
        context_threshold,
        event_threshold,
        time_threshold,
        token_threshold,
    )

    __all__ = [
        "AppendEventContext",
        "AppendResult",
        "AsyncSessionCallbackHandler",
        "AsyncTrackCallbackHandler",
        "BackendUnavailableError",
        "BudgetExceededError",
        "ConfigurationError",
        "CorruptEventError",
        "CorruptEventReport",
        "DeadLetter",
        "DeletedUser",
        "Event",
        "EventRejectedError",
        "EventTooLargeError",
        "GetSessionContext",
        "InvalidSessionKeyError",
        "Message",
        "PersistError",
        "PersistStats",
        "RedisInstanceNotFoundError",
        "RedisSessionChatMessageHistory",
        "RedisSessionError",
        "RedisSessionMemory",
        "RedisSessionMemoryStore",
        "RedisSessionMiddleware",
        "RedisSessionService",
        "RedisSessionStore",
        "Run",
        "RunTree",
        "ServiceStats",
        "Session",
        "SessionCallbackHandler",
        "SessionKey",
        "SessionNotFoundError",
        "SessionServiceClosedError",
        "SessionSummarizer",
        "StateTooLargeError",
        "SummarizedMessages",
        "Summary",
        "SummaryBoundary",
        "SummaryContext",
        "SummaryError",
        "SummaryRequest",
        "SummaryStats",
        "TrackCallbackHandler",
        "TrackEvent",
        "UnserializableMessageError",
        "Usage",
        "UsageBudget",
        "__version__",
        "all_of",
        "any_of",
        "context_threshold",
        "event_threshold",
        "install_error_handlers",
        "read_runs",
        "register_redis_instance",
        "session_router",
        "session_state",
        "time_threshold",
        "token_threshold",
        "unregister_redis_instance",
        "with_session",
    ]

__version__: str

_MODULES = {
    "AppendEventContext": "callbacks",
    "AppendResult": "models",
    "AsyncSessionCallbackHandler": "callbacks",
    "AsyncTrackCallbackHandler": "adapters.run_tracks",
    "BackendUnavailableError": "errors",
    "BudgetExceededError": "errors",
    "ConfigurationError": "errors",
    "CorruptEventError": "errors",
    "CorruptEventReport": "callbacks",
    "DeadLetter": "models",
    "DeletedUser": "models",
    "Event": "models",
    "EventRejectedError": "errors",
    "EventTooLargeError": "errors",
    "GetSessionContext": "callbacks",
    "InvalidSessionKeyError": "errors",
    "Message": "_wire.fields",
    "PersistError": "errors",
    "PersistStats": "stats",
    "RedisInstanceNotFoundError": "errors",
    "RedisSessionChatMessageHistory": "adapters.history",
    "RedisSessionError": "errors",
    "RedisSessionMemory": "adapters.classic_memory",
    "RedisSessionMemoryStore": "adapters.graph_store",
    "RedisSessionMiddleware": "adapters.middleware",
    "RedisSessionService": "service",
    "RedisSessionStore": "adapters.store",
    "Run": "runs",
    "RunTree": "runs",
    "ServiceStats": "stats",
    "Session": "models",
    "SessionCallbackHandler": "callbacks",
    "SessionKey": "models",
    "SessionNotFoundError": "errors",
    "SessionServiceClosedError": "errors",
    "SessionSummarizer": "summarizer",
    "StateTooLargeError": "errors",
    "SummarizedMessages": "models",
    "Summary": "models",
    "SummaryBoundary": "models",
    "SummaryContext": "callbacks",
    "SummaryError": "errors",
    "SummaryRequest": "models",
    "SummaryStats": "stats",
    "TrackCallbackHandler": "adapters.run_tracks",
    "TrackEvent": "models",
    "UnserializableMessageError": "errors",
    "Usage": "models",
    "UsageBudget": "budgets",
    "all_of": "summarizer",
    "any_of": "summarizer",
    "context_threshold": "summarizer",
    "event_threshold": "summarizer",
    "install_error_handlers": "adapters.router_errors",
    "read_runs": "runs",
    "register_redis_instance": "connections",
    "session_router": "adapters.router",
    "session_state": "adapters.middleware",
    "time_threshold": "summarizer",
    "token_threshold": "summarizer",
    "unregister_redis_instance": "connections",
    "with_session": "adapters.runnable",
}
"""Where each public name stands."""

_PACKAGES = {
    "adapters.classic_memory": ("langchain_classic",),
    "adapters.graph_store": ("langgraph",),
    "adapters.middleware": ("langchain", "langgraph"),
    "adapters.router": ("fastapi", "sse_starlette"),
    "adapters.router_errors": ("fastapi",),
}
"""What modules need beside the dependencies: packages of the extras."""


def __getattr__(name: str) -> Any:
    if name == "__all__":
        return sorted({"__version__", *filter(_is_installed, _MODULES)})
    if name == "__version__":
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version("langchain-redis-session")
        except PackageNotFoundError:  # a copy of the folder, or a program packed as one file
            return "0"
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def _is_installed(name: str) -> bool:
    """Whether a name can be had, so that `import *` and `dir()` ask for no package in vain."""
    from importlib.util import find_spec

    packages = _PACKAGES.get(_MODULES[name], ())
    return all(sys.modules.get(package) or find_spec(package) for package in packages)


def __dir__() -> list[str]:
    return sorted({*globals(), *__getattr__("__all__")})
