"""With what, and how undisturbed, something was measured."""

from __future__ import annotations

import os
import platform
import sys
import time
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import redis

PACKAGES = (
    "langchain-redis-session",
    "langchain-core",
    "pydantic",
    "redis",
    "hiredis",
    "langchain-community",
    "openai-agents",
)
QUIET_SHARE = 0.1
"""A machine is quiet where others use less than this share of its processors, now and over the last
minute."""
_LOOK_S = 2


def measure_busy_share() -> float | None:
    """The share of the processors that is in use, looked at for two seconds; None if unknown."""
    before = _read_ticks()
    time.sleep(_LOOK_S)
    after = _read_ticks()
    if before is None or after is None:
        return None
    idle, total = (new - old for new, old in zip(after, before, strict=True))
    return 1 - idle / total if total else None


def _read_ticks() -> tuple[int, int] | None:
    """Idle and all ticks since the start, as Linux counts them."""
    try:
        first, _, _ = Path("/proc/stat").read_text().partition("\n")
    except OSError:
        return None
    ticks = [int(text) for text in first.split()[1:9]]
    return ticks[3] + ticks[4], sum(ticks)


class Conditions:
    """What is noted beside the figures: versions, the machine, and whether others used it.

    Args:
        client: Of the server that is measured.
    """

    def __init__(self, client: redis.Redis) -> None:
        info: dict[str, Any] = client.info("server")
        valkey = info.get("valkey_version")
        self._server = f"Valkey {valkey}" if valkey else f"Redis {info['redis_version']}"
        self._load = os.getloadavg()[0]
        self._before = measure_busy_share()

    def finish(self) -> dict[str, Any]:
        """Look again, and give everything."""
        after = measure_busy_share()
        shares = [share for share in (self._before, after) if share is not None]
        return {
            "measured_on": datetime.now(timezone.utc).date().isoformat(),
            "server": self._server,
            "python": platform.python_version(),
            "system": f"{sys.platform} {platform.machine()}",
            "processors": os.cpu_count(),
            "packages": {name: _version(name) for name in PACKAGES},
            "load_before": round(self._load, 2),
            "load_after": round(os.getloadavg()[0], 2),  # our own work, too
            "busy_before": self._before and round(self._before, 3),
            "busy_after": after and round(after, 3),
            "quiet": max(self._load / (os.cpu_count() or 1), *shares) < QUIET_SHARE,
        }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
