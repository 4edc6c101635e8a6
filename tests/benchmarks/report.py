"""The rows of the report: as a table, and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.table import Table

from tests.benchmarks.rounds import Spread

NOT_INSTALLED = "not installed"


@dataclass(frozen=True)
class Goal:
    """Ours is at most so many times the other, or at least so many times better."""

    kind: Literal["at most", "at least"]
    limit: float

    def __str__(self) -> str:
        return f"{'≤' if self.kind == 'at most' else '≥'} {self.limit:g}×"


@dataclass(frozen=True)
class Work:
    """Who worked how long for one call, in microseconds; the rest of the time somebody waited.

    Attributes:
        client_us: The process that called, all its threads together.
        server_us: The server, with reading and writing its sockets.
    """

    client_us: float
    server_us: float | None

    def to_dict(self) -> dict[str, float | None]:
        server_us = None if self.server_us is None else round(self.server_us, 1)
        return {"client": round(self.client_us, 1), "server": server_us}


@dataclass(frozen=True)
class Row:
    """One comparison.

    Attributes:
        what: What was measured.
        unit: Of the two figures; less is better.
        ours: Our figure.
        other: What it is compared with, None where there is nothing.
        other_name: What that is.
        goal: What was set as a goal for the ratio.
        spread: How ours / other varied.
        work: Who worked how long for ours.
        other_work: And for the other.

    The goal is for the ratio of the medians.
    """

    what: str
    unit: str
    ours: float
    other: float | None = None
    other_name: str = ""
    goal: Goal | None = None
    spread: Spread | None = None
    work: Work | None = None
    other_work: Work | None = None

    @property
    def ratio(self) -> float | None:
        """Ours / other; for "at least", how many times better ours is."""
        return self._turn(self.ours / self.other) if self.ours and self.other else None

    @property
    def ratio_spread(self) -> tuple[float, float] | None:
        """The middle half of the ratios that single rounds had."""
        if self.spread is None:
            return None
        low, high = sorted(map(self._turn, (self.spread.low, self.spread.high)))
        return low, high

    @property
    def best_ratio(self) -> float | None:
        """The ratio of the best rounds."""
        return None if self.spread is None else self._turn(self.spread.best)

    def _turn(self, cost: float) -> float:
        return 1 / cost if self.goal is not None and self.goal.kind == "at least" else cost

    @property
    def is_met(self) -> bool | None:
        """Whether the goal is met; None where there is none, or nobody to compare with."""
        if self.goal is None or self.ratio is None:
            return None
        if self.goal.kind == "at least":
            return self.ratio >= self.goal.limit
        return self.ratio <= self.goal.limit

    def to_dict(self) -> dict[str, Any]:
        spread = self.ratio_spread
        return {
            "what": self.what,
            "unit": self.unit,
            "ours": round(self.ours, 3),
            "other": None if self.other is None else round(self.other, 3),
            "other_name": self.other_name,
            "ratio": None if self.ratio is None else round(self.ratio, 3),
            "ratio_spread": spread and [round(end, 3) for end in spread],
            "best_ratio": None if self.best_ratio is None else round(self.best_ratio, 3),
            "goal": self.goal and str(self.goal),
            "ok": self.is_met,
            "cpu_us": self.work and self.work.to_dict(),
            "other_cpu_us": self.other_work and self.other_work.to_dict(),
        }


def make_table(title: str, rows: Iterable[Row]) -> Table:
    """Show rows as a table."""
    table = Table(title=title, title_justify="left")
    for column in ("what", "other is"):
        table.add_column(column)
    figures = ("ours", "CPU", "other", "CPU", "ratio (middle half)", "at best", "goal", "ok?")
    for column in figures:
        table.add_column(column, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(
            row.what,
            row.other_name,
            _show(row.ours, row.unit),
            _show_work(row.work),
            _show(row.other, row.unit),
            _show_work(row.other_work),
            _show_ratios(row.ratio, row.ratio_spread),
            _show_ratios(row.best_ratio),
            str(row.goal or ""),
            {True: "[green]yes[/]", False: "[red]no[/]", None: ""}[row.is_met],
        )
    return table


def print_rows(title: str, rows: Sequence[Row]) -> None:
    """Print rows as a table, wide enough also where the output is no terminal."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=150)
    console.print(make_table(title, rows))


def _show(figure: float | None, unit: str) -> str:
    if figure is None:
        return ""
    if unit == "µs" and figure >= 10_000:
        return f"{figure / 1000:,.1f} ms"
    return f"{figure:,.0f} {unit}".rstrip()


def _show_work(work: Work | None) -> str:
    """The client's and the server's microseconds."""
    if work is None:
        return ""
    server = "" if work.server_us is None else f"+{work.server_us:,.0f}"
    return f"{work.client_us:,.0f}{server}"


def _show_ratios(ratio: float | None, spread: tuple[float, float] | None = None) -> str:
    if ratio is None:
        return ""
    digits = 2 if ratio < 10 else 0
    shown = f"{ratio:.{digits}f}×"
    return f"{shown} ({spread[0]:.{digits}f}–{spread[1]:.{digits}f})" if spread else shown


def write_json(path: Path, rows: Sequence[Row], conditions: Mapping[str, Any]) -> None:
    """Write everything that was measured, and under which conditions."""
    document = {**conditions, "rows": [row.to_dict() for row in rows]}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", "utf-8")
