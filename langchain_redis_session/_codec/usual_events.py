"""Events as nearly all of ours are: a message, and nothing that needs a second look.

Only for speed, since reading a history is mostly this. What looks in any way otherwise than
`encode_event` writes it gives None, be it rare or wrong, and `decode_event` decides; where
both give a message, it is the same.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import orjson
from langchain_core.messages import BaseMessage

from langchain_redis_session._codec.corruption import (
    SMALL_BYTES,
    Allowance,
    allow,
    measure_containers,
)
from langchain_redis_session._codec.message_form import (
    BY_ROLE,
    EXTENSION_VERSION,
    SHAPES,
    has_payload,
)
from langchain_redis_session._codec.plain_json import TAG
from langchain_redis_session._codec.tags import TAG_BYTES
from langchain_redis_session._codec.tool_calls import parse_arguments, read_usual_calls
from langchain_redis_session._times import parse_time
from langchain_redis_session.errors import fails_again
from langchain_redis_session.models import Event

_DATE = (
    rb"[1-9][0-9]{3}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|"
    rb"(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))"
)
_TIME = rb"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]\.[0-9]{9}Z"
_HEAD = re.compile(
    rb'\{"id":"([0-9a-f]{32})","timestamp":"(' + _DATE + rb"T" + _TIME + rb')",'
    rb'"author":"(user|assistant)",(?:"requestID":"([\w-]+)",)?'
    rb'"choices":\[\{"message":\{"role":"(user|assistant)","content":'
)
"""What stands before a text: the event's id, time, author and request id, the message's role."""
_TEXT_END, _TEXT_BREAK = b'"}}]}', b'"}}],'
_BEHIND_TEXT = 1 - len(_TEXT_END)
_BACKSLASH = ord("\\")
_NAMES = {role.encode(): name for role, name in BY_ROLE.items()}
_TEXT_MAKERS = {role: SHAPES[name].make_text for role, name in _NAMES.items()}

_TEXT_MEMBERS = ("author", "requestID", "invocationId", "branch", "filterKey")
_MEMBERS = frozenset(
    ("id", "timestamp", *_TEXT_MEMBERS, "choices", "usage", "version", "extensions")
)
_LAST_MEMBERS = frozenset(("usage", "extensions"))
_NATURAL_MEMBERS = {
    "human": frozenset(("role", "content")),
    "system": frozenset(("role", "content")),
    "tool": frozenset(("role", "content", "tool_id", "tool_name")),
    "ai": frozenset(("role", "content", "tool_calls", "reasoning_content")),
}
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
_ODD = (ValueError, TypeError, LookupError, AttributeError)
"""What looking into something else than was expected raises; a signal's handler may, too."""
_NOTHING: dict[str, Any] = {}


class _UnusualError(LookupError):
    """There is something that needs a second look."""


def read_messages(entries: Sequence[bytes]) -> list[BaseMessage] | None:
    """Read the messages of events, one of each; None where one of them is not a usual one.

    >>> entry = b'{"id":"e1","timestamp":"2026-11-23T11:13:00Z","choices":[{"message":'
    >>> read_messages([entry + b'{"role":"user","content":"hi"}}]}'])
    [HumanMessage(content='hi', additional_kwargs={}, response_metadata={})]
    >>> read_messages([b'{"id":"e1","timestamp":"today"}'])
    """
    if (texts := _read_texts(entries)) is not None:
        return texts
    messages: list[BaseMessage] = []
    try:
        _read_all(entries, messages)
    except _UnusualError:
        return None
    except _ODD as error:
        odd = entries[len(messages) :][:1]  # none: a signal came at the end
        if not fails_again(error, _read_all, odd, []):
            raise
        return None
    return messages


def _read_all(entries: Sequence[bytes], messages: list[BaseMessage]) -> None:
    for data in entries:
        found = _HEAD.match(data)
        message = None if found is None else _read_rest(data, found.end(), found[5])
        messages.append(_read_document(data) if message is None else message)


def read_message(data: bytes) -> BaseMessage | None:
    """Read the message of a usual event."""
    messages = read_messages((data,))
    return None if messages is None else messages[0]


def read_event(data: bytes) -> Event | None:
    """Read an event as most of ours are; None for others, usual ones among them."""
    found = _HEAD.match(data)
    if found is None:
        return None
    event_id, time, author, request_id, role = found.groups(b"")
    try:
        message = _read_rest(data, found.end(), role)
    except _UnusualError:
        return None
    except _ODD as error:
        if not fails_again(error, _read_rest, data, found.end(), role):
            raise
        return None
    if message is None:
        return None
    return Event(
        message,
        author.decode(),
        request_id.decode(),
        id=event_id.decode(),
        time_ns=parse_time(time.decode()),
    )


