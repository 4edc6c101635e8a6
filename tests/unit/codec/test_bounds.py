"""What reading an entry takes is bounded by its size, and what writing takes grows with it."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import orjson
import pytest
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage

from langchain_redis_session._codec.events import decode_event, encode_event
from langchain_redis_session._codec.tags import Tagger
from langchain_redis_session._codec.track_events import decode_track_event
from langchain_redis_session._operations.context import Context
from langchain_redis_session._operations.prepared import prepare_events
from langchain_redis_session.config import ServiceOptions
from langchain_redis_session.errors import CorruptEventError, EventTooLargeError
from langchain_redis_session.models import Event
from tests.unit.messages import LONG, same_message


def make_entry(content: str = "", *, data: Any = None, more: Any = (), **members: Any) -> bytes:
    message = {"role": "assistant", "content": content, **members}
    document: dict[str, Any] = {"id": "e", "choices": [{"index": 0, "message": message}, *more]}
    if data is not None:
        document["extensions"] = {"langchain": {"v": 1, "type": "ai", "data": data}}
    return orjson.dumps(document)


def call_of(args: Any) -> dict[str, Any]:
    arguments = json.dumps(args, separators=(",", ":"))
    return {"function": {"name": "f", "arguments": arguments}}


def repeat(tag: list[Any], count: int) -> Any:
    return {"additional_kwargs": {"x": [{"$lc": tag}] * count}}


NESTED = b'{"":' * 100 + b"0" + b"}" * 100
BOMBS = {
    "content": make_entry("x" * 99_999, data=repeat(["content", 1, 99_998], 10_000)),
    "args": make_entry(data=repeat(["args", 0], 2000), tool_calls=[call_of({"a": [{}] * 9999})]),
    "args of a few bytes": make_entry(
        data=repeat(["args", 0], 150), tool_calls=[call_of({"a": [[]] * 600})]
    ),
    "parts": make_entry(
        data=repeat(["part", 0, "text"], 9999), content_parts=[{"type": "text", "text": LONG * 99}]
    ),
    "calls": make_entry(tool_calls=[{}] * 99_999),
    "choices": make_entry("a", more=[{"message": {"content": "a"}}] * 99_999),
    "dicts": b'{"id":"e","x":[' + b",".join([NESTED] * 3000) + b"]}",
}


@pytest.mark.parametrize("entry", BOMBS.values(), ids=BOMBS)
def test_a_small_entry_does_not_become_much(entry: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(CorruptEventError, match="bytes would take over"):
            decode_event(entry)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # The parser needs some 11 times of an entry for itself.
    assert peak < max(64 * len(entry), 2 * 1024 * 1024)


def test_an_entry_of_a_track_does_not_become_much() -> None:
    payload = b"[" + b",".join([NESTED] * 3000) + b"]"
    with pytest.raises(CorruptEventError, match="bytes would take over"):
        decode_track_event(b'{"track":"t","payload":' + payload + b"}")


ROWS = [{"a": 1} for _ in range(20_000)]
CALL = {"name": "f", "args": {"rows": ROWS}, "id": "c", "type": "tool_call"}
LARGE: dict[str, BaseMessage] = {
    "rows beside bytes": ToolMessage("x", tool_call_id="c", artifact=[ROWS, b"x"]),
    "arguments that are a block, too": AIMessage(
        [{"type": "tool_use", "id": "c", "name": "f", "input": {"rows": ROWS}}], tool_calls=[CALL]
    ),
    "a text in four places": AIMessage(
        [{"type": "text", "text": "😀" + LONG * 999}] * 4, additional_kwargs={"x": LONG * 999}
    ),
    "many calls": AIMessage("", tool_calls=[{**CALL, "args": {}} for _ in range(5000)]),
    "many blocks": AIMessage([{"type": "text", "text": f"{n} {LONG}"} for n in range(20_000)]),
}


@pytest.mark.parametrize("message", LARGE.values(), ids=LARGE)
def test_what_is_written_is_read(message: BaseMessage) -> None:
    read = decode_event(encode_event(Event(message, id="e", time_ns=0))).message
    assert read is not None
    assert same_message(read, message)


def test_what_could_not_be_read_again_is_refused() -> None:
    nested: Any = 0
    for _ in range(100):
        nested = {"": nested}
    event = Event(AIMessage("x", additional_kwargs={"x": [nested] * 3000}))
    with pytest.raises(EventTooLargeError, match=r"events\[0\] could not be read again"):
        prepare_events(Context(ServiceOptions()), [event], new_event_limit=None)


def test_only_so_much_is_searched_for_texts_that_may_be_a_part_of_the_content() -> None:
    texts = [f"{n:05} {LONG}" for n in range(10_000)]
    content = "".join(texts)
    tagged = Tagger(content).copy(texts, "content")
    assert 0 < sum(type(item) is dict for item in tagged) < 20
    pieces = {text: n * len(texts[0]) for n, text in enumerate(texts)}
    tagged = Tagger(content, pieces=pieces).copy(texts, "content")
    assert all(type(item) is dict for item in tagged)


def test_only_so_many_objects_are_compared_with_the_arguments() -> None:
    args = {"a": LONG * 400}
    spelled = orjson.dumps(args)
    others = [{"a": LONG * 400 + str(n)} for n in range(200)]
    tagger = Tagger(arguments=[spelled.decode()], args=[spelled], shapes={("a",)})
    assert tagger.copy(args, "x") == {"$lc": ["args", 0]}
    tagger.copy(others, "x")
    assert tagger.copy(args, "x") == args
