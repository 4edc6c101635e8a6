"""Streams that end in the middle of a tool call's arguments."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.tool import tool_call_chunk

from langchain_redis_session import Event
from langchain_redis_session._actions.copies import copy_event
from langchain_redis_session._codec.events import decode_event, encode_event


def part(args: str | None, call_id: str = "c1", index: int = 0) -> Any:
    return tool_call_chunk(name="fly", args=args, id=call_id, index=index)


def store(message: Any) -> AIMessage:
    """Give what is read of a message that was stored."""
    read = decode_event(encode_event(Event(message))).message
    assert isinstance(read, AIMessage)
    assert not isinstance(read, AIMessageChunk)
    return read


def store_through_hooks(message: Any) -> AIMessage:
    return store(copy_event(Event(message)).message)


both_ways = pytest.mark.parametrize("store", [store, store_through_hooks])


@both_ways
@pytest.mark.parametrize(
    "cut", ['{"city": "Par', '{"city"', "{", '{"a": 1', "[1", '"Par', "nu", "[1]"]
)
def test_a_call_with_half_its_arguments_is_stored_as_an_invalid_one(store: Any, cut: str) -> None:
    chunk = AIMessageChunk(
        content="Let me see.", tool_call_chunks=[part('{"b": 2}', "c0"), part(cut, index=1)]
    )
    read = store(chunk)
    assert [(c["id"], c["args"]) for c in read.tool_calls] == [("c0", {"b": 2})]
    (invalid,) = read.invalid_tool_calls
    assert (invalid["id"], invalid["name"], invalid["args"]) == ("c1", "fly", cut)
    assert len(chunk.tool_call_chunks) == 2, "the caller's chunk is left alone"


@both_ways
@pytest.mark.parametrize("whole", ['{"city": "Paris"}', "{}", "", None])
def test_a_call_with_all_its_arguments_stays_a_call(store: Any, whole: str | None) -> None:
    read = store(AIMessageChunk(content="", tool_call_chunks=[part(whole)]))
    assert [call["id"] for call in read.tool_calls] == ["c1"]
    assert not read.invalid_tool_calls


@both_ways
def test_a_stream_that_was_added_up_is_judged_as_a_whole(store: Any) -> None:
    first = AIMessageChunk(content="", tool_call_chunks=[part('{"city": ')])
    more = AIMessageChunk(
        content="", tool_call_chunks=[tool_call_chunk(name=None, args='"Par', id=None, index=0)]
    )
    assert store(first + more).invalid_tool_calls[0]["args"] == '{"city": "Par'
    rest = AIMessageChunk(
        content="", tool_call_chunks=[tool_call_chunk(name=None, args='is"}', id=None, index=0)]
    )
    assert store(first + more + rest).tool_calls[0]["args"] == {"city": "Paris"}


@both_ways
def test_calls_that_the_program_has_set_itself_are_kept(store: Any) -> None:
    chunk = AIMessageChunk(content="", tool_call_chunks=[part('{"city": "Par')])
    chunk.tool_calls = [{"name": "fly", "args": {"city": "Paris"}, "id": "c1", "type": "tool_call"}]
    assert store(chunk).tool_calls[0]["args"] == {"city": "Paris"}
