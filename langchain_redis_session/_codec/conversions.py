"""What is done with values that JSON can't carry: converted, said once, and counted."""

from __future__ import annotations

from langchain_redis_session._logs import logger

_MOST_NOTED = 1000


class Conversions:
    """The conversions of one service.

    Where a function takes one or None, None means that such values are refused.

    Attributes:
        count: How many values were converted.
    """

    def __init__(self) -> None:
        self.count = 0
        self._noted: set[tuple[str, str]] = set()

    def note(self, kind: str, path: str) -> None:
        """Count a conversion; log the first one of a type at a path.

        Args:
            kind: The type's name.
            path: Where the value stands, without what differs from one message to the next.
        """
        self.count += 1
        if (kind, path) in self._noted or len(self._noted) >= _MOST_NOTED:
            return
        self._noted.add((kind, path))
        logger.warning(
            "%s holds a %s, which JSON can't carry; it is stored as plain data, and comes back as "
            "that (logged once; unserializable='raise' refuses it)",
            path,
            kind,
        )
