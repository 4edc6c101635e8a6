"""Messages through the service: in any form, with every field."""

from __future__ import annotations

import re
from typing import Any

import pytest
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
)

from langchain_redis_session import SessionKey, UnserializableMessageError
from tests.contract.backends import RedisProbe, Verbs
from tests.contract.narrow import each_server
from tests.contract.store import Clock, make_event, tag_of, texts
from tests.unit.messages import same_message

RICH: list[BaseMessage] = [
    SystemMessage("Be brief.", name="rules", additional_kwargs={"cache": {"ttl": 5}}),
    HumanMessage(
        [
            {"type": "text", "text": "What is on it? 東京 😀 \x00"},
            {"type": "image_url", "image_url": {"url": "https://x/y.png", "detail": "low"}},
            {"type": "audio", "base64": "AAAA", "mime_type": "audio/wav"},
        ],
        id="h-1",
        name="ann",
    ),
    AIMessage(
        "",
        id="a-1",
        tool_calls=[
            {"name": "look", "args": {"q": "tower", "n": [1, 2.5, None]}, "id": "c1"},
            {"name": "look", "args": {}, "id": "c2"},
        ],
        invalid_tool_calls=[{"name": "f", "args": '{"a":', "id": "c3", "error": "cut off"}],
        usage_metadata={
            "input_tokens": 3,
            "output_tokens": 5,
            "total_tokens": 8,
            "input_token_details": {"cache_read": 1},
        },
        response_metadata={"model": "m", "logprobs": [-0.25, float("-inf")], "seed": 2**70},
        additional_kwargs={"reasoning_content": "because"},
    ),
    ToolMessage(
        "a tower",
        tool_call_id="c1",
        name="look",
        artifact={"pixels": [[1, 2], [3, 4]], "url": None},
        status="error",
        id="t-1",
    ),
    ToolMessage([{"type": "text", "text": "two"}], tool_call_id="c2"),
    FunctionMessage(content="42", name="f"),
    ChatMessage(content="hm", role="critic"),
    AIMessage([{"type": "reasoning", "reasoning": "so"}, {"type": "text", "text": "A tower."}]),
]


async def test_nothing_of_a_message_is_lost(verbs: Verbs, key: SessionKey) -> None:
    result = await verbs.append_messages(key, RICH, create=True)
    read = await verbs.get_messages(key)

    assert (result.written, result.removed, result.queued) == (len(RICH), 0, False)
    assert len(read) == len(RICH)
    for sent, got in zip(RICH, read, strict=True):
        assert same_message(sent, got), (sent, got)
    session = await verbs.get_session(key)
    assert session.messages == read


async def test_a_chunk_is_stored_as_its_message(verbs: Verbs, key: SessionKey) -> None:
    chunks = [
        AIMessageChunk(content="Hel", id="c"),
        AIMessageChunk(content="lo", id="c", chunk_position="last"),
    ]
    await verbs.append_messages(key, [chunks[0] + chunks[1]], create=True)
    (message,) = await verbs.get_messages(key)
    assert type(message) is AIMessage
    assert (message.content, message.id) == ("Hello", "c")


async def test_the_members_of_the_events_made_of_messages(
    verbs: Verbs, key: SessionKey, clock: Clock
) -> None:
    clock.stop_at(1_790_000_000_123_456_789)
    members: dict[str, Any] = {
        "request_id": "r",
        "invocation_id": "i",
        "branch": "root/sub",
        "tag": "a;b",
        "filter_key": "app/tools",
    }
    messages = [HumanMessage("hi"), AIMessage("hello")]
    result = await verbs.append_messages(key, messages, create=True, **members)
    await verbs.append_messages(key, messages, author="planner", state_delta={"k": 1})
    events = await verbs.get_events(key)

    assert result.events == events[:2]
    assert [event.score for event in result.events] == [event.score for event in events[:2]]
    for event in events[:2]:
        assert {name: getattr(event, name) for name in members} == members
        assert re.fullmatch("[0-9a-f]{32}", event.id)
        assert event.time_ns == 1_790_000_000_123_456_789
    assert [event.author for event in events] == ["user", "assistant", "planner", "planner"]
    assert [event.state_delta for event in events] == [{}, {}, {}, {"k": 1}]
    assert len({event.id for event in events}) == 4


async def test_state_without_a_message(verbs: Verbs, key: SessionKey) -> None:
    result = await verbs.append_messages(key, [], state_delta={"k": 1}, create=True)
    assert result.written == 1
    assert [event.message for event in await verbs.get_events(key)] == [None]
    assert await verbs.get_messages(key) == []
    assert (await verbs.get_session(key)).state == {"k": 1}


async def test_one_message_needs_no_list(verbs: Verbs, key: SessionKey) -> None:
    await verbs.append_messages(key, HumanMessage("hi"), create=True)
    assert texts(await verbs.get_messages(key)) == ["hi"]


async def test_an_append_of_no_messages_creates_nothing(
    verbs: Verbs, key: SessionKey, redis_probe: RedisProbe
) -> None:
    result = await verbs.append_messages(key, [], create=True)
    assert (result.events, result.written, result.removed) == ([], 0, 0)
    assert redis_probe.names() == []


