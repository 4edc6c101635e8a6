"""A local copy of what was accepted, until Redis has it: survives the death of the process.

Each process has an SQLite file of its own in the directory, and holds a lock beside it while
it lives. A file whose lock is free belongs to nobody any more: the next service with the same
directory takes it over. What a commit wrote survives the process (not a power failure).
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from uuid import uuid4

from langchain_redis_session._background.jobs import Job, SpoolId, Write
from langchain_redis_session._operations.events import PreparedEvents
from langchain_redis_session._operations.tracks import PreparedTrackEvents
from langchain_redis_session.errors import ConfigurationError, RedisSessionError
from langchain_redis_session.models import SessionKey

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

logger = logging.getLogger("langchain_redis_session")

_SCHEMA = """
CREATE TABLE IF NOT EXISTS writes (
    id INTEGER PRIMARY KEY,
    app_name TEXT NOT NULL, user_id TEXT NOT NULL, session_id TEXT NOT NULL,
    track TEXT, -- NULL: events of the session
    may_create INTEGER NOT NULL, once INTEGER NOT NULL,
    members BLOB NOT NULL, -- the JSON of each event, a line each
    is_dead INTEGER NOT NULL DEFAULT 0
)
"""


@dataclass(slots=True)
class _File:
    """One SQLite file and the lock beside it."""

    path: Path
    lock: IO[bytes]
    connection: sqlite3.Connection

    @classmethod
    def open(cls, path: Path) -> _File | None:
        """Open a file; None if another process has it."""
        lock = path.with_suffix(".lock").open("ab")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            return None
        # Autocommit; the persister's lock keeps threads apart.
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute(_SCHEMA)
        return cls(path, lock, connection)

    def close(self) -> None:
        """Give it up; an empty one is removed."""
        is_empty = self.connection.execute("SELECT 1 FROM writes LIMIT 1").fetchone() is None
        self.connection.close()
        if is_empty:
            self.path.unlink(missing_ok=True)
            self.path.with_suffix(".lock").unlink(missing_ok=True)
        self.lock.close()


class Spool:
    """The spool of one process. Not thread-safe: the persister's lock is held for each call.

    Args:
        directory: Where the files stand; made if it is not there.

    Raises:
        ConfigurationError: The directory can't be used.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        if fcntl is None:
            raise ConfigurationError("persist_spool_dir needs file locks, which Windows lacks")
        try:
            directory.mkdir(parents=True, exist_ok=True)
            own = _File.open(directory / f"{os.getpid()}-{uuid4().hex}.sqlite")
        except (OSError, sqlite3.Error) as error:
            raise ConfigurationError(
                f"persist_spool_dir={str(directory)!r} can't be used: {error}"
            ) from error
        assert own is not None, "nobody else knows its name"
        self._files = [own]

    def add(self, key: SessionKey, write: Write) -> SpoolId:
        """Keep an append; gives its number."""
        track, create, once = None, False, False
        if isinstance(write, PreparedEvents):
            create, once = write.create, write.once
        else:
            track = write.track
        cursor = self._files[0].connection.execute(
            "INSERT INTO writes (app_name, user_id, session_id, track, may_create, once, members)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                key.app_name,
                key.user_id,
                key.session_id,
                track,
                create,
                once,
                b"\n".join(write.members),
            ),
        )
        return 0, cursor.lastrowid or 0

    def take_left(self) -> list[tuple[Job, bool]]:
        """Take over the files that nobody has: the appends in them, and whether they are dead."""
        taken: list[tuple[Job, bool]] = []
        for path in sorted(self._directory.glob("*.sqlite"), key=lambda p: p.stat().st_mtime_ns):
            if any(path == file.path for file in self._files):
                continue
            with contextlib.suppress(OSError, sqlite3.Error):  # somebody was faster
                file = _File.open(path)
                if file is not None:
                    self._files.append(file)
                    taken += self._read(len(self._files) - 1)
        return taken

    def _read(self, place: int) -> list[tuple[Job, bool]]:
        jobs: list[tuple[Job, bool]] = []
        rows = self._files[place].connection.execute("SELECT * FROM writes ORDER BY id").fetchall()
        for row_id, app_name, user_id, session_id, track, create, once, members, is_dead in rows:
            try:
                lines = bytes(members).split(b"\n")
                write: Write = (
                    PreparedEvents.restore(lines, create=bool(create), once=bool(once))
                    if track is None
                    else PreparedTrackEvents.restore(track, lines)
                )
                key = SessionKey(app_name, user_id, session_id)
            except RedisSessionError as error:
                logger.error("an append in the spool can't be read: %s", type(error).__name__)
                continue
            jobs.append((Job(key, write, (place, row_id)), bool(is_dead)))
        return jobs

    def remove(self, ids: Iterable[SpoolId]) -> None:
        """Forget appends that Redis has."""
        by_file: dict[int, list[tuple[int]]] = {}
        for place, row_id in ids:
            by_file.setdefault(place, []).append((row_id,))
        for place, rows in by_file.items():
            connection = self._files[place].connection
            connection.execute("BEGIN")
            connection.executemany("DELETE FROM writes WHERE id = ?", rows)
            connection.execute("COMMIT")

    def mark(self, spool_id: SpoolId, *, is_dead: bool) -> None:
        """Note that an append was given up, or is tried again."""
        place, row_id = spool_id
        self._files[place].connection.execute(
            "UPDATE writes SET is_dead = ? WHERE id = ?", (is_dead, row_id)
        )

    def abandon(self) -> None:
        """In the child of a fork: these are the parent's files, and its locks."""
        _abandoned.extend(self._files)
        self._files = []

    def close(self) -> None:
        """Give all files up; what is in them is left for the next start."""
        for file in self._files:
            file.close()
        self._files = []


# Never closed: SQLite must not be told to close what another process uses.
_abandoned: list[_File] = []
