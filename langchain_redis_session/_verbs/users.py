"""Methods on the users of an app."""

import time

from langchain_redis_session._flow.requests import Flow
from langchain_redis_session._operations import (
    users,
)
from langchain_redis_session._verbs.arguments import (
    check_user,
)
from langchain_redis_session._verbs.runner import (
    FlowRunner,
    async_method,
    sync_method,
)
from langchain_redis_session.models import (
    DeletedUser,
    validate_id,
)


class UserMethods(FlowRunner):
    """List apps, list and delete users."""

    @sync_method
    def list_apps(self) -> Flow[list[str]]:
        """Find the apps that have state, sessions or a user's state, sorted.

        Scans the whole database once: for administration.
        """
        return self._settled((), users.list_apps(self._context))

    alist_apps = async_method(list_apps)

    @sync_method
    def list_users(self, app_name: str) -> Flow[list[str]]:
        """Find the users of an app, sorted.

        Scans the whole database once: for administration.
        """
        validate_id(app_name, "app_name")
        return self._settled((app_name,), users.list_users(self._context, app_name))

    alist_users = async_method(list_users)

    @sync_method
    def delete_user(self, app_name: str, user_id: str) -> Flow[DeletedUser]:
        """Delete everything of a user in an app. Scans the whole database, once.

        Can be called again after it was interrupted: it goes on with what is left, and counts that.
        """
        check_user(app_name, user_id)
        flow = users.delete_user(
            self._context, app_name, user_id, now_ms=time.time_ns() // 1_000_000
        )
        return self._settled((app_name, user_id), flow)

    adelete_user = async_method(delete_user)
