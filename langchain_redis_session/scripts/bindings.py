"""One function for each Lua script: what it takes by name, what it replies as a named tuple.

What a script does, and when it gives which status, its own header says. Nothing else knows in
which order a script takes its keys and arguments.

>>> call = read_events(b"event:{shop}:ann:s1", count=50)
>>> call.name, call.keys, call.args
('read_events', [b'event:{shop}:ann:s1'], ['newest', '+inf', '-inf', 0, b'', 50])
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from enum import Enum
from typing import Literal, NamedTuple, TypeAlias

from langchain_redis_session._flow.requests import Argument
from langchain_redis_session._flow.scripts import ScriptCall
from langchain_redis_session._keys.zset import SessionKeys
from langchain_redis_session.scripts.replies import (
    Appended,
    FoundEntries,
    IndexBuild,
    Page,
    Refreshed,
    Removed,
    Status,
    StoredSession,
    StoredSummaries,
    parse_appended,
    parse_build,
    parse_found,
    parse_now,
    parse_page,
    parse_refreshed,
    parse_removed,
    parse_session,
    parse_status,
    parse_summaries,
)

EventLimit: TypeAlias = 'int | Literal["session"] | None'
"""The most events of a session; None = no limit, "session" = as its record says."""


class Create(Enum):
    """Whether a write may create its session: a flag of the script."""

    NEVER = ""
    MISSING = "c"
    """Where there is none."""
    ONLY = "n"
    """Where there is none; else nothing is to be written."""


class End(Enum):
    """The end of a sequence that a read starts from."""

    NEWEST = "newest"
    OLDEST = "oldest"


class Entry(NamedTuple):
    """An event, or a track event, to be appended.

    Attributes:
        score: The score that it wants, as Redis writes it.
        member: Its JSON.
        message_id: Its message's id; b"" for none.
    """

    score: str
    member: bytes
    message_id: bytes = b""


class RemovedEntry(NamedTuple):
    """An event that is to go.

    Attributes:
        member: Its JSON.
        message_id: Its message's id; b"" for none.
    """

    member: bytes
    message_id: bytes = b""


class Use(NamedTuple):
    """What a model used for an event.

    Attributes:
        place: The event's.
        date: The day in UTC.
        field: What it is counted under.
        number: How much.
    """

    place: int
    date: str
    field: bytes
    number: int


class StateWrite(NamedTuple):
    """A change of state that goes with an append.

    Attributes:
        changes_session: Whether it changes the session's own.
        expected: The core of the record that was read; b"" before one was.
        replacement: What takes that core's place; b"" likewise.
        made_for: The places of the events that it was made for; none if for whichever.
        user: Encoded values of the user's state, by name.
        user_ttl_ms: How long the user's state lives on; 0 = for ever.
        app: Likewise of the app's state.
        app_ttl_ms: Likewise.
    """

    changes_session: bool = False
    expected: bytes = b""
    replacement: bytes = b""
    made_for: Collection[int] = ()
    user: Mapping[str, bytes] = {}
    user_ttl_ms: int = 0
    app: Mapping[str, bytes] = {}
    app_ttl_ms: int = 0


def append_events(
    keys: SessionKeys,
    *,
    create: Create,
    record_start: bytes,
    first_us: int | None,
    event_limit: EventLimit,
    session_ttl_ms: int,
    try_field_ttl: bool,
    once: bool,
    index_build: bytes | None,
    count_unsummarized: bool,
    more_summaries: Sequence[bytes],
    entries: Sequence[Entry],
    with_app_state: bool,
    uses: Sequence[Use] | None = None,
    state: StateWrite | None = None,
) -> ScriptCall[Appended]:
    """Append events to a session, with their changes of state.

    Args:
        keys: The session's keys.
        create: Whether it may be created.
        record_start: A new session's record, up to its event limit.
        first_us: The time of its first event in µs; None if it gets none.
        event_limit: How many events stay; "session" = as many as its record says.
        session_ttl_ms: 0 = for ever.
        try_field_ttl: Whether the server may have TTLs per field.
        once: Whether to leave out messages whose id is stored.
        index_build: What `index_messages` gave, once all ids were brought; b"" or None for none.
        count_unsummarized: Whether to count the events that the session's summary does not cover.
        more_summaries: The summaries that live on beside the session's own.
        entries: The events.
        with_app_state: Whether the app's state lies in the session's slot.
        uses: What models used for them; None where that is not tracked.
        state: The changes of state, if there are any.
    """
    script_keys = keys.common
    if uses is not None or state is not None:
        script_keys += (keys.user_state, keys.app_state) if with_app_state else (keys.user_state,)
    if uses is not None:
        stand_in = () if with_app_state else (keys.user_state,)
        script_keys += (*stand_in, keys.usage, keys.session_usage)
    flags = "t" * try_field_ttl + create.value + "o" * once + "u" * count_unsummarized
    args: list[Argument] = [
        keys.session_field,
        flags,
        record_start,
        "" if event_limit == "session" else event_limit or 0,
        session_ttl_ms,
        keys.summary_field,
        "" if first_us is None else first_us,
        len(entries),
    ]
    for entry in entries:
        args += (entry.score, entry.member)
    args += [entry.message_id for entry in entries]
    if state is not None or uses or index_build or more_summaries:
        args += (len(more_summaries), *more_summaries, len(uses or ()))
        for use in uses or ():
            args += (use.place + 1, *use[1:])
        args.append(index_build or b"")
    if state is not None:
        args += [
            int(state.changes_session),
            state.expected,
            state.replacement,
            ",".join(str(place + 1) for place in state.made_for),
            state.user_ttl_ms,
            len(state.user),
            *_flatten(state.user),
            state.app_ttl_ms,
            len(state.app),
            *_flatten(state.app),
        ]
    return ScriptCall("append_events", script_keys, args, parse_appended)


def append_track_events(
    keys: SessionKeys,
    *,
    track: str,
    event_limit: int | None,
    session_ttl_ms: int,
    track_ttl_ms: int,
    try_field_ttl: bool,
    expected: bytes,
    replacement: bytes,
    entries: Iterable[Entry],
) -> ScriptCall[Appended]:
    """Append events to one track of a session.

    `replacement` is a core of the record that names the track, in the place of the `expected`
    one; both are b"" before the script has given the record.
    """
    args: list[Argument] = [
        keys.session_field,
        keys.summary_field,
        track.encode(),
        event_limit or 0,
        session_ttl_ms,
        track_ttl_ms,
        int(try_field_ttl),
        expected,
        replacement,
    ]
    for entry in entries:
        args += (entry.score, entry.member)
    script_keys = [*keys.common, keys.track(track)]
    return ScriptCall("append_track_events", script_keys, args, parse_appended)


def index_messages(
    keys: SessionKeys, *, build: bytes, ids: Iterable[tuple[bytes, bytes]]
) -> ScriptCall[IndexBuild]:
    """Put ids of messages into the index that is built.

    Args:
        keys: The session's keys.
        build: What the first call gave; b"" if this is the first.
        ids: Each id, and its event's score.
    """
    args: list[Argument] = [build]
    for message_id, score in ids:
        args += (score, message_id)
    return ScriptCall("index_messages", [keys.events, keys.message_index], args, parse_build)


def clear_events(
    keys: SessionKeys, *, session_ttl_ms: int, try_field_ttl: bool, highest: bytes | str
) -> ScriptCall[Removed]:
    """Remove a session's events up to a score, and its summaries."""
    args = [*_lifetime_args(keys, session_ttl_ms, try_field_ttl), highest]
    return ScriptCall("clear_events", [*keys.common, keys.summary_lease], args, parse_removed)


