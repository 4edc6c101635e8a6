"""Reading stretches of a session's events or of a track."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, repeat, takewhile
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

from langchain_core.messages import BaseMessage

from langchain_redis_session._codec.events import decode_event
from langchain_redis_session._codec.usual_events import read_message, read_messages
from langchain_redis_session._flow.requests import (
    LARGE_BYTES,
    TAKE_TURNS,
    Command,
    Flow,
    Unreadable,
    compute,
    set_apart,
)
from langchain_redis_session._flow.scripts import ScriptCall
from langchain_redis_session._keys.zset import SessionKeys
from langchain_redis_session._operations.bounds import Bounds, format_score
from langchain_redis_session._operations.context import Context
from langchain_redis_session._operations.matching import is_human, is_result, is_system
from langchain_redis_session._operations.pages import (
    LARGEST_PAGE,
    find_repeated,
    page_command,
    parse_page_reply,
)
from langchain_redis_session.errors import CorruptEventError
from langchain_redis_session.models import Event, is_from_user
from langchain_redis_session.scripts import bindings
from langchain_redis_session.scripts.bindings import End
from langchain_redis_session.scripts.replies import Page

_SMALLEST_PAGE, _LARGEST_LOOK = 64, 1000
_MOST_IN_FRONT = 4
_TURN_BYTES = LARGE_BYTES // 2
"""So many bytes of usual events, on average, are read before other tasks have their turn."""

Messages: TypeAlias = list[BaseMessage]


class Scored(Protocol):
    """What stands in a sorted set: an `Event` or a `TrackEvent`."""

    score: float | None


S = TypeVar("S", bound=Scored)


@dataclass(kw_only=True, eq=False)
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
    _last: bytes = b""
    _seen: set[bytes] = field(default_factory=set)
    _asked: int = 0
    _size: int = 0
    _older: int = 0
    _is_done: bool = False
    _skipped: int = 0

    def ask_first(self) -> int:
        """How many entries the first page has to bring."""
        limit = self.bounds.limit
        wanted = LARGEST_PAGE if limit is None else limit and limit + self.bounds.offset
        self._asked = min(wanted, LARGEST_PAGE)
        return self._asked

    def first_read(self) -> ScriptCall[Page] | Command:
        """What reads the first page; `take_first` takes in its reply."""
        count = self.ask_first()
        if self._needs_no_script():
            # One more than that tells whether there are older ones.
            return set_apart(("ZREVRANGE", self.key, 0, count), count)
        bounds = self.bounds
        return bindings.read_events(
            self.key, highest=bounds.highest, lowest=bounds.lowest, count=count
        )

    def _needs_no_script(self) -> bool:
        # A script's reply passes through Lua, which takes as long again; scores take time too.
        # They are needed in the error of a strict read.
        bounds = self.bounds
        return not (self.needs_scores or bounds.strict or bounds.is_timed or bounds.limit == 0)

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

    def take_first(self, reply: Page | list[bytes]) -> Flow[None]:
        """Take in the reply to `first_read`."""
        if isinstance(reply, Page):
            self._size, self._older = reply.size, reply.older
            yield from self._take(reply.entries, reply.scores)
        else:
            self._size, self._older = len(reply), max(0, len(reply) - self._asked)
            yield from self._take(reply[: self._asked], ())

    def take_usual(self, reply: Page | list[bytes], *fronts: list[bytes]) -> Flow[Messages | None]:
        """Take the messages of what `first_read` and `front_reads` brought, oldest first.

        None where it takes more than that to find them, or an event is no usual one: then
        `take_first` goes the whole way. Both give the same.
        """
        bounds = self.bounds
        if isinstance(reply, Page) or bounds.offset or bounds.start_on:
            return None
        wanted = reply[: self._asked]
        is_cut = len(reply) > len(wanted)
        if is_cut and bounds.limit is None:
            return None
        size = sum(map(len, reply))
        messages = yield from _read_in_turns(wanted, size)
        if messages is None:
            return None
        messages.reverse()
        if is_cut and bounds.for_model:
            front = _read_front(wanted, *fronts)
            if front is None or not any(map(is_from_user, messages)):
                return None
            messages[:0] = front
        self.context.counters.bytes_in += size + sum(map(len, chain(*fronts)))
        self._size = len(reply)
        self.is_cut = is_cut or self._is_full()
        return messages

    def _take(self, entries: Sequence[bytes], scores: Sequence[bytes | float]) -> Flow[None]:
        """Take in one page, newest first; scores are absent where nobody needs them."""
        self._is_done = len(entries) < self._asked or (not scores and not self._older)
        self.is_cut = self._older > 0 or self._is_full()
        size = sum(map(len, entries))
        self.context.counters.bytes_in += size
        yield from compute(partial(self._gather, entries, scores, self._seen), size)
        if not self._is_done and entries:
            self._last = entries[-1]
            self._seen = find_repeated((entries, scores)) if scores else set(entries)
            self._next_highest = format_score(float(scores[-1])) if scores else ""

    def _is_full(self) -> bool:
        return self.event_limit is not None and self._size >= self.event_limit

    def _gather(
        self, entries: Sequence[bytes], scores: Sequence[bytes | float], seen: set[bytes]
    ) -> None:
        decode, wants, items = self.decode, self.wants, self.items
        for entry, score in zip(entries, scores or repeat(b"")):  # noqa: B905
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

    def _skip(self, score: bytes | float, error: CorruptEventError) -> None:
        if self.bounds.strict:
            at = format_score(float(score))
            raise CorruptEventError(
                f"an entry of {self.key.decode()} at score {at} can't be read: {error}; "
                "read without strict=True to skip it"
            ) from error
        self._skipped += 1

    def _take_skipped(self) -> Unreadable:
        count, self._skipped = self._skipped, 0
        return self.context.unreadable(self.key, count=count)

    def read_until(self, is_enough: Callable[[], bool], more: int = _SMALLEST_PAGE) -> Flow[None]:
        """Read further pages, back from the oldest entry seen, until it is enough."""
        if self._skipped:
            yield self._take_skipped()
        while not self._is_done and not is_enough():
            yield from self._read_on(more)
            if self._skipped:
                yield self._take_skipped()
            more = max(more, min(more * 2, _LARGEST_LOOK))

    def _read_on(self, more: int) -> Flow[None]:
        self._asked = more + len(self._seen)
        if self._next_highest:
            reply = yield page_command(
                self.key,
                first=End.NEWEST,
                highest=self._next_highest,
                lowest=self.bounds.lowest,
                count=self._asked,
            )
            entries, scores = parse_page_reply(reply)
            self._older -= len(entries) - len(self._seen.intersection(entries))
        else:  # the page before was read without scores
            self._asked = more + 1
            page = yield from bindings.read_events(self.key, behind=self._last, count=self._asked)
            self._size, self._older, entries, scores = page
            if self._last not in entries:  # somebody has removed it: begin anew
                self.items.clear()
                self._seen = set()
        yield from self._take(entries, scores)

    def read(self) -> Flow[None]:
        """Read what the bounds ask for, from the first page on."""
        request = self.first_read()
        if isinstance(request, ScriptCall):
            yield from self.take_first((yield from request))
        else:
            yield from self.take_first((yield request))
        yield from self.finish()

    def finish(self) -> Flow[None]:
        """Top up what was skipped, find the start that was asked for, put oldest first."""
        bounds, items = self.bounds, self.items
        if self._skipped:
            yield self._take_skipped()
        if bounds.limit is not None:
            wanted = bounds.limit + bounds.offset
            if bounds.limit:
                missing = min(max(wanted - len(items), _SMALLEST_PAGE), LARGEST_PAGE)
                yield from self.read_until(lambda: len(items) >= wanted, missing)
            beyond = items[wanted:] if bounds.limit else []
            self.is_cut = self.is_cut or bool(beyond)
        else:
            yield from self.read_until(lambda: False, LARGEST_PAGE)
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


def _read_in_turns(entries: list[bytes], size: int) -> Flow[Messages | None]:
    """Read usual messages, a few at a time; None as `read_messages`."""
    if size <= LARGE_BYTES:
        return read_messages(entries)
    count = max(1, len(entries) * _TURN_BYTES // size)
    messages: Messages = []
    for start in range(0, len(entries), count):
        part = entries[start : start + count]
        # Long ones go to a thread.
        found = yield from compute(partial(read_messages, part), sum(map(len, part)))
        if found is None:
            return None
        messages += found
        yield TAKE_TURNS
    return messages


def _read_front(page: list[bytes], *fronts: list[bytes]) -> Messages | None:
    """The system messages that a session begins with, but for those in the page."""
    found = []
    for entry in chain(*fronts):
        message = read_message(entry)
        if message is None:
            return None
        if message.type != "system":
            break
        if entry not in page:
            found.append(message)
    return found


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
