"""What the scripts reply, by name: one alphabet, a status word first."""

from collections.abc import Mapping, Sequence
from enum import Enum, IntEnum
from typing import Any, NamedTuple


class Status(Enum):
    """How a script went; the first item of every reply."""

    OK = b"OK"
    MISSING = b"MISSING"
    """There is no such session."""
    EXISTS = b"EXISTS"
    """There is a session, and there was to be none."""
    ALIVE = b"ALIVE"
    """The session has not expired."""
    PURGE = b"PURGE"
    """Remains of an expired session must go first."""
    STATE = b"STATE"
    """The record is not the one that a change of state was made for."""
    FATES = b"FATES"
    """A change of state was made for other events than are fresh."""
    INDEX = b"INDEX"
    """The message index must be built from the events first."""
    TRACKS = b"TRACKS"
    """The session has other tracks than those given."""
    CHANGED = b"CHANGED"
    """The session, or what is in it, is not what the caller has read."""
    FOREIGN = b"FOREIGN"
    """Another program's value stands there."""
    BUSY = b"BUSY"
    """Another owner has the lease."""
    FURTHER = b"FURTHER"
    """The stored summary goes as far, or further."""
    GONE = b"GONE"
    """The lease, or the session it was of, is not there any more."""


class Fate(IntEnum):
    """What an append did with one event."""

    FRESH = 1
    """It is stored just now."""
    STORED = 2
    """It was stored already."""
    REPEATED = 3
    """It was left out: it stands twice in the call, or its message's id is stored."""
    REMOVED = 4
    """Retention has removed it earlier."""


class Page(NamedTuple):
    """A stretch of a sorted set, in the order it was read.

    Attributes:
        size: How many entries the whole set has.
        older: How many are older than those given.
        entries: The entries.
        scores: The score of each, as Redis writes it.
    """

    size: int
    older: int
    entries: Sequence[bytes]
    scores: Sequence[bytes]


class Appended(NamedTuple):
    """What an append did.

    Attributes:
        status: OK, or why nothing was written.
        removed: How many events retention removed.
        field_ttl: Whether the server has TTLs per field; None where it was not tried.
        fates: What became of each event.
        scores: The score of each; None where it has none.
        lost: How many of the removed no summary covered.
        unsummarized: How many events no summary covers; None where it was not counted.
        event_limit: The most events that the session keeps; None = no limit.
        record: With STATE, the record that stands there.
    """

    status: Status
    removed: int = 0
    field_ttl: bool | None = None
    fates: Sequence[Fate] = ()
    scores: Sequence[float | None] = ()
    lost: int = 0
    unsummarized: int | None = None
    event_limit: int | None = None
    record: bytes = b""


class Removed(NamedTuple):
    """What a removal did; `removed` is how many events."""

    status: Status
    removed: int = 0
    field_ttl: bool | None = None


class IndexBuild(NamedTuple):
    """The build of a message index; `build` is b"" where there is nothing to build."""

    status: Status
    build: bytes = b""


class Refreshed(NamedTuple):
    """What starting a lifetime anew did."""

    status: Status
    field_ttl: bool | None = None


class StoredSession(NamedTuple):
    """A session as it stands in Redis; b"" and {} for what isn't there.

    Attributes:
        status: OK, or MISSING if it has expired.
        record: Its record.
        summary: The summary that was asked for.
        foreign: What trpc-agent-go writes as its summaries.
        foreign_cutoff: The score of the last event that its summary covers; None if there is none.
        page: Its events, newest first.
        front: Entries of system messages that the summary leaves as they are, and their scores.
        user_state, app_state: The state around it.
    """

    status: Status
    record: bytes = b""
    summary: bytes = b""
    foreign: bytes = b""
    foreign_cutoff: float | None = None
    page: Page = Page(0, 0, (), ())
    front: Sequence[tuple[bytes, bytes]] = ()
    user_state: Mapping[bytes, bytes] = {}
    app_state: Mapping[bytes, bytes] = {}


class StoredSummaries(NamedTuple):
    """Summaries as they stand in Redis.

    Attributes:
        status: OK, or MISSING.
        record: The session's record.
        foreign: What trpc-agent-go writes as its summaries; b"" for none.
        foreign_cutoffs: By filter key, the score of the last event that its summary covers.
        summaries: Ours, in the order of the fields; b"" for none.
    """

    status: Status
    record: bytes = b""
    foreign: bytes = b""
    foreign_cutoffs: Mapping[str, float] = {}
    summaries: Sequence[bytes] = ()


class FoundEntries(NamedTuple):
    """Entries that may be those looked for, newest first, each with its score.

    Attributes:
        entries: The entries.
        scores: The score of each, as Redis writes it.
        highest: The score to go on from; "" if there is nothing more to be found.
        skip: How many entries at that score have been looked at.
    """

    entries: Sequence[bytes]
    scores: Sequence[bytes]
    highest: str = ""
    skip: int = 0


class Claim(NamedTuple):
    """Whether a lease was taken; with BUSY, the ms for which another has it."""

    status: Status
    left_ms: int = 0


class StoredSummary(NamedTuple):
    """What storing a summary did; `summary` is the one that stands there now."""

    status: Status
    summary: bytes = b""
    field_ttl: bool | None = None


class PutItems(NamedTuple):
    """What putting items did."""

    field_ttl: bool | None


