"""A session as a readable transcript.

The HTML stands on its own: nothing in it is run or loaded. Whatever a session holds is text
here: only `element` makes markup, and it escapes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from langchain_redis_session._display.markup import Markup, Part
from langchain_redis_session._display.messages import render_events
from langchain_redis_session._display.pages import (
    render_head,
    render_page,
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
"""So many events are shown, the newest: a page has to stay a page."""
LONG_VALUE = 300
_SCOPES = {"user": 1, "app": 2}


def render_session(session: ShownSession) -> str:
    """Give a session as a page: who and when, the events, the state, the tracks."""
    shown = session.events[-MOST_EVENTS:]
    return render_page(
        _render_session_head(session, shown),
        *_render_part_summary(session.summary),
        *_render_scrolled(shown),
        *_render_state(session.state),
        *_render_tracks(session.tracks),
    )


def render_new_session(key: ShownKey) -> str:
    """Give a session as a page that is not stored yet."""
    return render_page(render_head(_name_session(key), ["nothing is stored yet"]))


def render_event_list(events: Sequence[ShownEvent]) -> str:
    """Give events of any sessions as a page."""
    shown = events[-MOST_EVENTS:]
    title = tag("b", "title", count(len(events), "event") if events else "no events")
    known: list[Part] = []
    if len(shown) < len(events):
        known.append(f"the newest {len(shown):,} are shown · ")
    if shown:
        known.append(render_zones(_moments(shown)))
    return render_page(render_head([title], known), *_render_scrolled(shown))


def render_summary(summary: ShownSummary) -> str:
    """Give a summary as a page."""
    title: list[Part] = [tag("b", "title", "summary")]
    if summary.filter_key:
        title += [" of ", tag("b", "strong", summary.filter_key)]
    moments = time_of(summary.boundary.cutoff_ns), summary.updated_at
    return render_page(
        render_head(title, _tell_of_summary(summary), [render_zones(moments)]),
        tag("div", "body", render_text(summary.text), *_render_topics(summary.topics)),
    )


def render_summary_list(summaries: Sequence[ShownSummary]) -> str:
    """Give the summaries of a session as a page."""
    title = tag("b", "title", count(len(summaries), "summary") if summaries else "no summaries")
    zones = [render_zones(summary.updated_at for summary in summaries)] if summaries else []
    sections = (
        tag(
            "div",
            "section",
            tag("b", "strong", summary.filter_key or "the whole session"),
            tag("div", "dim", *_tell_of_summary(summary)),
            render_text(summary.text),
            *_render_topics(summary.topics),
        )
        for summary in summaries
    )
    return render_page(render_head([title], zones), *sections)


def _tell_of_summary(summary: ShownSummary) -> list[Part]:
    upto = render_time(time_of(summary.boundary.cutoff_ns))
    return ["of what was said up to ", upto, " · made ", render_time(summary.updated_at)]


def _render_topics(topics: Sequence[str]) -> Iterator[Markup]:
    if topics:
        yield tag("div", "dim", f"topics: {', '.join(topics)}")


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


def _render_scrolled(events: Sequence[ShownEvent]) -> Iterator[Markup]:
    if events:
        yield tag("div", "scroll", *render_events(events))


def _render_state(state: Mapping[str, Any]) -> Iterator[Markup]:
    if state:
        # The session's own values first, then those it shares.
        names = sorted(state, key=lambda name: (_SCOPES.get(name.partition(":")[0], 0), name))
        pairs = (
            (cut(name, 60), tag("code", "code", cut_loudly(to_line(state[name]), LONG_VALUE)))
            for name in names
        )
        yield tag("div", "section", tag("b", "strong", "state"), render_pairs(pairs))


def _render_tracks(tracks: Iterable[str]) -> Iterator[Markup]:
    names = [part for name in tracks for part in (" ", tag("span", "gap", name))]
    if names:
        yield tag("div", "section", tag("b", "strong", "tracks"), *names)
