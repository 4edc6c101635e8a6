"""What every flow of one service shares: options, key names, counters, and what was learned."""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import NamedTuple

from langchain_redis_session._counters import Counters
from langchain_redis_session._keys.zset import Keyspace
from langchain_redis_session._logs import logger
from langchain_redis_session.config import ServiceOptions
from langchain_redis_session.models import SessionKey
from langchain_redis_session.scripts.replies import Fate

_MOST_REPORTED = 1000


class Unreadable(NamedTuple):
    """An entry that can't be read.

    Attributes:
        session: Whose it is; None where that is several sessions' key.
        key: The key that it stands under.
        what: What it is.
    """

    session: SessionKey | None
    key: str
    what: str


unreadable_entries: ContextVar[list[Unreadable] | None] = ContextVar(
    "unreadable_entries", default=None
)
"""Where what can't be read is put down for the hooks; None where there are none."""


@dataclass
class Context:
    """The surroundings of a flow. Thread-safe enough: its counters need not be exact.

    Attributes:
        options: The service's options.
        counts_uncovered: Whether appends count the events that no summary covers.
        counters: What is counted.
        keyspace: The names of keys.
        try_field_ttl: Whether the server may have TTLs per field.
    """

    options: ServiceOptions
    counts_uncovered: bool = False
    counters: Counters = field(default_factory=Counters)
    keyspace: Keyspace = field(init=False)
    try_field_ttl: bool = field(init=False)
    _reported_keys: set[bytes] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.keyspace = Keyspace(self.options.key_prefix, self.options.hash_tag)
        self.try_field_ttl = self.options.per_field_ttl is not False

    def note_field_ttl(self, found: bool | None) -> None:
        """Remember what a script found out about TTLs per field (None = it didn't try)."""
        if found is False:
            self.try_field_ttl = False

    def count_written(self, members: Sequence[bytes], fates: Sequence[Fate]) -> None:
        """Count what a script has stored, by the fate of each entry."""
        counters, fresh = self.counters, Fate.FRESH
        for member, fate in zip(members, fates, strict=True):
            if fate is fresh:
                counters.events_written += 1
                counters.bytes_out += len(member)

    def report_corrupt(self, key: bytes, what: str = "an entry") -> None:
        """Count what can't be read; log it once for each key, without its content."""
        self.counters.corrupt_entries += 1
        entries = unreadable_entries.get()
        if entries is not None:
            session = self.keyspace.parse_session(key)
            entries.append(Unreadable(session, key.decode("utf-8", "replace"), what))
        if key not in self._reported_keys and len(self._reported_keys) < _MOST_REPORTED:
            self._reported_keys.add(key)
            logger.warning(
                "skipped %s of %s that can't be read; strict=True tells what is wrong with it",
                what,
                key.decode("utf-8", "replace"),
            )
