"""The spool: what was accepted outlives the process that accepted it."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import stat
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage

from langchain_redis_session import (
    ConfigurationError,
    DeadLetter,
    Event,
    PersistError,
    PersistStats,
    RedisSessionService,
    SessionKey,
    SessionNotFoundError,
    TrackEvent,
    UnserializableMessageError,
)
from langchain_redis_session._background import spool
from langchain_redis_session._operations.context import Context
from langchain_redis_session._operations.prepared import PreparedEvents, prepare_events
from langchain_redis_session._operations.tracks import PreparedTrackEvents, prepare_track_events
from langchain_redis_session.config import ServiceOptions
from tests.effort import examples
from tests.integration.spool_app import (
    NOWHERE,
    SESSIONS,
    TASKS,
    THREADS,
    append_lost,
    open_service,
)
from tests.processes import run_python, start_python
from tests.proxy import CuttingProxy
from tests.servers import RedisServer
from tests.unit.messages import CLEAN_TEXTS, VALUES, messages
from tests.waits import MOMENT_S, PATIENCE_S, wait_until

MakeService = Callable[..., RedisSessionService]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def app_name() -> str:
    return f"app-{uuid4().hex}"


@pytest.fixture
def key(app_name: str) -> SessionKey:
    return SessionKey(app_name, "u", "s0")


@pytest.fixture
def make_service(directory: Path, redis_server: RedisServer) -> Iterator[MakeService]:
    """Make services with this spool: `make_service(url, persist_put_timeout=1)`."""
    with ExitStack() as stack:

        def make(url: str | None = None, **options: Any) -> RedisSessionService:
            return stack.enter_context(open_service(url or redis_server.url, directory, **options))

        yield make


def stats(service: RedisSessionService) -> PersistStats:
    figures = service.stats().persist
    assert figures is not None
    return figures


def files(directory: Path) -> list[Path]:
    return sorted(directory.glob("*.sqlite"))


def texts(service: RedisSessionService, key: SessionKey) -> list[str]:
    return [str(message.content) for message in service.get_messages(key)]


def leave_behind(directory: Path, key: SessionKey, count: int = 3, **options: Any) -> None:
    """Leave the spool of a service whose Redis was away."""
    with open_service(NOWHERE, directory, **options) as service:
        for number in range(count):
            service.append_messages(key, [HumanMessage(str(number))], create=True)


# An app in a process of its own


class App:
    """A process that runs `spool_app`, in a `with`."""

    def __init__(self, url: str, directory: Path, app_name: str, generation: int = 0) -> None:
        arguments = ("run", url, str(directory), app_name, str(generation))
        self.child = start_python("-m", "tests.integration.spool_app", *arguments)

    def __enter__(self) -> App:
        return self

    def __exit__(self, *exc: object) -> None:
        self.child.__exit__(*exc)

    def wait_for(self, count: int) -> None:
        """Wait until it has said that so many more were accepted, from now on."""
        self.child.skip()
        for _ in range(count):
            self.child.read_line()

    def kill(self) -> list[str]:
        """Kill it as `kill -9` does; give what it has said was accepted."""
        self.child.kill()
        return self._wait(-signal.SIGKILL)

    def end(self) -> list[str]:
        """Let it end by itself."""
        self.child.say("end")
        return self._wait(0)

    def _wait(self, returncode: int) -> list[str]:
        ended = self.child.finish()
        assert ended.returncode == returncode, ended.stderr
        return ended.stdout.split("\n")[:-1]


def create_sessions(url: str, app_name: str) -> None:
    with RedisSessionService(url) as service:
        for number in range(SESSIONS):
            service.create_session(app_name, "u", f"s{number}")


def check(url: str, app_name: str, accepted: list[str]) -> None:
    """Each writer's events stand once, in order, in their sessions, generations in turn."""
    stored: dict[str, list[int]] = defaultdict(list)
    with RedisSessionService(url) as service:
        for place in range(SESSIONS):
            session = service.get_session(SessionKey(app_name, "u", f"s{place}"))
            assert session is not None
            own: dict[str, list[int]] = defaultdict(list)
            generations = []
            for message in session.messages:
                writer, number = str(message.content).split(":")
                own[writer].append(int(number))
                generations.append(writer.split(".")[0])
            assert generations == sorted(generations)
            for writer, numbers in own.items():
                assert numbers == list(range(place, numbers[-1] + 1, SESSIONS))
                stored[writer] += numbers
                states = [n for n in numbers if n % 4 == 0]
                if states:
                    assert session.state[f"n{writer}"] == states[-1]
            assert len({event.id for event in session.events}) == len(session.events)
    counts: dict[str, int] = defaultdict(int)
    for text in accepted:
        counts[text.split(":")[0]] += 1
    for writer, count in counts.items():
        assert sorted(stored[writer]) == list(range(len(stored[writer])))
        # What it had no time to say may be there, too.
        assert count <= len(stored[writer]) <= count + 1
    assert stored.keys() >= counts.keys()


