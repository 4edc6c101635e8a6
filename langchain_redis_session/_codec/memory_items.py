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
from langchain_redis_session._codec.plain_json import load
from langchain_redis_session._codec.tags import TAG_BYTES, embed, read_value
from langchain_redis_session._keys.memory import Namespace

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
        created_us: When it was put first, in µs since 1970.
        updated_us: When it was put last.
        expires_ms: When it is gone, in ms since 1970; None = never.
        vectors: What it is found by; b"" for nothing.
    """

    namespace: Namespace
    key: str
    data: bytes
    created_us: int
    updated_us: int
    expires_ms: int | None
    vectors: bytes = b""

    @property
    def value(self) -> dict[str, Any]:
        """What was put there, anew each time."""
        value = load(self.data[len(_START) :])
        return read_value(value) if TAG_BYTES in self.data else value  # type: ignore[no-any-return]

    @property
    def created_at(self) -> datetime:
        """When it was put first."""
        return _EPOCH + timedelta(microseconds=self.created_us)

    @property
    def updated_at(self) -> datetime:
        """When it was put last."""
        return _EPOCH + timedelta(microseconds=self.updated_us)


def parse_item(
    namespace: Namespace, key: bytes, item: bytes, vectors: bytes = b""
) -> StoredItem | None:
    """Read an item; None for what is none.

    >>> item = parse_item(("m",), b"k", b'{"value":{"a":1},"createdAtUs":5,"updatedAtUs":6}')
    >>> item.value, item.created_us, item.expires_ms
    ({'a': 1}, 5, None)
    """
    found = _LIFE.search(item, max(0, len(item) - _LIFE_BYTES))
    if found is None or not item.startswith(_START):
        return None
    created, updated, _, expires = found.groups()
    return StoredItem(
        namespace=namespace,
        key=key.decode("utf-8", "surrogatepass"),
        data=item[: found.start()],
        created_us=int(created),
        updated_us=int(updated),
        expires_ms=None if expires is None else int(expires),
        vectors=vectors,
    )