class TouchedItems(NamedTuple):
    """What seeing to items did; `alive` is whether each of them still is."""

    field_ttl: bool | None
    alive: Sequence[bool]


class FoundNamespaces(NamedTuple):
    """Namespaces of a memory store, with the server's time."""

    now_ms: int
    namespaces: Sequence[bytes]


# Looked up faster than by asking the enums.
_STATUSES = {status.value: status for status in Status}
_FATES = {fate.value: fate for fate in Fate}
_FLAGS = {b"": None, 0: False, 1: True}


def parse_status(reply: list[Any]) -> Status:
    """Read a reply that is a status word alone."""
    return _STATUSES[reply[0]]


def parse_appended(reply: list[Any]) -> Appended:
    """Read the reply of a script that appends, but for that of the usual case."""
    status = _STATUSES[reply[0]]
    if status is Status.OK:
        _, removed, field_ttl, limit, fates, scores, lost, unsummarized = reply
        return Appended(
            status,
            removed=removed,
            field_ttl=_FLAGS[field_ttl],
            fates=[_FATES[fate] for fate in fates],
            scores=[float(score) if score else None for score in scores],
            lost=lost,
            unsummarized=None if unsummarized == b"" else unsummarized,
            event_limit=limit or None,
        )
    if status is Status.STATE:
        return Appended(status, record=reply[1])
    if status is Status.FATES:
        return Appended(status, fates=[_FATES[fate] for fate in reply[1]])
    return Appended(status)


def parse_build(reply: list[Any]) -> IndexBuild:
    """Read the reply of index_messages."""
    return IndexBuild(_STATUSES[reply[0]], *reply[1:])


def parse_removed(reply: list[Any]) -> Removed:
    """Read the reply of a script that removes events."""
    status = _STATUSES[reply[0]]
    if status is not Status.OK:
        return Removed(status)
    _, removed, field_ttl = reply
    return Removed(status, removed, _FLAGS[field_ttl])


def parse_refreshed(reply: list[Any]) -> Refreshed:
    """Read the reply of refresh_ttl."""
    status = _STATUSES[reply[0]]
    return Refreshed(status, _FLAGS[reply[1]] if status is Status.OK else None)


def parse_page(reply: list[Any]) -> Page:
    """Read the reply of read_events."""
    _, size, older, flat = reply
    return Page(size, older, flat[::2], flat[1::2])


def parse_session(reply: list[Any]) -> StoredSession:
    """Read the reply of get_session."""
    status = _STATUSES[reply[0]]
    if status is not Status.OK:
        return StoredSession(status)
    _, record, summary, foreign, cutoff, size, older, flat, front, user_state, app_state = reply
    return StoredSession(
        status,
        record=record,
        summary=summary,
        foreign=foreign,
        foreign_cutoff=float(cutoff) if cutoff else None,
        page=Page(size, older, flat[::2], flat[1::2]),
        front=tuple(zip(front[::2], front[1::2], strict=True)),
        user_state=_parse_fields(user_state),
        app_state=_parse_fields(app_state),
    )


def parse_summaries(reply: list[Any]) -> StoredSummaries:
    """Read the reply of get_summaries."""
    status = _STATUSES[reply[0]]
    if status is not Status.OK:
        return StoredSummaries(status)
    _, record, foreign, flat, summaries = reply
    cutoffs = {
        filter_key.decode("utf-8", "replace"): float(cutoff)
        for filter_key, cutoff in zip(flat[::2], flat[1::2], strict=True)
    }
    return StoredSummaries(status, record, foreign, cutoffs, summaries)


def parse_now(reply: list[Any]) -> int:
    """Read the reply of get_time."""
    _, now_ms = reply
    return int(now_ms)


def parse_found(reply: list[Any]) -> FoundEntries:
    """Read the reply of find_event."""
    _, flat, highest, skip = reply
    return FoundEntries(flat[::2], flat[1::2], highest.decode(), skip)


def parse_claim(reply: list[Any]) -> Claim:
    """Read the reply of claim_summary."""
    status = _STATUSES[reply[0]]
    return Claim(status, reply[1]) if status is Status.BUSY else Claim(status)


def parse_stored_summary(reply: list[Any]) -> StoredSummary:
    """Read the reply of put_summary."""
    status = _STATUSES[reply[0]]
    if status is Status.OK:
        _, summary, field_ttl = reply
        return StoredSummary(status, summary, _FLAGS[field_ttl])
    return StoredSummary(status, reply[1]) if status is Status.FURTHER else StoredSummary(status)


def _parse_fields(flat: list[bytes]) -> dict[bytes, bytes]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def parse_put_items(reply: list[Any]) -> PutItems:
    """Read the reply of put_items."""
    return PutItems(_FLAGS[reply[1]])


def parse_touched_items(reply: list[Any]) -> TouchedItems:
    """Read the reply of touch_items."""
    _, field_ttl, alive = reply
    return TouchedItems(_FLAGS[field_ttl], [flag == 1 for flag in alive])


def parse_found_namespaces(reply: list[Any]) -> FoundNamespaces:
    """Read the reply of find_namespaces."""
    _, now_ms, namespaces = reply
    return FoundNamespaces(int(now_ms), namespaces)


def parse_has_items(reply: list[Any]) -> bool:
    """Read the reply of has_items."""
    return bool(reply[1])