@pytest.mark.parametrize("redis_is", ["there", "stalled", "away"])
def test_a_killed_app_loses_nothing_it_had_accepted(
    redis_server: RedisServer,
    cutting_proxy: CuttingProxy,
    directory: Path,
    app_name: str,
    make_service: MakeService,
    redis_is: str,
) -> None:
    create_sessions(redis_server.url, app_name)
    if redis_is == "away":
        cutting_proxy.refuse()
    with App(cutting_proxy.url, directory, app_name) as first:
        first.wait_for(200)
        if redis_is == "stalled":
            cutting_proxy.stall()
        first.wait_for(400)
        accepted = first.kill()
    assert len(files(directory)) == 1
    cutting_proxy.resume()
    service = make_service()
    left = {"there": 0, "stalled": 300, "away": len(accepted)}[redis_is]
    assert stats(service).accepted >= left
    assert service.flush(PATIENCE_S)
    check(redis_server.url, app_name, accepted)
    # What was taken over is removed with its last row.
    assert len(files(directory)) == 1
    service.close()
    assert list(directory.iterdir()) == []


def test_an_app_that_is_killed_again_and_again(
    redis_server: RedisServer, directory: Path, app_name: str, cutting_proxy: CuttingProxy
) -> None:
    """Each start takes over what the ones before have left; what was first stays first."""
    create_sessions(redis_server.url, app_name)
    accepted: list[str] = []
    cutting_proxy.refuse()
    for generation in range(3):
        if generation == 2:  # now it is killed while it delivers
            cutting_proxy.accept()
        with App(cutting_proxy.url, directory, app_name, generation) as one:
            one.wait_for(150)
            accepted += one.kill()
    with open_service(redis_server.url, directory) as service:
        assert service.flush(PATIENCE_S)
    check(redis_server.url, app_name, accepted)
    assert list(directory.iterdir()) == []


def test_a_living_app_keeps_its_own(
    redis_server: RedisServer,
    directory: Path,
    app_name: str,
    make_service: MakeService,
    cutting_proxy: CuttingProxy,
) -> None:
    create_sessions(redis_server.url, app_name)
    other_name = f"{app_name}-other"
    create_sessions(redis_server.url, other_name)
    cutting_proxy.refuse()
    with (
        App(cutting_proxy.url, directory, app_name) as living,
        App(cutting_proxy.url, directory, other_name) as dying,
    ):
        living.wait_for(100)
        dying.wait_for(100)
        assert len(files(directory)) == 2
        lost = dying.kill()
        service = make_service()
        # One that was accepted and not said may be there for each writer.
        assert len(lost) <= stats(service).accepted <= len(lost) + THREADS + TASKS
        assert service.flush(PATIENCE_S)
        check(redis_server.url, other_name, lost)
        assert len(files(directory)) == 2  # the living one's, and the service's
        with RedisSessionService(redis_server.url) as reader:
            assert texts(reader, SessionKey(app_name, "u", "s0")) == []
        living.wait_for(100)
        cutting_proxy.accept()
        accepted = living.end()
    check(redis_server.url, app_name, accepted)
    service.close()
    assert list(directory.iterdir()) == []


