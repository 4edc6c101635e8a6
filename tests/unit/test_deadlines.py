"""No test can hang or depends on how fast the machine is: what tests may not write."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]

# Where the tools are that everything else uses. (The benchmarks and the fuzzer measure.)
TOOLS = {
    "starts a process": {"processes.py", "forked.py"},
    "reads a clock": {
        *("processes.py", "servers.py", "waits.py", "benchmarks", "fuzz"),
        *("forked.py", "interrupted.py"),  # programs, with a deadline of their own
    },
    "waits for ever": set[str](),
    "limits its own time": set[str](),
    "has settings of hypothesis": {"effort.py"},
}

STARTS_PROCESSES = {
    *("subprocess", "multiprocessing", "pty", "nbclient", "jupyter_client"),
    *("ProcessPoolExecutor", "create_subprocess_exec", "create_subprocess_shell"),
    *("fork", "forkpty", "popen", "posix_spawn", "posix_spawnp", "system", "Popen"),
}
CLOCKS = {"monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "process_time"}
WAITS = {"acquire", "join", "recv", "result", "wait"}


def breaches(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Give what a module does that only a tool may do, with the lines."""
    limited = {
        id(argument)
        for call in ast.walk(tree)
        if isinstance(call, ast.Call) and name_of(call.func) == "wait_for"
        for argument in call.args
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            parts = {part for alias in node.names for part in alias.name.split(".")}
            parts |= {*(getattr(node, "module", None) or "").split(".")}
            if parts & STARTS_PROCESSES:
                yield "starts a process", node.lineno
            if parts & CLOCKS:
                yield "reads a clock", node.lineno
        elif isinstance(node, ast.Attribute):
            if node.attr in STARTS_PROCESSES or node.attr.startswith(("spawnl", "spawnv")):
                yield "starts a process", node.lineno
            if node.attr in CLOCKS and name_of(node.value) == "time":
                yield "reads a clock", node.lineno
            if node.attr == "timeout" and name_of(node.value) == "mark":
                yield "limits its own time", node.lineno
        elif isinstance(node, ast.Call):
            is_bare = not node.args and not node.keywords and id(node) not in limited
            if is_bare and isinstance(node.func, ast.Attribute) and node.func.attr in WAITS:
                yield "waits for ever", node.lineno
            if {"max_examples", "deadline"} & {keyword.arg for keyword in node.keywords}:
                yield "has settings of hypothesis", node.lineno


def name_of(node: ast.expr) -> str:
    return getattr(node, "attr", getattr(node, "id", ""))


@cache
def all_breaches() -> list[tuple[str, Path, int]]:
    """Give the breaches of all tests, as name, module and line."""
    found = []
    for path in sorted(TESTS.rglob("*.py")):
        tree = ast.parse(path.read_text("utf-8"))
        found += [(what, path.relative_to(TESTS), line) for what, line in breaches(tree)]
    return found


@pytest.mark.parametrize("breach", TOOLS)
def test_only_the_tools_do_it(breach: str) -> None:
    assert not [
        f"{module}:{line} {breach}"
        for what, module, line in all_breaches()
        if what == breach and not TOOLS[breach] & {module.parts[0], module.name}
    ]


@pytest.mark.parametrize(
    ("code", "breach"),
    [
        ("import subprocess", "starts a process"),
        ("from concurrent.futures import ProcessPoolExecutor", "starts a process"),
        ("from nbclient import NotebookClient", "starts a process"),
        ("import os\nos.fork()", "starts a process"),
        ("os.spawnv(0, '', [])", "starts a process"),
        ("asyncio.create_subprocess_exec('')", "starts a process"),
        ("time.monotonic()", "reads a clock"),
        ("from time import perf_counter", "reads a clock"),
        ("thread.join()", "waits for ever"),
        ("await event.wait()", "waits for ever"),
        ("future.result()", "waits for ever"),
        ("@pytest.mark.timeout(9)\ndef test(): ...", "limits its own time"),
        ("settings(deadline=None)", "has settings of hypothesis"),
    ],
)
def test_each_breach_is_found(code: str, breach: str) -> None:
    assert breach in {what for what, _ in breaches(ast.parse(code))}


@pytest.mark.parametrize(
    "code",
    [
        "thread.join(1)",
        "event.wait(timeout=1)",
        "','.join(words)",
        "asyncio.wait_for(event.wait(), 1)",
        "import os, time\nos.kill(1, 0)\ntime.sleep(0)",
    ],
)
def test_code_without_a_breach_is_let_through(code: str) -> None:
    assert [*breaches(ast.parse(code))] == []
