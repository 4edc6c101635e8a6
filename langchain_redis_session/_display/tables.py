"""Lists and counters as tables: a user's sessions, a track, what a service counted."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

from langchain_redis_session._display.markup import Markup, Part
from langchain_redis_session._display.messages import first_text, role_of
from langchain_redis_session._display.pages import (
    ROOM,
    fit,
    render_head,
    render_newest,
    render_page,
    render_pair,
    render_pairs,
    render_row,
    render_scrolled,
    render_table,
    render_time,
    render_zones,
)
from langchain_redis_session._display.shown import ShownSession, ShownTrackEvent
from langchain_redis_session._display.styles import tag
from langchain_redis_session._display.texts import fold
from langchain_redis_session._display.wording import (
    count,
    cut,
    cut_loudly,
    name_size,
    peek,
    time_of,
    to_json,
    to_line,
)

MOST_ROWS = 200
_LONG_PAYLOAD = 160


def render_session_list(sessions: Sequence[ShownSession]) -> str:
    """Give sessions as a page: one line each."""
    shown = sessions[:MOST_ROWS]
    users = dict.fromkeys((s.key.app_name, s.key.user_id) for s in shown)
    title: list[Part] = [
        tag("b", "title", count(len(sessions), "session") if sessions else "no sessions")
    ]
    if len(users) == 1:
        for label, name in zip(("app", "user"), *users, strict=True):
            title += [" ", tag("span", "gap", f"{label} "), tag("b", "strong", name)]
    known: list[Part] = []
    if len(shown) < len(sessions):
        known.append(f"the first {len(shown):,} are shown · ")
    if shown:
        known.append(render_zones(session.updated_at for session in shown))
    columns = [*(["app", "user"] if len(users) > 1 else []), "session"]
    columns += ["events", "updated", "last message"]
    parts = [render_head(title, known)]
    if shown:
        rows = (render_row(_render_session_row(session, len(users) > 1)) for session in shown)
        parts.append(render_scrolled(tag("div", "scrolled", render_table(columns, rows))))
    return render_page(*parts)


def _render_session_row(session: ShownSession, names_user: bool) -> Iterator[Markup]:
    key = session.key
    if names_user:
        yield tag("td", "name", key.app_name)
        yield tag("td", "name", key.user_id)
    yield tag("td", "name", tag("b", "strong", key.session_id))
    total = session.event_count
    if total is None:
        total = None if session.is_cut else len(session.events)
    yield tag("td", "number", "" if total is None else f"{total:,}")
    yield tag("td", "number", render_time(session.updated_at, length=16))
    messages = [e.message for e in session.events[-1:] if e.message is not None]
    last = session.last_message or (messages[0] if messages else None)
    said: list[Part] = []
    if last is not None:
        said = [tag("span", "dim", f"{cut(role_of(last), _LONG_PAYLOAD)}: "), first_text(last)]
    if session.missing:
        said.append(tag("span", "dim", f" ({' and '.join(session.missing)} can't be read)"))
    yield tag("td", "cell", *said)


def render_track(events: Sequence[ShownTrackEvent]) -> str:
    """Give the events of a track as a page: one line each, long payloads folded."""
    newest = events[-MOST_ROWS:]
    names = dict.fromkeys(event.track for event in newest)
    title: list[Part] = []
    if names:
        title += ["track ", tag("b", "title", cut(", ".join(names), _LONG_PAYLOAD)), " "]
    title.append(tag("span", "gap", count(len(events), "event") if events else "no events"))
    all_rows = (render_row(_render_track_row(e, len(names) > 1)) for e in reversed(newest))
    rows = list(fit(all_rows, ROOM))[::-1]
    known: list[Part] = []
    if len(rows) < len(events):
        known.append(f"the last {len(rows):,} are shown · ")
    parts = []
    if rows:
        known.append(render_zones(time_of(event.time_ns) for event in newest[-len(rows) :]))
        columns = ["time", *(["track"] if len(names) > 1 else []), "payload"]
        parts.append(render_newest(tag("div", "scrolled", render_table(columns, rows))))
    return render_page(render_head(title, known), *parts)


def _render_track_row(event: ShownTrackEvent, names_track: bool) -> Iterator[Markup]:
    moment = time_of(event.time_ns)
    yield tag("td", "number", render_time(moment, f"event {cut(event.id, _LONG_PAYLOAD)}"))
    if names_track:
        yield tag("td", "name", cut(event.track, _LONG_PAYLOAD))
    line = to_line(event.payload)
    if len(line) <= _LONG_PAYLOAD:
        yield tag("td", "cell", tag("code", "code", line))
    else:
        shown = tag("code", "code", peek(line, _LONG_PAYLOAD // 2))
        yield tag("td", "cell", fold([shown], to_json(event.payload), "json"))


def render_stats(stats: Any) -> str:
    """Give counters, members of a dataclass, as a page."""
    title = tag("b", "title", _TITLES.get(type(stats).__name__, "counters"))
    return render_page(
        render_head([title], ["in this process, since the service was made"]),
        *_render_counters(_members_of(stats)),
    )


_TITLES = {
    "PersistStats": "what write-behind did",
    "ServiceStats": "what the service counted",
    "SummaryStats": "what summary jobs did",
}


def _members_of(group: Any) -> dict[str, Any]:
    return {member.name: getattr(group, member.name) for member in dataclasses.fields(group)}


def _render_counters(counted: dict[str, Any], name: str = "") -> Iterator[Markup]:
    plain = {n: v for n, v in counted.items() if not isinstance(v, dict) and not _is_group(v)}
    rows = [
        render_pair(n, tag("span", "time", _tell(n, v))) for n, v in plain.items() if v is not None
    ]
    head = [tag("b", "strong", name)] if name else []
    if rows:
        yield tag("div", "section" if name else "body", *head, render_pairs(rows))
    for inner, value in counted.items():
        if isinstance(value, dict) and value:
            yield from _render_counters(value, inner)
        elif _is_group(value):
            yield from _render_counters(_members_of(value), inner)


def _is_group(value: Any) -> bool:
    return dataclasses.is_dataclass(value) and not isinstance(value, type)


def _tell(name: str, value: Any) -> str:
    if name.startswith("bytes"):
        return name_size(value)
    if type(value) is int:
        return f"{value:,}"
    if type(value) is float:
        return f"{value:,.4g}"
    if isinstance(value, str):
        return cut_loudly(value, 300) or "none"
    return to_line(value)
