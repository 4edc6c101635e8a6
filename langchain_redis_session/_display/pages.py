"""The frame of a page: a box, a head, what scrolls, tables; and how much a page can hold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from langchain_redis_session._display.markup import Markup, Part, element
from langchain_redis_session._display.styles import FRAME, PAGE, make_sheet, tag
from langchain_redis_session._display.wording import in_local_time, in_utc, name_zones

LARGEST_PAGE = 500_000
"""Bytes: notebooks keep what they show."""
ROOM = LARGEST_PAGE - 20_000
"""What a head and a style sheet leave of it."""


def render_page(*parts: Part) -> str:
    """Give a page."""
    page = element("div", *parts, **PAGE)
    return f"{make_sheet(page)}{page}"


def fit(parts: Iterable[Markup], room: int, *, note: Markup | None = None) -> Iterator[Markup]:
    """Give parts as long as there is room (in bytes) for them; a note where some are left out.

    >>> list(fit(map(Markup, ["ab", "cd", "e"]), 3, note=Markup("…")))
    ['ab', '…']
    """
    for part in parts:
        room -= len(part.encode())
        if room < 0:
            if note is not None:
                yield note
            return
        yield part


def render_scrolled(*parts: Part) -> Markup:
    """Show in a box that scrolls what may be long."""
    return tag("div", "scroll", *parts, style=FRAME)


def render_newest(*parts: Part) -> Markup:
    """Show in a box that scrolls, and opens at its end, what begins with the oldest."""
    return tag("div", "newest", tag("div", "newest content", *parts), style=FRAME)


def render_head(title: Iterable[Part], *lines: Iterable[Part]) -> Markup:
    """Show what a page is of, and what is to be known of it."""
    return tag(
        "div",
        "head",
        tag("div", "row", *title),
        *(tag("div", "dim", *parts) for line in lines if (parts := list(line))),
    )


def render_time(moment: datetime, *further: str, length: int = 19) -> Markup:
    """Show a time of this process's zone; in UTC, and what else is known, on pointing at it."""
    title = "\n".join([in_utc(moment), *further])
    return tag("span", "time", in_local_time(moment)[:length], title=title)


def render_zones(moments: Iterable[datetime]) -> Markup:
    """Say which zone the page's times are in: without a script, it can't be the reader's."""
    title = "the time zone of the Python process; point at a time to see it in UTC"
    return tag("span", "mark", f"times in {name_zones(moments)}", title=title)


def render_pair(name: str, value: Part) -> Markup:
    """Show a name and a value as a row."""
    return tag(
        "tr",
        "pair",
        tag("td", "pair name", tag("code", "name code", name)),
        tag("td", "pair value", value),
    )


def render_pairs(rows: Iterable[Markup]) -> Markup:
    """Show rows of names and values as a table."""
    return tag("div", "wide", tag("table", "pairs", tag("tbody", "pairs", *rows)))


def render_row(cells: Iterable[Markup]) -> Markup:
    """Show a row of a table."""
    return tag("tr", "table line", *cells)


def render_table(columns: Iterable[str], rows: Iterable[Markup]) -> Markup:
    """Show rows below the names of their columns."""
    head = render_row(tag("th", "heading", name) for name in columns)
    parts = tag("thead", "table line", head), tag("tbody", "table line", *rows)
    return tag("div", "wide", tag("table", "table", *parts))
