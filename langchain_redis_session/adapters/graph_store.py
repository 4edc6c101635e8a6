"""`RedisSessionMemoryStore`: what agents remember, as LangGraph's store, on plain Redis."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, cast

from langchain_core.embeddings import Embeddings

from langchain_redis_session._connections.checks import tell_of_client
from langchain_redis_session._connections.rebuilt import Rebuilt
from langchain_redis_session._display.guard import shows
from langchain_redis_session._flow.requests import Flow
from langchain_redis_session._operations.context import Context
from langchain_redis_session._verbs import memory
from langchain_redis_session.adapters._sharing import check_service
from langchain_redis_session.config import check_function, refuse_unknown
from langchain_redis_session.errors import ConfigurationError, shorten, suggest
from langchain_redis_session.models import tell_text, validate_id
from langchain_redis_session.service import RedisSessionService

try:
    from langgraph.store.base import (
        BaseStore,
        IndexConfig,
        Op,
        Result,
        TTLConfig,
        ensure_embeddings,
    )

    from langchain_redis_session.adapters._memory.batch import Batch, Settings, to_ms
    from langchain_redis_session.adapters._memory.meaning import Embedder
except ImportError as error:
    raise ImportError(
        "RedisSessionMemoryStore needs the package langgraph: pip install "
        "'langchain-redis-session[agents]'"
    ) from error

Owner = str | Callable[[tuple[str, ...]], str | None] | None


class RedisSessionMemoryStore(Rebuilt, BaseStore):
    """A memory for agents: LangGraph's store, for `create_agent(…, store=…)`, on plain Redis.

    Items are found by namespace and key, by filters, and with `index=` by meaning. Everything
    that begins with a namespace's labels lies below it; labels and keys may be any text.

    A `get`, `put` or `delete` is one round trip, as is a `batch` of them (an item with a TTL takes
    one more to be read). `search` reads all items below the namespace, and takes time in
    proportion to their number; with a query there may be at most 10,000. Vectors are compared
    here, by numpy where it is installed.

    Args:
        service: Where.
        app_name: The application.
        user: Whose items they are: `delete_user` takes these along. A user's id, or a function
            that returns it for a namespace, such as `lambda namespace: namespace[1]`; searches
            and lists then need a namespace, or a `prefix=`, that tells it. None, or where the
            function returns None: the items are the app's.
        index: LangGraph's IndexConfig: `dims`, `embed` and `fields`; None = no search by meaning.
        ttl: LangGraph's TTLConfig: `default_ttl` in minutes and `refresh_on_read`. What is past
            its time is never returned; Redis removes it by itself.

    Raises:
        ConfigurationError: An argument can't be used.
        InvalidSessionKeyError: An id can't be used.
        ImportError: langgraph is not installed (extra: agents).

    Example:
        >>> service = RedisSessionService("memory://doc-memory-store")
        >>> store = RedisSessionMemoryStore(service, app_name="shop", user="ann")
        >>> store.put(("facts",), "drink", {"likes": "tea", "cups": 3})
        >>> store.get(("facts",), "drink").value["likes"]
        'tea'
        >>> [item.key for item in store.search(("facts",), filter={"cups": {"$gte": 3}})]
        ['drink']
        >>> store.list_namespaces()
        [('facts',)]
        >>> _ = service.delete_user("shop", "ann")
        >>> print(store.get(("facts",), "drink"))
        None
    """

    supports_ttl = True
    ttl_config: TTLConfig | None

    @refuse_unknown(tell_of_client)
    def __init__(
        self,
        service: RedisSessionService,
        *,
        app_name: str = "default",
        user: Owner = None,
        index: IndexConfig | None = None,
        ttl: TTLConfig | None = None,
    ) -> None:
        self.service = check_service(service)
        self.index_config = _check_index(index)
        self.ttl_config = _check_ttl(ttl)
        embedder = None
        if self.index_config is not None:
            model = ensure_embeddings(self.index_config["embed"])
            embedder = Embedder(model, self.index_config["dims"])
        fields = (self.index_config or {}).get("fields") or ["$"]
        self._settings = Settings(
            find_owner=_make_finder(user),
            app_name=validate_id(app_name, "app_name"),
            embedder=embedder,
            fields=fields,
        )

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """Run operations; reads see what was there before the writes.

        Returns:
            A result for each operation, in their order.

        Raises:
            ConfigurationError: One can't be done; then none is.
        """
        return memory.batch(self.service, self._plan(ops))

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """Run operations, without blocking the event loop; as `batch`."""
        return await memory.abatch(self.service, self._plan(ops))

    def _plan(self, ops: Iterable[Op]) -> Callable[[Context], Flow[list[Any]]]:
        operations = [*ops]
        return lambda context: Batch(self._settings, context, operations).run()

    @shows
    def __repr__(self) -> str:
        return f"RedisSessionMemoryStore({self._settings.app_name!r}, service={self.service!r})"


def _make_finder(user: object) -> Callable[[tuple[str, ...]], str | None]:
    if user is None or isinstance(user, str):
        user_id = None if user is None else validate_id(user, "user")
        return lambda _: user_id
    if not callable(user):
        raise ConfigurationError(
            f"user must be a user's id (a string), a function of the namespace, or None, not "
            f"{shorten(user)}{tell_text(user, 'user_id')}"
        )

    check_function("user", user, "namespace")

    def find(namespace: tuple[str, ...]) -> str | None:
        try:
            user_id = user(namespace)
        except LookupError as error:
            raise ConfigurationError(
                f"user= can't tell whose the items of {namespace!r} are "
                f"({type(error).__name__}: {error}); give a longer namespace, or prefix="
            ) from error
        return None if user_id is None else validate_id(user_id, "user")

    return find


def _check_index(index: object) -> IndexConfig | None:
    if index is None:
        return None
    if not isinstance(index, dict) or not {"dims", "embed"} <= index.keys():
        raise ConfigurationError(
            f'index must be a dict with "dims" and "embed", or None, not {shorten(index)}'
        )
    dims, fields = index["dims"], index.get("fields")
    if not isinstance(dims, int) or isinstance(dims, bool) or dims < 1:
        raise ConfigurationError(f"index: dims must be a whole number from 1, not {shorten(dims)}")
    embed = index["embed"]
    if not (isinstance(embed, (str, Embeddings)) or callable(embed)):
        raise ConfigurationError(
            "index: embed must be an Embeddings model, a function of a list of texts, or a name "
            f'such as "openai:text-embedding-3-small", not {shorten(embed)}'
        )
    is_list = isinstance(fields, list) and all(isinstance(path, str) for path in fields)
    if fields is not None and not is_list:
        raise ConfigurationError(f"index: fields must be a list of paths, not {shorten(fields)}")
    return cast(IndexConfig, {**index})


def _check_ttl(ttl: object) -> TTLConfig | None:
    if ttl is None:
        return None
    if not isinstance(ttl, dict):
        raise ConfigurationError(f"ttl must be a dict (TTLConfig) or None, not {shorten(ttl)}")
    unknown = ttl.keys() - TTLConfig.__annotations__.keys()
    if unknown:
        name = sorted(map(str, unknown))[0]
        raise ConfigurationError(
            f"ttl: there is no option {name!r} in TTLConfig"
            + suggest(name, TTLConfig.__annotations__)
        )
    to_ms("ttl: default_ttl", ttl.get("default_ttl"))
    return cast(TTLConfig, {**ttl})
