"""How many of a session's events to summarize now.

A summary may end behind any event before the running turn but where that would part a tool
call from its result: models refuse a conversation that starts with a result, and a summary
should not say that something was asked for when the answer is at hand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    FunctionMessage,
    SystemMessage,
    ToolMessage,
)

from langchain_redis_session.models import Event, is_from_user


def find_turn_start(events: Sequence[Event], place: int) -> int:
    """Go back to the user message that began the turn of the event at a place.

    Where there is none before it, or nothing at the place, it is the place itself.
    """
    if place >= len(events):
        return place
    turns = (p for p in range(place, -1, -1) if _begins_turn(events[p]))
    return next(turns, place)


def _begins_turn(event: Event) -> bool:
    return event.message is not None and is_from_user(event.message)


def find_running_turn(events: Sequence[Event]) -> int:
    """Find where the turn begins that has no final answer; behind all where there is none.

    It begins with the last user message; where there is none, with the last call.
    """
    spoken = [(p, m) for p, m in _messages(events) if not isinstance(m, SystemMessage)]
    if not spoken or _is_final(spoken[-1][1]):
        return len(events)
    for place in range(len(events) - 1, -1, -1):
        if _begins_turn(events[place]):
            return place
    return next((place for place, message in reversed(spoken) if not _is_result(message)), 0)


def _is_final(message: BaseMessage) -> bool:
    """Whether a turn may end with it: neither a question, nor a call, nor a result."""
    if isinstance(message, AIMessage):
        return not message.tool_calls and not message.invalid_tool_calls
    return not is_from_user(message) and not _is_result(message)


def _is_result(message: BaseMessage) -> bool:
    return isinstance(message, ToolMessage | FunctionMessage)


def choose_count(events: Sequence[Event], most: int, fits: Callable[[int], bool]) -> int:
    """Give the length of the longest prefix that a summary may cover now; 0 for none.

    Args:
        events: What is new, oldest first, all of it.
        most: How many of these may be covered at most.
        fits: Whether a prefix of this length is small enough. It is asked seldom: for
            1000 events about ten times, and once where everything fits. Where the
            shortest prefix is too large, it is taken all the same: there must always be
            a way on.
    """
    ends = [end for end in _possible_ends(events) if end <= most]
    if not ends:
        return 0
    if fits(ends[-1]):
        return ends[-1]
    fitting, too_large = 0, len(ends) - 1
    while too_large - fitting > 1:
        middle = (fitting + too_large) // 2
        if fits(ends[middle]):
            fitting = middle
        else:
            too_large = middle
    return ends[fitting]


def _possible_ends(events: Sequence[Event]) -> Iterator[int]:
    """Give the lengths of prefixes with something to tell that part no call from its result.

    The turn of a call that waits for its result can't be covered, nor what follows it, until
    the result is there or a user goes on without it.
    """
    last_results, first_waiting = _pair_calls(events)
    if first_waiting is not None:
        first_waiting = find_turn_start(events, first_waiting)
    paired_until = -1
    tells = False
    for place, event in enumerate(events):
        if place == first_waiting:
            return
        paired_until = max(paired_until, last_results.get(place, -1))
        tells = tells or not (event.message is None or isinstance(event.message, SystemMessage))
        if tells and paired_until <= place:
            yield place + 1


def _pair_calls(events: Sequence[Event]) -> tuple[dict[int, int], int | None]:
    """Find for each event with tool calls that of the last result.

    Returns:
        The places of events with calls, and of their last results; the first place with a
        call that still waits for its result.
    """
    callers: dict[str, int] = {}
    last_results: dict[int, int] = {}
    waiting: dict[int, list[str]] = {}
    for place, message in _messages(events):
        if isinstance(message, ToolMessage):
            caller = callers.get(message.tool_call_id)
            if caller is not None:
                last_results[caller] = place
                _remove(waiting.get(caller, []), message.tool_call_id)
        elif isinstance(message, AIMessage):
            calls = [call["id"] or "" for call in message.tool_calls]
            # A call that is no valid one may get no result.
            for call_id in [*calls, *(call["id"] or "" for call in message.invalid_tool_calls)]:
                # Some models number their calls anew in every turn.
                _remove(waiting.get(callers.get(call_id, -1), []), call_id)
                callers[call_id] = place
            waiting[place] = waiting.get(place, []) + calls
        elif is_from_user(message):
            waiting.clear()
    return last_results, next((place for place, calls in waiting.items() if calls), None)


def _messages(events: Sequence[Event]) -> Iterator[tuple[int, BaseMessage]]:
    for place, event in enumerate(events):
        if event.message is not None:
            yield place, event.message
        for message in event.further_messages:
            yield place, message


def _remove(calls: list[str], call_id: str) -> None:
    if call_id in calls:
        calls.remove(call_id)
