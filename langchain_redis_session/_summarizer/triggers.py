"""Triggers: whether a session has enough that is new for another summary.

A trigger sees a `Session` whose `events` are only those after the last summary, oldest
first, and whose `summary` is that last summary (None if there is none). Any function of
such a session is one; those made here also know how many new events they need at least,
so that a session with fewer doesn't have to be read.
"""

from __future__ import annotations

import inspect
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from langchain_core.messages import BaseMessage

from langchain_redis_session._summarizer.tokens import count_tokens
from langchain_redis_session.config import check_function
from langchain_redis_session.errors import ConfigurationError, shorten
from langchain_redis_session.models import Session, list_messages

SummaryTrigger = Callable[[Session], bool]
TokenCounter = Callable[[list[BaseMessage]], int]


def event_threshold(count: int) -> SummaryTrigger:
    """Make a trigger that fires when there are this many new events.

    Args:
        count: How many, 1 or more.

    Raises:
        ConfigurationError: `count` is not a number above 0.

    Example:
        >>> event_threshold(20)
        EventThreshold(count=20)
    """
    return EventThreshold(check_int("count", count, 1))


def token_threshold(count: int, token_counter: TokenCounter = count_tokens) -> SummaryTrigger:
    """Make a trigger that fires when the new events' messages have this many tokens.

    Args:
        count: How many, 1 or more.
        token_counter: Counts the tokens of messages, such as a model's
            `get_num_tokens_from_messages`. The default estimates, with pictures, sounds,
            films and files at a fixed cost each.

    Raises:
        ConfigurationError: An argument can't work.

    Example:
        >>> token_threshold(2000)
        TokenThreshold(count=2000)
    """
    return TokenThreshold(check_int("count", count, 1), check_counter(token_counter))


def context_threshold(
    fraction: float,
    context_window: int,
    minimum: int = 0,
    token_counter: TokenCounter = count_tokens,
) -> SummaryTrigger:
    """Make a trigger that fires when the new events fill this part of a context window.

    Args:
        fraction: The part, above 0 and up to 1.
        context_window: How many tokens the model takes.
        minimum: Fewer tokens than these never fire.
        token_counter: Counts the tokens of messages.

    Raises:
        ConfigurationError: An argument can't work.

    Example:
        >>> context_threshold(0.5, 8192)
        TokenThreshold(count=4096)
    """
    check_number("fraction", fraction, above=0)
    if fraction > 1:
        raise ConfigurationError(f"fraction is a part of 1 at most, not {shorten(fraction)}")
    window = check_int("context_window", context_window, 1)
    least = max(math.ceil(fraction * window), check_int("minimum", minimum, 0))
    return TokenThreshold(least, check_counter(token_counter))


def time_threshold(seconds: float, clock: Callable[[], float] = time.time) -> SummaryTrigger:
    """Make a trigger that fires this long after the last summary, if there is something new.

    Where there is no summary yet, the time runs from the first new event.

    Args:
        seconds: How long, above 0.
        clock: Returns the seconds since 1970. A summary's time is the Redis server's, so
            the two clocks should not be far apart.

    Raises:
        ConfigurationError: An argument can't work.

    Example:
        >>> time_threshold(600)
        TimeThreshold(seconds=600)
    """
    check_number("seconds", seconds, above=0)
    check_function("clock", clock)
    return TimeThreshold(seconds, clock)


def all_of(*triggers: SummaryTrigger) -> SummaryTrigger:
    """Make a trigger that fires when all of these do.

    Args:
        triggers: One or more, asked in this order: the quick ones first.

    Raises:
        ConfigurationError: There is none, or one of them can't be a trigger.

    Example:
        >>> trigger = all_of(event_threshold(10), token_threshold(500))
        >>> get_minimum_events(trigger)
        10
    """
    return AllOf(_check_triggers("all_of", triggers))


def any_of(*triggers: SummaryTrigger) -> SummaryTrigger:
    """Make a trigger that fires when one of these does.

    Args:
        triggers: One or more, asked in this order: the quick ones first.

    Raises:
        ConfigurationError: There is none, or one of them can't be a trigger.

    Example:
        >>> trigger = any_of(event_threshold(10), event_threshold(5))
        >>> get_minimum_events(trigger)
        5
    """
    return AnyOf(_check_triggers("any_of", triggers))


