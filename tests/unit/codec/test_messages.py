"""Messages come back from the stored bytes as they were."""

from __future__ import annotations

import copy
import enum
import json
import math
import pickle
import uuid
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    BaseMessageChunk,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    HumanMessageChunk,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
    ToolMessageChunk,
    message_chunk_to_message,
)
from langchain_core.messages.tool import tool_call_chunk

from langchain_redis_session._codec.chunks import list_calls
from langchain_redis_session._codec.events import decode_event, encode_event
from langchain_redis_session.errors import CorruptEventError, UnserializableMessageError
from langchain_redis_session.models import Event
from tests.effort import examples
from tests.unit.messages import LONG, messages, same, same_message

THOROUGH = examples(400)


def store(message: BaseMessage, **options: Any) -> tuple[dict[str, Any], BaseMessage]:
    """Encode and decode; give the stored JSON and what is read."""
    data = encode_event(Event(message, id="e", time_ns=0), **options)
    read = decode_event(data).message
    assert read is not None
    # Standard JSON that any reader takes, without spaces.
    document = orjson.loads(data)
    assert data == orjson.dumps(document)
    return document, read


def read(message: BaseMessage, **options: Any) -> BaseMessage:
    return store(message, **options)[1]


def extension(message: BaseMessage) -> Any:
    return store(message)[0].get("extensions", {}).get("langchain")


def natural(message: BaseMessage) -> Any:
    return store(message)[0]["choices"][0]["message"]


CUT_CALL = tool_call_chunk(name=None, args="{", id=None, index=None)


def whole(message: BaseMessage) -> BaseMessage:
    """What is stored of a message: the whole one of a chunk, with the chunk's extras."""
    if not isinstance(message, BaseMessageChunk):
        return message
    result = message_chunk_to_message(message)
    if isinstance(message, AIMessageChunk):  # calls that were cut off are invalid ones
        result = result.model_copy(update=list_calls(message))
    object.__setattr__(result, "__pydantic_extra__", message.__pydantic_extra__)
    return result


@THOROUGH
@given(messages())
@example(AIMessageChunk(content="", tool_call_chunks=[CUT_CALL]))
def test_every_message_comes_back_equal(message: BaseMessage) -> None:
    result = read(message)
    assert same_message(result, whole(message)), (result.__dict__, message.__dict__)


@THOROUGH
@given(messages())
@example(
    AIMessage(
        "",
        tool_calls=[
            {"name": "", "args": {"query": "x" * 60}, "id": None},
            {"name": "\ud800", "args": {"": (), "0": None}, "id": None},
        ],
    )
)
@example(
    AIMessage("", tool_calls=[{"name": "\ud800", "args": {"q": "x" * 60, "": ()}, "id": None}])
)
def test_writing_changes_nothing_and_is_stable(message: BaseMessage) -> None:
    """What was read is written with the same meaning, and from then on in the same way.

    Only the first time it may be longer: what JSON reads as something else (a tuple, say, as a
    list) is not referred to, but repeated.
    """
    before = copy.deepcopy(message)
    data = write(message)
    assert same_message(message, before)
    assert write(message) == data
    again = write(read(message))
    assert len(again) <= len(data)
    assert same_message(reread(again), reread(data))
    # A float may be spelled in another way.
    assert json.loads(write(reread(again))) == json.loads(again)


def write(message: BaseMessage) -> bytes:
    return encode_event(Event(message, id="e", time_ns=0))


def reread(data: bytes) -> BaseMessage:
    message = decode_event(data).message
    assert message is not None
    return message


def test_plain_message_is_as_small_as_can_be() -> None:
    event = Event(HumanMessage("hi"), id="e" * 32, author="user", time_ns=0)
    assert encode_event(event) == (
        b'{"id":"' + b"e" * 32 + b'","timestamp":"1970-01-01T00:00:00.000000000Z",'
        b'"author":"user","choices":[{"message":{"role":"user","content":"hi"}}]}'
    )


