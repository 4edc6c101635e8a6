"""Broken entries under every read method: nothing raises, and no neighbour is lost.

What is planted beside a session that is whole is one *kind* of entry, many at a time; where a
batch fails, each of it is tried alone.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

import redis
from langchain_core.messages import HumanMessage

from langchain_redis_session import (
    Event,
    RedisSessionError,
    RedisSessionService,
    SessionKey,
    TrackEvent,
)
from langchain_redis_session._codec.events import encode_event
from langchain_redis_session._codec.track_events import encode_track_event
from langchain_redis_session._keys.memory import NamespaceKeys
from langchain_redis_session._keys.zset import HashTag, Keyspace
from tests.fuzz import reads
from tests.fuzz.entries import NOON
from tests.fuzz.findings import Finding
from tests.fuzz.reads import Read

APP = "fuzz"
STEP = 1024
_TRACK_END = encode_track_event(TrackEvent("t", "good", id="good", time_ns=NOON + 10**9))
_GOOD_EVENTS = {
    encode_event(Event(HumanMessage(text), id=f"{n:032x}", time_ns=NOON + n * 10**6)): float(
        NOON + n * 10**6
    )
    for n, text in enumerate(reads.GOOD)
}
_ITEM = b'{"value":{"likes":"tea"},"createdAtUs":5,"updatedAtUs":6}'
_TIME = "2026-09-01T00:00:00Z"

BATCHES = {"event": 500, "track": 500, "state": 200, "memory": 200, "usage": 200}
"""Of how many entries a session is given that many at a time."""
IN_SESSIONS = 20
"""Of the others, so many sessions have one each."""

_YEARS_S = 10 * 365 * 24 * 3600.0
_OPTIONS: list[Mapping[str, Any]] = [
    {},
    {"key_prefix": "p:x", "hash_tag": "user"},
    {"session_ttl": _YEARS_S, "refresh_ttl_on_read": True, "track_usage": True},
    {"session_ttl": _YEARS_S, "per_field_ttl": False, "use_evalsha": False},
    {"session_event_limit": None, "track_event_limit": None},
]


@dataclass
class Field:
    """Where entries are planted: a server of its own, which is emptied each time.

    Attributes:
        client: A client for raw bytes.
        at_once: Under how many of the methods that read everything, and under how many of the
            others, a batch is put: under the next ones each time. None = under all.
        calls: How many calls have been made.
    """

    client: redis.Redis
    at_once: int | None = None
    calls: int = 0

    def __post_init__(self) -> None:
        self._turns = count()
        self._services = [
            RedisSessionService(
                client=self.client, summarizer=lambda _: "s", auto_summarize=False, **options
            )
            for options in _OPTIONS
        ]

    def close(self) -> None:
        """Close what it has opened."""
        for service in self._services:
            service.close()

    def try_all(self, kind: str, entries: Sequence[bytes]) -> list[Finding]:
        """Plant entries, and read; where that fails, find out which of them it was."""
        return self._try_parts(kind, entries, next(self._turns))

    def _try_parts(self, kind: str, entries: Sequence[bytes], turn: int) -> list[Finding]:
        error = self._try(kind, entries, turn)
        if not error:
            return []
        if len(entries) == 1:
            return [Finding(kind, entries[0], error)]
        half = len(entries) // 2
        parts = (entries[:half], entries[half:])
        found = [finding for part in parts for finding in self._try_parts(kind, part, turn)]
        return found or [Finding(kind, b"\n".join(entries), f"only together: {error}")]

    def _try(self, kind: str, entries: Sequence[bytes], turn: int) -> str:
        place = turn % len(_OPTIONS)
        name = ""
        try:
            keys = self._plant(kind, entries, _keyspace(place))
            with warnings.catch_warnings():
                # Of tool calls without results, which no model would take.
                warnings.simplefilter("ignore", UserWarning)
                for name, read, key in self._choose(kind, keys, turn):
                    self.calls += 1
                    self._call(name, read, self._services[place], keys, key)
        except Exception as error:
            return f"{_describe(error)} ({name})"
        return ""

    def _call(
        self,
        name: str,
        read: Read,
        service: RedisSessionService,
        keys: Sequence[SessionKey],
        key: SessionKey,
    ) -> None:
        result = read(service, key)
        if name == "list_sessions" and {session.key for session in result} != {*keys}:
            raise AssertionError("a session is lost")

    def _choose(
        self, kind: str, keys: Sequence[SessionKey], turn: int
    ) -> Iterator[tuple[str, Read, SessionKey]]:
        """Say what is called, for whom."""
        for key in keys[1:]:
            for group in _GROUPS.get(kind, (reads.SESSION,)):
                yield from self._take_turns(group, turn, key)
        yield "get_messages of the whole session", reads.WHOLE["get_messages"], keys[0]
        yield "list_sessions", reads.USER["list_sessions"], keys[0]
        yield from self._take_turns(reads.USER, turn, keys[1])
        for key in keys[1:]:
            for name, write in reads.WRITES.items():
                yield name, write, key

    def _take_turns(
        self, group: Mapping[str, Read], turn: int, key: SessionKey
    ) -> Iterator[tuple[str, Read, SessionKey]]:
        count = len(group) if self.at_once is None else min(self.at_once, len(group))
        for place in range(turn * count, (turn + 1) * count):
            name = [*group][place % len(group)]
            yield name, group[name], key

    def _plant(self, kind: str, entries: Sequence[bytes], space: Keyspace) -> Sequence[SessionKey]:
        """Plant entries in all sessions but the first; gives the sessions."""
        self.client.flushdb()
        bad_count = 1 if kind in BATCHES else len(entries)
        names = ["whole", *(f"bad{number}" for number in range(bad_count))]
        sessions = [SessionKey(APP, "u", name) for name in names]
        with self.client.pipeline(transaction=False) as pipeline:
            for session in sessions:
                _plant_good(pipeline, space, session)
            if kind in BATCHES:
                _plant_many(pipeline, space, sessions[1], kind, entries)
            else:
                for session, entry in zip(sessions[1:], entries, strict=True):
                    _plant_one(pipeline, space, session, kind, entry)
            pipeline.execute()
        return sessions

    def try_wrong_types(self) -> list[Finding]:
        """Put a string, a list and a stream where our keys are; errors are ours, if any."""
        findings = []
        service, space = self._services[0], _keyspace(0)
        keys = space.session(SessionKey(APP, "u", "bad0"))
        names = [*keys.common, keys.track("t"), keys.app_state, keys.user_state, keys.usage]
        names += [_memory(space).index, _memory(space).items]
        for name in dict.fromkeys(names):
            for put in (
                lambda n: self.client.set(n, "x"),
                lambda n: self.client.rpush(n, "x"),
                lambda n: self.client.xadd(n, {"a": "b"}),
            ):
                self.client.flushdb()
                _, key = self._plant("event", [b"x"], space)
                self.client.delete(name)
                put(name)
                for read, call in {**reads.READS, **reads.WRITES}.items():
                    self.calls += 1
                    try:
                        call(service, key)
                    except (RedisSessionError, AssertionError):
                        continue
                    except Exception as error:
                        findings.append(Finding(f"type, {read}", name, _describe(error)))
        return findings


def _plant_good(pipeline: Any, space: Keyspace, session: SessionKey) -> None:
    keys, memory = space.session(session), _memory(space)
    record = {"id": session.session_id, "state": {"tracks": "WyJ0Il0="}}
    times = {"createdAt": _TIME, "updatedAt": _TIME}
    pipeline.hset(keys.sessions, keys.session_field, json.dumps(record | times))
    pipeline.zadd(keys.events, _GOOD_EVENTS)
    pipeline.zadd(keys.track("t"), {_TRACK_END: float(NOON + 10**9)})
    pipeline.sadd(keys.track_index, "t")
    pipeline.zadd(memory.index, {memory.namespace: 0})
    pipeline.hset(memory.items, "good", _ITEM)


def _plant_many(
    pipeline: Any, space: Keyspace, session: SessionKey, kind: str, entries: Sequence[bytes]
) -> None:
    keys, memory = space.session(session), _memory(space)
    scores = {entry: float(NOON + STEP * n) for n, entry in enumerate(entries)}
    values = {f"k{n}": entry for n, entry in enumerate(entries)}
    if kind == "event":
        pipeline.zadd(keys.events, scores)
    elif kind == "track":
        pipeline.zadd(keys.track("t"), scores)
    elif kind == "memory":
        pipeline.hset(memory.items, mapping=values)
        pipeline.hset(memory.items, mapping=dict.fromkeys(entries, _ITEM))
        pipeline.zadd(memory.index, dict.fromkeys(entries, 0))
    elif kind == "usage":
        for name in (keys.usage, keys.session_usage):
            pipeline.hset(name, mapping={entry: entry[-20:] for entry in entries})
            pipeline.hset(name, mapping=dict.fromkeys(entries[::2], b"7"))
    else:
        for name in (keys.app_state, keys.user_state):
            pipeline.hset(name, mapping=values)


def _plant_one(
    pipeline: Any, space: Keyspace, session: SessionKey, kind: str, entry: bytes
) -> None:
    keys = space.session(session)
    places = {
        "record": (keys.sessions, keys.session_field),
        "summary": (keys.summaries, keys.summary("")),
        "foreign": (keys.summaries, keys.session_field),
        "index": (keys.summaries, keys.summary_index),
    }
    name, field = places[kind]
    pipeline.hset(name, field, entry)


_GROUPS: dict[str, Sequence[Mapping[str, Read]]] = {
    "event": (reads.WHOLE, reads.LAST),
    "track": (reads.TRACK,),
    "state": (reads.SESSION,),
    "memory": ({"memory": reads.USER["memory"]},),
    "usage": ({n: reads.USER[n] for n in ("get_usage", "get_session_usage")},),
}


def _memory(space: Keyspace) -> NamespaceKeys:
    return space.user_memory(APP, "u").namespace(b"fuzz:")


def _keyspace(place: int) -> Keyspace:
    options = _OPTIONS[place]
    tag: HashTag = options.get("hash_tag", "app")
    return Keyspace(options.get("key_prefix", ""), tag)


def _describe(error: Exception) -> str:
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    where = f"{frame.tb_frame.f_code.co_name}:{frame.tb_lineno}" if frame else ""
    return f"{type(error).__name__} in {where}: {str(error)[:200]}"
