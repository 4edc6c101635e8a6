"""Values as JSON that JavaScript holds too: plain, with tags where that would lose something.

A tag is an object with the one reserved key, spelled as in what is stored:

- `{"$lc":["bytes","AAEC"]}`: bytes, in base64
- `["float","nan"]`, `"inf"`, `"-inf"`
- `["str",text,position,code,…]`: `text` with lone surrogates at the positions
- `["map",key,value,…]`: a dict that holds the reserved key itself, or such keys

Integers beyond 2**53 are text: JavaScript would round them. That is how they come back, but
where a number is expected. What has no plain form becomes what pydantic makes of it.
"""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Callable, Mapping, Set
from enum import Enum
from typing import Any

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

TAG = "$lc"
_LARGEST_INT = 2**53
_LARGEST_BITS = 14_000  # Python refuses to write more than 4300 digits
_MOST_LEVELS = 200
_SURROGATES = re.compile("[\ud800-\udfff]")


def pack(value: Any, level: int = 0) -> Any:
    """Give what JSON can hold of any value.

    Raises:
        ValueError: It is nested too deep, or holds itself.

    >>> pack([1, 2**60, float("inf"), b"?"])
    [1, '1152921504606846976', {'$lc': ['float', 'inf']}, {'$lc': ['bytes', 'Pw==']}]
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Enum):
        return pack(value.value, level)
    if isinstance(value, str):
        return _pack_text(str.__str__(value))
    if isinstance(value, int):
        return _pack_int(int.__int__(value))
    if isinstance(value, float):
        return value if math.isfinite(value) else {TAG: ["float", float.__repr__(value)]}
    if isinstance(value, (bytes, bytearray, memoryview)):
        return {TAG: ["bytes", base64.b64encode(value).decode()]}
    if level >= _MOST_LEVELS:
        raise ValueError(f"nested deeper than {_MOST_LEVELS} levels, or it holds itself")
    if isinstance(value, BaseModel):
        return pack(value.model_dump(warnings=False), level + 1)
    if isinstance(value, Mapping):
        return _pack_items(value, level + 1)
    if isinstance(value, (list, tuple, Set)):
        return [pack(item, level + 1) for item in value]
    return pack(to_jsonable_python(value, fallback=str, bytes_mode="base64"), level + 1)


def _pack_text(text: str) -> Any:
    if text.isascii() or _SURROGATES.search(text) is None:
        return text
    marks = [(found.start(), ord(found[0])) for found in _SURROGATES.finditer(text)]
    return {TAG: ["str", _SURROGATES.sub("\ufffd", text), *(part for m in marks for part in m)]}


def _pack_int(number: int) -> int | str:
    if -_LARGEST_INT <= number <= _LARGEST_INT:
        return number
    return str(number) if number.bit_length() <= _LARGEST_BITS else hex(number)


def _pack_items(items: Mapping[Any, Any], level: int) -> dict[str, Any]:
    packed = [
        (_pack_text(key if isinstance(key, str) else str(key)), pack(item, level))
        for key, item in items.items()
    ]
    if all(type(key) is str and key != TAG for key, _ in packed):
        return dict(packed)
    return {TAG: ["map", *(part for item in packed for part in item)]}


def unpack(value: Any) -> Any:
    """Undo `pack`. What looks like a tag and is none stays as it is.

    >>> unpack({"data": {"$lc": ["bytes", "Pw=="]}, "odd": {"$lc": 1}})
    {'data': b'?', 'odd': {'$lc': 1}}
    """
    if isinstance(value, list):
        return [unpack(item) for item in value]
    if not isinstance(value, dict):
        return value
    if TAG in value and len(value) == 1:
        try:
            name, *rest = value[TAG]
            return _READERS[name](*rest)
        except (TypeError, ValueError, LookupError, OverflowError):
            return value
    return {key: unpack(item) for key, item in value.items()}


def _unpack_text(text: str, *marks: int) -> str:
    characters = list(text)
    for position, code in zip(marks[::2], marks[1::2], strict=True):
        characters[position] = chr(code)
    return "".join(characters)


def _unpack_map(*parts: Any) -> dict[str, Any]:
    keys, items = map(unpack, parts[::2]), map(unpack, parts[1::2])
    return dict(zip(keys, items, strict=True))


_READERS: dict[str, Callable[..., Any]] = {
    "bytes": lambda text: base64.b64decode(text, validate=True),
    "float": lambda text: {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}[text],
    "str": _unpack_text,
    "map": _unpack_map,
}
