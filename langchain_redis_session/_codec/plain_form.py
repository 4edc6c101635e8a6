"""The plain form of any value: what is stored of what JSON can't carry.

It is what pydantic's `to_jsonable_python` makes of it, but for bytes, which stay exact, and
for what pydantic does not know, which becomes its `str()`. It runs code of the values' own
classes, so whatever that raises has a defined result too.
"""

from __future__ import annotations

import base64
import math
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Set, ValuesView
from dataclasses import fields, is_dataclass
from enum import Enum
from itertools import count, islice
from typing import Any

from pydantic_core import to_jsonable_python

from langchain_redis_session._codec.conversions import Conversions
from langchain_redis_session._codec.plain_json import (
    MAX_DEPTH,
    MOST_ITEMS,
    Mark,
    approximate_text,
    refuse,
    shorten_path,
    show,
)
from langchain_redis_session.errors import UnserializableMessageError, attempt, fails_again

_MOST_VALUES = 10_000_000
_LONGEST_TEXT = 100_000
_LONGEST_NAME = 200
_LONGEST_KEY = 40
_NOT_DUMPED = object()
_EXACT = (str, int, float, bool, type(None), Mark)


def make_plain(value: Any, path: str, conversions: Conversions | None) -> Any:
    """Give the plain form of `value`: exact dicts, lists and scalars, and `Mark`s.

    Args:
        value: Anything. It is not changed.
        path: Where it stands, such as `message.artifact`.
        conversions: Who hears of it. None = what is only a text of a value is refused.

    Raises:
        UnserializableMessageError: Only without `conversions`; the text names the path to
            what has no plain form.

    >>> from datetime import date
    >>> make_plain({"at": date(2026, 1, 2), 3: {4}}, "state['k']", None)
    {'at': '2026-01-02', '3': [4]}
    """
    return _Converter(path, conversions).convert(value, 0)


def type_name(value: object) -> str:
    """Give the full name of a value's type.

    >>> from decimal import Decimal
    >>> type_name(Decimal(1)), type_name(b"")
    ('decimal.Decimal', 'bytes')
    """
    kind = type(value)
    module, name = attempt(  # code of the class's own class
        lambda: (kind.__module__, kind.__qualname__), lambda: ("", type.__repr__(kind))
    )
    if isinstance(module, str) and module not in ("", "builtins"):
        name = f"{module}.{name}"
    return approximate_text(name[:_LONGEST_NAME])


def text_of(value: object) -> str:
    """Give `str()` of any value, not endlessly long; its type's name if even that fails."""
    # Code of the value's class.
    text = attempt(lambda: str.__str__(str(value)), lambda: f"<{type_name(value)}>")
    return text if len(text) <= _LONGEST_TEXT else text[:_LONGEST_TEXT] + "…"


