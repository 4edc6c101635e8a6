"""A short run of the fuzzer, what it has found before, and that it finds what is broken."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from langchain_core.messages import HumanMessage
from rich.console import Console

from langchain_redis_session import SessionKey
from langchain_redis_session._codec import events, message_reader
from langchain_redis_session._keys import zset
from tests.fuzz import findings, identities, messages
from tests.fuzz.__main__ import Fuzzer
from tests.fuzz.field import Field
from tests.fuzz.findings import Finding
from tests.servers import RedisServer

SEED = 20


@pytest.fixture
def ground(make_redis_server: Callable[..., RedisServer]) -> Iterator[Field]:
    with make_redis_server().client() as client:
        ground = Field(client)
        yield ground
        ground.close()


def test_a_short_run_finds_nothing(make_redis_server: Callable[..., RedisServer]) -> None:
    with make_redis_server().client() as client:
        fuzzer = Fuzzer(SEED, client)
        fuzzer.plan(entry_count=800, message_count=2000, name_count=1000)
        output = io.StringIO()
        assert fuzzer.run(Console(file=output)) == []
    assert "wrong types" in output.getvalue()
    assert all(part.done >= part.count for part in fuzzer.parts)


@pytest.mark.parametrize(
    "finding", [pytest.param(found, id=name) for name, found in findings.read()]
)
def test_what_was_found_is_mended(ground: Field, finding: Finding) -> None:
    if finding.kind == "url":
        assert identities.try_url(finding.data.decode()) is None
    elif finding.kind == "message":
        message = events.decode_event(finding.data).message
        assert message is not None
        assert messages.try_message(message) is None
    elif finding.kind.startswith("type"):
        assert ground.try_wrong_types() == []
    else:
        assert ground.try_all(finding.kind, [finding.data]) == []


def test_an_entry_that_hides_its_neighbours_is_found_alone(
    monkeypatch: pytest.MonkeyPatch, ground: Field, tmp_path: Path
) -> None:
    monkeypatch.setattr(events, "decode_message", lambda *_args, **_options: 1 / 0)
    monkeypatch.setattr("langchain_redis_session._operations.stretch.CorruptEventError", KeyError)
    broken = b'{"id":"x","choices":[{"message":{"content":7}}]}'
    found = ground.try_all("event", [b'{"id":"y"}', broken])
    assert found
    (path,) = findings.write(found[:1], tmp_path)
    assert [name for name, _ in findings.read(tmp_path)] == [path.stem]


def test_a_message_that_changes_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(message_reader, "untag", lambda value, _references: value)
    assert messages.try_message(HumanMessage("x", id="\ud800")) is not None


def test_tenants_that_meet_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zset, "escape_id", lambda value: value)
    tenants = identities.Tenants()
    keys = SessionKey("a", "u", "1:s"), SessionKey("a", "u:1", "s")
    assert [tenants.try_key(key) is None for key in keys] != [True, True]
