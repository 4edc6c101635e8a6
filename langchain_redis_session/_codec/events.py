"""Events and track events <-> the bytes in Redis.

An event is the JSON that trpc-agent-go's `event.Event` marshals to, with absent members
for zero values, and without a byte that is not needed: most events are one short
message, and their size is what users pay for.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from typing import Any

import orjson
from langchain_core.messages import BaseMessage

from langchain_redis_session._codec.choices import (
    is_zero,
    overlay,
    rest_of_choices,
    rest_of_usage,
    settle_delta,
)
from langchain_redis_session._codec.conversions import Conversions
from langchain_redis_session._codec.corruption import Allowance, allow, decoder
from langchain_redis_session._codec.message_form import (
    MESSAGE_BYTES,
    TOKEN_COUNTS,
    EncodedMessage,
)
from langchain_redis_session._codec.message_reader import decode_message, text_member
from langchain_redis_session._codec.message_writer import encode_message
from langchain_redis_session._codec.plain_json import (
    is_text,
    item_path,
    load_exactly,
    may_hold_big_int,
    refuse,
    show,
)
from langchain_redis_session._codec.state_values import decode_state_value, encode_state_value
from langchain_redis_session._codec.tags import TAG_BYTES, embed, embed_untagged, read_value
from langchain_redis_session._codec.usual_events import read_event, read_usual
from langchain_redis_session._codec.usual_messages import write_text, write_usual
from langchain_redis_session._times import format_time, parse_time
from langchain_redis_session.errors import CorruptEventError, fails_again
from langchain_redis_session.models import Event

EVENT_VERSION = 1
_TEMP_PREFIX = "temp:"
_LANGCHAIN = "langchain"
_ZERO_TIME = parse_time("0001-01-01T00:00:00Z")  # of Go

_FIXED = frozenset(
    (
        "id",
        "timestamp",
        "author",
        "requestID",
        "invocationId",
        "choices",
        "usage",
        "stateDelta",
        "branch",
        "tag",
        "filterKey",
        "version",
        "extensions",
    )
)

_SIMPLE = frozenset(
    ("id", "timestamp", "author", "requestID", "choices", "usage", "version", "extensions")
)

_CHECKED_EXTRA = frozenset(("choices", "usage"))
"""The extras that reading looks into."""


def encode_event(
    event: Event,
    *,
    conversions: Conversions | None = None,
    state: Mapping[str, bytes] | None = None,
) -> bytes:
    """Write an event.

    Args:
        event: Any event.
        conversions: Who hears of what JSON can't carry; None = it is refused.
        state: The values of its `state_delta`, where they are encoded already.

    Raises:
        UnserializableMessageError: It is none, or something in it can't be JSON and there
            are no `conversions`; the text names the path to it.

    >>> from langchain_core.messages import HumanMessage
    >>> encode_event(Event(HumanMessage("hi"), id="e1", author="user", time_ns=0)).decode()
    ... # doctest: +NORMALIZE_WHITESPACE
    '{"id":"e1","timestamp":"1970-01-01T00:00:00.000000000Z","author":"user","choices":[{"message":{"role":"user","content":"hi"}}]}'
    """
    if event.message is None:
        return _write(event, None, conversions, state)
    if type(event) is Event and (text := write_text(event)) is not None:
        return text
    usual = write_usual(event.message)
    if usual is not None:
        try:
            return _write(event, usual, conversions, state)
        except orjson.JSONEncodeError as error:  # something in it is odd all the same
            if not fails_again(error, _write, event, usual, conversions, state):
                raise
    return _write(event, encode_message(event.message, conversions), conversions, state)


def _write(
    event: Event,
    encoded: EncodedMessage | None,
    conversions: Conversions | None,
    state: Mapping[str, bytes] | None,
) -> bytes:
    document: dict[str, Any] = {
        "id": to_text(event.id, "id")
        or refuse("id", "an event needs one; leave it out for a new one"),
        "timestamp": write_time(event.time_ns),
    }
    if event.author:
        document["author"] = to_text(event.author, "author")
    if event.request_id:
        document["requestID"] = to_text(event.request_id, "request_id")
    if event.invocation_id:
        document["invocationId"] = to_text(event.invocation_id, "invocation_id")
    extension = None
    if encoded is not None:
        message, usage, extension = encoded
        document["choices"] = [{"message": message}]
        if usage is not None:
            document["usage"] = usage
    if event.state_delta:
        if state is None:
            state = encode_state_delta(event.state_delta, conversions)
        _write_state_delta(document, state)
    if event.branch:
        document["branch"] = to_text(event.branch, "branch")
    if event.tag:
        document["tag"] = to_text(event.tag, "tag")
    if event.filter_key:
        document["filterKey"] = to_text(event.filter_key, "filter_key")
    if event.branch or event.filter_key:  # the version says which of them is the filter key
        document["version"] = EVENT_VERSION
    if event.extra:
        _write_extra(document, event.extra, conversions)
    if event.extensions:
        _write_extensions(document, event.extensions, extension, conversions)
    elif extension is not None:
        document["extensions"] = {_LANGCHAIN: extension}
    data = orjson.dumps(document)
    if event.extra and not _CHECKED_EXTRA.isdisjoint(event.extra):
        try:
            decode_event(data)
        except CorruptEventError as error:
            refuse("extra", f"with it the event could not be read: {error}; see Go's JSON")
    return data


def to_text(value: Any, path: str) -> str:
    if type(value) is str and value.isascii():
        return value
    if not isinstance(value, str):
        refuse(path, f"{type(value).__name__} is not a string: {show(value)}; use str()")
    if not is_text(value):
        refuse(path, f"a lone surrogate is not text: {show(value)}; replace it")
    return value if type(value) is str else str.__str__(value)


def write_time(time_ns: Any) -> str:
    try:
        return format_time(time_ns)
    except (TypeError, ValueError):
        refuse(
            "time_ns",
            f"{show(time_ns)} is not a time; give an int, nanoseconds since 1970, "
            "within the years 1 to 9999",
        )


def encode_state_delta(
    delta: Mapping[str, Any], conversions: Conversions | None = None
) -> dict[str, bytes]:
    """Write the values of a change of state, but for those of `temp:`, which nobody stores.

    Raises:
        UnserializableMessageError: A name is no text; or JSON can't carry a value, and there
            are no `conversions`. The text names the path.
    """
    encoded = {}
    for name, value in delta.items():
        path = item_path("state_delta", name)
        text = to_text(name, path)
        if not text.startswith(_TEMP_PREFIX):
            encoded[text] = encode_state_value(value, path, conversions)
    return encoded


def _write_state_delta(document: dict[str, Any], state: Mapping[str, bytes]) -> None:
    if state:
        document["stateDelta"] = {
            name: base64.b64encode(value).decode() for name, value in state.items()
        }


def _write_extra(
    document: dict[str, Any], extra: dict[str, Any], conversions: Conversions | None
) -> None:
    for name, value in _members("extra", extra):
        path = item_path("extra", name)
        if name == "choices":
            # An orjson.Fragment can't be laid over: what is odd in there stays whole.
            if "choices" not in document:
                document[name] = embed_untagged(value, path, conversions)
            elif isinstance(value, list) and value:
                first, *others = value
                choices = [overlay(first, document[name][0]), *others]
                document[name] = embed_untagged(choices, path, conversions)
        elif name == "usage":
            merged = overlay(value, document[name]) if name in document else value
            document[name] = embed_untagged(merged, path, conversions)
        elif name not in _FIXED:
            document[to_text(name, path)] = embed(value, path, conversions)


def _members(path: str, value: object) -> Iterable[tuple[Any, Any]]:
    if not isinstance(value, dict):
        refuse(path, f"{type(value).__name__} is not a dict")
    return value.items()


def _write_extensions(
    document: dict[str, Any],
    extensions: dict[str, Any],
    langchain: dict[str, Any] | None,
    conversions: Conversions | None,
) -> None:
    stored = {}
    for name, value in _members("extensions", extensions):
        path = item_path("extensions", name)
        if name == _LANGCHAIN:
            refuse(path, "this name is taken by the message itself; use another one")
        stored[to_text(name, path)] = embed(value, path, conversions)
    if langchain is not None:
        stored[_LANGCHAIN] = langchain
    document["extensions"] = stored


@decoder("an event")
def decode_event(data: bytes) -> Event:
    """Read an event, ours or one that trpc-agent-go wrote.

    Raises:
        CorruptEventError: These bytes are no event.

    >>> decode_event(b'{"id":"e1","choices":[{"message":{"role":"user","content":"hi"}}]}').message
    HumanMessage(content='hi', additional_kwargs={}, response_metadata={})
    """
    if (usual := read_event(data)) is not None:
        return usual
    document = _load_document(data)
    if (simple := _read_simple(document, data)) is not None:
        return simple
    event_id = _read_id(document)
    extensions = _object(document, "extensions")
    is_foreign = not document.keys() <= _FIXED
    # Members that nobody looks into are the ones that may hold any number.
    opaque = is_foreign or (extensions and extensions.keys() != {_LANGCHAIN})
    if opaque and may_hold_big_int(data):
        document = load_exactly(data)
        extensions = _object(document, "extensions")
    event = Event(
        author=text_member(document, "author"),
        request_id=text_member(document, "requestID"),
        invocation_id=text_member(document, "invocationId"),
        branch=text_member(document, "branch"),
        tag=text_member(document, "tag"),
        filter_key=text_member(document, "filterKey"),
        id=event_id,
        time_ns=read_time(document),
    )
    tags = data.count(TAG_BYTES)
    is_tagged = tags > 0
    allowance = allow(document, data, tags=tags)
    langchain = None
    if extensions:
        langchain = extensions.pop(_LANGCHAIN, None)
        event.extensions = _read_values(extensions) if is_tagged else extensions
    _read_message(event, document, langchain, allowance, tagged=is_tagged)
    if delta := _object(document, "stateDelta"):
        event.state_delta = {name: _read_state(value) for name, value in delta.items()}
    if is_foreign:
        extra = {k: v for k, v in document.items() if k not in _FIXED}
        event.extra.update(_read_values(extra) if is_tagged else extra)
    return event


def _read_simple(document: dict[str, Any], data: bytes) -> Event | None:
    """Read an event that is a message and little else, as nearly all of ours are.

    Only for speed, since reading a history is mostly this: what `decode_event` finds out
    member by member is checked here at once. What is not exactly as expected, be it rare
    or wrong, gives None, and the general way decides; both give the same.
    """
    if not document.keys() <= _SIMPLE:
        return None
    member = document.get
    event_id, timestamp, extensions = member("id"), member("timestamp"), member("extensions")
    author, request_id = member("author", ""), member("requestID", "")
    if (
        not type(event_id) is type(timestamp) is type(author) is type(request_id) is str
        or not event_id
        or (extensions is not None and not _has_only_langchain(extensions))
    ):
        return None
    time_ns = _parse_timestamp(timestamp)
    event = Event(author=author, request_id=request_id, id=event_id, time_ns=time_ns)
    event.message = read_usual(document, data)
    if event.message is None:
        langchain = extensions[_LANGCHAIN] if extensions is not None else None
        tags = data.count(TAG_BYTES)
        allowance = allow(document, data, tags=tags)
        _read_message(event, document, langchain, allowance, tagged=tags > 0)
    return event


def _has_only_langchain(extensions: Any) -> bool:
    return type(extensions) is dict and len(extensions) == 1 and _LANGCHAIN in extensions


def _load_document(data: bytes) -> dict[str, Any]:
    try:
        try:
            document = orjson.loads(data)
        except ValueError:  # perhaps a lone surrogate, which only the other one reads
            document = load_exactly(data)
    except ValueError:
        raise CorruptEventError("an entry is not JSON") from None
    if type(document) is not dict:
        raise CorruptEventError(f"an entry is {type(document).__name__}, not an object")
    return document


def _read_id(document: dict[str, Any]) -> str:
    event_id = text_member(document, "id")
    if not event_id:
        raise CorruptEventError("an entry has no id")
    return event_id


def read_time(document: dict[str, Any]) -> int:
    return _parse_timestamp(text_member(document, "timestamp"))


def _parse_timestamp(text: str) -> int:
    if not text:
        return _ZERO_TIME
    try:
        return parse_time(text)
    except ValueError:
        raise CorruptEventError(f"timestamp {show(text)} is not RFC 3339") from None


def _object(document: dict[str, Any], name: str) -> dict[str, Any]:
    value = document.get(name)
    if value is None:
        return {}
    if type(value) is not dict:
        raise CorruptEventError(f"{name} is {type(value).__name__}, not an object")
    return value


def _read_values(members: dict[str, Any]) -> dict[str, Any]:
    return {name: read_value(value) for name, value in members.items()}


def _read_state(value: Any) -> Any:
    if value is None:
        return None
    try:
        return decode_state_value(base64.b64decode(value, validate=True))
    except (TypeError, ValueError):
        raise CorruptEventError("a value in stateDelta is not base64") from None


def _read_message(
    event: Event,
    document: dict[str, Any],
    langchain: Any,
    allowance: Allowance | None,
    *,
    tagged: bool,
) -> None:
    choices = _read_choices(document)
    if langchain is None and document.get("is_partial") is not True:  # a part is no message
        choices = [settle_delta(choice) for choice in choices]
    usage = _object(document, "usage")
    natural = (choices[0].get("message") or {}) if choices else {}
    event.message = decode_message(
        natural, usage, langchain, author=event.author, tagged=tagged, allowance=allowance
    )
    if choices:
        if event.message is None:
            rest = [] if _is_zero_choices(choices) else choices
        else:
            rest = rest_of_choices(choices)
            if len(choices) > 1:
                event.further_messages = _read_further_messages(event, choices, allowance)
        if rest:
            event.extra["choices"] = rest
    if usage:
        if getattr(event.message, "type", None) == "ai":
            usage = rest_of_usage(usage) if len(usage) > len(TOKEN_COUNTS) else {}
        if usage:
            event.extra["usage"] = usage


def _read_further_messages(
    event: Event, choices: list[dict[str, Any]], allowance: Allowance | None
) -> tuple[BaseMessage, ...]:
    """Decode the choices beyond the first: the results of parallel tool calls."""
    if allowance is not None:
        allowance.take(MESSAGE_BYTES * (len(choices) - 1))
    messages = (
        decode_message(
            choice.get("message") or {}, None, None, author=event.author, allowance=allowance
        )
        for choice in choices[1:]
    )
    return tuple(message for message in messages if message is not None)


def _is_zero_choices(choices: list[dict[str, Any]]) -> bool:
    """Whether the choices say nothing but a role."""
    return all(
        is_zero({k: v for k, v in choice.items() if k not in ("index", "message")})
        and is_zero({k: v for k, v in (choice.get("message") or {}).items() if k != "role"})
        for choice in choices
    )


def _read_choices(document: dict[str, Any]) -> list[dict[str, Any]]:
    choices = document.get("choices")
    if not choices and (choices is None or type(choices) is list):
        return []
    if type(choices) is not list:
        raise CorruptEventError(f"choices is {type(choices).__name__}, not a list")
    for choice in choices:
        if type(choice) is not dict:
            raise CorruptEventError("a choice is not an object")
        message = choice.get("message")
        if message is not None and type(message) is not dict:
            raise CorruptEventError("a choice's message is not an object")
    return choices
