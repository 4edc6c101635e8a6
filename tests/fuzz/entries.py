"""Broken entries of every kind that stands in Redis, from a seed."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Iterator
from random import Random
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from langchain_redis_session import Event, TrackEvent
from langchain_redis_session._codec.events import encode_event
from langchain_redis_session._codec.track_events import encode_track_event
from tests.fuzz.mutations import break_bytes
from tests.processes import ROOT

NOON = 1_790_000_000_000_000_000


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
    reasoning = AIMessage([blocks[0], {"type": "reasoning", "reasoning": long}])
    reasoning.id = "\ud800"  # which older pydantic takes only so
    messages: list[BaseMessage] = [
        HumanMessage("hi"),
        AIMessage(
            long, id="r1", usage_metadata=usage, response_metadata={"model": "m", "n": 2**70}
        ),
        AIMessage(blocks, tool_calls=[call], additional_kwargs={"reasoning_content": "so"}),
        reasoning,
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
        "memory": [
            b'{"value":{"likes":"tea","n":[1,{"$lc":["int","0x1"]}]},"createdAtUs":5,"updatedAtUs":6}',
            b'{"value":{},"createdAtUs":5,"updatedAtUs":6,"ttlMs":1,"expiresAtMs":9999999999999}',
        ],
        "usage": [b"2026-11-23:input:gpt", b"output:", b"12", b"messages:a:b"],
    }


def _dump(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def generate(seed: int, seeds: dict[str, list[bytes]]) -> Iterator[tuple[str, bytes]]:
    """Give broken entries with their kind, without an end."""
    random = Random(seed)
    kinds, weights = [*seeds], [_WEIGHTS.get(kind, 1) for kind in seeds]
    while True:
        (kind,) = random.choices(kinds, weights)
        yield kind, break_bytes(random.choice(seeds[kind]), random)


_WEIGHTS = {"event": 200, "track": 40, "state": 20, "memory": 5, "usage": 5}
