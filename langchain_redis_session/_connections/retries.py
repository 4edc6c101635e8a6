"""How often the clients made here try: again after a lost connection, once where it is in vain.

Every write may be sent twice, so a lost connection is no reason to bother the caller.
"""

from __future__ import annotations

import copy
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import redis
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import ExponentialBackoff
from redis.exceptions import AuthorizationError
from redis.retry import Retry

T = TypeVar("T")
_RETRIES = 4
_IN_VAIN = (redis.AuthenticationError, AuthorizationError)
"""For redis-py these are errors of the connection, which it would make again."""


class _GiveUpError(Exception):
    """Is no error that retries know."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error


class _Retry(Retry):
    """Doesn't send a wrong password again."""

    def call_with_retry(self, do: Callable[[], T], *args: Any, **options: Any) -> T:
        def try_once() -> T:
            try:
                return do()
            except _IN_VAIN as error:
                raise _GiveUpError(error) from None

        try:
            return super().call_with_retry(try_once, *args, **options)
        except _GiveUpError as given_up:
            error = given_up.error
        raise error


class _AsyncRetry(AsyncRetry):
    """Doesn't send a wrong password again."""

    async def call_with_retry(
        self, do: Callable[[], Awaitable[T]], *args: Any, **options: Any
    ) -> T:
        async def try_once() -> T:
            try:
                return await do()
            except _IN_VAIN as error:
                raise _GiveUpError(error) from None

        try:
            return await super().call_with_retry(try_once, *args, **options)
        except _GiveUpError as given_up:
            error = given_up.error
        raise error


def make_retry(retries: int = _RETRIES) -> Retry:
    """Make what decides how often to try again."""
    return _Retry(ExponentialBackoff(cap=0.5, base=0.02), retries)


def add_retries(options: dict[str, Any]) -> dict[str, Any]:
    """Give the options of clients, with retries unless there are others."""
    return {
        "retry": make_retry(),
        # Before redis-py 6, `retry` alone was for connecting only.
        "retry_on_error": [redis.ConnectionError, redis.TimeoutError],
        **options,
    }


def to_async_retry(retry: Any) -> AsyncRetry:
    """Make the same for an async client."""
    # A backoff may count, so each has its own. The errors worth a retry stand in
    # `retry_on_error`, and by default are redis.asyncio's.
    make = _AsyncRetry if isinstance(retry, _Retry) else AsyncRetry
    return make(copy.copy(retry._backoff), retry._retries)  # noqa: SLF001
