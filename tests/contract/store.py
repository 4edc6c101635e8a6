"""What tests put into the store, look at in it, and let happen to it."""

from __future__ import annotations

import json
import re
import time
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage

from langchain_redis_session import Event, SessionKey
from tests.contract.backends import RedisProbe

NOON = 1_790_000_000_000_000_000
"""A moment, in nanoseconds since 1970, that doubles can carry."""

STEP = 1024
"""The next one, likewise."""


def make_event(number: int, message: BaseMessage | None = None, **members: Any) -> Event:
    """Give event `number`: the same arguments give the same bytes."""
    members = {"time_ns": NOON + number * STEP, "id": f"{number:032x}", **members}
    return Event(message or HumanMessage(f"m{number}"), author="user", **members)


def make_events(*numbers: int) -> list[Event]:
    """Give events by number."""
    return [make_event(number) for number in numbers]


def make_answer(number: int, message: BaseMessage | None = None, **members: Any) -> Event:
    """Give event `number`, which ends a turn: a summary may cover it whatever comes next."""
    return make_event(number, message or AIMessage(f"m{number}"), **members)


def make_answers(*numbers: int) -> list[Event]:
    """Give events by number, each of which ends a turn."""
    return [make_answer(number) for number in numbers]


def texts(items: Any) -> list[str]:
    """Give what events or messages say."""
    messages = [getattr(item, "message", item) for item in items]
    return [message.text for message in messages if message is not None]


class Clock:
    """The clock that the services of a test stamp events with: `clock=` of the service.

    It goes until it is stopped.
    """

    def __init__(self) -> None:
        self._stopped_at_ns: int | None = None

    def __call__(self) -> int:
        return time.time_ns() if self._stopped_at_ns is None else self._stopped_at_ns

    def stop_at(self, time_ns: int) -> None:
        """Give this time from now on."""
        self._stopped_at_ns = time_ns


def read_record(probe: RedisProbe, key: SessionKey, tag: str = "{shop}") -> bytes:
    """Give a session's record as it stands in Redis."""
    record = probe.hget(probe.key(f"sess:{tag}:{key.user_id}"), key.session_id)
    assert isinstance(record, bytes)
    return record


def tag_of(backend: Any, app: str = "shop", user: str = "ann") -> str:
    """Give the hash tag that keys have on this backend."""
    return f"{{{app}:{user}}}" if backend.hash_tag == "user" else f"{{{app}}}"


_TIMES = re.compile(rb'(,"expiresAtMs":\d+)?,"updatedAt":"[^"]*"|,"createdAt":"[^"]*"')


def read_key(probe: RedisProbe, key: bytes) -> Any:
    """Give what a key holds, whatever its type, without the times of records."""
    kind = probe.type(key)
    if kind == b"hash":
        return {name: _TIMES.sub(b"", value) for name, value in probe.hgetall(key).items()}
    if kind == b"zset":
        return [tuple(pair) for pair in probe.zrange(key, 0, -1, withscores=True)]
    if kind == b"set":
        return sorted(probe.smembers(key))
    return (kind, probe.dump(key))


def snapshot(probe: RedisProbe, pattern: str = "*") -> dict[str, Any]:
    """Give all that is stored, but for the times in records and the TTLs."""
    return {name: read_key(probe, probe.key(name)) for name in probe.names(pattern)}


def expire_now(probe: RedisProbe, key: SessionKey, tag: str, *, keep: tuple[str, ...] = ()) -> None:
    """Do to a session with a TTL what the server does when its time is over.

    Its own keys go (but for those of the kinds in `keep`, whose TTL is longer), while its
    record stays in the hash that it shares, as it does without TTLs per field.
    """
    user, session = key.user_id, key.session_id
    for kind in {"event", "msgidx", "track", "trackidx"} - {*keep}:
        for name in probe.names(f"{kind}:{tag}:{user}:{session}*"):
            probe.unlink(probe.key(name))
    record = read_record(probe, key, tag)
    overdue = re.sub(rb'"expiresAtMs":\d+', b'"expiresAtMs":1', record)
    assert overdue != record, "the session has no TTL"
    probe.hset(probe.key(f"sess:{tag}:{user}"), session, overdue)


def load(data: bytes) -> Any:
    """Read JSON."""
    return json.loads(data)
