"""A batch of LangGraph's operations as one flow."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from langgraph.store.base import (
    GetOp,
    Item,
    ListNamespacesOp,
    PutOp,
    SearchItem,
    SearchOp,
    get_text_at_path,
    tokenize_path,
)

from langchain_redis_session._codec.memory_items import StoredItem, start_item
from langchain_redis_session._flow.gather import gather_all
from langchain_redis_session._flow.requests import Flow, compute
from langchain_redis_session._keys.memory import MemoryKeys, Namespace, encode_namespace
from langchain_redis_session._operations import memory
from langchain_redis_session._operations.context import Context
from langchain_redis_session._verbs.arguments import check_count
from langchain_redis_session.adapters._memory.filters import (
    check_filter,
    fixed_start,
    matches,
    matches_path,
)
from langchain_redis_session.adapters._memory.meaning import (
    Embedder,
    Vector,
    compare,
    pack_vectors,
)
from langchain_redis_session.errors import ConfigurationError, CorruptEventError, shorten
from langchain_redis_session.scripts.memory_bindings import ItemWrite

MOST_COMPARED = 10_000
"""How many items a search with a query compares with: all are read for it."""

_MOST_MINUTES = 10**9


@dataclass(frozen=True)
class Settings:
    """How a memory store was made.

    Attributes:
        find_owner: Gives whose the items of a namespace are; None for the app's.
        app_name: The app.
        embedder: What makes vectors; None = there is no search by meaning.
        fields: The paths of what is embedded by default.
    """

    find_owner: Callable[[Namespace], str | None]
    app_name: str
    embedder: Embedder | None
    fields: Sequence[str]

    def find_keys(self, context: Context, namespace: Namespace) -> MemoryKeys:
        """The keys of a namespace's owner."""
        user_id = self.find_owner(namespace)
        if user_id is None:
            return context.keyspace.app_memory(self.app_name)
        return context.keyspace.user_memory(self.app_name, user_id)


@dataclass(slots=True)
class _Put:
    keys: MemoryKeys
    namespace: Namespace
    key: str
    head: bytes = b""
    ttl_ms: int = 0
    texts: Sequence[str] = ()


