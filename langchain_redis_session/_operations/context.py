"""What every flow of one service shares: options, key names, and what was learned."""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import InitVar, dataclass, field

from langchain_redis_session._figures import Figures
from langchain_redis_session._hooks import Hooks, list_handlers
from langchain_redis_session._keys import Keyspace
from langchain_redis_session._logs import logger
from langchain_redis_session._tracing import Tracing
from langchain_redis_session.callbacks import CorruptEventReport, Handlers
from langchain_redis_session.config import ServiceOptions

FRESH = 1
"""What a script says of an entry that it has stored just now."""
_MOST_REPORTED = 1000

corrupt_reports: ContextVar[list[CorruptEventReport] | None] = ContextVar(
    "corrupt_reports", default=None
)
"""Where what can't be read is put down for the hooks; None where there are none."""


@dataclass
class Context:
    """The surroundings of a flow. Thread-safe enough: its counters are only figures."""

    options: ServiceOptions
    callbacks: InitVar[Handlers] = None
    hooks: Hooks = field(init=False)
    figures: Figures = field(default_factory=Figures)
    keyspace: Keyspace = field(init=False)
    try_field_ttl: bool = field(init=False)
    tracing: Tracing | None = None
    counts_uncovered: bool = False
    """Whether appends count the events that no summary covers."""
    _reported_keys: set[bytes] = field(default_factory=set)

    def __post_init__(self, callbacks: Handlers) -> None:
        self.hooks = Hooks(list_handlers(callbacks), self.figures)
        self.keyspace = Keyspace(self.options.key_prefix, self.options.hash_tag)
        self.try_field_ttl = self.options.per_field_ttl is not False

    @property
    def field_ttl_flag(self) -> int:
        """The argument that tells scripts whether to try TTLs per field."""
        return int(self.try_field_ttl)

    def note_field_ttl(self, reply: int) -> None:
        """Remember what a script found out about TTLs per field (-1 = it didn't try)."""
        if reply == 0:
            self.try_field_ttl = False

    def count_written(self, members: Sequence[bytes], fates: Sequence[int]) -> None:
        """Count what a script has stored, by the fate of each entry."""
        figures = self.figures
        for member, fate in zip(members, fates, strict=False):
            if fate == FRESH:
                figures.events_written += 1
                figures.bytes_out += len(member)

    def report_corrupt(self, key: bytes, what: str = "an entry") -> None:
        """Count what can't be read; log it once for each key, without its content."""
        self.figures.corrupt_entries += 1
        reports = corrupt_reports.get()
        if reports is not None:
            session = self.keyspace.parse_session(key)
            reports.append(CorruptEventReport(session, key.decode("utf-8", "replace"), what))
        if key not in self._reported_keys and len(self._reported_keys) < _MOST_REPORTED:
            self._reported_keys.add(key)
            logger.warning(
                "skipped %s of %s that can't be read; strict=True tells what is wrong with it",
                what,
                key.decode("utf-8", "replace"),
            )
