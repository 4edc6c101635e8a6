"""Methods on what models used."""

from datetime import date, datetime, timezone

from langchain_redis_session._flow.requests import Flow
from langchain_redis_session._operations import usage
from langchain_redis_session._verbs.arguments import check_key, check_user
from langchain_redis_session._verbs.runner import FlowRunner, async_method, sync_method
from langchain_redis_session.errors import ConfigurationError, shorten
from langchain_redis_session.models import SessionKey, Usage


def _to_day(name: str, value: object, default: date) -> str:
    if value is None:
        value = default
    if isinstance(value, datetime):
        value = (value if value.tzinfo else value.astimezone()).astimezone(timezone.utc).date()
    if not isinstance(value, date):
        raise ConfigurationError(f"{name} must be a date or None, not {shorten(value)}")
    return value.isoformat()


class UsageMethods(FlowRunner):
    """Read what models used."""

    @sync_method
    def get_usage(
        self,
        app_name: str,
        user_id: str,
        *,
        since: date | None = None,
        until: date | None = None,
    ) -> Flow[Usage]:
        """Read what models used for a user, where `track_usage=True` counted it.

        What the user's assistant messages told when they were stored is added up, each once
        however often it is sent; it stays when they are removed, until `delete_user`. Events that
        trpc-agent-go writes are not counted.

        Args:
            app_name: The app.
            user_id: The user.
            since: The first day, in UTC; None = from the beginning.
            until: The last day, likewise.
        """
        check_user(app_name, user_id)
        flow = usage.get_usage(
            self._context,
            app_name,
            user_id,
            since=_to_day("since", since, date.min),
            until=_to_day("until", until, date.max),
        )
        return self._settled((app_name, user_id), flow)

    aget_usage = async_method(get_usage)

    @sync_method
    def get_session_usage(self, key: SessionKey) -> Flow[Usage]:
        """Read what models used for a session, as long as that exists; as `get_usage`."""
        return self._settled(check_key(key).scope, usage.get_session_usage(self._context, key))

    aget_session_usage = async_method(get_session_usage)
