"""`RedisSessionService`, the front door: sessions, events, state and tracks on Redis.

Each verb is written once, as a method that checks its arguments and gives a flow; it
becomes public as `x` and, for async code, as `ax`.
"""

from __future__ import annotations

import os
import time
import weakref
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any, Literal, TypeVar

from langchain_core.messages import BaseMessage
from typing_extensions import Self

from langchain_redis_session import _drivers
from langchain_redis_session._background.persister import Persister
from langchain_redis_session._flow import Flow, Scope, Settle, Submit
from langchain_redis_session._operations import (
    conversations,
    events,
    purge,
    search,
    sessions,
    state,
    tracks,
    windows,
)
from langchain_redis_session._operations.context import Context
from langchain_redis_session._operations.windows import Moment, StartOn, make_bounds
from langchain_redis_session._verbs import async_verb, sync_verb
from langchain_redis_session.config import (
    DEFAULT_EVENT_LIMIT,
    DEFAULT_MAX_EVENT_BYTES,
    parse_options,
)
from langchain_redis_session.connections import open_connections
from langchain_redis_session.errors import (
    BackendUnavailableError,
    ConfigurationError,
    InvalidSessionKeyError,
    SessionServiceClosedError,
    shorten,
)
from langchain_redis_session.models import (
    AppendResult,
    DeadLetter,
    DeletedUser,
    Event,
    Role,
    ServiceStats,
    Session,
    SessionKey,
    TrackEvent,
    new_id,
    validate_id,
)

T = TypeVar("T")
Ttl = timedelta | float | None


