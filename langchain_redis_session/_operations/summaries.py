"""Summaries as they stand in Redis: what is asked for, what came of it, and reading them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from langchain_redis_session._codec.summary_record import parse_summary_index
from langchain_redis_session._flow.requests import Flow
from langchain_redis_session._keys.zset import SessionKeys
from langchain_redis_session._operations.context import Context
from langchain_redis_session._operations.decoding import decode_summaries, parse_sound_record
from langchain_redis_session.models import (
    SessionKey,
    Summary,
)
from langchain_redis_session.scripts import bindings
from langchain_redis_session.scripts.replies import Status


class SummaryTask(NamedTuple):
    """A summary that is to be made, if it is worth it.

    Attributes:
        key: The session.
        filter_key: Of which events; "" = of the whole session.
        force: Whether to make it whatever the trigger says.
    """

    key: SessionKey
    filter_key: str = ""
    force: bool = False


class SummaryOutcome(NamedTuple):
    """What became of a task.

    Attributes:
        summary: The newest summary, if there is one.
        is_new: Whether the task has made it.
        busy_ms: Where another process is at this session: how long it may take.
    """

    summary: Summary | None
    is_new: bool = False
    busy_ms: int = 0


def get_summary(context: Context, key: SessionKey, filter_key: str) -> Flow[Summary | None]:
    """Read the summary of a filter key, else the whole session's."""
    keys = context.keyspace.session(key)
    found = yield from _read(context, keys, [filter_key, ""])
    return found.get(filter_key) or found.get("")


def list_summaries(context: Context, key: SessionKey) -> Flow[list[Summary]]:
    """Read all summaries of a session, the whole session's first."""
    keys = context.keyspace.session(key)
    index = yield ("HGET", keys.summaries, keys.summary_index)
    filter_keys = {"", *parse_summary_index(index or b"")}
    found = yield from _read(context, keys, sorted(filter_keys))
    return [found[filter_key] for filter_key in sorted(found)]


def _read(
    context: Context, keys: SessionKeys, filter_keys: Sequence[str]
) -> Flow[dict[str, Summary]]:
    found = yield from bindings.get_summaries(
        keys, session_ttl_ms=context.options.session_ttl, filter_keys=filter_keys
    )
    if found.status is Status.MISSING:
        return {}
    record = yield from parse_sound_record(context, keys.sessions, found.record)
    ours = dict(zip(filter_keys, found.summaries, strict=True))
    cutoffs = found.foreign_cutoffs
    return (yield from decode_summaries(context, keys, record, ours, found.foreign, cutoffs))
