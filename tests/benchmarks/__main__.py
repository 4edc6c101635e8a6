"""`python -m tests.benchmarks`: measure everything, print it, write it down."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks.agents import agent_rows
from tests.benchmarks.bench import QUICK, Bench, Plan
from tests.benchmarks.conditions import Conditions
from tests.benchmarks.growth import growth_rows
from tests.benchmarks.growth_sessions import session_growth_rows
from tests.benchmarks.hooks import hook_rows
from tests.benchmarks.many_writers import process_rows, task_rows
from tests.benchmarks.report import Row, print_rows, write_json
from tests.benchmarks.rows import PARTS
from tests.benchmarks.server import start_server
from tests.benchmarks.starts import start_rows
from tests.benchmarks.stores import store_rows
from tests.benchmarks.tables import RESULTS
from tests.benchmarks.write_behind import write_behind_rows

MORE = (
    ("Many tasks", task_rows),
    ("Processes", process_rows),
    ("Starting", start_rows),
    ("An agent's memory", agent_rows),
    ("Memory stores", store_rows),
    ("Hooks", hook_rows),
    ("Write-behind", write_behind_rows),
)
GROWTH = "Growth"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmarks on a server of their own."""
    titles = [*(title for title, _ in (*PARTS, *MORE)), GROWTH]
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="little of everything: does it work?")
    parser.add_argument("--only", choices=titles, nargs="+", default=titles, metavar="PART")
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args(arguments)
    plan = QUICK if options.quick else Plan()
    rows: list[Row] = []
    with start_server() as server, Bench(server, plan) as bench:
        conditions = Conditions(bench.client)
        for title, part in (*PARTS, *MORE):
            if title in options.only:
                measured = list(part(bench))
                print_rows(title, measured)
                rows += measured
        for parts in (growth_rows, session_growth_rows) if GROWTH in options.only else ():
            for title, measured in parts(server, is_quick=options.quick):
                print_rows(title, measured)
                rows += measured
        found = conditions.finish()
    write_json(options.output, rows, found)
    missed = sum(row.is_met is False for row in rows)
    print(f"{len(rows)} rows, {missed} goals missed; written to {options.output}")
    if not found["quiet"]:
        print("Others used this machine's processors: take the ratios, not the times.")


if __name__ == "__main__":
    main()
