"""The names of operations: one table for spans, custom events, hooks and counters.

`ServiceStats` shows it to users.
"""

from __future__ import annotations

CREATE_SESSION = "create_session"
GET_SESSION = "get_session"
DELETE_SESSION = "delete_session"
APPEND_EVENT = "append_event"
APPEND_TRACK_EVENT = "append_track_event"
CREATE_SUMMARY = "create_summary"
GET_SUMMARY = "get_summary"
PERSIST = "persist"
"""Of write-behind: from the acceptance of an append until it is in Redis."""

METHODS = {
    CREATE_SESSION: ("create_session",),
    GET_SESSION: ("get_session", "get_events", "get_messages", "get_summarized_messages"),
    DELETE_SESSION: ("delete_session",),
    APPEND_EVENT: ("append_event", "append_events", "append_messages"),
    APPEND_TRACK_EVENT: ("append_track_event", "append_track_events"),
    CREATE_SUMMARY: ("create_summary",),
    GET_SUMMARY: ("get_summary",),
}
"""Which methods each operation is of; every other method is an operation of its own name."""

_OPERATIONS = {method: name for name, methods in METHODS.items() for method in methods}


def name_operation(method: str) -> str:
    """Name the operation that a method of a service is.

    >>> name_operation("append_messages"), name_operation("ping")
    ('append_event', 'ping')
    """
    return _OPERATIONS.get(method, method)
