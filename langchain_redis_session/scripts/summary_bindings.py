"""The bindings of the scripts that store a summary; as `bindings`."""

from __future__ import annotations

from langchain_redis_session._flow.requests import Argument
from langchain_redis_session._flow.scripts import ScriptCall
from langchain_redis_session._keys.zset import SessionKeys
from langchain_redis_session.scripts.replies import (
    Claim,
    Status,
    StoredSummary,
    parse_claim,
    parse_status,
    parse_stored_summary,
)


def claim_summary(
    keys: SessionKeys,
    *,
    filter_key: str,
    token: str,
    lease_ms: int,
    created: bytes,
    stored_cutoff: bytes,
    last_score: str,
) -> ScriptCall[Claim]:
    """Take the lease to summarize a session.

    Args:
        keys: Its keys.
        filter_key: Whose summary it is.
        token: The owner's.
        lease_ms: How long it holds.
        created: The `createdAt` of the session meant.
        stored_cutoff: The score that the stored summary goes to; b"" for none.
        last_score: That of the last event to be covered.
    """
    args: list[Argument] = [
        keys.session_field,
        keys.summary(filter_key),
        token,
        lease_ms,
        created,
        stored_cutoff,
        last_score,
    ]
    return ScriptCall("claim_summary", _summary_keys(keys), args, parse_claim)


def put_summary(
    keys: SessionKeys,
    *,
    filter_key: str,
    token: str,
    session_ttl_ms: int,
    created: bytes,
    head: bytes,
    tail: bytes,
    new_cutoff: str,
    try_field_ttl: bool,
    idle_cutoff: bytes,
) -> ScriptCall[StoredSummary]:
    """Store a summary and give the lease back.

    Args:
        keys: The session's keys.
        filter_key: Whose summary it is.
        token: The lease's.
        session_ttl_ms: 0 = for ever.
        created: The `createdAt` of the session meant.
        head: The summary up to its `updated_at`.
        tail: The rest, behind it.
        new_cutoff: The score that it goes to.
        try_field_ttl: Whether the server may have TTLs per field.
        idle_cutoff: The score of a stored one that counts for nothing; b"" for none.
    """
    args: list[Argument] = [
        keys.session_field,
        keys.summary(filter_key),
        token,
        session_ttl_ms,
        created,
        head,
        tail,
        new_cutoff,
        int(try_field_ttl),
        idle_cutoff,
    ]
    return ScriptCall("put_summary", _summary_keys(keys), args, parse_stored_summary)


def release_summary(keys: SessionKeys, *, token: str) -> ScriptCall[Status]:
    """Give the lease back unused."""
    return ScriptCall("release_summary", [keys.summary_lease], [token], parse_status)


def _summary_keys(keys: SessionKeys) -> list[bytes]:
    return [keys.sessions, keys.events, keys.summaries, keys.summary_lease]
