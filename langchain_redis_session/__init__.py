"""Session memory for LangChain on Redis: messages, state and tracks that nothing loses."""

from langchain_redis_session.callbacks import (
    AppendEventContext,
    AsyncSessionCallbackHandler,
    CorruptEventReport,
    GetSessionContext,
    SessionCallbackHandler,
    SummaryContext,
)
from langchain_redis_session.errors import (
    BackendUnavailableError,
    ConfigurationError,
    CorruptEventError,
    EventRejectedError,
    EventTooLargeError,
    InvalidSessionKeyError,
    PersistError,
    RedisSessionError,
    SessionNotFoundError,
    SessionServiceClosedError,
    UnserializableMessageError,
)
from langchain_redis_session.history import RedisSessionChatMessageHistory
from langchain_redis_session.models import (
    AppendResult,
    DeadLetter,
    DeletedUser,
    Event,
    PersistStats,
    ServiceStats,
    Session,
    SessionKey,
    TrackEvent,
)
from langchain_redis_session.run_tracks import AsyncTrackCallbackHandler, TrackCallbackHandler
from langchain_redis_session.runs import Run, RunTree, read_runs
from langchain_redis_session.service import RedisSessionService

__all__ = [
    "AppendEventContext",
    "AppendResult",
    "AsyncSessionCallbackHandler",
    "AsyncTrackCallbackHandler",
    "BackendUnavailableError",
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
    "PersistError",
    "PersistStats",
    "RedisSessionChatMessageHistory",
    "RedisSessionError",
    "RedisSessionService",
    "Run",
    "RunTree",
    "ServiceStats",
    "Session",
    "SessionCallbackHandler",
    "SessionKey",
    "SessionNotFoundError",
    "SessionServiceClosedError",
    "SummaryContext",
    "TrackCallbackHandler",
    "TrackEvent",
    "UnserializableMessageError",
    "read_runs",
]
