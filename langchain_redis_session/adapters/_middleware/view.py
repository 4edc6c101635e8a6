"""What the model sees: what of the session lies before a run, then the run's messages."""

from __future__ import annotations

from collections.abc import Sequence

from langchain_core.messages import BaseMessage

from langchain_redis_session._actions.open_calls import close_calls
from langchain_redis_session.adapters._middleware.messages import find_ids, is_summary
from langchain_redis_session.adapters._middleware.turns import Turn
from langchain_redis_session.adapters._windows import ModelWindow


def find_head_end(
    stored: Sequence[BaseMessage], ids: Sequence[str], question_id: str, *, is_past: bool
) -> int:
    """Find how much of the session lies before a run.

    Args:
        stored: The session's messages, as far as they were read.
        ids: The ids of the messages in the agent's state.
        question_id: That of the run's question. Where it is stored already, the run goes on, or
            is made once more, and what came after it is no part of it.
        is_past: Whether the run goes on from an old checkpoint: what the session has beyond that
            is no part of it either.
    """
    places = {message.id: place for place, message in enumerate(stored) if message.id}
    if question_id in places:
        return places[question_id]
    if is_past:
        return max((places[found] for found in ids if found in places), default=-1) + 1
    return len(stored)


def make_view(
    window: ModelWindow, turn: Turn, messages: Sequence[BaseMessage]
) -> list[BaseMessage]:
    """Put together what the model is given.

    Args:
        window: Its limits.
        turn: The run.
        messages: What the agent would give it, perhaps edited by other middlewares.
    """
    if any(map(is_summary, messages)):  # which stands for all that is older
        return close_calls(messages, window.open_tool_calls)
    ids = find_ids(messages, turn.known, turn.aliases)
    edited = dict(zip(ids, messages, strict=True))
    places = {message.id for message in turn.head if message.id}
    begin = max((place + 1 for place, found in enumerate(ids) if found in places), default=0)
    tail = [
        message
        for place, message in enumerate(messages)
        if (place >= begin and ids[place] not in turn.older)
        # System messages, and what another middleware has put in, are in nobody's session.
        or not (ids[place] in places or ids[place] in turn.known or ids[place] in turn.older)
    ]
    head = [edited.get(message.id or "", message) for message in turn.head]
    if window.stable:
        turn.begin = window.move_begin(head, tail, turn.begin)
        fronts = [message for message in head[: turn.begin] if message.type == "system"]
        head = [*fronts, *head[turn.begin :]]
    is_cut = turn.is_cut or bool(turn.begin)
    return window.make([*head, *tail], summary=turn.summary, is_cut=is_cut)
