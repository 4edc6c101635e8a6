"""`RedisSessionStore`: state as LangChain's key-value store."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

from langchain_core.stores import BaseStore

from langchain_redis_session._connections.checks import tell_of_client
from langchain_redis_session._display.guard import shows
from langchain_redis_session._verbs import named_values
from langchain_redis_session._verbs.arguments import check_key
from langchain_redis_session.adapters._sharing import check_service
from langchain_redis_session.config import refuse_unknown
from langchain_redis_session.models import SessionKey
from langchain_redis_session.service import RedisSessionService


class RedisSessionStore(BaseStore[str, Any]):
    """A key-value store for LangChain, kept in a session's, a user's and an app's state.

    Where a value goes depends on its key: `user:x` belongs to the user, `app:x` to the app, any
    other to the session. What is set here is seen as `Session.state`, and the other way round.
    Any string is a key: what state does not take (an empty name, `temp:…`, `tracks`) stands
    there escaped.

    Values keep their type: `bytes` come back as `bytes`, all else as JSON carries it. So
    `CacheBackedEmbeddings.from_bytes_store(…)` may have it.

    A session's state is one record, read and written as a whole: large values belong under
    `user:` or `app:`, where each is read and written by itself. One call is one round trip;
    setting or deleting the session's own values takes two.

    Args:
        service: Where.
        key: The session; for `user:` and `app:` keys, its user and app. It is created when the
            first of its own values is set.

    Raises:
        ConfigurationError: This is no service.
        InvalidSessionKeyError: This is no session's key.

    Example:
        >>> from langchain_redis_session import RedisSessionService, SessionKey
        >>> service = RedisSessionService("memory://doc-store")
        >>> store = RedisSessionStore(service, SessionKey("shop", "ann", "s1"))
        >>> store.mset([("city", "Paris"), ("user:image", b"[1, 2]")])
        >>> store.mget(["city", "user:image", "app:x"])
        ['Paris', b'[1, 2]', None]
        >>> list(store.yield_keys(prefix="user:"))
        ['user:image']
        >>> service.get_session(store.session_key).state["city"]
        'Paris'
    """

    @refuse_unknown(tell_of_client)
    def __init__(self, service: RedisSessionService, key: SessionKey) -> None:
        self.service = check_service(service)
        self.session_key = check_key(key)

    def mget(self, keys: Sequence[str]) -> list[Any]:
        """Read values.

        Returns:
            A value for each key, None where there is none.
        """
        return named_values.mget(self.service, self.session_key, keys)

    async def amget(self, keys: Sequence[str]) -> list[Any]:
        """Read values, without blocking the event loop; as `mget`."""
        return await named_values.amget(self.service, self.session_key, keys)

    def mset(self, key_value_pairs: Sequence[tuple[str, Any]]) -> None:
        """Set values.

        Raises:
            UnserializableMessageError: One can't be carried by JSON, with
                `unserializable="raise"`. None is set.
        """
        named_values.mset(self.service, self.session_key, key_value_pairs)

    async def amset(self, key_value_pairs: Sequence[tuple[str, Any]]) -> None:
        """Set values, without blocking the event loop; as `mset`."""
        await named_values.amset(self.service, self.session_key, key_value_pairs)

    def mdelete(self, keys: Sequence[str]) -> None:
        """Remove values; those that are not there are no error."""
        named_values.mdelete(self.service, self.session_key, keys)

    async def amdelete(self, keys: Sequence[str]) -> None:
        """Remove values, without blocking the event loop; as `mdelete`."""
        await named_values.amdelete(self.service, self.session_key, keys)

    def yield_keys(self, *, prefix: str | None = None) -> Iterator[str]:
        """Yield the keys that begin with a prefix, sorted; without one, all."""
        yield from named_values.yield_keys(self.service, self.session_key, prefix)

    async def ayield_keys(self, *, prefix: str | None = None) -> AsyncIterator[str]:
        """Yield keys, without blocking the event loop; as `yield_keys`."""
        for name in await named_values.ayield_keys(self.service, self.session_key, prefix):
            yield name

    @shows
    def __repr__(self) -> str:
        return f"RedisSessionStore({self.session_key}, service={self.service!r})"
