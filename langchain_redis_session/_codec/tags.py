"""Tags: exact Python values where plain JSON would lose something.

A tag is an object with the one reserved key: `{"$lc":[name, …]}`.

- `["float","nan"]`, `"inf"`, `"-inf"`
- `["int","0x1f…"]`: an integer over 64 bits
- `["str",text,position,code,…]`: `text` with lone surrogates at the positions
- `["map",key,value,…]`: a dict with keys that JSON or this scheme can't write, among
  them `$lc` itself; so a user's dict never looks like a tag
- `["bytes","AAEC"]`: bytes, in base64
- `["text",type,text]`: what has no plain form, as its `str()`; read as that text
- `["content",start,length]`, `["part",i,name]`, `["arguments",i]`, `["args",i]`: what the
  natural message holds already: a piece of its content, a text of its i-th content part, the
  arguments of its i-th tool call as text, and the same as an object. No long field stands
  twice. Only in `extensions.langchain`.

State values, tracks' payloads and members of events stand in JSON that other programs read:
there a value is plain JSON wherever that can carry it, lone surrogates and large integers
too. In them, what looks like a tag and is none was written by somebody else, and stays.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Hashable, Iterable, Mapping, Sequence, Set
from typing import Any, Protocol, TypeVar

import orjson

from langchain_redis_session._codec.conversions import Conversions
from langchain_redis_session._codec.corruption import measure_containers
from langchain_redis_session._codec.plain_form import make_plain
from langchain_redis_session._codec.plain_json import (
    TAG,
    Approximation,
    Mark,
    PlainCopy,
    approximate_text,
    dump_exactly,
    is_plain,
)
from langchain_redis_session.errors import CorruptEventError, attempt, fails_again

K = TypeVar("K", bound=Hashable)

TAG_BYTES = f'"{TAG}"'.encode()
"""What JSON with tags contains."""

MIN_REFERENCE = 40
"""Shorter texts are repeated: the reference would not be smaller."""

_MOST_REPEATS = 4
"""How often the whole of what is referred to may be repeated by the references of a message, so
that reading never makes much of a short entry."""
_MOST_SEARCHED = 1024 * 1024
"""How many characters are searched for texts that may be a part of the content, beyond four
times that."""
_LONG_ARGS = 8 * 1024
_DENSE = 8
"""Long arguments that take so many times their JSON in memory are not referred to."""

_FLOATS = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def _first_places(values: Sequence[K]) -> dict[K, int]:
    return {value: place for place, value in reversed([*enumerate(values)])}


def make_tag(name: str, *rest: Any) -> dict[str, Any]:
    """Give a tag."""
    return {TAG: [name, *rest]}


def is_dense(args: dict[str, Any], spelled: bytes) -> bool:
    """Whether arguments take so much more memory than JSON that they are not referred to."""
    return len(spelled) > _LONG_ARGS and measure_containers(args) > _DENSE * len(spelled)


class Tagger(PlainCopy):
    """Copies values of a message with tags for what plain JSON would lose.

    Args:
        content: The natural message's content, to refer to.
        pieces: Where the texts that it is joined of begin.
        arguments: The natural tool calls' arguments, likewise.
        args: The same arguments in orjson's spelling, to find equal objects with; None
            for those that are not a tool call's exact `args`.
        shapes: The names in these `args`.
        parts: The texts of the natural content parts: where each stands.
    """

    def __init__(
        self,
        content: str = "",
        *,
        pieces: Mapping[str, int] | None = None,
        arguments: Sequence[str] = (),
        args: Sequence[bytes | None] = (),
        shapes: Set[tuple[str, ...]] = frozenset(),
        parts: Mapping[str, tuple[int, str]] | None = None,
    ) -> None:
        self._content = content
        self._pieces = pieces or {}
        self._arguments = _first_places(arguments)
        self._args = _first_places(args)
        self._shapes = shapes
        self._parts = parts or {}
        texts = [content, *arguments, *self._parts]
        self._left = _MOST_REPEATS * sum(map(len, texts))
        self._search_left = _MOST_SEARCHED + 4 * len(content)
        self._spell_left = _MOST_SEARCHED + 4 * sum(map(len, arguments))

    def copy(self, value: Any, path: str, depth: int = 0) -> Any:
        """Give the tagged copy of `value`, which stands at `path`."""
        tag = None
        if type(value) is str:
            if len(value) >= MIN_REFERENCE:
                tag = self._refer_to_text(value)
        elif type(value) is dict and tuple(value) in self._shapes:
            tag = self._refer_to_args(value, depth)
        return super().copy(value, path, depth) if tag is None else tag

    def _refer_to_text(self, value: str) -> Any:
        if value in self._arguments and self._may_repeat(value):
            return make_tag("arguments", self._arguments[value])
        if value in self._parts and self._may_repeat(value):
            return make_tag("part", *self._parts[value])
        start = self._find(value)
        if start >= 0 and self._may_repeat(value):
            return make_tag("content", start, len(value))
        return None

    def _find(self, value: str) -> int:
        """Where a text stands in the content, if that is found in time."""
        start = self._pieces.get(value, -1)
        if start < 0 and len(value) <= len(self._content) <= self._search_left:
            self._search_left -= len(self._content)
            start = self._content.find(value)
        return start

    def _refer_to_args(self, value: dict[Any, Any], depth: int) -> Any:
        if self._spell_left < 0:
            return None
        if not is_plain(value, depth):
            self._spell_left -= _LONG_ARGS
            return None
        spelled = orjson.dumps(value)
        self._spell_left -= len(spelled)
        place = self._args.get(spelled)
        if place is None or len(spelled) < MIN_REFERENCE:
            return None
        if is_dense(value, spelled):
            return None
        return make_tag("args", place) if self._may_repeat(spelled) else None

    def _may_repeat(self, text: str | bytes) -> bool:
        if len(text) > self._left:
            return False
        self._left -= len(text)
        return True

    def copy_dict(self, value: dict[Any, Any], path: str, depth: int) -> Any:
        """Give the tagged copy of a dict."""
        return tag_items(self.copy_items(value, path, depth))

    def copy_mark(self, mark: Mark) -> Any:
        """Give the tag of a value that has no place in JSON."""
        return make_tag(
            mark.name, *(super(Tagger, self).copy(part, mark.name) for part in mark.rest)
        )

    def odd_text(self, value: str, path: str) -> Any:
        """Tag the lone surrogates of a string."""
        marks: list[int] = []
        for position, character in enumerate(value):
            if "\ud800" <= character <= "\udfff":
                marks += position, ord(character)
        return make_tag("str", self.copy(approximate_text(value), path), *marks)

    def odd_int(self, value: int, path: str) -> Any:
        """Tag an integer over 64 bits, in hex, which has no limit."""
        return make_tag("int", hex(value))

    def odd_float(self, value: float, path: str) -> Any:
        """Tag NaN or an infinity."""
        return make_tag("float", repr(value))


class PlainTagger(PlainCopy):
    """Copies a value as plain JSON, with tags only for dicts that look like tags."""

    def copy_dict(self, value: dict[Any, Any], path: str, depth: int) -> Any:
        """Give the plain copy of a dict."""
        return tag_items(self.copy_items(value, path, depth))


def tag_items(items: list[tuple[Any, Any]]) -> dict[str, Any]:
    """Make a dict of items that are tagged already, or its tag where it can't be one."""
    for key, _ in items:
        if type(key) is not str or key == TAG:
            return make_tag("map", *(part for item in items for part in item))
    return dict(items)


