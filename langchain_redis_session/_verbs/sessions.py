"""Verbs on sessions and users."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langchain_redis_session._flow import Flow
from langchain_redis_session._operations import purge, reading, sessions
from langchain_redis_session._operations.windows import Moment, StartOn, make_bounds
from langchain_redis_session._verbs import hooked
from langchain_redis_session._verbs.base import (
    FlowRunner,
    async_verb,
    check_key,
    check_user,
    scope_of,
    sync_verb,
)
from langchain_redis_session.callbacks import GetSessionContext, Handlers
from langchain_redis_session.models import DeletedUser, Session, SessionKey, new_id, validate_id


class SessionVerbs(FlowRunner):
    """Create, read, list and delete sessions."""

    def _create_session(
        self,
        app_name: str,
        user_id: str,
        session_id: str | None = None,
        state: Mapping[str, Any] | None = None,
    ) -> Flow[Session]:
        """Create a session. One that lives already is given as it is, unchanged.

        Args:
            app_name: The application.
            user_id: The user.
            session_id: The conversation; None = a new id.
            state: First values, routed by prefix as `Event.state_delta` is.
        """
        key = SessionKey(app_name, user_id, new_id() if session_id is None else session_id)
        flow = self._settled(scope_of(key), sessions.create_session(self._context, key, state))
        return self._observed("create_session", key, flow)

    create_session = sync_verb(_create_session)
    acreate_session = async_verb(_create_session)

    def _get_session(
        self,
        key: SessionKey,
        *,
        limit: int | None = None,
        after: Moment | None = None,
        before: Moment | None = None,
        offset: int = 0,
        start_on: StartOn = None,
        strict: bool = False,
        callbacks: Handlers = None,
    ) -> Flow[Session | None]:
        """Read a session with its state and events, in one round trip.

        Args:
            key: The session.
            limit: The most events, the newest; None = all.
            after: The earliest (inclusive): a datetime with a zone, ns, or a score.
            before: The latest (inclusive).
            offset: How many of the newest to leave out.
            start_on: "human" = begin with a user message; if none is among the events,
                the last one before them is put in front.
            strict: Raise at an unreadable entry instead of skipping it.
            callbacks: Hooks for this call, after the service's.

        Returns:
            The session, or None if there is none (any more).

        Raises:
            EventRejectedError: A hook refused the read.
            CorruptEventError: An entry can't be read, and `strict` is true.
        """
        bounds = make_bounds(limit, after, before, offset, start_on, strict)
        check_key(key)
        hooks = self._hooks_with(callbacks)
        if hooks.of_reads:
            call = GetSessionContext(key, "get_session", limit, after, before, offset, start_on)
            flow = hooked.get_session(self._context, hooks, call, self._settled, strict=strict)
        else:
            flow = self._settled(scope_of(key), reading.get_session(self._context, key, bounds))
        return self._observed("get_session", key, flow, hooks)

    get_session = sync_verb(_get_session)
    aget_session = async_verb(_get_session)

    def _list_sessions(
        self,
        app_name: str,
        user_id: str,
        *,
        limit: int | None = None,
        offset: int = 0,
        include_events: bool = False,
    ) -> Flow[list[Session]]:
        """Read a user's sessions, the last written first. Hooks of reads don't see it.

        Args:
            app_name: The application.
            user_id: The user.
            limit: The most sessions; None = all.
            offset: How many to pass over.
            include_events: Whether to read their events too.
        """
        check_user(app_name, user_id)
        make_bounds(limit, None, None, offset)
        flow = sessions.list_sessions(
            self._context,
            app_name,
            user_id,
            limit=limit,
            offset=offset,
            include_events=include_events,
        )
        return self._settled((app_name, user_id), flow)

    list_sessions = sync_verb(_list_sessions)
    alist_sessions = async_verb(_list_sessions)

    def _list_users(self, app_name: str) -> Flow[list[str]]:
        """Find the users of an app, sorted. Scans the whole database: for administration."""
        validate_id(app_name, "app_name")
        return self._settled((app_name,), sessions.list_users(self._context, app_name))

    list_users = sync_verb(_list_users)
    alist_users = async_verb(_list_users)

    def _delete_session(self, key: SessionKey) -> Flow[bool]:
        """Delete everything of a session; gives whether there was one."""
        flow = purge.delete_session(self._context, check_key(key))
        flow = self._settled(scope_of(key), flow)
        return self._observed("delete_session", key, flow)

    delete_session = sync_verb(_delete_session)
    adelete_session = async_verb(_delete_session)

    def _delete_user(self, app_name: str, user_id: str) -> Flow[DeletedUser]:
        """Delete everything of a user in an app. Scans the whole database.

        Can be called again after it was interrupted.
        """
        check_user(app_name, user_id)
        flow = sessions.delete_user(self._context, app_name, user_id)
        return self._settled((app_name, user_id), flow)

    delete_user = sync_verb(_delete_user)
    adelete_user = async_verb(_delete_user)
