"""A session as a readable transcript.

The HTML stands on its own: nothing in it is run or loaded. Whatever a session holds is text
here: only `element` makes markup, and it escapes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from langchain_redis_session._display.markup import Markup, Part, join
from langchain_redis_session._display.messages import render_events
from langchain_redis_session._display.pages import (
    ROOM,
    fit,
    render_head,
    render_newest,
    render_page,
    render_pair,
    render_pairs,
    render_time,
    render_zones,
)
from langchain_redis_session._display.shown import ShownEvent, ShownKey, ShownSession, ShownSummary
from langchain_redis_session._display.styles import tag
from langchain_redis_session._display.texts import fold_markup, render_text
from langchain_redis_session._display.wording import (
    count,
    cut,
    cut_loudly,
    peek,
    time_of,
    to_line,
)

MOST_EVENTS = 200
"""So many events are shown at most, the newest: a page has to stay a page."""
LONG_VALUE = 300
_LARGEST_STATE = 60_000
_MOST_TRACKS = 100
_SCOPES = {"user": 1, "app": 2}


def render_session(session: ShownSession) -> str:
    """Give a session as a page: who and when, the events, the state, the tracks."""
    above = join(_render_part_summary(session.summary))
    below = join([*_render_state(session.state), *_render_tracks(session.tracks)])
    shown, events = _render_newest(session.events, len((above + below).encode()))
    return render_page(_render_session_head(session, shown), above, *events, below)


def render_new_session(key: ShownKey) -> str:
    """Give a session as a page that is not stored yet."""
    return render_page(render_head(_name_session(key), ["nothing is stored yet"]))


def render_event_list(events: Sequence[ShownEvent]) -> str:
    """Give events of any sessions as a page."""
    shown, parts = _render_newest(events)
    title = tag("b", "title", count(len(events), "event") if events else "no events")
    known: list[Part] = []
    if len(shown) < len(events):
        known.append(f"the last {len(shown):,} are shown · ")
    if shown:
        known.append(render_zones(_moments(shown)))
    return render_page(render_head([title], known), *parts)


def render_summary(summary: ShownSummary) -> str:
    """Give a summary as a page."""
    title: list[Part] = [tag("b", "title", "summary")]
    if summary.filter_key:
        title += [" of ", tag("b", "strong", cut(summary.filter_key, LONG_VALUE))]
    moments = time_of(summary.boundary.cutoff_ns), summary.updated_at
    return render_page(
        render_head(title, _tell_of_summary(summary), [render_zones(moments)]),
        tag("div", "body", render_text(summary.text), *_render_topics(summary.topics)),
    )


def render_summary_list(summaries: Sequence[ShownSummary]) -> str:
    """Give the summaries of a session as a page."""
    title = tag("b", "title", count(len(summaries), "summary") if summaries else "no summaries")
    sections = list(fit(map(_render_one_summary, summaries), ROOM))
    known: list[Part] = []
    if len(sections) < len(summaries):
        known.append(f"the first {len(sections):,} are shown · ")
    if summaries:
        known.append(render_zones(summary.updated_at for summary in summaries))
    return render_page(render_head([title], known), *sections)


def _render_one_summary(summary: ShownSummary) -> Markup:
    return tag(
        "div",
        "section",
        tag("b", "strong", cut(summary.filter_key, LONG_VALUE) or "the whole session"),
        tag("div", "dim", *_tell_of_summary(summary)),
        render_text(summary.text),
        *_render_topics(summary.topics),
    )


def _tell_of_summary(summary: ShownSummary) -> list[Part]:
    upto = render_time(time_of(summary.boundary.cutoff_ns))
    return ["of what was said up to ", upto, " · made ", render_time(summary.updated_at)]


def _render_topics(topics: Sequence[str]) -> Iterator[Markup]:
    if topics:
        yield tag("div", "dim", f"topics: {cut(', '.join(topics), LONG_VALUE)}")


def _render_session_head(session: ShownSession, shown: Sequence[ShownEvent]) -> Markup:
    times: list[Part] = [
        *("created ", render_time(session.created_at)),
        *(" · updated ", render_time(session.updated_at)),
        " · ",
        render_zones([session.created_at, session.updated_at, *_moments(shown)]),
    ]
    gone = [f"its {' and '.join(session.missing)} can't be read"] if session.missing else []
    counts = [_tell_count(session, len(shown))]
    return render_head(_name_session(session.key), counts, times, gone)


def _name_session(key: ShownKey) -> list[Part]:
    title: list[Part] = ["session ", tag("b", "title", key.session_id)]
    for name, value in (("app", key.app_name), ("user", key.user_id)):
        title += [" ", tag("span", "gap", f"{name} "), tag("b", "strong", value)]
    return title


def _tell_count(session: ShownSession, shown: int) -> str:
    """Say how many events there are, and how many of them are shown."""
    read = len(session.events)
    total = session.event_count
    if total is not None and total > shown:
        which = f"the newest {shown:,} are shown" if shown else "not read"
        return f"{count(total, 'event')}, {which}"
    if not read:
        return "events not read" if session.is_cut else "no events yet"
    known = f"{count(read, 'event')}{' read' if session.is_cut else ''}"
    if shown < read:
        known = f"{known}, the newest {shown:,} are shown"
    return f"{known}; earlier ones were left out or removed" if session.is_cut else known


def _moments(events: Iterable[ShownEvent]) -> Iterator[datetime]:
    return (time_of(event.time_ns) for event in events)


def _render_part_summary(summary: ShownSummary | None) -> Iterator[Markup]:
    if summary is not None:
        title = ["summary ", tag("span", "gap", peek(summary.text))]
        inside = [render_text(summary.text), tag("div", "dim", *_tell_of_summary(summary))]
        yield tag("div", "section", fold_markup(title, tag("div", "inside", *inside)))


def _render_newest(
    events: Sequence[ShownEvent], taken: int = 0
) -> tuple[Sequence[ShownEvent], list[Markup]]:
    """Give the newest events that a page has room for, and the box with them."""
    parts = render_events(events[-MOST_EVENTS:], ROOM - taken)
    shown = events[len(events) - len(parts) :]
    return shown, [render_newest(*parts)] if parts else []


def _render_state(state: Mapping[str, Any]) -> Iterator[Markup]:
    if state:
        # The session's own values first, then those it shares.
        names = sorted(state, key=lambda name: (_SCOPES.get(name.partition(":")[0], 0), name))
        rows = list(fit((_render_value(name, state[name]) for name in names), _LARGEST_STATE))
        parts = [tag("b", "strong", "state"), render_pairs(rows)]
        if len(rows) < len(names):
            parts.append(tag("div", "dim", f"… {len(names) - len(rows):,} more"))
        yield tag("div", "section", *parts)


def _render_value(name: str, value: Any) -> Markup:
    return render_pair(cut(name, 60), tag("code", "code", cut_loudly(to_line(value), LONG_VALUE)))


def _render_tracks(tracks: Sequence[str]) -> Iterator[Markup]:
    names = [cut(name, 60) for name in tracks[:_MOST_TRACKS]]
    if len(tracks) > _MOST_TRACKS:
        names.append(f"… {len(tracks) - _MOST_TRACKS:,} more")
    if names:
        shown = [part for name in names for part in (" ", tag("span", "gap", name))]
        yield tag("div", "section", tag("b", "strong", "tracks"), *shown)