def test_services_that_start_together_deliver_each_row_once(
    redis_server: RedisServer, directory: Path, app_name: str
) -> None:
    keys = [SessionKey(app_name, "u", f"s{number}") for number in range(12)]
    for key in keys:
        leave_behind(directory, key, 5, async_persister_num=1)
    assert len(files(directory)) == 12

    def start_and_close(_: int) -> int:
        with open_service(redis_server.url, directory, async_persister_num=2) as service:
            assert service.flush(PATIENCE_S)
            return stats(service).accepted

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(start_and_close, range(24))) == 60
    with RedisSessionService(redis_server.url) as reader:
        for key in keys:
            assert texts(reader, key) == [str(number) for number in range(5)]
    assert list(directory.iterdir()) == []


# What a restart finds


def test_closing_while_redis_is_away_leaves_it_for_the_next_start(
    directory: Path,
    key: SessionKey,
    make_service: MakeService,
    caplog: pytest.LogCaptureFixture,
) -> None:
    service = make_service(NOWHERE)
    service.append_messages(key, [HumanMessage("0")], create=True)
    with ThreadPoolExecutor(1) as pool:
        flushed = pool.submit(service.flush, None)
        time.sleep(MOMENT_S)
        service.close()
        assert flushed.result(PATIENCE_S) is False
    assert "1 append(s) left in the spool" in caplog.text
    assert service.dead_letters() == []
    again = make_service()
    assert again.flush(PATIENCE_S)
    assert texts(again, key) == ["0"]


def test_reads_come_after_what_was_left(
    directory: Path, key: SessionKey, make_service: MakeService
) -> None:
    leave_behind(directory, key, 500, async_persister_num=1)
    assert len(texts(make_service(), key)) == 500


@pytest.mark.parametrize("is_killed", [False, True])
def test_dead_letters_stay_dead_letters(
    directory: Path, key: SessionKey, redis_server: RedisServer, is_killed: bool
) -> None:
    if is_killed:
        arguments = ("leave_dead_letters", redis_server.url, str(directory))
        names = (key.app_name, key.user_id, key.session_id)
        ended = run_python("-m", "tests.integration.spool_app", *arguments, *names)
        assert ended.returncode == -signal.SIGKILL, ended.stderr
    else:
        with open_service(redis_server.url, directory) as service:
            append_lost(service, key)
    told: list[DeadLetter] = []
    for _ in range(2):
        with open_service(redis_server.url, directory, on_persist_error=told.append) as service:
            assert stats(service).dead == 2
            assert not service.flush(PATIENCE_S)
            event_letter, track_letter = service.dead_letters()
    assert told == []  # they were told when they died
    assert isinstance(event_letter.error, PersistError)
    (event,) = event_letter.events
    assert isinstance(event, Event)
    assert event.message == HumanMessage("lost", id="m")
    assert event.state_delta == {"n": 1}
    assert [e.payload for e in track_letter.events if isinstance(e, TrackEvent)] == [{"a": 1}]
    with open_service(redis_server.url, directory) as service:
        service.create_session(key.app_name, key.user_id, key.session_id)
        assert service.retry_dead_letters() == 2
        assert service.flush(PATIENCE_S)
        assert texts(service, key) == ["lost"]
        assert service.list_tracks(key) == ["tools"]
    assert list(directory.iterdir()) == []


def test_a_dead_letter_that_is_tried_again_waits_after_a_restart(
    directory: Path, key: SessionKey, redis_server: RedisServer, cutting_proxy: CuttingProxy
) -> None:
    options = {"persist_close_timeout": 0.1}
    with open_service(cutting_proxy.url, directory, **options) as service:
        append_lost(service, key)
        cutting_proxy.refuse()
        service.retry_dead_letters()
    with open_service(redis_server.url, directory) as service:
        assert stats(service).accepted == 2
        service.flush(PATIENCE_S)
        # Now as before: there is no such session.
        assert {type(letter.error) for letter in service.dead_letters()} == {SessionNotFoundError}


