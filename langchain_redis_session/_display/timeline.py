"""A tree of runs as a timeline, for Jupyter: one row a run, one bar its time.

As with sessions, the HTML stands on its own and can't run or load anything; the picture is
inline SVG, in colours that go with light and dark themes.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from langchain_redis_session._display.markup import Markup, Part, element
from langchain_redis_session._display.pages import (
    render_head,
    render_page,
    render_time,
    render_zones,
)
from langchain_redis_session._display.run_text import (
    format_duration,
    format_usage,
    total_usage,
    visible_runs,
)
from langchain_redis_session._display.shown import ShownRun, ShownRuns
from langchain_redis_session._display.styles import tag
from langchain_redis_session._display.texts import fold
from langchain_redis_session._display.wording import count, in_local_time, in_utc, time_of

MOST_ROWS = 100
"""So many runs are drawn: a page has to stay a page."""
MOST_LINES = 1000
"""So many are told of in the text."""

_WIDTH = 960.0
_ROW, _BAR, _AXIS, _GAP = 22.0, 14.0, 24.0, 12.0
_MARGIN, _LABELS = 16.0, 170.0
_INDENT, _MOST_INDENTS = 14.0, 8
_NAMES_FROM, _NAMES_TO = 120.0, 300.0
_LONGEST_TITLE = 500

_COLOURS = {
    "chain": "#8b95a5",
    "model": "#16a34a",
    "tool": "#d97706",
    "retriever": "#8b5cf6",
}
_OTHER = "#0891b2"
_ERROR = "#e5484d"

_STEPS_MS = [
    *(step * 10.0**power for power in range(-4, 4) for step in (1, 2, 5)),
    *(1000.0 * s for s in (10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200)),
]
_DAY_MS = 86_400_000.0


@dataclass
class _Row:
    depth: int
    run: ShownRun


@dataclass
class _Panel:
    """Rows that share an axis.

    `span_ns` is never 0.
    """

    start_ns: int
    end_ns: int
    rows: list[_Row]

    @property
    def span_ns(self) -> int:
        return max(self.end_ns - self.start_ns, 1)


def render_runs(tree: ShownRuns) -> str:
    """Give a tree as HTML: what it was in all, the timeline, and the same as text."""
    drawn, left_out = _choose(tree)
    panels = _share_axes(drawn)
    parts = [_render_head(tree)]
    if left_out:
        parts.append(tag("div", "note", f"… {count(left_out, 'more run')} not drawn"))
    if panels:
        parts.append(tag("div", "picture", _draw(panels)))
    lines = list(islice(str(tree).split("\n"), MOST_LINES)) if panels else []
    if lines:
        parts.append(tag("div", "section", fold(["as text"], "\n".join(lines))))
    return render_page(*parts)


def _render_head(tree: ShownRuns) -> Markup:
    runs = [run for _, _, run in visible_runs(tree.roots)]
    title: list[Part] = [tag("b", "title", count(len(runs), "run") if runs else "no runs")]
    usage = format_usage(total_usage(runs))
    if usage:
        title += [" ", tag("span", "gap", usage)]
    errors = sum(1 for run in runs if run.error)
    if errors:
        title += [" ", tag("b", "error", count(errors, "error"))]
    if not runs:
        return render_head(title)
    start = time_of(min(run.start_ns for run in runs))
    return render_head(title, ["from ", render_time(start), " · ", render_zones([start])])


# What is drawn


def _choose(tree: ShownRuns) -> tuple[list[list[_Row]], int]:
    """Give the rows of each outermost run, the newest ones if there are too many."""
    trees: list[list[_Row]] = []
    for depth, _, run in visible_runs(tree.roots):
        if depth == 0:
            trees.append([])
        trees[-1].append(_Row(depth, run))
    chosen: list[list[_Row]] = []
    room = MOST_ROWS
    for rows in reversed(trees):
        if len(rows) > room and chosen:
            break
        chosen.insert(0, rows[:room])
        room -= len(rows)
        if room <= 0:
            break
    return chosen, sum(map(len, trees)) - sum(map(len, chosen))


def _share_axes(trees: list[list[_Row]]) -> list[_Panel]:
    """Put trees that follow each other closely on one axis; a long pause begins another."""
    panels: list[_Panel] = []
    for rows in trees:
        start_ns = min(row.run.start_ns for row in rows)
        end_ns = max(_end_of(row.run) for row in rows)
        panel = panels[-1] if panels else None
        if panel is None or start_ns - panel.end_ns > min(panel.span_ns, end_ns - start_ns) / 2:
            panels.append(_Panel(start_ns, end_ns, list(rows)))
        else:
            panel.start_ns = min(panel.start_ns, start_ns)
            panel.end_ns = max(panel.end_ns, end_ns)
            panel.rows += rows
    return panels


def _end_of(run: ShownRun) -> int:
    return run.start_ns if run.end_ns is None else max(run.end_ns, run.start_ns)


# Drawing


def _draw(panels: list[_Panel]) -> Markup:
    rows = [row for panel in panels for row in panel.rows]
    widest = max(_width(row.run.name, _size(row)) + _indent(row.depth) for row in rows)
    left = _MARGIN + min(max(widest + 12, _NAMES_FROM), _NAMES_TO)
    parts = list(_draw_legend(rows))
    top = _ROW + 4.0
    for panel in panels:
        parts += _draw_panel(panel, left, top)
        top += _AXIS + _ROW * len(panel.rows) + _GAP
    return tag(
        "svg",
        "drawing",
        *parts,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {_WIDTH:g} {top:g}",
        width="100%",
        role="img",
        aria_label=f"Timeline of {count(len(rows), 'run')}",
        font_family="var(--jp-ui-font-family,system-ui,sans-serif)",
        font_size="12",
        fill="currentColor",
    )


def _draw_legend(rows: Sequence[_Row]) -> Iterator[Markup]:
    kinds = {row.run.kind for row in rows}
    shown = [(kind, colour) for kind, colour in _COLOURS.items() if kind in kinds]
    if kinds - _COLOURS.keys():
        shown.append(("other", _OTHER))
    if any(row.run.error for row in rows):
        shown.append(("error", _ERROR))
    x = _MARGIN
    for kind, colour in shown:
        is_error = kind == "error"
        style = {"fill": "none", "stroke": colour, "stroke_width": 1.6} if is_error else {}
        yield _box(x, 8, 11, 11, rx=2.5, **({"fill": colour} | style))
        yield _text(x + 16, 18, kind, opacity=0.75)
        x += 16 + _width(kind) + 20


def _draw_panel(panel: _Panel, left: float, top: float) -> Iterator[Markup]:
    right = _WIDTH - _LABELS
    scale = (right - left) / panel.span_ns
    bottom = top + _AXIS + _ROW * len(panel.rows)
    yield _text(
        _MARGIN, top + 16, in_local_time(time_of(panel.start_ns))[11:], opacity=0.6, font_size=11
    )
    for at_ms, label in _ticks(panel.span_ns / 1e6, right - left):
        x = left + at_ms * 1e6 * scale
        yield element(
            "line",
            **_at(x1=x, x2=x, y1=top + 20, y2=bottom),
            stroke="currentColor",
            stroke_opacity=0.14,
        )
        yield _text(x, top + 16, label, text_anchor="middle", opacity=0.6, font_size=11)
    for number, row in enumerate(panel.rows):
        y = top + _AXIS + _ROW * number
        yield _draw_row(row, panel, left, scale, y)


def _draw_row(row: _Row, panel: _Panel, left: float, scale: float, y: float) -> Markup:
    run = row.run
    indent = _indent(row.depth)
    name = _fit(run.name or "…", left - _MARGIN - indent - 10, _size(row))
    start = left + (run.start_ns - panel.start_ns) * scale
    is_open = run.end_ns is None
    end = left + ((panel.end_ns if is_open else _end_of(run)) - panel.start_ns) * scale
    width = max(end - start, 2.5)
    label = format_duration(run.duration_ms)
    label_x = start + width + 6
    parts = [
        element("title", _tell(run)),
        # Something to point at all along the row.
        _box(0, y, _WIDTH, _ROW, fill="currentColor", fill_opacity=0),
        _text(_MARGIN + indent, y + 15.5, name, **_emphasis(row)),
        _box(start, y + 4, width, _BAR, rx=min(3.0, width / 2), **_paint(run, is_open)),
        _text(label_x, y + 15.5, label, opacity=0.8, font_size=11),
    ]
    rest = _WIDTH - _MARGIN - label_x - _width(label, 11) - 8
    further = run.error.split("\n")[0] or format_usage(run.usage)
    if further and rest > 40:
        parts.append(
            _text(
                label_x + _width(label, 11) + 8,
                y + 15.5,
                _fit(further, rest, 11),
                font_size=11,
                **({"fill": _ERROR} if run.error else {"opacity": 0.6}),
            )
        )
    return element("g", *parts)


def _paint(run: ShownRun, is_open: bool) -> dict[str, object]:
    colour = _COLOURS.get(run.kind, _OTHER)
    paint: dict[str, object] = {"fill": colour}
    if run.kind == "chain":  # what holds others stands back
        paint["fill_opacity"] = 0.55
    if is_open:
        paint |= {"fill_opacity": 0.15, "stroke": colour, "stroke_dasharray": "4 3"}
    if run.error:
        paint |= {"stroke": _ERROR, "stroke_width": 1.6}
    return paint


def _emphasis(row: _Row) -> dict[str, object]:
    if row.run.error:
        return {"fill": _ERROR}
    if row.depth == 0:
        return {"font_weight": 600}
    return {"opacity": 0.75} if row.run.kind == "chain" else {}


def _tell(run: ShownRun) -> str:
    """All that is worth telling of a run, for pointing at it."""
    lines = [
        f"{run.name} ({run.kind})" if run.kind else run.name,
        f"{in_utc(time_of(run.start_ns))}, {format_duration(run.duration_ms)}",
        f"model {run.model}" if run.model else "",
        format_usage(run.usage),
        run.error,
    ]
    text = "\n".join(line for line in lines if line)
    return text if len(text) <= _LONGEST_TITLE else f"{text[:_LONGEST_TITLE]}…"


def _ticks(span_ms: float, width: float) -> Iterator[tuple[float, str]]:
    """Places and labels of an axis, about a hundred pixels apart or more."""
    most = max(1.0, width / 90)
    step = next((s for s in _STEPS_MS if span_ms / s <= most), 0.0)
    if not step:
        step = _DAY_MS * math.ceil(span_ms / _DAY_MS / most)
    for number in range(int(span_ms / step * (1 + 1e-9)) + 1):
        yield number * step, _tick_label(number * step, step)


def _tick_label(at_ms: float, step: float) -> str:
    if not at_ms:
        return "0"
    for unit_ms, unit in ((_DAY_MS, "d"), (3_600_000, "h"), (60_000, "min"), (1000, "s")):
        if step >= unit_ms or (unit == "s" and step >= 100):
            return f"{at_ms / unit_ms:g} {unit}"
    return f"{at_ms:g} ms" if step >= 0.1 else f"{at_ms * 1000:g} µs"


def _size(row: _Row) -> float:
    return 12 if row.depth else 13.2  # bold is wider


def _indent(depth: int) -> float:
    return min(depth, _MOST_INDENTS) * _INDENT


def _width(text: str, size: float = 12) -> float:
    """About how wide a text is: SVG can't say."""
    return sum(_character_width(c) for c in text) * size


def _character_width(character: str) -> float:
    if character in " .,:;|!'ijl":
        return 0.32
    if unicodedata.east_asian_width(character) in "WF":
        return 1.05
    return 0.72 if character.isupper() or character in "mw—→" else 0.6


def _fit(text: str, width: float, size: float = 12) -> str:
    """Cut a text so that it fits."""
    room = width
    for place, character in enumerate(text):
        room -= _character_width(character) * size
        if room < 0:
            return f"{text[: max(place - 1, 1)]}…"
    return text


def _text(x: float, y: float, text: str, **attributes: object) -> Markup:
    return element("text", text, **_at(x=x, y=y), **attributes)


def _box(x: float, y: float, width: float, height: float, **attributes: object) -> Markup:
    return element("rect", **_at(x=x, y=y, width=width, height=height), **attributes)


def _at(**numbers: float) -> dict[str, object]:
    return {name: f"{number:.6g}" for name, number in numbers.items()}
