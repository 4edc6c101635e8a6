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

from langchain_redis_session._signals import find_interruption

T = TypeVar("T")
_RETRIES = 4
_IN_VAIN = (redis.AuthenticationError, AuthorizationError)
"""For redis-py these are errors of the connection, which it would make again."""


class _GiveUpError(Exception):
    """Is no error that retries know."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error


def _find_last(error: Exception) -> BaseException | None:
    """What ends the tries; None where trying again may help."""
    return error if isinstance(error, _IN_VAIN) else find_interruption(error)


def try_repeatedly(
    policy: Callable[..., Any], do: Callable[[], T], *args: Any, **options: Any
) -> T:
    """Try as often as a client's policy says; not again what is in vain, or what a signal ends.

    Args:
        policy: `call_with_retry` of redis-py.
        do: What to try.
        args: Further arguments of the policy.
        options: Likewise.
    """

    def try_once() -> T:
        try:
            return do()
        except Exception as error:
            if (last := _find_last(error)) is not None:
                raise _GiveUpError(last) from None
            raise

    try:
        result: T = policy(try_once, *args, **options)
        return result
    except _GiveUpError as given_up:
        error = given_up.error
    raise error


async def atry_repeatedly(
    policy: Callable[..., Awaitable[Any]],
    do: Callable[[], Awaitable[T]],
    *args: Any,
    **options: Any,
) -> T:
    """Likewise, of an async client."""

    async def try_once() -> T:
        try:
            return await do()
        except Exception as error:
            if (last := _find_last(error)) is not None:
                raise _GiveUpError(last) from None
            raise

    try:
        result: T = await policy(try_once, *args, **options)
        return result
    except _GiveUpError as given_up:
        error = given_up.error
    raise error


class _Retry(Retry):
    """Does so, too, where redis-py itself tries again: when it connects."""

    def call_with_retry(self, do: Callable[[], T], *args: Any, **options: Any) -> T:
        return try_repeatedly(super().call_with_retry, do, *args, **options)


class _AsyncRetry(AsyncRetry):
    """Likewise."""

    async def call_with_retry(
        self, do: Callable[[], Awaitable[T]], *args: Any, **options: Any
    ) -> T:
        return await atry_repeatedly(super().call_with_retry, do, *args, **options)


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
