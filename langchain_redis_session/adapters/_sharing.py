"""One service for all adapters that were made with equal options."""

from __future__ import annotations

import os
import threading
from typing import Any

from langchain_redis_session.config import ServiceOptions
from langchain_redis_session.service import RedisSessionService, Ttl

_Shelf = dict[Any, tuple[RedisSessionService, Any]]  # what was used last stands last
_of_urls: _Shelf = {}
_of_clients: _Shelf = {}
# A service keeps its client alive, and who makes one per request has many.
_MOST_OF_URLS, _MOST_OF_CLIENTS = 256, 16
_shelves_lock = threading.Lock()
_OBJECTS = {"summarizer", "pick_summarizer", "on_persist_error"}
"""Options that are the same only where they are the same object."""
_SERVICE_OPTIONS = {*ServiceOptions.model_fields, *_OBJECTS}


def share_service(
    *,
    redis_url: str | None,
    redis_client: Any,
    async_client: Any,
    ttl: Ttl,
    key_prefix: str,
    **options: Any,
) -> RedisSessionService:
    """Give the service that others with the same options have, or a new one."""
    own = {name: options.pop(name) for name in list(options) if name in _SERVICE_OPTIONS}
    own = {"session_ttl": ttl, "key_prefix": key_prefix, **own}
    clients = (redis_client, async_client)

    def make() -> RedisSessionService:
        return RedisSessionService(
            redis_url,
            client=redis_client,
            async_client=async_client,
            extra_options=options,
            **own,
        )

    # Clients and other objects stand in the entry, so that nothing else gets their ids.
    name = (
        redis_url or os.environ.get("REDIS_URL"),
        *map(id, clients),
        *sorted((name, _identify(name, value)) for name, value in own.items()),
        *sorted(options.items()),
    )
    try:
        hash(name)
    except TypeError:  # an option that can't be compared
        return make()
    has_client = redis_client is not None or async_client is not None
    shelf, most = (_of_clients, _MOST_OF_CLIENTS) if has_client else (_of_urls, _MOST_OF_URLS)
    with _shelves_lock:
        service, _ = shelf.pop(name, (None, None))
        if service is None or service.is_closed:
            service = make()
        shelf[name] = (service, (clients, own))
        if len(shelf) > most:
            del shelf[next(iter(shelf))]
        return service


def _identify(name: str, value: Any) -> Any:
    return id(value) if name in _OBJECTS else value
