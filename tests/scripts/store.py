"""Calls one script on keys of its own, and shows what it did."""

from __future__ import annotations

import json
from typing import Any, TypeVar
from uuid import uuid4

import redis

from langchain_redis_session._flow.scripts import ScriptCall
from langchain_redis_session._keys.zset import SessionKeys

MINUTE = 60_000
YEAR = 365 * 24 * 60 * MINUTE
CREATED = "2026-01-01T00:00:00.000000000Z"
CORE = '{"id":"s","state":{},"createdAt":"' + CREATED + '"'
CORE_WITH_LIMIT = CORE.replace(',"createdAt"', ',"eventLimit":0,"createdAt"')
"""As trpc-agent-go never writes it: without a lifetime, it was never to have one."""
UPDATED = ',"updatedAt":"2026-01-02T00:00:00.000000000Z"}'
CREATED_BY_GO = "2026-01-01T00:00:00Z"
"""The same time as `CREATED`, as trpc-agent-go writes it."""


R = TypeVar("R")


class Store:
    """The keys of one session, as scripts take them.

    Attributes:
        has_field_ttl: What scripts should find out about the server.
        keys: All of them; the session's id is "s".
    """

    def __init__(self, client: redis.Redis, has_field_ttl: bool) -> None:
        self.client: Any = client
        self.has_field_ttl = has_field_ttl
        self._start = f"script-{uuid4().hex}:"
        self.sessions = self.key("sessions")
        self.events = self.key("events")
        self.index = self.key("index")
        self.tracks = self.key("tracks")
        self.summaries = self.key("summaries")
        self.lease = self.key("lease")
        self.removals = self.key("removals")
        self.user = self.key("user")
        self.app = self.key("app")
        self.keys = SessionKeys(
            sessions=self.sessions,
            events=self.events,
            message_index=self.index,
            track_index=self.tracks,
            summaries=self.summaries,
            summary_lease=self.lease,
            removals=self.removals,
            user_state=self.user,
            app_state=self.app,
            usage=self.key("usage"),
            session_usage=self.key("session usage"),
            track_prefix=self._start,
            session_field=b"s",
            summary_field=b"s:",
        )

    def key(self, name: str) -> bytes:
        return (self._start + name).encode()

    def call(self, call: ScriptCall[R]) -> R:
        """Run a script."""
        return call.parse(self.client.execute_command(*call.by_source()))

    # What is there before.

    def put_record(
        self, *, core: str = CORE, expires: int | None = None, end: str = UPDATED
    ) -> str:
        """Store a session's record; give it."""
        expiry = "" if expires is None else f',"expiresAtMs":{expires}'
        self.client.hset(self.sessions, "s", core + expiry + end)
        return core + expiry + end

    def put_events(self, *names: str, at: int = 1) -> None:
        """Store events at scores that count up."""
        self.client.zadd(self.events, {name: at + place for place, name in enumerate(names)})

    # What is there after.

    @property
    def record(self) -> str:
        value: bytes = self.client.hget(self.sessions, "s")
        return value.decode()

    def scored(self, key: bytes) -> list[tuple[str, float]]:
        pairs = self.client.zrange(key, 0, -1, withscores=True)
        return [(member.decode(), score) for member, score in pairs]

    def names(self) -> list[str]:
        keys = self.client.scan_iter(match=self._start + "*", count=1000)
        return sorted(key.decode().removeprefix(self._start) for key in keys)

    def ttls(self) -> dict[str, int]:
        """The milliseconds that each key has left, in whole minutes; -1: for ever."""
        left = {name: self.client.pttl(self.key(name)) for name in self.names()}
        return {name: round(ttl / MINUTE) if ttl >= 0 else ttl for name, ttl in left.items()}

    def field_minutes(self) -> int | None:
        """Likewise what the record has left by itself; None where there is no such thing."""
        if not self.has_field_ttl:
            return None
        left: int
        (left,) = self.client.execute_command("HPTTL", self.sessions, "FIELDS", 1, "s")
        return round(left / MINUTE) if left >= 0 else left

    def summary_minutes(self, field: str) -> int:
        """The minutes that a summary has left by itself."""
        left: int
        (left,) = self.client.execute_command("HPTTL", self.summaries, "FIELDS", 1, field)
        return round(left / MINUTE) if left >= 0 else left

    def dump(self) -> dict[str, Any]:
        """Everything, to the byte."""
        found: dict[str, Any] = {}
        for name in self.names():
            key = self.key(name)
            kind = self.client.type(key).decode()
            read = {
                "hash": self.client.hgetall,
                "set": lambda k: sorted(self.client.smembers(k)),
                "zset": self.scored,
                "string": self.client.get,
            }[kind]
            found[name] = (kind, read(key))
        return found

    def refuses(self, wrong: bytes, call: ScriptCall[Any]) -> bool:
        """Whether a script refuses a key of the wrong type, and then changes nothing."""
        self.client.unlink(wrong)
        self.client.set(wrong, "of another program")
        before = self.dump(), self.ttls()
        try:
            self.call(call)
        except redis.ResponseError as error:
            return "WRONGTYPE" in str(error) and (self.dump(), self.ttls()) == before
        return False


def make_foreign(at: str, last_event_id: str = "", filter_key: str = "") -> dict[str, Any]:
    """Give a summary as trpc-agent-go stores it, in its map."""
    boundary = {"version": 1, "cutoff_at": at, "last_event_id": last_event_id}
    return {filter_key: {"summary": "theirs", "updated_at": at, "boundary": boundary}}


def make_event(event_id: str, **members: Any) -> str:
    """Give an event's JSON."""
    return json.dumps({"id": event_id, **members}, separators=(",", ":"))


def make_summary(score: float, text: str = "x") -> str:
    """Give a summary as it is stored, up to the event at a score."""
    return (
        f'{{"summary":"{text}","updated_at":"{CREATED}","boundary":{{"version":1,'
        f'"filter_key":"","cutoff_score":"{score:.17g}"}}}}'
    )
