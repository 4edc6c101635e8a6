"""Imports in the package go one way, and each outside library has its place."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

PACKAGE = "langchain_redis_session"
ROOT = Path(__file__).parents[2] / PACKAGE

# From the top of the house to its ground: a module imports from its own floor and from those
# below. A folder stands for all that is in it. Every module has to be here.
FLOORS: list[set[str]] = [
    {"_demo"},
    {"__init__"},
    {"history", "store", "runnable", "run_tracks", "middleware"},
    {"_verbs", "service"},
    {
        *("_background", "_drivers", "_operations", "callbacks", "connections", "summarizer"),
        *("_custom_events", "_hook_calls", "_hooks", "_observation", "_tracing"),
    },
    {"_choices", "_codec", "_flow", "_record", "_scripts", "scripts"},
    {"_run_recorder", "_run_values", "_summarizer", "_summary_record"},
    {"_message_form", "_message_reader", "_message_writer"},
    {"_content_parts", "_plain_json", "_state_values", "_tags", "_times", "_tool_calls"},
    {"_html", "_keys", "_timeline", "config", "models", "runs"},
    {"_figures", "_logs", "_markup", "errors"},
]

ANYWHERE = {"langchain_core", "orjson", "pydantic", "pydantic_core", "typing_extensions"}

# Outside libraries that have one place.
PLACES: dict[str, set[str]] = {
    "redis": {"_drivers", "connections"},
    "fakeredis": {"connections"},
    "langchain": {"middleware"},
    "langgraph": {"middleware"},
    "opentelemetry": {"_tracing"},
    "rich": {"_demo"},
    "typer": {"_demo"},
    "langchain_core.chat_history": {"history"},
    "langchain_core.runnables.history": set(),
    "langchain_core.load": set(),
    "pickle": set(),
}

# What an extra brings may only be imported where the module's name says so; elsewhere inside
# of the function that needs it.
EXTRAS = {"fakeredis", "langchain", "langgraph", "opentelemetry", "rich", "typer"}
OF_AN_EXTRA = {"middleware"}


class Import(NamedTuple):
    """`module` imports `target`, at the module's top level or somewhere inside."""

    module: str
    target: str
    top_level: bool
    line: int

    def __str__(self) -> str:
        return f"{self.module} (line {self.line}) imports {self.target}"


def name_of(path: Path) -> str:
    """Give a module's dotted name below the package: `_operations.events`."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


def floor_of(module: str) -> int:
    top = module.split(".")[0]
    return next((i for i, floor in enumerate(FLOORS) if top in floor), len(FLOORS))


def imports_of(path: Path) -> Iterator[Import]:
    """Find all imports, also those in functions and those for type checkers."""
    tree = ast.parse(path.read_text(), path.name)
    name = name_of(path)
    inside_function = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{name}, line {node.lineno}: write the whole name"
            targets = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for target in targets:
            yield Import(name, target, id(node) not in inside_function, node.lineno)


def below(target: str, library: str) -> bool:
    return target == library or target.startswith(f"{library}.")


PATHS = {name_of(path): path for path in sorted(ROOT.rglob("*.py"))}
IMPORTS = [found for path in PATHS.values() for found in imports_of(path)]


def inner_imports() -> Iterator[tuple[Import, str]]:
    """Give the imports from the package itself, and the module that each is from."""
    for found in IMPORTS:
        if below(found.target, PACKAGE):
            module = found.target.removeprefix(PACKAGE).lstrip(".")
            while module and module not in PATHS:
                module = module.rpartition(".")[0]  # it was a name in a module
            yield found, module or "__init__"


def test_every_module_has_a_floor() -> None:
    known = set().union(*FLOORS)
    unknown = {module for module in PATHS if module.split(".")[0] not in known}
    assert not unknown, f"add to FLOORS: {sorted(unknown)}"
    assert sum(map(len, FLOORS)) == len(known), "a module stands twice in FLOORS"


def test_imports_go_down() -> None:
    wrong = [
        str(found) for found, target in inner_imports() if floor_of(target) < floor_of(found.module)
    ]
    assert not wrong, "\n".join(wrong)


def test_no_module_imports_itself_in_a_circle() -> None:
    graph: dict[str, set[str]] = {module: set() for module in PATHS}
    for found, target in inner_imports():
        if found.top_level:
            graph[found.module].add(target)
    while leaves := {module for module, targets in graph.items() if not targets}:
        graph = {m: targets - leaves for m, targets in graph.items() if m not in leaves}
    assert not graph, f"in a circle, or above one: {sorted(graph)}"


def test_outside_libraries_are_known() -> None:
    known = ANYWHERE | PLACES.keys() | {PACKAGE} | sys.stdlib_module_names
    wrong = [str(found) for found in IMPORTS if found.target.split(".")[0] not in known]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("library", PLACES)
def test_outside_libraries_stay_in_their_place(library: str) -> None:
    wrong = [
        str(found)
        for found in IMPORTS
        if below(found.target, library) and found.module.split(".")[0] not in PLACES[library]
    ]
    assert not wrong, "\n".join(wrong)


def test_extras_are_not_needed_to_import_the_package() -> None:
    wrong = [
        str(found)
        for found in IMPORTS
        if found.target.split(".")[0] in EXTRAS
        and found.top_level
        and found.module not in OF_AN_EXTRA
    ]
    assert not wrong, "\n".join(wrong)


def test_the_package_itself_is_only_imports_and_a_sorted_all() -> None:
    path = ROOT / "__init__.py"
    body = ast.parse(path.read_text()).body
    assert ast.get_docstring(ast.Module(body, [])), "a docstring"
    names: list[str] | None = None
    imported: set[str] = set()
    for node in body[1:]:
        if isinstance(node, ast.ImportFrom):
            assert node.module == "__future__" or below(node.module or "", PACKAGE)
            assert all(alias.name != "*" for alias in node.names)
            if node.module != "__future__":
                imported |= {alias.asname or alias.name for alias in node.names}
        else:
            assert isinstance(node, ast.Assign), f"line {node.lineno} is no import"
            assert ast.unparse(node.targets[0]) == "__all__"
            names = ast.literal_eval(node.value)
    assert names is not None
    assert names == sorted(names)
    assert set(names) == imported
    assert not [name for name in names if name.startswith("_")]
