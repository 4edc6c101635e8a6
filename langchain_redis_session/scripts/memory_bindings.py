"""The bindings of the scripts on memory stores; as `bindings`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from langchain_redis_session._flow.requests import Argument
from langchain_redis_session._flow.scripts import ScriptCall
from langchain_redis_session._keys.memory import NamespaceKeys
from langchain_redis_session.scripts.replies import (
    FoundNamespaces,
    PutItems,
    TouchedItems,
    parse_found_namespaces,
    parse_has_items,
    parse_put_items,
    parse_touched_items,
)


class ItemWrite(NamedTuple):
    """What is to become of an item.

    Attributes:
        key: Its key.
        head: Its bytes up to its times; b"" to delete it.
        ttl_ms: How long it lives; 0 = for ever.
        vectors: What it is found by; b"" for nothing.
    """

    key: bytes
    head: bytes = b""
    ttl_ms: int = 0
    vectors: bytes = b""


def put_items(
    keys: NamespaceKeys, *, try_field_ttl: bool, items: Iterable[ItemWrite]
) -> ScriptCall[PutItems]:
    """Put items into a namespace, and delete items from it."""
    args: list[Argument] = [keys.namespace, int(try_field_ttl)]
    for item in items:
        args += item
    return ScriptCall("put_items", keys.common, args, parse_put_items)


def touch_items(
    keys: NamespaceKeys, *, try_field_ttl: bool, refresh: bool, item_keys: Sequence[bytes]
) -> ScriptCall[TouchedItems]:
    """See to items with a TTL that were read."""
    args: list[Argument] = [keys.namespace, int(try_field_ttl), int(refresh), *item_keys]
    return ScriptCall("touch_items", keys.common, args, parse_touched_items)


def find_namespaces(index: bytes, *, lowest: bytes, highest: bytes) -> ScriptCall[FoundNamespaces]:
    """Find the namespaces between two bounds."""
    return ScriptCall("find_namespaces", [index], [lowest, highest], parse_found_namespaces)


def has_items(items: bytes) -> ScriptCall[bool]:
    """Ask whether a namespace has an item that is not past its time."""
    return ScriptCall("has_items", [items], [], parse_has_items)