def test_the_rest_of_an_unreadable_spool_is_delivered(
    directory: Path, key: SessionKey, make_service: MakeService, caplog: pytest.LogCaptureFixture
) -> None:
    leave_behind(directory, key, 8)
    (path,) = files(directory)
    with sqlite3.connect(path) as connection:
        for row_id, change in enumerate(
            [
                "members = x'7b'",
                "members = 7",
                "members = 'text'",
                "app_name = ''",
                """members = CAST('{"id":"x","stateDelta":{"a":"?"}}' AS BLOB)""",
            ],
            start=2,
        ):
            connection.execute(f"UPDATE writes SET {change} WHERE id = {row_id}")
    connection.close()
    service = make_service()
    assert service.flush(PATIENCE_S)
    assert texts(service, key) == ["0", "6", "7"]
    assert caplog.text.count(f"trouble with the spool file {path}") == 5
    service.close()
    assert files(directory) == [path]  # nothing is thrown away


@pytest.mark.parametrize("damage", ["garbage", "a folder", "no table", "half"])
def test_an_unreadable_file_does_not_stop_the_start(
    directory: Path,
    key: SessionKey,
    make_service: MakeService,
    caplog: pytest.LogCaptureFixture,
    damage: str,
) -> None:
    leave_behind(directory, key, 300)
    (path,) = files(directory)
    if damage == "garbage":
        path.write_bytes(b"no database " * 1000)
    elif damage == "a folder":
        path.unlink()
        path.mkdir()
    elif damage == "no table":
        path.unlink()
        connection = sqlite3.connect(path)
        connection.executescript("CREATE TABLE writes (other); INSERT INTO writes VALUES (1)")
        connection.close()
    else:
        data = path.read_bytes()
        path.write_bytes(data[:8192] + b"\x55" * 8192 + data[16384:])
    service = make_service()
    service.append_messages(key, [HumanMessage("new")], create=True)
    assert service.flush(PATIENCE_S)
    assert texts(service, key)[-1] == "new"
    service.close()
    assert f"trouble with the spool file {path}" in caplog.text
    assert files(directory) == [path]


def test_a_spool_of_another_prefix_is_left_alone(
    directory: Path, key: SessionKey, make_service: MakeService
) -> None:
    leave_behind(directory, key)
    (path,) = files(directory)
    other = make_service(key_prefix=key.app_name)
    assert stats(other).accepted == 0
    other.close()
    assert files(directory) == [path]
    assert len(texts(make_service(), key)) == 3


def test_only_the_owner_may_read_the_files(
    directory: Path, key: SessionKey, make_service: MakeService
) -> None:
    service = make_service(NOWHERE)
    service.append_messages(key, [HumanMessage("a secret")], create=True)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()}
    assert modes == {0o600}
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700


# To the byte

prepared_options = examples(150)
names = st.sampled_from(["a", "app:a", "user:b", "temp:c", "b\x00\n", "user:\x7f"])


@prepared_options
@given(
    messages=st.lists(st.none() | messages(), min_size=1, max_size=3),
    delta=st.dictionaries(names, VALUES | st.binary(), max_size=3),
    time_ns=st.integers(0, 4 * 10**18),
    text=CLEAN_TEXTS,
)
def test_events_are_restored_to_the_byte(
    messages: list[Any], delta: dict[str, Any], time_ns: int, text: str
) -> None:
    events = [Event(message, author=text, tag=text, time_ns=time_ns) for message in messages]
    events[-1].state_delta = delta
    try:
        prepared = prepare_events(
            Context(ServiceOptions()), events, create=True, once=True, new_event_limit=7
        )
    except UnserializableMessageError:
        return
    lines = b"\n".join(prepared.members).split(b"\n")
    restored = PreparedEvents.restore(lines, create=True, once=True, new_event_limit=7)
    assert restored.entries == prepared.entries
    assert restored.changes == {place: c for place, c in prepared.changes.items() if c}
    assert (restored.create, restored.once) == (True, True)


