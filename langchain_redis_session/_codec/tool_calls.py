"""Tool calls: LangChain's `tool_calls` and `invalid_tool_calls` <-> Go's `tool_calls`.

Go has one list, whose arguments are JSON text. What is not the text of an object is a
call that LangChain keeps as invalid.
"""

from __future__ import annotations

import base64
from typing import Any

import orjson

from langchain_redis_session._codec.corruption import Allowance, measure_containers
from langchain_redis_session._codec.plain_json import (
    Approximation,
    approximate_text,
    dump_exactly,
    is_plain,
    is_text,
    load,
)
from langchain_redis_session.errors import CorruptEventError


def parse_arguments(text: str) -> dict[str, Any] | None:
    """Read arguments; None if they are not a JSON object.

    Early versions of trpc-agent-go wrote the text as base64, which is read too.

    >>> parse_arguments('{"a":1}'), parse_arguments("eyJhIjoxfQ=="), parse_arguments("{")
    ({'a': 1}, {'a': 1}, None)
    """
    if not text or text == "null":
        return {}
    if text[0] in "{ \t\r\n":
        return _parse_object(text.encode("utf-8", "surrogatepass"))
    try:
        return _parse_object(base64.b64decode(text, validate=True))
    except ValueError:
        return None


def _parse_object(data: bytes) -> dict[str, Any] | None:
    try:
        value = load(data)
    except ValueError:
        return None
    return value if type(value) is dict else None


def encode_tool_calls(
    calls: list[Any], invalid_calls: list[Any], additional_kwargs: dict[Any, Any]
) -> tuple[list[dict[str, Any]], list[bytes | None], bool, bool]:
    """Write tool calls naturally, as well as that can be done.

    Returns:
        The natural list; its `args` in orjson's spelling (None where they are not
        exact); whether reading gives `calls` back; whether it gives `invalid_calls`.
    """
    natural: list[dict[str, Any]] = []
    spellings: list[bytes | None] = []
    exact = exact_invalid = True
    raw = _raw_arguments(additional_kwargs)
    for call in calls:
        args = call["args"]
        spelled = orjson.dumps(args) if is_plain(args) else None
        if spelled is None:
            text = dump_exactly(Approximation().copy(args, "args")).decode()
        else:
            text = spelled.decode()
            provider = raw.pop(call["id"], None)  # once: many calls may share an id
            # The provider's own spelling, so that additional_kwargs can refer to it.
            if provider is not None and _means(provider, spelled):
                text = provider
        exact &= _add(natural, call, text) and spelled is not None and _is_exact(call, "tool_call")
        spellings.append(spelled)
    for call in invalid_calls:
        text = call.get("args")
        if type(text) is not str or not is_text(text) or parse_arguments(text) is not None:
            exact_invalid = False  # would be read as a valid call
            continue
        exact_invalid &= (
            _add(natural, call, text)
            and call.get("error", "") is None
            and _is_exact(call, "invalid_tool_call")
        )
        spellings.append(None)
    return natural, spellings, exact, exact_invalid


def _is_exact(call: dict[str, Any], kind: str) -> bool:
    return type(call) is dict and call.get("type") == kind and len(call) == _SIZES[kind]


_SIZES = {"tool_call": 4, "invalid_tool_call": 5}


def _means(text: str, spelled: bytes) -> bool:
    args = parse_arguments(text)
    return args is not None and is_plain(args) and orjson.dumps(args) == spelled


def _raw_arguments(additional_kwargs: dict[Any, Any]) -> dict[Any, str]:
    """Find the providers' arguments by call id in `additional_kwargs["tool_calls"]`."""
    raw = additional_kwargs.get("tool_calls")
    found: dict[Any, str] = {}
    if type(raw) is list:
        for call in raw:
            function = call.get("function") if type(call) is dict else None
            text = function.get("arguments") if type(function) is dict else None
            if type(text) is str and is_text(text) and type(call.get("id")) is str:
                found[call["id"]] = text
    return found


def _add(natural: list[dict[str, Any]], call: dict[str, Any], arguments: str) -> bool:
    """Append a call; tell whether its id and name are exact."""
    entry: dict[str, Any] = {"type": "function"}
    call_id, name = call.get("id"), call.get("name")
    exact = type(name) is str and is_text(name)
    if call_id:
        exact = exact and type(call_id) is str and is_text(call_id)
        entry["id"] = approximate_text(str.__str__(call_id))
    elif call_id is not None:
        exact = False
    entry["function"] = {
        "name": approximate_text(str.__str__(name)) if name else "",
        "arguments": arguments,
    }
    natural.append(entry)
    return exact


def decode_tool_calls(
    natural: Any, allowance: Allowance | None = None
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Read Go's tool calls as LangChain's valid and invalid ones.

    Raises:
        CorruptEventError: Go would not read them either.
    """
    calls: list[dict[str, Any]] = []
    invalid_calls: list[dict[str, Any]] = []
    found = _read(natural)
    if allowance is not None:
        allowance.take(_CALL_BYTES * len(found))
    for call_id, name, text in found:
        args = parse_arguments(text)
        if allowance is not None and args:
            allowance.take(measure_containers(args))
        if args is None:
            invalid_calls.append(
                {
                    "name": name,
                    "args": text,
                    "id": call_id,
                    "error": None,
                    "type": "invalid_tool_call",
                }
            )
        else:
            calls.append({"name": name, "args": args, "id": call_id, "type": "tool_call"})
    return calls, invalid_calls


def read_usual_calls(natural: list[Any], allowance: Allowance | None) -> list[dict[str, Any]]:
    """Read Go's tool calls as `decode_tool_calls` does, where all are valid and complete.

    Raises:
        LookupError, TypeError: One of them is not, or there is none.
    """
    if not natural:
        raise LookupError
    if allowance is not None:
        allowance.take(_CALL_BYTES * len(natural))
    calls = []
    for call in natural:
        function = call["function"]
        call_id, name, text = call["id"], function["name"], function["arguments"]
        args = parse_arguments(text)
        if (
            not type(call_id) is type(name) is type(text) is str
            or not call_id
            or args is None
            or len(call) != 3
            or call["type"] != "function"
            or len(function) != 2
        ):
            raise LookupError
        if allowance is not None and args:
            allowance.take(measure_containers(args))
        calls.append({"name": name, "args": args, "id": call_id, "type": "tool_call"})
    return calls


def read_arguments(natural: Any) -> list[str]:
    """Give the arguments of Go's tool calls as text, in their order."""
    return [text for _, _, text in _read(natural)]


def _read(natural: Any) -> list[tuple[str | None, str, str]]:
    if type(natural) is not list:
        raise CorruptEventError(f"tool_calls is {type(natural).__name__}, not a list")
    found = []
    for call in natural:
        function = call.get("function", _NO_FUNCTION) if type(call) is dict else None
        if type(function) is not dict:
            raise CorruptEventError("a tool call is not an object with a function")
        call_id, name, text = call.get("id"), function.get("name"), function.get("arguments")
        for value in (call_id, name, text):
            if value is not None and type(value) is not str:
                raise CorruptEventError("a tool call's id, name or arguments is not a string")
        found.append((call_id or None, name or "", text or ""))
    return found


_CALL_BYTES = 350
"""About what a call takes in memory, but for what it says."""
_NO_FUNCTION: dict[str, Any] = {}
