"""Trying again where somebody else was faster."""

from __future__ import annotations

from dataclasses import dataclass

from langchain_redis_session.errors import BackendUnavailableError
from langchain_redis_session.models import SessionKey

_MOST = 100


@dataclass(slots=True, eq=False)
class Attempts:
    """The tries of something that is lost only to a change by somebody else.

    Args:
        key: The session.
        to: What is tried with it.

    >>> attempts = Attempts(SessionKey("shop", "ann", "s1"), "write to")
    >>> while True:
    ...     attempts.begin()
    Traceback (most recent call last):
    langchain_redis_session.errors.BackendUnavailableError: gave up after 100 tries to write to ...
    """

    key: SessionKey
    to: str
    begun: int = 0

    def begin(self) -> None:
        """Begin one.

        Raises:
            BackendUnavailableError: There were too many.
        """
        if self.begun == _MOST:
            raise BackendUnavailableError(
                f"gave up after {_MOST} tries to {self.to} {self.key}: others change it all the "
                "time; try again"
            )
        self.begun += 1
