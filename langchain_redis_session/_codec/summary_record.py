"""Summaries as they stand in Redis.

Ours is one JSON object for each filter key:
`{"summary":…,"topics":[…],"updated_at":…,"boundary":{"version":1,"filter_key":…,"cutoff_at":…,
"last_event_id":…,"system_scores":"…","cutoff_score":"…"}}`. Scripts find where it ends, and the
system messages that it does not stand for, by its end. trpc-agent-go keeps a map of all filter
keys to the same without the scores, which is only read.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from langchain_redis_session._codec.corruption import decoder
from langchain_redis_session._codec.plain_json import approximate_text, check_depth, dump_exactly
from langchain_redis_session._times import format_time, parse_time, to_datetime, trim_time
from langchain_redis_session.errors import CorruptEventError
from langchain_redis_session.models import Summary, SummaryBoundary

# As `is_ours`, `cutoff_of` and `system_scores_of` in scripts/_summaries.lua.
_OURS = b'{"summary":"'
_SYSTEM_SCORES = re.compile(rb'"system_scores":"([0-9.e+ -]+)","cutoff_score":"[0-9.e+-]+"\}\}\Z')
_LENGTH = re.compile(rb"([0-9]{1,9}):")
_CUTOFF = re.compile(rb'"cutoff_score":"([0-9.e+-]+)"\}\}\Z')


def parse_summary_index(value: bytes) -> list[str]:
    """Read the filter keys that a session has summaries for, as scripts write them.

    >>> parse_summary_index(b"3:app9:app/tools")
    ['app', 'app/tools']
    >>> parse_summary_index(b'{"":{"summary":"of another program"}}')
    []
    """
    found = []
    start = 0
    while start < len(value):
        match = _LENGTH.match(value, start)
        end = match.end() + int(match[1]) if match else len(value) + 1
        if match is None or end > len(value):
            return []
        found.append(value[match.end() : end].decode("utf-8", "replace"))
        start = end
    return found


class SummaryParts(NamedTuple):
    """A summary to store: the script puts the time of its update in between."""

    head: bytes
    tail: bytes


def encode_summary(
    text: str,
    filter_key: str,
    boundary: SummaryBoundary,
    cutoff_score: str,
    system_scores: Iterable[str] = (),
) -> SummaryParts:
    """Write a summary.

    Args:
        text: The summary. Lone surrogates, which no JSON carries, become U+FFFD.
        filter_key: Whose events it covers.
        boundary: Up to where.
        cutoff_score: The boundary's score as Redis writes it.
        system_scores: Those of system messages up to there, which stay word for word.
    """
    scores = " ".join(system_scores)
    end = {
        "version": 1,
        "filter_key": filter_key,
        "cutoff_at": trim_time(format_time(boundary.cutoff_ns)),
        "last_event_id": boundary.last_event_id,
        **({"system_scores": scores} if scores else {}),
        "cutoff_score": cutoff_score,
    }
    head = dump_exactly({"summary": approximate_text(text)})
    return SummaryParts(head[:-1], b',"boundary":' + dump_exactly(end) + b"}")


@decoder("a summary")
def parse_summary(value: bytes, filter_key: str) -> Summary:
    """Read a summary of ours.

    Raises:
        CorruptEventError: It can't be read.
    """
    members = _load(value)
    score = float(find_cutoff(value))
    if not math.isfinite(score):
        raise CorruptEventError("a summary's boundary lies beyond all events")
    return _make_summary(members, filter_key, score)


def parse_foreign_summaries(
    value: bytes, cutoffs: Mapping[str, float]
) -> tuple[dict[str, Summary], bool]:
    """Read the summaries of one session as trpc-agent-go writes them, by filter key.

    Args:
        value: What stands in Redis.
        cutoffs: The scores of their last events; where one is not known, its time is taken.

    Returns:
        Those that can be read, and whether all can.
    """
    found, is_sound = {}, True
    try:
        items = _load(value).items()
    except CorruptEventError:
        return {}, False
    for filter_key, members in items:
        if isinstance(members, dict) and members.get("summary"):
            try:
                found[filter_key] = _make_summary(members, filter_key, cutoffs.get(filter_key))
            except CorruptEventError:
                is_sound = False
    return found, is_sound


@decoder("a summary")
def _load(value: bytes) -> dict[str, Any]:
    members = json.loads(check_depth(value))
    if not isinstance(members, dict):
        raise CorruptEventError(f"a summary is {type(members).__name__}, not an object")
    return members


@decoder("a summary")
def _make_summary(members: dict[str, Any], filter_key: str, score: float | None) -> Summary:
    text, topics = members.get("summary"), members.get("topics") or ()
    boundary = members.get("boundary") or {}
    if not isinstance(text, str) or not isinstance(boundary, dict):
        raise CorruptEventError("a summary is without its text")
    updated_ns = parse_time(members["updated_at"])
    # Without a boundary: trpc-agent-go's update is at the last event.
    cutoff = boundary.get("cutoff_at")
    cutoff_ns = parse_time(cutoff) if cutoff else updated_ns
    last_event_id = boundary.get("last_event_id")
    return Summary(
        text=text,
        filter_key=filter_key,
        boundary=SummaryBoundary(
            cutoff_score=float(cutoff_ns) if score is None else score,
            last_event_id=last_event_id if isinstance(last_event_id, str) else "",
            cutoff_ns=cutoff_ns,
        ),
        updated_at=to_datetime(updated_ns),
        topics=tuple(t for t in topics if isinstance(t, str)) if isinstance(topics, list) else (),
    )


def choose_newest(summaries: Iterable[Summary | None]) -> Summary | None:
    """Give the summary that goes furthest; of two that go as far, the first."""
    found = [summary for summary in summaries if summary is not None]
    return max(found, key=lambda summary: summary.boundary.cutoff_score, default=None)


def find_cutoff(value: bytes) -> bytes:
    """The score that a summary of ours goes to, as scripts find it; b"" if there is none."""
    match = _CUTOFF.search(value) if value.startswith(_OURS) else None
    if match is None:
        return b""
    try:
        float(match[1])
    except ValueError:
        return b""
    return match[1]


def find_system_scores(value: bytes) -> list[str]:
    """The scores of the system messages that a summary of ours leaves as they are."""
    match = _SYSTEM_SCORES.search(value) if value.startswith(_OURS) else None
    return match[1].decode().split() if match else []
