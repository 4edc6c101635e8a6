from __future__ import annotations

import pytest

from langchain_redis_session._flow.scripts import ScriptCall
from langchain_redis_session.scripts import bindings
from langchain_redis_session.scripts.replies import FoundEntries
from tests.scripts.store import Store


def look(
    store: Store, *ids: str, highest: str = "+inf", skip: int = 0, most: int = 1000
) -> ScriptCall[FoundEntries]:
    texts = [f'"id":"{each}"'.encode() for each in ids]
    return bindings.find_event(store.events, highest=highest, skip=skip, most=most, texts=texts)


def find_all(store: Store, *ids: str, most: int) -> list[tuple[str, str]]:
    """Look on until there is nothing more to be found."""
    found, highest, skip = [], "+inf", 0
    while highest:
        reply = store.call(look(store, *ids, highest=highest, skip=skip, most=most))
        highest, skip = reply.highest, reply.skip
        pairs = zip(reply.entries, reply.scores, strict=True)
        found += [(entry.decode(), score.decode()) for entry, score in pairs]
    return found


@pytest.mark.parametrize("most", [1, 2, 3, 5, 100])
def test_entries_that_begin_with_an_id_or_hold_one_somewhere(store: Store, most: int) -> None:
    store.put_events(
        '{"id":"a"}', '{"id":"b","x":{"id":"a"}}', '{"x":{"id":"a"}}', '{"id":"a%d+"}', "no JSON"
    )
    before = store.dump()
    both = [('{"x":{"id":"a"}}', "3"), ('{"id":"a"}', "1")]
    assert find_all(store, "a", most=most) == both
    assert find_all(store, "a", "a%d+", "z", most=most) == [('{"id":"a%d+"}', "4"), *both]
    assert find_all(store, "z", most=most) == []
    assert store.dump() == before


def test_it_ends_at_the_first_that_begins_with_the_id(store: Store) -> None:
    store.put_events(*(f'{{"id":"e{number}"}}' for number in range(1000)))
    reply = store.call(look(store, "e990"))
    assert (reply.entries, reply.highest) == ([b'{"id":"e990"}'], "")
    assert store.call(look(store, "e990", "e1", most=50)).highest == "951"


@pytest.mark.parametrize("most", [1, 2, 7, 100])
def test_events_of_one_score_are_all_looked_at(store: Store, most: int) -> None:
    names = [f'{{"id":"e{number}"}}' for number in range(9)]
    store.client.zadd(store.events, dict.fromkeys(names, 5) | {'{"id":"low"}': 1})
    for name in (*names, '{"id":"low"}'):
        (found,) = find_all(store, name[7:-2], most=most)
        assert found[0] == name


def test_long_entries_are_looked_at_in_smaller_parts(store: Store) -> None:
    store.put_events(*(f'{{"id":"e{number}","x":"{"x" * 100_000}"}}' for number in range(40)))
    reply = store.call(look(store, "e0"))
    assert reply.entries == []
    assert 1 < int(reply.highest) < 40
    assert len(find_all(store, "e0", most=1000)) == 1


def test_nothing_is_found_where_there_are_no_events(store: Store) -> None:
    assert store.call(look(store, "x")) == FoundEntries([], [])
    assert store.names() == []


def test_a_key_of_the_wrong_type(store: Store) -> None:
    assert store.refuses(store.events, look(store, "x"))
