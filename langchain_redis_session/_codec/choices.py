"""What a Go event's `choices` and `usage` hold beyond one message.

trpc-agent-go writes a finish reason, an empty delta, several choices, details of the
usage. None of it has a place in a LangChain message, so it is kept in `Event.extra`:

- `extra["choices"]`: the choices, of which the first lacks what became the message;
- `extra["usage"]`: the usage, likewise without the token counts of an AI message.

Zero values mean absent ones and are left out. Where a choice has its message as a delta
only, that is taken for the message, and written as one.
"""

from __future__ import annotations

from typing import Any

from langchain_redis_session._codec.message_form import KNOWN_MEMBERS, TOKEN_COUNTS, has_payload

_KNOWN_CALL_MEMBERS = frozenset(("type", "id", "function"))
_KNOWN_FUNCTION_MEMBERS = frozenset(("name", "arguments"))


def settle_delta(choice: dict[str, Any]) -> dict[str, Any]:
    """Let a delta be the message where that is empty, as Go's readers do.

    >>> settle_delta({"message": {"role": ""}, "delta": {"role": "user", "content": "hi"}})
    {'message': {'role': 'user', 'content': 'hi'}}
    """
    message, delta = choice.get("message") or {}, choice.get("delta")
    if type(delta) is not dict or has_payload(message) or not has_payload(delta):
        return choice
    rest = {name: value for name, value in choice.items() if name != "delta"}
    return {**rest, "message": {**message, **delta}}


def rest_of_choices(choices: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Take what became the message out of the choices; empty if nothing else is there."""
    if len(choices) == 1 and _is_only_message(choices[0]):
        return []
    first = _without(choices[0], ("index", "message"))
    if index := choices[0].get("index"):
        first["index"] = index
    message = choices[0].get("message") or {}
    rest = _without(message, KNOWN_MEMBERS)
    calls = [_rest_of_call(call) for call in message.get("tool_calls") or ()]
    if any(calls):
        rest["tool_calls"] = calls
    if rest:
        first["message"] = rest
    return [first, *choices[1:]] if first or len(choices) > 1 else []


def _is_only_message(choice: dict[str, Any]) -> bool:
    # As we write most events; quicker than to look for what is left.
    if len(choice) != 1:
        return False
    message = choice.get("message") or {"": None}
    return message.keys() <= KNOWN_MEMBERS and "tool_calls" not in message


def _rest_of_call(call: dict[str, Any]) -> dict[str, Any]:
    rest = _without(call, _KNOWN_CALL_MEMBERS)
    if function := _without(call.get("function") or {}, _KNOWN_FUNCTION_MEMBERS):
        rest["function"] = function
    return rest


def rest_of_usage(usage: dict[str, Any]) -> dict[str, Any]:
    """Take the token counts out of the usage."""
    return _without(usage, TOKEN_COUNTS)


def is_zero(value: Any) -> bool:
    """Whether this is a Go zero value, at any depth.

    >>> is_zero({"role": "", "content": ""}), is_zero({"cached_tokens": 1})
    (True, False)
    """
    if isinstance(value, dict):
        return all(is_zero(item) for item in value.values())
    return not value


def _without(body: dict[str, Any], known: Any) -> dict[str, Any]:
    return {k: v for k, v in body.items() if k not in known and not is_zero(v)}


def overlay(rest: Any, top: Any) -> Any:
    """Lay what is written over what was kept.

    >>> overlay({"finish_reason": "stop"}, {"index": 0})
    {'index': 0, 'finish_reason': 'stop'}
    """
    if isinstance(rest, dict) and isinstance(top, dict):
        merged = {k: overlay(rest[k], v) if k in rest else v for k, v in top.items()}
        return {**merged, **{k: v for k, v in rest.items() if k not in top}}
    if isinstance(rest, list) and isinstance(top, list) and len(rest) == len(top):
        return [overlay(r, t) for r, t in zip(rest, top, strict=True)]
    return top
