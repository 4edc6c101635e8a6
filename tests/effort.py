"""How hard the tests try: in CI (`CI` is set) more than elsewhere; `EXAMPLES=few|half|all` says it.

The settings of hypothesis are here, and nowhere else. Its seed is that of pytest-randomly,
which the first lines of a run tell; what fails says how to do it again, too.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

IN_CI = os.environ.get("CI", "").lower() not in ("", "0", "false")
EXAMPLES = os.environ.get("EXAMPLES", "half" if IN_CI else "few")
PROFILE = "local" if EXAMPLES == "few" else "ci"
_PART = {"all": 1, "half": 2, "few": 6}[EXAMPLES]

_FEWEST = 25

RACES = int(os.environ.get("RACES", "8"))
"""How often two callers do a thing at the same time; by hand, 1000."""

_common = settings(
    settings.get_profile("default"),
    deadline=None,
    derandomize=False,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.register_profile("ci", _common, max_examples=100)
settings.register_profile("local", _common, max_examples=50)


def examples(count: int) -> settings:
    """Give the settings for a test that tries so many examples with `EXAMPLES=all`, half in CI."""
    return settings(settings.get_profile(PROFILE), max_examples=max(count // _PART, _FEWEST))


LOAD = int(os.environ.get("TEST_LOAD", "1"))
"""How many times the appends that tests of failovers make by themselves; for figures by hand."""
