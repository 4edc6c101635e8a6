"""Methods that remove events."""

from langchain_redis_session._flow.requests import Flow
from langchain_redis_session._operations import (
    conversations,
    remove_events,
)
from langchain_redis_session._verbs.arguments import (
    check_count,
    check_key,
)
from langchain_redis_session._verbs.runner import (
    FlowRunner,
    async_method,
    sync_method,
)
from langchain_redis_session.models import (
    Event,
    SessionKey,
)


class RemoveMethods(FlowRunner):
    """Remove events of a session."""

    @sync_method
    def clear_events(self, key: SessionKey) -> Flow[int]:
        """Remove a session's events and summaries, not its state; gives how many events."""
        flow = remove_events.clear_events(self._context, check_key(key))
        return self._settled(key.scope, flow)

    aclear_events = async_method(clear_events)

    @sync_method
    def trim_conversations(self, key: SessionKey, *, count: int = 1) -> Flow[list[Event]]:
        """Remove the last `count` conversations; gives their events, oldest first.

        A conversation is the events that share a request id; without one, a user message
        and what followed it. A summary that covers them already keeps its text, and ends with
        what is left.
        """
        check_key(key)
        flow = conversations.trim_conversations(self._context, key, check_count("count", count))
        return self._settled(key.scope, flow)

    atrim_conversations = async_method(trim_conversations)
