"""Every notebook runs from top to bottom, and shows what is stored of it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nbformat
import pytest

from tests.notebooks import PATHS, execute, make_environment, outlines, read
from tests.processes import ROOT
from tests.servers import RedisServer

LARGEST_FILE = 150_000
WAYS_TO_INSTALL = ("langchain-redis-session[", '-e ".[')
# What a notebook uses, and the extra that brings it.
USES = {
    "langchain.agents": "agents",
    "memory://": "embedded",
    "fakeredis": "embedded",
    "matplotlib": "notebook",
}

# What a reader has to see: in the text or the HTML of the outputs.
EXPECTED = {
    "agent_memory": [
        "0 messages from earlier kernels",
        '"I don\'t know you yet."',
        "Sencha, Bancha in the cart.",
        "['human', 'ai', 'human', 'ai', 'human', 'ai', 'tool', 'ai'",
        "['Sencha', 'Bancha']",
        "16 messages more than before",
    ],
    "agent_runs": [
        "'7.70 US dollars.'",
        "clerk (chain)",
        "│  └─ look_up (tool)",
        "convert (tool)",
        "no rate for 'dollars', only for USD",
        'aria-label="Timeline of 15 runs"',
        ">look_up</text>",
        "the slowest tool: look_up",
        "tokens: {'input_tokens': 563, 'output_tokens': 52, 'total_tokens': 615}",
        'errors: ["convert: no rate',
        "('look_up', {'tea': 'Sencha'}, {'type': 'tool', 'content': '4'})",
        "['runs', 'details', 'streamed']",
        "'name': 'clerk'",
    ],
    "quickstart": [
        '[HumanMessage(content="Hi, I\'m Ann."',
        "'You are Ann.'",
        '"You haven\'t told me."',
        "[<Session app='shop' user='ann' id='second': events not read",
        ">find_tea<",
        "{'cart': ['Sencha'], 'app:currency': 'EUR', 'user:language': 'en'}",
        "{'cart': ['Bancha'], 'app:currency': 'EUR', 'user:language': 'en'}",
        "[('search', 2), ('rank', 2)]",
        "['Yes: Sencha and Bancha.']",
        "['human', 'ai']",
        "(4, 'You are Ann.')",
        "['message 3', 'message 4', 'message 5']",
        "DeletedUser(sessions=2",
        "[HumanMessage(content='Hello, Redis!'",
    ],
    "redis_dies": [
        "BackendUnavailableError is a ConnectionError: True",
        "0 messages stored",
        "each once, in order: True",
        "sent again: 1",
        "one more",
    ],
    "support_desk": [
        "order 1042",
        "112 events",
        "order-1077",
        "made=4, failed=0",
    ],
    "summaries": [
        "{'all messages': 8",
        "'summary and the rest': ",
        "system | Summary of the conversation so far:\nAnn wants tea. order 0: Sencha, order 1",
        "8 messages behind it; the last: Noted.",
        "120 messages in the session",
        "112 of them in the summary",
        "made=7, failed=0",
        "['system', 'human', 'ai', 'human', 'ai']",
        "de | Ann wants tea. order 1: Sencha.",
        "en | 2 messages about tea",
        "'' | 3 messages about tea",
        "'agent/search' | 2 messages about tea",
    ],
    "write_behind": [
        "all in Redis: True",
        "the same messages, in the same order: True",
        "300 appends",
        "SessionNotFoundError ['hello?']",
        "all in Redis: False",
        "sent again: 1",
        "['hello?']",
    ],
}


@pytest.fixture
def kernel_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in make_environment(tmp_path).items():
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)


def outputs_of(notebook: nbformat.NotebookNode) -> list[Any]:
    return [output for cell in notebook.cells for output in cell.get("outputs", ())]


def test_no_notebook_that_is_checked_has_gone() -> None:
    assert {path.stem for path in PATHS} >= EXPECTED.keys()


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_notebooks_are_stored_with_what_they_show(path: Path) -> None:
    notebook = read(path)
    nbformat.validate(notebook)
    assert outputs_of(notebook)
    assert all(output.output_type != "error" for output in outputs_of(notebook))
    counts = [cell.execution_count for cell in notebook.cells if cell.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1))
    assert notebook.metadata.kernelspec.name == "python3"
    assert notebook.metadata.keys() == {"kernelspec", "language_info"}
    assert not any(cell.metadata for cell in notebook.cells)
    assert str(ROOT) not in path.read_text("utf-8")
    assert path.stat().st_size < LARGEST_FILE


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_a_notebook_says_at_its_top_what_to_install(path: Path) -> None:
    notebook = read(path)
    code = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    needed = {extra for use, extra in USES.items() if use in code} | {"notebook"}
    for way in WAYS_TO_INSTALL:
        said = notebook.cells[0].source.partition(way)[2].partition("]")[0]
        assert set(said.split(",")) == needed, way


@pytest.mark.usefixtures("kernel_home")
@pytest.mark.parametrize(
    "path", [path for path in PATHS if path.stem != "agent_memory"], ids=lambda path: path.stem
)
async def test_a_notebook_runs_and_shows_what_is_stored_of_it(path: Path) -> None:
    done = await execute(path)
    shown = show(done)
    for part in EXPECTED.get(path.stem, ()):
        assert part in shown
    assert outlines(done) == outlines(read(path)), "run: make notebooks"


@pytest.mark.usefixtures("kernel_home")
async def test_an_agent_remembers_across_two_kernels(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", redis_server.url)
    (path,) = (path for path in PATHS if path.stem == "agent_memory")
    done = await execute(path)
    assert outlines(done) == outlines(read(path)), "run: make notebooks"
    first, second = show(done), show(await execute(path))
    for part in EXPECTED[path.stem]:
        assert part in first
    assert "I don't know you yet." in first.partition("Welcome!")[0]
    assert "16 messages from earlier kernels 'You are Ann.'" in " ".join(second.split())
    with redis_server.client() as client:
        client.flushdb()


def show(notebook: nbformat.NotebookNode) -> str:
    """Give all that a notebook has shown, which are neither errors nor warnings."""
    outputs = outputs_of(notebook)
    errors = [
        re.sub("\x1b\\[[0-9;]*m", "", "\n".join(output.traceback))
        for output in outputs
        if output.output_type == "error"
    ]
    assert not errors, "\n\n".join(errors)
    warnings = [output.text for output in outputs if output.get("name") == "stderr"]
    assert not warnings, "\n\n".join(warnings)
    return "\n".join(
        text
        for output in outputs
        for text in (output.get("text", ""), *output.get("data", {}).values())
    )
