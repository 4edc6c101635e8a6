from __future__ import annotations

from langchain_redis_session.scripts import memory_bindings
from langchain_redis_session.scripts.memory_bindings import ItemWrite
from tests.scripts.store import MINUTE, Store
from tests.scripts.test_put_items import VALUE, end_life, put


def has_items(store: Store) -> bool:
    return store.call(memory_bindings.has_items(store.key("items")))


def test_a_namespace_has_items_as_long_as_one_lives(store: Store) -> None:
    assert not has_items(store)
    names = [f"k{number}" for number in range(600)]  # more than one page, in a large hash
    put(store, *(ItemWrite(name.encode(), VALUE, MINUTE) for name in names))
    for name in names:
        assert has_items(store)
        end_life(store, name)
    assert not has_items(store)
    put(store, ItemWrite(b"new", VALUE))
    assert has_items(store)


def test_a_key_of_the_wrong_type(store: Store) -> None:
    assert store.refuses(store.key("items"), memory_bindings.has_items(store.key("items")))
