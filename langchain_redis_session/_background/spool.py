"""A local copy of what was accepted, until Redis has it: survives the death of the process.

Each service has an SQLite file of its own in the directory, and holds a lock beside it while
it lives. A file whose lock is free belongs to nobody any more: the next service with the same
directory and key prefix takes it over. What a commit wrote survives the process (not a power
failure). As the files hold conversations, only their owner may read them.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import IO, Any
from uuid import uuid4

from langchain_redis_session._background.jobs import Job, SpoolId, Write
from langchain_redis_session._logs import logger
from langchain_redis_session._operations.prepared import PreparedEvents
from langchain_redis_session._operations.tracks import PreparedTrackEvents
from langchain_redis_session.errors import ConfigurationError, PersistError
from langchain_redis_session.models import SessionKey

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

WAITS, DEAD, TRIED_AGAIN = 0, 1, 2

_SCHEMA = """
CREATE TABLE IF NOT EXISTS writes (
    id INTEGER PRIMARY KEY,
    app_name TEXT NOT NULL, user_id TEXT NOT NULL, session_id TEXT NOT NULL,
    track TEXT, -- NULL: events of the session
    may_create INTEGER NOT NULL, once INTEGER NOT NULL,
    new_event_limit INTEGER, -- NULL: no limit
    accepted_ms INTEGER NOT NULL,
    members BLOB NOT NULL, -- the JSON of each event, a line each
    status INTEGER NOT NULL DEFAULT 0 -- WAITS, DEAD or TRIED_AGAIN
)
"""


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _is_at(file: IO[bytes], path: Path) -> bool:
    """Whether an open file is the one that has this name now."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


@dataclass(slots=True)
class _File:
    """One SQLite file and the lock beside it."""

    path: Path
    lock: IO[bytes]
    connection: sqlite3.Connection

    @classmethod
    def open(cls, path: Path, *, is_new: bool = False) -> _File | None:
        """Open a file; None if somebody has it, or had it and has removed it just now.

        Raises:
            OSError: It can't be opened.
            sqlite3.Error: It can't be read.
        """
        lock_path = path.with_suffix(".lock")
        lock = open(lock_path, "ab", opener=_open_private)  # noqa: SIM115
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not _is_at(lock, lock_path):  # a lock that its last owner has removed
                lock.close()
                return None
            if is_new:
                os.close(_open_private(str(path), os.O_RDWR | os.O_CREAT))
            elif not path.exists():
                lock_path.unlink()
                lock.close()
                return None
            # Autocommit; the persister's lock keeps threads apart.
            connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        except BlockingIOError:
            lock.close()
            return None
        except BaseException:
            lock.close()
            raise
        file = cls(path, lock, connection)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.execute(_SCHEMA)
        except BaseException:
            file.leave()
            raise
        return file

    def is_empty(self) -> bool:
        """Whether nothing waits in it."""
        return self.connection.execute("SELECT 1 FROM writes LIMIT 1").fetchone() is None

    def delete(self, row_ids: Iterable[int]) -> None:
        """Delete rows, all or none."""
        self.connection.execute("BEGIN")
        try:
            self.connection.executemany(
                "DELETE FROM writes WHERE id = ?", [(row_id,) for row_id in row_ids]
            )
            self.connection.execute("COMMIT")
        finally:
            # Else what is added next would be in a transaction that nobody commits.
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")

    def leave(self) -> None:
        """Give it up as it is."""
        self.connection.close()
        self.lock.close()

    def close(self) -> None:
        """Give it up; an empty one is removed."""
        try:
            is_empty = self.is_empty()
            self.connection.close()
            if is_empty:
                self.path.unlink(missing_ok=True)
                self.path.with_suffix(".lock").unlink(missing_ok=True)
        except (OSError, sqlite3.Error) as error:
            _report_trouble(self.path, error)
        finally:
            self.leave()


def _report_trouble(path: Path, error: Exception) -> None:
    logger.error("trouble with the spool file %s: %s: %s", path, type(error).__name__, error)