class References(Protocol):
    """What the references of a message point into."""

    def content(self, start: int, length: int) -> str:
        """A piece of the natural content."""

    def part(self, index: int, name: str) -> str:
        """A text of a natural content part."""

    def arguments(self, index: int) -> str:
        """The arguments of a natural tool call, as text."""

    def args(self, index: int) -> Any:
        """The arguments of a natural tool call, as a fresh object."""


class _NoReferences:
    """Stands where there is no message to refer to."""

    def content(self, start: int, length: int) -> str:
        raise LookupError

    def part(self, index: int, name: str) -> str:
        raise LookupError

    def arguments(self, index: int) -> str:
        raise LookupError

    def args(self, index: int) -> Any:
        raise LookupError


_NO_REFERENCES = _NoReferences()


def dump_value(value: Any, path: str, conversions: Conversions | None) -> bytes:
    """Write a value that stands by itself: as plain JSON, with tags where that can't carry it.

    Args:
        value: Anything.
        path: What to call it in an error, such as `state['k']`.
        conversions: Who hears of what JSON can't carry; None = it is refused.

    Raises:
        UnserializableMessageError: Only without `conversions`; the text names the path.

    >>> dump_value({"raw": b"x", "n": 1}, "state['k']", Conversions()).decode()
    '{"raw":{"$lc":["bytes","eA=="]},"n":1}'
    """
    try:
        return _dump(PlainTagger(), value, path)
    except Exception as error:  # it may run code of the value's class
        if conversions is None or not fails_again(error, _dump, PlainTagger(), value, path):
            raise
    return orjson.dumps(_TAGGER.copy(make_plain(value, path, conversions), path))


