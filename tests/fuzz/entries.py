"""Broken entries under every read method: nothing raises, and no neighbour is lost.

What is planted beside two sessions that are whole is one *kind* of entry, many at a time; where
a batch fails, each of it is tried alone.
"""

from __future__ import annotations

import html
import json
import warnings
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from random import Random
from typing import Any

import redis
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from langchain_redis_session import (
    CorruptEventError,
    Event,
    RedisSessionChatMessageHistory,
    RedisSessionError,
    RedisSessionService,
    SessionKey,
    TrackEvent,
    read_runs,
)
from langchain_redis_session._codec.events import encode_event
from langchain_redis_session._codec.track_events import encode_track_event
from langchain_redis_session._keys.zset import Keyspace
from tests.fuzz.findings import Finding
from tests.fuzz.mutations import break_bytes
from tests.processes import ROOT

APP = "fuzz"
NOON = 1_790_000_000_000_000_000
STEP = 1024
GOOD = [f"good {number}" for number in range(4)]


def make_seeds() -> dict[str, list[bytes]]:
    """Give whole entries of each kind, ours and trpc-agent-go's."""
    call = {
        "name": "add",
        "args": {"a": 1, "rows": ["a long text, to be referred to" * 3]},
        "id": "c",
    }
    long = "a text that is long enough to be referred to, and not repeated"
    blocks: list[str | dict[Any, Any]] = [
        {"type": "text", "text": long},
        {"type": "image_url", "image_url": {"url": "https://a.b/c.png"}},
        {"type": "tool_use", "id": "c", "name": "add", "input": call["args"]},
    ]
    usage: Any = {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}
    messages: list[BaseMessage] = [
        HumanMessage("hi"),
        AIMessage(
            long, id="r1", usage_metadata=usage, response_metadata={"model": "m", "n": 2**70}
        ),
        AIMessage(blocks, tool_calls=[call], additional_kwargs={"reasoning_content": "so"}),
        AIMessage([blocks[0], {"type": "reasoning", "reasoning": long}], id="\ud800"),
        ToolMessage(long, tool_call_id="c", artifact={"raw": b"x", "nan": float("nan")}),
    ]
    events = [
        encode_event(
            Event(message, id=f"seed{place}", time_ns=NOON, state_delta={"k": [1]}, extra={"z": {}})
        )
        for place, message in enumerate(messages)
    ]
    events.append(
        encode_event(Event(id="state", time_ns=NOON, state_delta={"user:k": 1, "x": b"y"}))
    )
    tracks = [
        encode_track_event(TrackEvent("t", payload, id="t1", time_ns=NOON))
        for payload in (
            {"event": "start", "run_id": "r", "kind": "chain", "name": "n", "input": {"a": long}},
            {"event": "end", "run_id": "r", "output": [1, {"b": "c"}], "duration_ms": 3.5},
            [1, 2, {"$lc": ["int", "0x1"]}],
        )
    ]
    for line in (ROOT / "tests/fixtures/trpc/zset.jsonl").read_text("utf-8").splitlines():
        stored = json.loads(line)
        for member, _ in stored["members"] if stored["type"] == "zset" else ():
            kind = tracks if stored["key"].startswith("track:") else events
            kind.append(b64decode(member))
    time = "2026-11-23T11:13:00.123456789Z"
    state = {"city": "IlBhcmlzIg==", "tracks": b64encode(b'["t"]').decode(), "gone": None}
    record = {"id": "bad", "state": state, "eventLimit": 9, "createdAt": time, "updatedAt": time}
    boundary = {"version": 1, "filter_key": "", "cutoff_at": time, "last_event_id": "seed0"}
    summary = {"summary": long, "topics": ["a"], "updated_at": time, "boundary": boundary}
    ours = {**summary, "boundary": {**boundary, "cutoff_score": str(NOON)}}
    return {
        "event": events,
        "track": tracks,
        "record": [_dump(record), _dump({**record, "expiresAtMs": 1, "generation": 3})],
        "summary": [_dump(ours)],
        "foreign": [_dump({"": summary, "app/tools": summary})],
        "index": [b"3:app9:app/tools", b""],
        "state": [b'{"a":[1,"x"]}', b"1", b"raw \xff"],
    }


