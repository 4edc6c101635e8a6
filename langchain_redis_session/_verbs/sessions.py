"""Methods on sessions."""

import time
from collections.abc import Mapping
from typing import Any

from langchain_redis_session._display.lists import SessionList
from langchain_redis_session._flow.requests import Flow
from langchain_redis_session._observe import operations
from langchain_redis_session._operations import (
    delete_session,
    sessions,
)
from langchain_redis_session._operations.bounds import Bounds, StartOn, check_start_on, make_bounds
from langchain_redis_session._operations.state import encode, find_scope, route_state
from langchain_redis_session._verbs.arguments import (
    check_count,
    check_flags,
    check_key,
    check_mapping,
    check_user,
)
from langchain_redis_session._verbs.runner import (
    FlowRunner,
    async_method,
    listed,
    sync_method,
)
from langchain_redis_session.errors import ConfigurationError
from langchain_redis_session.models import (
    Session,
    SessionKey,
    new_id,
)


class SessionMethods(FlowRunner):
    """Create, list and delete sessions."""

    @sync_method
    def create_session(
        self,
        app_name: str,
        user_id: str,
        session_id: str | None = None,
        state: Mapping[str, Any] | None = None,
    ) -> Flow[Session]:
        """Create a session. If it exists already, it is returned unchanged.

        Args:
            app_name: The application.
            user_id: The user.
            session_id: The conversation; None = a new id.
            state: First values, routed by prefix as `Event.state_delta` is.

        Raises:
            StateTooLargeError: The session's record would have more than `max_state_bytes`.
        """
        key = SessionKey(app_name, user_id, new_id() if session_id is None else session_id)
        first = {} if state is None else dict(check_mapping("state", state))
        encoding = encode(first, lambda: route_state(first, "state", self._context.conversions))

        def create() -> Flow[Session]:
            change = yield from encoding
            flow = sessions.create_session(self._context, key, change)
            return (yield from self._settled(find_scope(key, change.scopes), flow))

        return self._observed(operations.CREATE_SESSION, key, create())

    acreate_session = async_method(create_session)

    @sync_method
    def list_sessions(
        self,
        app_name: str,
        user_id: str,
        *,
        limit: int | None = None,
        offset: int = 0,
        include_events: bool = False,
        events_limit: int | None = None,
        events_start_on: StartOn = None,
    ) -> Flow[list[Session]]:
        """Read a user's sessions, the last written first. Hooks of reads don't see it.

        Each has its `event_count` and its `last_message`, also without its events. (None where
        the newest 65 events hold no message.)

        Args:
            app_name: The application.
            user_id: The user.
            limit: The most sessions; None = all.
            offset: How many to skip.
            include_events: Whether to read their events too.
            events_limit: The most events of each, the newest; None = all.
            events_start_on: "human" = let them begin with a user message; see `get_session`.

        Example:
            >>> from langchain_core.messages import AIMessage, HumanMessage
            >>> from langchain_redis_session import RedisSessionService
            >>> service = RedisSessionService("memory://doc-list-sessions")
            >>> key = service.create_session("shop", "ann").key
            >>> talk = [HumanMessage("Sencha?"), AIMessage("We have it.")]
            >>> result = service.append_messages(key, talk)
            >>> (found,) = service.list_sessions(
            ...     "shop", "ann", limit=1, include_events=True, events_limit=1
            ... )
            >>> [message.text for message in found.messages], found.event_count
            (['We have it.'], 2)
        """
        check_user(app_name, user_id)
        make_bounds(limit, None, None, offset)
        check_flags(include_events=include_events)
        if events_limit is not None:
            check_count("events_limit", events_limit)
        check_start_on("events_start_on", events_start_on)
        if not include_events and (events_limit is not None or events_start_on is not None):
            raise ConfigurationError(
                "events_limit and events_start_on say which events to read; pass "
                "include_events=True too"
            )
        flow = sessions.list_sessions(
            self._context,
            app_name,
            user_id,
            limit=limit,
            offset=offset,
            events=Bounds(events_limit, start_on=events_start_on)
            if include_events and events_limit != 0
            else None,
        )
        return listed(SessionList, self._settled((app_name, user_id), flow))

    alist_sessions = async_method(list_sessions)

    @sync_method
    def delete_session(self, key: SessionKey) -> Flow[bool]:
        """Delete everything of a session; returns whether there was one."""
        flow = delete_session.delete_session(
            self._context, check_key(key), now_ms=time.time_ns() // 1_000_000
        )
        flow = self._settled(key.scope, flow)
        return self._observed(operations.DELETE_SESSION, key, flow)

    adelete_session = async_method(delete_session)
