"""Memory stores: items in namespaces, put, read, found and listed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

from langchain_redis_session._codec.memory_items import StoredItem, parse_item
from langchain_redis_session._flow.fields import to_fields
from langchain_redis_session._flow.requests import Command, Flow
from langchain_redis_session._flow.scripts import ScriptCall, call_batch
from langchain_redis_session._keys.memory import (
    MemoryKeys,
    Namespace,
    decode_namespace,
    encode_namespace,
)
from langchain_redis_session._operations.context import Context
from langchain_redis_session.errors import ConfigurationError, CorruptEventError
from langchain_redis_session.scripts import memory_bindings
from langchain_redis_session.scripts.memory_bindings import ItemWrite
from langchain_redis_session.scripts.replies import FoundNamespaces, PutItems, TouchedItems

_PAGE = 1000
"""How many items a server gives at once: that takes it a millisecond or two."""
_MOST_AT_ONCE = 200


def put_items(
    context: Context,
    writes: Mapping[MemoryKeys, Mapping[Namespace, Sequence[ItemWrite]]],
) -> Flow[None]:
    """Put and delete items, by their owner and namespace: a script for each, in one round trip."""
    calls = [
        memory_bindings.put_items(
            keys.namespace(encode_namespace(namespace)),
            try_field_ttl=context.try_field_ttl,
            items=items,
        )
        for keys, namespaces in writes.items()
        for namespace, items in namespaces.items()
    ]
    replies: list[PutItems] = (yield from call_batch(calls)) if calls else []
    for reply in replies:
        context.note_field_ttl(reply.field_ttl)


def get_item(
    context: Context, keys: MemoryKeys, namespace: Namespace, key: str, *, refresh_ttl: bool
) -> Flow[StoredItem | None]:
    """Read an item: one command, and for one with a TTL a script that knows whether it is over."""
    names = keys.namespace(encode_namespace(namespace))
    field = key.encode("utf-8", "surrogatepass")
    data: bytes | None = yield ("HGET", names.items, field)
    if data is None:
        return None
    try:
        item = parse_item(namespace, field, data)
    except CorruptEventError:
        yield context.unreadable(names.items, "an item")
        return None
    if item.expires_ms is not None:
        touched = yield from memory_bindings.touch_items(
            names, try_field_ttl=context.try_field_ttl, refresh=refresh_ttl, item_keys=[field]
        )
        context.note_field_ttl(touched.field_ttl)
        return item if touched.alive[0] else None
    return item


def touch_items(
    context: Context, keys: MemoryKeys, items: Iterable[StoredItem], *, refresh_ttl: bool
) -> Flow[None]:
    """Remove those of some items that are past their time; the others' may start anew."""
    by_namespace: dict[Namespace, list[bytes]] = {}
    for item in items:
        key = item.key.encode("utf-8", "surrogatepass")
        by_namespace.setdefault(item.namespace, []).append(key)
    calls = [
        memory_bindings.touch_items(
            keys.namespace(encode_namespace(namespace)),
            try_field_ttl=context.try_field_ttl,
            refresh=refresh_ttl,
            item_keys=some,
        )
        for namespace, all_of_it in by_namespace.items()
        for some in _split(all_of_it, _PAGE)
    ]
    replies: list[TouchedItems] = (yield from call_batch(calls)) if calls else []
    for reply in replies:
        context.note_field_ttl(reply.field_ttl)


@dataclass(slots=True)
class FoundItems:
    """The items below a namespace, oldest first; those past their time apart.

    Attributes:
        items: Those that live.
        overdue: Those that don't any more.
        size_bytes: How much was read.
    """

    items: list[StoredItem] = field(default_factory=list)
    overdue: list[StoredItem] = field(default_factory=list)
    size_bytes: int = 0