class RedisSessionService:
    """Chat sessions on Redis: events, state and tracks, for sync and async code.

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
        wait_replicas: How many replicas must have an append before it counts as written.
        wait_timeout: Seconds to wait for them.

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
        wait_replicas: int = 0,
        wait_timeout: float = 1.0,
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
                    **unknown,
                }
            )
        )
        self._connections = open_connections(
            redis_url, redis_instance, client, async_client, extra_options or {}
        )
        self._is_closed = False
        self._persister: Persister | None = None
        if self._context.options.enable_async_persist:
            self._persister = self._start_persister(on_persist_error)

    def _start_persister(self, on_error: Callable[[DeadLetter], Any] | None) -> Persister:
        connections = self._connections
        connections.sync_client()  # says now if there can't be one

        def run_flow(flow: Flow[T]) -> T:  # without self: the threads must not keep it alive
            return _drivers.run(flow, connections.sync_client())

        persister = Persister(self._context, run_flow, [on_error] if on_error else [])
        # Also at the interpreter's exit.
        weakref.finalize(self, persister.close)
        return persister

    def __repr__(self) -> str:
        return f"RedisSessionService({self._connections.description!r})"

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called."""
        return self._is_closed

    # Running flows

    def _run(self, flow: Flow[T]) -> T:
        self._require_open()
        try:
            return _drivers.run(flow, self._connections.sync_client(), self._persister)
        except BackendUnavailableError as error:
            raise self._explain(error) from error.__cause__

    async def _arun(self, flow: Flow[T]) -> T:
        self._require_open()
        connections = self._connections
        client = connections.running_client() or await connections.open_async_client()
        try:
            return await _drivers.arun(flow, client, self._persister)
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

    def _settled(self, scope: Scope, flow: Flow[T]) -> Flow[T]:
        """With write-behind: what was appended in the scope before this comes first."""
        return flow if self._persister is None else _settle_first(scope, flow)

    # Sessions

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
        return self._settled(_scope(key), sessions.create_session(self._context, key, state))

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

        Returns:
            The session, or None if there is none (any more).

        Raises:
            CorruptEventError: An entry can't be read, and `strict` is true.
        """
        bounds = make_bounds(limit, after, before, offset, start_on, strict)
        flow = sessions.get_session(self._context, _check_key(key), bounds)
        return self._settled(_scope(key), flow)

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
        """Read a user's sessions, the last written first.

        Args:
            app_name: The application.
            user_id: The user.
            limit: The most sessions; None = all.
            offset: How many to pass over.
            include_events: Whether to read their events too.
        """
        _check_user(app_name, user_id)
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
        flow = purge.delete_session(self._context, _check_key(key))
        return self._settled(_scope(key), flow)

    delete_session = sync_verb(_delete_session)
    adelete_session = async_verb(_delete_session)

    def _delete_user(self, app_name: str, user_id: str) -> Flow[DeletedUser]:
        """Delete everything of a user in an app. Scans the whole database.

        Can be called again after it was interrupted.
        """
        _check_user(app_name, user_id)
        flow = sessions.delete_user(self._context, app_name, user_id)
        return self._settled((app_name, user_id), flow)

    delete_user = sync_verb(_delete_user)
    adelete_user = async_verb(_delete_user)

    # Events and messages

    def _append_event(self, key: SessionKey, event: Event) -> Flow[AppendResult]:
        """Append one event; as `append_events`."""
        return self._append_events(key, [event])

    append_event = sync_verb(_append_event)
    aappend_event = async_verb(_append_event)

    def _append_events(self, key: SessionKey, new_events: Sequence[Event]) -> Flow[AppendResult]:
        """Append events and their state changes, all or none, in one round trip.

        An event that is already stored (a retry) is not stored again. The events' `score`
        is set.

        Raises:
            SessionNotFoundError: There is no such session.
            UnserializableMessageError: An event holds what JSON can't carry.
            EventTooLargeError: An event's JSON is over `max_event_bytes`.
        """
        if isinstance(new_events, Event) or not all(isinstance(e, Event) for e in new_events):
            raise ConfigurationError("append_events takes a list of Event")
        prepared = events.prepare_events(self._context, list(new_events))
        return self._append(_check_key(key), prepared)

    append_events = sync_verb(_append_events)
    aappend_events = async_verb(_append_events)

    def _append_messages(
        self,
        key: SessionKey,
        messages: Sequence[BaseMessage],
        *,
        request_id: str = "",
        invocation_id: str = "",
        author: str | None = None,
        branch: str = "",
        tag: str = "",
        filter_key: str = "",
        state_delta: dict[str, Any] | None = None,
        once: bool = False,
        create: bool = False,
    ) -> Flow[AppendResult]:
        """Append messages, all or none, in one round trip.

        Args:
            key: The session.
            messages: LangChain messages; a chunk is stored as the message it belongs to.
            request_id: Names the conversation they belong to.
            invocation_id: Names the agent's run.
            author: Who made them; default: "user" or "assistant", by their type.
            branch: The path of agents.
            tag: Labels, separated by ";".
            filter_key: A hierarchical key ("app/tools").
            state_delta: State to set with them; see `Event.state_delta`.
            once: Leave out messages whose id is already in the session.
            create: Create the session if there is none.

        Raises:
            SessionNotFoundError: There is no such session, and `create` is false.
            UnserializableMessageError: A message holds what JSON can't carry.
            EventTooLargeError: A message's JSON is over `max_event_bytes`.
        """
        new_events = events.make_events(
            [messages] if isinstance(messages, BaseMessage) else messages,
            time_ns=time.time_ns(),
            author=author,
            state_delta=state_delta,
            request_id=request_id,
            invocation_id=invocation_id,
            branch=branch,
            tag=tag,
            filter_key=filter_key,
        )
        prepared = events.prepare_events(self._context, new_events, create=create, once=once)
        return self._append(_check_key(key), prepared)

    append_messages = sync_verb(_append_messages)
    aappend_messages = async_verb(_append_messages)

    def _append(self, key: SessionKey, prepared: events.PreparedEvents) -> Flow[AppendResult]:
        if self._persister is None:
            return events.append_prepared(self._context, key, prepared)
        return _queue_events(key, prepared)

    def _get_events(
        self,
        key: SessionKey,
        *,
        limit: int | None = None,
        after: Moment | None = None,
        before: Moment | None = None,
        offset: int = 0,
        start_on: StartOn = None,
        strict: bool = False,
    ) -> Flow[list[Event]]:
        """Read a session's events, oldest first; arguments as `get_session`."""
        bounds = make_bounds(limit, after, before, offset, start_on, strict)
        flow = windows.get_events(self._context, _check_key(key), bounds)
        return self._settled(_scope(key), flow)

    get_events = sync_verb(_get_events)
    aget_events = async_verb(_get_events)

    def _get_messages(
        self,
        key: SessionKey,
        *,
        limit: int | None = None,
        after: Moment | None = None,
        before: Moment | None = None,
        offset: int = 0,
        start_on: StartOn = None,
        strict: bool = False,
    ) -> Flow[list[BaseMessage]]:
        """Read a session's messages, oldest first; arguments as `get_session`.

        `limit` and `offset` count messages. Where older ones are cut off, tool results
        whose call is among those are left out at the start, as models refuse them.
        """
        bounds = make_bounds(limit, after, before, offset, start_on, strict)
        flow = windows.get_messages(self._context, _check_key(key), bounds)
        return self._settled(_scope(key), flow)

    get_messages = sync_verb(_get_messages)
    aget_messages = async_verb(_get_messages)

    def _clear_events(self, key: SessionKey) -> Flow[int]:
        """Remove a session's events and summaries, not its state; gives how many events."""
        flow = events.clear_events(self._context, _check_key(key))
        return self._settled(_scope(key), flow)

    clear_events = sync_verb(_clear_events)
    aclear_events = async_verb(_clear_events)

    def _trim_conversations(self, key: SessionKey, *, count: int = 1) -> Flow[list[Event]]:
        """Remove the last `count` conversations; gives their events, oldest first.

        A conversation is the events that share a request id; without one, a user message
        and what followed it.
        """
        make_bounds(count, None, None, 0)
        flow = conversations.trim_conversations(self._context, _check_key(key), count)
        return self._settled(_scope(key), flow)

    trim_conversations = sync_verb(_trim_conversations)
    atrim_conversations = async_verb(_trim_conversations)

    def _get_event_window(
        self,
        key: SessionKey,
        event_id: str,
        *,
        before: int = 5,
        after: int = 5,
        roles: Collection[Role] | None = None,
    ) -> Flow[list[Event]]:
        """Read an event with those around it, oldest first; [] if it isn't there.

        Args:
            key: The session.
            event_id: The event.
            before: How many earlier ones.
            after: How many later ones.
            roles: Count and give only events of these roles: "user", "assistant", "tool",
                "system". The event itself is always given.
        """
        make_bounds(before, None, None, after)
        flow = search.get_event_window(
            self._context,
            _check_key(key),
            validate_id(event_id, "event_id"),
            before=before,
            after=after,
            roles=roles,
        )
        return self._settled(_scope(key), flow)

    get_event_window = sync_verb(_get_event_window)
    aget_event_window = async_verb(_get_event_window)

    def _search_events(
        self,
        key: SessionKey,
        query: str,
        *,
        limit: int | None = 10,
        after: Moment | None = None,
        before: Moment | None = None,
        roles: Collection[Role] | None = None,
    ) -> Flow[list[Event]]:
        """Find events by the text of their messages; needs no server module.

        Args:
            key: The session.
            query: Words and "quoted phrases"; all must stand in the text, in any case.
            limit: The most events, the newest; None = all.
            after: The earliest (inclusive), as `get_session`.
            before: The latest (inclusive).
            roles: Only events of these roles: "user", "assistant", "tool", "system".

        Returns:
            The events, oldest first.
        """
        bounds = make_bounds(limit, after, before, 0)
        flow = search.search_events(self._context, _check_key(key), query, bounds, roles)
        return self._settled(_scope(key), flow)

    search_events = sync_verb(_search_events)
    asearch_events = async_verb(_search_events)

    # State

    def _update_session_state(self, key: SessionKey, values: Mapping[str, Any]) -> Flow[None]:
        """Set names in a session's state; `app:` and `user:` names go to those scopes.

        Raises:
            SessionNotFoundError: There is no such session.
            UnserializableMessageError: A value can't be carried by JSON.
        """
        return self._write_state(_check_key(key), values, ())

    update_session_state = sync_verb(_update_session_state)
    aupdate_session_state = async_verb(_update_session_state)

    def _delete_session_state(self, key: SessionKey, *names: str) -> Flow[None]:
        """Remove names from a session's own state."""
        for name in state.check_names(names, "names"):
            state.check_not_reserved(name, "names")
        return self._write_state(_check_key(key), {}, names)

    delete_session_state = sync_verb(_delete_session_state)
    adelete_session_state = async_verb(_delete_session_state)

    def _write_state(
        self, key: SessionKey, values: Mapping[str, Any], drop_names: Collection[str]
    ) -> Flow[None]:
        change = state.route_state(values, "values")
        flow = _write_state(self._context, key, change, drop_names)
        return self._settled(_scope(key), flow)

    def _update_user_state(
        self, app_name: str, user_id: str, values: Mapping[str, Any]
    ) -> Flow[None]:
        """Set names in a user's state; a `user:` in front of them is dropped."""
        _check_user(app_name, user_id)
        encoded = state.encode_scope(values, state.USER_PREFIX, "values")
        flow = state.update_user_state(self._context, app_name, user_id, encoded)
        return self._settled((app_name, user_id), flow)

    update_user_state = sync_verb(_update_user_state)
    aupdate_user_state = async_verb(_update_user_state)

    def _get_user_state(self, app_name: str, user_id: str) -> Flow[dict[str, Any]]:
        """Read a user's state, names without prefix."""
        _check_user(app_name, user_id)
        flow = state.get_state(self._context.keyspace.user_state(app_name, user_id))
        return self._settled((app_name, user_id), flow)

    get_user_state = sync_verb(_get_user_state)
    aget_user_state = async_verb(_get_user_state)

    def _delete_user_state(self, app_name: str, user_id: str, *names: str) -> Flow[int]:
        """Remove names from a user's state; gives how many there were."""
        _check_user(app_name, user_id)
        key = self._context.keyspace.user_state(app_name, user_id)
        flow = state.delete_state(key, state.check_names(names, "names"))
        return self._settled((app_name, user_id), flow)

    delete_user_state = sync_verb(_delete_user_state)
    adelete_user_state = async_verb(_delete_user_state)

    def _update_app_state(self, app_name: str, values: Mapping[str, Any]) -> Flow[None]:
        """Set names in an app's state; an `app:` in front of them is dropped."""
        validate_id(app_name, "app_name")
        encoded = state.encode_scope(values, state.APP_PREFIX, "values")
        flow = state.update_app_state(self._context, app_name, encoded)
        return self._settled((app_name,), flow)

    update_app_state = sync_verb(_update_app_state)
    aupdate_app_state = async_verb(_update_app_state)

    def _get_app_state(self, app_name: str) -> Flow[dict[str, Any]]:
        """Read an app's state, names without prefix."""
        key = self._context.keyspace.app_state(validate_id(app_name, "app_name"))
        return self._settled((app_name,), state.get_state(key))

    get_app_state = sync_verb(_get_app_state)
    aget_app_state = async_verb(_get_app_state)

    def _delete_app_state(self, app_name: str, *names: str) -> Flow[int]:
        """Remove names from an app's state; gives how many there were."""
        key = self._context.keyspace.app_state(validate_id(app_name, "app_name"))
        flow = state.delete_state(key, state.check_names(names, "names"))
        return self._settled((app_name,), flow)

    delete_app_state = sync_verb(_delete_app_state)
    adelete_app_state = async_verb(_delete_app_state)

    # Tracks

    def _append_track_event(
        self,
        key: SessionKey,
        track: str,
        payload: Any,
        timestamp: Moment | None = None,
    ) -> Flow[TrackEvent]:
        """Append a payload to a track of a session; the first one makes the track.

        Args:
            key: The session.
            track: The track's name.
            payload: Any JSON value.
            timestamp: When it happened (a datetime with a zone, or ns); default: now.

        Raises:
            SessionNotFoundError: There is no such session.
            UnserializableMessageError: The payload is not JSON.
        """
        validate_id(track, "track")
        time_ns = time.time_ns() if timestamp is None else windows.to_nanoseconds(timestamp)
        event = TrackEvent(track, payload, time_ns=time_ns)
        return self._append_track(_check_key(key), event)

    append_track_event = sync_verb(_append_track_event)
    aappend_track_event = async_verb(_append_track_event)

    def _append_track(self, key: SessionKey, event: TrackEvent) -> Flow[TrackEvent]:
        prepared = tracks.prepare_track_events(self._context, event.track, [event])
        if self._persister is None:
            yield from tracks.append_prepared_track_events(self._context, key, prepared)
        else:
            yield Submit(key, prepared)
        return event

    def _get_track_events(
        self,
        key: SessionKey,
        track: str,
        *,
        limit: int | None = None,
        after: Moment | None = None,
        before: Moment | None = None,
        offset: int = 0,
        strict: bool = False,
    ) -> Flow[list[TrackEvent]]:
        """Read a track's events, oldest first; arguments as `get_session`."""
        bounds = make_bounds(limit, after, before, offset, None, strict)
        flow = tracks.get_track_events(
            self._context, _check_key(key), validate_id(track, "track"), bounds
        )
        return self._settled(_scope(key), flow)

    get_track_events = sync_verb(_get_track_events)
    aget_track_events = async_verb(_get_track_events)

    def _list_tracks(self, key: SessionKey) -> Flow[list[str]]:
        """The names of a session's tracks, in the order they were made."""
        flow = tracks.list_tracks(self._context, _check_key(key))
        return self._settled(_scope(key), flow)

    list_tracks = sync_verb(_list_tracks)
    alist_tracks = async_verb(_list_tracks)

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
        return ServiceStats(
            corrupt_entries=self._context.corrupt_entries,
            persist=self._persister.stats() if self._persister else None,
        )

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until all appends that were accepted are in Redis.

        Args:
            timeout: Seconds to wait at most; None = as long as it takes.

        Returns:
            Whether they are: False after a time-out, or if there are dead letters. True at
            once without write-behind.
        """
        self._require_open()
        return self._persister is None or self._persister.flush(timeout)

    async def aflush(self, timeout: float | None = None) -> bool:
        """Wait, without blocking the event loop; as `flush`."""
        self._require_open()
        return self._persister is None or await self._persister.aflush(timeout)

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
        """Write what is queued, then close the clients made here.

        Every later call raises `SessionServiceClosedError`. What could not be written within
        `persist_close_timeout` becomes dead letters, or stays in the spool if there is one.
        """
        self._is_closed = True
        if self._persister is not None:
            self._persister.close()
        self._connections.close()

    async def aclose(self) -> None:
        """Write what is queued, then close the clients made here; as `close`."""
        self._is_closed = True
        if self._persister is not None:
            await self._persister.aclose()
        await self._connections.aclose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


def _check_key(key: object) -> SessionKey:
    if not isinstance(key, SessionKey):
        raise InvalidSessionKeyError(
            f"key must be a SessionKey(app_name, user_id, session_id), not {shorten(key)}"
        )
    return key


def _check_user(app_name: object, user_id: object) -> None:
    validate_id(app_name, "app_name")
    validate_id(user_id, "user_id")


def _scope(key: SessionKey) -> Scope:
    return key.app_name, key.user_id, key.session_id


def _settle_first(scope: Scope, flow: Flow[T]) -> Flow[T]:
    yield Settle(scope)
    return (yield from flow)


def _queue_events(key: SessionKey, prepared: events.PreparedEvents) -> Flow[AppendResult]:
    if prepared.events:
        yield Submit(key, prepared)
    return AppendResult(list(prepared.events), written=0, removed=0, queued=True)


def _write_state(
    context: Context, key: SessionKey, change: state.StateChange, drop_names: Collection[str]
) -> Flow[None]:
    if change or drop_names:
        yield from events.write_state(context, key, change, drop_names=drop_names)
