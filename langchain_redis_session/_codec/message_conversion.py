"""The fields of a message in plain form, with the types that its class says they have.

The classes check that when a message is made, and not when a field is set afterwards.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from langchain_redis_session._codec.conversions import Conversions
from langchain_redis_session._codec.message_form import SHAPES
from langchain_redis_session._codec.plain_form import make_plain, text_of, type_name
from langchain_redis_session._codec.plain_json import Approximation, Mark, dump_exactly


def convert_fields(
    name: str, fields: dict[str, Any], extra: dict[str, Any], conversions: Conversions
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Give a message's fields and extras as what JSON can carry.

    Args:
        name: The name of its class.
        fields: Its fields.
        extra: What else it holds.
        conversions: Who hears of it.
    """
    checks = SHAPES[name].checks
    converted: dict[str, Any] = {}
    for field, value in SHAPES[name].make(fields, {}).__dict__.items():
        path = f"message.{field}"
        plain = make_plain(value, path, conversions)
        if field in checks and not checks[field](plain):
            if type(plain) is not Mark:  # that was noted
                conversions.note(type_name(value), path)
            plain = _REPAIRS[field](plain)
            if plain is None and not checks[field](plain):
                plain = ""
        converted[field] = plain
    extras = make_plain(extra, "message", conversions) if extra else {}
    return converted, extras


def _to_text(value: Any) -> str:
    if value is None or type(value) is str:
        return value or ""
    if type(value) is Mark:
        return value.shown
    if type(value) in (dict, list):
        return dump_exactly(Approximation().copy(value, "")).decode()
    return text_of(value)


def _to_text_or_none(value: Any) -> str | None:
    return None if value is None else _to_text(value)


def _to_content(value: Any) -> Any:
    if type(value) is dict:
        return [value]
    if type(value) is list:
        return [item if type(item) is dict else _to_text(item) for item in value]
    return _to_text(value)


def _to_dict(value: Any) -> dict[str, Any]:
    if value is None:
        return {}
    return value if type(value) is dict else {"value": value}


def _to_list(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if type(value) is list else [value]


def _to_tool_calls(value: Any) -> list[dict[str, Any]]:
    calls = []
    for item in _to_list(value):
        call = item if type(item) is dict else {"args": item}
        calls.append(
            {
                **call,
                "name": _to_text(call.get("name")),
                "args": _to_dict(call.get("args")),
                "id": _to_text_or_none(call.get("id")),
            }
        )
    return calls


def _to_invalid_tool_calls(value: Any) -> list[dict[str, Any]]:
    calls = []
    for item in _to_list(value):
        call = item if type(item) is dict else {"args": item}
        texts = {name: _to_text_or_none(call.get(name)) for name in ("name", "args", "id", "error")}
        calls.append({**call, **texts})
    return calls


def _to_usage(value: Any) -> dict[str, Any] | None:
    if value is None:
        return None
    usage = _to_dict(value)
    details = ("input_token_details", "output_token_details")
    return usage | {name: _to_dict(usage[name]) for name in details if name in usage}


def _to_status(value: Any) -> str:
    return "success" if _to_text(value) in ("success", "") else "error"


_REPAIRS: dict[str, Callable[[Any], Any]] = {
    "content": _to_content,
    "additional_kwargs": _to_dict,
    "response_metadata": _to_dict,
    "name": _to_text_or_none,
    "id": _to_text_or_none,
    "tool_calls": _to_tool_calls,
    "invalid_tool_calls": _to_invalid_tool_calls,
    "usage_metadata": _to_usage,
    "tool_call_id": _to_text,
    "status": _to_status,
    "role": _to_text,
}