def _read_texts(entries: Sequence[bytes]) -> list[BaseMessage] | None:
    """Read messages that are nothing but texts in one go; None where one of them is more."""
    if not all(data.endswith(_TEXT_END) for data in entries):
        return None
    heads = [head for head in map(_HEAD.match, entries) if head is not None]
    if len(heads) < len(entries):
        return None
    parts = [data[head.end() : _BEHIND_TEXT] for data, head in zip(entries, heads, strict=True)]
    texts = _load(b"[%b]" % b"\n,".join(parts))
    # No string goes over the end of a line; so as many strings as parts, and nothing else, are
    # one of each.
    if texts is None or len(texts) != len(parts) or {*map(type, texts)} != {str} or not all(texts):
        return None
    return [_TEXT_MAKERS[head[5]](text) for head, text in zip(heads, texts, strict=True)]


def _read_rest(data: bytes, start: int, role: bytes) -> BaseMessage | None:
    """Read the message of an entry, up to whose text all is as `_HEAD` says.

    If that is one JSON string, and what follows are members, the whole is nothing else. None
    where there is more to the message than a text and an extension, or no text.
    """
    if not data.endswith(_TEXT_END):
        return _read_extended(data, start, _NAMES[role])
    content = _load(data[start:_BEHIND_TEXT])
    return _TEXT_MAKERS[role](content) if type(content) is str and content else None


def _load(data: bytes) -> Any:
    """Read JSON; None where it is none."""
    try:
        return orjson.loads(data)
    except ValueError as error:
        if not fails_again(error, orjson.loads, data):
            raise
        return None


def _read_extended(data: bytes, start: int, name: str) -> BaseMessage | None:
    """Read a message of a text and an extension; None where there is more to it.

    Args:
        data: The entry.
        start: Where the text begins.
        name: The name of the message's class.
    """
    end = data.find(b'"', start + 1) + 1
    if data[end - 2] == _BACKSLASH:  # that quote is within the text
        end = data.find(_TEXT_BREAK, end) + 1
    if not data.startswith(_TEXT_BREAK, end - 1):
        return None
    # A list of two, of which the second is a dict: the first is all that stands before it.
    pair = _load(b"[%b,{%b]" % (data[start:end], data[end - 1 + len(_TEXT_BREAK) :]))
    if pair is None or len(pair) != 2:
        return None
    content, members = pair
    if type(content) is not str or not content or type(members) is not dict:
        return None
    if not members.keys() <= _LAST_MEMBERS:
        return None
    return _finish(name, SHAPES[name].start(content), {"content"}, members, data)


def _read_document(data: bytes) -> BaseMessage:
    document = orjson.loads(data)
    event_id, time = document["id"], document["timestamp"]
    if not _expect(str, event_id) or not document.keys() <= _MEMBERS:
        raise _UnusualError
    parse_time(_expect(str, time))
    for name in _TEXT_MEMBERS:
        _expect(str, document.get(name, ""))
    return _read(document, data)


def read_usual(document: dict[str, Any], data: bytes) -> BaseMessage | None:
    """Read the message of an event that is parsed already, and whose other members were read."""
    try:
        return _read(document, data)
    except _UnusualError:
        return None
    except _ODD as error:
        if not fails_again(error, _read, document, data):
            raise
        return None


def _read(document: dict[str, Any], data: bytes) -> BaseMessage:
    (choice,) = document["choices"]
    natural = choice["message"]
    name = BY_ROLE[natural["role"]]
    content = natural.get("content", "")
    if len(choice) != 1 or type(content) is not str or not natural.keys() <= _NATURAL_MEMBERS[name]:
        raise _UnusualError
    fields, names = SHAPES[name].start(content), {"content"}
    if name == "tool":
        fields["tool_call_id"] = _expect(str, natural.get("tool_id", ""))
        names.add("tool_call_id")
        if "tool_name" in natural:
            fields["name"] = _expect(str, natural["tool_name"]) or _refuse()
            names.add("name")
    elif "reasoning_content" in natural:
        reasoning = _expect(str, natural["reasoning_content"]) or _refuse()
        fields["additional_kwargs"]["reasoning_content"] = reasoning
        names.add("additional_kwargs")
    if "extensions" not in document and not has_payload(natural):
        raise _UnusualError
    return _finish(name, fields, names, document, data, natural.get("tool_calls"))


