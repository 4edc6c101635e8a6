"""Verbs on summaries, and the read that begins with one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from langchain_redis_session._background.summary_workers import SummaryWorkers
from langchain_redis_session._background.time_limit import acall_within, call_within
from langchain_redis_session._flow import Call, Flow
from langchain_redis_session._operations import reading, summaries
from langchain_redis_session._operations.reading import is_in_branch
from langchain_redis_session._operations.summaries import Summarizing, SummaryTask
from langchain_redis_session._operations.windows import make_bounds
from langchain_redis_session._tracing import SPAN_GET_SUMMARY
from langchain_redis_session._verbs import hooked
from langchain_redis_session._verbs.base import (
    FlowRunner,
    async_verb,
    check_key,
    scope_of,
    sync_verb,
)
from langchain_redis_session.callbacks import GetSessionContext, Handlers
from langchain_redis_session.config import ServiceOptions, check_filter_key
from langchain_redis_session.errors import ConfigurationError, shorten
from langchain_redis_session.models import (
    Session,
    SessionKey,
    SummarizedMessages,
    Summary,
    new_id,
)
from langchain_redis_session.summarizer import (
    SessionSummarizer,
    to_summarizer,
)


class SummaryVerbs(FlowRunner):
    """Make summaries and read them."""

    _summarizing: Summarizing | None
    _summary_workers: SummaryWorkers | None

    def _create_summary(
        self,
        key: SessionKey,
        filter_key: str = "",
        force: bool = False,
        *,
        callbacks: Handlers = None,
    ) -> Flow[Summary | None]:
        """Summarize a session now, if its summarizer finds it worth it.

        Only what came after the last summary is read and sent, with the last summary; as
        much of it as fits the summarizer's `max_input_tokens`. Where another process is at
        the session, it waits for its turn.

        Args:
            key: The session.
            filter_key: The branch of events ("app/tools" has those of "app/tools/search"
                too); "" = the whole session, which follows a branch unless
                `cascade_full_session_summary=False`.
            force: Whether to go past the trigger.
            callbacks: Further hooks and handlers, for this call.

        Returns:
            The newest summary, made now or before; None if there is none.

        Raises:
            ConfigurationError: The service has no `summarizer`, or the branch is not in
                `summary_filter_allowlist`.
            EventRejectedError: A hook refused it.
            SessionNotFoundError: There is no such session.
            SummaryError: The summarizer failed, took longer than `summary_job_timeout`, or
                gave nothing. The last summary stays.
        """
        summarizing, task = self._make_task(key, filter_key, force)
        hooks = self._hooks_with(callbacks)
        flow = summaries.create_summary(self._context, hooks, summarizing, task, new_id())
        return _take_summary(self._settled(scope_of(key), flow))

    create_summary = sync_verb(_create_summary)
    acreate_summary = async_verb(_create_summary)

    def _enqueue_summary(
        self, key: SessionKey, filter_key: str = "", force: bool = False
    ) -> Flow[None]:
        """Let a background worker do what `create_summary` does; arguments as there.

        With a summarizer, `append_messages` does this by itself (`auto_summarize`). `flush`
        waits for it; what goes wrong is logged and counted in `stats().summaries`. If
        `summary_queue_size` jobs wait, this one runs in the caller.
        """
        _, task = self._make_task(key, filter_key, force)
        workers = self._summary_workers
        if workers is None:
            raise ConfigurationError(
                "there are no background workers where the summarizer, a summary hook or the "
                "client is asynchronous only; use acreate_summary"
            )
        return _ask(workers, [task])

    enqueue_summary = sync_verb(_enqueue_summary)
    aenqueue_summary = async_verb(_enqueue_summary)

    def _make_task(
        self, key: SessionKey, filter_key: str, force: bool
    ) -> tuple[Summarizing, SummaryTask]:
        task = SummaryTask(check_key(key), _check(filter_key), bool(force))
        if self._summarizing is None:
            raise ConfigurationError(
                "this service makes no summaries; give it a model or a SessionSummarizer as "
                "summarizer="
            )
        if not is_allowed(self._context.options, filter_key):
            raise ConfigurationError(
                f"filter_key={shorten(filter_key)} is not in summary_filter_allowlist="
                f"{self._context.options.summary_filter_allowlist!r}, nor below one of these"
            )
        return self._summarizing, task

    def _get_summary(self, key: SessionKey, filter_key: str = "") -> Flow[Summary | None]:
        """Read the summary of a branch; where there is none, the whole session's.

        Summaries that trpc-agent-go wrote are read too: of two, the one that goes further.
        """
        flow = summaries.get_summary(self._context, check_key(key), _check(filter_key))
        return self._observed(SPAN_GET_SUMMARY, key, self._settled(scope_of(key), flow))

    get_summary = sync_verb(_get_summary)
    aget_summary = async_verb(_get_summary)

    def _list_summaries(self, key: SessionKey) -> Flow[list[Summary]]:
        """Read all summaries of a session, by filter key; the whole session's comes first."""
        flow = summaries.list_summaries(self._context, check_key(key))
        return self._settled(scope_of(key), flow)

    list_summaries = sync_verb(_list_summaries)
    alist_summaries = async_verb(_list_summaries)

    def _get_summarized_messages(
        self,
        key: SessionKey,
        *,
        limit: int | None = None,
        strict: bool = False,
        callbacks: Handlers = None,
    ) -> Flow[SummarizedMessages]:
        """Read the session's summary and the messages that it does not cover; one round trip.

        Args:
            key: The session.
            limit: The most messages, the newest; None = all.
            strict: Raise at an unreadable entry instead of skipping it.
            callbacks: Further hooks and handlers, for this call; hooks see it as a read of
                the session.

        Example:
            >>> from langchain_core.messages import AIMessage, HumanMessage
            >>> from langchain_redis_session import RedisSessionService
            >>> def summarize(request):
            ...     return f"{len(request.messages)} messages about tea"
            >>> service = RedisSessionService("memory://", summarizer=summarize)
            >>> key = service.create_session("shop", "ann").key
            >>> talk = [HumanMessage("Sencha?"), AIMessage("We have it.")]
            >>> result = service.append_messages(key, talk)
            >>> summary = service.create_summary(key, force=True)
            >>> result = service.append_messages(key, [HumanMessage("Two, please.")])
            >>> found = service.get_summarized_messages(key)
            >>> found.summary.text, [message.text for message in found.messages]
            ('2 messages about tea', ['Two, please.'])
        """
        bounds = make_bounds(limit, None, None, 0, None, strict)
        check_key(key)
        hooks = self._hooks_with(callbacks)
        if hooks.of_reads:
            call = GetSessionContext(key, "get_summarized_messages", limit)
            flow = hooked.get_summarized_messages(
                self._context, hooks, call, self._settled, strict=strict
            )
        else:
            read = reading.get_summarized_messages(self._context, key, bounds)
            flow = self._settled(scope_of(key), read)
        return self._observed("get_session", key, flow, hooks)

    get_summarized_messages = sync_verb(_get_summarized_messages)
    aget_summarized_messages = async_verb(_get_summarized_messages)


