"""One run with its session: what is read before it, and stored around it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal
from uuid import uuid4

from langchain_core.messages import AIMessage, BaseMessage

from langchain_redis_session._flow.requests import Call, Flow
from langchain_redis_session._logs import logger
from langchain_redis_session._operations.matching import INTERRUPTED
from langchain_redis_session._operations.reading import WindowSession
from langchain_redis_session._verbs import answers, windows
from langchain_redis_session.adapters._ids import name_anew
from langchain_redis_session.adapters._runnable.forms import Forms
from langchain_redis_session.adapters._windows import ModelWindow
from langchain_redis_session.adapters._writes import storing_answer, unbroken
from langchain_redis_session.errors import RedisSessionError, UnserializableMessageError
from langchain_redis_session.models import AppendResult, Event, SessionKey, Summary, is_from_user
from langchain_redis_session.service import RedisSessionService

OnStoreError = Literal["raise", "report"]


@dataclass(frozen=True, slots=True)
class Memory:
    """What all runs share.

    Attributes:
        service: Where the sessions are.
        forms: Where messages stand in inputs and outputs.
        window: How much of a session the runnable is given.
        include_summary: Whether it is given the summary in place of what that covers.
        include_interrupted: Whether it is given answers that were cut off.
        session_event_limit: The most events of sessions that are created; None = no limit.
        on_store_error: What becomes of an answer that can't be stored.
    """

    service: RedisSessionService
    forms: Forms
    window: ModelWindow
    include_summary: bool
    include_interrupted: bool
    session_event_limit: int | None
    on_store_error: OnStoreError


@dataclass(slots=True)
class Turn:
    """A run.

    Attributes:
        memory: What all runs share.
        key: Its session.
        request_id: Names the conversation that its messages are stored under.
    """

    memory: Memory
    key: SessionKey
    request_id: str
    _given_ids: set[str | None] = field(default_factory=set)
    _given: list[BaseMessage] = field(default_factory=list)
    _own_ids: set[str] = field(default_factory=set)
    _is_old: bool = False

    def begin(self, value: Any) -> Flow[Any]:
        """Read the session and store what the user says; gives what the runnable takes."""
        memory, window = self.memory, self.memory.window
        new = [_name(message) for message in memory.forms.read_input(value)]
        new_ids = {message.id for message in new}
        session = yield from self._read()
        older = _Older.take(session, new_ids, with_summary=memory.include_summary)
        if older.request_id:
            self.request_id = older.request_id
            self._own_ids = older.own_ids
        state_delta: dict[str, Any] = {}
        if window.stable:
            state_delta = older.move_begin(window, new, session)
        made = window.make([*older.messages, *new], summary=older.summary, is_cut=older.is_cut)
        given = [_name(message) for message in made]
        self._given_ids = {message.id for message in given} | new_ids
        self._given = [*given, *new]
        repeated = yield from self._append(new, keeps=False, state_delta=state_delta)
        # A question of before the window is asked once more, and may have the answer it had.
        self._is_old = not older.request_id and not new_ids.isdisjoint(repeated)
        history = [message for message in given if message.id not in new_ids]
        if memory.forms.history_key is None:  # system messages stand in front
            history, new = given, []
        return memory.forms.make_input(value, history, new)

    def end(self, output: Any) -> Flow[None]:
        """Store the answer.

        Raises:
            UnserializableMessageError: It is none.
        """
        with storing_answer():
            answer = self._find_new(self.memory.forms.read_output(output))
            yield from self._append_answer(answer)

    def break_off(self, output: Any) -> Flow[None]:
        """Store what was answered until the run was cut off."""
        try:
            said = self.memory.forms.read_output(output)
        except UnserializableMessageError:  # nothing yet
            return
        answer = [message for message in self._find_new(said) if _says_something(message)]
        try:
            yield from self._append_answer(answer, tag=INTERRUPTED)
        except RedisSessionError as error:  # the run ends with what has cut it off
            logger.error("an interrupted answer could not be stored: %s", type(error).__name__)

    def _append_answer(self, answer: list[BaseMessage], *, tag: str = "") -> Flow[None]:
        keeps = self.memory.on_store_error == "report"
        repeated = yield from self._append(answer, keeps=keeps, tag=tag)
        if repeated and not self._is_old:  # as messages have them that are older than the window
            renamed = name_anew(answer, {*repeated} - self._own_ids)
            again = [m for m, before in zip(renamed, answer, strict=True) if m is not before]
            yield from self._append(again, keeps=keeps, tag=tag)

    def _find_new(self, messages: Sequence[BaseMessage]) -> list[BaseMessage]:
        """Leave out what was given: agents give all of their messages back.

        An answer behind the question is new also where it has the id of one before, as out of a
        cache.
        """
        asked = max((p for p, message in enumerate(messages) if is_from_user(message)), default=-1)
        given = {id(message) for message in self._given}
        old = {found for found in self._given_ids - self._own_ids if found}
        new: list[BaseMessage] = []
        for place, message in enumerate(messages):
            if message.id in old and place > asked and id(message) not in given:
                [message] = name_anew([message], old)
            if message.id not in self._given_ids:
                new.append(_name(message))
        return new

    def _read(self) -> Flow[WindowSession | None]:
        memory = self.memory
        options: dict[str, Any] = {
            "limit": memory.window.max_messages,
            "with_summary": memory.include_summary,
            "include_interrupted": memory.include_interrupted,
        }
        session: WindowSession | None = yield Call(
            partial(windows.get_session, memory.service, self.key, **options),
            partial(windows.aget_session, memory.service, self.key, **options),
        )
        return session

    def _append(
        self,
        messages: list[BaseMessage],
        *,
        keeps: bool,
        tag: str = "",
        state_delta: dict[str, Any] | None = None,
    ) -> Flow[Sequence[str]]:
        """Store messages; gives the ids of those that were stored already."""
        if not messages:
            return ()
        options: dict[str, Any] = {
            "keeps": keeps,
            "request_id": self.request_id,
            "tag": tag,
            "state_delta": state_delta,
            "new_event_limit": self.memory.session_event_limit,
        }
        arguments = (self.memory.service, self.key, messages)
        result: AppendResult = yield Call(
            partial(answers.append_messages, *arguments, **options),
            unbroken(partial(answers.aappend_messages, *arguments, **options)),
        )
        return result.repeated


@dataclass(slots=True)
class _Older:
    """What of the session lies before a run.

    Attributes:
        messages: The messages; those of a run stand together.
        event_ids: The id of the event that each is in.
        request_id: That of the run's question, where it is stored already; else "".
        own_ids: The ids of what was answered to it then.
        summary: What stands for the messages before these.
        is_cut: Whether older ones were not read, for whatever reason.
    """

    messages: list[BaseMessage] = field(default_factory=list)
    event_ids: list[str] = field(default_factory=list)
    request_id: str = ""
    own_ids: set[str] = field(default_factory=set)
    summary: Summary | None = None
    is_cut: bool = False

    @classmethod
    def take(
        cls, session: WindowSession | None, new_ids: set[str | None], *, with_summary: bool
    ) -> _Older:
        if session is None:
            return cls()
        older = cls(summary=session.summary if with_summary else None, is_cut=session.is_cut)
        for event in _group_by_run(session.events):
            for message in (event.message, *event.further_messages):
                if message is None:
                    continue
                if message.id in new_ids:  # sent once more
                    older.request_id = event.request_id
                    continue
                if message.id and event.request_id and event.request_id == older.request_id:
                    older.own_ids.add(message.id)
                older.messages.append(message)
                older.event_ids.append(event.id)
        return older

    def move_begin(
        self, window: ModelWindow, new: list[BaseMessage], session: WindowSession | None
    ) -> dict[str, Any]:
        """Leave out what lies before a stable window; gives what to remember of it."""
        cut = session.cuts.get(window.name, "") if session is not None else ""
        before = self.event_ids.index(cut) if cut in self.event_ids else 0
        begin = window.move_begin(self.messages, new, before)
        moved = {window.name: self.event_ids[begin]} if before < begin < len(self.event_ids) else {}
        fronts = [message for message in self.messages[:begin] if message.type == "system"]
        self.messages = [*fronts, *self.messages[begin:]]
        self.is_cut = self.is_cut or begin > 0
        return moved


def _group_by_run(events: Sequence[Event]) -> list[Event]:
    """Put what runs at the same time have stored behind each run's question."""
    runs: dict[str, list[Event]] = {}
    for event in events:
        # Without a request id, each stands for itself.
        runs.setdefault(event.request_id or event.id, []).append(event)
    return [event for run in runs.values() for event in run]


def _says_something(message: BaseMessage) -> bool:
    return bool(message.content) or (isinstance(message, AIMessage) and bool(message.tool_calls))


def _name(message: BaseMessage) -> BaseMessage:
    return message if message.id else message.model_copy(update={"id": str(uuid4())})
