"""What docs/stored-format.md says, for tests that compare it with the code."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from langchain_redis_session import SessionKey

PAGE = (Path(__file__).parents[1] / "docs/stored-format.md").read_text("utf-8")
ESCAPES = str.maketrans({"%": "%25", ":": "%3A", "{": "%7B", "}": "%7D"})


@dataclass(frozen=True)
class KeyRow:
    """A row of the table of keys, its cells in their order."""

    name: str
    pattern: str
    type: str
    tag_of_user: str
    ttl: str
    clear_events: str
    delete_session: str
    delete_user: str

    def __str__(self) -> str:
        return self.name

    def tag(self, session: SessionKey, hash_tag: Literal["app", "user"]) -> str:
        """Give the hash tag that the row's key has for a session."""
        return _fill("{app}" if hash_tag == "app" else self.tag_of_user, session)

    def key(self, session: SessionKey, hash_tag: Literal["app", "user"], track: str = "t") -> str:
        """Give the row's key for a session, without a prefix; `(track,)` is the namespace."""
        kind, _, rest = self.pattern.partition(":")
        ids = rest.partition("}")[2]
        return f"{kind}:{self.tag(session, hash_tag)}{_fill(ids, session, track)}"

    def ttl_ms(self, options: dict[str, int]) -> int:
        """Give the longest of the lifetimes named, from a service's options in seconds."""
        named = re.findall(r"\w+_(?:ttl|timeout)", self.ttl)
        longest = max((options[name] for name in named), default=0)
        more = re.search(r"(\d+) s", self.ttl)
        return (longest + (int(more[1]) if more else 0)) * 1000


def _fill(pattern: str, session: SessionKey, track: str = "") -> str:
    ids = {
        "app": session.app_name,
        "user": session.user_id,
        "session": session.session_id,
        "track": track,
    }
    ids = {name: value.translate(ESCAPES) for name, value in ids.items()}
    ids["namespace"] = ids["track"] + ":"
    return re.sub(r"[a-z]+", lambda word: ids[word[0]], pattern)


def _read_key_rows() -> list[KeyRow]:
    lines = PAGE.partition("\n## Keys\n")[2].partition("\n## ")[0].splitlines()
    _, _, *rows = (line for line in lines if line.startswith("|"))
    return [KeyRow(*(cell.strip(" `") for cell in row.strip("|").split("|"))) for row in rows]


*KEY_ROWS, MARK_ROW = _read_key_rows()
"""The keys of a session, and the mark that outlives it."""


def read_example(heading: str) -> Any:
    """Give the JSON that stands under a heading."""
    return json.loads(PAGE.partition(f"\n### {heading}\n")[2].split("```")[1].removeprefix("json"))