def is_allowed(options: ServiceOptions, filter_key: str) -> bool:
    """Whether a branch may be summarized."""
    allowed = options.summary_filter_allowlist
    if not filter_key or allowed is None:
        return True
    return any(is_in_branch(filter_key, branch) for branch in allowed if branch)


def _check(filter_key: object) -> str:
    try:
        return check_filter_key(filter_key)
    except ValueError as error:
        raise ConfigurationError(f"filter_key={shorten(filter_key)}: {error}") from None


def _ask(workers: SummaryWorkers, tasks: list[SummaryTask]) -> Flow[None]:
    yield Call(lambda: workers.enqueue(tasks), lambda: workers.aenqueue(tasks))


def _take_summary(flow: Flow[summaries.Outcome]) -> Flow[Summary | None]:
    return (yield from flow).summary


def make_summarizing(
    summarizer: Any, pick_summarizer: Callable[[Session], Any] | None
) -> Summarizing | None:
    """Find out how a service is to make its summaries; None for not at all.

    Raises:
        ConfigurationError: What was given can't make any.
    """
    if summarizer is not None and pick_summarizer is not None:
        raise ConfigurationError("summarizer= and pick_summarizer= exclude each other; pass one")
    if summarizer is not None:
        known = to_summarizer(summarizer)
        return Summarizing(
            lambda _: known, known.minimum_events, known.is_async_only, call_within, acall_within
        )
    if pick_summarizer is None:
        return None
    if not callable(pick_summarizer):
        raise ConfigurationError(
            f"pick_summarizer must be a function of a Session, not {shorten(pick_summarizer)}"
        )

    def pick(session: Session) -> SessionSummarizer | None:
        picked = pick_summarizer(session)
        return None if picked is None else to_summarizer(picked)

    return Summarizing(pick, 1, False, call_within, acall_within)
