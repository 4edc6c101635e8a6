"""What the actions of one service share."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from langchain_redis_session._hooks.hooks import Hooks
from langchain_redis_session._operations.context import Context

if TYPE_CHECKING:
    from langchain_redis_session._observe.tracing import Tracing


class ActionContext(NamedTuple):
    """The surroundings of an action.

    Attributes:
        context: Those of the flows below: options, key names, counters.
        hooks: The service's hooks.
        tracing: OpenTelemetry; None where it is off.
    """

    context: Context
    hooks: Hooks
    tracing: Tracing | None = None
