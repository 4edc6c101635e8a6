"""When a session has enough that is new for another summary."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage

from langchain_redis_session import (
    ConfigurationError,
    Event,
    Session,
    SessionSummarizer,
    all_of,
    any_of,
    context_threshold,
    event_threshold,
    time_threshold,
    token_threshold,
)
from langchain_redis_session.summarizer import DEFAULT_TRIGGER, SummaryTrigger, get_minimum_events
from tests.integration.scripted import ScriptedModel
from tests.unit.summaries import make_session, make_summary, result

HUMAN, AI = HumanMessage("one two three"), AIMessage("four five")


def count_words(messages: list[BaseMessage]) -> int:
    return sum(len(message.text.split()) for message in messages)


def never(_: Session) -> bool:
    return False


def always(_: Session) -> bool:
    return True


def test_event_threshold_counts_events_without_messages_too() -> None:
    trigger = event_threshold(3)
    assert not trigger(make_session([HUMAN, AI]))
    assert trigger(make_session([HUMAN, AI, None]))
    assert trigger(make_session([HUMAN] * 4))


@pytest.mark.parametrize(("count", "fires"), [(5, True), (6, False)])
def test_token_threshold_counts_the_messages(count: int, fires: bool) -> None:
    trigger = token_threshold(count, token_counter=count_words)
    assert trigger(make_session([HUMAN, None, AI])) is fires


def test_token_threshold_counts_further_messages() -> None:
    event = Event(result("c1", "one"), further_messages=(result("c2", "two"),))
    assert token_threshold(2, token_counter=count_words)(make_session([event]))


def test_token_threshold_estimates_by_default() -> None:
    long, short = HumanMessage("word " * 400), HumanMessage("word")
    assert token_threshold(400)(make_session([long]))
    assert not token_threshold(400)(make_session([short]))


def test_no_messages_are_no_tokens_whatever_the_counter_says() -> None:
    assert not token_threshold(1, token_counter=lambda _: 10)(make_session([None]))
    assert not token_threshold(1, token_counter=lambda _: 10)(make_session([]))


@pytest.mark.parametrize(
    ("fraction", "window", "minimum", "fires"),
    [
        (0.5, 10, 0, True),
        (0.51, 10, 0, False),  # 5.1 tokens are 6
        (0.5, 11, 0, False),
        (1, 5, 0, True),
        (0.1, 10, 5, True),
        (0.1, 10, 6, False),
    ],
)
def test_a_context_threshold_fires_at_its_part_of_the_window(
    fraction: float, window: int, minimum: int, fires: bool
) -> None:
    trigger = context_threshold(fraction, window, minimum, token_counter=count_words)
    assert trigger(make_session([HUMAN, AI])) is fires


@pytest.mark.parametrize(("now", "fires"), [(9.5, False), (10, True), (11, True)])
def test_time_runs_from_the_first_new_event(now: float, fires: bool) -> None:
    # The event at second 0 has no message, the first message is of second 1.
    trigger = time_threshold(9, clock=lambda: now)
    assert trigger(make_session([None, HUMAN, AI])) is fires


@pytest.mark.parametrize(("now", "fires"), [(109, False), (110, True)])
def test_time_runs_from_the_last_summary(now: float, fires: bool) -> None:
    trigger = time_threshold(10, clock=lambda: now)
    assert trigger(make_session([HUMAN], make_summary(seconds=100))) is fires


def test_time_alone_is_nothing_new() -> None:
    trigger = time_threshold(10, clock=lambda: 1e9)
    assert not trigger(make_session([], make_summary()))
    assert not trigger(make_session([None], make_summary()))


def test_the_clock_is_the_time_by_default() -> None:
    assert time_threshold(10)(make_session([HUMAN]))
    assert not time_threshold(10)(make_session([Event(HUMAN)]))


@pytest.mark.parametrize("first", [never, always])
@pytest.mark.parametrize("second", [never, always])
def test_all_of_needs_both_and_any_of_one(first: SummaryTrigger, second: SummaryTrigger) -> None:
    session = make_session([])
    assert all_of(first, second)(session) is (first is second is always)
    assert any_of(first, second)(session) is not (first is second is never)


def test_later_triggers_are_only_asked_where_that_matters() -> None:
    def fail(_: Session) -> bool:
        raise AssertionError

    assert any_of(always, fail)(make_session([]))
    assert not all_of(never, fail)(make_session([]))


class WithMinimum:
    minimum_events = 7

    def __call__(self, session: Session) -> bool:
        return True


@pytest.mark.parametrize(
    ("trigger", "minimum"),
    [
        (event_threshold(8), 8),
        (token_threshold(8), 1),
        (context_threshold(0.5, 100), 1),
        (time_threshold(8), 1),
        (always, 1),
        (WithMinimum(), 7),
        (all_of(event_threshold(8), event_threshold(3), always), 8),
        (any_of(event_threshold(8), event_threshold(3)), 3),
        (any_of(event_threshold(8), always), 1),
        (all_of(any_of(event_threshold(8), event_threshold(5)), event_threshold(2)), 5),
        (DEFAULT_TRIGGER, 1),
    ],
)
def test_a_trigger_says_its_minimum_of_events(trigger: Any, minimum: int) -> None:
    assert get_minimum_events(trigger) == minimum
    if trigger is not always:
        assert trigger.minimum_events == minimum


@pytest.mark.parametrize("minimum", [0, -1, None, "3"])
def test_a_minimum_that_is_none_is_one(minimum: Any) -> None:
    trigger = WithMinimum()
    trigger.minimum_events = minimum
    assert get_minimum_events(trigger) == 1


async def fires_later(_: Session) -> bool:
    return True


class AsyncTrigger:
    async def __call__(self, session: Session) -> bool:
        return True


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: event_threshold(0), "count must be a whole number from 1, not 0"),
        (lambda: event_threshold(1.5), "not 1.5"),  # type: ignore[arg-type]
        (lambda: event_threshold(True), "not True"),
        (lambda: token_threshold(-1), "count must be"),
        (lambda: token_threshold(1, None), "token_counter must be a function"),  # type: ignore[arg-type]
        (lambda: context_threshold(0, 10), "fraction must be a number above 0, not 0"),
        (lambda: context_threshold(1.1, 10), "fraction is a part of 1 at most, not 1.1"),
        (lambda: context_threshold(float("nan"), 10), "fraction must be"),
        (lambda: context_threshold("0.5", 10), "fraction must be"),  # type: ignore[arg-type]
        (lambda: context_threshold(0.5, 0), "context_window must be"),
        (lambda: context_threshold(0.5, 10, -1), "minimum must be a whole number from 0"),
        (lambda: context_threshold(0.5, 10, 0, 5), "token_counter must be"),  # type: ignore[arg-type]
        (lambda: time_threshold(0), "seconds must be a number above 0"),
        (lambda: time_threshold(float("inf")), "seconds must be"),
        (lambda: time_threshold(1, clock=5), "clock must be a function, not 5"),  # type: ignore[arg-type]
        (lambda: all_of(), "all_of needs at least one trigger"),
        (lambda: any_of(), "any_of needs at least one trigger"),
        (lambda: all_of(always, 5), "all_of takes functions of a Session, not 5"),  # type: ignore[arg-type]
        (lambda: any_of(WithMinimum), "any_of takes functions"),  # type: ignore[arg-type]
        (lambda: any_of(fires_later), "any_of can't take an async function"),  # type: ignore[arg-type]
        (lambda: any_of(AsyncTrigger()), "any_of can't take an async"),  # type: ignore[arg-type]
    ],
)
def test_what_can_not_work_is_refused(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        make()


@pytest.mark.parametrize("trigger", [fires_later, 5, WithMinimum])
def test_a_summarizer_refuses_what_is_no_trigger(trigger: Any) -> None:
    with pytest.raises(ConfigurationError, match="trigger"):
        SessionSummarizer(ScriptedModel(), trigger=trigger)


def test_a_summarizer_asks_its_trigger() -> None:
    asked: list[Session] = []

    def trigger(session: Session) -> Any:
        asked.append(session)
        return "yes"

    session = make_session([AI])
    summarizer = SessionSummarizer(ScriptedModel(), trigger=trigger)
    assert summarizer.should_summarize(session) is True
    assert asked == [session]
    assert summarizer.trigger is trigger
    assert SessionSummarizer(ScriptedModel(), trigger=never).should_summarize(session) is False


def test_the_default_trigger_fires_at_forty_events_or_much_text() -> None:
    summarizer = SessionSummarizer(ScriptedModel())
    assert summarizer.trigger is DEFAULT_TRIGGER
    assert not summarizer.should_summarize(make_session([AI] * 39))
    assert summarizer.should_summarize(make_session([AI] * 40))
    assert summarizer.should_summarize(make_session([AIMessage("x" * 16_000)]))
    assert not summarizer.should_summarize(make_session([]))