@pytest.mark.parametrize(
    "message",
    [
        HumanMessage("hi"),
        SystemMessage("be kind"),
        AIMessage("hello"),
        AIMessage("", tool_calls=[{"name": "add", "args": {"a": 1}, "id": "c1"}]),
        AIMessage("", invalid_tool_calls=[{"name": "f", "args": "{", "id": "c", "error": None}]),
        AIMessage("x", additional_kwargs={"reasoning_content": "because"}),
        AIMessage("x", usage_metadata={"input_tokens": 3, "output_tokens": 5, "total_tokens": 8}),
        ToolMessage("3", tool_call_id="c1", name="add"),
        ToolMessage("", tool_call_id="c1"),
        HumanMessage(
            [
                {"type": "text", "text": "What is it?"},
                {"type": "image_url", "image_url": {"url": "https://a.b/c", "detail": "low"}},
                {"type": "image", "base64": "AAAA", "mime_type": "image/png"},
                {"type": "audio", "base64": "AAAA", "mime_type": "audio/wav"},
                {"type": "file", "file_id": "f1"},
            ]
        ),
    ],
)
def test_natural_messages_need_no_extension(message: BaseMessage) -> None:
    document, result = store(message)
    assert same_message(result, message)
    assert "extensions" not in document


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (HumanMessage("hi", id="m1"), {"v": 1, "type": "human", "data": {"id": "m1"}}),
        (HumanMessage(""), {"v": 1, "type": "human"}),
        (FunctionMessage(content="3", name="add"), {"v": 1, "type": "function"}),
        (ChatMessage(content="hi", role="user"), {"v": 1, "type": "chat"}),
        (
            ChatMessage(content="hi", role="critic"),
            {"v": 1, "type": "chat", "data": {"role": "critic"}},
        ),
        (
            ToolMessage("x", tool_call_id="c", status="error", artifact=[1]),
            {"v": 1, "type": "tool", "data": {"status": "error", "artifact": [1]}},
        ),
        (
            AIMessage(
                "x",
                usage_metadata={
                    "input_tokens": 1,
                    "output_tokens": 2,
                    "total_tokens": 3,
                    "input_token_details": {"cache_read": 1},
                },
            ),
            {
                "v": 1,
                "type": "ai",
                "data": {"usage_metadata": {"input_token_details": {"cache_read": 1}}},
            },
        ),
        (
            AIMessage("x", additional_kwargs={"reasoning_content": "why", "refusal": None}),
            {"v": 1, "type": "ai", "data": {"additional_kwargs": {"refusal": None}}},
        ),
        (
            HumanMessage("x", when=math.nan),
            {"v": 1, "type": "human", "data": {"when": {"$lc": ["float", "nan"]}}},
        ),
    ],
)
def test_extension_holds_only_what_the_rest_cannot(message: BaseMessage, expected: Any) -> None:
    assert extension(message) == expected


def test_openai_tool_calls_in_additional_kwargs() -> None:
    calls = [
        {
            "id": "c1",
            "type": "function",
            "function": {"name": "find", "arguments": '{ "query": "' + LONG + '" }'},
        }
    ]
    message = AIMessage("", additional_kwargs={"tool_calls": calls})
    assert message.tool_calls  # the class fills them in
    assert same_message(read(message), message)
    removed = message.model_copy(update={"tool_calls": []})
    assert read(removed).tool_calls == []  # type: ignore[attr-defined]
    assert same_message(read(removed), removed)


def _openai() -> AIMessage:
    arguments = '{ "query": "' + LONG + '" }'
    function = {"name": "find", "arguments": arguments}
    calls = [{"id": "c1", "type": "function", "function": function}]
    return AIMessage("", additional_kwargs={"tool_calls": calls})


def _anthropic() -> AIMessage:
    args = {"query": LONG}
    return AIMessage(
        [
            {"type": "text", "text": LONG[::-1]},
            {"type": "tool_use", "id": "c1", "name": "find", "input": args},
        ],
        tool_calls=[{"name": "find", "args": args, "id": "c1"}],
    )


def _invalid() -> AIMessage:
    call = {"name": "find", "args": '{"query": "' + LONG, "id": "c1", "error": "not JSON"}
    return AIMessage("", invalid_tool_calls=[call])


