"""The frame of a page: a box, a head, sections, tables."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from langchain_redis_session._display.markup import Markup, Part
from langchain_redis_session._display.styles import tag
from langchain_redis_session._display.wording import in_local_time, in_utc, name_zones


def render_page(*parts: Part) -> str:
    """Give a page."""
    # Jupyter would typeset "$5 or $6" as mathematics.
    names = {"class": "langchain-redis-session tex2jax_ignore mathjax_ignore"}
    return str(tag("div", "box", *parts, **names))


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


def render_pairs(pairs: Iterable[tuple[str, Part]]) -> Markup:
    """Show names and values as a table."""
    rows = (
        tag(
            "tr",
            "pair",
            tag("td", "pair name", tag("code", "name code", name)),
            tag("td", "pair value", value),
        )
        for name, value in pairs
    )
    return tag("div", "wide", tag("table", "pairs", tag("tbody", "pairs", *rows)))


def render_table(columns: Iterable[str], rows: Iterable[Iterable[Markup]]) -> Markup:
    """Show cells below the names of their columns."""
    head = tag("tr", "table line", *(tag("th", "heading", name) for name in columns))
    body = (tag("tr", "table line", *cells) for cells in rows)
    parts = tag("thead", "table line", head), tag("tbody", "table line", *body)
    return tag("div", "wide", tag("table", "table", *parts))
