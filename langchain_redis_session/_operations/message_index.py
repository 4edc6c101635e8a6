"""The index of the ids of a session's messages, built from its events."""

from __future__ import annotations

from langchain_redis_session._codec.event_glance import read_message_id
from langchain_redis_session._flow.requests import Flow
from langchain_redis_session._keys.zset import SessionKeys
from langchain_redis_session._operations.bounds import format_score
from langchain_redis_session._operations.context import Context
from langchain_redis_session._operations.pages import Page, Walk
from langchain_redis_session.errors import CorruptEventError
from langchain_redis_session.scripts import bindings
from langchain_redis_session.scripts.replies import Status

_PAGE = 500
"""As many ids the server takes in within few milliseconds."""


def build_message_index(context: Context, keys: SessionKeys) -> Flow[bytes]:
    """Bring the ids of all messages to the index; gives the build, which an append has to end.

    What is appended meanwhile is put in by its own append. b"" where there is nothing to end: the
    append has to try again.
    """
    build = (yield from bindings.index_messages(keys, build=b"", ids=())).build
    walk = Walk(context, keys.events)
    while build and not walk.is_done:
        ids = yield from walk.read(_PAGE, _find_message_ids)
        reply = yield from bindings.index_messages(keys, build=build, ids=ids)
        if reply.status is not Status.OK:
            return b""
    return build


def _find_message_ids(page: Page) -> list[tuple[bytes, bytes]]:
    """The ids of messages in a page, with their scores."""
    found: list[tuple[bytes, bytes]] = []
    for entry, score in zip(*page, strict=True):
        try:
            message_id = read_message_id(entry)
        except CorruptEventError:
            continue
        if message_id:
            id_ = message_id.encode("utf-8", "surrogatepass")
            found.append((id_, format_score(float(score)).encode()))
    return found
