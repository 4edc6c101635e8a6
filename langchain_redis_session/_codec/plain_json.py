"""What JSON can carry, and how a value that it can't is refused with its path.

orjson is the encoder, but it takes some values silently (enums, UUIDs, datetimes,
dataclasses) and changes others (NaN becomes null; on reading, an integer over 64 bits
becomes a float). So nothing reaches it unchecked.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from enum import Enum
from typing import Any, NoReturn

import orjson

from langchain_redis_session.errors import UnserializableMessageError, shorten

MAX_DEPTH = 120
"""How deep a value may be nested; tagged and wrapped, that stays below orjson's 254."""

MOST_ITEMS = 250_000
"""How many items are looked at before it matters that the same objects stand in many places:
a few lists that hold each other can stand for more than any memory holds."""

_MOST_LEVELS = 500
"""Python's own parser calls itself for each level. Where that ends at the limit of recursion, what
the garbage collector calls there (finalizers of anybody's) fails."""

TAG = "$lc"
"""The reserved key of `_tags`; a dict that holds it is not plain."""

_MIN_INT, _MAX_INT = -(2**63), 2**64 - 1
# Python refuses to write integers of more than 4300 digits as text.
_MAX_INT_BITS = 14_000

_MAYBE_BIG_INT = re.compile(rb"[0-9]{19}")
_NO_BRACKETS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"?|[^]["{}]+', re.DOTALL)
_SPLIT_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")

_HINTS = {
    "bytes": "store base64 or decoded text",
    "bytearray": "store base64 or decoded text",
    "date": "store its isoformat()",
    "datetime": "store its isoformat()",
    "Decimal": "store str() of it",
    "frozenset": "store a list",
    "set": "store a list",
    "UUID": "store str() of it",
}


@dataclass(slots=True, eq=False)
class Mark:
    """Stands for a value that has no place in JSON, where its tag is to be written.

    Attributes:
        name: The tag's name.
        rest: The tag's other members.
        shown: What readers that know no tags may see.
    """

    name: str
    rest: tuple[str, ...]
    shown: str


def is_text(value: str) -> bool:
    """Whether `value` can be written as UTF-8, that is, has no lone surrogates."""
    if value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_plain(value: object, depth: int = 0, left: list[int] | None = None) -> bool:
    """Whether orjson writes `value` and reads it back as exactly the same.

    Args:
        value: Anything.
        depth: How many containers it stands in.
        left: How many more items may be looked at; what has more is not called plain.

    >>> is_plain({"a": [1, "x", None]}), is_plain({"a": float("nan")}), is_plain((1, 2))
    (True, False, False)
    """
    kind = type(value)
    if kind is str:
        return is_text(value)  # type: ignore[arg-type]
    if value is None or kind is bool:
        return True
    if kind is int:
        return _MIN_INT <= value <= _MAX_INT  # type: ignore[operator]
    if kind is float:
        return math.isfinite(value)  # type: ignore[arg-type]
    if depth >= MAX_DEPTH:
        return False
    depth += 1
    if kind is not dict and kind is not list:
        return False
    left = [MOST_ITEMS] if left is None else left
    left[0] -= len(value)  # type: ignore[arg-type]
    if left[0] < 0:
        return False
    if kind is dict:
        for key, item in value.items():  # type: ignore[attr-defined]
            if type(key) is not str or key == TAG or not (key.isascii() or is_text(key)):
                return False
            # Most items are such texts, and a call costs more than the test.
            if not ((type(item) is str and item.isascii()) or is_plain(item, depth, left)):
                return False
        return True
    for item in value:  # type: ignore[attr-defined]  # noqa: SIM110 - a loop is faster
        if not is_plain(item, depth, left):
            return False
    return True


_FLAT = frozenset((str, int, bool, type(None)))
_TEXT = frozenset((str,))