class Spool:
    """The spool of one service. Not thread-safe: the persister's lock is held for each call.

    Args:
        directory: Where the files stand; made if it is not there.
        key_prefix: What was accepted with another prefix is not taken over.

    Raises:
        ConfigurationError: The directory can't be used.
    """

    def __init__(self, directory: Path, key_prefix: str = "") -> None:
        self._directory = directory
        self._ending = f"-{sha256(key_prefix.encode()).hexdigest()[:12]}.sqlite"
        self._gone: set[SpoolId] = set()
        if fcntl is None:
            raise ConfigurationError("persist_spool_dir needs file locks, which Windows lacks")
        # Names sort by age: what was accepted first must be delivered first.
        name = f"{time.time_ns():020}-{os.getpid()}-{uuid4().hex[:8]}{self._ending}"
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            own = _File.open(directory / name, is_new=True)
        except (OSError, sqlite3.Error) as error:
            raise ConfigurationError(
                f"persist_spool_dir={str(directory)!r} can't be used: {error}"
            ) from error
        assert own is not None, "nobody else knows its name"
        self._files = {0: own}

    def add(self, job: Job) -> SpoolId:
        """Keep an append; gives its number.

        Raises:
            PersistError: It can't be kept.
        """
        write = job.write
        track, create, once, limit = None, False, False, None
        if isinstance(write, PreparedEvents):
            create, once, limit = write.create, write.once, write.new_event_limit
        else:
            track = write.track
        try:
            cursor = self._files[0].connection.execute(
                "INSERT INTO writes"
                " (app_name, user_id, session_id, track, may_create, once, new_event_limit,"
                " accepted_ms, members)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    *job.key.scope,
                    track,
                    create,
                    once,
                    limit,
                    job.accepted_ms,
                    b"\n".join(write.members),
                ),
            )
        except sqlite3.Error as error:
            raise PersistError(
                f"the spool in {str(self._directory)!r} can't keep this append ({error}), so it "
                "was not accepted; see to the disk and try again"
            ) from error
        return 0, cursor.lastrowid or 0

    def take_left(self) -> list[tuple[Job, bool]]:
        """Take over the files that nobody has: the appends in them, and whether they are dead."""
        taken: list[tuple[Job, bool]] = []
        for path in sorted(self._directory.glob(f"*{self._ending}")):
            if path == self._files[0].path:
                continue
            try:
                file = _File.open(path)
            except (OSError, sqlite3.Error) as error:
                _report_trouble(path, error)
                continue
            if file is None:
                continue
            place = len(self._files)
            jobs = self._read(file, place)
            if jobs:
                self._files[place] = file
                taken += jobs
            else:
                file.close()
        return taken

    def _read(self, file: _File, place: int) -> list[tuple[Job, bool]]:
        jobs: list[tuple[Job, bool]] = []
        try:
            for row in file.connection.execute("SELECT * FROM writes ORDER BY id"):
                try:
                    jobs.append(_restore(row, place))
                except Exception as error:  # whatever stands there, the others are delivered
                    _report_trouble(file.path, error)
        except sqlite3.Error as error:
            _report_trouble(file.path, error)
        return jobs

    def remove(self, ids: Iterable[SpoolId]) -> None:
        """Forget appends that Redis has; what can't be removed now is the next time."""
        self._gone.update(ids)
        for place in {place for place, _ in self._gone}:
            file = self._files[place]
            try:
                file.delete(row_id for its_place, row_id in self._gone if its_place == place)
                is_over = place != 0 and file.is_empty()
            except sqlite3.Error as error:
                _report_trouble(file.path, error)
                continue
            self._gone = {spool_id for spool_id in self._gone if spool_id[0] != place}
            if is_over:
                self._files.pop(place).close()

    def mark(self, spool_id: SpoolId, status: int) -> None:
        """Note that an append was given up (`DEAD`), or is tried again (`TRIED_AGAIN`)."""
        place, row_id = spool_id
        file = self._files[place]
        try:
            file.connection.execute("UPDATE writes SET status = ? WHERE id = ?", (status, row_id))
        except sqlite3.Error as error:
            _report_trouble(file.path, error)

    def abandon(self) -> None:
        """In the child of a fork: these are the parent's files, and its locks."""
        for file in self._files.values():
            file.lock.close()  # else the child would hold it after the parent's end
        _abandoned.extend(file.connection for file in self._files.values())
        self._files = {}

    def close(self) -> None:
        """Give all files up; what is in them is left for the next start."""
        for file in self._files.values():
            file.close()
        self._files = {}


def _restore(row: tuple[Any, ...], place: int) -> tuple[Job, bool]:
    row_id, *scope, track, create, once, limit, accepted_ms, members, status = row
    lines = members.split(b"\n")
    write: Write = (
        PreparedEvents.restore(lines, create=bool(create), once=bool(once), new_event_limit=limit)
        if track is None
        else PreparedTrackEvents.restore(track, lines)
    )
    key = SessionKey(*scope)
    job = Job(key, write, accepted_ms=accepted_ms)
    job.spool_id = place, row_id
    job.is_alone, job.may_be_erased = status == TRIED_AGAIN, True
    return job, status == DEAD


# Never closed: SQLite must not be told to close what another process uses.
_abandoned: list[sqlite3.Connection] = []
