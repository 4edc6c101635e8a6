"""Every notebook runs from top to bottom, in a fresh kernel of this interpreter."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nbformat
import pytest

from tests.processes import ROOT, execute_notebook
from tests.servers import RedisServer

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))

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
    """Nobody's Jupyter settings, warnings shown, and no server but the notebook's own."""
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    monkeypatch.setenv("PYTHONWARNINGS", "default")
    monkeypatch.delenv("REDIS_URL", raising=False)


def read(path: Path) -> nbformat.NotebookNode:
    notebook: nbformat.NotebookNode = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    return notebook


def outputs_of(notebook: nbformat.NotebookNode) -> list[Any]:
    return [output for cell in notebook.cells for output in cell.get("outputs", ())]


def test_no_notebook_that_is_checked_has_gone() -> None:
    assert {path.stem for path in NOTEBOOKS} >= EXPECTED.keys()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_stored_clean(path: Path) -> None:
    notebook = read(path)
    nbformat.validate(notebook)
    assert not outputs_of(notebook)
    assert all(cell.get("execution_count") is None for cell in notebook.cells)
    assert notebook.metadata.kernelspec.name == "python3"
    assert notebook.metadata.keys() == {"kernelspec", "language_info"}
    assert str(ROOT) not in path.read_text("utf-8")


@pytest.mark.usefixtures("kernel_home")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
async def test_a_notebook_runs_without_errors_and_warnings(path: Path) -> None:
    shown = await run(path)
    for part in EXPECTED.get(path.stem, ()):
        assert part in shown


@pytest.mark.usefixtures("kernel_home")
async def test_an_agent_remembers_across_two_kernels(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", redis_server.url)
    (path,) = (path for path in NOTEBOOKS if path.stem == "agent_memory")
    first, second = await run(path), await run(path)
    assert "I don't know you yet." in first.partition("Welcome!")[0]
    assert "16 messages from earlier kernels 'You are Ann.'" in " ".join(second.split())
    with redis_server.client() as client:
        client.flushdb()


async def run(path: Path) -> str:
    """Run a notebook, without errors and warnings; gives all that it shows."""
    outputs = outputs_of(await execute_notebook(read(path)))
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
