"""What a session router needs beyond the service's own methods; for adapters."""

from collections.abc import Collection, Mapping
from typing import Any

from langchain_redis_session._flow.requests import Flow
from langchain_redis_session._operations.first_texts import read_first_texts
from langchain_redis_session._operations.state import check_not_reserved, list_names
from langchain_redis_session._verbs.arguments import check_key, check_mapping
from langchain_redis_session._verbs.runner import FlowRunner, async_method, sync_method
from langchain_redis_session._verbs.state import StateMethods
from langchain_redis_session.models import SessionKey


@sync_method
def get_first_texts(
    service: FlowRunner, app_name: str, user_id: str, session_ids: Collection[str]
) -> Flow[list[str]]:
    """Read what the user said first in each of these sessions; "" where that is nothing."""
    keys = [SessionKey(app_name, user_id, session_id) for session_id in session_ids]
    return service._settled(  # noqa: SLF001
        (app_name, user_id),
        read_first_texts(service._context, keys),  # noqa: SLF001
    )


aget_first_texts = async_method(get_first_texts)


@sync_method
def change_session_state(
    service: StateMethods, key: SessionKey, values: Mapping[str, Any], drop_names: Collection[str]
) -> Flow[None]:
    """Set names in a session's state and remove others, in one step."""
    check_key(key)
    for name in list_names(drop_names):
        check_not_reserved(name, "values")
    return service._write_state(key, check_mapping("values", values), drop_names)  # noqa: SLF001


achange_session_state = async_method(change_session_state)