def is_exact(value: object, depth: int = 0, left: list[int] | None = None) -> bool:
    """Whether orjson writes `value` and reads it back as the same, or refuses it.

    As `is_plain`, in half the time: lone surrogates and integers over 64 bits are left to it.

    >>> is_exact({"a": [1, "x", None]}), is_exact({"a": float("nan")}), is_exact((1, 2))
    (True, False, False)
    """
    kind = type(value)
    if kind in _FLAT:
        return True
    if kind is float:
        return math.isfinite(value)  # type: ignore[arg-type]
    if depth >= MAX_DEPTH or (kind is not dict and kind is not list):
        return False
    items: Any = value
    if kind is dict:
        if TAG in value or not _TEXT.issuperset(map(type, value)):  # type: ignore[operator,call-overload]
            return False
        items = value.values()  # type: ignore[attr-defined]
    left = [MOST_ITEMS] if left is None else left
    left[0] -= len(items)
    if left[0] < 0:
        return False
    for item in items:
        if type(item) not in _FLAT and not is_exact(item, depth + 1, left):
            return False
    return True


def is_endless(value: object) -> bool:
    """Whether the same objects stand in so many places that nobody could write them all out.

    >>> nested = []
    >>> for _ in range(60):
    ...     nested = [nested, nested]
    >>> is_endless(nested), is_endless([0] * 2_000_000)
    (True, False)
    """
    left = MOST_ITEMS
    waiting = [(value, 0)]
    seen: set[int] = set()
    while waiting:  # in the order of `PlainCopy`, which ends where it is too deep
        container, depth = waiting.pop()
        if depth >= MAX_DEPTH:
            return False
        left -= len(container)  # type: ignore[arg-type]
        if left < 0 and id(container) in seen:
            return True
        seen.add(id(container))
        items: Any = container.values() if isinstance(container, dict) else container
        inner = [(item, depth + 1) for item in items if isinstance(item, (dict, list, tuple))]
        waiting += reversed(inner)
    return False


def show(value: object) -> str:
    """Give a short text of any value for an error."""
    return shorten(value, 40)


def refuse(path: str, reason: str) -> NoReturn:
    """Raise the error of a value that can't be stored."""
    raise UnserializableMessageError(f"{path}: {reason}")


class PlainCopy:
    """Copies a value into exact dicts, lists, strings and numbers, or refuses it.

    Tuples become lists and subclasses their base. What JSON can carry only oddly goes
    through the `odd_…` methods, where subclasses differ.
    """

    def copy(self, value: Any, path: str, depth: int = 0) -> Any:
        """Give the plain copy of `value`, which stands at `path`."""
        if value is None or value is True or value is False:
            return value
        if isinstance(value, Enum):
            refuse(path, f"{type(value).__name__} is an enum, not JSON; store its .value")
        if isinstance(value, str):
            text = str.__str__(value)
            return text if is_text(text) else self.odd_text(text, path)
        if isinstance(value, int):
            number = int.__int__(value)
            return number if _MIN_INT <= number <= _MAX_INT else self.odd_int(number, path)
        if isinstance(value, float):
            real = float.__float__(value)
            return real if math.isfinite(real) else self.odd_float(real, path)
        if isinstance(value, (dict, list, tuple)):
            if not depth and is_endless(value):
                refuse(shorten_path(path), "it holds the same objects in too many places")
            if depth >= MAX_DEPTH:
                refuse(
                    shorten_path(path),
                    f"nested deeper than {MAX_DEPTH} levels, or it holds itself; flatten it",
                )
            if isinstance(value, dict):
                return self.copy_dict(value, path, depth + 1)
            return [self.copy(v, f"{path}[{i}]", depth + 1) for i, v in enumerate(value)]
        if type(value) is Mark:
            return self.copy_mark(value)
        name = type(value).__name__
        hint = _HINTS.get(name, "store plain dicts, lists, strings and numbers instead")
        refuse(path, f"{name} is not JSON; {hint}")

    def copy_mark(self, mark: Mark) -> Any:
        """Give what is written for a value that has no place in JSON."""
        return approximate_text(mark.shown)

    def copy_dict(self, value: dict[Any, Any], path: str, depth: int) -> Any:
        """Give the plain copy of a dict."""
        return dict(self.copy_items(value, path, depth))

    def copy_items(self, value: dict[Any, Any], path: str, depth: int) -> list[tuple[Any, Any]]:
        """Give the plain copies of a dict's keys and values."""
        return [
            (self.copy_key(key, path), self.copy(item, item_path(path, key), depth))
            for key, item in value.items()
        ]

    def copy_key(self, key: Any, path: str) -> Any:
        """Give the plain copy of a dict's key."""
        if not isinstance(key, str) or isinstance(key, Enum):
            refuse(
                path,
                f"the key {show(key)} is of type {type(key).__name__}, and JSON's keys "
                "are strings; use str() of it",
            )
        text = str.__str__(key)
        return text if is_text(text) else self.odd_text(text, path)

    def odd_text(self, value: str, path: str) -> Any:
        """A string with lone surrogates: JSON writes them as escapes."""
        if _SPLIT_PAIR.search(value):
            refuse(
                path,
                "a character stands as two surrogates, which JSON would join; use "
                ".encode('utf-16', 'surrogatepass').decode('utf-16', 'surrogatepass')",
            )
        return value

    def odd_int(self, value: int, path: str) -> Any:
        """An integer over 64 bits: JSON has no limit, Python's text conversion has."""
        if value.bit_length() > _MAX_INT_BITS:
            refuse(path, f"an integer of {value.bit_length()} bits is too large; store hex() of it")
        return value

    def odd_float(self, value: float, path: str) -> Any:
        """NaN or an infinity."""
        refuse(path, f"{value} is not JSON; store None or a string instead")


