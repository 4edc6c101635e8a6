"""What the README shows, runs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from sse_starlette import sse

from langchain_redis_session._flow.translation import PERMISSIONS

ROOT = Path(__file__).parents[2]


def test_every_python_block_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    # It stays with the first loop that streams, as other tests do too.
    monkeypatch.setattr(sse.AppStatus, "should_exit_event", None, raising=False)
    text = (ROOT / "README.md").read_text("utf-8")
    blocks = list(re.finditer(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE))
    assert len(blocks) > 5
    names: dict[str, Any] = {}
    for block in blocks:
        line = text[: block.start()].count("\n") + 1
        # As many empty lines in front, so that a traceback names the README's own line.
        code = compile("\n" * line + block[1], str(ROOT / "README.md"), "exec")
        exec(code, names)


def test_it_shows_the_test_command() -> None:
    assert "$ make test" in (ROOT / "README.md").read_text("utf-8")


def test_it_shows_the_permissions_that_errors_tell() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    line = text[text.index("ACL SETUSER") :].partition("```")[0].replace("\\\n", "")
    assert " ".join(line.split()).endswith(f"~shop:* resetchannels {PERMISSIONS}")
