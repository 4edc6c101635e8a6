"""Methods that find events."""

from collections.abc import Collection

from langchain_redis_session._display.lists import EventList
from langchain_redis_session._flow.requests import Flow
from langchain_redis_session._operations import (
    search,
)
from langchain_redis_session._operations.bounds import Moment, make_bounds
from langchain_redis_session._operations.matching import compile_query, compile_roles
from langchain_redis_session._verbs.arguments import (
    check_count,
    check_key,
)
from langchain_redis_session._verbs.runner import (
    FlowRunner,
    async_method,
    listed,
    sync_method,
)
from langchain_redis_session.models import (
    Event,
    Role,
    SessionKey,
    validate_id,
)


class FindMethods(FlowRunner):
    """Find events of a session."""

    @sync_method
    def get_event_window(
        self,
        key: SessionKey,
        event_id: str,
        *,
        before: int = 5,
        after: int = 5,
        roles: Collection[Role] | None = None,
    ) -> Flow[list[Event]]:
        """Read an event with those around it, oldest first; [] if it isn't there.

        It is looked for from the newest event on, a part of the session at a time: that takes
        the longer the further back it is, some tenths of a second behind 100,000 events.

        Args:
            key: The session.
            event_id: The event.
            before: How many earlier ones.
            after: How many later ones.
            roles: Count and return only events of these roles: "user", "assistant", "tool",
                "system". The event itself is always among them.
        """
        flow = search.get_event_window(
            self._context,
            check_key(key),
            validate_id(event_id, "event_id"),
            before=check_count("before", before),
            after=check_count("after", after),
            has_role=compile_roles(roles),
        )
        return listed(EventList, self._settled(key.scope, flow))

    aget_event_window = async_method(get_event_window)

    @sync_method
    def search_events(
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
        check_key(key)
        matches, has_role = compile_query(query), compile_roles(roles)
        bounds = make_bounds(limit, after, before, 0)
        flow = search.search_events(self._context, key, matches, has_role, bounds)
        return listed(EventList, self._settled(key.scope, flow))

    asearch_events = async_method(search_events)
