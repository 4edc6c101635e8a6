"""What a service has counted: `RedisSessionService.stats`."""

from __future__ import annotations

from dataclasses import dataclass

from langchain_redis_session._display.brief import FullRepr
from langchain_redis_session._display.guard import shows


class _Counted(FullRepr):
    __slots__ = ()

    @shows
    def _repr_html_(self) -> str:
        from langchain_redis_session._display.tables import render_stats

        return render_stats(self)


@dataclass(frozen=True, slots=True, repr=False)
class PersistStats(_Counted):
    """What write-behind has done since the service was made, and what waits. Counts appends.

    Attributes:
        queue_depths: How many wait, for each worker.
        accepted: How many appends returned.
        written: How many are in Redis.
        erased: How many were dropped, as their user or session was deleted after they were
            accepted.
        retried: How often a session's appends were tried again because Redis was away.
        dead: How many dead letters there are now.
        batches: How many round trips the workers made.
        mean_batch_size: Appends in a round trip, on average.
        largest_batch_size: The most.
        oldest_waiting_s: The age of the oldest that waits, in seconds; 0 for none.
        last_error: The last error's text; "" for none.
    """

    queue_depths: tuple[int, ...]
    accepted: int
    written: int
    erased: int
    retried: int
    dead: int
    batches: int
    mean_batch_size: float
    largest_batch_size: int
    oldest_waiting_s: float
    last_error: str


@dataclass(frozen=True, slots=True, repr=False)
class SummaryStats(_Counted):
    """What a service's summary jobs have done since it was made, and what waits.

    Attributes:
        waiting: How many jobs wait.
        running: How many run.
        made: How many summaries they have made.
        failed: How many jobs failed.
        yielded: How often a job found another process at its session, and put it off.
        last_error: The last error's type; "" for none.
    """

    waiting: int
    running: int
    made: int
    failed: int
    yielded: int
    last_error: str


@dataclass(frozen=True, slots=True, repr=False)
class ServiceStats(_Counted):
    """What a service has counted since it was made, in this process.

    Plain counters without a lock: threads that count at the same moment may lose one.

    An operation has one name everywhere: here, as OpenTelemetry's span and `db.operation.name`,
    as LangChain's custom event (`redis_session.<name>`), and in the names of hooks
    (`on_<name>_start`, …):

    | name | methods, sync or async | spans | events | hooks |
    | --- | --- | --- | --- | --- |
    | `create_session` | `create_session` | yes | yes | |
    | `get_session` | `get_session`, `get_events`, `get_messages`, `get_summarized_messages` \
| yes | yes | yes |
    | `delete_session` | `delete_session` | yes | yes | |
    | `append_event` | `append_event`, `append_events`, `append_messages` | yes | yes | yes |
    | `append_track_event` | `append_track_event`, `append_track_events` | yes | yes | |
    | `create_summary` | `create_summary`, and background workers | yes | yes | yes |
    | `get_summary` | `get_summary` | yes | yes | |
    | `persist` | write-behind, of an accepted append | yes | | |

    Every other method is counted under its own name. What write-behind gives up is the custom
    event `redis_session.persist_error` and the hook `on_persist_error`.

    Attributes:
        operations: How often the methods of each operation were called.
        round_trips: Requests to Redis, those of background threads included; a batch is one.
        bytes_in: JSON of events (and track events) that was read.
        bytes_out: JSON of events (and track events) that was stored.
        events_written: Events (and track events) that were stored.
        corrupt_entries: Unreadable entries that reads skipped.
        hook_vetoes: Appends, reads and summaries that a hook rejected.
        persist: What write-behind did; None where it is off.
        summaries: What summary jobs did; None where there are none.
        lost_events: How many events retention has removed before a summary of their
            session covered them, by appends of this service; 0 without a summarizer.
        converted_values: Values in messages, state and tracks that JSON can't carry, and that
            were stored as plain data.
    """

    operations: dict[str, int]
    round_trips: int
    bytes_in: int
    bytes_out: int
    events_written: int
    corrupt_entries: int
    hook_vetoes: int
    persist: PersistStats | None = None
    summaries: SummaryStats | None = None
    lost_events: int = 0
    converted_values: int = 0
