"""A session's record and summaries, read; what in them can't be read is reported."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from langchain_redis_session._codec.session_record import Record, parse_record
from langchain_redis_session._codec.summary_record import (
    choose_newest,
    parse_foreign_summaries,
    parse_summary,
)
from langchain_redis_session._flow.requests import Flow, compute
from langchain_redis_session._keys.zset import SessionKeys
from langchain_redis_session._operations.bounds import format_score
from langchain_redis_session._operations.context import Context
from langchain_redis_session._times import to_datetime
from langchain_redis_session.errors import CorruptEventError
from langchain_redis_session.models import Summary


def format_cutoff(summary: Summary | None) -> str:
    """The score that a summary goes to, as Redis writes it; "" for no summary."""
    return "" if summary is None else format_score(summary.boundary.cutoff_score)


def decode_summaries(
    context: Context,
    keys: SessionKeys,
    record: Record,
    ours: Mapping[str, bytes],
    foreign: bytes,
    foreign_cutoffs: Mapping[str, float],
) -> Flow[dict[str, Summary]]:
    """Read the summaries of a session; of two of a filter key, the one that goes further.

    Args:
        context: Names the unreadable ones.
        keys: The session's keys.
        record: The session's record. What is older than the session is left out.
        ours: Values by filter key; b"" for none.
        foreign: The value that trpc-agent-go writes; b"" for none.
        foreign_cutoffs: By filter key, the score of the last event that its summaries cover.
    """
    theirs: dict[str, Summary] = {}
    if foreign:
        theirs, is_sound = parse_foreign_summaries(foreign, foreign_cutoffs)
        if not is_sound:
            yield context.unreadable(keys.summaries, "a summary")
    found: dict[str, Summary] = {}
    created_at = to_datetime(record.created_ns)
    for filter_key in {**ours, **theirs}:
        own = None
        if value := ours.get(filter_key):
            try:
                own = parse_summary(value, filter_key)
            except CorruptEventError:
                yield context.unreadable(keys.summaries, "a summary")
        both = (own, theirs.get(filter_key))
        newest = choose_newest(s for s in both if s is not None and s.updated_at >= created_at)
        if newest is not None:
            found[filter_key] = newest
    return found


def parse_sound_record(context: Context, sessions_key: bytes, record: bytes) -> Flow[Record]:
    """Read a record, b"" for one that is gone; what in it can't be read is taken note of."""
    parsed = yield from compute(partial(parse_record, record), len(record))
    if not parsed.is_sound:
        part = "a part of a session's record" if record else "a session's record, which is gone,"
        yield context.unreadable(sessions_key, part)
    return parsed
