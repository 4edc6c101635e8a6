"""The name of a test says what is promised: who reads that it failed knows what broke."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
PATHS = sorted(TESTS.rglob("*.py"))
FEWEST_WORDS = 3


def short_names(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Give each name of a test that is too short to say what is promised, and its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            prefix, *words = node.name.split("_")
            if prefix == "test" and len([*filter(None, words)]) < FEWEST_WORDS:
                yield node.name, node.lineno


def test_every_name_of_a_test_says_what_is_promised() -> None:
    found = [
        f"{path.relative_to(TESTS)}:{line}: {name}"
        for path in PATHS
        for name, line in short_names(ast.parse(path.read_text("utf-8")))
    ]
    assert not found, "\n".join(["too short to say what is promised:", *found])


@pytest.mark.parametrize(
    ("code", "names"),
    [
        ("def test_order(): ...", ["test_order"]),
        ("async def test_the_limit(): ...", ["test_the_limit"]),
        ("class TestEvents:\n    def test_bytes(self): ...", ["test_bytes"]),
        ("def test_objects_become_plain(): ...", []),
        ("def order(): ...", []),
    ],
)
def test_names_of_two_words_are_found(code: str, names: list[str]) -> None:
    assert [name for name, _ in short_names(ast.parse(code))] == names
