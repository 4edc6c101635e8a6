"""A session's state, as tools and dynamic prompts of an agent see and change it."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from copy import deepcopy
from typing import Any

from langchain_redis_session._connections.forks import renew_in_child
from langchain_redis_session._display.guard import shows
from langchain_redis_session.errors import ConfigurationError, shorten

current_state: ContextVar[SessionState | None] = ContextVar("current_state", default=None)
"""The state of the session whose agent calls a model or a tool right now."""


class SessionState(Mapping[str, Any]):
    """The state of an agent's session; what is changed is stored with the next message.

    Names are routed by their prefix: `app:`, `user:`, `temp:` (which is never stored), else the
    session's own. Lists and dicts may be changed in place. Names are removed by the service's
    `delete_session_state`.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = dict(values)
        self._changed: set[str] = set()
        self._shown: dict[str, Any] = {}  # copies of what could be changed in place
        self._lock = threading.Lock()
        renew_in_child(self)

    def __getitem__(self, name: str) -> Any:
        with self._lock:
            value = self._values[name]
            if isinstance(value, dict | list) and name not in self._shown:
                self._shown[name] = deepcopy(value)
            return value

    def __setitem__(self, name: str, value: Any) -> None:
        if not isinstance(name, str):
            raise ConfigurationError(f"names of state are strings, not {shorten(name)}")
        with self._lock:
            self._values[name] = value
            self._changed.add(name)

    def __iter__(self) -> Iterator[str]:
        return iter([*self._values])

    def __len__(self) -> int:
        return len(self._values)

    @shows
    def __repr__(self) -> str:
        return f"SessionState({self._values!r})"

    def update(self, values: Mapping[str, Any]) -> None:
        """Set several names."""
        for name, value in values.items():
            self[name] = value

    def take_changes(self) -> dict[str, Any]:
        """Give what was changed since this was last asked for."""
        with self._lock:
            names = set(self._changed)
            for name, before in self._shown.items():
                if self._values[name] != before:
                    names.add(name)
                    self._shown[name] = deepcopy(self._values[name])
            self._changed.clear()
            return {name: self._values[name] for name in sorted(names)}

    def put_back(self, changes: Mapping[str, Any]) -> None:
        """Have changes taken again, as they could not be stored."""
        with self._lock:
            self._changed |= changes.keys()


def find_session_state(runtime: object) -> SessionState:
    """The state of the session that a tool's, or a prompt's, agent has.

    Raises:
        ConfigurationError: No `RedisSessionMiddleware` is around it.
    """
    state = current_state.get()
    if state is None:
        raise ConfigurationError(
            "session_state() works in tools and dynamic prompts of an agent with "
            "RedisSessionMiddleware; list that middleware before those that use it "
            f"(called with {shorten(runtime)})"
        )
    return state
