"""Summaries: read, made of what came since the last one, stored where they go further."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from langchain_redis_session._flow import Call, Flow, call_script
from langchain_redis_session._hooks import Hooks
from langchain_redis_session._keys import SessionKeys, escape_glob
from langchain_redis_session._observation import observe
from langchain_redis_session._operations.context import Context
from langchain_redis_session._operations.reading import (
    Unsummarized,
    decode_summaries,
    get_unsummarized,
    parse_sound_record,
)
from langchain_redis_session._operations.windows import format_score, to_nanoseconds
from langchain_redis_session._summary_record import encode_summary, parse_summary
from langchain_redis_session._times import format_time
from langchain_redis_session._tracing import SPAN_CREATE_SUMMARY
from langchain_redis_session.callbacks import SummaryContext
from langchain_redis_session.errors import (
    BackendUnavailableError,
    RedisSessionError,
    SessionNotFoundError,
    SummaryError,
)
from langchain_redis_session.models import (
    Event,
    Session,
    SessionKey,
    Summary,
    SummaryBoundary,
    SummaryRequest,
)
from langchain_redis_session.summarizer import SessionSummarizer, SummaryResult

T = TypeVar("T")

_MOST_TRIES = 20
_LEASE_MARGIN_MS = 5_000
"""How much longer a lease holds than a summarizer may take."""
_LONGEST_PAUSE_MS = 250
# What LangChain's own summarizing code says in place of a summary.
_ERROR_TEXT = re.compile(
    r"(error generating summary\b"
    r"|previous conversation was too long to summarize\b"
    r"|no previous conversation history\b)",
    re.IGNORECASE,
)


class Limit(Protocol):
    """Runs a function for so many seconds at most."""

    def __call__(self, timeout_s: float, function: Callable[[], T], /) -> T: ...


class AsyncLimit(Protocol):
    """Awaits a coroutine for so many seconds at most."""

    async def __call__(
        self, timeout_s: float, function: Callable[[], Coroutine[Any, Any, T]], /
    ) -> T: ...


@dataclass(frozen=True, slots=True)
class Summarizing:
    """How a service makes its summaries.

    Attributes:
        pick: Gives the summarizer for a session; None where it is not to be summarized.
        minimum_events: There is no summary to make of fewer new events.
        is_async_only: Whether the sync verbs can't make any.
        limit: Runs a summarizer, for a time.
        alimit: Awaits one, for a time.
    """

    pick: Callable[[Session], SessionSummarizer | None]
    minimum_events: int
    is_async_only: bool
    limit: Limit
    alimit: AsyncLimit


@dataclass(frozen=True, slots=True)
class SummaryTask:
    """A summary that is to be made, if it is worth it.

    Attributes:
        key: The session.
        filter_key: The branch; "" = the whole session.
        force: Whether to make it whatever the trigger says.
    """

    key: SessionKey
    filter_key: str = ""
    force: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a task.

    Attributes:
        summary: The newest summary, if there is one.
        is_new: Whether the task has made it.
        busy_ms: Where another process is at this session: how long it may take.
    """

    summary: Summary | None
    is_new: bool = False
    busy_ms: int = 0


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is to be summarized, by whom."""

    summarizer: SessionSummarizer
    request: SummaryRequest
    boundary: SummaryBoundary


# Reading


def get_summary(context: Context, key: SessionKey, filter_key: str) -> Flow[Summary | None]:
    """Read the summary of a branch, else the whole session's."""
    keys = context.keyspace.session(key)
    found = yield from _read(context, keys, [filter_key, ""])
    return found.get(filter_key) or found.get("")


def list_summaries(context: Context, key: SessionKey) -> Flow[list[Summary]]:
    """Read all summaries of a session, the whole session's first."""
    keys = context.keyspace.session(key)
    start = keys.summary_field
    pattern = escape_glob(start.decode()) + "*"
    filter_keys: set[str] = set()
    cursor = -1
    while cursor:
        # Some clients give the fields as a dict, some as a list.
        cursor, fields = yield (
            "HSCAN", keys.summaries, max(0, cursor), "MATCH", pattern.encode(), "COUNT", 1000
        )  # fmt: skip
        cursor = int(cursor)
        names: Sequence[bytes] = list(fields) if isinstance(fields, Mapping) else fields[::2]
        filter_keys |= {name[len(start) :].decode("utf-8", "replace") for name in names}
    found = yield from _read(context, keys, sorted(filter_keys))
    return [found[filter_key] for filter_key in sorted(found)]


def _read(
    context: Context, keys: SessionKeys, filter_keys: Sequence[str]
) -> Flow[dict[str, Summary]]:
    fields = [keys.summary(filter_key) for filter_key in filter_keys]
    reply = yield from call_script(
        "get_summaries",
        [keys.sessions, keys.events, keys.summaries],
        [keys.session_field, *fields],
    )
    if not reply:
        return {}
    record, foreign, *values = reply
    parsed = parse_sound_record(context, keys.sessions, record)
    ours = dict(zip(filter_keys, values, strict=True))
    return decode_summaries(context, keys, parsed, ours, foreign)


