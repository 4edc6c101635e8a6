"""What `RedisSessionStore` does: LangChain's key-value interface on state.

They are counted under the names of LangChain's methods.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from langchain_redis_session._flow.requests import Flow
from langchain_redis_session._operations import named_values
from langchain_redis_session._operations.named_values import StateName
from langchain_redis_session._operations.state import encode, find_scope
from langchain_redis_session._verbs.arguments import check_key
from langchain_redis_session._verbs.runner import FlowRunner, async_method, sync_method
from langchain_redis_session.errors import ConfigurationError, shorten
from langchain_redis_session.models import SessionKey


def _find_places(names: Iterable[str]) -> list[StateName]:
    if isinstance(names, (str, bytes)) or not isinstance(names, Iterable):
        raise ConfigurationError(f"keys must be a list of strings, not {shorten(names)}")
    return [StateName.of(name) for name in names]


@sync_method
def mget(service: FlowRunner, key: SessionKey, names: Sequence[str]) -> Flow[list[Any]]:
    """Read values; None for those that are not there."""
    places = _find_places(names)
    scope = find_scope(check_key(key), {place.scope for place in places})
    flow = named_values.get_values(service._context, key, places)  # noqa: SLF001
    return service._settled(scope, flow)  # noqa: SLF001


amget = async_method(mget)


@sync_method
def mset(service: FlowRunner, key: SessionKey, values: Iterable[tuple[str, Any]]) -> Flow[None]:
    """Set values; the session is created if there is none."""
    context = service._context  # noqa: SLF001
    if isinstance(values, Mapping):
        raise ConfigurationError(
            f"a store takes a list of pairs (key, value), not the dict {shorten(values)}; give its "
            ".items()"
        )
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        raise ConfigurationError(
            f"key_value_pairs must be a list of pairs (key, value), not {shorten(values)}"
        )
    pairs = list(values)

    def set_all() -> Flow[None]:
        change = yield from encode(pairs, lambda: named_values.encode_values(context, pairs))
        flow = named_values.set_values(context, key, change)
        yield from service._settled(find_scope(key, change.scopes), flow)  # noqa: SLF001

    return set_all()


amset = async_method(mset)


@sync_method
def mdelete(service: FlowRunner, key: SessionKey, names: Sequence[str]) -> Flow[None]:
    """Remove values."""
    places = _find_places(names)
    scope = find_scope(check_key(key), {place.scope for place in places})
    flow = named_values.drop_values(service._context, key, places)  # noqa: SLF001
    return service._settled(scope, flow)  # noqa: SLF001


amdelete = async_method(mdelete)


@sync_method
def yield_keys(service: FlowRunner, key: SessionKey, prefix: str | None = None) -> Flow[list[str]]:
    """Give the names that begin with a prefix, sorted."""
    if prefix is not None and not isinstance(prefix, str):
        raise ConfigurationError(f"prefix must be a string, not {shorten(prefix)}")
    start = prefix or ""
    scope = find_scope(check_key(key), [*named_values.match_scopes(start)])
    flow = named_values.list_names(service._context, key, start)  # noqa: SLF001
    return service._settled(scope, flow)  # noqa: SLF001


ayield_keys = async_method(yield_keys)