@each_server
@pytest.mark.parametrize(
    ("message", "path"),
    [
        (RemoveMessage("x"), r"messages\[1\]: RemoveMessage"),
        (BaseMessage(content="x", type="remove"), r"messages\[1\]: BaseMessage is not a message"),
        (None, r"messages\[1\]: None is not a message; give"),
        (7, r"messages\[1\]: 7 is not a message; give"),
        ({"content": "no role"}, r"messages\[1\]: {'content': 'no role'} is not a message"),
        (("ai", "hi", "more"), r"messages\[1\]: \('ai', 'hi', 'more'\) is not a message"),
    ],
    ids=["remove", "type remove", "none", "int", "dict", "tuple"],
)
async def test_one_that_is_no_message_keeps_all_out(
    verbs: Verbs, key: SessionKey, redis_probe: RedisProbe, message: Any, path: str
) -> None:
    with pytest.raises(UnserializableMessageError, match=path):
        await verbs.append_messages(
            key, [HumanMessage("fine"), message], create=True, state_delta={"k": 1, "user:k": 1}
        )
    assert redis_probe.names() == []


@each_server
@pytest.mark.parametrize(
    ("message", "path"),
    [
        (
            HumanMessage("x", additional_kwargs={"deep": [{"a": {1, 2}}]}),
            r"^messages\[1\]\.additional_kwargs\['deep'\]\[0\]\['a'\]: set",
        ),
        (
            AIMessage("x", response_metadata={"raw": b"bytes"}),
            r"^messages\[1\]\.response_metadata\['raw'\]: bytes",
        ),
        (
            ToolMessage("x", tool_call_id="c", artifact={"x": [1, 2, 3, object()]}),
            r"^messages\[1\]\.artifact\['x'\]\[3\]: object",
        ),
    ],
    ids=["set", "bytes", "artifact"],
)
async def test_what_json_cannot_carry_keeps_all_out_where_it_is_refused(
    make_verbs: Any, key: SessionKey, redis_probe: RedisProbe, message: Any, path: str
) -> None:
    verbs = make_verbs(unserializable="raise")
    with pytest.raises(UnserializableMessageError, match=path):
        await verbs.append_messages(
            key, [HumanMessage("fine"), message], create=True, state_delta={"k": 1, "user:k": 1}
        )
    assert redis_probe.names() == []


@each_server
async def test_what_stands_for_a_message(verbs: Verbs, key: SessionKey) -> None:
    given = ["hi", ("ai", "hello"), {"role": "tool", "content": "3", "tool_call_id": "c"}]
    await verbs.append_messages(key, given, create=True)
    await verbs.append_messages(key, "one text is one message")
    await verbs.append_messages(key, {"role": "system", "content": "so is one dict"})
    read = await verbs.get_messages(key)
    assert read == [
        HumanMessage("hi"),
        AIMessage("hello"),
        ToolMessage("3", tool_call_id="c"),
        HumanMessage("one text is one message"),
        SystemMessage("so is one dict"),
    ]
    assert [event.author for event in await verbs.get_events(key)] == [
        *("user", "assistant", "", "user", "")
    ]


@pytest.mark.parametrize(
    ("name", "fields", "expected"),
    [
        ("human", {}, HumanMessage("x")),
        ("ai", {}, AIMessage("x")),
        ("AIMessageChunk", {"id": "m"}, AIMessage("x", id="m")),
        (
            "ai",
            {"tool_calls": [{"name": "f", "args": {}, "id": "c"}]},
            AIMessage("x", tool_calls=[{"name": "f", "args": {}, "id": "c"}]),
        ),
        ("system", {"mood": "kind"}, SystemMessage("x", mood="kind")),
        ("tool", {"tool_call_id": "c"}, ToolMessage("x", tool_call_id="c")),
        ("tool", {}, ToolMessage("x", tool_call_id="")),
        ("function", {"name": "f"}, FunctionMessage(content="x", name="f")),
        ("chat", {"role": "critic"}, ChatMessage(content="x", role="critic")),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_base_message_is_stored_as_its_type(
    verbs: Verbs, key: SessionKey, name: str, fields: Any, expected: BaseMessage
) -> None:
    await verbs.append_messages(key, [BaseMessage(content="x", type=name, **fields)], create=True)
    (event,) = await verbs.get_events(key)
    assert same_message(event.message, expected)


@each_server
async def test_a_message_that_trpc_agent_go_wrote(
    verbs: Verbs, key: SessionKey, redis_probe: RedisProbe, backend: Any
) -> None:
    await verbs.append_event(await _created(verbs, key), make_event(1))
    events_key = redis_probe.key(f"event:{tag_of(backend)}:ann:s1")
    entry = (
        '{"response":null,"id":"g1","timestamp":"2026-12-01T20:00:00.5+08:00","author":"bot",'
        '"choices":[{"index":0,"message":{"role":"assistant","content":"from Go","tool_calls":'
        '[{"type":"function","id":"c1","function":{"name":"add","arguments":"{\\"a\\":1}"}}]},'
        '"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":5,'
        '"total_tokens":8},"done":true}'
    )
    redis_probe.zadd(events_key, {entry: 1.9e18})
    await verbs.append_event(key, make_event(2))

    first, message, last = await verbs.get_messages(key)
    assert (first.text, message.text, last.text) == ("m1", "from Go", "m2")
    assert isinstance(message, AIMessage)
    assert message.tool_calls == [
        {"name": "add", "args": {"a": 1}, "id": "c1", "type": "tool_call"}
    ]
    assert message.usage_metadata == {"input_tokens": 3, "output_tokens": 5, "total_tokens": 8}
    assert (await verbs.get_events(key))[1].author == "bot"


async def _created(verbs: Verbs, key: SessionKey) -> SessionKey:
    await verbs.create_session(key.app_name, key.user_id, key.session_id)
    return key