@prepared_options
@given(payload=VALUES, time_ns=st.integers(0, 4 * 10**18))
def test_track_events_are_restored_to_the_byte(payload: Any, time_ns: int) -> None:
    events = [TrackEvent("t\n\x00", payload, time_ns=time_ns)] * 2
    try:
        prepared = prepare_track_events(Context(ServiceOptions()), "t\n\x00", events)
    except UnserializableMessageError:
        return
    lines = b"\n".join(prepared.members).split(b"\n")
    restored = PreparedTrackEvents.restore("t\n\x00", lines)
    assert (restored.track, restored.entries) == (prepared.track, prepared.entries)


def test_what_is_delivered_later_is_what_would_have_been_written_at_once(
    redis_server: RedisServer, directory: Path, app_name: str
) -> None:
    events = [
        Event(
            HumanMessage("héllo \n \x00 \ud800 😀", id="m\ud800"),
            author="ann",
            extensions={"mine": {"a": [1, None]}},
            state_delta={"n": 1, "raw": b"\xff\x00\n", "user:ü": [1], "app:a": "x", "temp:t": 1},
        ),
        Event(
            AIMessage(
                "", tool_calls=[{"name": "add", "args": {"a": 2**70, "b": float("nan")}, "id": "c"}]
            ),
            request_id="r",
        ),
        Event(ToolMessage("3", tool_call_id="c", artifact={"raw": [1, 2]})),
        Event(state_delta={"only": "state", "n": 2}),
    ]

    def append(service: RedisSessionService, user: str) -> None:
        key = SessionKey(app_name, user, "s:\x00%")
        service.append_messages(key, [HumanMessage("first", id="m0")], once=True, create=True)
        service.append_messages(key, [HumanMessage("first", id="m0")], once=True, create=True)
        service.append_events(key, events)
        service.append_track_event(key, "tr:ack\n", {"a": [None]}, timestamp=10**18)

    with open_service(NOWHERE, directory) as away:
        append(away, "later")
    with open_service(redis_server.url, directory) as next_start:
        assert next_start.flush(PATIENCE_S)
    with RedisSessionService(redis_server.url, session_event_limit=None) as plain:
        append(plain, "now")
    with redis_server.client() as client:
        names = {
            user: sorted(client.scan_iter(f"*{{{app_name}}}:{user}*", count=10_000))
            for user in ("later", "now")
        }
        assert [n.replace(b":now", b":later") for n in names["now"]] == names["later"]
        assert len(names["now"]) == 6
        for kinds in zip(names["later"], names["now"], strict=True):
            later, now = (read(client, name) for name in kinds)
            assert later == now, kinds
    # (The first message's id and time are its own; "temp:" is stored nowhere.)


def read(client: Any, name: bytes) -> Any:
    kind = name.split(b":")[0]
    if kind in (b"event", b"track"):
        found = client.zrange(name, 0, -1)
        assert len(found) == (5 if kind == b"event" else 1)
        return found[1:] if kind == b"event" else [m.split(b'"payload"')[1] for m in found]
    if kind == b"sess":
        (record,) = client.hvals(name)
        return record.split(b'"createdAt"')[0]
    if kind == b"userstate":
        return client.hgetall(name)
    return client.zrange(name, 0, -1) if kind == b"msgidx" else client.smembers(name)


# When the disk does not want to


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> list[sqlite3.Connection]:
    """The SQLite connections that are opened."""
    opened: list[sqlite3.Connection] = []

    def connect(*args: Any, **options: Any) -> sqlite3.Connection:
        opened.append(sqlite3.connect(*args, **options))
        return opened[-1]

    class Module:
        def __getattr__(self, name: str) -> Any:
            return connect if name == "connect" else getattr(sqlite3, name)

    monkeypatch.setattr(spool, "sqlite3", Module())
    return opened


