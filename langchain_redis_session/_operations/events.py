"""Writing events and state: append, clear, remove."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from langchain_core.messages import BaseMessage

from langchain_redis_session._codec import decode_event, encode_event
from langchain_redis_session._flow import Argument, Flow, call_script
from langchain_redis_session._keys import SessionKeys
from langchain_redis_session._operations.context import Context
from langchain_redis_session._operations.purge import purge_expired
from langchain_redis_session._operations.state import StateChange, route_state, update_app_state
from langchain_redis_session._operations.windows import format_score
from langchain_redis_session._record import change_state, get_core, start_record
from langchain_redis_session.errors import (
    BackendUnavailableError,
    CorruptEventError,
    EventTooLargeError,
    SessionNotFoundError,
)
from langchain_redis_session.models import AppendResult, Event, SessionKey

_FRESH, _STORED = 1, 2
_MOST_TRIES = 100
"""A lost race repeats a write; each is lost only to a change of state by somebody else."""

Create = Literal["", "1", "new"]
_AUTHORS = {"human": "user", "ai": "assistant"}


def make_events(
    messages: Sequence[BaseMessage],
    *,
    time_ns: int,
    author: str | None,
    state_delta: dict[str, Any] | None,
    **members: Any,
) -> list[Event]:
    """Make an event of each message; the last one carries the state."""
    events = [
        Event(
            message,
            author=author or _AUTHORS.get(message.type.removesuffix("MessageChunk").lower(), ""),
            time_ns=time_ns,
            **members,
        )
        if isinstance(message, BaseMessage)
        # The codec refuses it, and says which one it is.
        else Event(message, time_ns=time_ns)
        for message in messages
    ]
    if state_delta:
        if not events:
            events.append(Event(author=author or "", time_ns=time_ns, **members))
        events[-1].state_delta = dict(state_delta)
    return events


@dataclass
class _Write:
    """One call of the append script, until it went through."""

    context: Context
    key: SessionKey
    keys: SessionKeys
    create: Create
    drop_names: Collection[str]
    members: list[bytes]
    ids: list[str]
    scores: list[str]
    changes: list[StateChange]
    once: bool
    fresh: list[int]
    record: bytes = b""
    index: list[Argument] = field(default_factory=lambda: [0, ""])

    def script_keys(self) -> list[bytes]:
        keys = self.keys
        return [
            keys.sessions,
            keys.events,
            keys.message_index,
            keys.track_index,
            keys.user_state,
            *([keys.app_state] if self._app_state_is_near() else []),
        ]

    def _app_state_is_near(self) -> bool:
        return self.context.options.hash_tag == "app"

    def app_state(self, fates: Sequence[int]) -> dict[str, bytes]:
        """What is left to set after the script, where it can't reach the app's state."""
        if self._app_state_is_near():
            return {}
        # Of stored events too: a try before this one may have stopped half-way.
        return StateChange.merge(
            change
            for change, fate in zip(self.changes, fates, strict=True)
            if fate in (_FRESH, _STORED)
        ).app

    def args(self) -> list[Argument]:
        options = self.context.options
        change = StateChange.merge(self.changes[place] for place in self.fresh)
        replacement = b""
        expected = b""
        if self.record:
            expected = get_core(self.record)
            replacement = change_state(
                self.record,
                self.key.session_id,
                set_values=change.session,
                drop_names=self.drop_names,
            )
        events: list[Argument] = [len(self.members)]
        for score, member, message_id in zip(self.scores, self.members, self.ids, strict=True):
            events += (score, member, message_id)
        changes_state = bool(change.session or self.drop_names)
        return [
            self.keys.session_field,
            self.create,
            start_record(self.key.session_id, change.session) if self.create else "",
            options.session_event_limit or 0,
            options.session_ttl,
            options.user_state_ttl,
            options.app_state_ttl,
            self.context.field_ttl_flag,
            int(self.once),
            int(changes_state),
            expected,
            replacement,
            ",".join(str(place + 1) for place in self.fresh) if change and self.members else "",
            *events,
            *_flatten(change.user),
            *_flatten(change.app if self._app_state_is_near() else {}),
            *self.index,
        ]


def _flatten(fields: dict[str, bytes]) -> list[Argument]:
    flat: list[Argument] = [len(fields)]
    for name, value in fields.items():
        flat += (name.encode("utf-8", "surrogatepass"), value)
    return flat


def append_events(
    context: Context,
    key: SessionKey,
    events: Sequence[Event],
    *,
    create: bool = False,
    once: bool = False,
) -> Flow[AppendResult]:
    """Append events with their state changes, in one script.

    Raises:
        SessionNotFoundError: There is no such session, and `create` is false.
        UnserializableMessageError: An event holds what JSON can't carry.
        EventTooLargeError: An event's JSON is over `max_event_bytes`.
    """
    if not events:
        return AppendResult([], 0, 0)
    changes = [
        route_state(event.state_delta, f"events[{place}].state_delta")
        for place, event in enumerate(events)
    ]
    fates, scores, removed = yield from _write(
        context, key, events, changes, create="1" if create else "", once=once
    )
    for event, score in zip(events, scores, strict=True):
        event.score = score
    kept = [event for event, fate in zip(events, fates, strict=True) if fate in (_FRESH, _STORED)]
    return AppendResult(kept, fates.count(_FRESH), removed)


def write_state(
    context: Context,
    key: SessionKey,
    change: StateChange,
    *,
    create: Create = "",
    drop_names: Collection[str] = (),
) -> Flow[bool]:
    """Change state without an event; gives whether anything was written."""
    fates, _, _ = yield from _write(
        context, key, [], [change], create=create, drop_names=drop_names
    )
    return fates is not None


def _encode(context: Context, events: Sequence[Event]) -> list[bytes]:
    most = context.options.max_event_bytes
    encoded = []
    for place, event in enumerate(events):
        data = encode_event(
            event, unserializable_artifacts=context.options.unserializable_artifacts
        )
        if len(data) > most:
            raise EventTooLargeError(
                f"events[{place}] has {len(data):,} bytes of JSON, the most is {most:,}; store "
                "large content elsewhere and keep a link, or raise max_event_bytes"
            )
        encoded.append(data)
    return encoded


def _write(
    context: Context,
    key: SessionKey,
    events: Sequence[Event],
    changes: list[StateChange],
    *,
    create: Create,
    once: bool = False,
    drop_names: Collection[str] = (),
) -> Flow[tuple[Any, list[float | None], int]]:
    keys = context.keyspace.session(key)
    ids = [(event.message and event.message.id) or "" for event in events]
    write = _Write(
        context,
        key,
        keys,
        create,
        drop_names,
        _encode(context, events),
        [message_id.encode("utf-8", "surrogatepass") for message_id in ids],  # type: ignore[misc]
        [format_score(event.time_ns) for event in events],
        changes,
        once and any(ids),
        list(range(len(changes))),
    )
    for _ in range(_MOST_TRIES):
        status, *reply = yield from call_script("append_events", write.script_keys(), write.args())
        if status == b"OK":
            removed, field_ttl, fates, scores = reply
            context.note_field_ttl(field_ttl)
            app_state = write.app_state(fates if events else [_FRESH])
            if app_state:
                yield from update_app_state(context, key.app_name, app_state)
            return fates, [float(s) if s else None for s in scores], removed
        if status == b"EXISTS":
            return None, [], 0
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


def clear_events(context: Context, key: SessionKey) -> Flow[int]:
    """Remove a session's events and summaries; gives how many events there were."""
    keys = context.keyspace.session(key)
    _, _, newest = yield from call_script(
        "read_events", [keys.events], ["newest", "+inf", "-inf", 0, 1]
    )
    return (
        yield from _remove(
            context,
            key,
            "clear_events",
            [
                keys.sessions,
                keys.events,
                keys.message_index,
                keys.track_index,
                keys.summaries,
            ],
            [
                keys.session_field,
                keys.summary_field,
                context.options.session_ttl,
                context.field_ttl_flag,
                newest[1] if newest else "-inf",
            ],
        )
    )


def remove_events(context: Context, key: SessionKey, entries: Iterable[bytes]) -> Flow[int]:
    """Remove these entries; gives how many were there."""
    keys = context.keyspace.session(key)
    return (
        yield from _remove(
            context,
            key,
            "remove_events",
            [keys.sessions, keys.events, keys.message_index, keys.track_index],
            [keys.session_field, context.options.session_ttl, context.field_ttl_flag, *entries],
        )
    )


def _remove(
    context: Context, key: SessionKey, script: str, keys: list[bytes], args: list[Argument]
) -> Flow[int]:
    for _ in range(_MOST_TRIES):
        reply = yield from call_script(script, keys, args)
        if reply[0] != b"FOREIGN":
            removed, field_ttl = reply
            context.note_field_ttl(field_ttl)
            return int(removed)
        # An append of nothing rewrites the record in our order.
        yield from write_state(context, key, StateChange())
    raise BackendUnavailableError(f"{key} is being rewritten by others all the time; try again")
