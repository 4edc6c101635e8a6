"""Events checked and encoded, ready to be appended."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage

from langchain_redis_session._codec.corruption import is_dense
from langchain_redis_session._codec.events import decode_event, encode_event
from langchain_redis_session._operations.context import Context
from langchain_redis_session._operations.state import (
    StateChange,
    check_state,
    encode_state,
    route_encoded,
)
from langchain_redis_session.config import DEFAULT_EVENT_LIMIT
from langchain_redis_session.errors import (
    CorruptEventError,
    EventTooLargeError,
    UnserializableMessageError,
)
from langchain_redis_session.models import Event, is_from_user
from langchain_redis_session.scripts.bindings import Entry

_AUTHORS_BY_TYPE = {
    "ai": "assistant",
    "AIMessageChunk": "assistant",
}
_AUTHORS = {HumanMessage: "user", AIMessage: "assistant"}  # known at once


def make_events(
    messages: Sequence[BaseMessage],
    time_ns: int,
    author: str | None,
    state_delta: Mapping[str, Any] | None,
    request_id: str = "",
    invocation_id: str = "",
    branch: str = "",
    tag: str = "",
    filter_key: str = "",
) -> list[Event]:
    """Make an event of each message; the last one carries the state."""
    names = (request_id, invocation_id, branch, tag, filter_key)
    events = [
        Event(message, author or _find_author(message), *names, time_ns=time_ns)
        for message in messages
    ]
    if state_delta:
        if not events:
            events.append(Event(None, author or "", *names, time_ns=time_ns))
        events[-1].state_delta = dict(state_delta)
    return events


def _find_author(message: BaseMessage) -> str:
    if (author := _AUTHORS.get(type(message))) is not None:
        return author
    return "user" if is_from_user(message) else _AUTHORS_BY_TYPE.get(message.type, "")


@dataclass(slots=True, eq=False)
class PreparedEvents:
    """Events that were checked and encoded, to be appended together.

    Attributes:
        events: The events.
        entries: What is stored of each.
        changes: The changes of state, by their event's place.
        create: Whether to create the session if there is none.
        once: Whether to leave out messages whose id is stored.
        new_event_limit: The most events of a session that this creates, where the service was
            given no limit; None = no limit.
    """

    events: Sequence[Event]
    entries: Sequence[Entry]
    changes: dict[int, StateChange]
    create: bool = False
    once: bool = False
    new_event_limit: int | None = DEFAULT_EVENT_LIMIT

    @property
    def members(self) -> list[bytes]:
        """The JSON of each event."""
        return [entry.member for entry in self.entries]

    @property
    def filter_keys(self) -> list[str]:
        """The filter keys of the events, but for the whole session's."""
        filter_keys = {event.filter_key for event in self.events if event.filter_key}
        return sorted(filter_keys) if filter_keys else []

    def can_join(self, other: object) -> bool:
        """Whether one call can append both."""
        return (
            isinstance(other, PreparedEvents)
            and self.create == other.create
            and self.once == other.once
            and self.new_event_limit == other.new_event_limit
        )

    @classmethod
    def join(cls, parts: Sequence[PreparedEvents]) -> PreparedEvents:
        """Put parts together that can be joined, in order."""
        if len(parts) == 1:
            return parts[0]
        events: list[Event] = []
        entries: list[Entry] = []
        changes: dict[int, StateChange] = {}
        for part in parts:
            if part.changes:
                changes |= {len(events) + place: change for place, change in part.changes.items()}
            events += part.events
            entries += part.entries
        return replace(parts[0], events=events, entries=entries, changes=changes)

    @classmethod
    def restore(
        cls, members: Sequence[bytes], *, create: bool, once: bool, new_event_limit: int | None
    ) -> PreparedEvents:
        """Make it again of the encoded events, to the byte.

        Raises:
            CorruptEventError: They can't be read.
        """
        events = [decode_event(member) for member in members]
        changes = {}
        for place, member in enumerate(members):
            delta = orjson.loads(member).get("stateDelta") or {}
            change = route_encoded({name: b64decode(value) for name, value in delta.items()})
            if change:
                changes[place] = change
        entries = [_make_entry(*pair) for pair in zip(events, members, strict=True)]
        return cls(events, entries, changes, create, once, new_event_limit)


