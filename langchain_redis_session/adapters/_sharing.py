"""The service of an adapter: given, or one for all that were made with equal options."""

import copy
import inspect
import os
import sys
import threading
import warnings
from collections.abc import Callable, Collection, Iterable
from typing import Any, Literal

from langchain_redis_session._connections.forks import renew_in_child
from langchain_redis_session._connections.given import check_clients, is_async_client
from langchain_redis_session._connections.options import ClientOptions, find_unknown
from langchain_redis_session._connections.registry import find_instance
from langchain_redis_session.config import ObjectOptions, ServiceOptions, tell_owners
from langchain_redis_session.errors import ConfigurationError, suggest
from langchain_redis_session.models import DeadLetter, Session
from langchain_redis_session.service import RedisSessionService, Ttl

_Shelf = dict[Any, tuple[RedisSessionService, Any]]  # what was used last stands last
_of_urls: _Shelf = {}
_of_clients: _Shelf = {}
# A service keeps its client alive, and who makes one per request has many.
_MOST_OF_URLS, _MOST_OF_CLIENTS = 256, 16
_shelves_lock = threading.Lock()
renew_in_child(sys.modules[__name__])


class SharedOptions(ClientOptions, total=False):
    """What adapters take beside their own arguments: options of the service and of its clients.

    The service's are those of its constructor, with the same types.
    """

    pool_timeout: float
    hash_tag: Literal["app", "user"]
    session_event_limit: int | Literal["session"] | None
    session_ttl: Ttl
    app_state_ttl: Ttl
    user_state_ttl: Ttl
    track_event_ttl: Ttl | Literal["session"]
    track_event_limit: int | None
    max_event_bytes: int
    max_state_bytes: int | None
    refresh_ttl_on_read: bool
    per_field_ttl: bool | None
    use_evalsha: bool
    unserializable: Literal["convert", "raise"]
    enable_async_persist: bool
    async_persister_num: int
    persist_queue_size: int
    persist_put_timeout: float
    persist_retry_timeout: float | None
    persist_close_timeout: float
    persist_spool_dir: str | os.PathLike[str] | None
    on_persist_error: Callable[[DeadLetter], Any] | None
    wait_replicas: int
    wait_timeout: float
    summarizer: Any
    pick_summarizer: Callable[[Session], Any] | None
    auto_summarize: bool
    async_summary_num: int
    summary_queue_size: int
    summary_job_timeout: float
    summary_close_timeout: float
    cascade_full_session_summary: bool
    summary_filter_allowlist: Collection[str] | None
    track_usage: bool
    enable_tracing: bool
    clock: Callable[[], int]


def check_names(adapter: type, options: Iterable[str]) -> None:
    """Refuse options that neither an adapter nor a service nor a client has.

    Raises:
        ConfigurationError: There is no such option; it names the nearest of all.
    """
    unknown = find_unknown(name for name in options if name not in ServiceOptions.model_fields)
    if unknown is None:
        return
    known = [*inspect.signature(adapter).parameters, *SharedOptions.__annotations__]
    known.remove("options")
    name = adapter.__name__
    elsewhere = (
        f"; {name} takes options of redis-py's clients as its own arguments"
        if unknown == "extra_options"
        else tell_owners(unknown)
    )
    raise ConfigurationError(
        f"there is no option {unknown!r}"
        + (
            suggest(unknown, known, elsewhere)
            or f"; {name} takes its own, those of RedisSessionService, and those of redis-py's "
            "clients"
        )
    )


def check_service(service: object) -> RedisSessionService:
    """Refuse what is no service.

    Raises:
        ConfigurationError: It is something else.
    """
    if isinstance(service, RedisSessionService):
        return service
    shown = f"a {type(service).__qualname__}"  # a URL may hold a password
    advice = "make one with RedisSessionService(…)"
    if service is None:
        shown = "None"
    elif isinstance(service, type):
        shown = f"the class {service.__qualname__}"
    elif isinstance(service, str):
        advice = "make one of the URL: RedisSessionService(redis_url)"
    elif is_async_client(service):
        advice = "make one of the client: RedisSessionService(async_client=…)"
    elif hasattr(service, "execute_command"):
        advice = "make one of the client: RedisSessionService(client=…)"
    elif isinstance(getattr(service, "service", None), RedisSessionService):
        advice = "give its .service"
    raise ConfigurationError(f"service= must be a RedisSessionService, not {shown}; {advice}")


