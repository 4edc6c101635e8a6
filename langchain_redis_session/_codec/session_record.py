"""A session's record: the JSON (SessionData) in the hash of sessions.

It reads `{"id":…,"state":{name: base64 or null},"eventLimit":…,"createdAt":…,"expiresAtMs":…,
"updatedAt":…}`, as trpc-agent-go writes it but for `eventLimit`, the most events that the
session keeps (0 = no limit), and `expiresAtMs` (only there with a TTL): the server's time at
which the session is gone. Scripts keep the last two members; the rest,
the *core*, is made here and opaque to them.
"""

from __future__ import annotations

import json
import re
from base64 import b64decode, b64encode
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from langchain_redis_session._codec.state_values import decode_state_value
from langchain_redis_session._times import parse_time

TRACKS = "tracks"
"""The state name that holds the track names, trpc-agent-go's index."""

# As `split_record` in scripts/_record.lua.
_TAIL = re.compile(rb'(.*),"updatedAt":"[^"]*"\}\Z', re.DOTALL)
_CREATED = re.compile(rb'.*"createdAt":"([^"]*)"', re.DOTALL)
_EXPIRY = re.compile(rb',"expiresAtMs":\d+\Z')


def get_core(record: bytes) -> bytes:
    """The part that scripts compare; the whole of a record that ends otherwise (foreign)."""
    match = _TAIL.match(record)
    return _EXPIRY.sub(b"", match[1]) if match else record


def get_created_text(record: bytes) -> bytes:
    """What tells a session from a later one of the same id; `is_made_at` of scripts compares it."""
    match = _CREATED.match(record)
    return match[1] if match else b""


def parse_created(record: bytes) -> int:
    """When a session was made, in ns, without reading the rest of its record; 0 if unknown."""
    try:
        return parse_time(get_created_text(record).decode())
    except ValueError:
        return 0


def _encode_state(state: Mapping[str, bytes]) -> dict[str, str]:
    return {name: b64encode(value).decode() for name, value in state.items()}


def _dump(members: Mapping[str, Any]) -> bytes:
    text = json.dumps(members, ensure_ascii=False, separators=(",", ":"))
    try:
        return text.encode()
    except UnicodeEncodeError:  # lone surrogates stand as escapes
        return json.dumps(members, separators=(",", ":")).encode()


def start_record(session_id: str, state: Mapping[str, bytes], event_limit: int | None) -> bytes:
    """The start of a new session's record; the script adds the times.

    >>> start_record("s", {}, None)
    b'{"id":"s","state":{},"eventLimit":0'
    """
    members = {"id": session_id, "state": _encode_state(state), "eventLimit": event_limit or 0}
    return _dump(members)[:-1]


def _parse(record: bytes, session_id: str) -> dict[str, Any]:
    try:
        members = json.loads(record)
    except (ValueError, RecursionError):
        members = None
    # What can't be read must not keep the session from being written to.
    return members if isinstance(members, dict) else {"id": session_id}


def change_state(
    record: bytes,
    session_id: str,
    *,
    set_values: Mapping[str, bytes],
    drop_names: Collection[str] = (),
    add_tracks: Collection[str] = (),
) -> bytes:
    """Give the core of `record` with its state changed; unknown members stay."""
    members = _parse(record, session_id)
    members.pop("updatedAt", None)
    members.pop("expiresAtMs", None)
    state = members.get("state")
    state = dict(state) if isinstance(state, dict) else {}
    for name in drop_names:
        state.pop(name, None)
    state.update(_encode_state(set_values))
    names = _decode_tracks(state.get(TRACKS))
    if not set(add_tracks) <= set(names):
        names += [name for name in add_tracks if name not in names]
        state.update(_encode_state({TRACKS: _dump_names(names)}))
    members["state"] = state
    return _dump(members)[:-1]


def _dump_names(names: list[str]) -> bytes:
    return json.dumps(names, ensure_ascii=False, separators=(",", ":")).encode()


def _decode_tracks(value: object) -> list[str]:
    try:
        names = json.loads(b64decode(value)) if isinstance(value, str) else []
    except (ValueError, RecursionError):
        return []
    return [n for n in names if isinstance(n, str)] if isinstance(names, list) else []


def read_state(record: bytes) -> dict[str, bytes | None]:
    """The session's state as it is stored, without the index of tracks; None for a null.

    >>> read_state(b'{"id":"s","state":{"city":"IlBhcmlzIg==","gone":null}}')
    {'city': b'"Paris"', 'gone': None}
    """
    encoded = _parse(record, "").get("state")
    state: dict[str, bytes | None] = {}
    for name, value in encoded.items() if isinstance(encoded, dict) else ():
        if name != TRACKS:
            try:
                state[name] = None if value is None else b64decode(value)
            except (ValueError, TypeError):  # as if it were not there
                continue
    return state


@dataclass(frozen=True, slots=True)
class Record:
    """What a record says. `is_sound` is false where a part of it could not be read."""

    state: dict[str, Any]
    tracks: tuple[str, ...]
    created_ns: int
    updated_ns: int
    is_sound: bool


def parse_record(record: bytes) -> Record:
    """Read a record; what can't be read is left out."""
    members = _parse(record, "")
    encoded = members.get("state") or {}
    is_sound = isinstance(encoded, dict) and "createdAt" in members
    state: dict[str, Any] = {}
    for name, value in encoded.items() if isinstance(encoded, dict) else ():
        if name == TRACKS:
            continue
        try:
            state[name] = None if value is None else decode_state_value(b64decode(value))
        except (ValueError, TypeError):
            is_sound = False
    times = []
    for member in ("createdAt", "updatedAt"):
        try:
            times.append(parse_time(members.get(member, "")))
        except (ValueError, TypeError):
            is_sound = False
            times.append(0)
    tracks = encoded.get(TRACKS) if isinstance(encoded, dict) else None
    return Record(state, tuple(_decode_tracks(tracks)), times[0], times[1], is_sound)