def get_minimum_events(trigger: SummaryTrigger) -> int:
    """Give the smallest number of new events with which a trigger can fire.

    >>> get_minimum_events(event_threshold(8)), get_minimum_events(lambda session: True)
    (8, 1)
    """
    minimum = getattr(trigger, "minimum_events", 1)
    return max(1, minimum) if isinstance(minimum, int) else 1


@dataclass(frozen=True)
class EventThreshold:
    """At least `count` events."""

    count: int

    @property
    def minimum_events(self) -> int:
        return self.count

    def __call__(self, session: Session) -> bool:
        return len(session.events) >= self.count


@dataclass(frozen=True)
class TokenThreshold:
    """At least `count` tokens."""

    count: int
    token_counter: TokenCounter = field(default=count_tokens, repr=False)
    minimum_events: int = field(default=1, init=False, repr=False)

    def __call__(self, session: Session) -> bool:
        messages = list_messages(session.events)
        return bool(messages) and self.token_counter(messages) >= self.count


@dataclass(frozen=True)
class TimeThreshold:
    """At least `seconds` since the last summary."""

    seconds: float
    clock: Callable[[], float] = field(default=time.time, repr=False)
    minimum_events: int = field(default=1, init=False, repr=False)

    def __call__(self, session: Session) -> bool:
        # An event without a message gives a summary nothing to tell.
        new = next((event for event in session.events if event.message is not None), None)
        if new is None:
            return False
        summary = session.summary
        start = summary.updated_at.timestamp() if summary else new.time_ns / 1e9
        return self.clock() - start >= self.seconds


@dataclass(frozen=True)
class AllOf:
    """All of them."""

    triggers: tuple[SummaryTrigger, ...]

    @property
    def minimum_events(self) -> int:
        return max(map(get_minimum_events, self.triggers))

    def __call__(self, session: Session) -> bool:
        return all(trigger(session) for trigger in self.triggers)


@dataclass(frozen=True)
class AnyOf:
    """One of them."""

    triggers: tuple[SummaryTrigger, ...]

    @property
    def minimum_events(self) -> int:
        return min(map(get_minimum_events, self.triggers))

    def __call__(self, session: Session) -> bool:
        return any(trigger(session) for trigger in self.triggers)


def check_trigger(name: str, trigger: object) -> None:
    """Raise a ConfigurationError unless this can be a trigger."""
    call = getattr(trigger, "__call__", None)  # noqa: B004  (an object's own may be async)
    if not callable(trigger) or isinstance(trigger, type):
        raise ConfigurationError(f"{name} takes functions of a Session, not {shorten(trigger)}")
    if inspect.iscoroutinefunction(trigger) or inspect.iscoroutinefunction(call):
        raise ConfigurationError(f"{name} can't take an async function: {shorten(trigger)}")


def check_int(name: str, value: int, least: int) -> int:
    """Give a whole number of at least `least` back.

    Raises:
        ConfigurationError: It is none.
    """
    if type(value) is not int or value < least:
        raise ConfigurationError(
            f"{name} must be a whole number from {least}, not {shorten(value)}"
        )
    return value


def check_number(name: str, value: float, *, above: float) -> None:
    """Raise a ConfigurationError unless this is a finite number above `above`."""
    if type(value) not in (int, float) or not above < value < math.inf:
        raise ConfigurationError(f"{name} must be a number above {above}, not {shorten(value)}")


def check_counter(counter: TokenCounter) -> TokenCounter:
    """Give a token counter back.

    Raises:
        ConfigurationError: It is no function of messages.
    """
    check_function("token_counter", counter, "messages")
    return counter


def _check_triggers(name: str, triggers: tuple[SummaryTrigger, ...]) -> tuple[SummaryTrigger, ...]:
    if not triggers:
        raise ConfigurationError(f"{name} needs at least one trigger")
    for trigger in triggers:
        check_trigger(name, trigger)
    return triggers