def test_a_full_disk_refuses_the_append(
    make_service: MakeService,
    connections: list[sqlite3.Connection],
    directory: Path,
    key: SessionKey,
    redis_server: RedisServer,
) -> None:
    service = make_service()
    service.append_messages(key, [HumanMessage("0")], create=True)
    (connection,) = connections
    connection.execute("PRAGMA max_page_count = 1")
    large = HumanMessage("x" * 100_000)
    before = stats(service).accepted
    with pytest.raises(PersistError, match="was not accepted") as caught:
        service.append_messages(key, [large])
    assert isinstance(caught.value.__cause__, sqlite3.OperationalError)
    assert "full" in str(caught.value)
    with pytest.raises(PersistError):
        asyncio.run(service.aappend_messages(key, [large]))
    with pytest.raises(PersistError):
        service.append_track_event(key, "tools", "x" * 100_000)
    assert stats(service).accepted == before
    connection.execute("PRAGMA max_page_count = 1000000")
    service.append_messages(key, [HumanMessage("1")])
    assert service.flush(PATIENCE_S)
    assert texts(service, key) == ["0", "1"]
    service.close()
    assert list(directory.iterdir()) == []


def test_rows_that_can_not_be_removed_stop_nobody(
    make_service: MakeService,
    connections: list[sqlite3.Connection],
    directory: Path,
    key: SessionKey,
    cutting_proxy: CuttingProxy,
    caplog: pytest.LogCaptureFixture,
) -> None:
    service = make_service(cutting_proxy.url, async_persister_num=1)
    service.append_messages(key, [HumanMessage("0")], create=True)
    assert service.flush(PATIENCE_S)
    cutting_proxy.stall()
    service.append_messages(key, [HumanMessage("1")])
    (connection,) = connections
    connection.execute("PRAGMA query_only = 1")
    cutting_proxy.resume()
    assert service.flush(PATIENCE_S)
    assert "trouble with the spool file" in caplog.text
    connection.execute("PRAGMA query_only = 0")
    assert connection.execute("SELECT count(*) FROM writes").fetchone() == (1,)
    assert not connection.in_transaction
    service.append_messages(key, [HumanMessage("2")])
    assert service.flush(PATIENCE_S)
    assert texts(service, key) == ["0", "1", "2"]
    # With the next ones they go, too.
    assert connection.execute("SELECT count(*) FROM writes").fetchone() == (0,)
    service.close()
    assert list(directory.iterdir()) == []


def test_a_removal_that_fails_half_way_leaves_no_transaction_open(
    make_service: MakeService,
    connections: list[sqlite3.Connection],
    directory: Path,
    key: SessionKey,
) -> None:
    """Else what is accepted next would be gone with the process."""
    service = make_service()
    (connection,) = connections
    connection.execute(
        "CREATE TRIGGER no_deletes BEFORE DELETE ON writes BEGIN SELECT RAISE(FAIL, 'no'); END"
    )
    for number in range(3):
        service.append_messages(key, [HumanMessage(str(number))], create=True)
        assert service.flush(PATIENCE_S)
    assert not connection.in_transaction
    other = sqlite3.connect(files(directory)[0])
    assert other.execute("SELECT count(*) FROM writes").fetchone() == (3,)
    other.close()
    service.close()
    connections.clear()
    again = make_service()  # the trigger is still there, and delivering again doubles nothing
    assert again.flush(PATIENCE_S)
    assert texts(again, key) == ["0", "1", "2"]


@pytest.mark.parametrize("place", ["a file", "below a file", "/proc/nowhere"])
def test_a_directory_that_can_not_be_used(directory: Path, place: str) -> None:
    directory.write_text("a file")
    path = {"a file": directory, "below a file": directory / "x"}.get(place, Path(place))
    with pytest.raises(ConfigurationError, match="persist_spool_dir"):
        open_service(NOWHERE, path)


def test_a_spool_without_file_locks_is_refused(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "fcntl", None)
    with pytest.raises(ConfigurationError, match="file locks"):
        open_service(NOWHERE, directory)
    assert not directory.exists()


def test_appends_are_written_although_the_spools_directory_vanished(
    directory: Path, key: SessionKey, make_service: MakeService
) -> None:
    service = make_service()
    for path in directory.iterdir():
        path.unlink()
    directory.rmdir()
    service.append_messages(key, [HumanMessage("0")], create=True)
    assert service.flush(PATIENCE_S)
    assert texts(service, key) == ["0"]
    service.close()


# --- What was deleted does not come back ---------------------------------------------------------


