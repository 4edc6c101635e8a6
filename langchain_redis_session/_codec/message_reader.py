"""Go's message, its usage, and `extensions.langchain` -> LangChain messages.

Reading takes the class from a fixed map and sets the fields as they are: the classes'
validators would change some (they fill `tool_calls` from `additional_kwargs`).
"""

from __future__ import annotations

import sys
from typing import Any

from langchain_core.messages import BaseMessage

from langchain_redis_session._codec.content_parts import decode_parts, get_text
from langchain_redis_session._codec.corruption import Allowance, measure_containers
from langchain_redis_session._codec.message_form import (
    BY_ROLE,
    CLASSES,
    EXTENSION_VERSION,
    SHAPES,
    TOKEN_COUNTS,
    has_payload,
)
from langchain_redis_session._codec.plain_json import show
from langchain_redis_session._codec.tags import untag
from langchain_redis_session._codec.tool_calls import (
    decode_tool_calls,
    parse_arguments,
    read_arguments,
)
from langchain_redis_session.errors import CorruptEventError


class _References:
    """What the references in an extension point into: the natural message."""

    def __init__(self, natural: dict[str, Any], allowance: Allowance | None) -> None:
        self._natural = natural
        self._allowance = allowance
        self._arguments: list[str] | None = None

    def content(self, start: int, length: int) -> str:
        content = text_member(self._natural, "content")
        if start + length > len(content):
            raise LookupError
        return self._take(content[start : start + length])

    def part(self, index: int, name: str) -> str:
        return self._take(get_text(self._natural["content_parts"], index, name))

    def arguments(self, index: int) -> str:
        if self._arguments is None:  # no cached_property: before Python 3.12 it has a lock
            self._arguments = read_arguments(self._natural.get("tool_calls") or [])
        return self._take(self._arguments[index])

    def args(self, index: int) -> Any:
        args = parse_arguments(self.arguments(index))
        if args is None:
            raise LookupError
        if self._allowance is not None:
            self._allowance.take(measure_containers(args))
        return args

    def _take(self, text: str) -> str:
        if self._allowance is not None:
            self._allowance.take(sys.getsizeof(text))
        return text


def decode_message(
    natural: dict[str, Any],
    usage: dict[str, Any] | None,
    extension: Any,
    *,
    author: str = "",
    tagged: bool = True,
    allowance: Allowance | None = None,
) -> BaseMessage | None:
    """Read a message.

    Args:
        natural: Go's message; empty if there is none.
        usage: Go's usage.
        extension: The stored `extensions.langchain`, or None.
        author: The event's author, which stands for a missing role.
        tagged: Whether the extension may hold tags.
        allowance: What decoding may take; None where it can't be much.

    Returns:
        The message; None if Go's message is empty and there is no extension.

    Raises:
        CorruptEventError: Nothing that `encode_message` or Go writes.
    """
    data: dict[str, Any] = {}
    role = text_member(natural, "role")
    if extension is None:
        if not has_payload(natural):
            return None
        by_author = "human" if author == "user" else "ai"
        name = BY_ROLE.get(role, "chat") if role else by_author
    else:
        name, data = _read_extension(extension, natural, allowance, tagged=tagged)
    fields = _natural_fields(name, role, natural, usage, allowance)
    shape = SHAPES[name]
    extra: dict[str, Any] = {}
    if data:
        checks, known = shape.checks, shape.values
        for key, value in data.items():
            if key not in known:
                extra[key] = value
                continue
            if key == "type" or (key in checks and not checks[key](value)):
                raise CorruptEventError(f"extensions.langchain.data.{key} has a wrong type")
            if key == "additional_kwargs" and "reasoning_content" not in value:
                fields[key] = {**fields.get(key, {}), **value}
            elif key == "usage_metadata" and value is not None and key in fields:
                fields[key].update(value)
            else:
                fields[key] = value
    if name == "function" and fields.get("name") is None:
        fields["name"] = ""
    return shape.make(fields, extra)


_TEXT_MEMBERS = frozenset(("role", "content", "tool_id", "tool_name"))


def _natural_fields(
    name: str,
    role: str,
    natural: dict[str, Any],
    usage: dict[str, Any] | None,
    allowance: Allowance | None,
) -> dict[str, Any]:
    """Read the fields that the natural message holds."""
    fields: dict[str, Any] = {"content": text_member(natural, "content")}
    if name == "tool" or name == "function":
        if name == "tool":
            fields["tool_call_id"] = text_member(natural, "tool_id")
        if tool_name := text_member(natural, "tool_name"):
            fields["name"] = tool_name
    elif name == "chat":
        fields["role"] = role
    elif name == "ai" and usage and (counts := _token_counts(usage)):
        fields["usage_metadata"] = counts
    if natural.keys() <= _TEXT_MEMBERS:
        return fields
    parts = natural.get("content_parts")
    if parts is not None and parts != []:
        fields["content"] = decode_parts(fields["content"], parts, allowance)
    calls = natural.get("tool_calls")
    if calls is not None:
        valid, invalid = decode_tool_calls(calls, allowance)
        if valid and name == "ai":
            fields["tool_calls"] = valid
        if invalid and name == "ai":
            fields["invalid_tool_calls"] = invalid
    if reasoning := text_member(natural, "reasoning_content"):
        fields["additional_kwargs"] = {"reasoning_content": reasoning}
    return fields


def _read_extension(
    extension: Any, natural: dict[str, Any], allowance: Allowance | None, *, tagged: bool
) -> tuple[str, dict[str, Any]]:
    if type(extension) is not dict:
        raise CorruptEventError("extensions.langchain is not an object")
    version, name = extension.get("v"), extension.get("type")
    if type(version) is not int or version != EXTENSION_VERSION:
        raise CorruptEventError(
            f"extensions.langchain has the unknown version {show(version)}; "
            "a newer langchain-redis-session may read it"
        )
    if type(name) is not str or name not in CLASSES:
        raise CorruptEventError(
            f"extensions.langchain has the unknown message type {show(name)}; "
            "a newer langchain-redis-session may read it"
        )
    data = extension.get("data")
    if data is None:
        return name, {}
    if tagged:
        data = untag(data, _References(natural, allowance))
    if type(data) is not dict:
        raise CorruptEventError("extensions.langchain.data is not an object")
    return name, data


def _token_counts(usage: dict[str, Any]) -> dict[str, Any] | None:
    counts = {}
    found = False
    for theirs, ours in TOKEN_COUNTS.items():
        count = usage.get(theirs)
        if count is None:
            count = 0
        elif type(count) is int:
            found = True
        else:
            raise CorruptEventError(f"usage.{theirs} is {type(count).__name__}, not an integer")
        counts[ours] = count
    return counts if found else None


def text_member(body: dict[str, Any], name: str) -> str:
    """Give a text member; absent and null mean empty, as in Go.

    Raises:
        CorruptEventError: It is something else.
    """
    value = body.get(name)
    if value is None:
        return ""
    if type(value) is not str:
        raise CorruptEventError(f"{name} is {type(value).__name__}, not a string")
    return value
