"""Methods on summaries."""

from typing import TYPE_CHECKING

from langchain_redis_session._actions.summarizing import is_allowed
from langchain_redis_session._display.lists import SummaryList
from langchain_redis_session._flow.requests import Flow
from langchain_redis_session._observe.operations import GET_SUMMARY
from langchain_redis_session._operations import summaries
from langchain_redis_session._operations.summaries import SummaryTask
from langchain_redis_session._verbs.arguments import (
    check_filter,
    check_flags,
    check_key,
)
from langchain_redis_session._verbs.runner import (
    FlowRunner,
    async_method,
    combine_hooks,
    listed,
    sync_method,
)
from langchain_redis_session.callbacks import Handlers
from langchain_redis_session.errors import ConfigurationError, shorten
from langchain_redis_session.models import SessionKey, Summary, new_id

if TYPE_CHECKING:
    from langchain_redis_session._actions.summaries import SummaryMaker
    from langchain_redis_session._background.summary_workers import SummaryWorkers


class SummaryMethods(FlowRunner):
    """Make summaries and read them."""

    _summary_maker: "SummaryMaker | None"
    _summary_workers: "SummaryWorkers | None"

    @sync_method
    def create_summary(
        self,
        key: SessionKey,
        filter_key: str = "",
        force: bool = False,
        *,
        callbacks: Handlers = None,
    ) -> Flow[Summary | None]:
        """Summarize a session now, if its summarizer finds it worth it.

        Only what came after the last summary is read and sent, with the last summary; as
        much of it as fits the summarizer's `max_input_tokens`. Where another process is
        summarizing the session, it waits for its turn.

        Args:
            key: The session.
            filter_key: Of which events ("app/tools": those of "app/tools/search" too); "" = of
                the whole session, whose summary follows a filter key's unless
                `cascade_full_session_summary=False`.
            force: Whether to go past the trigger.
            callbacks: Further hooks and handlers, for this call.

        Returns:
            The newest summary, made now or before; None if there is none.

        Raises:
            ConfigurationError: The service has no `summarizer`, or the filter key is not in
                `summary_filter_allowlist`.
            EventRejectedError: A hook refused it.
            SessionNotFoundError: There is no such session.
            SummaryError: The summarizer failed, took longer than `summary_job_timeout`, or
                returned nothing. The last summary stays.
        """
        maker, task = self._make_task(key, filter_key, force)
        flow = maker.create(task, new_id(), combine_hooks(self, callbacks))
        return _take_summary(self._settled(key.scope, flow))

    acreate_summary = async_method(create_summary)

    @sync_method
    def enqueue_summary(
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
        return workers.enqueue([task])

    aenqueue_summary = async_method(enqueue_summary)

    def _make_task(
        self, key: SessionKey, filter_key: str, force: bool
    ) -> "tuple[SummaryMaker, SummaryTask]":
        check_key(key)
        check_flags(force=force)
        task = SummaryTask(key, check_filter(filter_key), force)
        if self._summary_maker is None:
            raise ConfigurationError(
                "this service makes no summaries; give it a model or a SessionSummarizer as "
                "summarizer="
            )
        if not is_allowed(self._context.options, filter_key):
            raise ConfigurationError(
                f"filter_key={shorten(filter_key)} is not in summary_filter_allowlist="
                f"{self._context.options.summary_filter_allowlist!r}, nor below one of these"
            )
        return self._summary_maker, task

    @sync_method
    def get_summary(self, key: SessionKey, filter_key: str = "") -> Flow[Summary | None]:
        """Read the summary of a filter key; where there is none, the whole session's.

        Summaries that trpc-agent-go wrote are read too: of two, the one that covers more.
        """
        flow = summaries.get_summary(self._context, check_key(key), check_filter(filter_key))
        return self._observed(GET_SUMMARY, key, self._settled(key.scope, flow))

    aget_summary = async_method(get_summary)

    @sync_method
    def list_summaries(self, key: SessionKey) -> Flow[list[Summary]]:
        """Read all summaries of a session, by filter key; the whole session's comes first."""
        flow = summaries.list_summaries(self._context, check_key(key))
        return listed(SummaryList, self._settled(key.scope, flow))

    alist_summaries = async_method(list_summaries)


def _take_summary(flow: Flow[summaries.SummaryOutcome]) -> Flow[Summary | None]:
    return (yield from flow).summary
