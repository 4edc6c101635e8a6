"""What a middleware does around the calls of models and tools, as flows."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from typing import Any, Literal

from langchain_core.messages import AIMessage, BaseMessage, message_to_dict

from langchain_redis_session._flow.requests import Call, Flow
from langchain_redis_session._logs import logger
from langchain_redis_session._operations.matching import INTERRUPTED
from langchain_redis_session._operations.reading import WindowSession
from langchain_redis_session._verbs import answers, windows
from langchain_redis_session.adapters._ids import name_anew
from langchain_redis_session.adapters._middleware.messages import (
    find_aliases,
    find_first_new,
    find_ids,
    find_question,
    is_stored,
    list_calls,
    name_all,
    unname_result,
)
from langchain_redis_session.adapters._middleware.partial_answer import PartialAnswer
from langchain_redis_session.adapters._middleware.places import Place, calling_session
from langchain_redis_session.adapters._middleware.state_view import SessionState, current_state
from langchain_redis_session.adapters._middleware.turns import Turn, Turns
from langchain_redis_session.adapters._middleware.view import find_head_end, make_view
from langchain_redis_session.adapters._windows import ModelWindow, find_cut, list_with_events
from langchain_redis_session.adapters._writes import storing_answer, unbroken
from langchain_redis_session.errors import (
    EventRejectedError,
    RedisSessionError,
    SessionNotFoundError,
)
from langchain_redis_session.models import AppendResult, is_from_user, new_id
from langchain_redis_session.service import RedisSessionService

OnStoreError = Literal["report", "raise"]


@dataclass(frozen=True, slots=True)
class Talk:
    """What the hooks of one middleware share.

    Attributes:
        service: Where the sessions are.
        window: How much of a session the model sees.
        include_summary: Whether it sees the summary in place of what that covers.
        include_interrupted: Whether it sees answers that were cut off.
        session_event_limit: The most events of sessions that are created; None = no limit.
        on_store_error: What becomes of an answer that can't be stored.
        turns: The runs that are under way.
    """

    service: RedisSessionService
    window: ModelWindow
    include_summary: bool
    include_interrupted: bool
    session_event_limit: int | None
    on_store_error: OnStoreError
    turns: Turns = field(default_factory=Turns)

    # Reading

    def begin(self, place: Place, state: Sequence[BaseMessage]) -> Flow[Turn]:
        """Find the run that messages are of; a new one reads its session."""
        question = find_question(state)
        question_id = (question and question.id) or new_id()
        is_asked = bool(state) and is_from_user(state[-1])
        last_id = (state[-1].id if state and not is_asked else None) or ""
        turn = self.turns.find(place, question_id, last_id)
        if turn.is_read or place.track:
            return turn
        # From the past, what lies before it has to be found.
        limit = None if place.is_past else self.window.max_messages
        session = yield from self._read(place, limit)
        turn.is_new = session is None
        events = list_with_events(session.events if session is not None else ())
        stored = [message for message, _ in events]
        turn.known |= {message.id for message in stored if message.id}
        turn.aliases = find_aliases(state, stored, turn.known)
        ids = find_ids(state, turn.known, turn.aliases)
        end = find_head_end(stored, ids, question_id, is_past=place.is_past)
        turn.own |= list_calls(stored[end:])
        turn.head, turn.event_ids = stored[:end], [event_id for _, event_id in events[:end]]
        if session is not None:
            turn.is_cut = session.is_cut
            turn.summary = session.summary if self.include_summary else None
            turn.state = SessionState(session.state)
            turn.cut = session.cuts.get(self.window.name, "")
            turn.begin = find_cut(session, turn.event_ids, turn.cut)
        places = {message.id for message in turn.head if message.id}
        newest = max((i for i, found in enumerate(ids) if found in places), default=-1)
        turn.older |= set(ids[: newest + 1]) - places
        turn.is_read = True
        return turn

    def _read(self, place: Place, limit: int | None) -> Flow[WindowSession | None]:
        options: dict[str, Any] = {
            "limit": limit,
            "with_summary": self.include_summary,
            "include_interrupted": self.include_interrupted,
        }
        session: WindowSession | None = yield Call(
            partial(windows.get_session, self.service, place.key, **options),
            partial(windows.aget_session, self.service, place.key, **options),
        )
        return session

    # Storing

    def store_new(self, turn: Turn, state: Sequence[BaseMessage]) -> Flow[None]:
        """Store what the session does not have, before the model is asked."""
        ids = find_ids(state, turn.known, turn.aliases)
        first = find_first_new(state, ids, turn.known)
        # The question, and what follows it, is shown however old it is: it is what is asked.
        running = set(ids[ids.index(turn.request_id) :] if turn.request_id in ids else ())
        new: list[tuple[str, BaseMessage]] = []
        request_id = turn.request_id
        for message, found in zip(state[first:], ids[first:], strict=True):
            if found in turn.known or not is_stored(message):
                continue
            if is_from_user(message):
                request_id = found
            named = message if message.id == found else message.model_copy(update={"id": found})
            new.append((request_id, named))
        for request_id, group in groupby(new, key=lambda pair: pair[0]):
            messages = [message for _, message in group]
            try:
                result = yield from self._append(turn, messages, request_id=request_id, keeps=False)
            except EventRejectedError:
                if self.on_store_error == "raise" or all(map(is_from_user, messages)):
                    raise
                yield from self._store_singly(turn, messages, request_id)
                continue
            if result is not None and not result.queued:
                fresh = {event.message.id for event in result.events if event.message is not None}
                turn.older |= {message.id or "" for message in messages} - fresh - running
        if turn.is_new and new:  # what the app and the user have is known only now
            session = yield from self._read(turn.place, 1)
            turn.state = SessionState(session.state if session is not None else {})
        turn.is_new = False

    def _store_singly(
        self, turn: Turn, messages: Sequence[BaseMessage], request_id: str
    ) -> Flow[None]:
        """Store what hooks don't refuse. Where that is a user's message, the run ends."""
        for message in messages:
            try:
                yield from self._append(turn, [message], request_id=request_id, keeps=False)
            except EventRejectedError as error:
                if is_from_user(message):
                    raise
                self._note_refused(turn, [message], error)

    def _note_refused(
        self, turn: Turn, messages: Sequence[BaseMessage], error: EventRejectedError
    ) -> None:
        logger.warning("a hook refused to store an agent's message: %s", error)
        turn.known |= {message.id for message in messages if message.id}  # not tried once more

    def store_answer(
        self,
        turn: Turn,
        state: Sequence[BaseMessage],
        messages: Sequence[BaseMessage],
        *,
        tag: str = "",
    ) -> Flow[list[BaseMessage]]:
        """Store what a model has said; gives it back, each message with an id of its own."""
        known = turn.known | {message.id or "" for message in state}

        def name(taken: Collection[str]) -> list[BaseMessage]:
            return name_all(name_anew(messages, taken), before=state)

        return (yield from self._store_named(turn, name, known, tag=tag))

    def store_results(
        self, turn: Turn, state: Sequence[BaseMessage], results: Sequence[BaseMessage], call_id: str
    ) -> Flow[list[BaseMessage]]:
        """Store what a tool gave; gives it back, as `store_answer`."""

        def name(taken: Collection[str]) -> list[BaseMessage]:
            return name_all(unname_result(results, call_id, taken), before=state)

        # Of a copy: other calls of the same answer run in other threads.
        taken = {found for found in turn.known.copy() if turn.own.get(found) != call_id}
        return (yield from self._store_named(turn, name, taken))

    def _store_named(
        self,
        turn: Turn,
        name: Callable[[Collection[str]], list[BaseMessage]],
        taken: Collection[str],
        *,
        tag: str = "",
    ) -> Flow[list[BaseMessage]]:
        """Store what a model or a tool has said: it is paid for, and not lost.

        Args:
            turn: The run.
            name: Gives the messages, under other ids where they have one of these.
            taken: The ids that older messages are known to have.
            tag: Labels.
        """
        named = name(taken)
        with storing_answer():
            repeated = yield from self._store(turn, named, tag=tag)
            if not repeated:
                return named
            # Of messages that are older than what was read.
            pairs = zip(named, name({*taken, *repeated}), strict=True)
            final = [anew if before.id in repeated else before for before, anew in pairs]
            renamed = [m for m, before in zip(final, named, strict=True) if m.id != before.id]
            yield from self._store(turn, renamed, tag=tag)
        return final

    def _store(
        self, turn: Turn, messages: Sequence[BaseMessage], *, tag: str
    ) -> Flow[Collection[str]]:
        """Store messages; gives the ids that messages not of this run have."""
        messages = [message for message in messages if is_stored(message)]
        if not messages:
            return ()
        is_raised = self.on_store_error == "raise"
        try:
            result = yield from self._append(
                turn, messages, request_id=turn.request_id, tag=tag, keeps=not is_raised
            )
        except EventRejectedError as error:
            if is_raised:
                raise
            self._note_refused(turn, messages, error)
            return ()
        return set(result.repeated) - turn.own.keys() if result is not None else ()

    def _append(
        self,
        turn: Turn,
        messages: list[BaseMessage],
        *,
        request_id: str,
        keeps: bool,
        tag: str = "",
    ) -> Flow[AppendResult | None]:
        if turn.place.track:
            yield from self._append_to_track(turn.place, messages, keeps=keeps)
            turn.known |= {message.id for message in messages if message.id}
            return None
        changes, cut = turn.state.take_changes(), self._find_moved_cut(turn)
        options: dict[str, Any] = {
            "request_id": request_id,
            "keeps": keeps,
            "tag": tag,
            "state_delta": {**changes, **({self.window.name: cut} if cut else {})},
            "new_event_limit": self.session_event_limit,
        }
        arguments = (self.service, turn.place.key, messages)
        append = partial(answers.append_messages, *arguments, **options)
        aappend = partial(answers.aappend_messages, *arguments, **options)
        try:
            result: AppendResult = yield Call(append, aappend if not keeps else unbroken(aappend))
        except BaseException:
            turn.state.put_back(changes)
            raise
        if messages[-1].id in result.repeated:  # which was to carry it
            turn.state.put_back(changes)
        else:
            turn.cut = cut or turn.cut
        turn.known |= {message.id for message in messages if message.id}
        turn.own |= list_calls(m for m in messages if m.id not in result.repeated)
        return result

    def _find_moved_cut(self, turn: Turn) -> str:
        """The event that a stable window begins with since it was cut; "" where it was not."""
        if not turn.begin or turn.begin >= len(turn.event_ids):
            return ""
        cut = turn.event_ids[turn.begin]
        return "" if cut == turn.cut else cut

    def _append_to_track(
        self, place: Place, messages: list[BaseMessage], *, keeps: bool
    ) -> Flow[None]:
        service, key, ids = self.service, place.key, place.key.scope
        create = Call(partial(service.create_session, *ids), partial(service.acreate_session, *ids))
        payloads = [message_to_dict(message) for message in messages]
        arguments = (service, key, place.track, payloads)
        aappend = partial(answers.aappend_to_track, *arguments, keeps=keeps)
        append = Call(
            partial(answers.append_to_track, *arguments, keeps=keeps),
            aappend if not keeps else unbroken(aappend),
        )
        try:
            yield append
        except SessionNotFoundError:
            yield create
            yield append


@dataclass(slots=True)
class ModelCall:
    """One call of the model.

    Attributes:
        talk: What the middleware's hooks share.
        place: Where the messages belong.
        state: The messages of the agent's state, and what LangChain has added to them.
        messages: What the agent would give the model.
        ask: Makes the request that calls the model with messages.
        partial_answer: What the model says while it does.
    """

    talk: Talk
    place: Place
    state: Sequence[BaseMessage]
    messages: Sequence[BaseMessage]
    ask: Callable[[list[BaseMessage]], Call]
    partial_answer: PartialAnswer = field(default_factory=PartialAnswer)
    _turn: Turn | None = None

    def answer(self) -> Flow[tuple[Any, list[BaseMessage]]]:
        """Store what is new, ask the model, and store what it says.

        Returns:
            What the handler gave, and its messages, each with an id.
        """
        talk = self.talk
        turn = yield from talk.begin(self.place, self.state)
        yield from talk.store_new(turn, self.state)
        view = list(self.messages)
        if not self.place.track:
            view = make_view(talk.window, turn, self.messages)
        self._turn = turn
        try:
            with self.partial_answer.watch():
                response = yield from _showing(turn, self.ask(view))
        except Exception as error:
            talk.turns.end(turn)  # the next try may be hours away
            answer = getattr(error, "ai_message", None)  # of structured output that is none
            if isinstance(answer, AIMessage):
                yield from talk.store_answer(turn, self.state, [answer])
            raise
        self._turn = None
        said = response.result if hasattr(response, "result") else [response]
        said = yield from talk.store_answer(turn, self.state, said)
        if not any(isinstance(message, AIMessage) and message.tool_calls for message in said):
            talk.turns.end(turn)
        return response, said

    def save_partial_answer(self) -> Flow[None]:
        """Where the run was cut off: store what the model has said until then."""
        turn, message = self._turn, self.partial_answer.message
        if turn is None or message is None or turn.place.track:
            return
        self.talk.turns.end(turn)
        try:
            yield from self.talk.store_answer(turn, self.state, [message], tag=INTERRUPTED)
        except RedisSessionError as error:  # the run ends with what has cut it off
            logger.error("an interrupted answer could not be stored: %s", type(error).__name__)


def call_tool(
    talk: Talk, place: Place, state: Sequence[BaseMessage], call: Call
) -> Flow[tuple[Any, Turn]]:
    """Call a tool; gives what it gave."""
    turn = yield from talk.begin(place, state)
    token = calling_session.set(place.key)
    try:
        result = yield from _showing(turn, call)
    finally:
        calling_session.reset(token)
    return result, turn


def _showing(turn: Turn, call: Call) -> Flow[Any]:
    """Call what may ask for the session's state. That of a sub-agent is its caller's."""
    if turn.place.track:
        return (yield call)
    token = current_state.set(turn.state)
    try:
        return (yield call)
    finally:
        current_state.reset(token)
