"""Which summarizer a service has for a session, and which filter keys it summarizes."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from langchain_redis_session._operations.matching import is_below
from langchain_redis_session.config import ServiceOptions
from langchain_redis_session.errors import (
    ConfigurationError,
)
from langchain_redis_session.models import (
    Session,
)

if TYPE_CHECKING:
    from langchain_redis_session.summarizer import SessionSummarizer


class Summarizing(NamedTuple):
    """How a service makes its summaries.

    Attributes:
        pick: Gives the summarizer for a session; None where it is not to be summarized.
        minimum_events: There is no summary to make of fewer new events.
        is_async_only: Whether the sync methods can't make any.
    """

    pick: Callable[[Session], SessionSummarizer | None]
    minimum_events: int
    is_async_only: bool


def is_allowed(options: ServiceOptions, filter_key: str) -> bool:
    """Whether a filter key may be summarized."""
    allowed = options.summary_filter_allowlist
    if not filter_key or allowed is None:
        return True
    return any(is_below(filter_key, other) for other in allowed if other)


def make_summarizing(
    summarizer: Any,
    pick_summarizer: Callable[[Session], Any] | None,
    event_limit: int | Literal["session"] | None = "session",
) -> Summarizing | None:
    """Find out how a service is to make its summaries; None for not at all.

    Warns where an event limit that was given removes events before a summary can be due.

    Raises:
        ConfigurationError: What was given can't make any.
    """
    if summarizer is not None and pick_summarizer is not None:
        raise ConfigurationError("summarizer= and pick_summarizer= exclude each other; pass one")
    if summarizer is None and pick_summarizer is None:
        return None
    from langchain_redis_session.summarizer import to_summarizer  # what few need, and large

    if summarizer is not None:
        known = to_summarizer(summarizer)
        if isinstance(event_limit, int) and event_limit < known.minimum_events:
            warnings.warn(
                f"session_event_limit={event_limit} removes events before a summary of them can "
                f"be due, which takes {known.minimum_events}; raise the limit, or lower the "
                "summarizer's trigger and skip_recent",
                stacklevel=3,
            )
        return Summarizing(lambda _: known, known.minimum_events, known.is_async_only)
    pick_any = pick_summarizer
    assert pick_any is not None

    def pick(session: Session) -> SessionSummarizer | None:
        picked = pick_any(session)
        return None if picked is None else to_summarizer(picked)

    return Summarizing(pick, 1, False)
