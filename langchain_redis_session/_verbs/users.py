"""Methods on the users of an app."""

from __future__ import annotations

from langchain_redis_session._flow.requests import Flow
from langchain_redis_session._operations import (
    users,
)
from langchain_redis_session._verbs.runner import (
    FlowRunner,
    async_verb,
    check_user,
    sync_verb,
)
from langchain_redis_session.models import (
    DeletedUser,
    validate_id,
)


class UserMethods(FlowRunner):
    """List and delete users."""

    def _list_users(self, app_name: str) -> Flow[list[str]]:
        """Find the users of an app, sorted. Scans the whole database: for administration."""
        validate_id(app_name, "app_name")
        return self._settled((app_name,), users.list_users(self._context, app_name))

    list_users = sync_verb(_list_users)
    alist_users = async_verb(_list_users)

    def _delete_user(self, app_name: str, user_id: str) -> Flow[DeletedUser]:
        """Delete everything of a user in an app. Scans the whole database.

        Can be called again after it was interrupted.
        """
        check_user(app_name, user_id)
        flow = users.delete_user(
            self._context, app_name, user_id, now_ms=self._clock() // 1_000_000
        )
        return self._settled((app_name, user_id), flow)

    delete_user = sync_verb(_delete_user)
    adelete_user = async_verb(_delete_user)
