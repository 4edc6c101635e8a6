"""What of a session a model is given: a window that providers accept. Shared by adapters."""

from __future__ import annotations

import warnings
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from langchain_core.messages import BaseMessage, SystemMessage, ToolMessage

from langchain_redis_session._actions.open_calls import (
    OpenToolCalls,
    check_open_tool_calls,
    close_calls,
    is_made_answer,
)
from langchain_redis_session._codec.session_record import WINDOW_PREFIX
from langchain_redis_session._operations.reading import WindowSession
from langchain_redis_session._summarizer.tokens import count_tokens
from langchain_redis_session.config import check_function
from langchain_redis_session.errors import ConfigurationError, shorten
from langchain_redis_session.models import Event, SummarizedMessages, Summary, is_from_user

TokenCounter = Callable[[list[BaseMessage]], int]


def format_summary(summary: Summary) -> str:
    """Say what a summary is, for a model: the text of the message that stands for it."""
    return f"Summary of the conversation so far:\n{summary.text}"


@dataclass(frozen=True, slots=True)
class ModelWindow:
    """How much of a session a model is given.

    Where something older is cut off, the window begins at a user message, with the summary and
    the system messages in front. The running turn, which is the last user message and what
    follows it, counts, too. Where it is too long by itself, its user message and as much of its
    end as fits stay, at least its last message with its calls' results.

    Attributes:
        max_messages: The most messages, those in front included; answers made for open calls
            don't count. None = all.
        max_tokens: The most tokens; None = all.
        token_counter: Counts the tokens of messages.
        format_summary: Makes the message in front of a `Summary`: a text or a message.
        start_on: "human" = begin at a user message where something was cut off; None = where
            the cut falls, but at no tool result.
        open_tool_calls: What to do with calls that have no result; see `close_calls`.
        stable: Whether the cut stays where it is until a limit is reached, and then moves so far
            that half of it is left: between cuts each window begins as the one before.

    Raises:
        ConfigurationError: A limit is no whole number from 1, or another option can't be used.
    """

    max_messages: int | None = None
    max_tokens: int | None = None
    token_counter: TokenCounter = count_tokens
    format_summary: Callable[[Summary], BaseMessage | str] = format_summary
    start_on: Literal["human"] | None = "human"
    open_tool_calls: OpenToolCalls = "answer"
    stable: bool = False

    def __post_init__(self) -> None:
        limits = {"max_messages": self.max_messages, "max_tokens": self.max_tokens}
        for name, most in limits.items():
            if most is not None and (type(most) is not int or most < 1):
                raise ConfigurationError(
                    f"{name} must be a whole number from 1, or None, not {shorten(most)}"
                )
        check_function("token_counter", self.token_counter, "messages")
        check_function("format_summary", self.format_summary, "summary")
        if self.start_on not in ("human", None):
            raise ConfigurationError(
                f'start_on must be "human" or None, not {shorten(self.start_on)}'
            )
        check_open_tool_calls(self.open_tool_calls)
        if not isinstance(self.stable, bool):
            raise ConfigurationError(
                f"stable_window must be True or False, not {shorten(self.stable)}"
            )
        if self.stable and not self.is_limited:
            raise ConfigurationError("stable_window=True needs max_messages or max_tokens")

    @property
    def is_limited(self) -> bool:
        """Whether there is a limit at all."""
        return self.max_messages is not None or self.max_tokens is not None

    @property
    def name(self) -> str:
        """The state name that holds where a stable window of this size begins."""
        return f"{WINDOW_PREFIX}{self.max_messages or 0}:{self.max_tokens or 0}"

    def move_begin(
        self, older: Sequence[BaseMessage], running: Sequence[BaseMessage], begin: int | None
    ) -> int:
        """Find where a stable window begins.

        Args:
            older: The messages before the running turn.
            running: Those of the running turn.
            begin: Where in `older` it has begun until now; None = before it.

        Returns:
            Where it begins: there while that fits, else at the first user message from which on
            half of the limits are enough; at the end of `older` if there is none.
        """
        fronts = [message for message in older if message.type == "system"]

        def fits(window: ModelWindow, start: int) -> bool:
            talk = [message for message in older[start:] if message.type != "system"]
            return window._fits([*fronts, *talk, *running])

        if begin is not None and fits(self, begin):
            return begin
        half = replace(
            self,
            max_messages=self.max_messages and max(1, self.max_messages // 2),
            max_tokens=self.max_tokens and max(1, self.max_tokens // 2),
        )
        starts = [
            place
            for place in range(0 if begin is None else begin + 1, len(older))
            if is_from_user(older[place])
            or (self.start_on is None and not isinstance(older[place], ToolMessage))
        ]
        first = bisect_left(starts, True, key=lambda start: fits(half, start))
        return starts[first] if first < len(starts) else len(older)

    def make(
        self,
        messages: Sequence[BaseMessage],
        *,
        summary: Summary | None = None,
        is_cut: bool = False,
        following: Sequence[BaseMessage] = (),
    ) -> list[BaseMessage]:
        """Make the window.

        Args:
            messages: What was read, oldest first.
            summary: What stands for the messages before these.
            is_cut: Whether there are older messages that were not read, for whatever reason.
            following: What is to be put behind the window; see `close_calls`. It doesn't count.

        Returns:
            What the model is given, system messages in front. Nothing is dropped where nothing
            was cut off.
        """
        closed = close_calls(messages, self.open_tool_calls, following)
        front = [message for message in closed if message.type == "system"]
        talk = [message for message in closed if message.type != "system"] if front else closed
        if summary is None and not is_cut and self._fits(front + talk):
            return front + talk
        if summary is not None:
            window = self._cut(_join_fronts(front, self._show(summary)), talk)
            if window is not None:
                return window
        window = self._cut(front, talk)
        return window if window is not None else self._keep_running_turn(front, talk)

    def _cut(self, front: list[BaseMessage], talk: list[BaseMessage]) -> list[BaseMessage] | None:
        """Cut where the limits want it; None if the running turn does not fit."""
        start = 0
        if not self._fits(front + talk):
            # The longest end that fits begins where shorter ones begin to.
            start = bisect_left(range(len(talk)), True, key=lambda s: self._fits(front + talk[s:]))
        last_human = _find_last_human(talk)
        if last_human is None:
            begin = _skip_results(talk, start)
            # Where nothing fits, the last message stays all the same.
            return None if begin == len(talk) and talk else front + talk[begin:]
        if start > last_human:
            return None
        if self.start_on is None:
            return front + talk[_skip_results(talk, start) :]
        while not is_from_user(talk[start]):
            start += 1
        return front + talk[start:]

    def _keep_running_turn(
        self, front: list[BaseMessage], talk: list[BaseMessage]
    ) -> list[BaseMessage]:
        """The running turn's user message, and as much of its end as fits."""
        place = _find_last_human(talk)
        head = [*front, *([] if place is None else [talk[place]])]
        rest = talk if place is None else talk[place + 1 :]
        begins = [i for i, message in enumerate(rest) if not isinstance(message, ToolMessage)]
        # The shortest end stays, whether it fits or not.
        first = bisect_left(begins[:-1], True, key=lambda i: self._fits(head + rest[i:]))
        window = head + (rest[begins[first] :] if begins else [])
        if not self._fits(window):
            warnings.warn(
                "the last user message, with what a model needs to go on, is over max_messages "
                "or max_tokens; it is given all the same",
                stacklevel=5,
            )
        return window

    def _fits(self, messages: list[BaseMessage]) -> bool:
        if self.max_messages is not None and len(messages) > self.max_messages:
            counted = sum(not is_made_answer(message) for message in messages)
            if counted > self.max_messages:
                return False
        return self.max_tokens is None or self.token_counter(messages) <= self.max_tokens

    def _show(self, summary: Summary) -> BaseMessage:
        shown = self.format_summary(summary)
        if isinstance(shown, BaseMessage):
            return shown
        if not isinstance(shown, str):
            raise ConfigurationError(
                f"format_summary must give a text or a message, not {type(shown).__name__}"
            )
        return SystemMessage(shown)


def list_with_events(events: Iterable[Event]) -> list[tuple[BaseMessage, str]]:
    """The messages of events, each with the id of its event."""
    return [
        (message, event.id)
        for event in events
        if event.message is not None
        for message in (event.message, *event.further_messages)
    ]


def find_cut(session: WindowSession, event_ids: Sequence[str], cut: str | None) -> int | None:
    """Where in a session's messages a stable window has begun; None = before those read."""
    if cut in event_ids:
        return event_ids.index(cut)
    return None if session.is_cut else 0


def begin_stable(
    window: ModelWindow, session: WindowSession | None, *, with_summary: bool
) -> tuple[SummarizedMessages, str]:
    """Let a session's stable window begin where it did, or where its cut is moved to.

    Returns:
        What the window is made of; and the event that it begins with, where that has changed.
    """
    if session is None:
        return SummarizedMessages(None, []), ""
    pairs = list_with_events(session.events)
    messages, event_ids = [message for message, _ in pairs], [event_id for _, event_id in pairs]
    last_human = _find_last_human(messages)
    end = len(messages) if last_human is None else last_human
    cut = session.cuts.get(window.name)
    before = find_cut(session, event_ids, cut)
    begin = window.move_begin(messages[:end], messages[end:], before)
    fronts = [message for message in messages[:begin] if message.type == "system"]
    found = SummarizedMessages(
        session.summary if with_summary else None,
        [*fronts, *messages[begin:]],
        session.is_cut or begin > 0,
    )
    return found, event_ids[begin] if begin != before and begin < len(event_ids) else ""


def _join_fronts(front: list[BaseMessage], summary: BaseMessage) -> list[BaseMessage]:
    """Beside a summary there is one system message: some providers want no second one."""
    if not isinstance(summary, SystemMessage):
        return [*_join(front), summary]
    return _join([*front, summary])


def _join(messages: list[BaseMessage]) -> list[BaseMessage]:
    """Make one system message of all."""
    if len(messages) < 2:
        return messages
    parts = [message.content for message in messages]
    if all(isinstance(part, str) for part in parts):
        return [SystemMessage("\n\n".join(str(part) for part in parts))]
    blocks: list[Any] = []
    for part in parts:
        blocks += [{"type": "text", "text": part}] if isinstance(part, str) else part
    return [SystemMessage(blocks)]


def _find_last_human(talk: list[BaseMessage]) -> int | None:
    places = (i for i in range(len(talk) - 1, -1, -1) if is_from_user(talk[i]))
    return next(places, None)


def _skip_results(talk: list[BaseMessage], start: int) -> int:
    while start < len(talk) and isinstance(talk[start], ToolMessage):
        start += 1
    return start
