"""Items of a memory store <-> bytes.

An item reads `{"value":{…},"createdAtUs":N,"updatedAtUs":N}`, with `,"ttlMs":N,"expiresAtMs":N` at
the end where it has a TTL. Scripts write what follows the value; times are the server's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

import orjson

from langchain_redis_session._codec.conversions import Conversions
from langchain_redis_session._codec.corruption import allow, decoder
from langchain_redis_session._codec.plain_json import load
from langchain_redis_session._codec.tags import TAG_BYTES, embed, read_value
from langchain_redis_session._keys.memory import Namespace
from langchain_redis_session.errors import CorruptEventError

_START = b'{"value":'
_LIFE_BYTES = 160  # as in scripts/_items.lua
_LIFE = re.compile(
    rb',"createdAtUs":(\d+),"updatedAtUs":(\d+)(?:,"ttlMs":(\d+),"expiresAtMs":(\d+))?\}\Z'
)
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def start_item(value: Mapping[str, Any], path: str, conversions: Conversions | None) -> bytes:
    """The start of an item; a script adds the times.

    Raises:
        UnserializableMessageError: JSON can't carry the value, and there are no `conversions`.

    >>> start_item({"likes": "tea"}, "value", None)
    b'{"value":{"likes":"tea"}'
    """
    return orjson.dumps({"value": embed(dict(value), path, conversions)})[:-1]


@dataclass(frozen=True, slots=True)
class StoredItem:
    """An item as it stands in Redis; its value is read when it is asked for.

    Attributes:
        namespace: Where it stands.
        key: Its name there.
        data: Its bytes up to its times.
        created_at: When it was put first.
        updated_at: When it was put last.
        expires_ms: When it is gone, in ms since 1970; None = never.
        vectors: What it is found by; b"" for nothing.
    """

    namespace: Namespace
    key: str
    data: bytes
    created_at: datetime
    updated_at: datetime
    expires_ms: int | None
    vectors: bytes = b""

    @decoder("an item's value")
    def read_value(self) -> dict[str, Any]:
        """Give what was put there, anew each time.

        Raises:
            CorruptEventError: It can't be read.
        """
        value = load(self.data[len(_START) :])
        allow(value, self.data)
        value = read_value(value) if TAG_BYTES in self.data else value
        if type(value) is not dict:
            raise CorruptEventError("an item's value is no object")
        return value


@decoder("an item")
def parse_item(namespace: Namespace, key: bytes, item: bytes, vectors: bytes = b"") -> StoredItem:
    """Read an item, but for its value.

    Raises:
        CorruptEventError: It is none.

    >>> item = parse_item(("m",), b"k", b'{"value":{"a":1},"createdAtUs":5,"updatedAtUs":6}')
    >>> item.read_value(), item.created_at.microsecond, item.expires_ms
    ({'a': 1}, 5, None)
    """
    found = _LIFE.search(item, max(0, len(item) - _LIFE_BYTES))
    if found is None or not item.startswith(_START):
        raise CorruptEventError("an item has no value or no times")
    created, updated, _, expires = found.groups()
    return StoredItem(
        namespace=namespace,
        key=key.decode("utf-8", "surrogatepass"),
        data=item[: found.start()],
        created_at=_EPOCH + timedelta(microseconds=int(created)),
        updated_at=_EPOCH + timedelta(microseconds=int(updated)),
        expires_ms=None if expires is None else int(expires),
        vectors=vectors,
    )
