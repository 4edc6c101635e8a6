"""What a service counts."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field


@dataclass(slots=True, eq=False)
class Counters:
    """Plain counters, added to without a lock: threads at the same moment may lose one.

    Attributes:
        operations: How often the methods of each operation were called.
        round_trips: Requests sent to Redis; a batch is one.
        bytes_in: JSON of events that was read.
        bytes_out: JSON of events that was stored.
        events_written: Events that were stored, those of tracks included.
        corrupt_entries: Unreadable entries that reads skipped.
        corrupt_keys: Keys that had some; of many not all.
        dead_events: Events that write-behind gave up.
        hook_vetoes: Operations that a hook rejected.
        lost_events: Events that retention removed before a summary covered them.
        losing_sessions: Sessions that lost some; of many not all.
    """

    operations: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    round_trips: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    events_written: int = 0
    corrupt_entries: int = 0
    corrupt_keys: set[bytes] = field(default_factory=set)
    dead_events: int = 0
    hook_vetoes: int = 0
    lost_events: int = 0
    losing_sessions: set[tuple[str, str, str]] = field(default_factory=set)
