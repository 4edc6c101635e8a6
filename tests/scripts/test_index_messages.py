from __future__ import annotations

import pytest

from langchain_redis_session._flow.scripts import ScriptCall
from langchain_redis_session.scripts import bindings
from langchain_redis_session.scripts.replies import IndexBuild, Status
from tests.scripts.store import MINUTE, Store


def indexing(store: Store, build: bytes = b"", **scores: int) -> ScriptCall[IndexBuild]:
    ids = [(name.encode(), str(score).encode()) for name, score in scores.items()]
    return bindings.index_messages(store.keys, build=build, ids=ids)


def index(store: Store, build: bytes = b"", **scores: int) -> IndexBuild:
    return store.call(indexing(store, build, **scores))


def test_ids_are_brought_in_parts_and_again(store: Store) -> None:
    store.put_events("a", "b", "c", "d")
    build = index(store).build
    assert build
    assert index(store) == IndexBuild(Status.OK, build)  # of another caller
    for _ in range(2):
        assert index(store, build, d=4, c=3, gone=0) == IndexBuild(Status.OK, build)
        assert index(store, build, a=1, b=2) == IndexBuild(Status.OK, build)
        assert store.scored(store.index) == [
            *(("a", 1), ("b", 2), ("c", 3), ("d", 4)),
            (build.decode(), float("inf")),
        ]


def test_an_id_in_several_events_has_the_score_of_the_last(store: Store) -> None:
    store.put_events("a", "b", "c", "d")
    build = index(store).build
    for scores in ({"x": 3, "y": 4}, {"x": 2, "y": 1}, {"x": 3}):
        index(store, build, **scores)
    assert store.scored(store.index)[:-1] == [("x", 3), ("", 4), ("y", 4)]


def test_a_build_that_is_not_there_any_more(store: Store) -> None:
    assert index(store) == IndexBuild(Status.OK, b"")  # there are no events
    store.put_events("a")
    build = index(store).build
    store.client.unlink(store.index)
    assert index(store, build, i=1) == IndexBuild(Status.CHANGED)
    assert index(store).build not in (build, b"")
    assert index(store, build, i=1) == IndexBuild(Status.CHANGED)
    store.client.unlink(store.index)
    store.client.zadd(store.index, {"whole": 1})
    assert index(store) == IndexBuild(Status.OK, b"")
    assert index(store, build, i=1) == IndexBuild(Status.CHANGED)
    assert store.scored(store.index) == [("whole", 1)]


def test_the_ttl_is_that_of_the_events(store: Store) -> None:
    store.put_events("a")
    store.client.pexpire(store.events, 2 * MINUTE)
    index(store)
    assert store.ttls() == {"events": 2, "index": 2}


@pytest.mark.parametrize("wrong", ["events", "index"])
def test_a_key_of_the_wrong_type(store: Store, wrong: str) -> None:
    store.put_events("a")
    assert store.refuses(store.key(wrong), indexing(store))
