"""Events as nearly all of ours are: a message, and nothing that needs a second look.

Only for speed, since reading a history is mostly this. What looks in any way otherwise than
`encode_event` writes it gives None, be it rare or wrong, and `decode_event` decides; where
both give a message, it is the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import orjson
from langchain_core.messages import BaseMessage

from langchain_redis_session._codec.corruption import allow
from langchain_redis_session._codec.message_form import (
    BY_ROLE,
    EXTENSION_VERSION,
    SHAPES,
    has_payload,
)
from langchain_redis_session._codec.message_reader import References
from langchain_redis_session._codec.plain_json import TAG
from langchain_redis_session._codec.tags import TAG_BYTES, untag
from langchain_redis_session._codec.tool_calls import read_usual_calls
from langchain_redis_session._times import parse_time

_TEXT = re.compile(
    rb'\{"id":"[0-9a-f]{32}","timestamp":"([0-9T:-]{19})\.[0-9]{9}Z","author":"(?:user|assistant)",'
    rb'(?:"requestID":"[\w-]+",)?"choices":\[\{"message":\{"role":"(user|assistant)","content":'
)
_TEXT_END = b'"}}]}'
_TEXT_MAKERS = {role.encode(): SHAPES[name].make_text for role, name in BY_ROLE.items()}

_SHORT_MEMBERS = frozenset(
    ("id", "timestamp", "author", "requestID", "choices", "usage", "extensions")
)
_TEXT_MEMBERS = ("author", "requestID", "invocationId", "branch", "filterKey")
_MEMBERS = _SHORT_MEMBERS | {*_TEXT_MEMBERS, "version"}
_NATURAL_MEMBERS = {
    "human": frozenset(("role", "content")),
    "system": frozenset(("role", "content")),
    "tool": frozenset(("role", "content", "tool_id", "tool_name")),
    "ai": frozenset(("role", "content", "tool_calls", "reasoning_content")),
}
_EXTENSION_MEMBERS = frozenset(("v", "type", "data"))
_ODD = (ValueError, TypeError, LookupError, AttributeError)
"""What looking into something else than was expected raises."""
_NOTHING: dict[str, Any] = {}
_KINDS: dict[str, type] = {
    "id": str,
    "name": str,
    "content": list,
    "usage_metadata": dict,
    "response_metadata": dict,
    "additional_kwargs": dict,
    "status": str,
}
_REFERRING = ("text", "input", "arguments", "args")
"""The members of content blocks that may repeat what the natural message holds."""


def read_messages(entries: Iterable[bytes]) -> list[BaseMessage] | None:
    """Read the messages of events, one of each; None where one of them is not a usual one."""
    messages = []
    for entry in entries:
        message = read_message(entry)
        if message is None:
            return None
        messages.append(message)
    return messages


def read_message(data: bytes) -> BaseMessage | None:
    """Read the message of a usual event.

    >>> read_message(
    ...     b'{"id":"e1","timestamp":"2026-11-23T11:13:00Z","choices":[{"message":'
    ...     b'{"role":"user","content":"hi"}}]}'
    ... )
    HumanMessage(content='hi', additional_kwargs={}, response_metadata={})
    >>> read_message(b'{"id":"e1","timestamp":"today"}')
    """
    try:
        # What stands before and behind the content is fixed; if what is between them is one
        # JSON string, the whole is nothing else.
        if data.endswith(_TEXT_END) and (found := _TEXT.match(data)) is not None:
            second, role = found.groups()
            content = orjson.loads(data[found.end() : 1 - len(_TEXT_END)])
            if content and type(content) is str and _is_second(second):
                return _TEXT_MAKERS[role](content)
        document = orjson.loads(data)
        get = document.get
        event_id, time = document["id"], document["timestamp"]
        author, request_id = get("author", ""), get("requestID", "")
        if not type(event_id) is type(time) is type(author) is type(request_id) is str:
            return None
        parse_time(time)
        if not event_id or not (document.keys() <= _SHORT_MEMBERS or _has_only_texts(document)):
            return None
        return _read(document, data)
    except _ODD:
        return None


def read_usual(document: dict[str, Any], data: bytes) -> BaseMessage | None:
    """Read the message of an event that is parsed already, and whose other members were read."""
    try:
        return _read(document, data)
    except _ODD:
        return None


def _has_only_texts(document: dict[str, Any]) -> bool:
    """Whether the members that are rarer are usual ones, too."""
    texts = [document[name] for name in _TEXT_MEMBERS if name in document]
    return document.keys() <= _MEMBERS and all(type(text) is str for text in texts)


@lru_cache(maxsize=256)
def _is_second(text: bytes) -> bool:
    parse_time(text.decode() + "Z")
    return True


def _read(document: dict[str, Any], data: bytes) -> BaseMessage | None:
    (choice,) = document["choices"]
    natural = choice["message"]
    name = BY_ROLE[natural["role"]]
    content = natural.get("content", "")
    if len(choice) != 1 or type(content) is not str or not natural.keys() <= _NATURAL_MEMBERS[name]:
        return None
    fields: dict[str, Any] = {"content": content}
    is_tagged = b"$" in data and TAG_BYTES in data  # one byte is found in no time
    allowance = allow(document, data, is_tagged=is_tagged)
    if name == "ai":
        if "tool_calls" in natural:
            fields["tool_calls"] = read_usual_calls(natural["tool_calls"], allowance)
        if "usage" in document:
            fields["usage_metadata"] = usage = _read_usage(document["usage"])
            if usage is None:
                return None
        if "reasoning_content" in natural:
            reasoning = natural["reasoning_content"]
            if type(reasoning) is not str or not reasoning:
                return None
            fields["additional_kwargs"] = {"reasoning_content": reasoning}
    elif "usage" in document:
        return None
    elif name == "tool":
        fields["tool_call_id"] = natural.get("tool_id", "")
        if type(fields["tool_call_id"]) is not str:
            return None
        if "tool_name" in natural:
            fields["name"] = natural["tool_name"]
            if type(fields["name"]) is not str or not fields["name"]:
                return None
    shape = SHAPES[name]
    if "extensions" not in document:
        return shape.make(fields, {}) if has_payload(natural) else None
    ((owner, extension),) = document["extensions"].items()
    if owner != "langchain" or not extension.keys() <= _EXTENSION_MEMBERS:
        return None
    version = extension["v"]
    if type(version) is not int or version != EXTENSION_VERSION or extension["type"] != name:
        return None
    for key, value in extension.get("data", _NOTHING).items():
        if type(value) is not _KINDS.get(key, object):
            if name == "tool" and key == "artifact" and value is not None:
                fields[key] = value
                continue
            return None
        if key == "usage_metadata":
            for detail in value.values():
                if type(detail) is not dict:
                    return None
            fields[key].update(value)
        elif key == "content":
            for block in value:
                if type(block) is not dict:
                    return None
            fields[key] = value
        elif key == "status":
            if name != "tool" or value != "error":
                return None
            fields[key] = value
        elif key not in fields:
            fields[key] = value
        elif key == "additional_kwargs" and "reasoning_content" not in value:
            fields[key].update(value)
        else:
            return None
    if is_tagged and not _fill(fields["content"], References(natural, allowance), data):
        return None
    return shape.make(fields, {})


def _read_usage(usage: dict[str, Any]) -> dict[str, Any] | None:
    sent, made, both = usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]
    if not type(sent) is type(made) is type(both) is int or len(usage) != 3:
        return None
    return {"input_tokens": sent, "output_tokens": made, "total_tokens": both}


def _fill(blocks: list[Any], references: References, data: bytes) -> bool:
    """Put what content blocks refer to in its place; without a change, if there are more tags."""
    found = [
        (block, name, untag(block[name], references))
        for block in blocks
        for name in _REFERRING
        if type(block.get(name)) is dict and TAG in block[name]
    ]
    if len(found) != data.count(TAG_BYTES):
        return False
    for block, name, value in found:
        block[name] = value
    return True