class Approximation(PlainCopy):
    """What other readers may see of a value that JSON can't carry exactly."""

    def odd_text(self, value: str, path: str) -> str:
        """Show the replacement character where a lone surrogate is."""
        return approximate_text(value)

    def odd_int(self, value: int, path: str) -> Any:
        """Show a number that is as large, if that can be written."""
        return value if value.bit_length() <= _MAX_INT_BITS else hex(value)

    def odd_float(self, value: float, path: str) -> None:
        """Show null."""


def approximate_text(value: str) -> str:
    """Give `value` with U+FFFD for each lone surrogate."""
    if value.isascii():
        return value
    return re.sub("[\ud800-\udfff]", "\ufffd", value)


def item_path(path: str, key: object) -> str:
    """Give the path of a dict's item."""
    return f"{path}[{show(key)}]"


def shorten_path(path: str) -> str:
    """Cut a path that has become unreadable."""
    return path if len(path) <= 80 else path[:79] + "…"


def dump_exactly(value: Any) -> bytes:
    """Write a plain copy as compact UTF-8; big integers and lone surrogates survive."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    # Lone surrogates stand inside of strings only, where `\ud800` is JSON's own escape.
    return text.encode("utf-8", "backslashreplace")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


def check_depth(data: bytes) -> bytes:
    """Give back JSON that Python's own parser may be given.

    Raises:
        ValueError: It is nested too deep.

    >>> check_depth(b'{"[":' + b"[]," * 1000 + b"[]}")[:9]
    b'{"[":[],['
    >>> check_depth(b"[" * 1000)
    Traceback (most recent call last):
    ValueError: nested too deep
    """
    if data.count(b"[") + data.count(b"{") > _MOST_LEVELS:
        level = 0
        for bracket in _NO_BRACKETS.sub(b"", data):
            level += 1 if bracket in b"[{" else -1
            if level > _MOST_LEVELS:
                raise ValueError("nested too deep")
    return data


def load_exactly(data: bytes) -> Any:
    """Read JSON with big integers and lone surrogates as they are; slow.

    Raises:
        ValueError: Not JSON, or nested too deep.
    """
    try:
        return _DECODER.decode(check_depth(data).decode())
    except RecursionError:  # the caller is deep down already
        raise ValueError("nested too deep") from None


def may_hold_big_int(data: bytes) -> bool:
    """Whether orjson may have read a big integer in `data` as a float."""
    return _MAYBE_BIG_INT.search(data) is not None


def load(data: bytes) -> Any:
    """Read JSON exactly, and fast where nothing odd is in it.

    Raises:
        ValueError: Not JSON, or nested too deep.
    """
    if not may_hold_big_int(data):
        try:
            return orjson.loads(data)
        except ValueError:  # perhaps a lone surrogate, which only the other one reads
            pass
    return load_exactly(data)
