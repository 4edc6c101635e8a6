"""Methods on app, user and session state."""

from collections.abc import Collection, Mapping
from typing import Any

from langchain_redis_session._flow.requests import Flow
from langchain_redis_session._operations import append as events
from langchain_redis_session._operations import state
from langchain_redis_session._operations.context import Context
from langchain_redis_session._verbs.arguments import (
    check_key,
    check_mapping,
    check_user,
)
from langchain_redis_session._verbs.runner import (
    FlowRunner,
    async_method,
    sync_method,
)
from langchain_redis_session.models import SessionKey, validate_id


class StateMethods(FlowRunner):
    """Set, read and remove state."""

    @sync_method
    def update_session_state(self, key: SessionKey, values: Mapping[str, Any]) -> Flow[None]:
        """Set names in a session's state; `app:` and `user:` names go to those scopes.

        Raises:
            SessionNotFoundError: There is no such session.
            UnserializableMessageError: A value can't be carried by JSON, with
                `unserializable="raise"`.
            StateTooLargeError: The session's record would grow beyond `max_state_bytes`.
        """
        check_key(key)
        return self._write_state(key, dict(check_mapping("values", values)), ())

    aupdate_session_state = async_method(update_session_state)

    @sync_method
    def delete_session_state(self, key: SessionKey, *names: str) -> Flow[None]:
        """Remove names from a session's own state."""
        check_key(key)
        own = state.list_names(names)
        for name in own:
            state.check_not_reserved(name, "names")
        return self._write_state(key, {}, own)

    adelete_session_state = async_method(delete_session_state)

    def _write_state(
        self, key: SessionKey, values: Mapping[str, Any], drop_names: Collection[str]
    ) -> Flow[None]:
        context = self._context
        change = yield from state.encode(
            values, lambda: state.route_state(values, "values", context.conversions)
        )
        flow = _write_state(context, key, change, drop_names)
        return (yield from self._settled(state.find_scope(key, change.scopes), flow))

    def _encode_scope(self, values: Mapping[str, Any], prefix: str) -> Flow[dict[str, bytes]]:
        conversions = self._context.conversions
        return state.encode(
            values, lambda: state.encode_scope(values, prefix, "values", conversions)
        )

    @sync_method
    def update_user_state(
        self, app_name: str, user_id: str, values: Mapping[str, Any]
    ) -> Flow[None]:
        """Set names in a user's state; a `user:` in front of them is dropped.

        Raises:
            ConfigurationError: A name begins with `app:` or `temp:`, which are no user's.
        """
        check_user(app_name, user_id)
        given = dict(check_mapping("values", values))

        def update() -> Flow[None]:
            encoded = yield from self._encode_scope(given, state.USER_PREFIX)
            flow = state.update_user_state(self._context, app_name, user_id, encoded)
            yield from self._settled((app_name, user_id), flow)

        return update()

    aupdate_user_state = async_method(update_user_state)

    @sync_method
    def get_user_state(self, app_name: str, user_id: str) -> Flow[dict[str, Any]]:
        """Read a user's state, names without prefix."""
        check_user(app_name, user_id)
        flow = state.get_state(self._context.keyspace.user_state(app_name, user_id))
        return self._settled((app_name, user_id), flow)

    aget_user_state = async_method(get_user_state)

    @sync_method
    def delete_user_state(self, app_name: str, user_id: str, *names: str) -> Flow[int]:
        """Remove names from a user's state; returns how many there were.

        A `user:` in front of them is dropped.
        """
        check_user(app_name, user_id)
        key = self._context.keyspace.user_state(app_name, user_id)
        flow = state.delete_state(key, state.list_names(names, state.USER_PREFIX))
        return self._settled((app_name, user_id), flow)

    adelete_user_state = async_method(delete_user_state)

    @sync_method
    def update_app_state(self, app_name: str, values: Mapping[str, Any]) -> Flow[None]:
        """Set names in an app's state; an `app:` in front of them is dropped.

        Raises:
            ConfigurationError: A name begins with `user:` or `temp:`, which are no app's.
        """
        validate_id(app_name, "app_name")
        given = dict(check_mapping("values", values))

        def update() -> Flow[None]:
            encoded = yield from self._encode_scope(given, state.APP_PREFIX)
            flow = state.update_app_state(self._context, app_name, encoded)
            yield from self._settled((app_name,), flow)

        return update()

    aupdate_app_state = async_method(update_app_state)

    @sync_method
    def get_app_state(self, app_name: str) -> Flow[dict[str, Any]]:
        """Read an app's state, names without prefix."""
        key = self._context.keyspace.app_state(validate_id(app_name, "app_name"))
        return self._settled((app_name,), state.get_state(key))

    aget_app_state = async_method(get_app_state)

    @sync_method
    def delete_app_state(self, app_name: str, *names: str) -> Flow[int]:
        """Remove names from an app's state; returns how many there were.

        An `app:` in front of them is dropped.
        """
        key = self._context.keyspace.app_state(validate_id(app_name, "app_name"))
        flow = state.delete_state(key, state.list_names(names, state.APP_PREFIX))
        return self._settled((app_name,), flow)

    adelete_app_state = async_method(delete_app_state)


def _write_state(
    context: Context, key: SessionKey, change: state.StateChange, drop_names: Collection[str]
) -> Flow[None]:
    if change or drop_names:
        yield from events.write_state(context, key, change, drop_names=drop_names)