def share_service(
    *,
    redis_url: str | None,
    redis_instance: str | None,
    redis_client: Any,
    async_client: Any,
    ttl: Ttl,
    key_prefix: str,
    **options: Any,
) -> RedisSessionService:
    """Give the service that others with the same options have, or a new one."""
    own = {name: options.pop(name) for name in list(options) if name in ServiceOptions.model_fields}
    own = {"session_ttl": ttl, "key_prefix": key_prefix, **own}
    check_clients(redis_client, async_client, name="redis_client=")
    clients = (redis_client, async_client)

    def make() -> RedisSessionService:
        return RedisSessionService(
            redis_url,
            redis_instance=redis_instance,
            client=redis_client,
            async_client=async_client,
            extra_options=options,
            **own,
        )

    has_client = redis_client is not None or async_client is not None
    is_named = redis_url is None and redis_instance is not None and not has_client
    shelf, most = (_of_clients, _MOST_OF_CLIENTS) if has_client else (_of_urls, _MOST_OF_URLS)
    objects = {name: own[name] for name in ObjectOptions.model_fields if name in own}
    plain = _Comparable(
        {
            "redis": find_instance(redis_instance)
            if is_named
            else redis_url or os.environ.get("REDIS_URL"),
            "clients": tuple(map(id, clients)),
            **{name: value for name, value in own.items() if name not in objects},
            **options,
        }
    )
    name = (plain, tuple((option, _identify(objects[option])) for option in sorted(objects)))
    with _shelves_lock:
        service, _ = shelf.pop(name, (None, None))
        if service is None or service.is_closed:
            service = make()
            _count_likes(plain, objects)
        # Clients and other objects stand in the entry, so that nothing else gets their ids.
        shelf[name] = (service, (clients, own))
        if len(shelf) > most:
            del shelf[next(iter(shelf))]
        return service


def _identify(value: object) -> object:
    """What stands for an object: itself where it is equal to those that do the same."""
    summarizers = sys.modules.get("langchain_redis_session.summarizer")  # else nobody has made one
    is_summarizer = summarizers is not None and isinstance(value, summarizers.SessionSummarizer)
    return value if is_summarizer else id(value)


class _Comparable:
    """Options as a key of a dict, by what they are equal to; also those without a hash."""

    __slots__ = ("_hash", "_options")

    def __init__(self, options: dict[str, Any]) -> None:
        changing = (list, dict, set)
        # Whoever has them may change them.
        self._options = {
            name: copy.copy(value) if isinstance(value, changing) else value
            for name, value in options.items()
        }
        self._hash = hash(frozenset((name, _hash(value)) for name, value in options.items()))

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Comparable) and self._options == other._options


def _hash(value: object) -> int:
    try:
        return hash(value)
    except TypeError:
        return 0


_likes: dict[_Comparable, int] = {}
_MANY_LIKES = 10


def _count_likes(plain: _Comparable, objects: dict[str, Any]) -> None:
    """Warn who makes objects anew each time: each makes a service, with clients and threads."""
    given = sorted(name for name, value in objects.items() if value is not None)
    if not given:
        return
    count = _likes[plain] = _likes.get(plain, 0) + 1
    if count == _MANY_LIKES:
        shown = ", ".join(f"{name}=" for name in given)
        warnings.warn(
            f"{count} services were made whose options differ in nothing but the objects in "
            f"{shown}, each with connections and threads of its own; make these objects once "
            "(at import, say) and give the same ones each time, or make one "
            "RedisSessionService and pass it as service=",
            RuntimeWarning,
            stacklevel=4,
        )
    if len(_likes) > _MOST_OF_URLS:
        del _likes[next(iter(_likes))]
