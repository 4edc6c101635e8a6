"""Reading stretches of a session's events or of a track."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import repeat, takewhile
from typing import Any, Generic, Protocol, TypeVar

from langchain_redis_session._codec.events import decode_event
from langchain_redis_session._flow.requests import Command, Flow, Unreadable
from langchain_redis_session._flow.scripts import ScriptCall
from langchain_redis_session._keys.zset import SessionKeys
from langchain_redis_session._operations.bounds import Bounds
from langchain_redis_session._operations.context import Context
from langchain_redis_session._operations.matching import is_human, is_result, is_system
from langchain_redis_session.errors import CorruptEventError
from langchain_redis_session.models import Event
from langchain_redis_session.scripts import bindings
from langchain_redis_session.scripts.replies import Page

_SMALLEST_PAGE, _LARGEST_PAGE = 64, 1000
_MOST_IN_FRONT = 4
_MOST_ENTRIES = 2**53  # Lua's numbers are exact up to here


class Scored(Protocol):
    """What stands in a sorted set: an `Event` or a `TrackEvent`."""

    score: float | None


S = TypeVar("S", bound=Scored)


@dataclass(kw_only=True)
class Stretch(Generic[S]):
    """What a read has gathered, and how it goes on.

    `items` are newest first until `finish`. `is_cut` tells whether older entries were
    left out or removed by retention. Without `needs_scores`, items may lack their score. In
    front stand the system messages that a summary leaves as they are and, with `reads_front`,
    those that the session begins with.
    """

    context: Context
    key: bytes
    bounds: Bounds
    decode: Callable[[bytes], S]
    event_limit: int | None
    wants: Callable[[S], bool] = lambda _item: True
    needs_scores: bool = True
    reads_front: bool = False
    items: list[S] = field(default_factory=list)
    is_cut: bool = False
    _first: list[bytes] = field(default_factory=list)
    _kept: Sequence[tuple[bytes, bytes]] = ()
    _next_highest: str = ""
    _seen: set[bytes] = field(default_factory=set)
    _asked: int | None = 0
    _is_done: bool = False
    _skipped: int = 0

    def ask_first(self) -> int | None:
        """How many entries the first page has to bring; None = all."""
        limit = self.bounds.limit
        self._asked = limit and min(limit + self.bounds.offset, _MOST_ENTRIES)
        return self._asked

    def first_read(self) -> ScriptCall[Page] | Command:
        """What reads the first page; `take_first` takes in its reply."""
        if self._needs_no_script():
            return ("ZREVRANGE", self.key, 0, -1)
        return self._read_page(self.bounds.highest, self.ask_first())

    def _read_page(self, highest: str, count: int | None) -> ScriptCall[Page]:
        return bindings.read_events(
            self.key, highest=highest, lowest=self.bounds.lowest, count=count
        )

    def _needs_no_script(self) -> bool:
        # A script's reply passes through Lua, which takes as long again; scores take time too.
        # They are needed to go on behind a page, and in the error of a strict read.
        return self.bounds.is_everything and not self.needs_scores and not self.bounds.strict

    def front_reads(self) -> list[Command]:
        """What reads the session's first entries where they are asked for."""
        return [("ZRANGE", self.key, 0, _MOST_IN_FRONT - 1)] if self.reads_front else []

    def take_front(self, *replies: list[bytes]) -> None:
        """Take in the replies to `front_reads`, before `finish`."""
        for entries in replies:
            self._first = entries
            self.context.counters.bytes_in += sum(map(len, entries))

    def take_kept(self, entries: Sequence[tuple[bytes, bytes]]) -> None:
        """Take in entries of system messages, with their scores, before `finish`."""
        self._kept = entries
        self.context.counters.bytes_in += sum(len(entry) for entry, _ in entries)

    def take_first(self, reply: Page | list[bytes]) -> None:
        """Take in the reply to `first_read`."""
        if isinstance(reply, Page):
            self.take(reply)
            return
        self._is_done = True
        self.is_cut = self._is_full(len(reply))
        self.context.counters.bytes_in += sum(map(len, reply))
        self._gather(zip(reply, repeat(b"")))

    def take(self, page: Page) -> None:
        """Take in one page, newest first."""
        entries, scores = page.entries, page.scores
        self._is_done = self._asked is None or len(entries) < self._asked
        self.is_cut = page.older > 0 or self._is_full(page.size)
        self.context.counters.bytes_in += sum(map(len, entries))
        self._gather(zip(entries, scores, strict=True))
        if entries and not self._is_done:
            # Scores of a foreign writer may be equal: start at the last one once more.
            last = scores[-1]
            self._next_highest = last.decode()
            self._seen = {
                entry for entry, score in zip(entries, scores, strict=True) if score == last
            }

    def _is_full(self, size: int) -> bool:
        return self.event_limit is not None and size >= self.event_limit

    def _gather(self, entries: Iterable[tuple[bytes, bytes]]) -> None:
        decode, seen, wants, items = self.decode, self._seen, self.wants, self.items
        for entry, score in entries:
            if seen and entry in seen:  # to look into an empty set would hash the entry
                continue
            try:
                item = decode(entry)
            except CorruptEventError as error:
                self._skip(score, error)
                continue
            if score:
                item.score = float(score)
            if wants(item):
                items.append(item)

    def _skip(self, score: bytes, error: CorruptEventError) -> None:
        if self.bounds.strict:
            raise CorruptEventError(
                f"an entry of {self.key.decode()} at score {score.decode()} can't be read: "
                f"{error}; read without strict=True to skip it"
            ) from error
        self._skipped += 1

    def _take_skipped(self) -> Unreadable:
        count, self._skipped = self._skipped, 0
        return self.context.unreadable(self.key, count=count)

    def read_until(self, is_enough: Callable[[], bool]) -> Flow[None]:
        """Read further pages, back from the oldest entry seen, until it is enough."""
        if self._skipped:
            yield self._take_skipped()
        more = _SMALLEST_PAGE
        while not self._is_done and not is_enough():
            self._asked = more + len(self._seen)
            self.take((yield from self._read_page(self._next_highest, self._asked)))
            if self._skipped:
                yield self._take_skipped()
            more = min(more * 2, _LARGEST_PAGE)

    def read(self) -> Flow[None]:
        """Read what the bounds ask for, from the first page on."""
        request = self.first_read()
        if isinstance(request, ScriptCall):
            self.take((yield from request))
        else:
            self.take_first((yield request))
        yield from self.finish()

    def finish(self) -> Flow[None]:
        """Top up what was skipped, find the start that was asked for, put oldest first."""
        bounds, items = self.bounds, self.items
        if self._skipped:
            yield self._take_skipped()
        if bounds.limit is not None:
            wanted = bounds.limit + bounds.offset
            if bounds.limit:
                yield from self.read_until(lambda: len(items) >= wanted)
            beyond = items[wanted:] if bounds.limit else []
            self.is_cut = self.is_cut or bool(beyond)
        else:
            wanted, beyond = len(items), []
        stretch = items[bounds.offset : wanted]
        if bounds.start_on == "human" and stretch:
            stretch = yield from self._start_on_human(stretch, beyond)
        if bounds.for_model and stretch and not any(map(is_human, stretch)):
            stretch = yield from self._keep_turn(stretch, beyond)
        stretch.reverse()
        has_front = self._first or self._kept
        self.items = [*self._find_front(stretch), *stretch] if has_front else stretch

    def _start_on_human(self, stretch: list[S], beyond: list[S]) -> Flow[list[S]]:
        last = _find_last(stretch, is_human)
        if last is not None:
            self.is_cut = self.is_cut or last + 1 < len(stretch)
            return stretch[: last + 1]
        earlier = self.items
        earlier[:] = beyond
        yield from self.read_until(lambda: any(map(is_human, earlier)))
        place = next((i for i, item in enumerate(earlier) if is_human(item)), None)
        if place is None:
            self.is_cut = True
            return []
        self.is_cut = self.is_cut or place > 0
        return [*stretch, earlier[place]]

    def _keep_turn(self, stretch: list[S], beyond: list[S]) -> Flow[list[S]]:
        """Go back to the last user message; where there is none, to the last call."""
        earlier = self.items
        earlier[:] = beyond
        yield from self.read_until(lambda: any(map(is_human, earlier)))
        place = next((i for i, item in enumerate(earlier) if is_human(item)), None)
        if place is None:
            place = next((i for i, item in enumerate(earlier) if not is_result(item)), -1)
        self.is_cut = self.is_cut or place + 1 < len(earlier)
        return [*stretch, *earlier[: place + 1]]

    def _find_front(self, stretch: list[S]) -> list[S]:
        """The system messages from before the stretch, oldest first."""
        found = [*takewhile(is_system, map(self._decode_front, self._first))]
        for entry, score in self._kept:
            item = self._decode_front(entry)
            if item is not None and is_system(item):
                item.score = float(score)
                found.append(item)
        known = {_get_id(item) for item in stretch if is_system(item)}
        front = {_get_id(item): item for item in found if item is not None}
        return [item for id_, item in front.items() if id_ not in known]

    def _decode_front(self, entry: bytes) -> S | None:
        try:
            return self.decode(entry)
        except CorruptEventError:
            return None


def _get_id(item: Any) -> Any:
    return item.id


def _find_last(items: list[S], condition: Callable[[S], bool]) -> int | None:
    return next((i for i in range(len(items) - 1, -1, -1) if condition(items[i])), None)


def make_event_stretch(
    context: Context,
    keys: SessionKeys,
    bounds: Bounds,
    wants: Callable[[Event], bool] = lambda _event: True,
    *,
    needs_scores: bool = True,
    since_summary: bool = False,
) -> Stretch[Event]:
    """A stretch on a session's events."""
    limit = context.options.session_event_limit
    return Stretch(
        context=context,
        key=keys.events,
        bounds=bounds,
        decode=decode_event,
        event_limit=None if limit == "session" else limit,
        wants=wants,
        needs_scores=needs_scores,
        reads_front=bounds.for_model and (since_summary or not bounds.is_everything),
    )