class _Converter:
    """Converts one value.

    Work is bounded by the size of what is in memory: what holds itself is cut off there, and
    what stands in very many places is written out in the first of them only.
    """

    def __init__(self, path: str, conversions: Conversions | None) -> None:
        self._path = path
        self._conversions = conversions
        self._steps: list[Any] = []
        self._parents: set[int] = set()
        self._left = MOST_ITEMS
        self._seen: dict[int, Any] = {}  # keeps them alive, so that ids stay theirs
        self._marks = 0
        self._inside = 0  # of how many objects; only the outermost is reported

    def convert(self, value: Any, depth: int) -> Any:
        if type(value) in _EXACT:
            return value
        place = len(self._steps)
        try:
            return self._convert(value, depth)
        except UnserializableMessageError:
            raise
        except Exception as error:  # code of the value's class
            del self._steps[place:]
            if not fails_again(error, self._convert, value, depth):
                raise
            del self._steps[place:]
            return self._as_text(value)

    def _convert(self, value: Any, depth: int) -> Any:
        if isinstance(value, Enum):
            return self._convert_object(value, depth)
        if isinstance(value, str):
            return str.__str__(value)
        if isinstance(value, int):
            return int.__int__(value)
        if isinstance(value, float):
            return float.__float__(value)
        if isinstance(value, (bytes, bytearray, memoryview)):
            return self._as_bytes(value)
        if depth >= MAX_DEPTH or id(value) in self._parents or self._is_one_too_many(value):
            return self._as_text(value, "{...}" if isinstance(value, Mapping) else "[...]")
        self._parents.add(id(value))
        try:
            if isinstance(value, dict):
                return self._convert_items(list(value.items()), depth + 1)
            if isinstance(value, (list, tuple)):
                return self._convert_list(value, depth + 1)
            return self._convert_object(value, depth)
        finally:
            self._parents.discard(id(value))

    def _is_one_too_many(self, value: Any) -> bool:
        self._left -= 1
        is_known = id(value) in self._seen
        self._seen[id(value)] = value
        return is_known and self._left < 0

    def _convert_list(self, values: Iterable[Any], depth: int) -> list[Any]:
        converted = []
        for place, value in enumerate(values):
            self._steps.append(place)
            converted.append(self.convert(value, depth))
            self._steps.pop()
        self._left -= len(converted)
        return converted

    def _convert_items(self, items: list[tuple[Any, Any]], depth: int) -> dict[str, Any]:
        converted: dict[str, Any] = {}
        names = _Names(key for key, _ in items if type(key) is str)
        self._left -= len(items)
        for key, value in items:
            self._steps.append(key)
            name = key if type(key) is str else names.add(self._convert_key(key), key)
            converted[name] = self.convert(value, depth)
            self._steps.pop()
        return converted

    def _convert_key(self, key: Any) -> str:
        if isinstance(key, str) and not isinstance(key, Enum):
            return str.__str__(key)
        self._report(key)
        converted: dict[str, None] = attempt(  # unknown to pydantic, or code of the key's class
            lambda: to_jsonable_python({key: None}), lambda: {text_of(key): None}
        )
        return next(iter(converted))

    def _convert_object(self, value: Any, depth: int) -> Any:
        self._inside += 1
        try:
            converted = self._take_apart(value, depth + 1)
        finally:
            self._inside -= 1
        if type(converted) is not Mark or converted.name != "text":  # that one was noted
            self._report(value)
        return converted

    def _take_apart(self, value: Any, depth: int) -> Any:
        if isinstance(value, Enum):
            return self.convert(value.value, depth)
        if hasattr(type(value), "__pydantic_serializer__"):
            return self._convert_model(value, depth)
        if is_dataclass(value) and not isinstance(value, type):
            members = [(f.name, getattr(value, f.name)) for f in fields(value)]
            return self._convert_items(members, depth)
        if isinstance(value, Mapping):
            return self._convert_items(list(islice(value.items(), _MOST_VALUES)), depth)
        if isinstance(value, (Set, deque, ValuesView)):
            return self._convert_list(_in_order(value), depth)
        if isinstance(value, Iterator):  # reading it would change it, perhaps without end
            return self._as_text(value)
        if hasattr(type(value), "tolist"):
            return self._convert_array(value, depth)
        if isinstance(getattr(type(value), "__fields__", None), dict):  # pydantic 1
            return self.convert(value.dict(), depth)
        return self.convert(to_jsonable_python(value), depth)

    def _convert_model(self, model: Any, depth: int) -> Any:
        marks = self._marks
        # Code of the model's class; or it holds itself.
        dumped = attempt(lambda: _dump(model, "python"), lambda: _NOT_DUMPED)
        if dumped is _NOT_DUMPED:
            return self._convert_items(list(vars(model).items()), depth)
        if type(dumped) is type(model):
            return self.convert(to_jsonable_python(model), depth)
        converted = self.convert(dumped, depth)
        if self._marks == marks:  # no bytes, nothing unknown: pydantic can do it alone
            dumped = attempt(lambda: _dump(model, "json"), lambda: _NOT_DUMPED)
            return converted if dumped is _NOT_DUMPED else self.convert(dumped, depth)
        return converted

    def _convert_array(self, array: Any, depth: int) -> Any:
        """Give the values of a numpy array or scalar, or of what is used like one."""
        if math.prod(getattr(array, "shape", ())) > _MOST_VALUES:
            return self._as_text(array)
        values = array.tolist()
        return self._as_text(array) if type(values) is type(array) else self.convert(values, depth)

    def _as_bytes(self, value: Any) -> Mark:
        self._marks += 1
        if type(value) is not bytes and not self._inside:
            self._report(value)
        text = base64.b64encode(bytes(value)).decode()
        return Mark("bytes", (text,), text)

    def _as_text(self, value: Any, text: str | None = None) -> Mark:
        name = type_name(value)
        if self._conversions is None:
            refuse(
                self._show_path(),
                f"{name} can't be made JSON; store plain data"
                if text is None
                else f"nested deeper than {MAX_DEPTH} levels, or it holds itself; flatten it",
            )
        self._marks += 1
        self._conversions.note(name, self._general_path())
        text = text_of(value) if text is None else text
        return Mark("text", (name, text), text)

    def _report(self, value: Any) -> None:
        if self._conversions is not None and not self._inside:
            self._conversions.note(type_name(value), self._general_path())

    def _show_path(self) -> str:
        return shorten_path(self._path + "".join(f"[{show(step)}]" for step in self._steps))

    def _general_path(self) -> str:
        """Give the path without places and without keys that may be content."""
        return shorten_path(self._path + "".join(map(_generalize, self._steps)))


class _Names:
    """The keys of a dict as texts, each of which is there once."""

    def __init__(self, taken: Iterable[str]) -> None:
        self._taken = set(taken)
        self._numbers: dict[str, Iterator[int]] = {}

    def add(self, text: str, key: object) -> str:
        """Give a name for a key, whose text may be taken."""
        if text in self._taken:
            text = self._find_free(f"{text} ({type_name(key)})")
        self._taken.add(text)
        return text

    def _find_free(self, text: str) -> str:
        if text not in self._taken:
            return text
        # It goes on where the last one of this text was found: many may be taken.
        numbers = self._numbers.setdefault(text, count(len(self._taken)))
        return next(name for n in numbers if (name := f"{text} {n}") not in self._taken)


def _generalize(step: Any) -> str:
    if type(step) is str and len(step) <= _LONGEST_KEY and step.isascii() and step.isidentifier():
        return f"[{step!r}]"
    return "[]" if type(step) is int else "[…]"


def _in_order(values: Iterable[Any]) -> list[Any]:
    """Give the values of a set in an order that is the same in every process, if there is one."""
    found = list(islice(values, _MOST_VALUES))
    if isinstance(values, (set, frozenset)):
        return attempt(lambda: sorted(found), lambda: found)  # code of the values' classes
    return found


def _dump(model: Any, mode: str) -> Any:
    return type(model).__pydantic_serializer__.to_python(
        model, mode=mode, by_alias=True, warnings=False
    )
