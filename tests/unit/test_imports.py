"""The house: imports go down only, every module has its room, every outside library its place."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import langchain_redis_session as package
from tests.processes import run_python

PACKAGE = "langchain_redis_session"
ROOT = Path(__file__).parents[2] / PACKAGE

# From the top of the house to its ground, a line a floor: a module imports from its own floor
# and from those below, never in a circle. A folder stands for all that is in it; modules at
# the package's top stand with the floor that they belong to. Every module has to be here.
FLOORS: list[set[str]] = [
    {"__init__"},
    {"adapters"},
    {"service"},
    {"_verbs"},
    {"_background"},
    {"_actions"},
    {"summarizer", "_summarizer"},
    {"_hooks"},
    {"budgets"},
    {"callbacks"},
    {"_observe"},
    {"_runs"},
    {"_operations"},
    {"scripts"},
    {"connections", "_connections"},
    {"_flow"},
    {"_codec"},
    {"_keys"},
    {"config"},
    {"runs"},
    {"models"},
    {"stats"},
    {"_wire"},
    {"errors"},
    {"_display"},
    {"_times", "_logs", "_signals"},
]

# What the floors that talk to Redis must not know: hooks, spans and models.
BELOW_ACTIONS = FLOORS[FLOORS.index({"_operations"}) :]
UNKNOWN_BELOW = {"langchain_core.callbacks", "langchain_core.language_models", "opentelemetry"}
MOST_LINES = 500
MOST_PRIVATE_FILES = 3

ANYWHERE = {"langchain_core", "orjson", "pydantic", "pydantic_core", "typing_extensions"}

# Outside libraries that have one place: a folder, or one of its modules.
PLACES: dict[str, set[str]] = {
    "redis": {"_flow.drivers", "_flow.cluster", "_flow.translation", "_connections"},
    "fakeredis": {"_connections"},
    "hiredis": {"_connections"},
    "langchain": {"adapters.middleware"},
    "langgraph": {"adapters.middleware", "adapters.graph_store", "adapters._memory.batch"},
    "numpy": {"adapters._memory.meaning"},
    "fastapi": {"adapters.router", "adapters.router_errors"},
    "langchain_classic": {"adapters.classic_memory"},
    "sse_starlette": {"adapters.router"},
    "opentelemetry": {"_observe.tracing"},
    "markdown_it": {"_display.markdown"},
    "pygments": {"_display.code"},
    "langchain_core.chat_history": {"adapters.history"},
    "langchain_core.runnables.history": set(),
    "langchain_core.load": set(),
    "pickle": set(),
}

# What an extra brings may only be imported where the module's name says so; elsewhere inside
# of the function that needs it.
EXTRAS = {
    "fakeredis",
    "fastapi",
    "langchain",
    "langchain_classic",
    "langgraph",
    "markdown_it",
    "opentelemetry",
    "pygments",
    "rich",
    "sse_starlette",
    "typer",
}
OF_AN_EXTRA = {
    "adapters._memory.batch",
    "adapters.classic_memory",
    "adapters.graph_store",
    "adapters.middleware",
    "adapters.router",
    "adapters.router_errors",
}


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


def find_upward() -> list[str]:
    return [
        str(found) for found, target in inner_imports() if floor_of(target) < floor_of(found.module)
    ]


def find_circles() -> set[str]:
    """Give the modules in a circle or above one; imports inside of functions count too."""
    graph: dict[str, set[str]] = {module: set() for module in PATHS}
    for found, target in inner_imports():
        # The package's own names are lazy: what it lists for type checkers is not loaded.
        if found.module != "__init__" and target != found.module:
            graph[found.module].add(target)
    while leaves := {module for module, targets in graph.items() if not targets}:
        graph = {m: targets - leaves for m, targets in graph.items() if m not in leaves}
    return set(graph)


def test_imports_go_down_and_in_no_circle() -> None:
    arrows = {(found.module, target) for found, target in inner_imports()}
    upward, circles = find_upward(), sorted(find_circles())
    print(f"{len(PATHS)} modules, {len(arrows)} import arrows, {len(upward)} of them upward,")
    print(f"{len(circles)} modules in circles")
    assert not upward, "\n".join(upward)
    assert not circles, f"in a circle, or above one: {circles}"


def test_floors_below_the_actions_know_no_hook_no_span_and_no_model() -> None:
    below_actions = set().union(*BELOW_ACTIONS)
    wrong = [
        str(found)
        for found in IMPORTS
        if found.module.split(".")[0] in below_actions
        and any(below(found.target, library) for library in UNKNOWN_BELOW)
    ]
    assert not wrong, "\n".join(wrong)


def test_no_module_imports_a_private_name_of_another() -> None:
    wrong = [
        str(found)
        for found in IMPORTS
        if below(found.target, PACKAGE)
        and found.target.removeprefix(f"{PACKAGE}.") not in PATHS
        and found.target.rpartition(".")[2].startswith("_")
    ]
    assert not wrong, "\n".join(wrong)


def test_every_folder_says_in_one_line_what_it_is_for() -> None:
    for folder in sorted({path.parent for path in PATHS.values()} - {ROOT}):
        text = (folder / "__init__.py").read_text()
        assert len(text.splitlines()) == 1, f"{folder.name}/__init__.py has more than one line"
        assert ast.get_docstring(ast.parse(text)), f"{folder.name}/__init__.py says nothing"


def test_only_what_every_floor_uses_lies_private_at_the_top() -> None:
    private = {p.stem for p in ROOT.glob("_*.py")} - {"__init__"}
    assert len(private) <= MOST_PRIVATE_FILES, sorted(private)


def test_no_module_is_too_long() -> None:
    lines = {name: path.read_text().count("\n") for name, path in PATHS.items()}
    longest = sorted(lines, key=lines.__getitem__, reverse=True)
    print("the longest:", ", ".join(f"{name} {lines[name]}" for name in longest[:5]))
    assert lines[longest[0]] <= MOST_LINES, f"{longest[0]} has {lines[longest[0]]} lines"


def test_outside_libraries_are_known() -> None:
    known = ANYWHERE | PLACES.keys() | {PACKAGE} | sys.stdlib_module_names
    wrong = [str(found) for found in IMPORTS if found.target.split(".")[0] not in known]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("library", PLACES)
def test_outside_libraries_stay_in_their_place(library: str) -> None:
    wrong = [
        str(found)
        for found in IMPORTS
        if below(found.target, library)
        and not any(below(found.module, place) for place in PLACES[library])
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


def test_the_package_knows_which_names_need_which_packages_of_extras() -> None:
    needed: dict[str, set[str]] = {}
    for found in IMPORTS:
        library = found.target.split(".")[0]
        if (
            library in EXTRAS
            and found.top_level
            and found.module in vars(package)["_MODULES"].values()
        ):
            needed.setdefault(found.module, set()).add(library)
    assert {module: set(names) for module, names in vars(package)["_PACKAGES"].items()} == needed


def test_the_package_itself_is_a_sorted_table_of_lazy_names() -> None:
    """The table, `__all__`, and what type checkers see say the same."""
    table = vars(package)["_MODULES"]
    seen = {
        found.target.rpartition(".")[2]: found.target.split(".", 1)[1].rpartition(".")[0]
        for found in IMPORTS
        if found.module == "__init__" and below(found.target, PACKAGE)
    }
    assert table == seen
    assert list(table) == sorted(table)
    assert package.__all__ == sorted(package.__all__)
    assert set(package.__all__) == {*table, "__version__"}
    for name in package.__all__:
        assert getattr(package, name) is not None
        assert name in dir(package)
    with pytest.raises(AttributeError, match="no attribute 'Missing'"):
        _ = package.Missing


def test_importing_the_package_loads_none_of_its_modules() -> None:
    program = "import sys, langchain_redis_session; print(*sys.modules)"
    done = run_python("-c", program)
    assert done.returncode == 0, done.stderr
    loaded = [m for m in done.stdout.split() if m.startswith(f"{PACKAGE}.")]
    assert not loaded
    assert "langchain_core" not in done.stdout.split()
