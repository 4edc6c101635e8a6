"""What every flow of one service shares: options, key names, counters, and what was learned."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

from langchain_redis_session._codec.conversions import Conversions
from langchain_redis_session._flow.counters import Counters
from langchain_redis_session._flow.requests import Command, Unreadable
from langchain_redis_session._keys.zset import Keyspace
from langchain_redis_session.config import ServiceOptions
from langchain_redis_session.scripts.replies import Fate


@dataclass(eq=False)
class Context:
    """The surroundings of a flow. Thread-safe enough: its counters need not be exact.

    Attributes:
        options: The service's options.
        counts_unsummarized: Whether appends count the events that no summary covers.
        counters: What is counted.
        conversions: Who hears of values that JSON can't carry; None = they are refused.
        keyspace: The names of keys.
        try_field_ttl: Whether the server may have TTLs per field.
        begun_appends: What usual appends to sessions begin with, of some of them.
    """

    options: ServiceOptions
    counts_unsummarized: bool = False
    counters: Counters = field(default_factory=Counters)
    conversions: Conversions | None = field(init=False)
    keyspace: Keyspace = field(init=False)
    try_field_ttl: bool = field(init=False)
    begun_appends: dict[tuple[Hashable, ...], Command] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        is_converting = self.options.unserializable == "convert"
        self.conversions = Conversions() if is_converting else None
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

    def unreadable(self, key: bytes, what: str = "an entry", count: int = 1) -> Unreadable:
        """The request to take note of entries under a key."""
        return Unreadable(self.keyspace.parse_session(key), key, what, count)
