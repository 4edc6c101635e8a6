"""Notebooks with what they show: run anew, settled, compared.

    make notebooks                      all of them
    make notebooks ARGS=quickstart      one

A cell that shows the same but for numbers, times and ids keeps what is stored of it, so that
running them again changes nothing. What is new gets fixed times and ids.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import datetime, timezone
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import nbformat

from tests.processes import ROOT, execute_notebook

FOLDER = ROOT / "notebooks"
PATHS = sorted(FOLDER.glob("*.ipynb"))
HOMES = ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR")
FIXED_TIME = "2026-11-23 12:00:00"
_NEW_S = 3600

_TIME = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d(\.\d+)?)?")
_CLOCK = re.compile(r"(?<=>)\d\d:\d\d:\d\d(?=<)")
_TITLED = re.compile(r'(title="(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) UTC[^"]*">)(\d\d:\d\d:\d\d)')
_DATETIME = re.compile(r"datetime\.datetime\((?:\d+, ){4}\d+(?:, \d+)*")
_ID = re.compile(
    r"\b[0-9a-f]{32}\b|\b[0-9a-f]{10,31}(?=…)|\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"
)
_NANOSECONDS = re.compile(r"\b17\d{17}\b|\b1\.7\d*e\+18\b")
_ADDRESS = re.compile(r"\b0x[0-9a-f]{6,}\b")
_NUMBER = re.compile(r"\d[\d,.]*(?:[\d]|\b)|\b(?:ms|µs|s|min|kB|MB|bytes?)\b")
_TREE = re.compile("[│├└─]")
_PICTURE = re.compile("<svg.*</svg>", re.DOTALL)
_SHEET = re.compile("<style>.*?</style>", re.DOTALL)


def read(path: Path) -> nbformat.NotebookNode:
    """Read a notebook as it is stored."""
    notebook: nbformat.NotebookNode = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    return notebook


def make_environment(home: Path) -> dict[str, str | None]:
    """Nobody's Jupyter settings, warnings shown, one zone, no server but the notebook's own."""
    homes = {name: str(home / name.lower()) for name in HOMES}
    return {**homes, "PYTHONWARNINGS": "default", "TZ": "UTC", "REDIS_URL": None}


async def execute(path: Path) -> nbformat.NotebookNode:
    """Run a notebook in a fresh kernel; give it with what it shows."""
    notebook = read(path)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    done = await execute_notebook(notebook)
    for cell in done.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs = _join_streams(cell.outputs)
    return done


def _join_streams(outputs: list[Any]) -> list[Any]:
    """Put texts of one stream together: where they are cut is chance."""
    joined: list[Any] = []
    for output in outputs:
        last = joined[-1] if joined else None
        if last is not None and "name" in output and last.get("name") == output.name:
            last.text += output.text
        else:
            joined.append(output)
    return joined


# What an output shows, without what is different each time


class _Outline(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.lines.append(f"<{tag}>")

    def handle_data(self, data: str) -> None:
        self.lines += map(_mask, data.splitlines())


def outline(output: Any) -> list[str]:
    """Give what an output shows, in any order: what runs at the same time has none.

    >>> from nbformat.v4 import new_output
    >>> outline(new_output("stream", name="stdout", text="took 12.5 ms\\nfine"))
    ['fine', 'stream', 'took #']
    """
    lines = [output.output_type]
    if "text" in output:
        lines += map(_mask, output.text.splitlines())
    for kind, content in output.get("data", {}).items():
        lines.append(kind)
        if kind == "text/html":
            page = _Outline()
            # Where the words of a picture lie depends on times.
            page.feed(_PICTURE.sub("<svg>", _SHEET.sub("", content)))
            lines += page.lines
        elif kind.startswith("text/"):
            lines += map(_mask, content.splitlines())
    return sorted(line for line in lines if line.strip())


def _mask(line: str) -> str:
    for pattern in (_TIME, _ID, _ADDRESS):
        line = pattern.sub("0", line)
    return " ".join(_NUMBER.sub("#", _TREE.sub("", line)).replace("# #", "#").split())


def outlines(notebook: nbformat.NotebookNode) -> list[list[list[str]]]:
    """Give the outlines of what each cell shows."""
    return [[outline(output) for output in cell.get("outputs", ())] for cell in notebook.cells]


# What is stored


def settle(notebook: nbformat.NotebookNode, stored: nbformat.NotebookNode) -> None:
    """Keep the stored outputs that show the same; fix times and ids in the others."""
    ids: dict[str, str] = {}
    for cell, before in zip(notebook.cells, stored.cells, strict=True):
        if cell.cell_type != "code":
            continue
        fixed = [_fix_output(output, ids) for output in cell.outputs]
        is_same = len(fixed) == len(before.outputs) and all(
            _blur(new) == _blur(old) for new, old in zip(fixed, before.outputs, strict=True)
        )
        cell.outputs = before.outputs if is_same else fixed


def _fix_output(output: Any, ids: dict[str, str]) -> Any:
    fix: Callable[[str], str] = lambda text: _fix(text, ids)  # noqa: E731
    if "text" in output:
        output.text = fix(output.text)
    for kind, content in output.get("data", {}).items():
        if kind.startswith("text/"):
            output.data[kind] = fix(content)
    return output


def _fix(text: str, ids: dict[str, str]) -> str:
    """Put fixed ids and times in the place of new ones; made-up times stay."""

    def fix_id(match: re.Match[str]) -> str:
        known = match[0]
        number = ids.setdefault(known, f"{len(ids) + 1:032x}")
        if "-" in known:
            return re.sub("^(.{8})(.{4})(.{4})(.{4})", r"\1-\2-\3-\4-", number)
        return number[-len(known) :]

    def fix_titled(match: re.Match[str]) -> str:
        return f"{match[1]}{FIXED_TIME[11:]}" if _is_new(match[2]) else f"{match[1]}\0{match[3]}"

    text = _ID.sub(fix_id, text)
    text = _TITLED.sub(fix_titled, text)
    text = _CLOCK.sub(FIXED_TIME[11:], text).replace("\0", "")
    text = _TIME.sub(lambda m: FIXED_TIME[: min(len(m[0]), 19)] if _is_new(m[0]) else m[0], text)
    text = _DATETIME.sub("datetime.datetime(2026, 11, 23, 12, 0", text)
    return _ADDRESS.sub("0x0", _NANOSECONDS.sub(_fix_nanoseconds, text))


def _fix_nanoseconds(match: re.Match[str]) -> str:
    return match[0] if abs(float(match[0]) / 1e9 - time.time()) > _NEW_S else "1795435200000000000"


def _is_new(text: str) -> bool:
    moment = datetime.fromisoformat(text[:19]).replace(tzinfo=timezone.utc)
    return abs(moment.timestamp() - time.time()) < _NEW_S


def _blur(output: Any) -> Any:
    """Give all of an output but numbers and pictures, which a measurement may change."""
    shown = {kind: text for kind, text in output.get("data", {}).items() if "image" not in kind}
    texts = [output.output_type, output.get("text", ""), *output.get("data", {})]
    texts += [str(text) for text in shown.values()]
    return sorted(line for text in texts for line in map(_mask, text.splitlines()))


async def write(path: Path) -> None:
    """Run a notebook and store it with what it shows."""
    stored, done = read(path), await execute(path)
    for cell in done.cells:
        for output in cell.get("outputs", ()):
            if output.output_type == "error":
                sys.exit(f"{path.name}: {output.ename}: {output.evalue}")
    settle(done, stored)
    nbformat.write(done, path)  # type: ignore[no-untyped-call]
    print(f"{path.name}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as home:
        for name, value in make_environment(Path(home)).items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        for path in PATHS:
            if not sys.argv[1:] or path.stem in sys.argv[1:]:
                asyncio.run(write(path))
