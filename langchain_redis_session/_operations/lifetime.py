"""How long a session lives on."""

from __future__ import annotations

from langchain_redis_session._flow.scripts import ScriptCall
from langchain_redis_session._operations.context import Context
from langchain_redis_session.models import SessionKey
from langchain_redis_session.scripts import bindings
from langchain_redis_session.scripts.replies import Refreshed


def refresh_lifetime(context: Context, key: SessionKey) -> ScriptCall[Refreshed]:
    """What starts a session's lifetime anew."""
    return bindings.refresh_ttl(
        context.keyspace.session(key),
        session_ttl_ms=context.options.session_ttl,
        try_field_ttl=context.try_field_ttl,
    )
