"""Reading stretches of a session's events or of a track."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any, Generic, Protocol, TypeVar

from langchain_redis_session._codec.events import decode_event
from langchain_redis_session._flow.requests import Argument, Command, Flow
from langchain_redis_session._flow.scripts import ScriptCall, call_script
from langchain_redis_session._keys.zset import SessionKeys
from langchain_redis_session._operations.bounds import Bounds
from langchain_redis_session._operations.context import Context
from langchain_redis_session.errors import CorruptEventError
from langchain_redis_session.models import Event, SessionKey

_SMALLEST_PAGE, _LARGEST_PAGE = 64, 1000
_MOST_ENTRIES = 2**53  # Lua's numbers are exact up to here


class Scored(Protocol):
    """What stands in a sorted set: an `Event` or a `TrackEvent`."""

    score: float | None


S = TypeVar("S", bound=Scored)


@dataclass
class Window(Generic[S]):
    """What a read has gathered, and how it goes on.

    `items` are newest first until `finish`. `is_cut` tells whether older entries were
    left out or removed by retention. Without `needs_scores`, items may lack their score.
    """

    context: Context
    key: bytes
    bounds: Bounds
    decode: Callable[[bytes], S]
    event_limit: int | None
    wants: Callable[[S], bool] = lambda _item: True
    needs_scores: bool = True
    items: list[S] = field(default_factory=list)
    is_cut: bool = False
    _next_highest: str = ""
    _seen: set[bytes] = field(default_factory=set)
    _asked: int = 0
    _is_done: bool = False
    _skipped: int = 0

    def first_args(self) -> list[Argument]:
        """The arguments of the first read: highest, lowest, offset, count."""
        bounds = self.bounds
        wanted = None if bounds.limit is None else bounds.limit + bounds.offset
        self._asked = -1 if wanted is None else min(wanted, _MOST_ENTRIES)
        if bounds.limit == 0:
            self._asked = 0
        return [bounds.highest, bounds.lowest, 0, self._asked]

    def first_read(self) -> ScriptCall | Command:
        """What reads the first page; `take_first` takes in its reply."""
        if self._needs_no_script():
            return ("ZREVRANGE", self.key, 0, -1)
        return ScriptCall("read_events", [self.key], ["newest", *self.first_args()])

    def _needs_no_script(self) -> bool:
        # A script's reply passes through Lua, which takes as long again; scores take time too.
        # They are needed to go on behind a page, and in the error of a strict read.
        return self.bounds.is_everything and not self.needs_scores and not self.bounds.strict

    def take_first(self, reply: list[Any]) -> None:
        """Take in the reply to `first_read`."""
        if self._needs_no_script():
            self._is_done = True
            self.is_cut = self._is_full(len(reply))
            self.context.counters.bytes_in += sum(map(len, reply))
            self._gather(zip(reply, repeat(b"")))
        else:
            self.take(*reply)

    def take(self, size: int, older: int, entries: list[bytes]) -> None:
        """Take in one page, newest first."""
        count = len(entries) // 2
        self._is_done = self._asked < 0 or count < self._asked
        self.is_cut = older > 0 or self._is_full(size)
        self.context.counters.bytes_in += sum(map(len, entries[::2]))
        self._gather(zip(entries[::2], entries[1::2], strict=True))
        if entries and not self._is_done:
            # Scores of a foreign writer may be equal: start at the last one once more.
            self._next_highest = entries[-1].decode()
            self._seen = {
                entry
                for entry, score in zip(entries[::2], entries[1::2], strict=True)
                if score == entries[-1]
            }

    def _is_full(self, size: int) -> bool:
        return self.event_limit is not None and size >= self.event_limit

    def _gather(self, entries: Iterable[tuple[bytes, bytes]]) -> None:
        seen, wants, items = self._seen, self.wants, self.items
        for entry, score in entries:
            if seen and entry in seen:  # to look into an empty set would hash the entry
                continue
            item = self._read(entry, score)
            if item is not None and wants(item):
                items.append(item)

    def _read(self, entry: bytes, score: bytes) -> S | None:
        try:
            item = self.decode(entry)
        except CorruptEventError as error:
            if self.bounds.strict:
                raise CorruptEventError(
                    f"an entry of {self.key.decode()} at score {score.decode()} can't be read: "
                    f"{error}; read without strict=True to skip it"
                ) from error
            self._skipped += 1
            return None
        if score:
            item.score = float(score)
        return item

    def _report_skipped(self) -> Flow[None]:
        if self._skipped:
            count, self._skipped = self._skipped, 0
            yield self.context.unreadable(self.key, count=count)

    def read_until(self, is_enough: Callable[[], bool]) -> Flow[None]:
        """Read further pages, back from the oldest entry seen, until it is enough."""
        page = _SMALLEST_PAGE
        while not self._is_done and not is_enough():
            self._asked = page + len(self._seen)
            reply = yield from call_script(
                "read_events",
                [self.key],
                ["newest", self._next_highest, self.bounds.lowest, 0, self._asked],
            )
            self.take(*reply)
            yield from self._report_skipped()
            page = min(page * 2, _LARGEST_PAGE)

    def read(self) -> Flow[None]:
        """Read what the bounds ask for, from the first page on."""
        request = self.first_read()
        if isinstance(request, ScriptCall):
            reply = yield from call_script(request.name, request.keys, request.args)
        else:
            reply = yield request
        self.take_first(reply)
        yield from self.finish()

    def finish(self) -> Flow[None]:
        """Top up what was skipped, find the start that was asked for, put oldest first."""
        bounds, items = self.bounds, self.items
        yield from self._report_skipped()
        if bounds.limit is not None:
            wanted = bounds.limit + bounds.offset
            if bounds.limit:
                yield from self.read_until(lambda: len(items) >= wanted)
            beyond = items[wanted:] if bounds.limit else []
            self.is_cut = self.is_cut or bool(beyond)
        else:
            wanted, beyond = len(items), []
        window = items[bounds.offset : wanted]
        if bounds.start_on == "human" and window:
            window = yield from self._start_on_human(window, beyond)
        window.reverse()
        self.items = window

    def _start_on_human(self, window: list[S], beyond: list[S]) -> Flow[list[S]]:
        last = _find_last(window, is_human)
        if last is not None:
            self.is_cut = self.is_cut or last + 1 < len(window)
            return window[: last + 1]
        earlier = self.items
        earlier[:] = beyond
        yield from self.read_until(lambda: any(map(is_human, earlier)))
        place = next((i for i, item in enumerate(earlier) if is_human(item)), None)
        if place is None:
            return window
        self.is_cut = self.is_cut or place > 0
        return [*window, earlier[place]]


def _find_last(items: list[S], condition: Callable[[S], bool]) -> int | None:
    return next((i for i in range(len(items) - 1, -1, -1) if condition(items[i])), None)


def is_human(item: Any) -> bool:
    """Whether an event holds a user's message."""
    message = getattr(item, "message", None)
    return message is not None and message.type == "human"


def has_message(event: Event) -> bool:
    """Whether an event holds a message."""
    return event.message is not None


def make_event_window(
    context: Context,
    keys: SessionKeys,
    bounds: Bounds,
    wants: Callable[[Event], bool] = lambda _event: True,
    *,
    needs_scores: bool = True,
) -> Window[Event]:
    """A window on a session's events."""
    limit = context.options.session_event_limit
    return Window(context, keys.events, bounds, decode_event, limit, wants, needs_scores)


def refresh_call(context: Context, key: SessionKey) -> ScriptCall:
    """What starts a session's lifetime anew."""
    keys = context.keyspace.session(key)
    return ScriptCall(
        "refresh_ttl",
        keys.common,
        [
            keys.session_field,
            context.options.session_ttl,
            context.field_ttl_flag,
            keys.summary_field,
        ],
    )
