from __future__ import annotations

import pytest

from langchain_redis_session.scripts import bindings
from langchain_redis_session.scripts.replies import FoundEntries
from tests.scripts.store import Store


def find(store: Store, text: bytes, step: int = 10) -> FoundEntries:
    return store.call(bindings.find_event(store.events, text=text, step=step))


@pytest.mark.parametrize("step", [1, 2, 3, 5, 100])
def test_entries_that_hold_the_text(store: Store, step: int) -> None:
    store.put_events('{"id":"a"}', '{"id":"b"}', '{"id":"c","x":{"id":"a"}}', '{"id":"a%d+"}')
    before = store.dump()
    found = find(store, b'"id":"a"', step)
    assert found == ([b'{"id":"c","x":{"id":"a"}}', b'{"id":"a"}'], [b"3", b"1"])
    assert find(store, b'"id":"a%d+"', step) == ([b'{"id":"a%d+"}'], [b"4"])
    assert find(store, b'"id":"z"', step) == ([], [])
    assert store.dump() == before


def test_nothing_is_found_where_there_are_no_events(store: Store) -> None:
    assert find(store, b"x") == ([], [])
    assert store.names() == []


def test_a_key_of_the_wrong_type(store: Store) -> None:
    assert store.refuses(store.events, bindings.find_event(store.events, text=b"x", step=10))