def prepare_events(
    context: Context,
    events: Sequence[Event],
    *,
    create: bool = False,
    once: bool = False,
    places: Sequence[int] = (),
    new_event_limit: int | None,
) -> PreparedEvents:
    """Check and encode events.

    Args:
        context: The surroundings.
        events: The events.
        create: Whether to create the session if there is none.
        once: Whether to leave out messages whose id is stored.
        new_event_limit: The most events of a session that is created.
        places: Their places in what the caller gave, for errors, where these differ.

    Raises:
        UnserializableMessageError: An event holds what JSON can't carry.
        EventTooLargeError: An event's JSON is over `max_event_bytes`.
        StateTooLargeError: The state that they set alone is over `max_state_bytes`.
    """
    states: dict[int, dict[str, bytes]] = {}
    changes: dict[int, StateChange] = {}
    for place, event in enumerate(events):
        if event.state_delta:
            path = f"events[{_place_of(place, places)}].state_delta"
            states[place] = encode_state(event.state_delta, path, context.conversions)
            changes[place] = route_encoded(states[place], path)
    if changes:
        check_state(context, StateChange.merge(changes.values()))
    entries = _encode(context, events, states, places)
    return PreparedEvents(events, entries, changes, create, once, new_event_limit)


def _encode(
    context: Context,
    events: Sequence[Event],
    states: Mapping[int, dict[str, bytes]],
    places: Sequence[int],
) -> list[Entry]:
    """Score, member and message id of each event, as the script takes them."""
    options = context.options
    entries: list[Entry] = []
    for place, event in enumerate(events):
        # First, as it refuses what is no message.
        try:
            data = encode_event(event, conversions=context.conversions, state=states.get(place))
        except UnserializableMessageError as error:
            text = _say_which(str(error), _place_of(place, places))
            raise UnserializableMessageError(text) from error.__cause__
        if len(data) > options.max_event_bytes:
            raise EventTooLargeError(
                f"events[{_place_of(place, places)}] has {len(data):,} bytes of JSON, the most is "
                f"{options.max_event_bytes:,}; store large content elsewhere and keep a link, or "
                "raise max_event_bytes"
            )
        if is_dense(data):
            _require_readable(data, _place_of(place, places))
        entries.append(_make_entry(event, data))
    return entries


def _require_readable(data: bytes, place: int) -> None:
    try:
        decode_event(data)
    except CorruptEventError as error:
        raise EventTooLargeError(
            f"events[{place}] could not be read again: {error}; store so many small objects "
            "elsewhere and keep a link"
        ) from error


def _place_of(place: int, places: Sequence[int]) -> int:
    return places[place] if places else place


def _say_which(error: str, place: int) -> str:
    """Let an error name the place of the message, or of the event, in the list.

    >>> _say_which("message.artifact['x']: set is not JSON", 2)
    "messages[2].artifact['x']: set is not JSON"
    >>> _say_which("author: int is not a string", 2)
    'events[2].author: int is not a string'
    """
    if error.startswith("message"):
        return f"messages[{place}]{error.removeprefix('message')}"
    return f"events[{place}].{error}"


def _make_entry(event: Event, member: bytes) -> Entry:
    message_id = event.message.id if event.message is not None else None
    if message_id and not isinstance(message_id, str):  # it was converted
        stored = decode_event(member).message
        message_id = stored.id if stored is not None else None
    encoded_id = message_id.encode("utf-8", "surrogatepass") if message_id else b""
    return Entry(f"{event.time_ns:d}", member, encoded_id)
