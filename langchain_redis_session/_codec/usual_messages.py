"""Messages as people and models usually write them: what is stored of them, the short way.

Only for speed, as `usual_events`. What is in any way odd gives None, and `encode_message`
decides; where both write a message, they write the same.
"""

from __future__ import annotations

import re
from typing import Any

import orjson
from langchain_core.messages import BaseMessage

from langchain_redis_session._codec.content_blocks import join_texts, refer
from langchain_redis_session._codec.message_form import (
    CLASSES,
    EXTENSION_VERSION,
    NAMES,
    ROLES,
    SHAPE_OF,
    TOKEN_COUNTS,
    EncodedMessage,
    has_payload,
)
from langchain_redis_session._codec.plain_json import is_exact
from langchain_redis_session._times import format_time
from langchain_redis_session.errors import fails_again
from langchain_redis_session.models import Event

_USUAL = {cls: name for cls, name in NAMES.items() if name in ("human", "ai", "system", "tool")}
_PARTS = frozenset(("image_url", "text-plain", "image", "audio", "video", "file"))
"""The types of blocks that may become natural content parts."""
_MOST_TOKENS = 2**63
_ODD = (TypeError, LookupError, AttributeError)
"""What looking into something else than was expected raises; orjson's errors are TypeErrors."""


_BEGIN_TEXT = {
    CLASSES[name]: f'"choices":[{{"message":{{"role":"{ROLES[name]}","content":'
    for name in ("human", "ai")
}
_AUTHORS = {"": "", "user": '"author":"user",', "assistant": '"author":"assistant",'}
_PLAIN = re.compile(r"[\w-]+", re.ASCII)
"""What stands in JSON as it is."""


class _UnusualError(LookupError):
    """There is something that needs a second look."""


def write_text(event: Event) -> bytes | None:
    """Write an event that is a user's or a model's text; None if there is more to it.

    >>> from langchain_core.messages import HumanMessage
    >>> write_text(Event(HumanMessage("hi"), id="e1", time_ns=0)).decode()
    ... # doctest: +NORMALIZE_WHITESPACE
    '{"id":"e1","timestamp":"1970-01-01T00:00:00.000000000Z","choices":[{"message":{"role":"user","content":"hi"}}]}'
    >>> write_text(Event(HumanMessage("hi", name="ann")))
    """
    message = event.message
    begin = None if message is None else _BEGIN_TEXT.get(type(message))
    if (
        message is None
        or begin is None
        or event.invocation_id
        or event.state_delta
        or event.branch
        or event.tag
        or event.filter_key
        or event.extensions
        or event.extra
        or message.__pydantic_extra__
        or type(message.content) is not str
        or not message.content
        or not SHAPE_OF[type(message)].is_only_content(message.__dict__)
    ):
        return None
    try:
        return _write_text(event, begin, message.content)
    except (*_ODD, ValueError) as error:
        if not fails_again(error, _write_text, event, begin, message.content):
            raise
        return None


def _write_text(event: Event, begin: str, content: str) -> bytes | None:
    event_id, request_id = event.id, event.request_id
    author = _AUTHORS.get(event.author)
    if author is None or not _PLAIN.fullmatch(event_id):
        return None
    if request_id:
        if not _PLAIN.fullmatch(request_id):
            return None
        author += f'"requestID":"{request_id}",'
    head = f'{{"id":"{event_id}","timestamp":"{format_time(event.time_ns)}",{author}{begin}'
    return b"%b%b}}]}" % (head.encode(), orjson.dumps(content))


def write_usual(message: BaseMessage) -> EncodedMessage | None:
    """Write a message; None if there is something odd about it.

    Texts that are none (with lone surrogates) and integers that are too large are not looked
    for: orjson refuses them.

    >>> from langchain_core.messages import AIMessage
    >>> write_usual(AIMessage("hi", id="r1"))
    EncodedMessage(message={'role': 'assistant', 'content': 'hi'}, usage=None, \
extension={'v': 1, 'type': 'ai', 'data': {'id': 'r1'}})
    >>> write_usual(AIMessage("hi", response_metadata={"at": object()}))
    """
    name = _USUAL.get(type(message))
    if name is None or message.__pydantic_extra__:
        return None
    try:
        return _write(name, message.__dict__)
    except _UnusualError:
        return None
    except _ODD as error:
        if not fails_again(error, _write, name, message.__dict__):
            raise
        return None


