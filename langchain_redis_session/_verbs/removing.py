"""Methods that remove events."""

from __future__ import annotations

from langchain_redis_session._flow.requests import Flow
from langchain_redis_session._operations import (
    conversations,
    remove_events,
)
from langchain_redis_session._operations.bounds import make_bounds
from langchain_redis_session._verbs.runner import (
    FlowRunner,
    async_verb,
    check_key,
    sync_verb,
)
from langchain_redis_session.models import (
    Event,
    SessionKey,
)


class RemoveMethods(FlowRunner):
    """Remove events of a session."""

    def _clear_events(self, key: SessionKey) -> Flow[int]:
        """Remove a session's events and summaries, not its state; gives how many events."""
        flow = remove_events.clear_events(self._context, check_key(key))
        return self._settled(key.scope, flow)

    clear_events = sync_verb(_clear_events)
    aclear_events = async_verb(_clear_events)

    def _trim_conversations(self, key: SessionKey, *, count: int = 1) -> Flow[list[Event]]:
        """Remove the last `count` conversations; gives their events, oldest first.

        A conversation is the events that share a request id; without one, a user message
        and what followed it. A summary that covers them already keeps its text, and ends with
        what is left.
        """
        make_bounds(count, None, None, 0)
        flow = conversations.trim_conversations(self._context, check_key(key), count)
        return self._settled(key.scope, flow)

    trim_conversations = sync_verb(_trim_conversations)
    atrim_conversations = async_verb(_trim_conversations)
