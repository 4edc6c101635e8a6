"""What a middleware does around the calls of models and tools, as flows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, message_to_dict

from langchain_redis_session._flow.requests import Call, Flow
from langchain_redis_session._verbs import windows
from langchain_redis_session.adapters._middleware.messages import (
    find_ids,
    find_question,
    is_stored,
    name_results,
)
from langchain_redis_session.adapters._middleware.places import Place
from langchain_redis_session.adapters._middleware.turns import Turn, Turns
from langchain_redis_session.adapters._middleware.view import find_head, make_view
from langchain_redis_session.adapters._windows import ModelWindow
from langchain_redis_session.errors import SessionNotFoundError
from langchain_redis_session.models import AppendResult, Session, list_messages, new_id
from langchain_redis_session.service import RedisSessionService


@dataclass(frozen=True, slots=True)
class Talk:
    """What the hooks of one middleware share.

    Attributes:
        service: Where the sessions are.
        window: How much of a session the model sees.
        include_summary: Whether it sees the summary in place of what that covers.
        session_event_limit: The most events of sessions that are created; None = no limit.
        turns: The runs that are under way.
    """

    service: RedisSessionService
    window: ModelWindow
    include_summary: bool
    session_event_limit: int | None
    turns: Turns = field(default_factory=Turns)

    # Models

    def call_model(
        self,
        place: Place,
        state: Sequence[BaseMessage],
        messages: Sequence[BaseMessage],
        ask: Callable[[list[BaseMessage]], Call],
    ) -> Flow[tuple[Any, list[BaseMessage]]]:
        """Store what is new, ask the model, and store what it says.

        Args:
            place: Where the messages belong.
            state: The messages of the agent's state, and what LangChain has added to them.
            messages: What the agent would give the model.
            ask: Makes the request that calls the model with messages.

        Returns:
            What the handler gave, and its messages, each with an id.
        """
        turn = yield from self._begin(place, state)
        yield from self._store_new(turn, state)
        view = list(messages) if place.track else make_view(self.window, turn, messages)
        try:
            response = yield ask(view)
        except Exception as error:
            self.turns.end(turn)  # the next try may be hours away
            answer = getattr(error, "ai_message", None)  # of structured output that is none
            if isinstance(answer, AIMessage):
                yield from self._store(turn, [answer])
            raise
        said = response.result if hasattr(response, "result") else [response]
        said = name_results(said, before=state)
        yield from self._store(turn, said)
        if not any(isinstance(message, AIMessage) and message.tool_calls for message in said):
            self.turns.end(turn)
        return response, said

    def store_results(
        self, place: Place, state: Sequence[BaseMessage], results: Iterable[BaseMessage]
    ) -> Flow[list[BaseMessage]]:
        """Store what a tool gave; gives it back, each message with an id."""
        turn = yield from self._begin(place, state)
        named = name_results(results, before=state)
        yield from self._store(turn, named)
        return named

    # Reading

    def _begin(self, place: Place, state: Sequence[BaseMessage]) -> Flow[Turn]:
        """Find the run; a new one reads its session."""
        question = find_question(state)
        question_id = (question and question.id) or new_id()
        last_id = (state[-1].id if state else None) or ""
        turn = self.turns.find(place, question_id, {last_id})
        if turn.is_read or place.track:
            return turn
        session = yield from self._read(place)
        stored = list_messages(session.events) if session is not None else []
        turn.known |= {message.id for message in stored if message.id}
        ids = find_ids(state, stored, turn.known)
        turn.head = find_head(stored, ids, question_id, is_past=place.is_past)
        if session is not None:
            turn.is_cut = session.is_cut
            turn.summary = session.summary if self.include_summary else None
        places = {message.id for message in turn.head if message.id}
        newest = max((i for i, found in enumerate(ids) if found in places), default=-1)
        turn.older |= set(ids[: newest + 1]) - places
        turn.is_read = True
        return turn

    def _read(self, place: Place) -> Flow[Session | None]:
        # From the past, what lies before it has to be found.
        limit = None if place.is_past else self.window.max_messages
        arguments: dict[str, Any] = {"limit": limit, "with_summary": self.include_summary}
        session: Session | None = yield Call(
            partial(windows.get_session, self.service, place.key, **arguments),
            partial(windows.aget_session, self.service, place.key, **arguments),
        )
        return session

    # Storing

    def _store_new(self, turn: Turn, state: Sequence[BaseMessage]) -> Flow[None]:
        """Store what the session does not have, before the model is asked."""
        ids = find_ids(state, turn.head, turn.known)
        newest = max((i for i, found in enumerate(ids) if found in turn.known), default=-1)
        new: list[tuple[str, BaseMessage]] = []
        request_id = turn.request_id
        for message, found in zip(state[newest + 1 :], ids[newest + 1 :], strict=True):
            if not is_stored(message):
                continue
            if message.type == "human":
                request_id = found
            named = message if message.id == found else message.model_copy(update={"id": found})
            new.append((request_id, named))
        for request_id, group in groupby(new, key=lambda pair: pair[0]):
            messages = [message for _, message in group]
            result = yield from self._append(turn, messages, request_id)
            if result is not None and not result.queued:
                fresh = {event.message.id for event in result.events if event.message is not None}
                turn.older |= {message.id or "" for message in messages} - fresh

    def _store(self, turn: Turn, messages: Sequence[BaseMessage]) -> Flow[None]:
        """Store what a model or a tool has said."""
        messages = [message for message in messages if is_stored(message)]
        if messages:
            yield from self._append(turn, messages, turn.request_id)

    def _append(
        self, turn: Turn, messages: list[BaseMessage], request_id: str
    ) -> Flow[AppendResult | None]:
        if turn.place.track:
            result = None
            yield from self._append_to_track(turn.place, messages)
        else:
            options: dict[str, Any] = {
                "request_id": request_id,
                "once": True,
                "create": True,
                "new_event_limit": self.session_event_limit,
            }
            service, key = self.service, turn.place.key
            result = yield Call(
                partial(service.append_messages, key, messages, **options),
                partial(service.aappend_messages, key, messages, **options),
            )
        turn.known |= {message.id for message in messages if message.id}
        return result

    def _append_to_track(self, place: Place, messages: list[BaseMessage]) -> Flow[None]:
        service, key, ids = self.service, place.key, place.key.scope
        create = Call(partial(service.create_session, *ids), partial(service.acreate_session, *ids))
        payloads = [message_to_dict(message) for message in messages]
        append = Call(
            partial(service.append_track_events, key, place.track, payloads),
            partial(service.aappend_track_events, key, place.track, payloads),
        )
        try:
            yield append
        except SessionNotFoundError:
            yield create
            yield append
