from __future__ import annotations

import pytest

from tests.scripts.store import Store


@pytest.mark.parametrize("step", [1, 2, 3, 5, 100])
def test_entries_that_hold_the_text(store: Store, step: int) -> None:
    store.put_events('{"id":"a"}', '{"id":"b"}', '{"id":"c","x":{"id":"a"}}', '{"id":"a%d+"}')
    before = store.dump()
    found = store.call("find_event", [store.events], ['"id":"a"', step])
    assert found == [b'{"id":"c","x":{"id":"a"}}', b"3", b'{"id":"a"}', b"1"]
    assert store.call("find_event", [store.events], ['"id":"a%d+"', step]) == [
        *(b'{"id":"a%d+"}', b"4"),
    ]
    assert store.call("find_event", [store.events], ['"id":"z"', step]) == []
    assert store.dump() == before


def test_no_events(store: Store) -> None:
    assert store.call("find_event", [store.events], ["x", 10]) == []
    assert store.names() == []


def test_a_key_of_the_wrong_type(store: Store) -> None:
    assert store.refuses(store.events, "find_event", [store.events], ["x", 10])
