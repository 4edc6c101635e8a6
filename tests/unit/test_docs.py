"""What the README and the pages of `docs/` show, runs; and their links lead somewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

import langchain_redis_session
from langchain_redis_session._flow.advice import PERMISSIONS
from tests.processes import ROOT

README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^```.*?^```$", re.M | re.S)
PYTHON = re.compile(r"^```python\n(.*?)^```$(?:\n+```text\n(.*?)^```$)?", re.M | re.S)
LINK = re.compile(r"\]\((?!\w+:)([^)#\s]*)(?:#([^)\s]+))?\)|src=\"(?!\w+:)([^\"]+)\"")


def name(page: Path) -> str:
    return page.relative_to(ROOT).with_suffix("").as_posix()


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_python_block_runs_and_prints_what_stands_below_it(page: Path) -> None:
    text = page.read_text("utf-8")
    names: dict[str, Any] = {}
    for block in PYTHON.finditer(text):
        if page == README:
            names = {}  # each of its programs is a whole one
        line = text[: block.start()].count("\n") + 1
        # As many empty lines in front, so that a traceback names the page's own line.
        code = compile("\n" * line + block[1], str(page), "exec")
        with redirect_stdout(StringIO()) as printed:
            exec(code, names)
        assert printed.getvalue() == (block[2] or "")


def test_the_readme_shows_a_program_for_each_surface() -> None:
    assert len(PYTHON.findall(README.read_text("utf-8"))) > 5


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target, anchor in list_links(page):
        path = page.parent / target if target else page
        assert path.exists(), target
        assert not anchor or anchor in list_anchors(path), f"{target}#{anchor}"


def list_links(page: Path) -> Iterator[tuple[str, str]]:
    for link in LINK.finditer(read_prose(page)):
        yield link[1] or link[3] or "", link[2] or ""


def list_anchors(page: Path) -> set[str]:
    """What GitHub, and the site, make of headings."""
    headings = re.findall(r"^#+ (.*)$", read_prose(page), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def read_prose(page: Path) -> str:
    return FENCE.sub("", page.read_text("utf-8"))


def test_the_reference_has_every_public_name() -> None:
    pages = "".join(page.read_text("utf-8") for page in (ROOT / "docs/reference").glob("*.md"))
    shown = re.findall(r"^::: langchain_redis_session\.(\w+)$|^\*\*`(\w+)`\*\*", pages, re.M)
    public = set(langchain_redis_session.__all__) - {"__version__"}
    assert sorted(one or other for one, other in shown) == sorted(public)


def test_the_reference_says_where_its_entries_are_to_be_seen() -> None:
    """On GitHub its pages are all but empty."""
    pages = list((ROOT / "docs/reference").glob("*.md"))
    assert all("build the site with `make docs`" in page.read_text("utf-8") for page in pages)
    assert "\ndocs:" in (ROOT / "Makefile").read_text("utf-8")
    assert "site_dir: build/site" in (ROOT / "mkdocs.yml").read_text("utf-8")


def test_the_readme_shows_the_test_command() -> None:
    assert "\nmake test\n" in README.read_text("utf-8")


def test_the_permissions_shown_are_those_that_errors_tell() -> None:
    text = (ROOT / "docs" / "connections.md").read_text("utf-8")
    line = text[text.index("ACL SETUSER") :].partition("```")[0].replace("\\\n", "")
    assert " ".join(line.split()).endswith(f"~shop:* resetchannels {PERMISSIONS}")