@pytest.mark.parametrize(
    "message",
    [
        HumanMessage(LONG, id="m1"),
        HumanMessage([{"type": "text", "text": LONG}, "and more"]),
        HumanMessage(LONG + "\ud800"),
        HumanMessage([{"type": "image", "url": LONG, "id": "i"}]),
        HumanMessage([{"type": "image_url", "image_url": {"url": LONG}, "cache_control": {}}]),
        HumanMessage(
            [{"type": "image", "file_id": "f"}, {"type": "text", "text": LONG, "id": "i"}]
        ),
        HumanMessage([{"type": "video", "file_id": LONG}]),
        ToolMessage(LONG, tool_call_id="c", artifact=1),
        AIMessage("x", additional_kwargs={"reasoning_content": LONG, "refusal": None}),
        AIMessage("", tool_calls=[{"name": "f", "args": {"a": (LONG,)}, "id": "c"}]),
        _openai(),
        _anthropic(),
        _invalid(),
    ],
)
def test_no_long_field_stands_twice(message: BaseMessage) -> None:
    document, result = store(message)
    assert same_message(result, whole(message))
    assert json.dumps(document).count(LONG) == 1


def test_references_make_no_more_than_a_few_times_what_stands_there() -> None:
    blocks = [{"type": "x", "text": LONG} for _ in range(1000)]
    message = AIMessage([{"type": "text", "text": LONG}, *blocks])
    data = encode_event(Event(message, id="e", time_ns=0))
    assert data.count(b'{"$lc":["content",0,') == 1
    assert same_message(read(message), message)
    natural = {"role": "assistant", "content": "x" * 99_999}
    references = [{"$lc": ["content", 1, 99_998]}] * 10_000
    extension = {"v": 1, "type": "ai", "data": {"additional_kwargs": {"x": references}}}
    bomb = json.dumps(
        {"id": "e", "choices": [{"message": natural}], "extensions": {"langchain": extension}}
    ).encode()
    with pytest.raises(CorruptEventError, match="bytes would take over"):
        decode_event(bomb)


def test_go_sees_the_text_of_blocks() -> None:
    message = AIMessage(
        [{"type": "reasoning", "reasoning": "hm"}, {"type": "text", "text": "yes"}, " sir"]
    )
    assert natural(message) == {"role": "assistant", "content": "yes sir"}


def test_go_sees_an_approximation_of_what_json_cannot_carry() -> None:
    message = AIMessage(
        "a\ud800b",
        tool_calls=[{"name": "f", "args": {"x": math.nan, "n": 2**70, "s": "\ud800"}, "id": None}],
    )
    assert natural(message)["content"] == "a\ufffdb"
    call = natural(message)["tool_calls"][0]
    assert json.loads(call["function"]["arguments"]) == {"x": None, "n": 2**70, "s": "\ufffd"}
    assert same_message(read(message), message)


def test_usage_that_go_could_not_read_is_no_natural_usage() -> None:
    message = AIMessage(
        "x", usage_metadata={"input_tokens": 2**63, "output_tokens": 0, "total_tokens": 2**70}
    )
    assert "usage" not in store(message)[0]
    assert same_message(read(message), message)


def test_data_of_parts_that_is_not_base64_would_break_go() -> None:
    message = HumanMessage([{"type": "image", "base64": "AAA", "mime_type": "image/png"}])
    assert "content_parts" not in natural(message)
    assert same_message(read(message), message)


def test_huge_integers_come_back_in_content_but_not_as_ids() -> None:
    huge = 10**5000
    message = AIMessage(
        "x",
        additional_kwargs={"n": huge},
        tool_calls=[{"name": "f", "args": {"n": -huge}, "id": "c"}],
    )
    result = read(message)
    assert result.additional_kwargs["n"] == huge
    assert result.tool_calls[0]["args"]["n"] == -huge  # type: ignore[attr-defined]
    with pytest.raises(UnserializableMessageError):
        read(HumanMessage("x").model_copy(update={"id": huge}))


def test_result_behaves_like_a_constructed_message() -> None:
    one = AIMessage("x", id="1", tool_calls=[{"name": "f", "args": {}, "id": "c"}], own=1)
    two = read(one)
    assert two == one
    assert repr(two) == repr(one)
    assert two.model_dump() == one.model_dump()
    assert two.model_dump_json() == one.model_dump_json()
    assert two.model_copy(deep=True) == one
    assert copy.deepcopy(two) == one
    assert pickle.loads(pickle.dumps(two)) == one
    assert two.own == 1  # type: ignore[attr-defined]
    assert list(two.__dict__) == list(one.__dict__)
    two.additional_kwargs["a"] = 1
    assert read(one).additional_kwargs == {}  # nothing is shared between messages


