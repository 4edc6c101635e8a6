"""Callback handlers that keep what an agent did as a track of its session.

`runs.read_runs` makes a tree of such a track again.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler
from typing_extensions import Self

from langchain_redis_session._connections.checks import tell_of_client
from langchain_redis_session._flow.drivers import arun, run
from langchain_redis_session._flow.requests import Call, Flow
from langchain_redis_session._logs import logger
from langchain_redis_session._runs.outbox import Flight
from langchain_redis_session._runs.recorder import Due, Recorder
from langchain_redis_session._verbs.arguments import check_flags, check_key
from langchain_redis_session.adapters._sharing import check_service
from langchain_redis_session.config import refuse_unknown
from langchain_redis_session.errors import (
    BackendUnavailableError,
    ConfigurationError,
    EventTooLargeError,
    SessionNotFoundError,
    StateTooLargeError,
    UnserializableMessageError,
    shorten,
)
from langchain_redis_session.models import SessionKey, TrackEvent, validate_id
from langchain_redis_session.service import RedisSessionService

_Note: TypeAlias = Callable[..., "Due | None"]
_UNSTORABLE = (EventTooLargeError, StateTooLargeError, UnserializableMessageError)


def _noted(note: _Note) -> Callable[..., Any]:
    """Make the method of a handler that notes an event."""

    def on_event(self: TrackCallbackHandler, *args: Any, **kwargs: Any) -> None:
        due = note(self._recorder, *args, **kwargs)
        if due is not None:
            self._write_due(due)

    return on_event


def _anoted(note: _Note) -> Callable[..., Any]:
    """Make the awaitable method of a handler that notes an event."""

    async def on_event(self: AsyncTrackCallbackHandler, *args: Any, **kwargs: Any) -> None:
        due = note(self._recorder, *args, **kwargs)
        if due is not None:
            await self._write_due(due)

    return on_event


class _Tracking:
    """What both handlers are: a recorder, and how its events get into the track."""

    @refuse_unknown(tell_of_client)
    def __init__(
        self,
        service: RedisSessionService,
        key: SessionKey,
        track: str = "runs",
        *,
        inputs: bool = False,
        outputs: bool = False,
        max_chars: int | None = 2000,
        batch_size: int = 50,
        max_waiting: int = 5000,
    ) -> None:
        super().__init__()
        self.service = check_service(service)
        self.key = check_key(key)
        check_flags(inputs=inputs, outputs=outputs)
        sizes = {"max_chars": max_chars, "batch_size": batch_size, "max_waiting": max_waiting}
        for name, size in sizes.items():
            if size is None and name == "max_chars":
                continue
            if type(size) is not int or size < 1:
                raise ConfigurationError(f"{name} must be an integer above 0, not {shorten(size)}")
        self.track = validate_id(track, "track")
        self._recorder = Recorder(
            track,
            inputs=inputs,
            outputs=outputs,
            max_chars=max_chars,
            batch_size=batch_size,
            max_waiting=max_waiting,
        )
        self._outbox = self._recorder.outbox
        # Write-behind takes an append to a session that is not there, and fails later.
        self._must_create = service.stats().persist is not None

    @property
    def dropped(self) -> int:
        """How many events were given up: the oldest of too many, or such as can't be stored."""
        return self._outbox.dropped

    @property
    def waiting(self) -> int:
        """How many events are not written yet."""
        return self._outbox.waiting

    def _write(
        self, upto: int, owner: object, may_wait_for: Callable[[object], bool]
    ) -> Flow[bool]:
        """Write what there is; arguments as `Outbox.claim`.

        Returns:
            Whether it went well.
        """
        while (claimed := self._outbox.claim(upto, owner, may_wait_for)) is not None:
            if isinstance(claimed, Flight):
                if not (yield Call(claimed.result, partial(asyncio.wrap_future, claimed))):
                    return False
                continue
            arrived = False
            try:
                yield from self._append(claimed)
                arrived = True
            except Exception as error:
                self._report(error, len(claimed))
            finally:  # also where the task is cancelled in the middle
                self._outbox.settle(claimed, arrived=arrived)
            if not arrived:
                return False
        return True

    def _append(self, batch: list[TrackEvent]) -> Flow[None]:
        service, key, ids = self.service, self.key, self.key.scope
        create = Call(partial(service.create_session, *ids), partial(service.acreate_session, *ids))
        append = Call(
            partial(service.append_track_events, key, self.track, batch),
            partial(service.aappend_track_events, key, self.track, batch),
        )
        if self._must_create:
            yield create
            self._must_create = False
        try:
            yield append
        except SessionNotFoundError:
            yield create
            yield append
        except _UNSTORABLE as error:
            if len(batch) > 1:  # the others can be stored
                for event in batch:
                    yield from self._append([event])
                return
            self._outbox.drop(1)
            logger.warning(
                "an event of a track of runs can't be stored and is dropped: %s",
                type(error).__name__,
            )

    def _report(self, error: Exception, count: int) -> None:
        # Only the texts of these are known to quote nothing of what was to be stored.
        reason = f": {error}" if isinstance(error, BackendUnavailableError) else ""
        logger.warning(
            "%d event(s) of a track of runs could not be written and wait for the next try "
            "(%d dropped so far): %s%s",
            count,
            self._outbox.dropped,
            type(error).__name__,
            reason,
        )


