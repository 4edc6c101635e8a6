"""A track of runs, read: what an agent did, as a tree."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from langchain_redis_session._display.guard import shows
from langchain_redis_session._display.run_text import (
    describe_run,
    format_duration,
    total_usage,
    visible_runs,
)
from langchain_redis_session.errors import ConfigurationError, shorten
from langchain_redis_session.models import TrackEvent

_HIDDEN = "langsmith:hidden"
_MOST_TOKENS = 10**15
_EVENTS = ("start", "end", "error")


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Run:
    """One run of a chain, a model, a tool or a retriever.

    Attributes:
        id: LangChain's id of the run.
        name: Its name.
        kind: "chain", "model", "tool" or "retriever".
        parent_id: The run that called it; "" for none.
        start_ns: When it began, nanoseconds since 1970 (UTC).
        end_ns: When it ended; None while it runs, or if nobody noted the end.
        duration_ms: How long it took; None as `end_ns`.
        usage: A model's tokens: `input_tokens`, `output_tokens`, `total_tokens`.
        error: What went wrong; "" for nothing.
        inputs: What it was given, if the handler was to keep that.
        outputs: What it returned, likewise.
        model: The model's name, if the provider's class tells it.
        tool_call_id: The tool call that it answers.
        tags: LangChain's tags.
        children: The runs that it called, in order.
    """

    id: str
    name: str = ""
    kind: str = ""
    parent_id: str = ""
    start_ns: int = 0
    end_ns: int | None = None
    duration_ms: float | None = None
    usage: Mapping[str, int] = field(default_factory=dict)
    error: str = ""
    inputs: Any = None
    outputs: Any = None
    model: str = ""
    tool_call_id: str = ""
    tags: tuple[str, ...] = ()
    children: list[Run] = field(default_factory=list)

    @property
    def is_hidden(self) -> bool:
        """Whether LangChain marks it as not worth showing."""
        return _HIDDEN in self.tags

    def __iter__(self) -> Iterator[Run]:
        """This run and all below it, depth first."""
        stack = [self]
        while stack:
            run = stack.pop()
            yield run
            stack += reversed(run.children)

    @shows
    def __repr__(self) -> str:
        # Short, where what is below it could be hundreds of lines.
        return f"<Run of {self.kind or '?'} {self.name!r}: {format_duration(self.duration_ms)}>"

    @shows
    def __str__(self) -> str:
        return str(RunTree((self,)))

    @shows
    def _repr_html_(self) -> str:
        return RunTree((self,))._repr_html_()


@dataclass(frozen=True, slots=True, eq=False)
class RunTree:
    """The runs of a track. Shows itself in Jupyter as a timeline, and as text by `print`.

    Iterating yields all runs, depth first.

    Attributes:
        roots: The outermost runs, oldest first.
    """

    roots: tuple[Run, ...]

    def __iter__(self) -> Iterator[Run]:
        return chain.from_iterable(self.roots)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __bool__(self) -> bool:
        return bool(self.roots)

    @property
    def usage(self) -> dict[str, int]:
        """The tokens of all runs together."""
        return total_usage(self)

    @property
    def errors(self) -> list[Run]:
        """The runs that went wrong."""
        return [run for run in self if run.error]

    @shows
    def __repr__(self) -> str:
        return f"<RunTree: {len(self)} runs, {len(self.roots)} outermost>"

    @shows
    def __str__(self) -> str:
        return "\n".join(
            f"{indent}{describe_run(run)}" for _, indent, run in visible_runs(self.roots)
        )

    @shows
    def _repr_html_(self) -> str:
        from langchain_redis_session._display.timeline import render_runs

        return render_runs(self)


def read_runs(events: Iterable[TrackEvent]) -> RunTree:
    """Make a tree of the events that `TrackCallbackHandler` has put into a track.

    A track may begin in the middle of a run, where its limit has cut it off, and hold other
    payloads: what does not belong is left alone, and a run whose parent is not there is an
    outermost one.

    Args:
        events: As `get_track_events` returns them.

    Raises:
        ConfigurationError: They are something else.

    Example:
        >>> from langchain_redis_session import TrackEvent
        >>> payloads = [
        ...     {"event": "start", "kind": "chain", "name": "agent", "run_id": "a"},
        ...     {"event": "start", "kind": "tool", "name": "add", "run_id": "b"}
        ...     | {"parent_run_id": "a"},
        ...     {"event": "end", "run_id": "b", "duration_ms": 2.5},
        ...     {"event": "error", "run_id": "a", "duration_ms": 9, "error": "ValueError: no"},
        ... ]
        >>> tree = read_runs(TrackEvent("runs", payload) for payload in payloads)
        >>> print(tree)
        agent (chain) 9.0 ms, ValueError: no
        └─ add (tool) 2.5 ms
        >>> [run.name for run in tree]
        ['agent', 'add']
    """
    if not isinstance(events, Iterable):
        raise ConfigurationError(f"events must be a list of TrackEvent, not {shorten(events)}")
    found: list[_Draft] = []
    newest: dict[str, _Draft] = {}
    for event in events:
        if not isinstance(event, TrackEvent):
            raise ConfigurationError(f"events must hold TrackEvents only, not {shorten(event)}")
        payload = event.payload
        if not isinstance(payload, dict) or payload.get("event") not in _EVENTS:
            continue
        run_id = _text(payload, "run_id")
        if not run_id:
            continue
        draft = newest.get(run_id)
        if draft is None or payload["event"] == "start":
            draft = _Draft(run_id, newest.get(_text(payload, "parent_run_id")))
            found.append(draft)
            newest[run_id] = draft
        draft.note(event.time_ns, payload)
    return RunTree(tuple(_link(found, newest)))


class _Draft:
    """A run of which more may come."""

    def __init__(self, run_id: str, parent: _Draft | None) -> None:
        self.id, self.parent = run_id, parent
        self.members: dict[str, Any] = {}
        self.run = Run(run_id)

    def note(self, time_ns: int, payload: dict[str, Any]) -> None:
        """Take what an event says; of two that say the same, the first."""
        known = self.members
        is_start = payload["event"] == "start"
        said: dict[str, Any] = {
            "name": _text(payload, "name"),
            "kind": _text(payload, "kind"),
            "parent_id": _text(payload, "parent_run_id"),
            "model": _text(payload, "model"),
            "tool_call_id": _text(payload, "tool_call_id"),
            "tags": _texts(payload.get("tags")),
        }
        if is_start:
            said["start_ns"] = time_ns
        elif "end_ns" not in known:
            duration_ms = _duration(payload.get("duration_ms"))
            begun_ns = known.get("start_ns")
            if begun_ns is None:
                begun_ns = time_ns - round((duration_ms or 0.0) * 1e6)
                said["start_ns"] = begun_ns
            if duration_ms is None:
                duration_ms = min(max(0, time_ns - begun_ns), 10**20) / 1e6
            # The start's clock and the duration: a clock that was set meanwhile is no matter.
            said["duration_ms"] = duration_ms
            said["end_ns"] = begun_ns + round(duration_ms * 1e6)
            said["usage"] = _counts(payload.get("usage"))
            said["error"] = _text(payload, "error")
            if payload["event"] == "error" and not said["error"]:
                said["error"] = "error"
        for name, value in said.items():
            if name not in known and value not in ("", (), {}):
                known[name] = value
        for name in ("inputs", "outputs"):
            if name in payload:  # a stream's inputs are known only at its end
                known[name] = payload[name]

    def finish(self) -> Run:
        self.run = Run(self.id, **self.members)
        return self.run


def _link(drafts: list[_Draft], newest: Mapping[str, _Draft]) -> list[Run]:
    """Put each run below its parent; gives those without one, oldest first."""
    roots = []
    for draft in drafts:
        draft.finish()
    for draft in drafts:
        if draft.parent is None:  # it may have come later, where the track was cut off
            late = newest.get(draft.members.get("parent_id", ""))
            draft.parent = late if late is not None and not _is_below(late, draft) else None
        if draft.parent is None:
            roots.append(draft.run)
        else:
            draft.parent.run.children.append(draft.run)
    return sorted(roots, key=lambda run: run.start_ns)


def _is_below(draft: _Draft | None, other: _Draft) -> bool:
    while draft is not None and draft is not other:
        draft = draft.parent
    return draft is other


def _text(payload: Mapping[str, Any], name: str) -> str:
    value = payload.get(name)
    return value if isinstance(value, str) else ""


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(t for t in value if isinstance(t, str)) if isinstance(value, list) else ()


def _counts(value: Any) -> dict[str, int]:
    if not isinstance(value, dict):
        return {}
    return {
        name: count
        for name, count in value.items()
        if isinstance(name, str) and type(count) is int and 0 <= count < _MOST_TOKENS
    }


def _duration(value: Any) -> float | None:
    if type(value) not in (int, float):
        return None
    try:
        duration_ms = float(value)
    except OverflowError:
        return None
    # Longer than a thousand years, it is no duration.
    return duration_ms if math.isfinite(duration_ms) and 0 <= duration_ms < 1e14 else None
