"""Ids as callers have them."""

from __future__ import annotations

from typing import Any
from uuid import UUID


def as_text(value: Any) -> Any:
    """Give an id of a database, often a number, as text; what is no id, `SessionKey` refuses.

    >>> as_text(7), as_text("ann"), as_text(None)
    ('7', 'ann', None)
    """
    is_number = isinstance(value, int | UUID) and not isinstance(value, bool)
    return str(value) if is_number else value
