"""Stored bytes, broken in the ways that programs, disks and people break them."""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random
from typing import Any

_PLACE = "@@raw@@"
_RAW = [
    "[" * 200 + "]" * 200,
    "[" * 1000 + "]" * 1000,
    '{"a":' * 900 + "1" + "}" * 900,
    "9" * 5000,
    "-" + "9" * 400,
    "123456789012345678901234567890",
    "1e999",
    "-0.0",
    "NaN",
    '"\\ud800"',
    '"\\udc00\\ud800x"',
    '"\\u0000"',
]
"""JSON, or nearly, that Python's own writer would not write."""
_LONG = [
    "[" * 50_000 + "]" * 50_000,
    '"' + "x" * 70_000 + '"',
    "[" + ",".join(["{}"] * 5000) + "]",
]
"""The same; they take time, so that there are few of them."""

_VALUES: list[Any] = [
    *(
        None,
        True,
        False,
        0,
        1,
        -1,
        2**53,
        2**63,
        2**64,
        1.5,
        "",
        "x",
        [],
        {},
        [[]],
        [None],
        {"": {}},
    ),
    *("0001-01-01T00:00:00+08:00", "9999-12-31T23:59:60Z", "2026-02-30T00:00:00Z", "x" * 30),
    *("2026-11-23T11:13:00.123456789Z", "0000-00-00T00:00:00Z", "\uff19999-12-31T00:00:00Z"),
    *("é", "東京", "😀", "\u2028", "<script>", "$lc", "null", "eyJhIjoxfQ==", "W10=", "!"),
    *({"$lc": []}, {"$lc": None}, {"$lc": ["map", 1]}, {"$lc": ["map", "$lc", {"$lc": ["x"]}]}),
    *({"$lc": ["int", "0x" + "f" * 5000]}, {"$lc": ["int", "zz"]}, {"$lc": ["float", []]}),
    *({"$lc": ["str", "abc", 1, 55296]}, {"$lc": ["str", "abc", 9, -1]}, {"$lc": ["str"]}),
    *({"$lc": ["content", 0, 5]}, {"$lc": ["content", 1, 10**30]}, {"$lc": ["part", 0, "text"]}),
    *(
        {"$lc": ["arguments", 0]},
        {"$lc": ["args", 0]},
        {"$lc": ["args", True]},
        {"$lc": ["bytes", 1]},
    ),
    [{"$lc": ["content", 0, 20]}] * 300,
    [{"$lc": ["args", 0]}] * 300,
]


def break_bytes(data: bytes, random: Random) -> bytes:
    """Break an entry in one to three ways."""
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        data = random.choice(_WAYS)(data, random)
    return data


def _truncate(data: bytes, random: Random) -> bytes:
    return data[: random.randrange(len(data) + 1)]


def _overwrite(data: bytes, random: Random) -> bytes:
    at = random.randrange(len(data) + 1)
    return data[:at] + random.randbytes(random.choice((1, 1, 2, 8))) + data[at + 1 :]


def _double(data: bytes, random: Random) -> bytes:
    start, end = sorted((random.randrange(len(data) + 1), random.randrange(len(data) + 1)))
    return data + data if random.random() < 0.2 else data[:end] + data[start:]


def _cut_out(data: bytes, random: Random) -> bytes:
    start = random.randrange(len(data) + 1)
    return data[:start] + data[start + random.randrange(20) :]


def _change_value(data: bytes, random: Random) -> bytes:
    """Change one value of the JSON, or its place, or its name."""
    try:
        return _change_document(json.loads(data), random)
    except (ValueError, RecursionError):  # no JSON any more, or too deep for Python
        return _overwrite(data, random)


def _change_document(document: Any, random: Random) -> bytes:
    spots = _list_spots(document)
    raw = ""
    if random.random() < 0.3:
        raw = random.choice(_RAW if random.random() < 0.96 else _LONG)
    new = _PLACE if raw else random.choice(_VALUES)
    if not spots:
        document = new
    else:
        container, name = random.choice(spots)
        way = random.random()
        if way < 0.1:
            del container[name]
        elif way < 0.2 and isinstance(container, dict):
            container[random.choice(("", "$lc", "id", "x", "content"))] = container.pop(name)
        elif way < 0.3:
            other, other_name = random.choice(spots)
            container[name] = json.loads(json.dumps(other[other_name]))
        elif way < 0.4:
            container[name] = json.dumps(container[name])
        elif way < 0.5:
            container[name] = [container[name]] * random.choice((1, 2, 50))
        elif way < 0.6 and isinstance(container, dict):
            container[random.choice(("zz", "extensions", "error", "choices"))] = new
        else:
            container[name] = new
    text = json.dumps(document, ensure_ascii=random.random() < 0.5, separators=(",", ":"))
    return text.replace(f'"{_PLACE}"', raw).encode("utf-8", "backslashreplace")


def _list_spots(document: Any) -> list[tuple[Any, Any]]:
    spots: list[tuple[Any, Any]] = []
    waiting = [document]
    while waiting and len(spots) < 500:
        container = waiting.pop()
        if isinstance(container, dict):
            items: Any = container.items()
        elif isinstance(container, list):
            items = enumerate(container)
        else:
            continue
        for name, value in items:
            spots.append((container, name))
            waiting.append(value)
    return spots


_WAYS: list[Callable[[bytes, Random], bytes]] = [
    _truncate,
    _overwrite,
    _double,
    _cut_out,
    *[_change_value] * 8,
]