# Making


def create_summary(
    context: Context, hooks: Hooks, summarizing: Summarizing, task: SummaryTask, token: str
) -> Flow[Outcome]:
    """Make a summary, and where it is of a branch, the whole session's; waits its turn.

    Raises:
        SessionNotFoundError: There is no such session.
        SummaryError: It could not be made; the last one stays.
    """
    outcome = yield from _wait_and_make(context, hooks, summarizing, task, token)
    whole = follow_up(context, task, outcome)
    if whole is not None:
        yield from _wait_and_make(context, hooks, summarizing, whole, token)
    return outcome


def follow_up(context: Context, task: SummaryTask, outcome: Outcome) -> SummaryTask | None:
    """What is to be made after a branch's summary: the whole session's."""
    if task.filter_key and outcome.is_new and context.options.cascade_full_session_summary:
        return SummaryTask(task.key, force=True)
    return None


def _wait_and_make(
    context: Context, hooks: Hooks, summarizing: Summarizing, task: SummaryTask, token: str
) -> Flow[Outcome]:
    waited_ms = 0
    while True:
        outcome = yield from make_summary(context, hooks, summarizing, task, token)
        if not outcome.busy_ms:
            return outcome
        if waited_ms > context.options.summary_job_timeout * 1000 + _LEASE_MARGIN_MS:
            raise SummaryError(
                f"others have been summarizing {task.key} all the time; try again later"
            )
        pause_ms = min(outcome.busy_ms, _LONGEST_PAUSE_MS)
        waited_ms += pause_ms
        yield _pause(pause_ms / 1000)


def _pause(seconds: float) -> Call:
    return Call(lambda: time.sleep(seconds), lambda: asyncio.sleep(seconds))


def make_summary(
    context: Context, hooks: Hooks, summarizing: Summarizing, task: SummaryTask, token: str
) -> Flow[Outcome]:
    """Make one summary, of as much as its summarizer takes.

    Args:
        context: Options and key names.
        hooks: What is called when there is one to be made.
        summarizing: How summaries are made.
        task: Which one.
        token: What the lease is held by; of this task only.

    Raises:
        SessionNotFoundError: There is no such session.
        SummaryError: It could not be made; the last one stays.
    """
    at_least = 1 if task.force else summarizing.minimum_events
    for _ in range(_MOST_TRIES):
        found = yield from get_unsummarized(context, task.key, task.filter_key, at_least=at_least)
        if found is None:
            raise SessionNotFoundError(f"there is no session {task.key} to summarize")
        session = found.session
        plan = yield from _plan(summarizing, task, session)
        if plan is None:
            return Outcome(session.summary)
        lease = _Lease(context, task, found, token)
        busy_ms = yield from lease.claim(plan.boundary)
        if busy_ms:
            return Outcome(session.summary, busy_ms=busy_ms)
        if busy_ms == 0:
            flow = _make_and_store(context, hooks, summarizing, plan, lease)
            if hooks.observers or context.tracing is not None:
                flow = observe(
                    context, hooks, SPAN_CREATE_SUMMARY, task.key, flow, describe=_describe
                )
            return (yield from flow)
    raise SummaryError(f"{task.key} changes all the time; its summary was not made")


def _plan(summarizing: Summarizing, task: SummaryTask, session: Session) -> Flow[_Plan | None]:
    """Let the summarizer say whether, and of which events; its parts may be the user's."""

    def plan() -> _Plan | None:
        summarizer = summarizing.pick(session) if session.events else None
        if summarizer is None or not (task.force or summarizer.should_summarize(session)):
            return None
        events = summarizer.choose_events(session)
        if not events:
            return None
        request = summarizer.make_request(session, events, task.filter_key)
        return _Plan(summarizer, request, _end_of(events))

    try:
        return (yield from _run(plan))
    except RedisSessionError:
        raise
    except Exception as error:
        raise SummaryError(
            f"what was to be summarized could not be chosen ({type(error).__name__}); see the "
            "cause: a trigger, a token counter, or the function that picks the summarizer"
        ) from error


def _end_of(events: Sequence[Event]) -> SummaryBoundary:
    last = events[-1]
    score = last.score or 0.0
    return SummaryBoundary(score, last.id, int(score))


def _describe(outcome: Outcome) -> dict[str, Any]:
    summary = outcome.summary
    assert summary is not None
    return {
        "filter_key": summary.filter_key,
        "characters": len(summary.text),
        "is_new": outcome.is_new,
    }


