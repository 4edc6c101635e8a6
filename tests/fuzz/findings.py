"""Inputs that failed: written to `tests/fuzz/found/`, from where a test tries them again."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

FOUND = Path(__file__).parent / "found"


@dataclass(frozen=True, slots=True)
class Finding:
    """An input that failed.

    Attributes:
        kind: What it is.
        data: Its bytes.
        error: What became of it.
    """

    kind: str
    data: bytes
    error: str

    @property
    def cause(self) -> str:
        """What findings of one bug share."""
        return f"{self.kind}: {self.error.partition(':')[0]}"


def write(findings: list[Finding], directory: Path = FOUND) -> list[Path]:
    """Write the first finding of each cause; gives the files."""
    directory.mkdir(exist_ok=True)
    by_cause = {finding.cause: finding for finding in reversed(findings)}
    paths = []
    for finding in by_cause.values():
        name = sha256(finding.kind.encode() + finding.data).hexdigest()[:16]
        path = directory / f"{name}.json"
        members = {
            "kind": finding.kind,
            "data": b64encode(finding.data).decode(),
            "error": finding.error,
        }
        path.write_text(json.dumps(members, indent=1) + "\n", "utf-8")
        paths.append(path)
    return paths


def read(directory: Path = FOUND) -> Iterator[tuple[str, Finding]]:
    """Read what was found, with the files' names."""
    for path in sorted(directory.glob("*.json")):
        members = json.loads(path.read_text("utf-8"))
        yield path.stem, Finding(members["kind"], b64decode(members["data"]), members["error"])
