"""Making a summary: whether it is due, of what, by whom, and the hooks around it."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from langchain_redis_session._actions.context import ActionContext
from langchain_redis_session._actions.observed import observe
from langchain_redis_session._actions.summarizing import Summarizing
from langchain_redis_session._actions.time_limit import acall_within, call_within
from langchain_redis_session._flow.requests import Call, Flow
from langchain_redis_session._hooks.hooks import Hooks
from langchain_redis_session._observe.operations import CREATE_SUMMARY
from langchain_redis_session._operations.attempts import Attempts
from langchain_redis_session._operations.bounds import format_score
from langchain_redis_session._operations.matching import is_system
from langchain_redis_session._operations.reading import get_unsummarized
from langchain_redis_session._operations.summaries import SummaryOutcome, SummaryTask
from langchain_redis_session._operations.summary_lease import (
    LEASE_MARGIN_MS,
    LONGEST_PAUSE_MS,
    SummaryLease,
)
from langchain_redis_session.callbacks import SummaryContext
from langchain_redis_session.errors import (
    ConfigurationError,
    RedisSessionError,
    SessionNotFoundError,
    SummaryError,
)
from langchain_redis_session.models import (
    Event,
    Session,
    SummaryBoundary,
    SummaryRequest,
)
from langchain_redis_session.scripts.replies import Status
from langchain_redis_session.summarizer import SessionSummarizer, SummaryResult

T = TypeVar("T")

# What LangChain's own summarizing code says in place of a summary.
_ERROR_TEXT = re.compile(
    r"(error generating summary\b"
    r"|previous conversation was too long to summarize\b"
    r"|no previous conversation history\b)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is to be summarized, by whom."""

    summarizer: SessionSummarizer
    request: SummaryRequest
    boundary: SummaryBoundary
    system_scores: Sequence[str]


class SummaryMaker:
    """Makes the summaries of one service.

    Args:
        actions: Options, key names, hooks and tracing.
        summarizing: Which summarizer to use.
    """

    def __init__(self, actions: ActionContext, summarizing: Summarizing) -> None:
        self.summarizing = summarizing
        self.hooks = actions.hooks
        self._context, self._tracing = actions.context, actions.tracing

    def create(self, task: SummaryTask, token: str, hooks: Hooks) -> Flow[SummaryOutcome]:
        """Make a summary, and where it is of a filter key, the whole session's; waits its turn.

        Args:
            task: Which one.
            token: What the lease is held by; of this task only.
            hooks: What is called when there is one to be made.

        Raises:
            SessionNotFoundError: There is no such session.
            SummaryError: It could not be made; the last one stays.
        """
        outcome = yield from self._wait_and_make(task, token, hooks)
        whole = self.follow_up(task, outcome)
        if whole is not None:
            yield from self._wait_and_make(whole, token, hooks)
        return outcome

    def follow_up(self, task: SummaryTask, outcome: SummaryOutcome) -> SummaryTask | None:
        """What is to be made after a filter key's summary: the whole session's."""
        cascades = self._context.options.cascade_full_session_summary
        if task.filter_key and outcome.is_new and cascades:
            return SummaryTask(task.key, force=True)
        return None

    def _wait_and_make(self, task: SummaryTask, token: str, hooks: Hooks) -> Flow[SummaryOutcome]:
        waited_ms = 0
        longest_ms = self._context.options.summary_job_timeout * 1000 + LEASE_MARGIN_MS
        while True:
            outcome = yield from self.make(task, token, hooks)
            if not outcome.busy_ms:
                return outcome
            if waited_ms > longest_ms:
                raise SummaryError(
                    f"others have been summarizing {task.key} all the time; try again later"
                )
            pause_ms = min(outcome.busy_ms, LONGEST_PAUSE_MS)
            waited_ms += pause_ms
            yield _pause(pause_ms / 1000)

    def make(self, task: SummaryTask, token: str, hooks: Hooks) -> Flow[SummaryOutcome]:
        """Make one summary, of as much as its summarizer takes; arguments as `create`."""
        at_least = 1 if task.force else self.summarizing.minimum_events
        attempts = Attempts(task.key, "summarize")
        while True:
            attempts.begin()
            found = yield from get_unsummarized(
                self._context, task.key, task.filter_key, at_least=at_least
            )
            if found is None:
                raise SessionNotFoundError(
                    f"there is no session {task.key} to summarize; append messages first"
                )
            session = found.session
            plan = yield from self._plan(task, session)
            if plan is None:
                return SummaryOutcome(session.summary)
            lease = SummaryLease(self._context, task, found, token)
            claim = yield from lease.claim(plan.boundary)
            if claim.status is Status.BUSY:
                return SummaryOutcome(session.summary, busy_ms=claim.left_ms)
            if claim.status is Status.OK:
                flow = self._make_and_store(plan, lease, hooks)
                if hooks.observers or self._tracing is not None:
                    flow = observe(
                        self._tracing,
                        hooks,
                        CREATE_SUMMARY,
                        task.key,
                        flow,
                        describe=_describe,
                    )
                return (yield from flow)

    def _plan(self, task: SummaryTask, session: Session) -> Flow[_Plan | None]:
        """Let the summarizer say whether, and of which events; its parts may be the user's."""
        pick = self.summarizing.pick

        def plan() -> _Plan | None:
            summarizer = pick(session) if session.events else None
            if summarizer is None or not (task.force or summarizer.should_summarize(session)):
                return None
            events = summarizer.choose_events(session)
            if not events:
                return None
            request = summarizer.make_request(session, events, task.filter_key)
            return _Plan(summarizer, request, _end_of(events), _list_system_scores(events))

        try:
            return (yield from _run(plan))
        except RedisSessionError:
            raise
        except Exception as error:
            raise SummaryError(
                f"what was to be summarized could not be chosen ({type(error).__name__}); see "
                "the cause: a trigger, a token counter, or the function that picks the summarizer"
            ) from error

    def _make_and_store(
        self, plan: _Plan, lease: SummaryLease, hooks: Hooks
    ) -> Flow[SummaryOutcome]:
        """Call the hooks and the summarizer, and store; in any trouble, give the lease back."""
        task = lease.task
        call = SummaryContext(task.key, task.filter_key, plan.request, force=task.force)
        try:
            if hooks.of_summaries:
                call.input_tokens = yield from _count_tokens(task, plan)
            yield from hooks.start("create_summary", call)
            try:
                result = yield from self._summarize(plan.summarizer, call)
                call.text, call.usage = _check_text(result.text), result.usage
            except Exception as error:
                failure = _explain(task, error)
                yield from hooks.error("create_summary", call, error=failure)
                raise failure from failure.__cause__
            yield from hooks.end("create_summary", call)
            call.text = _check_text(call.text)
        except Exception:
            yield from lease.release()
            raise
        try:
            return (yield from lease.store(call.text, plan.boundary, plan.system_scores))
        except RedisSessionError as error:
            yield from hooks.error("create_summary", call, error=error)
            raise

    def _summarize(
        self, summarizer: SessionSummarizer, call: SummaryContext
    ) -> Flow[SummaryResult]:
        timeout_s, request = self._context.options.summary_job_timeout, call.request
        started_s = time.perf_counter()
        result: SummaryResult = yield Call(
            lambda: call_within(timeout_s, lambda: summarizer.summarize(request)),
            lambda: acall_within(timeout_s, lambda: summarizer.asummarize(request)),
        )
        call.duration_ms = (time.perf_counter() - started_s) * 1000
        return result


