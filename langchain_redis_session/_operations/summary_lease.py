"""The right to summarize a session, and storing what was made under it."""

from __future__ import annotations

from collections.abc import Iterable

from langchain_redis_session._codec.summary_record import encode_summary, parse_summary
from langchain_redis_session._flow.requests import Flow
from langchain_redis_session._operations.bounds import format_score
from langchain_redis_session._operations.context import Context
from langchain_redis_session._operations.reading import (
    Unsummarized,
)
from langchain_redis_session._operations.summaries import SummaryOutcome, SummaryTask
from langchain_redis_session.errors import (
    BackendUnavailableError,
    SummaryError,
)
from langchain_redis_session.models import (
    SummaryBoundary,
)
from langchain_redis_session.scripts import summary_bindings
from langchain_redis_session.scripts.replies import Claim, Status

LEASE_MARGIN_MS = 5_000
"""How much longer a lease holds than a summarizer may take."""
LONGEST_PAUSE_MS = 250
"""How long to wait at most before another look at a lease that somebody has."""


class SummaryLease:
    """The right to summarize a session, which one process has at a time."""

    def __init__(
        self, context: Context, task: SummaryTask, found: Unsummarized, token: str
    ) -> None:
        self.context, self.task, self.token = context, task, token
        self._found = found
        self.keys = context.keyspace.session(task.key)

    def claim(self, boundary: SummaryBoundary) -> Flow[Claim]:
        """Take it.

        Returns:
            OK; BUSY with the ms for which another has it; else the session has changed since
            it was read.

        Raises:
            SummaryError: There is no place for a summary.
        """
        lease_ms = round(self.context.options.summary_job_timeout * 1000) + LEASE_MARGIN_MS
        claim = yield from summary_bindings.claim_summary(
            self.keys,
            filter_key=self.task.filter_key,
            token=self.token,
            lease_ms=lease_ms,
            created=self._found.created_text,
            stored_cutoff=self._found.cutoff,
            last_score=format_score(boundary.cutoff_score),
        )
        if claim.status is Status.BUSY and claim.left_ms <= 0:  # without a TTL it is not ours
            return claim._replace(left_ms=LONGEST_PAUSE_MS)
        if claim.status is Status.FOREIGN:
            raise self._explain_foreign()
        return claim

    def store(
        self, text: str, boundary: SummaryBoundary, system_scores: Iterable[str] = ()
    ) -> Flow[SummaryOutcome]:
        """Store the summary, unless one that goes as far is there; gives the lease back.

        Args:
            text: The summary.
            boundary: Up to where.
            system_scores: Those of the system messages that it newly covers, and leaves as
                they are.

        Raises:
            SummaryError: The session was cleared or deleted meanwhile.
        """
        filter_key, score = self.task.filter_key, format_score(boundary.cutoff_score)
        kept = [*self._found.system_scores, *system_scores]
        parts = encode_summary(text, filter_key, boundary, score, kept)
        stored = yield from summary_bindings.put_summary(
            self.keys,
            filter_key=filter_key,
            token=self.token,
            session_ttl_ms=self.context.options.session_ttl,
            created=self._found.created_text,
            head=parts.head,
            tail=parts.tail,
            new_cutoff=score,
            try_field_ttl=self.context.try_field_ttl,
            idle_cutoff=self._found.idle_cutoff,
        )
        if stored.status is Status.OK:
            self.context.note_field_ttl(stored.field_ttl)
            return SummaryOutcome(parse_summary(stored.summary, filter_key), is_new=True)
        if stored.status is Status.FURTHER:
            # Ours, if it is the reply to a first try that got lost.
            value = stored.summary
            is_ours = value.startswith(parts.head) and value.endswith(parts.tail)
            return SummaryOutcome(parse_summary(value, filter_key), is_new=is_ours)
        if stored.status is Status.FOREIGN:
            raise self._explain_foreign()
        raise SummaryError(
            f"{self.task.key} was cleared, deleted or summarized by somebody else while its "
            "summary was made, which is not stored"
        )

    def _explain_foreign(self) -> SummaryError:
        field = self.keys.summary(self.task.filter_key).decode()
        key = self.keys.summaries.decode()
        return SummaryError(
            f"another program's value stands where the summary of {self.task.key} belongs, in "
            f"field {field!r} of {key!r}; use another session id, or remove it if nobody needs it"
        )

    def release(self) -> Flow[None]:
        """Give it back unused; where Redis is away, it runs out."""
        try:
            yield from summary_bindings.release_summary(self.keys, token=self.token)
        except BackendUnavailableError:
            return
