"""Showing never raises, whatever an object holds; what a signal's handler raises goes on."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import signal
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from langchain_core.messages import HumanMessage

import langchain_redis_session as package
from langchain_redis_session import (
    Event,
    RedisSessionChatMessageHistory,
    RedisSessionService,
    Run,
    RunTree,
    ServiceStats,
    Session,
    SessionKey,
    Summary,
    SummaryBoundary,
    TrackEvent,
)
from langchain_redis_session._display import guard, lists, markdown
from langchain_redis_session._display.guard import attempt, is_guarded
from tests.unit.display.pages import read_page

DISPLAY = Path(guard.__file__).parent
NOW = datetime(2026, 11, 26, tzinfo=timezone.utc)
SHOWN_BY = ("__repr__", "_repr_html_")

# Whose `repr` is made elsewhere, or by Python of what can't fail.
NOT_OURS = {"RedisSessionMemory", "RedisSessionMiddleware"}


class Odd:
    """Fails at whatever is asked of it."""

    def __getattribute__(self, name: str) -> Any:
        raise OverflowError("no <b>value</b> \ud800")

    def __repr__(self) -> str:
        raise OverflowError("no <b>value</b> \ud800")

    __str__ = __repr__
    __len__ = __iter__ = __bool__ = __hash__ = __repr__  # type: ignore[assignment]


KEY = SessionKey("shop", "ann", "s1")


def make_shown() -> Iterator[Any]:
    odd: Any = Odd()
    boundary = SummaryBoundary(1.0, "e", 10**5000)
    session = Session(KEY, odd, odd, odd, odd, odd, summary=odd, missing=odd)
    event = Event(odd, odd, odd, state_delta=odd, extra=odd, id=odd, time_ns=odd)
    track_event = TrackEvent(odd, odd, id=odd, time_ns=odd)
    run = Run(odd, odd, odd, start_ns=odd, usage=odd, error=odd, tags=odd, children=odd)
    summary = Summary(odd, odd, boundary, odd, odd)
    yield from (session, event, track_event, summary, run, RunTree((run,)), RunTree(odd))
    yield from (lists.SessionList([session]), lists.EventList([event]))
    yield from (lists.TrackEventList([track_event]), lists.SummaryList([summary]))
    yield from (lists.SessionList([odd]), lists.EventList([odd, odd]))
    yield ServiceStats(odd, odd, odd, odd, odd, odd, odd, odd, odd)


def name_type(value: object) -> str:
    return type(value).__name__


@pytest.mark.parametrize("shown", list(make_shown()), ids=name_type)
def test_no_page_raises_whatever_the_object_holds(shown: Any) -> None:
    text = shown._repr_html_()
    assert text.encode()
    assert "<b>value</b>" not in text
    if "can't be shown" in text:
        assert text.startswith(f"<pre>{type(shown).__name__} can&#x27;t be shown: OverflowError")


@pytest.mark.parametrize(
    "shown",
    [
        *(shown for shown in make_shown() if not isinstance(shown, list)),
        SummaryBoundary(1.0, "e", 10**5000),
    ],
    ids=name_type,
)
def test_no_repr_raises_whatever_the_object_holds(shown: Any) -> None:
    assert type(shown).__name__ in repr(shown)
    assert str(shown)
    assert len(repr(shown)) < 1000


def test_one_odd_value_does_not_hide_the_rest() -> None:
    events = [Event(HumanMessage("hi"), state_delta={"a": Odd()}), Event(HumanMessage("bye"))]
    session = Session(KEY, {"odd": Odd(), "n": 1}, events, ("t",), NOW, NOW)
    page = read_page(session._repr_html_())
    assert {"hi", "bye", "odd", "<Odd>", "n", "1"} <= set(page.texts)


def test_a_history_says_what_kept_it_from_being_read() -> None:
    service = RedisSessionService("redis://127.0.0.1:1")
    text = RedisSessionChatMessageHistory("s1", service=service)._repr_html_()
    assert "RedisSessionChatMessageHistory can&#x27;t be shown: BackendUnavailableError" in text


def shown_classes() -> Iterator[type]:
    """Public classes, and the lists that methods return, which show themselves somehow."""
    classes = [getattr(package, name) for name in package.__all__]
    classes += [lists.EventList, lists.SessionList, lists.SummaryList, lists.TrackEventList]
    for found in classes:
        if not inspect.isclass(found) or issubclass(found, BaseException):
            continue
        if found.__name__ not in NOT_OURS:
            yield found


def test_whatever_shows_an_object_is_guarded() -> None:
    wrong = [
        f"{found.__name__}.{name}"
        for found in shown_classes()
        for name in SHOWN_BY
        if (
            (method := getattr(found, name, None)) is not None
            and getattr(method, "__module__", "").startswith(package.__name__)
        )
        or (name == "__repr__" and dataclasses.is_dataclass(found))
        if not is_guarded(getattr(found, name))
    ]
    assert not wrong


def test_display_catches_in_one_place_only() -> None:
    found = [
        path.name
        for path in sorted(DISPLAY.glob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Try) or getattr(node, "attr", "") == "suppress"
    ]
    assert found == ["guard.py"]


# Signals


class TimeIsUpError(Exception):
    pass


def raise_it(signum: int, frame: FrameType | None) -> None:
    raise TimeIsUpError


class Handler:
    def __call__(self, *args: Any) -> None:
        raise TimeIsUpError

    def handle(self, signum: int, frame: FrameType | None) -> None:
        raise_it(signum, frame)


class Signalling:
    """Is interrupted while it is shown."""

    def __repr__(self) -> str:
        signal.raise_signal(signal.SIGUSR1)
        return "shown"


HANDLERS = [raise_it, Handler(), Handler().handle, partial(raise_it), lambda *args: raise_it(*args)]


@pytest.mark.parametrize("handler", HANDLERS, ids=["function", "object", "method", "partial", "λ"])
@pytest.mark.parametrize(
    "show",
    [
        lambda value: repr(Event(state_delta={"a": value}, time_ns=0)),
        lambda value: Session(KEY, {"a": value}, [], (), NOW, NOW)._repr_html_(),
        lambda value: lists.EventList([Event(extra={"a": value}, time_ns=0)])._repr_html_(),
    ],
    ids=["repr", "session", "events"],
)
def test_what_a_signals_handler_raises_goes_on(
    show: Callable[[Any], str], handler: Callable[..., Any]
) -> None:
    before = signal.signal(signal.SIGUSR1, handler)
    try:
        with pytest.raises(TimeIsUpError):
            show(Signalling())
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_an_error_that_is_no_signals_goes_nowhere() -> None:
    def look(frame: str) -> str:
        raise TimeIsUpError(frame)

    assert attempt(lambda: look("a frame"), lambda error: "instead") == "instead"


def test_an_interrupt_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(text: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(markdown, "_render_blocks", interrupt)
    with pytest.raises(KeyboardInterrupt):
        Session(KEY, {}, [Event(HumanMessage("hi"))], (), NOW, NOW)._repr_html_()
