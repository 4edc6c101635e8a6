"""Methods that remove events."""

from collections.abc import Iterable

from langchain_redis_session._display.lists import EventList
from langchain_redis_session._flow.requests import Flow
from langchain_redis_session._operations import (
    conversations,
    remove_events,
)
from langchain_redis_session._verbs.arguments import (
    check_count,
    check_ids,
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
    SessionKey,
    new_id,
)


class RemoveMethods(FlowRunner):
    """Remove events of a session."""

    @sync_method
    def clear_events(self, key: SessionKey) -> Flow[int]:
        """Remove a session's events and summaries, not its state; returns how many events."""
        flow = remove_events.clear_events(self._context, check_key(key))
        return self._settled(key.scope, flow)

    aclear_events = async_method(clear_events)

    @sync_method
    def remove_events(self, key: SessionKey, event_ids: Iterable[str]) -> Flow[int]:
        """Remove single events, such as an answer that the model shall make again.

        A summary that covers them already keeps its text. Events further back take longer.

        Args:
            key: The session.
            event_ids: Which; ids that no event has are ignored.

        Returns:
            How many events were removed.

        Example:
            >>> from langchain_core.messages import AIMessage, HumanMessage
            >>> from langchain_redis_session import RedisSessionService
            >>> service = RedisSessionService("memory://")
            >>> key = service.create_session("shop", "ann").key
            >>> talk = [HumanMessage("Sencha?"), AIMessage("No.")]
            >>> question, answer = service.append_messages(key, talk).events
            >>> service.remove_events(key, [answer.id])
            1
            >>> [message.text for message in service.get_messages(key)]
            ['Sencha?']
        """
        check_key(key)
        ids = check_ids("event_ids", event_ids)
        flow = remove_events.remove_events(self._context, key, ids, token=new_id())
        return self._settled(key.scope, flow)

    aremove_events = async_method(remove_events)

    @sync_method
    def trim_conversations(self, key: SessionKey, *, count: int = 1) -> Flow[list[Event]]:
        """Remove the last `count` conversations; returns their events, oldest first.

        A conversation is the events that share a request id; without one, a user message
        and what followed it. The last ones are those with the newest events; two callers never
        get the same one. A summary that covers them already keeps its text, and ends with
        what is left. It takes as long as what is removed is long: of a conversation without a
        user message among its last 1000 events, these 1000 are removed. All of it goes in one
        script, which keeps the server busy for some ms for each 1000 events or megabyte.

        Example:
            >>> from langchain_core.messages import AIMessage, HumanMessage
            >>> from langchain_redis_session import RedisSessionService
            >>> service = RedisSessionService("memory://")
            >>> key = service.create_session("shop", "ann").key
            >>> talk = [HumanMessage("Sencha?"), AIMessage("No."), HumanMessage("Why?")]
            >>> result = service.append_messages(key, talk)
            >>> [event.message.text for event in service.trim_conversations(key)]
            ['Why?']
        """
        check_key(key)
        flow = conversations.trim_conversations(
            self._context, key, check_count("count", count), token=new_id()
        )
        return listed(EventList, self._settled(key.scope, flow))

    atrim_conversations = async_method(trim_conversations)
