"""`python -m tests.benchmarks.tables`: the tables of README and docs, from the file of results.

A table stands between `<!-- bench:begin NAME -->` and `<!-- bench:end -->`; nobody writes there
by hand. What is in it, and in which order, stands here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.benchmarks.agents import IN_MEMORY
from tests.benchmarks.bench import Plan
from tests.benchmarks.contenders import AGENTS, COMMUNITY
from tests.processes import ROOT

RESULTS = ROOT / "docs" / "benchmarks.json"
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
_MARK = re.compile(r"(<!-- bench:begin (\S+) -->\n).*?(<!-- bench:end -->)", re.DOTALL)

Line = tuple[str, str, str]
"""How a page calls it, which row it is, and beside whom."""

SHORT: Sequence[Line] = (
    ("append a message, with a TTL", "append 1, with a TTL", COMMUNITY),
    (
        "append an answer as OpenAI gives it",
        "append 1 realistic AI message, with a TTL",
        COMMUNITY,
    ),
    ("append ten messages", "append 10, with a TTL", COMMUNITY),
    ("append a message, async", "append 1, with a TTL, async", AGENTS),
    ("read the last 50 of 10,000", "read the last 50 of 10,000", COMMUNITY),
    ("read all of 1,000 answers and questions", "read all of 1,000, realistic", COMMUNITY),
)
LONG: Sequence[Line] = (
    *SHORT,
    ("append a message, without a TTL", "append 1, without a TTL", COMMUNITY),
    ("append of 64 tasks, each", "append 1, 64 tasks of one loop, with a TTL", "a bare LPUSH"),
    ("append of 64 tasks, each", "append 1, 64 tasks of one loop, with a TTL", AGENTS),
    ("append of 8 threads, each", "append 1, 8 threads, with a TTL", COMMUNITY),
    ("append of 2 processes, each", "append 1, 2 processes, with a TTL", COMMUNITY),
    ("read the last 50 of 1,000", "read the last 50 of 1,000", AGENTS),
    ("read the last 50 of 1,000, async", "read the last 50 of 1,000, async", AGENTS),
    ("read all of 1,000", "read all of 1,000", COMMUNITY),
    ("read all of 1,000", "read all of 1,000", AGENTS),
    ("write-behind: append and flush", "append and flush, per message", "synchronous"),
    (
        "append with a hook before and after",
        "append 1, one hook",
        "no callbacks=",
    ),
    (
        "append with a summarizer",
        "append 1, summaries with the default trigger",
        "without a summarizer",
    ),
    (
        "read a summary and 20 messages behind it",
        "read a summary and the 20 messages behind it",
        "the last 20",
    ),
    (
        "start a program, to its first append",
        "from the start to the first append, processor time",
        COMMUNITY,
    ),
    ("memory, 50 characters", "memory of a message of 50 characters, with a TTL", COMMUNITY),
    ("memory, 200 characters", "memory of a message of 200 characters, with a TTL", COMMUNITY),
    ("memory, 500 characters", "memory of a message of 500 characters, with a TTL", COMMUNITY),
    ("memory, 2,000 characters", "memory of a message of 2,000 characters, with a TTL", COMMUNITY),
)
AGENT: Sequence[Line] = tuple(
    (f"an agent's memory after {turns} turns", f"an agent's memory after {turns} turns", IN_MEMORY)
    for turns in Plan().turns
)
TABLES: Mapping[str, Sequence[Line]] = {"summary": SHORT, "all": LONG, "agents": AGENT}


def fill_page(text: str, results: Mapping[str, Any]) -> str:
    """Give a page with its tables made anew.

    Raises:
        KeyError: It names a table that is not made here, or a row was not measured.
    """
    return _MARK.sub(lambda found: found[1] + make_table(found[2], results) + found[3], text)


def make_table(name: str, results: Mapping[str, Any]) -> str:
    """Give a table as Markdown, with what it was measured on below it."""
    rows = {(row["what"], row["other_name"]): row for row in results["rows"] if row["ratio"]}
    lines = ["| | this package | beside | |", "| --- | --- | --- | --- |"]
    for label, what, other in TABLES[name]:
        lines.append(_make_line(label, rows[what, other]))
    return "\n".join([*lines, "", _describe(results), ""])


def _make_line(label: str, row: Mapping[str, Any]) -> str:
    unit = row["unit"]
    cost = row["ours"] / row["other"]
    if unit != "µs":
        ratio = f"{cost:.2f}×"
    elif cost <= 1:
        ratio = f"**{_round(1 / cost)}× as fast**"
    else:
        ratio = f"{cost:.2f}× the time"
    ours, other = _show(row["ours"], unit), _show(row["other"], unit)
    return f"| {label} | {ours} | {row['other_name']}: {other} | {ratio} |"


def _round(ratio: float) -> str:
    return f"{ratio:.1f}" if ratio < 10 else f"{ratio:,.0f}"


def _show(figure: float, unit: str) -> str:
    if unit == "µs" and figure >= 1000:
        return f"{figure / 1000:,.1f} ms"
    if unit == "B" and figure >= 10_000:
        return f"{figure / 1000:,.0f} kB"
    return f"{figure:,.0f} {unit}"


def _describe(results: Mapping[str, Any]) -> str:
    packages = results["packages"]
    versions = ", ".join(
        f"{name} {packages[name]}"
        for name in ("langchain-core", "redis", "hiredis", COMMUNITY, AGENTS)
        if packages.get(name)
    )
    quiet = "a quiet machine" if results["quiet"] else "a machine that others used as well"
    return (
        f"{results['server']} over loopback, Python {results['python']}, {versions}; "
        f"{results['processors']} processors, {quiet}, {results['measured_on']}. "
        "Medians; all contenders in turns in one run."
    )


def read_results() -> Mapping[str, Any]:
    """Give what was measured last."""
    results: Mapping[str, Any] = json.loads(RESULTS.read_text("utf-8"))
    return results


def list_pages() -> Iterator[tuple[Path, str]]:
    """Give the pages that have tables, with their text."""
    for page in PAGES:
        text = page.read_text("utf-8")
        if _MARK.search(text):
            yield page, text


def main() -> None:
    """Write the tables of all pages anew."""
    results = read_results()
    for page, text in list_pages():
        page.write_text(fill_page(text, results), "utf-8")
        print(page.relative_to(ROOT))


if __name__ == "__main__":
    main()