def _pause(seconds: float) -> Call:
    return Call(lambda: time.sleep(seconds), lambda: asyncio.sleep(seconds))


def _end_of(events: Sequence[Event]) -> SummaryBoundary:
    last = events[-1]
    score = last.score or 0.0
    return SummaryBoundary(score, last.id, int(score))


def _list_system_scores(events: Iterable[Event]) -> list[str]:
    return [format_score(event.score or 0.0) for event in events if is_system(event)]


def _describe(outcome: SummaryOutcome) -> dict[str, Any]:
    summary = outcome.summary
    assert summary is not None
    return {
        "filter_key": summary.filter_key,
        "characters": len(summary.text),
        "is_new": outcome.is_new,
    }


def _count_tokens(task: SummaryTask, plan: _Plan) -> Flow[int]:
    try:
        return (yield from _run(lambda: plan.summarizer.count_input_tokens(plan.request)))
    except Exception as error:
        raise _explain(task, error) from error


def _run(function: Callable[[], T]) -> Flow[T]:
    """Call code that may take its time, off the event loop."""
    return (yield Call(function, lambda: asyncio.to_thread(function)))  # type: ignore[no-any-return]


def _explain(task: SummaryTask, error: Exception) -> RedisSessionError:
    if isinstance(error, (SummaryError, ConfigurationError)):
        return error
    reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    hint = "; raise summary_job_timeout" if isinstance(error, TimeoutError) else ""
    failure = SummaryError(f"{task.key} was not summarized, its last summary stays: {reason}{hint}")
    failure.__cause__ = error
    return failure


def _check_text(text: str) -> str:
    text = text.strip()
    if not text:
        raise SummaryError("the summarizer gave an empty text; the last summary stays")
    if _ERROR_TEXT.match(text):
        raise SummaryError("the summarizer gave an error's text; the last summary stays")
    return text
