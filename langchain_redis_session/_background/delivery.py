"""Bringing the jobs of several sessions to Redis in one round trip."""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from langchain_redis_session._background.jobs import Job, Outcome, write_jobs
from langchain_redis_session._flow.drivers import RunFlow
from langchain_redis_session._flow.gather import gather
from langchain_redis_session._flow.requests import Flow, T
from langchain_redis_session._logs import logger
from langchain_redis_session._operations.context import Context
from langchain_redis_session.errors import (
    BackendUnavailableError,
    PersistError,
    RedisSessionError,
)
from langchain_redis_session.models import SessionKey

_MOST_CALLS = 200
"""For a session, in one turn: then the others come again."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """How jobs get into Redis.

    Attributes:
        context: Options and key names.
        run_flow: Brings flows to Redis.
    """

    context: Context
    run_flow: RunFlow

    def deliver(self, ready: Mapping[SessionKey, Sequence[Job]]) -> list[Outcome]:
        """Write jobs.

        Returns:
            What became of those that were tried; the others wait for the next turn.
        """
        flows = [write_jobs(self.context, key, jobs, _MOST_CALLS) for key, jobs in ready.items()]
        try:
            replies = self.run_flow(gather(flows) if len(flows) > 1 else _alone(flows[0]))
        except BackendUnavailableError as error:
            return [Outcome(jobs, error) for jobs in ready.values()]
        except Exception as error:  # ours to find: it must not stop the worker
            return self._deliver_singly(ready, error)
        outcomes: list[Outcome] = []
        for jobs, reply in zip(ready.values(), replies, strict=True):
            if isinstance(reply, RedisSessionError):
                outcomes.append(Outcome(jobs[:1], reply))
            else:
                outcomes += reply
        return outcomes

    def _deliver_singly(
        self, ready: Mapping[SessionKey, Sequence[Job]], error: Exception
    ) -> list[Outcome]:
        """After an error nobody expected: find the job that it comes from."""
        parts: list[Mapping[SessionKey, Sequence[Job]]]
        if len(ready) == 1:
            ((key, jobs),) = ready.items()
            if len(jobs) == 1:
                return [Outcome(jobs, _wrap(error))]
            parts = [{key: [job]} for job in jobs]
        else:
            parts = [{key: jobs} for key, jobs in ready.items()]
        outcomes: list[Outcome] = []
        for part in parts:
            outcomes += self.deliver(part)
            if len(ready) == 1 and not outcomes[-1].is_final:
                break  # those behind it must not overtake
        return outcomes


def _wrap(error: Exception) -> PersistError:
    # Where, and not what it says: that may quote what was to be stored.
    where = "".join(traceback.format_tb(error.__traceback__))
    logger.error("write-behind failed unexpectedly: %s\n%s", type(error).__name__, where)
    wrapped = PersistError(f"write-behind failed unexpectedly: {error!r}")
    wrapped.__cause__ = error
    return wrapped


def _alone(flow: Flow[T]) -> Flow[list[T | RedisSessionError]]:
    return [(yield from flow)]