def _expect(kind: type, value: Any) -> Any:
    return value if type(value) is kind else _refuse()


def _refuse() -> NoReturn:
    raise _UnusualError


def _finish(
    name: str,
    fields: dict[str, Any],
    names: set[str],
    members: dict[str, Any],
    data: bytes,
    calls: list[Any] | None = None,
) -> BaseMessage:
    """Make the message of what stands beside its text, too.

    Args:
        name: The name of its class.
        fields: Its fields, as far as they are known.
        names: The names of those that are not as by default.
        members: The event's, of which the usage and the extension are of interest.
        data: The entry.
        calls: The natural tool calls.
    """
    content = fields["content"]
    tags = data.count(TAG_BYTES) if b"$" in data else 0  # one byte is found in no time
    allowance = allow(members, data, tags=tags) if tags or len(data) > SMALL_BYTES else None
    if calls is not None:
        fields["tool_calls"] = read_usual_calls(calls, allowance)
        names.add("tool_calls")
    if "usage" in members:
        if name != "ai":
            raise _UnusualError
        fields["usage_metadata"] = _read_usage(members["usage"])
        names.add("usage_metadata")
    if "extensions" in members:
        extensions = members["extensions"]
        extension = extensions["langchain"]
        version, more = extension["v"], extension.get("data", _NOTHING)
        if (
            len(extensions) != 1
            or type(version) is not int
            or version != EXTENSION_VERSION
            or extension["type"] != name
            or len(extension) != 2 + (more is not _NOTHING)
        ):
            raise _UnusualError
        for key, value in more.items():
            if type(value) is not _KINDS.get(key):
                if name != "tool" or key != "artifact" or value is None:
                    raise _UnusualError
                fields[key] = value
            elif key in _WHOLE and key not in names:
                fields[key] = value
            else:
                _add(fields, names, key, value)
            names.add(key)
        if tags:
            _fill(fields["content"], content, calls or (), allowance, tags)
    return SHAPES[name].construct(fields, names, {})


_WHOLE = frozenset(("id", "name", "response_metadata", "additional_kwargs"))


def _add(fields: dict[str, Any], names: set[str], key: str, value: Any) -> None:
    """Take in a field that is more than its value."""
    if key == "usage_metadata" and key in names:
        for detail in value.values():
            _expect(dict, detail)
        fields[key].update(value)
    elif key == "additional_kwargs" and "reasoning_content" not in value:
        fields[key].update(value)
    elif key == "content":
        for block in value:
            _expect(dict, block)
        fields[key] = value
    elif key == "status" and "tool_call_id" in names and value == "error":
        fields[key] = value
    else:
        raise _UnusualError


def _read_usage(usage: dict[str, Any]) -> dict[str, Any]:
    sent, made, both = usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]
    if not type(sent) is type(made) is type(both) is int or len(usage) != 3:
        raise _UnusualError
    return {"input_tokens": sent, "output_tokens": made, "total_tokens": both}


def _fill(
    blocks: list[Any],
    content: str,
    calls: Sequence[Any],
    allowance: Allowance | None,
    tags: int,
) -> None:
    """Put what content blocks refer to in its place; without a change, if there are other tags."""
    found = []
    for block in blocks:
        for name in _REFERRING:
            value = block.get(name)
            if type(value) is dict and TAG in value:
                (tag,) = value.values()
                found.append((block, name, _look_up(tag, content, calls, allowance)))
    if len(found) != tags:
        raise _UnusualError
    for block, name, value in found:
        block[name] = value


def _look_up(
    tag: list[Any], content: str, calls: Sequence[Any], allowance: Allowance | None
) -> Any:
    kind = tag[0]
    if kind == "content":
        _, start, length = tag
        if type(start) is not int or type(length) is not int or start < 0 or length < 0:
            raise _UnusualError
        text = content[start : start + length]
        if len(text) != length:
            raise _UnusualError
    elif kind == "args" or kind == "arguments":
        _, place = tag
        if type(place) is not int or place < 0:
            raise _UnusualError
        text = calls[place]["function"]["arguments"]
    else:
        raise _UnusualError
    if allowance is not None:
        allowance.take(sys.getsizeof(text))
    if kind != "args":
        return text
    args = parse_arguments(text)
    if args is None:
        raise _UnusualError
    if allowance is not None:
        allowance.take(measure_containers(args))
    return args
