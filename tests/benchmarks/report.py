"""The rows of the report: as a table, and as JSON."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.table import Table

from tests.benchmarks.rounds import Spread

PACKAGES = (
    "langchain-redis-session",
    "langchain-core",
    "redis",
    "hiredis",
    "langchain-community",
    "openai-agents",
)
NOT_INSTALLED = "not installed"


@dataclass(frozen=True)
class Goal:
    """Ours is at most so many times the other, or at least so many times better."""

    kind: Literal["at most", "at least"]
    limit: float

    def __str__(self) -> str:
        return f"{'≤' if self.kind == 'at most' else '≥'} {self.limit:g}×"


@dataclass(frozen=True)
class Row:
    """One comparison.

    Attributes:
        what: What was measured.
        unit: Of the two figures; less is better, except per second.
        ours: Our figure.
        other: What it is compared with, None where there is nothing.
        other_name: What that is.
        goal: What was set as a goal for the ratio.
        spread: How ours / other varied.
    """

    what: str
    unit: str
    ours: float
    other: float | None = None
    other_name: str = ""
    goal: Goal | None = None
    spread: Spread | None = None

    @property
    def ratio(self) -> float | None:
        """Ours / other; for "at least", how many times better ours is."""
        if self.other is None or not self.ours or not self.other:
            return None
        cost = self.other / self.ours if self.unit == "/s" else self.ours / self.other
        return 1 / cost if self._counts_up else cost

    @property
    def _counts_up(self) -> bool:
        return self.goal is not None and self.goal.kind == "at least"

    @property
    def ratio_spread(self) -> tuple[float, float] | None:
        """The spread of `ratio`, lower end first."""
        if self.spread is None:
            return None
        low, high = self.spread.low, self.spread.high
        return (1 / high, 1 / low) if self._counts_up else (low, high)

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
            "goal": self.goal and str(self.goal),
            "ok": self.is_met,
        }


def make_table(title: str, rows: Iterable[Row]) -> Table:
    """Show rows as a table."""
    table = Table(title=title, title_justify="left")
    for column in ("what", "other is"):
        table.add_column(column)
    for column in ("ours", "other", "ratio", "goal", "ok?"):
        table.add_column(column, justify="right", no_wrap=True)
    for row in rows:
        ok = {True: "[green]yes[/]", False: "[red]no[/]", None: ""}[row.is_met]
        goal = str(row.goal or "")
        cells = (_show(row.ours, row.unit), _show(row.other, row.unit), _show_ratio(row), goal, ok)
        table.add_row(row.what, row.other_name, *cells)
    return table


def print_rows(title: str, rows: Sequence[Row]) -> None:
    """Print rows as a table, wide enough also where the output is no terminal."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=130)
    console.print(make_table(title, rows))


def _show(figure: float | None, unit: str) -> str:
    if figure is None:
        return ""
    if unit == "µs" and figure >= 10_000:
        return f"{figure / 1000:,.1f} ms"
    return f"{figure:,.0f} {unit}".rstrip()


def _show_ratio(row: Row) -> str:
    if row.ratio is None:
        return ""
    spread = row.ratio_spread
    digits = 2 if row.ratio < 10 else 0
    shown = f"{row.ratio:.{digits}f}×"
    return f"{shown} ({spread[0]:.{digits}f}–{spread[1]:.{digits}f})" if spread else shown


def write_json(path: Path, server: str, rows: Sequence[Row]) -> None:
    """Write everything that was measured, and with what."""
    document = {
        "server": server,
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "rows": [row.to_dict() for row in rows],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", "utf-8")


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
