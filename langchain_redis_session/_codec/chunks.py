"""Streamed answers that were cut off in the middle of a tool call.

A chunk guesses at arguments that are not whole yet: `{"city": "Par` shows as the call
`{"city": "Par"}`, and a program that goes on from what is stored would make it.
"""

from __future__ import annotations

import json
from typing import Any

from langchain_core.messages import AIMessageChunk
from langchain_core.utils.json import parse_partial_json


def list_calls(chunk: AIMessageChunk) -> dict[str, list[Any]]:
    """The `tool_calls` and `invalid_tool_calls` of a chunk; a call that was cut is invalid.

    >>> cut = {"name": "fly", "args": '{"city": "Par', "id": "c1", "index": 0}
    >>> calls = list_calls(AIMessageChunk("", tool_call_chunks=[cut]))
    >>> calls["tool_calls"], calls["invalid_tool_calls"][0]["args"]
    ([], '{"city": "Par')
    """
    calls, invalid = list(chunk.tool_calls), list(chunk.invalid_tool_calls)
    places: dict[str, list[int]] = {}
    for place, call in reversed([*enumerate(calls)]):
        places.setdefault(_spell(call["id"], call["name"], call["args"]), []).append(place)
    guesses: set[int] = set()
    for part in chunk.tool_call_chunks:
        if not _is_cut(part["args"]):
            continue
        if found := places.get(_spell_guess(part)):
            guesses.add(found.pop())
            invalid.append(
                {
                    "type": "invalid_tool_call",
                    "name": part["name"],
                    "args": part["args"],
                    "id": part["id"],
                    "error": None,
                }
            )
    calls = [call for place, call in enumerate(calls) if place not in guesses]
    return {"tool_calls": calls, "invalid_tool_calls": invalid}


def _is_cut(args: object) -> bool:
    if not isinstance(args, str) or not args:
        return False
    try:
        return not isinstance(json.loads(args), dict)
    except (ValueError, RecursionError):
        return True


def _spell_guess(part: Any) -> str:
    """Tell the call that a part was taken for; "" if it is an invalid call already."""
    try:
        args = parse_partial_json(part["args"])
        return _spell(part["id"], part["name"] or "", args)
    except (ValueError, RecursionError):
        return ""


def _spell(*parts: Any) -> str:
    return json.dumps(parts, sort_keys=True, default=repr)
