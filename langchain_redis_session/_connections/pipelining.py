"""A connection on which many exchanges are under way at the same time.

redis-py makes it: it connects, shakes hands and parses. From then on this stands between its
transport and its stream: what goes out is written at once, and what comes in is parsed there and
then, in the loop's callback, without a task that reads.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Coroutine
from typing import Any

import redis

try:
    from hiredis import PushNotification
except ImportError:  # not there, or before hiredis 3.2
    PushNotification = ()  # type: ignore[assignment,misc]

_BUFFER_BYTES = 64 * 1024
_UNTOUCHED = 0xFF
"""What a buffer begins with until something is read into it; no text in UTF-8 has it."""
_HANDLERS = ("node_moving", "maintenance", "oss_cluster_maint")


def can_pipeline(connection_class: type) -> bool:
    """Whether this redis-py's connections have what is needed here."""
    return all(hasattr(connection_class, name) for name in ("_writer", "_parser"))


class _Exchange:
    """Commands under way."""

    __slots__ = ("count", "future", "replies")

    def __init__(self, future: asyncio.Future[list[Any]], count: int) -> None:
        self.future, self.count = future, count
        self.replies: list[Any] = []


class PipeliningConnection(asyncio.BufferedProtocol):
    """What drives a connection of redis-py's that is connected, and taken from its pool.

    The reply to come belongs to the exchange that waits longest; one whose caller has gone is
    read and thrown away. Where that order may be broken, by an exception of a signal's handler
    that landed in here or between here and the socket, all is: the connection is closed, and who
    waits is told. So it is after `socket_timeout` without the reply that comes next.

    Attributes:
        connection: redis-py's.
    """

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self._loop = asyncio.get_running_loop()
        self._timeout_s: float | None = connection.socket_timeout
        self._parser = connection._parser  # noqa: SLF001
        for name in _HANDLERS:  # of pushes, which are tasks' work; without them they are skipped
            if hasattr(self._parser, f"set_{name}_push_handler"):
                getattr(self._parser, f"set_{name}_push_handler")(None)
        self._parsing: Coroutine[Any, Any, Any] | None = None
        self._buffer = memoryview(bytearray(_BUFFER_BYTES))
        self._exchanges: deque[_Exchange] = deque()
        self._unsent: list[bytes] = []
        self._resumed: asyncio.Future[None] | None = None
        self._error: tuple[type[Exception], str] | None = None
        self._is_reading = False
        self._asked_s = 0.0
        self._next_look_s = 0.0
        self._look: asyncio.TimerHandle | None = None
        self._transport: Any = connection._writer.transport  # noqa: SLF001
        self._stream: Any = self._transport.get_protocol()
        self._transport.set_protocol(self)

    @property
    def is_open(self) -> bool:
        """Whether it can be used."""
        if self._error is None and self._has_lost():
            self.close(redis.ConnectionError, "reading was interrupted")
        return self._error is None

    def _has_lost(self) -> bool:
        """Whether something was read that has not arrived here; TLS may read in vain."""
        return self._is_reading and self._buffer[0] != _UNTOUCHED

    def exchange(self, packed: bytes, count: int) -> Awaitable[list[Any]]:
        """Send commands; gives their replies, among which the server's errors stand.

        Raises:
            ConnectionError: Of redis-py; they may have been carried out or not.
            TimeoutError: Likewise.
        """
        if self._resumed is None and self._error is None:
            return self._start(packed, count)
        return self._exchange_later(packed, count)

    async def _exchange_later(self, packed: bytes, count: int) -> list[Any]:
        while self._resumed is not None and self._error is None:
            await asyncio.wait([self._resumed])
        if self._error is not None:
            raise self._make_error()
        return await self._start(packed, count)

    def _start(self, packed: bytes, count: int) -> asyncio.Future[list[Any]]:
        future: asyncio.Future[list[Any]] = self._loop.create_future()
        try:
            exchanges = self._exchanges
            if exchanges:
                exchanges.append(_Exchange(future, count))
                if not self._unsent:
                    self._loop.call_soon(self._flush)
                self._unsent.append(packed)
            else:
                self._watch()
                exchanges.append(_Exchange(future, count))
                self._transport.write(packed)
        except BaseException:
            self.close(redis.ConnectionError, "sending was interrupted")
            raise
        return future

    def _flush(self) -> None:
        if not self._unsent or not self.is_open:
            return
        try:
            data = b"".join(self._unsent)
            self._unsent.clear()
            self._transport.write(data)
        except BaseException:
            self.close(redis.ConnectionError, "sending was interrupted")
            raise

    # What comes in

    def get_buffer(self, sizehint: int) -> memoryview:
        """As of `BufferedProtocol`."""
        if self._has_lost():
            self.close(redis.ConnectionError, "reading was interrupted")
        self._is_reading = True
        self._buffer[0] = _UNTOUCHED
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """As of `BufferedProtocol`."""
        try:
            self._stream.data_received(self._buffer[:nbytes])
            if self._error is None:
                self._take_replies()
            self._is_reading = False
        except (SystemExit, KeyboardInterrupt):
            self.close(redis.ConnectionError, "reading was interrupted")
            raise
        except BaseException as error:
            # The server's, which means the whole connection, or a signal's.
            kind = type(error) if isinstance(error, redis.ConnectionError) else None
            self.close(kind or redis.ConnectionError, str(error))
            if kind is None and not isinstance(error, redis.RedisError):
                raise

    def _take_replies(self) -> None:
        exchanges = self._exchanges
        while True:
            parsing = self._parsing
            if parsing is None:
                parsing = self._parser.read_response(disable_decoding=True)
                self._parsing = parsing
            try:
                parsing.send(None)  # no task: what it waits for is more of the stream
            except StopIteration as stop:
                reply = stop.value
            else:
                return
            self._parsing = None
            if isinstance(reply, PushNotification):
                continue
            exchange = exchanges[0]
            exchange.replies.append(reply)
            if len(exchange.replies) == exchange.count:
                if not exchange.future.done():
                    exchange.future.set_result(exchange.replies)
                exchanges.popleft()
                self._asked_s = self._loop.time()

    def eof_received(self) -> None:
        """As of `BufferedProtocol`."""
        self.close(redis.ConnectionError, "Connection closed by server.")

    def connection_lost(self, error: Exception | None) -> None:
        """As of `BufferedProtocol`."""
        self.close(redis.ConnectionError, str(error or "Connection closed by server."))
        self._stream.connection_lost(None)  # or somebody would have to ask it for the error

    # How much goes out

    def pause_writing(self) -> None:
        """As of `BufferedProtocol`: who comes now has to wait."""
        self._resumed = self._loop.create_future()

    def resume_writing(self) -> None:
        """As of `BufferedProtocol`."""
        resumed, self._resumed = self._resumed, None
        if resumed is not None:
            resumed.set_result(None)

    # How long it may take

    def _watch(self) -> None:
        """Look after whoever waits; the first one asks now."""
        if self._timeout_s is None:
            return
        self._asked_s = now_s = self._loop.time()
        if self._look is None or now_s > self._next_look_s:
            self._look_at(now_s + self._timeout_s)

    def _look_at(self, when_s: float) -> None:
        self._next_look_s = when_s
        self._look = self._loop.call_at(when_s, self._look_after)

    def _look_after(self) -> None:
        self._look = None
        if not self._exchanges or self._timeout_s is None:
            return
        end_s = self._asked_s + self._timeout_s
        if end_s > self._loop.time():
            self._look_at(end_s)
        else:
            self.close(redis.TimeoutError, "Timeout reading from the shared connection")

    # Its end

    def close(self, kind: type[Exception], reason: str) -> None:
        """Close it at once; who waits gets an error of this kind."""
        if self._error is None:
            self._error = kind, reason
        for exchange in self._exchanges:
            if not exchange.future.done():
                exchange.future.set_exception(self._make_error())
                exchange.future.exception()  # which nobody may ask for: its task may have ended
        self._exchanges.clear()
        self._unsent.clear()
        self.resume_writing()
        if not self._transport.is_closing():
            self._transport.abort()
        if self._look is not None:
            self._look.cancel()

    def _make_error(self) -> Exception:
        assert self._error is not None
        kind, reason = self._error
        return kind(reason)
