"""The right to summarize a session, and storing what was made under it."""

from __future__ import annotations

from langchain_redis_session._codec.summary_record import encode_summary, parse_summary
from langchain_redis_session._flow.requests import Flow
from langchain_redis_session._flow.scripts import call_script
from langchain_redis_session._operations.bounds import format_score, to_nanoseconds
from langchain_redis_session._operations.context import Context
from langchain_redis_session._operations.reading import (
    Unsummarized,
)
from langchain_redis_session._operations.summaries import SummaryOutcome, SummaryTask
from langchain_redis_session._times import format_time
from langchain_redis_session.errors import (
    BackendUnavailableError,
    SummaryError,
)
from langchain_redis_session.models import (
    SummaryBoundary,
)

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
        lease_ms = round(self.context.options.summary_job_timeout * 1000) + LEASE_MARGIN_MS
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
            return left_ms if left_ms > 0 else LONGEST_PAUSE_MS  # without a TTL it is not ours
        if status == b"FOREIGN":
            raise self._explain_foreign()
        return 0 if status == b"OK" else None

    def store(self, text: str, boundary: SummaryBoundary) -> Flow[SummaryOutcome]:
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
            return SummaryOutcome(parse_summary(value, filter_key), is_new=True)
        if status == b"FURTHER":
            # Ours, if it is the reply to a first try that got lost.
            (value,) = reply
            is_ours = value.startswith(parts.head) and value.endswith(parts.tail)
            return SummaryOutcome(parse_summary(value, filter_key), is_new=is_ours)
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
