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
from types import MappingProxyType
from typing import Any, NamedTuple

from langchain_redis_session._codec.corruption import decoder
from langchain_redis_session._codec.plain_json import check_depth, dump_exactly
from langchain_redis_session._codec.state_values import decode_state_value
from langchain_redis_session._times import parse_time
from langchain_redis_session.errors import CorruptEventError

TRACKS = "tracks"
"""The state name that holds the track names, trpc-agent-go's index."""

WINDOW_PREFIX = "langchain:window:"
"""Begins the state names that hold the event which a stable window begins with."""

TAIL_BYTES = 256
"""The end of a record, in which scripts find all that they look for."""
_CREATED = re.compile(rb'.*"createdAt":"([^"]*)"', re.DOTALL)
_UPDATED = re.compile(rb'.*"updatedAt"\s*:\s*"([^"]*)"', re.DOTALL)
_LIMIT = re.compile(rb'"eventLimit":\d+,"createdAt":"[^"]*"\Z')


def _read_tail(record: bytes) -> tuple[bytes, int | None, bytes] | None:
    """The end of the core, the expiry in ms or None, and `updatedAt`; None for a foreign record.

    As `read_tail` in scripts/_record.lua.
    """
    head, mark, rest = record[-TAIL_BYTES:].rpartition(b',"updatedAt":"')
    updated = rest[:-2]
    if not mark or not rest.endswith(b'"}') or b'"' in updated:
        return None
    core, mark, expires = head.rpartition(b',"expiresAtMs":')
    if mark and expires.isdigit():
        return core, int(expires), updated
    return head, None, updated


def get_core(record: bytes) -> bytes:
    """The part that scripts compare; the whole of a record that ends otherwise (foreign)."""
    tail = _read_tail(record)
    if tail is None:
        return record
    return record[: max(0, len(record) - TAIL_BYTES) + len(tail[0])]


@decoder("a time")
def _read_time(text: str | bytes) -> int:
    return parse_time(text.decode() if isinstance(text, bytes) else text)


@decoder("track names")
def _read_names(text: str) -> Any:
    return json.loads(check_depth(b64decode(text)))


@decoder("a state value")
def _read_state_value(text: str) -> Any:
    return decode_state_value(b64decode(text))


def get_created_text(record: bytes) -> bytes:
    """What tells a session from a later one of the same id; `is_made_at` of scripts compares it."""
    match = _CREATED.match(record)
    return match[1] if match else b""


def parse_created(record: bytes) -> int:
    """When a session was made, in ns, without reading the rest of its record; 0 if unknown."""
    try:
        return _read_time(get_created_text(record))
    except CorruptEventError:
        return 0


def _encode_state(state: Mapping[str, bytes]) -> dict[str, str]:
    return {name: b64encode(value).decode() for name, value in state.items()}


def _dump(members: Mapping[str, Any]) -> bytes:
    text = json.dumps(members, ensure_ascii=False, separators=(",", ":"))
    try:
        return text.encode()
    except UnicodeEncodeError:  # lone surrogates stand as escapes
        return json.dumps(members, separators=(",", ":")).encode()


def parse_times(record: bytes, session_ttl_ms: int) -> tuple[int, int | None]:
    """When a record was written last, in ns, and when its session is over, in ms; None = never.

    As `expiry_of` in scripts/_record.lua: a record that says nothing is judged by its last write,
    unless it has an event limit.
    """
    tail = _read_tail(record)
    if tail is not None:
        core, expires_ms, updated = tail
    else:
        found = _UPDATED.match(record[-TAIL_BYTES:]) or _UPDATED.match(record)
        core, expires_ms, updated = b"", None, found[1] if found else b""
    try:
        updated_ns = _read_time(updated)
    except CorruptEventError:
        return 0, expires_ms
    if expires_ms is None and session_ttl_ms and not _LIMIT.search(core[-100:]):
        expires_ms = updated_ns // 1_000_000 + session_ttl_ms
    return updated_ns, expires_ms


