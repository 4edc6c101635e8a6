"""The package does not need what langchain-core 2.0 removes."""

from __future__ import annotations

from tests.processes import run_python


def test_all_works_without_the_deprecated_history_classes() -> None:
    done = run_python("-m", "tests.integration.after_langchain_2")
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert done.stdout.split() == [
        "use_history",
        "use_a_chain",
        "use_an_agent",
        "use_classic_memory",
        "use_http",
        "use_every_name",
    ]