def dump_bytes(value: bytes) -> bytes:
    """Write bytes under their tag, so that they come back as bytes whatever they hold.

    >>> dump_bytes(b"[1]").decode()
    '{"$lc":["bytes","WzFd"]}'
    """
    return orjson.dumps(make_tag("bytes", base64.b64encode(value).decode()))


def embed(value: Any, path: str, conversions: Conversions | None) -> Any:
    """Give what orjson may write for a value inside of other JSON; as `dump_value`."""
    return value if is_plain(value) else orjson.Fragment(dump_value(value, path, conversions))


def embed_untagged(value: Any, path: str, conversions: Conversions | None) -> Any:
    """Give what orjson may write for a value whose form is Go's; what has none is shown."""
    if is_plain(value):
        return value
    try:
        return orjson.Fragment(_dump(PlainCopy(), value, path))
    except Exception as error:  # it may run code of the value's class
        if conversions is None or not fails_again(error, _dump, PlainCopy(), value, path):
            raise
    return orjson.Fragment(_dump(Approximation(), make_plain(value, path, conversions), path))


def _dump(form: PlainCopy, value: Any, path: str) -> bytes:
    return dump_exactly(form.copy(value, path))


def read_value(value: Any) -> Any:
    """Undo the tags of `dump_value` in parsed JSON; what is not one of its tags stays."""
    return attempt(lambda: untag(value, _NO_REFERENCES), lambda: value)


_TAGGER = Tagger()


def untag(value: Any, references: References) -> Any:
    """Undo `Tagger.copy`.

    Raises:
        CorruptEventError: A tag that no `Tagger` writes.
    """
    if type(value) is dict:
        if TAG not in value:
            return _replace_items(value, value.items(), references)
        tag = value[TAG]
        if len(value) != 1 or type(tag) is not list or not tag or type(tag[0]) is not str:
            raise CorruptEventError(f"an object with {TAG} is not a tag")
        try:
            return _read_tag(tag[0], tag[1:], references)
        except CorruptEventError:
            raise
        except (LookupError, TypeError, ValueError) as error:
            raise CorruptEventError(f"a malformed {TAG} tag") from error
    if type(value) is list:
        return _replace_items(value, enumerate(value), references)
    return value


def _replace_items(value: Any, items: Iterable[tuple[Any, Any]], references: References) -> Any:
    """Undo the tags in a container; one without any is not copied."""
    copy = None
    for place, item in items:
        if type(item) is dict or type(item) is list:
            read = untag(item, references)
            if read is not item:
                copy = value.copy() if copy is None else copy
                copy[place] = read
    return value if copy is None else copy


def _read_tag(name: str, rest: list[Any], references: References) -> Any:
    if name == "float":
        (text,) = rest
        return _FLOATS[text]
    if name == "int":
        (text,) = rest
        return int(text, 16)
    if name == "str":
        text, *marks = rest
        return _put_characters(_expect(str, untag(text, references)), marks)
    if name == "map":
        keys = [_expect(str, untag(key, references)) for key in rest[::2]]
        values = [untag(item, references) for item in rest[1::2]]
        return dict(zip(keys, values, strict=True))
    if name == "bytes":
        (text,) = rest
        return base64.b64decode(_expect(str, text), validate=True)
    if name == "text":
        _kind, text = rest
        return _expect(str, untag(text, references))
    if name == "content":
        start, length = rest
        return references.content(_index(start), _index(length))
    if name == "part":
        index, member = rest
        return references.part(_index(index), _expect(str, member))
    if name == "arguments":
        (index,) = rest
        return references.arguments(_index(index))
    if name == "args":
        (index,) = rest
        return references.args(_index(index))
    raise CorruptEventError(f"an unknown {TAG} tag; a newer version may have written it")


def _put_characters(text: str, marks: list[Any]) -> str:
    """Put characters at their positions, which ascend."""
    pieces: list[str] = []
    end = 0
    for position, code in zip(marks[::2], marks[1::2], strict=True):
        if not end <= _index(position) < len(text):
            raise LookupError
        pieces += text[end:position], chr(code)
        end = position + 1
    return "".join([*pieces, text[end:]])


def _expect(kind: type, value: Any) -> Any:
    if type(value) is not kind:
        raise TypeError
    return value


def _index(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise TypeError
    return value