def measure_state(state: Mapping[str, bytes]) -> int:
    """At least how many bytes a state takes in a record.

    >>> measure_state({"city": b'"Paris"'}), len('"city":"IlBhcmlzIg=="')
    (21, 21)
    """
    return sum(len(name) + 5 + (len(value) + 2) // 3 * 4 for name, value in state.items())


def start_record(session_id: str, state: Mapping[str, bytes], event_limit: int | None) -> bytes:
    """The start of a new session's record; the script adds the times.

    >>> start_record("s", {}, None)
    b'{"id":"s","state":{},"eventLimit":0'
    """
    members = {"id": session_id, "state": _encode_state(state), "eventLimit": event_limit or 0}
    return _dump(members)[:-1]


@decoder("a session's record")
def _load(record: bytes) -> dict[str, Any]:
    members = json.loads(check_depth(record))
    if not isinstance(members, dict):
        raise CorruptEventError(f"a session's record is {type(members).__name__}, not an object")
    return members


def change_state(
    record: bytes,
    session_id: str,
    *,
    set_values: Mapping[str, bytes],
    drop_names: Collection[str] = (),
    add_tracks: Collection[str] = (),
) -> bytes:
    """Give the core of `record` with its state changed; unknown members stay."""
    try:
        members = _load(record)
    except CorruptEventError:  # which must not keep the session from being written to
        members = {"id": session_id}
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
    return dump_exactly(names)


def _decode_tracks(value: object) -> list[str]:
    try:
        names = _read_names(value) if isinstance(value, str) else []
    except CorruptEventError:
        return []
    return [n for n in names if isinstance(n, str)] if isinstance(names, list) else []


def read_state(record: bytes) -> dict[str, bytes | None]:
    """The session's state as it is stored, without the index of tracks; None for a null.

    >>> read_state(b'{"id":"s","state":{"city":"IlBhcmlzIg==","gone":null}}')
    {'city': b'"Paris"', 'gone': None}
    """
    try:
        encoded = _load(record).get("state")
    except CorruptEventError:
        return {}
    state: dict[str, bytes | None] = {}
    for name, value in encoded.items() if isinstance(encoded, dict) else ():
        if name != TRACKS:
            try:
                state[name] = None if value is None else b64decode(value)
            except (ValueError, TypeError):  # as if it were not there
                continue
    return state


class Record(NamedTuple):
    """What a record says.

    `is_sound` is false where a part of it could not be read, `is_readable` where nothing could.
    `cuts` has the event ids that stable windows begin with, by the windows' names.
    """

    state: dict[str, Any]
    tracks: tuple[str, ...]
    created_ns: int
    updated_ns: int
    is_sound: bool
    cuts: Mapping[str, Any] = MappingProxyType({})
    is_readable: bool = True


NO_RECORD = Record({}, (), 0, 0, is_sound=False, is_readable=False)


def parse_record(record: bytes) -> Record:
    """Read a record; what can't be read is left out."""
    try:
        return _read_record(record)
    except CorruptEventError:
        return NO_RECORD


@decoder("a session's record")
def _read_record(record: bytes) -> Record:
    members = _load(record)
    encoded = members.get("state") or {}
    is_sound = isinstance(encoded, dict) and "createdAt" in members
    state: dict[str, Any] = {}
    cuts: dict[str, Any] = {}
    for name, value in encoded.items() if isinstance(encoded, dict) else ():
        if name == TRACKS:
            continue
        try:
            decoded = None if value is None else _read_state_value(value)
        except CorruptEventError:
            is_sound = False
            continue
        (cuts if name.startswith(WINDOW_PREFIX) else state)[name] = decoded
    times = []
    for member in ("createdAt", "updatedAt"):
        try:
            times.append(_read_time(members.get(member, "")))
        except CorruptEventError:
            is_sound = False
            times.append(0)
    tracks = encoded.get(TRACKS) if isinstance(encoded, dict) else None
    return Record(state, tuple(_decode_tracks(tracks)), times[0], times[1], is_sound, cuts)
