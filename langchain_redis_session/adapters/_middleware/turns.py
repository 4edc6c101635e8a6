"""The runs that are under way: what was read for them, and what they have stored."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field

from langchain_core.messages import BaseMessage

from langchain_redis_session._connections.forks import renew_in_child
from langchain_redis_session.adapters._middleware.places import Place
from langchain_redis_session.adapters._middleware.state_view import SessionState
from langchain_redis_session.models import Summary

_MOST_TURNS = 256
"""More at once are right too: what was read for the oldest is read again."""


@dataclass(slots=True, eq=False)
class Turn:
    """A run, from its question to its last answer.

    Attributes:
        place: Where its messages belong.
        request_id: Names the conversation that its messages are stored under.
        head: What of the session stands before its own messages.
        event_ids: The id of the event that each of these is in.
        begin: Where a stable window begins in the head; None = before it.
        cut: The event that a stable window begins with; "" for none.
        state: The session's state.
        summary: What stands for the session's older messages.
        is_cut: Whether older ones were not read, for whatever reason.
        known: The ids of messages that are known to be stored, or were refused by a hook.
        own: Those of them that are of this run; of results, with the id of their call.
        aliases: The ids of messages that are stored under another one.
        older: The ids of messages in the agent's state that are older than the head.
        is_read: Whether the session was read.
        is_new: Whether there was none.
    """

    place: Place
    request_id: str
    head: list[BaseMessage] = field(default_factory=list)
    event_ids: list[str] = field(default_factory=list)
    begin: int | None = 0
    cut: str = ""
    state: SessionState = field(default_factory=lambda: SessionState({}))
    summary: Summary | None = None
    is_cut: bool = False
    known: set[str] = field(default_factory=set)
    own: dict[str, str] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    older: set[str] = field(default_factory=set)
    is_read: bool = False
    is_new: bool = False


class Turns:
    """The runs of one middleware that are under way, in any thread or loop.

    They are found by the question's id, which is the same in every hook of a run, and after
    it was interrupted and resumed.
    """

    def __init__(self) -> None:
        self._turns: OrderedDict[tuple[Place, str], Turn] = OrderedDict()
        self._lock = threading.Lock()
        renew_in_child(self)

    def find(self, place: Place, question_id: str, last_id: str) -> Turn:
        """Find a run, or begin it.

        Args:
            place: Where its messages belong.
            question_id: The id of the message that the run is about.
            last_id: That of its newest message, by which it is found if a middleware has removed
                the question.
        """
        name = (place, question_id)
        with self._lock:
            turn = self._turns.get(name)
            if turn is None:
                turn = self._find_by_message(place, last_id) or Turn(place, question_id)
                self._turns[name] = turn
            self._turns.move_to_end(name)
            if len(self._turns) > _MOST_TURNS:
                self._turns.popitem(last=False)
            return turn

    def _find_by_message(self, place: Place, message_id: str) -> Turn | None:
        for turn in reversed(self._turns.values()):
            if turn.place == place and message_id in turn.known:
                return turn
        return None

    def end(self, turn: Turn) -> None:
        """Forget a run that has ended."""
        with self._lock:
            for name in [name for name, other in self._turns.items() if other is turn]:
                del self._turns[name]
