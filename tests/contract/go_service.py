"""Writes what trpc-agent-go's service would, between or beside our own requests."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Any

from langchain_redis_session import Event, SessionKey
from tests.contract.backends import RedisProbe
from tests.contract.intercept import Commands
from tests.contract.store import read_record


def as_go_marshals(members: dict[str, Any]) -> str:
    """JSON without spaces, with `<`, `>` and `&` escaped."""
    text = json.dumps(members, ensure_ascii=False, separators=(",", ":"))
    return re.sub("[<>&]", lambda match: f"\\u{ord(match[0]):04x}", text)


def rewrite_record(probe: RedisProbe, key: SessionKey, tag: str = "{shop}") -> None:
    """Write a session's record anew, as the Go service's writes do.

    Members that it doesn't know are gone, times have lost their trailing zeros, and HSET takes
    the field's TTL with it.
    """
    record = json.loads(read_record(probe, key, tag))
    kept = {name: record[name] for name in ("id", "state", "generation") if name in record}
    times = {
        name: re.sub(r"\.?0+Z$" if "." in record[name] else r"Z$", "Z", record[name])
        for name in ("createdAt", "updatedAt")
    }
    text = as_go_marshals({**kept, **times})
    probe.hset(probe.key(f"sess:{tag}:{key.user_id}"), key.session_id, text)


def pad_created(probe: RedisProbe, key: SessionKey, tag: str = "{shop}") -> None:
    """Let `createdAt` end with zeros, as earlier releases wrote it, whenever that was."""
    record = read_record(probe, key, tag)
    padded, count = re.subn(
        rb'("createdAt":"[^".Z]*)(\.\d{0,3})?\d*Z"',
        lambda match: match[1] + (match[2] or b".").ljust(10, b"0") + b'Z"',
        record,
    )
    assert count == 1
    probe.hset(probe.key(f"sess:{tag}:{key.user_id}"), key.session_id, padded)


def before_script(name: str, action: Callable[[], None]) -> Callable[[Commands], None]:
    """Do something once, right before a script of ours is called."""
    from langchain_redis_session._flow.scripts import load_script

    script = load_script(name)
    todo = [action]

    def before(commands: Commands) -> None:
        called = [command for command in commands if {script.sha, script.source} & {*command}]
        if called and todo:
            todo.pop()()

    return before


def put_go_summary(
    probe: RedisProbe,
    key: SessionKey,
    last: Event,
    *,
    tag: str = "{shop}",
    filter_keys: Sequence[str] = ("",),
    last_event_id: str | None = None,
) -> None:
    """Store the Go service's summary of all events up to one, at that event's own time."""
    from langchain_redis_session._times import format_time, trim_time

    at = trim_time(format_time(last.time_ns))
    boundary = {"version": 1, "cutoff_at": at, "last_event_id": last_event_id or last.id}
    summaries = {
        name: {"summary": f"go {name}".strip(), "updated_at": at, "boundary": boundary}
        for name in filter_keys
    }
    field = probe.key(f"sesssum:{tag}:{key.user_id}")
    probe.hset(field, key.session_id, json.dumps(summaries))