def _dump(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def generate(seed: int, seeds: dict[str, list[bytes]]) -> Iterator[tuple[str, bytes]]:
    """Give broken entries with their kind, without an end."""
    random = Random(seed)
    weights = [1 if kind not in MANY_AT_ONCE else _WEIGHTS[kind] for kind in seeds]
    while True:
        (kind,) = random.choices([*seeds], weights)
        yield kind, break_bytes(random.choice(seeds[kind]), random)


_WEIGHTS = {"event": 200, "track": 40, "state": 20}
MANY_AT_ONCE = frozenset(_WEIGHTS)
"""The kinds of which a session has many: they are tried many at a time."""


@dataclass
class Field:
    """Where entries are planted: a server of its own, which is emptied each time.

    Attributes:
        client: A client for raw bytes.
        reads: How many calls have been made.
    """

    client: redis.Redis
    reads: int = 0

    def __post_init__(self) -> None:
        self._numbers = count()
        self.service = RedisSessionService(client=self.client)

    def close(self) -> None:
        """Close what it has opened."""
        self.service.close()

    def try_all(self, kind: str, entries: Sequence[bytes]) -> list[Finding]:
        """Plant entries, and read; where that fails, find out which of them it was."""
        error = self._try(kind, entries)
        if not error:
            return []
        if len(entries) == 1:
            return [Finding(kind, entries[0], error)]
        half = len(entries) // 2
        parts = (entries[:half], entries[half:])
        found = [finding for part in parts for finding in self.try_all(kind, part)]
        return found or [Finding(kind, b"\n".join(entries), f"only together: {error}")]

    def _try(self, kind: str, entries: Sequence[bytes]) -> str:
        user = f"u{next(self._numbers)}"
        whole, bad = SessionKey(APP, user, "whole"), SessionKey(APP, user, "bad")
        self.client.flushdb()
        try:
            self._plant(kind, entries, whole, bad)
            with warnings.catch_warnings():
                # Of tool calls without results, which no model would take.
                warnings.simplefilter("ignore", UserWarning)
                self._read_all(kind, whole, bad)
        except Exception as error:
            return _describe(error)
        return ""

    def _plant(
        self, kind: str, entries: Sequence[bytes], whole: SessionKey, bad: SessionKey
    ) -> None:
        service, keys = self.service, Keyspace("", "app").session(bad)
        for key in (whole, bad):
            service.create_session(key.app_name, key.user_id, key.session_id)
            service.append_events(
                key,
                [
                    Event(HumanMessage(text), id=f"{n:032x}", time_ns=NOON + n * 10**6)
                    for n, text in enumerate(GOOD)
                ],
            )
            service.append_track_event(key, "t", "good")
        if kind == "event":
            scores = {entry: NOON + STEP * n for n, entry in enumerate(entries)}
            self.client.zadd(keys.events, scores)
        elif kind == "track":
            self.client.zadd(keys.track("t"), {e: NOON + STEP * n for n, e in enumerate(entries)})
        elif kind == "state":
            for name in (keys.app_state, keys.user_state):
                self.client.hset(name, mapping={f"k{n}": e for n, e in enumerate(entries)})
        elif kind == "record":
            self.client.hset(keys.sessions, keys.session_field, entries[0])
        else:
            fields = {
                "summary": keys.summary(""),
                "foreign": keys.session_field,
                "index": keys.summary_index,
            }
            self.client.hset(keys.summaries, fields[kind], entries[0])

    def _read_all(self, kind: str, whole: SessionKey, bad: SessionKey) -> None:
        service = self.service
        for name, read in READS.items():
            self.reads += 1
            result = read(service, bad)
            if name in _TEXTS and not _has_good(_TEXTS[name](result)):
                raise AssertionError(f"{name} has lost a neighbour")
        listed = {session.key for session in service.list_sessions(APP, bad.user_id)}
        if listed != {whole, bad}:
            raise AssertionError("list_sessions has lost a session")
        if not _has_good(_texts_of(service.get_messages(whole))):
            raise AssertionError("the other session has lost messages")
        for strict in STRICT:
            self.reads += 1
            try:
                strict(service, bad)
            except CorruptEventError:
                continue
        # It can still be written to.
        service.append_messages(bad, [HumanMessage("later")])
        service.append_track_event(bad, "t", 1)
        if service.get_messages(bad, limit=1)[-1].content != "later":
            raise AssertionError("what was appended is not the newest")


def _describe(error: Exception) -> str:
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    where = f"{frame.tb_frame.f_code.co_name}:{frame.tb_lineno}" if frame else ""
    return f"{type(error).__name__} in {where}: {str(error)[:200]}"


def _texts_of(messages: Sequence[Any]) -> list[str]:
    contents = [getattr(message, "content", None) for message in messages]
    return [content for content in contents if isinstance(content, str)]


def _has_good(texts: Sequence[str]) -> bool:
    good = iter(GOOD)
    wanted = next(good)
    for text in texts:
        if text == wanted:
            wanted = next(good, "")
            if not wanted:
                return True
    return False


def _history(service: RedisSessionService, key: SessionKey, **options: Any) -> Any:
    history = RedisSessionChatMessageHistory(
        key.session_id, user_id=key.user_id, app_name=key.app_name, service=service, **options
    )
    return history.messages


def _show(service: RedisSessionService, key: SessionKey) -> None:
    session = service.get_session(key)
    assert session is not None
    _require_shown(session, *session.events, *(found for found in (session.summary,) if found))
    for event in session.events:
        event.timestamp  # noqa: B018


def _show_runs(service: RedisSessionService, key: SessionKey) -> None:
    events = service.get_track_events(key, "t")
    _require_shown(events, read_runs(events))


def _require_shown(*values: Any) -> None:
    """Showing never raises; but what it shows has to be the value."""
    for value in values:
        for text in (repr(value), value._repr_html_()):
            assert "can't be shown: " not in html.unescape(text), text


READS: dict[str, Callable[[RedisSessionService, SessionKey], Any]] = {
    "get_session": lambda s, k: s.get_session(k),
    "get_session, last": lambda s, k: s.get_session(k, limit=3, start_on="human"),
    "get_events": lambda s, k: s.get_events(k),
    "get_events, last": lambda s, k: s.get_events(k, limit=2, offset=1),
    "get_messages": lambda s, k: s.get_messages(k),
    "get_messages, last": lambda s, k: s.get_messages(k, limit=2),
    "get_summarized_messages": lambda s, k: s.get_summarized_messages(k),
    "count_events": lambda s, k: s.count_events(k),
    "get_event_window": lambda s, k: s.get_event_window(k, f"{1:032x}"),
    "search_events": lambda s, k: s.search_events(k, "good"),
    "list_sessions": lambda s, k: s.list_sessions(APP, k.user_id, include_events=True),
    "list_users": lambda s, k: s.list_users(APP),
    "list_apps": lambda s, k: s.list_apps(),
    "get_user_state": lambda s, k: s.get_user_state(APP, k.user_id),
    "get_app_state": lambda s, k: s.get_app_state(APP),
    "get_track_events": lambda s, k: s.get_track_events(k, "t"),
    "list_tracks": lambda s, k: s.list_tracks(k),
    "get_summary": lambda s, k: s.get_summary(k, "app/tools"),
    "list_summaries": lambda s, k: s.list_summaries(k),
    "history": _history,
    "history, window": lambda s, k: _history(s, k, max_messages=3),
    "history, summary": lambda s, k: _history(s, k, include_summary=True),
    "HTML": _show,
    "HTML of runs": _show_runs,
}
"""Every read method of a service and a history, and what shows what was read."""

_TEXTS: dict[str, Callable[[Any], list[str]]] = {
    "get_session": lambda session: _texts_of(session.messages),
    "get_events": lambda events: _texts_of([e.message for e in events]),
    "get_messages": _texts_of,
    "history": _texts_of,
}

STRICT: list[Callable[[RedisSessionService, SessionKey], Any]] = [
    lambda s, k: s.get_session(k, strict=True),
    lambda s, k: s.get_messages(k, strict=True),
    lambda s, k: s.get_track_events(k, "t", strict=True),
]


def try_wrong_types(field: Field) -> list[Finding]:
    """Put a string, a list and a stream where our keys are; errors are ours, if there are any."""
    findings = []
    whole, bad = SessionKey(APP, "types", "whole"), SessionKey(APP, "types", "bad")
    keys = Keyspace("", "app").session(bad)
    names = [*keys.common, keys.track("t"), keys.app_state, keys.user_state]
    for name in dict.fromkeys(names):
        for put in (
            lambda n: field.client.set(n, "x"),
            lambda n: field.client.rpush(n, "x"),
            lambda n: field.client.xadd(n, {"a": "b"}),
        ):
            field.client.flushdb()
            field._plant("event", [b"x"], whole, bad)  # noqa: SLF001
            field.client.delete(name)
            put(name)
            for read, call in READS.items():
                field.reads += 1
                try:
                    call(field.service, bad)
                except RedisSessionError:
                    continue
                except Exception as error:
                    findings.append(Finding(f"type, {read}", name, _describe(error)))
    return findings
