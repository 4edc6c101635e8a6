"""Writing events and state."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal

from langchain_redis_session._codec.events import decode_event
from langchain_redis_session._codec.session_record import change_state, get_core, start_record
from langchain_redis_session._flow.requests import Argument, Flow
from langchain_redis_session._flow.scripts import call_script
from langchain_redis_session._keys.zset import SessionKeys
from langchain_redis_session._operations.context import Context
from langchain_redis_session._operations.delete_session import purge_expired
from langchain_redis_session._operations.prepared import PreparedEvents
from langchain_redis_session._operations.replicas import call_write
from langchain_redis_session._operations.state import (
    NO_CHANGE,
    StateChange,
    update_app_state,
)
from langchain_redis_session.errors import (
    BackendUnavailableError,
    CorruptEventError,
    SessionNotFoundError,
)
from langchain_redis_session.models import AppendResult, SessionKey

_FRESH, _STORED = 1, 2
_MOST_TRIES = 100
"""A lost race repeats a write; each is lost only to a change of state by somebody else."""

Create = Literal["", "1", "new"]


@lru_cache(maxsize=1024)
def _start_stateless_record(session_id: str) -> bytes:
    return start_record(session_id, {})


@dataclass(slots=True)
class _Write:
    """One call of the append script, until it went through.

    Attributes:
        entries: Score, member and message id of each event.
        changes: The changes of state, by their event's place.
        fresh: The places of the events that are expected to be new.
        record: The record to change; None before it was asked for.
        index: The message index, where it had to be read from the events.
        summary_fields: The summaries that live on with this write: the session's own, and
            those that cover the events' branches.
    """

    context: Context
    key: SessionKey
    keys: SessionKeys
    create: Create
    drop_names: Collection[str]
    entries: list[Argument]
    changes: dict[int, StateChange]
    once: bool
    fresh: Collection[int]
    summary_fields: list[bytes]
    record: bytes | None = None
    index: list[Argument] = field(default_factory=list)

    def script_keys(self) -> list[bytes]:
        keys = self.keys
        near = [*keys.common, keys.user_state]
        return [*near, keys.app_state] if self._app_state_is_near() else near

    def _app_state_is_near(self) -> bool:
        return self.context.options.hash_tag == "app"

    def app_state(self, fates: Sequence[int]) -> dict[str, bytes]:
        """What is left to set after the script, where it can't reach the app's state."""
        if self._app_state_is_near():
            return {}
        # Of stored events too: a try before this one may have stopped half-way.
        return self._merge(place for place, f in enumerate(fates) if f in (_FRESH, _STORED)).app

    def _merge(self, places: Iterable[int]) -> StateChange:
        if not self.changes:
            return NO_CHANGE
        return StateChange.merge(self.changes[place] for place in places if place in self.changes)

    def args(self) -> list[Argument]:
        options, session_id = self.context.options, self.key.session_id
        change = self._merge(self.fresh)
        start = b""
        if self.create:
            start = (
                start_record(session_id, change.session)
                if change.session
                else _start_stateless_record(session_id)
            )
        args: list[Argument] = [
            self.keys.session_field,
            self.create,
            start,
            options.session_event_limit or 0,
            options.session_ttl,
            self.context.field_ttl_flag,
            int(self.once),
            int(self.context.counts_uncovered),
            len(self.summary_fields),
            *self.summary_fields,
            len(self.entries) // 3,
            *self.entries,
        ]
        if change or self.drop_names or self.record is not None or self.index:
            args += self._state_args(change)
            args += self.index
        return args

    def _state_args(self, change: StateChange) -> list[Argument]:
        options = self.context.options
        expected = replacement = b""
        if self.record is not None:
            expected = get_core(self.record)
            replacement = change_state(
                self.record,
                self.key.session_id,
                set_values=change.session,
                drop_names=self.drop_names,
            )
        return [
            int(bool(change.session or self.drop_names)),
            expected,
            replacement,
            ",".join(str(place + 1) for place in self.fresh) if change and self.entries else "",
            options.user_state_ttl,
            *_flatten(change.user),
            options.app_state_ttl,
            *_flatten(change.app if self._app_state_is_near() else {}),
        ]


def _flatten(fields: dict[str, bytes]) -> list[Argument]:
    flat: list[Argument] = [len(fields)]
    for name, value in fields.items():
        flat += (name.encode("utf-8", "surrogatepass"), value)
    return flat


def append_prepared(
    context: Context, key: SessionKey, prepared: PreparedEvents
) -> Flow[AppendResult]:
    """Append events with their state changes, in one script.

    Raises:
        SessionNotFoundError: There is no such session, and it may not be created.
    """
    events = prepared.events
    if not events:
        return AppendResult([], 0, 0)
    fates, scores, removed, uncovered = yield from _write(
        context, key, prepared, create="1" if prepared.create else ""
    )
    kept = []
    for event, score, fate in zip(events, scores, fates, strict=True):
        if score:  # what stands twice in one call has it from the first time
            event.score = float(score)
        if fate in (_FRESH, _STORED):
            kept.append(event)
    limit = context.options.session_event_limit
    written = fates.count(_FRESH)
    context.count_written(prepared.members, fates)
    return AppendResult(
        kept[-limit:] if limit else kept,
        written,
        removed,
        unsummarized=None if uncovered < 0 else uncovered,
    )


def write_state(
    context: Context,
    key: SessionKey,
    change: StateChange,
    *,
    create: Create = "",
    drop_names: Collection[str] = (),
) -> Flow[bool]:
    """Change state without an event; gives whether anything was written."""
    fates, *_ = yield from _write(
        context, key, PreparedEvents([], [], {0: change}), create=create, drop_names=drop_names
    )
    return fates is not None


def _write(
    context: Context,
    key: SessionKey,
    prepared: PreparedEvents,
    *,
    create: Create,
    drop_names: Collection[str] = (),
) -> Flow[tuple[Any, list[bytes], int, int]]:
    keys = context.keyspace.session(key)
    write = _Write(
        context,
        key,
        keys,
        create,
        drop_names,
        prepared.entries,
        prepared.changes,
        prepared.once and any(prepared.entries[2::3]),
        range(len(prepared.events) or 1),
        _find_summaries(keys, prepared.branches),
    )
    for _ in range(_MOST_TRIES):
        status, *reply = yield from call_write(
            context, key, "append_events", write.script_keys(), write.args()
        )
        if status == b"OK":
            removed, field_ttl, fates, scores, lost, uncovered = reply
            context.note_field_ttl(field_ttl)
            context.counters.uncovered_events += lost
            app_state = write.app_state(fates if prepared.events else [_FRESH])
            if app_state:
                yield from update_app_state(context, key.app_name, app_state)
            return fates, scores, removed, uncovered
        if status == b"EXISTS":
            return None, [], 0, -1
        if status == b"MISSING":
            raise SessionNotFoundError(
                f"there is no session {key}; create it with create_session(), or append with "
                "create=True"
            )
        if status == b"PURGE":
            yield from purge_expired(context, key)
        elif status == b"STATE":
            write.record = reply[0]
        elif status == b"FATES":
            write.fresh = [place for place, fate in enumerate(reply[0]) if fate == _FRESH]
        elif status == b"INDEX":
            write.index = yield from _read_message_index(keys)
    raise BackendUnavailableError(
        f"gave up after {_MOST_TRIES} tries to write to {key}: others change its state all the "
        "time; try again"
    )


def _find_summaries(keys: SessionKeys, branches: Sequence[str]) -> list[bytes]:
    """The fields of the summaries that cover these branches, the session's own first."""
    if not branches:  # the usual case
        return [keys.summary_field]
    return [keys.summary(branch) for branch in _branches_above(branches)]


def _branches_above(branches: Iterable[str]) -> list[str]:
    """These branches and all that cover them, the whole session's first.

    >>> _branches_above(["app/tools/search"])
    ['', 'app', 'app/tools', 'app/tools/search']
    """
    found = {""}
    for branch in branches:
        segments = branch.split("/")
        found.update("/".join(segments[:end]) for end in range(1, len(segments) + 1))
    return sorted(found)


def _read_message_index(keys: SessionKeys) -> Flow[list[Argument]]:
    size, _, entries = yield from call_script(
        "read_events", [keys.events], ["newest", "+inf", "-inf", 0, -1]
    )
    pairs: list[Argument] = []
    for entry, score in zip(entries[::2], entries[1::2], strict=True):
        try:
            message = decode_event(entry).message
        except CorruptEventError:
            continue
        if message is not None and message.id:
            pairs += (message.id.encode("utf-8", "surrogatepass"), score)
    return [size, entries[1] if entries else "", *pairs]
