"""What every flow of one service shares: options, key names, and what was learned."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

from langchain_redis_session._keys import Keyspace
from langchain_redis_session.config import ServiceOptions

logger = logging.getLogger("langchain_redis_session")

_MOST_REPORTED = 1000


@dataclass
class Context:
    """The surroundings of a flow. Thread-safe enough: its counters are only figures."""

    options: ServiceOptions
    keyspace: Keyspace = field(init=False)
    try_field_ttl: bool = field(init=False)
    corrupt_entries: int = 0
    counts_uncovered: bool = False
    """Whether appends count the events that retention removes before a summary covers them."""
    uncovered_events: int = 0
    _reported_keys: set[bytes] = field(default_factory=set)

    def __post_init__(self) -> None:
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

    def report_corrupt(self, key: bytes, what: str = "an entry") -> None:
        """Count what can't be read; log it once for each key, without its content."""
        self.corrupt_entries += 1
        if key not in self._reported_keys and len(self._reported_keys) < _MOST_REPORTED:
            self._reported_keys.add(key)
            logger.warning(
                "skipped %s of %s that can't be read; strict=True tells what is wrong with it",
                what,
                key.decode("utf-8", "replace"),
            )