def remove_events(
    keys: SessionKeys,
    *,
    session_ttl_ms: int,
    try_field_ttl: bool,
    token: str,
    newest: str,
    entries: Iterable[RemovedEntry],
) -> ScriptCall[Removed]:
    """Remove the given entries from a session's events.

    Args:
        keys: The session's keys.
        session_ttl_ms: 0 = for ever.
        try_field_ttl: Whether the server may have TTLs per field.
        token: The caller's, hex digits: what is sent again with it is done once.
        newest: The highest score that the caller has seen: nothing goes if the newest event is
            another, or an entry is not there any more. "" = those go that are there.
        entries: The entries.
    """
    args = [*_lifetime_args(keys, session_ttl_ms, try_field_ttl), token, newest]
    for entry in entries:
        args += entry
    script_keys = [*keys.common, keys.summary_lease, keys.removals]
    return ScriptCall("remove_events", script_keys, args, parse_removed)


def delete_session(
    keys: SessionKeys,
    *,
    session_ttl_ms: int,
    only_expired: bool,
    created: bytes,
    tracks: Sequence[bytes],
) -> ScriptCall[Status]:
    """Delete a session that has these tracks and was made at this time (b"" = no record)."""
    track_keys = [keys.track(name.decode("utf-8", "replace")) for name in tracks]
    args: list[Argument] = [
        keys.session_field,
        keys.summary_field,
        session_ttl_ms,
        int(only_expired),
        created,
        *tracks,
    ]
    script_keys = [*keys.common, keys.summary_lease, keys.removals, keys.session_usage]
    script_keys += track_keys
    return ScriptCall("delete_session", script_keys, args, parse_status)