def _write(name: str, fields: dict[str, Any]) -> EncodedMessage:
    natural: dict[str, Any] = {"role": ROLES[name]}
    data: dict[str, Any] = {}
    usage = None
    content, label, message_id = fields["content"], fields["name"], fields["id"]
    blocks = None
    if type(content) is str:
        if content:
            natural["content"] = content
    else:
        blocks, pieces = content, _write_blocks(natural, content)
    if name == "tool":
        _write_result(natural, data, fields)
    elif label is not None:
        data["name"] = _expect(str, label)
    if message_id is not None:
        data["id"] = _expect(str, message_id)
    if name == "ai":
        calls = _expect(list, fields["tool_calls"])
        if calls:
            natural["tool_calls"] = [_write_call(call) for call in calls]
        if _expect(list, fields["invalid_tool_calls"]):
            raise _UnusualError
        counts = fields["usage_metadata"]
        if counts is not None:
            usage = _write_usage(data, counts)
        if blocks is not None:
            arguments = [call["function"]["arguments"] for call in natural.get("tool_calls", ())]
            data["content"] = refer(blocks, pieces, arguments)
    elif blocks is not None:
        data["content"] = refer(blocks, pieces)
    kwargs, metadata = fields["additional_kwargs"], fields["response_metadata"]
    if kwargs or type(kwargs) is not dict:
        _write_kwargs(natural, data, kwargs)
    if metadata or type(metadata) is not dict:
        data["response_metadata"] = _expect(dict, metadata)
        _require_exact(metadata)
    if not data and has_payload(natural):
        return EncodedMessage(natural, usage, None)
    extension: dict[str, Any] = {"v": EXTENSION_VERSION, "type": name}
    if data:
        extension["data"] = data
    return EncodedMessage(natural, usage, extension)


def _expect(kind: type, value: Any) -> Any:
    if type(value) is not kind:
        raise _UnusualError
    return value


def _require_exact(value: Any) -> None:
    if not is_exact(value):
        raise _UnusualError


def _write_blocks(natural: dict[str, Any], content: Any) -> dict[str, int]:
    _require_exact(_expect(list, content))
    for block in content:
        if type(block) is not dict or block.get("type") in _PARTS:
            raise _UnusualError
    text, pieces = join_texts(content)
    if text:
        natural["content"] = text
    return pieces


def _write_result(natural: dict[str, Any], data: dict[str, Any], fields: dict[str, Any]) -> None:
    tool_id, label, status = fields["tool_call_id"], fields["name"], fields["status"]
    if _expect(str, tool_id):
        natural["tool_id"] = tool_id
    if label is not None:
        if not _expect(str, label):
            raise _UnusualError
        natural["tool_name"] = label
    if _expect(str, status) != "success":
        if status != "error":
            raise _UnusualError
        data["status"] = status
    artifact = fields["artifact"]
    if artifact is not None:
        _require_exact(artifact)
        data["artifact"] = artifact


def _write_call(call: dict[str, Any]) -> dict[str, Any]:
    name, args, call_id = call["name"], call["args"], call["id"]
    if not type(name) is type(call_id) is str or not call_id:
        raise _UnusualError
    if type(args) is not dict or len(call) != 4 or call["type"] != "tool_call":
        raise _UnusualError
    _require_exact(args)
    arguments = orjson.dumps(args).decode()
    return {"type": "function", "id": call_id, "function": {"name": name, "arguments": arguments}}


def _write_usage(data: dict[str, Any], counts: dict[str, Any]) -> dict[str, Any]:
    sent, made, both = counts["input_tokens"], counts["output_tokens"], counts["total_tokens"]
    for count in (sent, made, both):
        if type(count) is not int or not 0 <= count < _MOST_TOKENS:
            raise _UnusualError
    if len(counts) > 3:
        rest = {name: value for name, value in counts.items() if name not in _TOKEN_FIELDS}
        for details in rest.values():
            _expect(dict, details)
        _require_exact(rest)
        data["usage_metadata"] = rest
    return {"prompt_tokens": sent, "completion_tokens": made, "total_tokens": both}


_TOKEN_FIELDS = frozenset(TOKEN_COUNTS.values())


def _write_kwargs(natural: dict[str, Any], data: dict[str, Any], kwargs: Any) -> None:
    _require_exact(_expect(dict, kwargs))
    if "tool_calls" in kwargs:  # their arguments may be in the provider's own spelling
        raise _UnusualError
    if "reasoning_content" in kwargs:
        reasoning = kwargs["reasoning_content"]
        if not _expect(str, reasoning):
            raise _UnusualError
        natural["reasoning_content"] = reasoning
        kwargs = {name: value for name, value in kwargs.items() if name != "reasoning_content"}
    if kwargs:
        data["additional_kwargs"] = kwargs
