"""Methods that follow what is appended to a session, as it comes."""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

from langchain_redis_session._operations.bounds import Moment, to_score
from langchain_redis_session._verbs.arguments import check_interval, check_key
from langchain_redis_session._verbs.reading import ReadMethods
from langchain_redis_session._verbs.runner import combine_hooks
from langchain_redis_session.callbacks import Handlers
from langchain_redis_session.models import Event, SessionKey


class FollowMethods(ReadMethods):
    """Follow a session."""

    def follow(
        self,
        key: SessionKey,
        after: Moment | None = None,
        *,
        poll_s: float = 0.5,
        callbacks: Handlers = None,
    ) -> Iterator[Event]:
        """Yield a session's events as they are appended, by whatever process; without an end.

        It asks Redis every `poll_s` seconds for what is behind the last event it yielded, and holds
        no connection in between. A session that does not exist yet is waited for.

        Args:
            key: The session.
            after: Where to begin: behind the event with this `Event.score`, or behind a time;
                0 = with the session's first event. None = with what comes from the first look on.
            poll_s: How many seconds to wait between two looks.
            callbacks: Hooks for each look, after the service's; a look is a `get_events`.

        Raises:
            BackendUnavailableError: Redis can't be reached. Follow again from the last event's
                score.

        Example:
            >>> from itertools import islice
            >>> from langchain_core.messages import HumanMessage
            >>> from langchain_redis_session import RedisSessionService
            >>> service = RedisSessionService("memory://")
            >>> key = service.create_session("shop", "ann").key
            >>> result = service.append_messages(key, [HumanMessage("One"), HumanMessage("Two")])
            >>> [event.message.text for event in islice(service.follow(key, after=0), 2)]
            ['One', 'Two']
        """
        place, interval_s = _Place(after), check_interval("poll_s", poll_s)
        hooks: Any = combine_hooks(self, callbacks)
        return self._follow(check_key(key), place, interval_s, hooks)

    def afollow(
        self,
        key: SessionKey,
        after: Moment | None = None,
        *,
        poll_s: float = 0.5,
        callbacks: Handlers = None,
    ) -> AsyncIterator[Event]:
        """Yield a session's events as they are appended, for `async for`; as `follow`."""
        place, interval_s = _Place(after), check_interval("poll_s", poll_s)
        hooks: Any = combine_hooks(self, callbacks)
        return self._afollow(check_key(key), place, interval_s, hooks)

    def _follow(
        self, key: SessionKey, place: "_Place", poll_s: float, callbacks: Handlers
    ) -> Iterator[Event]:
        while True:
            events = self.get_events(key, **place.bounds(), callbacks=callbacks)
            yield from place.pass_over(events)
            time.sleep(poll_s)

    async def _afollow(
        self, key: SessionKey, place: "_Place", poll_s: float, callbacks: Handlers
    ) -> AsyncIterator[Event]:
        while True:
            events = await self.aget_events(key, **place.bounds(), callbacks=callbacks)
            for event in place.pass_over(events):
                yield event
            await asyncio.sleep(poll_s)


class _Place:
    """How far a follower has come.

    Args:
        after: Behind what it begins; None = behind what there is at its first look.
    """

    def __init__(self, after: Moment | None) -> None:
        self._score = None if after is None else to_score(after, "after")

    def bounds(self) -> dict[str, Any]:
        """What the next look reads."""
        if self._score is None:
            return {"limit": 1}
        return {"after": math.nextafter(self._score, math.inf)} if self._score > 0 else {}

    def pass_over(self, events: Sequence[Event]) -> Sequence[Event]:
        """Take note of what was read, and give what of it is new."""
        is_first = self._score is None
        scores = [event.score for event in events if event.score is not None]
        self._score = max([self._score or 0.0, *scores])
        return [] if is_first else events