def test_objects_in_blocks_and_tool_calls_are_not_shared() -> None:
    result = read(_anthropic())
    result.tool_calls[0]["args"]["query"] = "changed"  # type: ignore[attr-defined]
    assert result.content[1]["input"] == {"query": LONG}  # type: ignore[index]


def test_chunk_becomes_the_message_with_its_tool_calls() -> None:
    chunk = AIMessageChunk(
        content="",
        tool_call_chunks=[{"name": "f", "args": '{"a":1}', "id": "c", "index": 0}],
        chunk_position="last",
    )
    result = read(chunk)
    assert type(result) is AIMessage
    assert result.tool_calls == [{"name": "f", "args": {"a": 1}, "id": "c", "type": "tool_call"}]
    assert result == message_chunk_to_message(chunk)
    assert type(read(HumanMessageChunk(content="x"))) is HumanMessage
    assert type(read(ToolMessageChunk(content="x", tool_call_id="c"))) is ToolMessage


def test_chunk_that_was_changed() -> None:
    chunk = AIMessageChunk(content="", additional_kwargs=_openai().additional_kwargs)
    changed = chunk.model_copy(update={"tool_calls": [], "tool_call_chunks": []})
    result = read(changed)
    assert result == message_chunk_to_message(changed)
    assert result.tool_calls == _openai().tool_calls  # type: ignore[attr-defined]
    odd = {"name": "f", "args": {}, "id": "c", "type": "tool_call", "extra": 1}
    changed = chunk.model_copy(update={"tool_calls": [odd]})  # the constructor refuses it
    assert read(changed).tool_calls == [odd]  # type: ignore[attr-defined]


PNG = {"base64": "AAAA", "mime_type": "image/png"}


@pytest.mark.parametrize(
    ("block", "part"),
    [
        ({"type": "image", "url": "u"}, {"type": "image", "image": {"url": "u"}}),
        ({"type": "image", "url": "u", "id": "i"}, {"type": "image", "image": {"url": "u"}}),
        (
            {"type": "image", **PNG, "id": "i"},
            {"type": "image", "image": {"data": "AAAA", "format": "png"}},
        ),
        (
            {"type": "image", "base64": "AAAA", "mime_type": "png"},
            {"type": "image", "image": {"data": "AAAA", "format": "png"}},
        ),
        ({"type": "image", "file_id": "f"}, {"type": "file", "file": {"file_id": "f"}}),
        ({"type": "image_url", "image_url": "u"}, {"type": "image", "image": {"url": "u"}}),
        (
            {"type": "image_url", "image_url": {"url": "u", "other": "x"}},
            {"type": "image", "image": {"url": "u"}},
        ),
        (
            {"type": "image_url", "image_url": {"url": "u"}, "cache_control": {}},
            {"type": "image", "image": {"url": "u"}},
        ),
        ({"type": "audio", "url": "u", "index": 0}, {"type": "audio", "audio": {"url": "u"}}),
        (
            {"type": "audio", "id": "i", "base64": "AAAA", "mime_type": "audio/wav"},
            {"type": "audio", "audio": {"data": "AAAA", "format": "wav"}},
        ),
        ({"type": "video", "file_id": "f"}, {"type": "file", "file": {"file_id": "f"}}),
        (
            {"type": "video", "id": "i", "base64": "AAAA", "mime_type": "video/mp4"},
            {"type": "video", "video": {"data": "AAAA", "format": "mp4"}},
        ),
        (
            {
                "type": "file",
                "base64": "AAAA",
                "mime_type": "m",
                "extras": {"filename": "f", "x": 1},
            },
            {"type": "file", "file": {"data": "AAAA", "format": "m", "filename": "f"}},
        ),
        (
            {"type": "file", "id": "i", "url": "u", "filename": "f"},
            {"type": "file", "file": {"url": "u", "filename": "f"}},
        ),
        (
            {"type": "text-plain", "text": "a", "mime_type": "text/plain"},
            {"type": "text", "text": "a"},
        ),
        (
            {"type": "text-plain", "url": "u", "mime_type": "text/plain"},
            {"type": "file", "file": {"url": "u", "format": "text/plain"}},
        ),
        (
            {"type": "image", "source_type": "base64", "data": "AAAA", "mime_type": "image/png"},
            {"type": "image", "image": {"data": "AAAA", "format": "png"}},
        ),
        (
            {"type": "file", "source_type": "id", "id": "f"},
            {"type": "file", "file": {"file_id": "f"}},
        ),
    ],
)
def test_media_reach_go_with_what_it_can_hold(block: dict[str, Any], part: Any) -> None:
    message = HumanMessage([block, {"type": "image", **PNG}])
    assert same_message(read(message), message)
    image = {"type": "image", "image": {"data": "AAAA", "format": "png"}}
    if part["type"] == "text":
        assert natural(message) == {"role": "user", "content": "a", "content_parts": [image]}
    else:
        assert natural(message) == {"role": "user", "content_parts": [part, image]}
        assert natural(HumanMessage([block]))["content_parts"] == [part]