class TrackCallbackHandler(_Tracking, BaseCallbackHandler):
    """Keeps a run's chains, models, tools and retrievers as a track of a session.

    Pass it to any LangChain run as a callback. It keeps who called whom, when, for how long,
    the tokens used and the errors; inputs and outputs only if asked to. `read_runs` makes a
    tree of the track again, which Jupyter shows as a picture.

    It is cheap: events are gathered, and written in one round trip when the outermost run has
    ended, when `batch_size` have piled up, and by `flush`. It breaks no run: what can't be
    written is logged and kept for the next try. A session that does not exist is created.

    Works in synchronous and asynchronous runs. In asynchronous ones it does no I/O in the
    event loop: a thread writes, soon after the run has ended, so call `aflush` before you
    read the track. `AsyncTrackCallbackHandler` has written when `ainvoke` returns, by the
    async client, and is the better one in purely asynchronous code.

    Args:
        service: Where the session is.
        key: The session. Make a handler for each; that costs nothing.
        track: The track's name.
        inputs: Whether to keep what runs were given.
        outputs: Whether to keep what runs returned.
        max_chars: The most characters of one input, output or error; None = all.
        batch_size: Write when so many events have piled up.
        max_waiting: Keep so many events while Redis can't be reached, then drop the oldest.

    Example:
        >>> from langchain_core.runnables import RunnableLambda
        >>> from langchain_redis_session import RedisSessionService, SessionKey, read_runs
        >>> service, key = RedisSessionService("memory://"), SessionKey("shop", "ann", "s1")
        >>> handler = TrackCallbackHandler(service, key)
        >>> double = RunnableLambda(lambda x: 2 * x, name="double")
        >>> double.invoke(21, {"callbacks": [handler]})
        42
        >>> [run.name for run in read_runs(service.get_track_events(key, "runs"))]
        ['double']
    """

    run_inline = True  # else LangChain takes every event to a thread, and back
    raise_error = False

    on_chain_start = _noted(Recorder.chain_start)
    on_chain_end = _noted(Recorder.end)
    on_chain_error = _noted(Recorder.error)
    on_chat_model_start = _noted(Recorder.model_start)
    on_llm_start = _noted(Recorder.model_start)
    on_llm_end = _noted(Recorder.model_end)
    on_llm_error = _noted(Recorder.error)
    on_tool_start = _noted(Recorder.tool_start)
    on_tool_end = _noted(Recorder.tool_end)
    on_tool_error = _noted(Recorder.error)
    on_retriever_start = _noted(Recorder.retriever_start)
    on_retriever_end = _noted(Recorder.end)
    on_retriever_error = _noted(Recorder.error)

    def flush(self) -> bool:
        """Write what waits, now.

        Returns:
            Whether all of it is written.
        """
        return self._write_now(self._outbox.added)

    async def aflush(self) -> bool:
        """Write what waits, without blocking the event loop; as `flush`."""
        return await asyncio.get_running_loop().run_in_executor(None, self.flush)

    def _write_due(self, due: Due) -> None:
        if self._outbox.is_pausing:
            return
        if due.may_block:
            self._write_now(due.upto)
        elif self._outbox.tend(due.upto):
            # No daemon: the end of the program waits for it.
            threading.Thread(target=self._write_behind, name="redis-session-runs").start()

    def _write_behind(self) -> None:
        while True:
            arrived = self._write_now(0)
            if self._outbox.leave(failed=not arrived):
                return

    def _write_now(self, upto: int) -> bool:
        me = threading.get_ident()
        # It is this thread's own where the garbage collector ends a stream in mid-write.
        return run(self._write(upto, me, lambda owner: owner != me), None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.flush()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aflush()


class AsyncTrackCallbackHandler(_Tracking, AsyncCallbackHandler):
    """`TrackCallbackHandler` for asynchronous code; takes the same arguments.

    On Python 3.10, where tasks don't inherit LangChain's callbacks, an agent's models are
    missing in asynchronous runs, with either handler.

    When `ainvoke` returns or `astream` has ended, the track is written, by the service's
    async client. In synchronous runs it works too, but LangChain then makes an event loop for
    each event: take `TrackCallbackHandler` there.

    Example:
        >>> import asyncio
        >>> from langchain_core.runnables import RunnableLambda
        >>> from langchain_redis_session import RedisSessionService, SessionKey, read_runs
        >>> async def main():
        ...     async with RedisSessionService("memory://") as service:
        ...         key = SessionKey("shop", "bob", "s1")
        ...         handler = AsyncTrackCallbackHandler(service, key)
        ...         double = RunnableLambda(lambda x: 2 * x, name="double")
        ...         await double.ainvoke(21, {"callbacks": [handler]})
        ...         return read_runs(await service.aget_track_events(key, "runs"))
        >>> [run.name for run in asyncio.run(main())]
        ['double']
    """

    raise_error = False

    on_chain_start = _anoted(Recorder.chain_start)
    on_chain_end = _anoted(Recorder.end)
    on_chain_error = _anoted(Recorder.error)
    on_chat_model_start = _anoted(Recorder.model_start)
    on_llm_start = _anoted(Recorder.model_start)
    on_llm_end = _anoted(Recorder.model_end)
    on_llm_error = _anoted(Recorder.error)
    on_tool_start = _anoted(Recorder.tool_start)
    on_tool_end = _anoted(Recorder.tool_end)
    on_tool_error = _anoted(Recorder.error)
    on_retriever_start = _anoted(Recorder.retriever_start)
    on_retriever_end = _anoted(Recorder.end)
    on_retriever_error = _anoted(Recorder.error)

    async def aflush(self) -> bool:
        """Write what waits, now.

        Returns:
            Whether all of it is written.
        """
        return await self._write_now(self._outbox.added, wait=True)

    async def _write_due(self, due: Due) -> None:
        if not self._outbox.is_pausing:
            await self._write_now(due.upto, wait=False)

    async def _write_now(self, upto: int, *, wait: bool) -> bool:
        loop = asyncio.get_running_loop()
        # Another loop may be blocked by the synchronous run that this event is of.
        return await arun(self._write(upto, loop, lambda owner: wait or owner is loop), None)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aflush()
