"""Where an agent's messages belong: a session, or a track of it for a sub-agent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from langchain_redis_session._verbs.arguments import tell_key
from langchain_redis_session.adapters._ids import as_text, find_session_id, tell_names
from langchain_redis_session.errors import ConfigurationError, InvalidSessionKeyError
from langchain_redis_session.models import SessionKey

calling_session: ContextVar[SessionKey | None] = ContextVar("calling_session", default=None)
"""The session of the agent whose tool runs."""

_TOOL_NODE = "tools:"  # as `create_agent` names it in checkpoint namespaces


@dataclass(frozen=True, slots=True)
class Place:
    """Where the messages of a run belong.

    Attributes:
        key: The session.
        track: The track of a sub-agent; "" for the agent itself.
        is_past: Whether the run goes on from a checkpoint that the caller has named.
    """

    key: SessionKey
    track: str = ""
    is_past: bool = False


@dataclass(frozen=True, slots=True)
class PlaceFinder:
    """Finds a run's place.

    Attributes:
        app_name: The application, where the context names none.
        session: Chooses the session, in place of the rules here.
    """

    app_name: str
    session: Callable[[Any], SessionKey] | None

    def find(self, runtime: Any, config: Mapping[str, Any]) -> Place:
        """Find the place of a run.

        Args:
            runtime: LangGraph's runtime, of a node or of a tool.
            config: The run's config, as far as it is known.

        Raises:
            InvalidSessionKeyError: Neither context nor config names a user and a session; or
                they name one that can't be.
            ConfigurationError: What chooses the session gives none.
        """
        key = self._choose(runtime, config)
        metadata = config.get("metadata") or {}
        if _is_sub_agent(runtime, config, key):
            name = metadata.get("lc_agent_name")
            return Place(key, track=f"agent:{name}" if name else "agent")
        return Place(key, is_past=bool(metadata.get("checkpoint_id")))

    def _choose(self, runtime: Any, config: Mapping[str, Any]) -> SessionKey:
        if self.session is not None:
            key = self.session(runtime)
            if not isinstance(key, SessionKey):
                raise ConfigurationError(f"what session= gives must be {tell_key(key)}")
            return key
        context = getattr(runtime, "context", None)
        configurable = config.get("configurable") or {}
        info = getattr(runtime, "execution_info", None)
        named = find_session_id(configurable) or getattr(info, "thread_id", None)
        user_id = _first(_look_up(context, "user_id"), configurable.get("user_id"))
        session_id = _first(_look_up(context, "session_id"), named)
        if user_id is None or session_id is None:
            missing = "user_id" if user_id is None else "session_id (or thread_id)"
            given = {**configurable, **(context if isinstance(context, Mapping) else {})}
            raise InvalidSessionKeyError(
                f"this run names no {missing}{tell_names(given)}; pass context= with user_id and "
                'session_id, or a config, {"configurable": {"user_id": "ann", "thread_id": "s1"}}, '
                "or let RedisSessionMiddleware(session=…) choose. (On Python 3.10, asynchronous "
                "runs need context= or session=)"
            )
        app_name = _first(_look_up(context, "app_name"), self.app_name)
        return SessionKey(*map(as_text, (app_name, user_id, session_id)))


def _first(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)


def _look_up(context: Any, name: str) -> Any:
    if isinstance(context, Mapping):
        return context.get(name)
    return getattr(context, name, None)


def _is_sub_agent(runtime: Any, config: Mapping[str, Any], key: SessionKey) -> bool:
    """Whether a tool of another agent runs this one, which has inherited its session."""
    caller = calling_session.get()
    if caller is not None:
        return caller == key
    info = getattr(runtime, "execution_info", None)
    namespace = (config.get("configurable") or {}).get("checkpoint_ns") or getattr(
        info, "checkpoint_ns", ""
    )
    *outer, _ = str(namespace or "").split("|")
    return any(part.startswith(_TOOL_NODE) for part in outer)