def test_go_sees_text_and_media_between_other_blocks() -> None:
    message = AIMessage(
        [
            {"type": "reasoning", "reasoning": "hm"},
            "a\ud800",
            {"type": "image", "url": "u\ud800"},
            {"type": "tool_use", "id": "c1", "name": "f", "input": {}},
            {"type": "text", "text": "b", "id": "t"},
        ]
    )
    assert same_message(read(message), message)
    assert natural(message) == {
        "role": "assistant",
        "content": "a\ufffd",
        "content_parts": [
            {"type": "image", "image": {"url": "u\ufffd"}},
            {"type": "text", "text": "b"},
        ],
    }


@pytest.mark.parametrize(
    "block",
    [
        {"type": "file", "file_id": ""},
        {"type": "image", "base64": "AAA", "mime_type": "image/png"},
        {"type": "image", "url": 1},
        {"type": "image_url", "image_url": None},
        {"type": "reasoning", "reasoning": "hm"},
        {"type": "video"},
        {"type": ["image"], "url": "u"},
    ],
)
def test_blocks_that_go_cannot_hold_come_back(block: dict[str, Any]) -> None:
    message = HumanMessage([{"type": "text", "text": "text"}, block])
    assert same_message(read(message), message)
    assert natural(message) == {"role": "user", "content": "text"}


def test_subclass_becomes_its_base_with_extras() -> None:
    class Rated(HumanMessage):
        stars: int = 3

    class RatedChunk(AIMessageChunk):
        stars: int = 3

    rated: Any = Rated

    assert same_message(read(rated(content="x", mood="ok")), HumanMessage("x", mood="ok", stars=3))
    assert same_message(read(RatedChunk(content="x", stars=4)), AIMessage("x", stars=4))


def test_subclasses_of_plain_types_become_plain() -> None:
    class Text(str):
        pass

    class Number(int):
        pass

    class Mapping(dict):  # type: ignore[type-arg]
        pass

    message = HumanMessage("x", additional_kwargs=Mapping({Text("k"): (Text("v"), Number(3))}))
    message.id = Text("m1")
    message.content = Text("body")
    result = read(message)
    assert same(result.additional_kwargs, {"k": ["v", 3]})
    assert type(result.id) is str
    assert type(result.content) is str


@pytest.mark.parametrize("leaf", [1, math.nan, {"$lc": {"$lc": "\ud800"}}])
def test_depth_has_one_limit(leaf: Any) -> None:
    def nested(depth: int) -> Any:
        value = leaf
        for _ in range(depth):
            value = {"$lc": value} if leaf != 1 else [value]
        return value

    kwargs = {"additional_kwargs": {"k": nested(110)}}
    message = HumanMessage("x", **kwargs)
    assert same_message(read(message), message)
    with pytest.raises(UnserializableMessageError, match="nested deeper than 120 levels"):
        read(HumanMessage("x", additional_kwargs={"k": nested(120)}))


class Color(enum.Enum):
    RED = "red"


class Name(str, enum.Enum):
    ANN = "ann"


class Status(str, enum.Enum):
    ERROR = "error"


class Level(enum.IntEnum):
    HIGH = 1


@dataclass
class Point:
    x: int


