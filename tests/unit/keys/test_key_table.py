"""The table of keys in docs/stored-format.md has every key that the code makes."""

from __future__ import annotations

import inspect
from hashlib import sha256
from typing import Literal

import pytest
from redis.crc import key_slot

from langchain_redis_session import SessionKey
from langchain_redis_session._keys.memory import encode_namespace
from langchain_redis_session._keys.zset import Keyspace
from tests.stored_format import ESCAPES, KEY_ROWS, MARK_ROW

HashTag = Literal["app", "user"]

hash_tags = pytest.mark.parametrize("hash_tag", ["app", "user"])
sessions = pytest.mark.parametrize(
    "session",
    [SessionKey("shop", "ann", "s1"), SessionKey("a:{b}", "{u}:%", ":s:{1}%7B")],
    ids=["plain", "escaped"],
)


def keys_by_name(keyspace: Keyspace, session: SessionKey, track: str) -> dict[str, bytes]:
    """Give every key of a session by the name that the table has for it."""
    keys = keyspace.session(session)
    named = [name for name in keys._fields if not name.endswith(("_field", "_prefix"))]
    namespace = encode_namespace([track])
    memories = {
        "app": keyspace.app_memory(session.app_name),
        "user": keyspace.user_memory(session.app_name, session.user_id),
    }
    remembered = {
        f"{owner} memory{part}": key
        for owner, memory in memories.items()
        for part, key in (
            ("", memory.namespace(namespace).items),
            (" vectors", memory.namespace(namespace).vectors),
            (" index", memory.index),
        )
    }
    return {
        **remembered,
        **{name.replace("_", " "): getattr(keys, name) for name in named},
        "track": keys.track(track),
    }


@pytest.mark.parametrize("key_prefix", ["", "p"])
@hash_tags
@sessions
def test_every_key_is_the_one_in_the_table(
    key_prefix: str, hash_tag: HashTag, session: SessionKey
) -> None:
    start = f"{key_prefix}:" if key_prefix else ""
    said = {row.name: f"{start}{row.key(session, hash_tag, 't:1')}".encode() for row in KEY_ROWS}
    assert keys_by_name(Keyspace(key_prefix, hash_tag), session, "t:1") == said


@hash_tags
@sessions
def test_the_tag_in_the_table_decides_the_slot(hash_tag: HashTag, session: SessionKey) -> None:
    made = keys_by_name(Keyspace("p", hash_tag), session, "t")
    for row in KEY_ROWS:
        tag = row.tag(session, hash_tag)
        assert key_slot(made[row.name]) == key_slot(tag[1:-1].encode()), row.name


@hash_tags
@sessions
def test_the_mark_of_a_deletion_is_the_one_in_the_table(
    hash_tag: HashTag, session: SessionKey
) -> None:
    _, *ids = (part.translate(ESCAPES) for part in session.scope)
    start = MARK_ROW.pattern.removesuffix("digest").replace("{app}", MARK_ROW.tag(session, "app"))
    keyspace = Keyspace("", hash_tag)
    for count, made in enumerate(
        (keyspace.erasure(*session.scope[:2]), keyspace.erasure(*session.scope)), 1
    ):
        assert made.decode() == start + sha256(":".join(ids[:count]).encode()).hexdigest()


def test_no_user_shares_a_mark_with_a_session() -> None:
    keyspace = Keyspace()
    assert keyspace.erasure("shop", "ann\0s1") != keyspace.erasure("shop", "ann", "s1")


def test_the_table_has_every_kind_of_key() -> None:
    kinds = set()

    class Noting(Keyspace):
        def _start(self, kind: str) -> str:
            kinds.add(kind)
            return super()._start(kind)

    keyspace, session = Noting(), SessionKey("shop", "ann", "s1")
    keyspace.session(session)
    for name, make in inspect.getmembers(keyspace, inspect.ismethod):
        if not name.startswith(("_", "parse_", "session")):
            make(*session.scope[: len(inspect.signature(make).parameters)])
    assert kinds == {row.pattern.partition(":")[0] for row in (*KEY_ROWS, MARK_ROW)}
