"""Entries of a sorted set, a page at a time and without a script: Lua takes as long again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias, TypeVar

from langchain_redis_session._codec.events import decode_event
from langchain_redis_session._flow.requests import Command, Flow, compute, set_apart
from langchain_redis_session._operations.bounds import format_score
from langchain_redis_session._operations.context import Context
from langchain_redis_session.errors import CorruptEventError
from langchain_redis_session.models import Event
from langchain_redis_session.scripts.bindings import End

LARGEST_PAGE = 5000
"""What one request brings of a long read, so that others have their turn between two."""

PAGE_BYTES = 1024 * 1024
"""About the most that a page of a walk brings; events may be large."""
_FIRST_COUNT = 16

Page: TypeAlias = "tuple[Sequence[bytes], Sequence[bytes | float]]"
"""Entries, and the score of each."""
T = TypeVar("T")


class StoredEvent(NamedTuple):
    """An event, and the entry that it was read from."""

    entry: bytes
    event: Event


def page_command(
    key: bytes, *, first: End, highest: str = "+inf", lowest: str = "-inf", count: int
) -> Command:
    """What reads entries with their scores, from one end on."""
    ends = ("ZREVRANGEBYSCORE", key, highest, lowest)
    if first is End.OLDEST:
        ends = ("ZRANGEBYSCORE", key, lowest, highest)
    return set_apart((*ends, "WITHSCORES", "LIMIT", 0, count), count)


def parse_page_reply(reply: Sequence[Any]) -> Page:
    """Read the reply to a `page_command`.

    >>> parse_page_reply([b"a", b"2"])
    ([b'a'], [b'2'])
    >>> parse_page_reply([[b"a", 2.0]])  # RESP3
    ([b'a'], [2.0])
    """
    if reply and isinstance(reply[0], list):
        return [entry for entry, _ in reply], [score for _, score in reply]
    return list(reply[::2]), list(reply[1::2])


def find_repeated(page: Page) -> set[bytes]:
    """The entries that stand at the last one's score, at which the next page starts.

    A foreign writer's scores may be equal.

    >>> sorted(find_repeated(([b"a", b"b", b"c"], [3, 2, 2])))
    [b'b', b'c']
    """
    repeated = set()
    for entry, score in zip(*map(reversed, page), strict=True):
        if score != page[1][-1]:
            break
        repeated.add(entry)
    return repeated


@dataclass(eq=False)
class Walk:
    """A walk over a session's events from a score on, towards the newest or the oldest.

    Attributes:
        context: Takes note of what can't be read, and is passed over.
        key: The events' key.
        first: The end that it comes from.
        highest, lowest: What is left of its way: scores, inclusive, as Redis writes them.
        is_done: Whether there is no more.
        newest: The first score that was read; "" for none.
        bytes_read: How many were read.
        entry_bytes: About as long an entry is; 0 as long as nobody knows.
    """

    context: Context
    key: bytes
    first: End = End.NEWEST
    highest: str = "+inf"
    lowest: str = "-inf"
    is_done: bool = False
    newest: str = ""
    bytes_read: int = 0
    entry_bytes: int = 0
    _seen: set[bytes] = field(default_factory=set)

    def read(self, count: int, decode: Callable[[Page], T]) -> Flow[T]:
        """Read a page of so many entries, of fewer where they are long, or the rest; decode it."""
        asked = self._fit(count) + len(self._seen)
        reply = yield page_command(
            self.key, first=self.first, highest=self.highest, lowest=self.lowest, count=asked
        )
        page = entries, scores = parse_page_reply(reply)
        self.is_done = len(entries) < asked
        size = sum(map(len, entries))
        self.context.counters.bytes_in += size
        self.bytes_read += size
        seen = self._seen
        if entries:
            self.entry_bytes = size // len(entries) + 1
            self.newest = self.newest or format_score(float(scores[0]))
            self._seen = find_repeated(page)
            self._start_at(scores[-1])
        return (yield from compute(lambda: decode(_leave_out(seen, page)), size))

    def _fit(self, count: int) -> int:
        if not self.entry_bytes:
            return min(count, _FIRST_COUNT)
        return max(1, min(count, PAGE_BYTES // self.entry_bytes))

    def _start_at(self, score: bytes | float) -> None:
        if self.first is End.NEWEST:
            self.highest = format_score(float(score))
        else:
            self.lowest = format_score(float(score))

    def read_events(self, count: int) -> Flow[list[StoredEvent]]:
        """Read a page of events."""
        events, unreadable = yield from self.read(count, decode_events)
        if unreadable:
            yield self.context.unreadable(self.key, count=unreadable)
        return events


def _leave_out(seen: set[bytes], page: Page) -> Page:
    if not seen:
        return page
    left = [(entry, score) for entry, score in zip(*page, strict=True) if entry not in seen]
    return [entry for entry, _ in left], [score for _, score in left]


def decode_events(page: Page) -> tuple[list[StoredEvent], int]:
    """Read events; and how many entries can't be read."""
    found, unreadable = [], 0
    for entry, score in zip(*page, strict=True):
        try:
            event = decode_event(entry)
        except CorruptEventError:
            unreadable += 1
            continue
        event.score = float(score)
        found.append(StoredEvent(entry, event))
    return found, unreadable