CYCLE: dict[str, Any] = {}
CYCLE["self"] = CYCLE
DEEP: list[Any] = []
for _ in range(100_000):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    "value",
    [
        {1},
        b"x",
        datetime(2026, 1, 1),
        uuid.UUID(int=1),
        Color.RED,
        Name.ANN,
        Level.HIGH,
        Point(1),
        Decimal(1),
        {1: 2},
        {Name.ANN: 1},
        object(),
        CYCLE,
        DEEP,
        1j,
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize(
    ("path", "make"),
    [
        ("message.additional_kwargs['k']", lambda v: HumanMessage("", additional_kwargs={"k": v})),
        ("message.response_metadata['k']", lambda v: AIMessage("", response_metadata={"k": v})),
        ("message.content[0]['k']", lambda v: SystemMessage([{"k": v}])),
        ("message.own", lambda v: HumanMessage("", own=v)),
        (
            "message.tool_calls[0]['args']['k']",
            lambda v: AIMessage("", tool_calls=[{"name": "f", "args": {"k": v}, "id": None}]),
        ),
    ],
)
def test_what_json_cannot_carry_is_refused_with_its_path(value: Any, path: str, make: Any) -> None:
    with pytest.raises(UnserializableMessageError) as caught:
        encode_event(Event(make(value)))
    assert str(caught.value).startswith(path)


def test_error_says_what_to_do() -> None:
    message = HumanMessage("", additional_kwargs={"when": datetime(2026, 1, 1)})
    with pytest.raises(UnserializableMessageError) as caught:
        encode_event(Event(message))
    assert str(caught.value) == (
        "message.additional_kwargs['when']: datetime is not JSON; store its isoformat()"
    )


@pytest.mark.parametrize(
    "message",
    [
        RemoveMessage("m1"),
        BaseMessage(content="x", type="other"),
        "text",
        {"role": "user"},
        HumanMessage("x").model_copy(update={"content": None}),
        HumanMessage("x").model_copy(update={"content": [1]}),
        HumanMessage("x").model_copy(update={"additional_kwargs": None}),
        HumanMessage("x").model_copy(update={"id": 5}),
        HumanMessage("x").model_copy(update={"id": Name.ANN}),
        HumanMessage("x").model_copy(update={"content": Name.ANN}),
        ChatMessage(content="x", role="user").model_copy(update={"role": Name.ANN}),
        ToolMessage("x", tool_call_id="c").model_copy(update={"status": "odd"}),
        ToolMessage("x", tool_call_id="c").model_copy(update={"status": Status.ERROR}),
        ToolMessage("x", tool_call_id="c").model_copy(update={"tool_call_id": Name.ANN}),
        AIMessage("x").model_copy(update={"tool_calls": [{"name": "f"}]}),
        AIMessage("x").model_copy(update={"usage_metadata": 3}),
    ],
)
def test_what_is_no_message_is_refused(message: Any) -> None:
    with pytest.raises(UnserializableMessageError, match=r"^message"):
        encode_event(Event(message))


class TestArtifactsWithoutConversions:
    """What has a plain form in an artifact is stored, as tools give anything there."""

    @pytest.mark.parametrize(
        ("artifact", "expected"),
        [
            ({"at": datetime(2026, 1, 1)}, {"at": "2026-01-01T00:00:00"}),
            (Point(1), {"x": 1}),
            ({1}, [1]),
            (Color.RED, "red"),
            ({1: b"\xff"}, {"1": b"\xff"}),
        ],
        ids=["datetime", "dataclass", "set", "enum", "keys"],
    )
    def test_is_made_plain_data(self, artifact: Any, expected: Any) -> None:
        message = ToolMessage("x", tool_call_id="c", artifact=artifact)
        assert read(message).artifact == expected  # type: ignore[attr-defined]

    @pytest.mark.parametrize(
        ("artifact", "path"),
        [
            (object(), "message.artifact: object can't be made JSON"),
            ({"x": [1, 2, 3, print]}, "message.artifact['x'][3]: builtin_function_or_method"),
            ({"at": datetime(2026, 1, 1), "x": {1: print}}, "message.artifact['x'][1]: builtin"),
            (CYCLE, "message.artifact['self']: nested deeper than 120 levels, or it holds itself"),
            (Point(print), "message.artifact['x']: builtin_function"),  # type: ignore[arg-type]
        ],
        ids=["object", "list", "keys", "cycle", "dataclass"],
    )
    def test_that_has_no_plain_form_is_named(self, artifact: Any, path: str) -> None:
        message = ToolMessage("x", tool_call_id="c", artifact=artifact)
        with pytest.raises(UnserializableMessageError) as caught:
            read(message)
        assert str(caught.value).startswith(path)