def refresh_ttl(
    keys: SessionKeys, *, session_ttl_ms: int, try_field_ttl: bool
) -> ScriptCall[Refreshed]:
    """Start a session's lifetime anew."""
    args = _lifetime_args(keys, session_ttl_ms, try_field_ttl)
    script_keys = (*keys.common, keys.session_usage)
    return ScriptCall("refresh_ttl", script_keys, args, parse_refreshed)


def read_events(
    events: bytes,
    *,
    first: End = End.NEWEST,
    highest: str = "+inf",
    lowest: str = "-inf",
    skip: int = 0,
    count: int | None = None,
    behind: bytes = b"",
) -> ScriptCall[Page]:
    """Read a stretch of events or track events, from one end on.

    Args:
        events: Their key.
        first: The end.
        highest: The highest score.
        lowest: The lowest.
        skip: How many to pass over.
        count: The most to give; None = all.
        behind: An entry whose score is the highest, while it is there.
    """
    args: list[Argument] = [first.value, highest, lowest, skip, behind, _unlimited(count)]
    return ScriptCall("read_events", [events], args, parse_page, _most(count))


def find_event(
    events: bytes, *, highest: str, skip: int, most: int, texts: Iterable[bytes]
) -> ScriptCall[FoundEntries]:
    """Find the entries of events, by their ids as they stand in JSON; newest first.

    Args:
        events: The events' key.
        highest: The score to begin at.
        skip: How many entries at that score to pass over.
        most: How many to look at.
        texts: `"id":"…"` of each.
    """
    return ScriptCall("find_event", [events], [highest, skip, most, *texts], parse_found)


def get_session(
    keys: SessionKeys,
    *,
    session_ttl_ms: int,
    filter_key: str = "",
    at_least: int = 0,
    highest: str = "+inf",
    lowest: str = "-inf",
    since_summary: bool = False,
    skip: int = 0,
    count: int | None = None,
    with_user_state: bool = False,
    with_app_state: bool = False,
) -> ScriptCall[StoredSession]:
    """Read a session.

    Args:
        keys: Its keys.
        session_ttl_ms: 0 = for ever.
        filter_key: Whose summary to read.
        at_least: Give no events if there are fewer.
        highest: The highest score.
        lowest: The lowest.
        since_summary: Whether the summary's end is the lowest score.
        skip: How many of the newest to pass over.
        count: How many to give; None = all.
        with_user_state: Whether to give the user's state.
        with_app_state: Whether to give the app's too, where it lies in the session's slot.
    """
    script_keys = [keys.sessions, keys.events, keys.summaries]
    if with_user_state:
        script_keys.append(keys.user_state)
        if with_app_state:
            script_keys.append(keys.app_state)
    args: list[Argument] = [
        keys.session_field,
        keys.summary(filter_key),
        session_ttl_ms,
        at_least,
        highest,
        lowest,
        int(since_summary),
        skip,
        _unlimited(count),
    ]
    return ScriptCall("get_session", script_keys, args, parse_session, _most(count))


def get_time(sessions: bytes) -> ScriptCall[int]:
    """Read the clock by which a user's sessions expire, in ms."""
    return ScriptCall("get_time", [sessions], [], parse_now)


def get_summaries(
    keys: SessionKeys, *, session_ttl_ms: int, filter_keys: Iterable[str]
) -> ScriptCall[StoredSummaries]:
    """Read summaries of a session."""
    args: list[Argument] = [keys.session_field, session_ttl_ms, *map(keys.summary, filter_keys)]
    script_keys = [keys.sessions, keys.events, keys.summaries]
    return ScriptCall("get_summaries", script_keys, args, parse_summaries)


def update_state(
    state_key: bytes, *, values: Mapping[str, bytes], ttl_ms: int
) -> ScriptCall[Status]:
    """Set names in an app's or a user's state."""
    return ScriptCall("update_state", [state_key], [ttl_ms, *_flatten(values)], parse_status)


def _lifetime_args(keys: SessionKeys, session_ttl_ms: int, try_field_ttl: bool) -> list[Argument]:
    return [keys.session_field, keys.summary_field, session_ttl_ms, int(try_field_ttl)]


def _flatten(values: Mapping[str, bytes]) -> Iterable[bytes]:
    for name, value in values.items():
        yield name.encode("utf-8", "surrogatepass")
        yield value


def _most(count: int | None) -> int:
    return sys.maxsize if count is None else count


def _unlimited(count: int | None) -> int:
    return -1 if count is None else count
