"""What becomes of entries that can't be read: they are counted, and logged once for each key."""

from __future__ import annotations

from langchain_redis_session._flow.counters import Counters
from langchain_redis_session._flow.requests import Unreadable
from langchain_redis_session._logs import logger

_MOST_KEYS = 1000


def note_unreadable(found: Unreadable, counters: Counters) -> None:
    """Count entries that can't be read; log them, without their content, if their key is new."""
    counters.corrupt_entries += found.count
    known = counters.corrupt_keys
    if found.key not in known and len(known) < _MOST_KEYS:
        known.add(found.key)
        logger.warning(
            "skipped %s of %s that can't be read; strict=True tells what is wrong with it",
            found.what,
            found.key.decode("utf-8", "replace"),
        )
