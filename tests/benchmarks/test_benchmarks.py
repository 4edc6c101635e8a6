"""The benchmarks run and tell what they measured; how long anything takes is not asserted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks import tables
from tests.benchmarks.__main__ import main
from tests.benchmarks.agents import OTHERS
from tests.benchmarks.report import Goal, Row
from tests.benchmarks.rounds import Contender, Timing, compare_rounds, measure
from tests.benchmarks.tables import fill_page, list_pages, read_results
from tests.servers import ServerBinary

MEMBERS = {
    "what",
    "unit",
    "ours",
    "other",
    "other_name",
    "ratio",
    "ratio_spread",
    "best_ratio",
    "goal",
    "ok",
    "cpu_us",
    "other_cpu_us",
}


@pytest.mark.filterwarnings("default")  # the packages that are compared with give some
def test_a_quick_run_reports_every_row(
    redis_binary: ServerBinary, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "somewhere" / "benchmarks.json"
    main(["--quick", "--output", str(output)])
    report = json.loads(output.read_text("utf-8"))
    rows: list[dict[str, Any]] = report["rows"]
    assert report["packages"]["redis"]
    assert report["server"].startswith(("Redis ", "Valkey "))
    assert isinstance(report["quiet"], bool)
    assert all(row.keys() == MEMBERS for row in rows)
    assert "In memory" in capsys.readouterr().out
    assert any(row["what"].startswith("memory of a message of 500 characters") for row in rows)
    hooks = [row for row in rows if row["other_name"] == "no callbacks="]
    assert [row["what"].split(", ")[1] for row in hooks] == [
        "callbacks=[]",
        "one hook",
        "enable_tracing",
        "one async hook",
        "one inline hook",
        "one plain hook",
        "one hook",
    ]
    assert all(row["ours"] > 0 < row["other"] for row in hooks)

    memories = [row for row in rows if row["what"] == "an agent's memory after 2 turns"]
    assert [row["other_name"].partition(":")[0] for row in memories] == list(OTHERS)
    assert memories[-1]["other"] > memories[-1]["ours"] > 0

    counted = {(row["what"], row["unit"]): row["ours"] for row in rows}
    for what, most in (("append 1", 1), ("append 10", 2), ("read all", 1)):
        # A busy server may read a large request in two parts.
        assert 1 <= counted[what, "round trips"] <= most
        assert counted[what, "commands"] == 1
    assert counted["append 1", "in scripts"] == counted["append 10", "in scripts"]


@pytest.mark.parametrize(
    ("goal", "ratio", "ok"),
    [
        (None, 0.5, None),
        (Goal("at most", 0.5), 0.5, True),
        (Goal("at most", 0.4), 0.5, False),
        (Goal("at least", 2), 2, True),
        (Goal("at least", 2.1), 2, False),
    ],
)
def test_a_row_says_whether_its_goal_is_met(
    goal: Goal | None, ratio: float, ok: bool | None
) -> None:
    row = Row("what", "µs", 10.0, 20.0, "other", goal)
    assert (row.ratio, row.is_met) == (ratio, ok)


def test_nobody_to_compare_with() -> None:
    row = Row("what", "µs", 10.0, None, "other: not installed", Goal("at most", 1))
    assert (row.ratio, row.ratio_spread, row.best_ratio, row.is_met) == (None, None, None, None)


def test_contenders_take_turns() -> None:
    order: list[str] = []
    contenders = [
        Contender(lambda times: order.extend("a" * times), 2),
        Contender(lambda times: order.extend("b" * times), 2),
    ]
    first, second = measure(contenders, rounds=3)
    assert "".join(order) == "ab" + "aabb" + "bbaa" + "aabb"
    assert len(first.rounds) == len(second.rounds) == 3


def test_spread_turns_with_the_ratio() -> None:
    spread = compare_rounds(Timing([1, 2, 3, 4]), Timing([2, 2, 2, 2]))
    assert (spread.low, spread.high, spread.best) == (0.875, 1.625, 0.5)
    row = Row("what", "µs", 2.5, 2.0, "other", Goal("at least", 1), spread)
    assert row.ratio_spread == (1 / 1.625, 1 / 0.875)
    assert row.best_ratio == 2


def test_the_tables_of_the_pages_are_made_from_the_results() -> None:
    results = read_results()
    pages = list(list_pages())
    assert pages
    for page, text in pages:
        assert fill_page(text, results) == text, f"python -m tests.benchmarks.tables; {page.name}"


@pytest.mark.parametrize(
    ("ours", "other", "unit", "shown"),
    [
        (100.0, 250.0, "µs", "| it | 100 µs | peer: 250 µs | **2.5× as fast** |"),
        (1500.0, 1000.0, "µs", "| it | 1.5 ms | peer: 1.0 ms | 1.50× the time |"),
        (854.4, 686.0, "B", "| it | 854 B | peer: 686 B | 1.25× |"),
        (100.0, 25_000.0, "µs", "| it | 100 µs | peer: 25.0 ms | **250× as fast** |"),
    ],
)
def test_a_line_of_a_table(
    monkeypatch: pytest.MonkeyPatch, ours: float, other: float, unit: str, shown: str
) -> None:
    monkeypatch.setattr(tables, "TABLES", {"t": [("it", "what", "peer")]})
    row = Row("what", unit, ours, other, "peer", Goal("at least", 1))
    conditions = {
        "packages": {"redis": "8.0.1"},
        "quiet": False,
        "server": "Redis 7.0.15",
        "python": "3.11.2",
        "processors": 2,
        "measured_on": "2026-01-02",
    }
    page = "A\n<!-- bench:begin t -->\nold\n<!-- bench:end -->\nB\n"
    filled = fill_page(page, {**conditions, "rows": [row.to_dict()]})
    assert shown in filled.splitlines()
    assert "Redis 7.0.15 over loopback, Python 3.11.2, redis 8.0.1; 2 processors" in filled
    assert "that others used" in filled
    assert filled.startswith("A\n<!-- bench:begin t -->\n| |")
    assert filled.endswith("<!-- bench:end -->\nB\n")
