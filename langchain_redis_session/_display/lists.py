"""Lists that methods return: lists like any, which show themselves in Jupyter."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any, SupportsIndex, TypeVar, overload

from langchain_redis_session._display.guard import shows

if TYPE_CHECKING:
    from typing_extensions import Self

    from langchain_redis_session._display.shown import (
        ShownEvent,
        ShownSession,
        ShownSummary,
        ShownTrackEvent,
    )

A = TypeVar("A")
B = TypeVar("B")
S = TypeVar("S", bound="ShownSession")
E = TypeVar("E", bound="ShownEvent")
T = TypeVar("T", bound="ShownTrackEvent")
Y = TypeVar("Y", bound="ShownSummary")


class _ShownList(list[A]):
    """Parts and copies of it show themselves too; sorted or pickled, it is a plain list."""

    __slots__ = ()

    @overload
    def __getitem__(self, index: SupportsIndex) -> A: ...
    @overload
    def __getitem__(self, index: slice) -> Self: ...
    def __getitem__(self, index: SupportsIndex | slice) -> A | Self:
        if isinstance(index, slice):
            return type(self)(super().__getitem__(index))
        return super().__getitem__(index)

    @overload
    def __add__(self, other: list[A]) -> list[A]: ...
    @overload
    def __add__(self, other: list[B]) -> list[A | B]: ...
    def __add__(self, other: Any) -> Any:
        # What stands in other lists may be of any kind.
        both = super().__add__(other)
        return type(self)(both) if type(other) is type(self) else both

    def copy(self) -> Self:
        return type(self)(self)

    __copy__ = copy

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return type(self)(deepcopy(list(self), memo))

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
