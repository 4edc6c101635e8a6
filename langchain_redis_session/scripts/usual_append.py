"""Calls of `append_events` that may be its usual case: quick to make, their replies to read.

Its short way then does what the full way would do, and replies with a number; where it turns out
to be no usual case, the script goes the full way in the same call, and replies as to that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

from langchain_redis_session._flow.requests import Argument, Command
from langchain_redis_session._flow.scripts import ScriptCall
from langchain_redis_session._keys.zset import SessionKeys
from langchain_redis_session.scripts.bindings import Create, Entry, EventLimit, append_events

_START_BYTES = len('{"id":""') + 32
_WHOLE = 2**53
"""From here on, doubles have no fraction."""


def begin_call(
    keys: SessionKeys,
    *,
    create: Create,
    record_start: bytes,
    event_limit: EventLimit,
    session_ttl_ms: int,
    try_field_ttl: bool,
) -> Command:
    """What all such calls for a session begin with; the arguments as of `append_events`."""
    call = append_events(
        keys,
        create=create,
        record_start=record_start,
        first_us=None,
        event_limit=event_limit,
        session_ttl_ms=session_ttl_ms,
        try_field_ttl=try_field_ttl,
        once=False,
        index_build=None,
        count_unsummarized=False,
        more_summaries=(),
        entries=(),
        with_app_state=False,
    )
    field, flags, *others, _first_us, _event_count = call.args
    args = [field, "s" + cast(str, flags), *others]
    return ScriptCall(call.name, call.keys, args, call.parse).by_sha()


def end_call(
    beginning: Command, entries: Sequence[Entry], first_us: int | None
) -> tuple[Command, Sequence[float]] | None:
    """The whole call, and the scores that the events get if it is the usual case.

    None where it can't be: one of them may be stored already at a score below what stands before
    it, or stands there twice.
    """
    begun: tuple[Argument, ...] = (*beginning, "" if first_us is None else first_us)
    count = len(entries)
    if count == 1:
        score, member, message_id = entries[0]
        return (*begun, 1, score, member, message_id), (float(score),)
    scores: list[float] = []
    args: list[Argument] = []
    text, wanted, highest = "", 0.0, -math.inf
    lowest = max(1.0, float(entries[0].score))
    for score, member, _ in entries:
        if score != text:  # those of one append mostly want the same
            text, wanted = score, float(score)
            if wanted < lowest:
                return None
        if wanted > highest:
            highest, written = wanted, score
        else:
            highest = math.nextafter(highest, math.inf)
            written = str(int(highest)) if highest >= _WHOLE else f"{highest:.17g}"
        scores.append(highest)
        args += (written, member)
    # All begin with an id; where that is the same, the script has to look closer.
    if len({entry.member[:_START_BYTES] for entry in entries}) < count:
        return None
    return (*begun, count, *args, *[entry.message_id for entry in entries]), scores


def read_reply(reply: int) -> tuple[int, bool | None]:
    """How many events were removed, and whether the server has TTLs per field (None = not told).

    >>> read_reply(2), read_reply(-1)
    ((2, None), (0, False))
    """
    return (reply, None) if reply >= 0 else (-1 - reply, False)