@dataclass(slots=True)
class Batch:
    """Operations, checked: nothing is sent before all of them are.

    Reads see what was there before; of several puts of one key the last counts.

    Args:
        settings: How the store was made.
        context: What flows need.
        operations: What to do.

    Raises:
        ConfigurationError: One of them can't be done.
        UnserializableMessageError: A value can't be carried by JSON, with
            `unserializable="raise"`.
    """

    settings: Settings
    context: Context
    operations: Sequence[Any]
    _puts: dict[tuple[Namespace, str], _Put] = field(default_factory=dict)
    _reads: dict[int, Callable[[Mapping[str, Vector]], Flow[Any]]] = field(default_factory=dict)
    _queries: dict[str, None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for place, operation in enumerate(self.operations):
            if isinstance(operation, PutOp):
                put = self._plan_put(operation)
                self._puts[put.namespace, put.key] = put
            elif isinstance(operation, GetOp):
                self._reads[place] = self._plan_get(operation)
            elif isinstance(operation, SearchOp):
                self._reads[place] = self._plan_search(operation)
            elif isinstance(operation, ListNamespacesOp):
                self._reads[place] = self._plan_list(operation)
            else:
                raise ConfigurationError(f"a store has no operation {shorten(operation)}")

    def run(self) -> Flow[list[Any]]:
        """Do it; gives a result for each operation."""
        embedder = self.settings.embedder
        vectors: Mapping[str, Vector] = {}
        queries: Mapping[str, Vector] = {}
        if embedder is not None:
            texts = dict.fromkeys(text for put in self._puts.values() for text in put.texts)
            vectors, queries = yield from embedder.embed([*texts], [*self._queries])
        results: list[Any] = [None] * len(self.operations)
        found = yield from gather_all([start(queries) for start in self._reads.values()])
        for place, result in zip(self._reads, found, strict=True):
            results[place] = result
        writes: dict[MemoryKeys, dict[Namespace, list[ItemWrite]]] = {}
        for put in self._puts.values():
            packed = b""
            if embedder is not None:
                packed = pack_vectors([vectors[text] for text in put.texts], embedder.dims)
            key = put.key.encode("utf-8", "surrogatepass")
            items = writes.setdefault(put.keys, {}).setdefault(put.namespace, [])
            items.append(ItemWrite(key, put.head, put.ttl_ms, packed))
        yield from memory.put_items(self.context, writes)
        return results

    def _find_keys(self, namespace: Namespace) -> MemoryKeys:
        return self.settings.find_keys(self.context, namespace)

    def _plan_put(self, operation: PutOp) -> _Put:
        namespace, key = check_labels(operation.namespace), check_key(operation.key)
        put = _Put(self._find_keys(namespace), namespace, key)
        value = operation.value
        if value is None:
            return put
        if not isinstance(value, Mapping):
            raise ConfigurationError(f"value must be a dict, not {shorten(value)}")
        put.head = start_item(value, f"value of {key!r}", self.context.conversions)
        put.ttl_ms = to_ms("ttl", operation.ttl)
        if self.settings.embedder is not None and operation.index is not False:
            put.texts = _find_texts(value, operation.index, self.settings.fields)
        return put

    def _plan_get(self, operation: GetOp) -> Callable[[Mapping[str, Vector]], Flow[Any]]:
        namespace, key = check_labels(operation.namespace), check_key(operation.key)
        keys = self._find_keys(namespace)

        def get(_: Mapping[str, Vector]) -> Flow[Item | None]:
            item = yield from memory.get_item(
                self.context, keys, namespace, key, refresh_ttl=operation.refresh_ttl
            )
            reader = _Reader([] if item is None else [item])
            read = [Item(**_members(item, value)) for item, value in reader.read()]
            yield from reader.report(self.context, keys)
            return read[0] if read else None

        return get

    def _plan_search(self, operation: SearchOp) -> Callable[[Mapping[str, Vector]], Flow[Any]]:
        prefix = check_labels(operation.namespace_prefix)
        keys = self._find_keys(prefix)
        start = check_count("offset", operation.offset)
        end = start + check_count("limit", operation.limit)
        wanted = check_filter(operation.filter) if operation.filter else None
        query = operation.query or ""
        has_query = bool(query) and self.settings.embedder is not None
        if has_query:
            self._queries[query] = None

        def search(queries: Mapping[str, Vector]) -> Flow[list[SearchItem]]:
            most = MOST_COMPARED if has_query else None
            found = yield from memory.find_items(
                self.context, keys, prefix, with_vectors=has_query, most=most
            )

            reader = _Reader(found.items)

            def choose() -> list[tuple[StoredItem, SearchItem]]:
                scores: dict[int, float | None] = {}
                if wanted is not None:
                    reader.items = [i for i, value in reader.read() if matches(value, wanted)]
                if has_query:
                    near = compare(queries[query], [item.vectors for item in reader.items])
                    scores = dict(zip(map(id, reader.items), near, strict=True))
                    reader.items = sorted(reader.items, key=lambda i: _order(scores[id(i)]))
                return [
                    (item, SearchItem(**_members(item, value), score=scores.get(id(item))))
                    for item, value in islice(reader.read(), start, end)
                ]

            chosen = yield from compute(choose, found.size_bytes)
            yield from reader.report(self.context, keys)
            touched = found.overdue
            if operation.refresh_ttl:
                touched += [item for item, _ in chosen if item.expires_ms is not None]
            yield from memory.touch_items(
                self.context, keys, touched, refresh_ttl=operation.refresh_ttl
            )
            return [item for _, item in chosen]

        return search

    def _plan_list(self, operation: ListNamespacesOp) -> Callable[[Any], Flow[Any]]:
        conditions = operation.match_conditions or ()
        start = check_count("offset", operation.offset)
        end = start + check_count("limit", operation.limit)
        depth = operation.max_depth
        if depth is not None:
            check_count("max_depth", depth)
        prefix: Namespace = ()
        for condition in conditions:
            check_labels(condition.path)
            matches_path(condition.match_type, condition.path, ())
            if condition.match_type == "prefix":
                prefix = max(prefix, fixed_start(condition.path), key=len)
        keys = self._find_keys(prefix)

        def is_wanted(namespace: Namespace) -> bool:
            return all(matches_path(c.match_type, c.path, namespace) for c in conditions)

        def list_namespaces(_: Any) -> Flow[list[Namespace]]:
            found = yield from memory.list_namespaces(self.context, keys, prefix, is_wanted)
            if depth is not None:
                found = sorted({namespace[:depth] for namespace in found})
            return found[start:end]

        return list_namespaces


def check_labels(namespace: object) -> Namespace:
    """Refuse what is no namespace."""
    is_sound = isinstance(namespace, (tuple, list)) and all(
        isinstance(label, str) for label in namespace
    )
    if not is_sound:
        raise ConfigurationError(f"namespace must be a tuple of strings, not {shorten(namespace)}")
    return tuple(namespace)  # type: ignore[arg-type]


def check_key(key: object) -> str:
    """Refuse what is no key of an item."""
    if not isinstance(key, str):
        raise ConfigurationError(f"key must be a string, not {shorten(key)}")
    return key


def to_ms(name: str, minutes: object) -> int:
    """Give a time to live in ms; 0 = for ever, for None."""
    if minutes is None:
        return 0
    is_number = isinstance(minutes, (int, float)) and not isinstance(minutes, bool)
    if not is_number or not 0 < minutes <= _MOST_MINUTES:  # type: ignore[operator]
        raise ConfigurationError(
            f"{name} must be a number of minutes above 0, or None for ever, not {shorten(minutes)}"
        )
    return math.ceil(minutes * 60_000)  # type: ignore[operator]


def _find_texts(
    value: Mapping[str, Any], index: Iterable[str] | None, fields: Sequence[str]
) -> list[str]:
    paths = fields if index is None else index
    if isinstance(paths, str) or not all(isinstance(path, str) for path in paths):
        raise ConfigurationError(f"index must be a list of paths, or False, not {shorten(paths)}")
    found: dict[str, None] = {}
    for path in paths:
        for text in get_text_at_path(value, path if path == "$" else tokenize_path(path)):
            if text:
                found[text] = None
    return [*found]


def _members(item: StoredItem, value: dict[str, Any]) -> dict[str, Any]:
    return {
        "namespace": item.namespace,
        "key": item.key,
        "value": value,
        "created_at": item.created_at,
        "updated_at": item.updated_at,
    }


@dataclass(slots=True)
class _Reader:
    """Reads the values of items, and passes over those that can't be read."""

    items: Sequence[StoredItem]
    _unreadable: Counter[Namespace] = field(default_factory=Counter)

    def read(self) -> Iterator[tuple[StoredItem, dict[str, Any]]]:
        for item in self.items:
            try:
                value = item.read_value()
            except CorruptEventError:
                self._unreadable[item.namespace] += 1
                continue
            yield item, value

    def report(self, context: Context, keys: MemoryKeys) -> Flow[None]:
        for namespace, count in self._unreadable.items():
            names = keys.namespace(encode_namespace(namespace))
            yield context.unreadable(names.items, "an item", count)


def _order(score: float | None) -> tuple[bool, float]:
    """The nearest come first, those that can't be compared last."""
    return score is None, -(score or 0.0)
