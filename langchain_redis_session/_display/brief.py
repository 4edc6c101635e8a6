"""Short texts of values for `repr`: a session may hold megabytes, and a console can't."""

from __future__ import annotations

import dataclasses
from datetime import datetime
from reprlib import Repr
from typing import Any

from langchain_core.messages import BaseMessage

from langchain_redis_session._display.guard import attempt, shows

_MOST_BITS = 500
_MOST_CHARACTERS = 300


class _Brief(Repr):
    def __init__(self) -> None:
        super().__init__()
        self.maxlevel = 4
        self.maxdict = self.maxlist = self.maxtuple = self.maxset = 6
        self.maxstring = self.maxother = 80

    def repr_int(self, x: int, level: int) -> str:
        # Python refuses to write one of thousands of digits in decimal.
        return repr(x) if x.bit_length() <= _MOST_BITS else self._cut(hex(x))

    def repr_bytes(self, x: bytes, level: int) -> str:
        return self._cut(repr(x[: self.maxother + 1]))

    def repr_bytearray(self, x: bytearray, level: int) -> str:
        return self._cut(repr(x[: self.maxother + 1]))

    def repr_datetime(self, x: datetime, level: int) -> str:
        return x.isoformat(" ")

    def repr_instance(self, x: Any, level: int) -> str:
        if isinstance(x, BaseMessage):
            return self._show_message(x, level)
        if isinstance(x, str):  # a subclass
            return self.repr_str(str.__str__(x), level)
        # Too deep, or code of somebody's class.
        return attempt(lambda: self._cut(repr(x)), lambda _: f"<{type(x).__name__}>")

    def _show_message(self, message: BaseMessage, level: int) -> str:
        parts = [self.repr1(message.content, level - 1)]
        if message.name:
            parts.append(f"name={self.repr1(message.name, level - 1)}")
        for member in ("tool_call_id", "tool_calls"):
            if value := getattr(message, member, None):
                parts.append(f"{member}={self.repr1(value, level - 1)}")
        if message.id is not None:
            parts.append(f"id={self.repr1(message.id, level - 1)}")
        return f"{type(message).__name__}({', '.join(parts)})"

    def _cut(self, text: str) -> str:
        return _cut(text, self.maxother)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


_brief = _Brief()


def show_brief(value: Any) -> str:
    """Show any value in a line that a person can read.

    >>> len(show_brief({"texts": ["x" * 10**6] * 100, "number": 2**100_000}))
    300
    """
    text = attempt(lambda: _brief.repr(value), lambda _: f"<{type(value).__name__}>")
    return _cut(text, _MOST_CHARACTERS)


class FullRepr:
    """Gives a dataclass the `repr` that it would have, which can't raise."""

    __slots__ = ()

    @shows
    def __repr__(self) -> str:
        members = dataclasses.fields(self)  # type: ignore[arg-type]
        shown = (f"{m.name}={getattr(self, m.name)!r}" for m in members if m.repr)
        return f"{type(self).__name__}({', '.join(shown)})"


class BriefRepr:
    """Gives a dataclass a short `repr`, without what is as by default."""

    __slots__ = ()

    @shows
    def __repr__(self) -> str:
        shown = (
            f"{member.name}={show_brief(value)}"
            for member in dataclasses.fields(self)  # type: ignore[arg-type]
            if member.repr and not _is_default(member, value := getattr(self, member.name))
        )
        return f"{type(self).__name__}({', '.join(shown)})"


def _is_default(member: dataclasses.Field[Any], value: Any) -> bool:
    if member.default is not dataclasses.MISSING:
        return value is member.default or (type(value) is str and value == member.default)
    return member.default_factory in (dict, list) and not value