def _make_and_store(
    context: Context, hooks: Hooks, summarizing: Summarizing, plan: _Plan, lease: _Lease
) -> Flow[Outcome]:
    """Call the hooks and the summarizer, and store; whatever goes wrong, give the lease back."""
    task = lease.task
    call = SummaryContext(task.key, task.filter_key, plan.request, force=task.force)
    try:
        if hooks.of_summaries:
            call.input_tokens = yield from _count_tokens(task, plan)
        yield from hooks.start("summary", call)
        try:
            result = yield from _summarize(context, summarizing, plan.summarizer, call)
            call.text, call.usage = _check_text(result.text), result.usage
        except Exception as error:
            failure = _explain(task, error)
            yield from hooks.error("summary", call, error=failure)
            raise failure from failure.__cause__
        yield from hooks.end("summary", call)
        call.text = _check_text(call.text)
    except Exception:
        yield from lease.release()
        raise
    try:
        return (yield from lease.store(call.text, plan.boundary))
    except RedisSessionError as error:
        yield from hooks.error("summary", call, error=error)
        raise


def _count_tokens(task: SummaryTask, plan: _Plan) -> Flow[int]:
    try:
        return (yield from _run(lambda: plan.summarizer.count_input_tokens(plan.request)))
    except Exception as error:
        raise _explain(task, error) from error


def _summarize(
    context: Context, summarizing: Summarizing, summarizer: SessionSummarizer, call: SummaryContext
) -> Flow[SummaryResult]:
    timeout_s, request = context.options.summary_job_timeout, call.request
    started_s = time.perf_counter()
    result: SummaryResult = yield Call(
        lambda: summarizing.limit(timeout_s, lambda: summarizer.summarize(request)),
        lambda: summarizing.alimit(timeout_s, lambda: summarizer.asummarize(request)),
    )
    call.duration_ms = (time.perf_counter() - started_s) * 1000
    return result


def _run(function: Callable[[], T]) -> Flow[T]:
    """Call code that may take its time, off the event loop."""
    return (yield Call(function, lambda: asyncio.to_thread(function)))  # type: ignore[no-any-return]


def _explain(task: SummaryTask, error: Exception) -> SummaryError:
    if isinstance(error, SummaryError):
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


class _Lease:
    """The right to summarize a session, which one process has at a time."""

    def __init__(
        self, context: Context, task: SummaryTask, found: Unsummarized, token: str
    ) -> None:
        self.context, self.task, self.token = context, task, token
        self._found = found
        self.keys = context.keyspace.session(task.key)
        self._field = self.keys.summary(task.filter_key)
        self._script_keys = [
            self.keys.sessions,
            self.keys.events,
            self.keys.summaries,
            self.keys.summary_lease,
        ]

    def claim(self, boundary: SummaryBoundary) -> Flow[int | None]:
        """Take it; gives 0, the ms for which another has it, or None: read again.

        Raises:
            SummaryError: There is no place for a summary.
        """
        lease_ms = round(self.context.options.summary_job_timeout * 1000) + _LEASE_MARGIN_MS
        status, *reply = yield from call_script(
            "claim_summary",
            self._script_keys,
            [
                self.keys.session_field,
                self._field,
                self.token,
                lease_ms,
                self._found.created_text,
                self._found.cutoff,
                format_score(boundary.cutoff_score),
            ],
        )
        if status == b"BUSY":
            left_ms = int(reply[0])
            return left_ms if left_ms > 0 else _LONGEST_PAUSE_MS  # without a TTL it is not ours
        if status == b"FOREIGN":
            raise self._explain_foreign()
        return 0 if status == b"OK" else None

    def store(self, text: str, boundary: SummaryBoundary) -> Flow[Outcome]:
        """Store the summary, unless one that goes as far is there; gives the lease back.

        Raises:
            SummaryError: The session was cleared or deleted meanwhile.
        """
        filter_key, score = self.task.filter_key, format_score(boundary.cutoff_score)
        parts = encode_summary(text, filter_key, boundary, score)
        status, *reply = yield from call_script(
            "put_summary",
            self._script_keys,
            [
                self.keys.session_field,
                self._field,
                self.token,
                self._found.created_text,
                parts.head,
                parts.tail,
                score,
                self.context.field_ttl_flag,
                format_time(to_nanoseconds(self._found.session.created_at)),
                self._found.idle_cutoff,
            ],
        )
        if status == b"OK":
            value, field_ttl = reply
            self.context.note_field_ttl(field_ttl)
            return Outcome(parse_summary(value, filter_key), is_new=True)
        if status == b"FURTHER":
            # Ours, if it is the reply to a first try that got lost.
            (value,) = reply
            is_ours = value.startswith(parts.head) and value.endswith(parts.tail)
            return Outcome(parse_summary(value, filter_key), is_new=is_ours)
        if status == b"FOREIGN":
            raise self._explain_foreign()
        raise SummaryError(
            f"{self.task.key} was cleared, deleted or summarized by somebody else while its "
            "summary was made, which is not stored"
        )

    def _explain_foreign(self) -> SummaryError:
        field, key = self._field.decode(), self.keys.summaries.decode()
        return SummaryError(
            f"another program's value stands where the summary of {self.task.key} belongs, in "
            f"field {field!r} of {key!r}; use another session id, or remove it if nobody needs it"
        )

    def release(self) -> Flow[None]:
        """Give it back unused; where Redis is away, it runs out."""
        try:
            yield from call_script("release_summary", [self.keys.summary_lease], [self.token])
        except BackendUnavailableError:
            return
