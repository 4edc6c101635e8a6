"""The arguments of reads: how many, how far back, from when to when."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import lru_cache
from typing import Literal, NamedTuple, TypeAlias

from langchain_redis_session.errors import ConfigurationError, shorten

Moment: TypeAlias = datetime | int | float
StartOn: TypeAlias = Literal["human"] | None


class Bounds(NamedTuple):
    """Which part of a sequence to read.

    Attributes:
        limit: The most to give, the newest; None = all.
        offset: How many of the newest to leave out.
        highest, lowest: Inclusive bounds on the score, as Redis writes them.
        start_on: "human" = begin with a user message.
        strict: Whether an unreadable entry is an error.
        for_model: Whether the last user message and all behind it are read, and the system
            messages that the session begins with, also where the limit leaves them out.
    """

    limit: int | None = None
    offset: int = 0
    highest: str = "+inf"
    lowest: str = "-inf"
    start_on: StartOn = None
    strict: bool = False
    for_model: bool = False

    @property
    def is_everything(self) -> bool:
        """Whether all entries are to be read."""
        return self.limit is None and not self.is_timed

    @property
    def is_timed(self) -> bool:
        """Whether the score is bounded."""
        return self.highest != "+inf" or self.lowest != "-inf"


def make_bounds(
    limit: int | None,
    after: Moment | None,
    before: Moment | None,
    offset: int,
    start_on: StartOn = None,
    strict: bool = False,
    *,
    for_model: bool = False,
) -> Bounds:
    """Check the arguments of a read.

    Raises:
        ConfigurationError: One of them can't work.
    """
    for name, number in (("limit", limit), ("offset", offset)):
        if number is None and name == "limit":
            continue
        if not isinstance(number, int) or isinstance(number, bool) or number < 0:
            raise ConfigurationError(f"{name} must be a whole number from 0, not {shorten(number)}")
    check_start_on("start_on", start_on)
    return Bounds(
        limit,
        offset,
        "+inf" if before is None else _format_bound(before, "before"),
        "-inf" if after is None else _format_bound(after, "after"),
        start_on,
        strict,
        for_model,
    )


def check_start_on(name: str, value: object) -> None:
    """Refuse what does not say where to begin."""
    if value not in (None, "human"):
        raise ConfigurationError(f"{name} must be 'human' or None, not {shorten(value)}")


@lru_cache(maxsize=256)  # events that are appended together share their time
def format_score(score: float) -> str:
    """Write a score so that no bit of it is lost."""
    return f"{float(score):.17g}"


def _format_bound(moment: Moment, name: str) -> str:
    return format_score(to_score(moment, name))


def to_score(moment: object, name: str) -> float:
    """Give the score that a score, a datetime with a zone, or nanoseconds since 1970 stand for.

    Raises:
        ConfigurationError: It is something else, such as seconds.
    """
    if isinstance(moment, float) and moment == moment:  # NaN is no score
        _refuse_small(moment, name)
        return moment
    return float(to_nanoseconds(moment, name))


def to_nanoseconds(moment: object, name: str = "timestamp") -> int:
    """Give a datetime with a zone, or nanoseconds since 1970, in nanoseconds.

    Raises:
        ConfigurationError: It is something else, such as seconds.
    """
    if isinstance(moment, datetime):
        if moment.tzinfo is None:
            raise ConfigurationError(
                f"{name} has no time zone: {moment!r}; give one, as in datetime.now(timezone.utc)"
            )
        return (moment - _EPOCH) // timedelta(microseconds=1) * 1000
    if isinstance(moment, int) and not isinstance(moment, bool) and abs(moment) < _FARTHEST_NS:
        _refuse_small(moment, name)
        return moment
    raise ConfigurationError(
        f"{name} must be a datetime or nanoseconds since 1970, not {shorten(moment)}"
    )


def _refuse_small(moment: float, name: str) -> None:
    if 0 < moment < _NEAREST_NS:
        raise ConfigurationError(
            f"{name}={shorten(moment)} would be in the first months of 1970: are these seconds or "
            "milliseconds? Give a datetime with a zone, or nanoseconds since 1970 (time.time_ns())"
        )


_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
_NEAREST_NS = 10**16  # late April 1970; what is below is in another unit
_FARTHEST_NS = 10**21  # some 30,000 years