def find_items(
    context: Context, keys: MemoryKeys, prefix: Namespace, *, with_vectors: bool, most: int | None
) -> Flow[FoundItems]:
    """Read all items whose namespaces begin with a prefix.

    One round trip for up to 1,000 items in the namespace itself, one more for 200 further
    namespaces or 1,000 further items.

    Raises:
        ConfigurationError: There are more than `most`.
    """
    exact = encode_namespace(prefix)
    index: ScriptCall[FoundNamespaces] = _find_namespaces(keys, exact)
    reading = _Reading(keys, with_vectors)
    reading.begin(exact)
    first = reading.commands(_MOST_AT_ONCE)
    (found, *pages) = yield from call_batch([index, *first])
    reading.take(pages)
    known = yield from _decode_namespaces(context, keys, found.namespaces)
    for namespace in known:
        if namespace != exact:
            reading.begin(namespace)
    while commands := reading.commands(_MOST_AT_ONCE):
        reading.take((yield from call_batch(commands)))
        if most is not None and reading.count() > most:
            raise ConfigurationError(
                f"search with a query compares with {most} items at most, and there are more "
                f"under {prefix!r}; search a longer namespace"
            )
    result = FoundItems(size_bytes=reading.size_bytes())
    for namespace, items in reading.items.items():
        labels, vectors = known.get(namespace, prefix), reading.vectors.get(namespace, {})
        unreadable = 0
        for key, data in items.items():
            try:
                item = parse_item(labels, key, data, vectors.get(key, b""))
            except CorruptEventError:
                unreadable += 1
                continue
            if item.expires_ms is not None and item.expires_ms <= found.now_ms:
                result.overdue.append(item)
            else:
                result.items.append(item)
        if unreadable:
            yield context.unreadable(keys.namespace(namespace).items, "an item", unreadable)
    result.items.sort(key=lambda item: (item.created_at, item.namespace, item.key))
    return result


class _Reading:
    """Reads the items of namespaces side by side, a page of each at a time."""

    def __init__(self, keys: MemoryKeys, with_vectors: bool) -> None:
        self.items: dict[bytes, dict[bytes, bytes]] = {}
        self.vectors: dict[bytes, dict[bytes, bytes]] = {}
        self._keys = keys
        self._with_vectors = with_vectors
        self._to_ask: list[tuple[bytes, dict[bytes, bytes], int]] = []
        self._asked: list[tuple[bytes, dict[bytes, bytes], int]] = []

    def begin(self, namespace: bytes) -> None:
        names = self._keys.namespace(namespace)
        self._to_ask.append((names.items, self.items.setdefault(namespace, {}), 0))
        if self._with_vectors:
            self._to_ask.append((names.vectors, self.vectors.setdefault(namespace, {}), 0))

    def commands(self, most: int) -> list[ScriptCall[FoundNamespaces] | Command]:
        self._asked, self._to_ask = self._to_ask[:most], self._to_ask[most:]
        return [("HSCAN", key, cursor, "COUNT", _PAGE) for key, _, cursor in self._asked]

    def take(self, pages: Sequence[tuple[int | bytes, Sequence[bytes]]]) -> None:
        for (key, fields, _), (cursor, page) in zip(self._asked, pages, strict=True):
            fields.update(to_fields(page))
            if int(cursor):
                self._to_ask.append((key, fields, int(cursor)))

    def count(self) -> int:
        return sum(map(len, self.items.values()))

    def size_bytes(self) -> int:
        read = chain(self.items.values(), self.vectors.values())
        return sum(len(value) for fields in read for value in fields.values())


def _find_namespaces(keys: MemoryKeys, prefix: bytes) -> ScriptCall[FoundNamespaces]:
    # No UTF-8 has a byte 255.
    lowest, highest = (b"[" + prefix, b"(" + prefix + b"\xff") if prefix else (b"-", b"+")
    return memory_bindings.find_namespaces(keys.index, lowest=lowest, highest=highest)


def _decode_namespaces(
    context: Context, keys: MemoryKeys, encoded: Sequence[bytes]
) -> Flow[dict[bytes, Namespace]]:
    """Read the index's namespaces; gives each with its bytes."""
    known = {}
    for name in encoded:
        try:
            known[name] = decode_namespace(name)
        except ValueError:
            yield context.unreadable(keys.index, "a namespace")
    return known


def list_namespaces(
    context: Context,
    keys: MemoryKeys,
    prefix: Namespace,
    is_wanted: Callable[[Namespace], bool],
) -> Flow[list[Namespace]]:
    """Find the namespaces that begin with a prefix, are wanted and have items; sorted."""
    found = yield from _find_namespaces(keys, encode_namespace(prefix))
    known = yield from _decode_namespaces(context, keys, found.namespaces)
    wanted = [name for name, namespace in known.items() if is_wanted(namespace)]
    filled: list[Namespace] = []
    for some in _split(wanted, _MOST_AT_ONCE):
        calls = [memory_bindings.has_items(keys.namespace(name).items) for name in some]
        flags: list[bool] = yield from call_batch(calls)
        filled += [known[name] for name, has in zip(some, flags, strict=True) if has]
    return sorted(filled)


def _split(values: Sequence[bytes], size: int) -> Iterable[Sequence[bytes]]:
    return (values[start : start + size] for start in range(0, len(values), size))
