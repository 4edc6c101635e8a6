"""Lists that methods return: lists like any, which show themselves in Jupyter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from langchain_redis_session._display.guard import shows

if TYPE_CHECKING:
    from langchain_redis_session._display.shown import (
        ShownEvent,
        ShownSession,
        ShownSummary,
        ShownTrackEvent,
    )

A = TypeVar("A")
S = TypeVar("S", bound="ShownSession")
E = TypeVar("E", bound="ShownEvent")
T = TypeVar("T", bound="ShownTrackEvent")
Y = TypeVar("Y", bound="ShownSummary")


class _ShownList(list[A]):
    """Copied or pickled, it is a plain list."""

    __slots__ = ()

    def __reduce_ex__(self, protocol: object) -> Any:
        return list, (list(self),)


class SessionList(_ShownList[S]):
    """Sessions."""

    __slots__ = ()

    @shows
    def _repr_html_(self) -> str:
        from langchain_redis_session._display.tables import render_session_list

        return render_session_list(self)


class EventList(_ShownList[E]):
    """Events."""

    __slots__ = ()

    @shows
    def _repr_html_(self) -> str:
        from langchain_redis_session._display.transcript import render_event_list

        return render_event_list(self)


class TrackEventList(_ShownList[T]):
    """Events of a track."""

    __slots__ = ()

    @shows
    def _repr_html_(self) -> str:
        from langchain_redis_session._display.tables import render_track

        return render_track(self)


class SummaryList(_ShownList[Y]):
    """Summaries of a session."""

    __slots__ = ()

    @shows
    def _repr_html_(self) -> str:
        from langchain_redis_session._display.transcript import render_summary_list

        return render_summary_list(self)
