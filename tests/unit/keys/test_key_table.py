"""The table of keys in docs/stored-format.md has every key that the code makes."""

from __future__ import annotations

from dataclasses import fields
from typing import Literal

import pytest
from redis.crc import key_slot

from langchain_redis_session import SessionKey
from langchain_redis_session._keys.zset import Keyspace
from tests.stored_format import KEY_ROWS

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
    named = [f.name for f in fields(keys) if not f.name.endswith(("_field", "_prefix"))]
    return {
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