@pytest.mark.parametrize("scope", ["user", "session"])
def test_what_was_deleted_after_it_was_accepted_does_not_come_back(
    directory: Path, key: SessionKey, redis_server: RedisServer, scope: str
) -> None:
    """An app dies with a full spool, the user is deleted, the app starts again."""
    neighbour = SessionKey(key.app_name, "other", key.session_id)
    leave_behind(directory, key)
    leave_behind(directory, neighbour)
    with RedisSessionService(redis_server.url) as admin:
        if scope == "user":
            admin.delete_user(key.app_name, key.user_id)
        else:
            assert not admin.delete_session(key)  # it has never been in Redis
    with open_service(redis_server.url, directory) as service:
        assert service.flush(PATIENCE_S)
        assert service.get_session(key) is None
        assert texts(service, neighbour) == ["0", "1", "2"]
        assert (stats(service).erased, stats(service).written) == (3, 3)
        # The id may be used again.
        service.append_messages(key, [HumanMessage("new")], create=True)
        assert texts(service, key) == ["new"]
    assert list(directory.iterdir()) == []


@pytest.mark.parametrize("scope", ["user", "session"])
def test_a_deletion_counts_from_now_whatever_the_clock_of_what_is_appended_says(
    directory: Path, key: SessionKey, redis_server: RedisServer, scope: str
) -> None:
    leave_behind(directory, key)
    with RedisSessionService(redis_server.url, clock=lambda: 10**18) as admin:
        if scope == "user":
            admin.delete_user(key.app_name, key.user_id)
        else:
            admin.delete_session(key)
    with open_service(redis_server.url, directory) as service:
        assert service.flush(PATIENCE_S)
        assert service.get_session(key) is None


def test_a_dead_letter_of_a_deleted_session_is_not_written_when_it_is_tried_again(
    directory: Path, key: SessionKey, redis_server: RedisServer
) -> None:
    with open_service(redis_server.url, directory) as service:
        append_lost(service, key)
        service.delete_session(key)
        service.create_session(key.app_name, key.user_id, key.session_id)
        assert service.retry_dead_letters() == 2
        assert service.flush(PATIENCE_S)
        assert texts(service, key) == []
        assert service.list_tracks(key) == []
        assert stats(service).erased == 2


def test_what_waits_for_a_server_that_is_away_is_not_written_after_its_deletion(
    directory: Path, key: SessionKey, redis_server: RedisServer, cutting_proxy: CuttingProxy
) -> None:
    with open_service(cutting_proxy.url, directory) as service:
        service.append_messages(key, [HumanMessage("before")], create=True)
        assert service.flush(PATIENCE_S)
        cutting_proxy.refuse()
        service.append_messages(key, [HumanMessage("late")], create=True)
        wait_until(lambda: stats(service).retried > 0)
        with RedisSessionService(redis_server.url) as admin:
            admin.delete_user(key.app_name, key.user_id)
            cutting_proxy.accept()
            assert service.flush(PATIENCE_S)
            assert admin.get_session(key) is None
        assert stats(service).erased == 1


def test_the_mark_of_a_deletion_holds_no_id_and_goes_after_thirty_days(
    key: SessionKey, redis_server: RedisServer
) -> None:
    prefix = f"marks-{uuid4().hex[:8]}"
    with (
        RedisSessionService(redis_server.url, key_prefix=prefix) as service,
        redis_server.client() as client,
    ):
        service.create_session(key.app_name, "ann@example.org", "private")
        service.delete_session(SessionKey(key.app_name, "ann@example.org", "private"))
        service.delete_user(key.app_name, "ann@example.org")
        marks = list(client.scan_iter(f"{prefix}:*"))
        assert len(marks) == 2
        for mark in marks:
            assert mark.startswith(f"{prefix}:erased:{{{key.app_name}}}:".encode())
            assert b"ann" not in mark.rpartition(b"}")[2]
            assert b"private" not in mark
            assert abs(int(client.get(mark)) - time.time_ns() // 10**6) < 3_600_000
            assert 29 * 86_400_000 < client.pttl(mark) <= 30 * 86_400_000
