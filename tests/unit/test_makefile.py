"""The targets that people call, and what they install."""

from __future__ import annotations

import re
from importlib.metadata import metadata

from tests.processes import ROOT, run

MAKEFILE = (ROOT / "Makefile").read_text("utf-8").replace("\\\n", "")


def test_help_says_what_every_target_does() -> None:
    shown = run(["make", "--no-print-directory", "help"])
    targets = MAKEFILE.partition(".PHONY: ")[2].partition("\n")[0].split()
    described = re.findall(r"^make (\S+) +\S", shown.stdout, re.MULTILINE)
    assert described == targets, shown.stderr


def test_what_the_targets_install_are_extras_of_the_package() -> None:
    wanted = re.findall(r"(?:EXTRAS = |--extra )([a-z,]+)", MAKEFILE)
    extras = metadata("langchain-redis-session").get_all("Provides-Extra") or []
    assert len(wanted) > 4
    assert {name for names in wanted for name in names.split(",")} <= set(extras)
